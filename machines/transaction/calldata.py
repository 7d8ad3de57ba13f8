"""What a payment asks of the chain, and whether a transaction did it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from machines.core.chain import NO_DATA, Address, BatchPayee, Receipt, Seen
from machines.core.ids import RecordId
from machines.transaction.data import PaymentData, PaymentRecord, Suspect

TRANSFER = "a9059cbb"
APPROVE = "095ea7b3"
ALLOWANCE = "dd62ed3e"
BALANCE_OF = "70a08231"
TRANSFERRED = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

ADDRESS_DIGITS = 40
# A batch packs an amount into 96 bits; an argument of its own has more zeros before it.
AMOUNT_DIGITS = 24

UNLIMITED = 2**256 - 1


def word(value: int | Address) -> str:
    return f"{value:064x}" if isinstance(value, int) else value[2:].lower().rjust(64, "0")


def asked(data: PaymentData) -> tuple[Address | None, int, str]:
    """Give recipient, value and data of the transaction that makes a payment alone."""
    if data.token is None:
        return data.to, int(data.value_wei), data.data
    if data.to is None:
        raise ValueError("A token is paid to somebody.")
    return data.token, 0, f"0x{TRANSFER}{word(data.to)}{word(int(data.value_wei))}"


def payees_of(payments: Iterable[PaymentRecord]) -> tuple[BatchPayee, ...]:
    """Give the lines of a batch, in the order of its members."""
    return tuple(BatchPayee(one.data.to, int(one.data.value_wei)) for one in payments if one.data.to is not None)


def approval(spender: Address) -> str:
    """Give the data of the call that lets a contract pull a token from the lane."""
    return f"0x{APPROVE}{word(spender)}{word(UNLIMITED)}"


def allowance(owner: Address, spender: Address) -> str:
    return f"0x{ALLOWANCE}{word(owner)}{word(spender)}"


def balance_of(owner: Address) -> str:
    return f"0x{BALANCE_OF}{word(owner)}"


def number(answer: str) -> int:
    """Read a number that a contract answered; nothing is zero."""
    return int(answer[:66], 16) if answer not in {"", NO_DATA} else 0


def does(seen: Seen, data: PaymentData) -> bool:
    """Say whether a transaction asks for the very effect of a payment: recipient and amount, or the same call."""
    to, value_wei, calldata = asked(data)
    same_place = (seen.to or "").lower() == (to or "").lower()
    return same_place and seen.value_wei == value_wei and seen.data.lower() == calldata.lower()


def effect(data: PaymentData) -> tuple[str, ...]:
    """Give what makes two payments alike."""
    return data.to or "", data.value_wei, data.data, data.token or ""


def traces(seen: Seen) -> frozenset[str]:
    """List every run of digits in a transaction's data that could be an address."""
    digits = seen.data.lower()
    return frozenset(digits[start : start + ADDRESS_DIGITS] for start in range(2, len(digits) - ADDRESS_DIGITS + 1, 2))


def may_do(seen: Seen, found: frozenset[str], data: PaymentData) -> int:
    """Say how many payments like this one a transaction may have made: itself, in a batch, or through some contract.

    Whatever names recipient and amount is suspicious; only a person can tell what a contract did with them.
    """
    if does(seen, data):
        return 1
    if data.to is None or data.data != NO_DATA or data.to[2:].lower() not in found:
        return 0
    digits = seen.data.lower()
    if data.token is not None and data.token[2:].lower() not in f"{(seen.to or '').lower()}{digits}":
        return 0
    amount = f"{int(data.value_wei):0{AMOUNT_DIGITS}x}"
    return digits.count(data.to[2:].lower()) if amount in digits else 0


def came_to(receipt: Receipt, token: Address, to: Address) -> int:
    """Say how many units of a token came to an address and stayed: some tokens keep a fee, or take it back at once."""
    moves = [(sender, receiver, units) for sender, receiver, units in _moves(receipt, token) if sender != receiver]
    came = sum(units for _, receiver, units in moves if receiver == word(to))
    return came - sum(units for sender, _, units in moves if sender == word(to))


def left(receipt: Receipt, token: Address, sender: Address) -> bool:
    """Say whether any units of a token left an address, wherever they went."""
    return any(units > 0 and who == word(sender) for who, _, units in _moves(receipt, token))


def _moves(receipt: Receipt, token: Address) -> list[tuple[str, str, int]]:
    """List what a token says it moved: from whom, to whom, how much."""
    return [
        (log.topics[1][2:].lower(), log.topics[2][2:].lower(), number(log.data))
        for log in receipt.logs
        if log.address.lower() == token.lower()
        and len(log.topics) == 3  # noqa: PLR2004  (Transfer, from, to)
        and log.topics[0].lower() == TRANSFERRED
    ]


def suspects(seen: Iterable[Seen], payments: Sequence[PaymentRecord]) -> tuple[Suspect, ...]:
    """Say which payments each transaction may have made: of payments alike no more than it can have paid."""
    found: dict[RecordId, Suspect] = {}
    for one in seen:
        runs, matched = traces(one), Counter[tuple[str, ...]]()
        for payment in payments:
            if payment.id in found:
                continue
            alike = effect(payment.data)
            if matched[alike] < may_do(one, runs, payment.data):
                matched[alike] += 1
                found[payment.id] = Suspect(one.hash, one.nonce, payment.id)
    return tuple(found.values())
