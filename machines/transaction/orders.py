"""What a payment asks of the chain, and whether a transaction did it. Pure."""

from collections.abc import Iterable

from machines.core.chain import NO_DATA, Address, Payee, Receipt, Seen
from machines.transaction.data import PaymentData, PaymentRecord

TRANSFER = "a9059cbb"
APPROVE = "095ea7b3"
ALLOWANCE = "dd62ed3e"
BALANCE_OF = "70a08231"
TRANSFERRED = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

UNLIMITED = 2**256 - 1
# An allowance that only counts down from "unlimited" never comes near this.
PLENTY = 2**200


def word(value: int | Address) -> str:
    """Write one argument of a call."""
    return f"{value:064x}" if isinstance(value, int) else value[2:].lower().rjust(64, "0")


def asked(data: PaymentData) -> tuple[Address | None, int, str]:
    """Give recipient, value and data of the transaction that makes a payment alone."""
    if data.token is None:
        return data.to, int(data.value_wei), data.data
    if data.to is None:
        raise ValueError("A token is paid to somebody.")
    return data.token, 0, f"0x{TRANSFER}{word(data.to)}{word(int(data.value_wei))}"


def payees_of(payments: Iterable[PaymentRecord]) -> tuple[Payee, ...]:
    """Give the lines of a batch, in the order of its members."""
    return tuple(Payee(one.data.to, int(one.data.value_wei)) for one in payments if one.data.to is not None)


def approval(spender: Address) -> str:
    """Give the data of the call that lets a contract pull a token from the lane."""
    return f"0x{APPROVE}{word(spender)}{word(UNLIMITED)}"


def allowance(owner: Address, spender: Address) -> str:
    """Give the data of the question how much a contract may pull."""
    return f"0x{ALLOWANCE}{word(owner)}{word(spender)}"


def balance_of(owner: Address) -> str:
    """Give the data of the question how many units of a token an address has."""
    return f"0x{BALANCE_OF}{word(owner)}"


def number(answer: str) -> int:
    """Read a number that a contract answered; nothing is zero."""
    return int(answer[:66], 16) if answer not in {"", NO_DATA} else 0


def does(seen: Seen, data: PaymentData) -> bool:
    """Say whether a transaction asks for the very effect of a payment: recipient and amount, or the same call."""
    to, value_wei, calldata = asked(data)
    same_place = (seen.to or "").lower() == (to or "").lower()
    return same_place and seen.value_wei == value_wei and seen.data.lower() == calldata.lower()


def arrived(receipt: Receipt, data: PaymentData) -> bool:
    """Say whether a successful receipt shows the effect: a token may answer no, or nothing, without failing."""
    if data.token is None:
        return receipt.ok
    to = word(data.to or Address("0x"))
    return (
        receipt.ok
        and any(
            log.address.lower() == data.token.lower()
            and len(log.topics) == 3  # noqa: PLR2004  (Transfer, from, to)
            and log.topics[0].lower() == TRANSFERRED
            and log.topics[2][2:].lower() == to
            and number(log.data) > 0
            for log in receipt.logs
        )
    )
