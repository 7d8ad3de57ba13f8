"""The contract that pays many: how it is called, and what its events say.

Its source is `contracts/PayMany.vy`. A recipient is one word, its amount in the upper 96 bits and its address below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from adapters.addresses import checksummed
from adapters.ethereum.contracts import call_data, topic
from machines.core.chain import Address, BatchPayee, Chain, Log, Receipt
from machines.core.errors import BadAmount, BadSettings, Contradiction, Rejected

RAIL = "ethereum"
MOST_PAYEES = 500
MOST_UNITS = 2**96 - 1
"""The largest amount that one line of a batch can have."""

PAID = topic("PayMany", "Paid")
FAILED = topic("PayMany", "Failed")

# Gas that is enough whatever the recipients of ether do: each may burn 30,000, and 9,000 + 2,600 are the call itself.
BASE_GAS = 110_000
PAYEE_GAS = 44_500
# A token is one contract, chosen by us: its transfers are reckoned as tokens' transfers are. Should they burn more than
# this, the contract reverts as a whole and blames nobody.
TOKEN_BASE_GAS = 230_000
TOKEN_PAYEE_GAS = 65_000

_WORD = 32
_SELECTOR_DIGITS = 10
ADDRESS = 2**160 - 1
CALLS = {"payETH": ("bytes32", "uint256[]"), "payToken": ("bytes32", "address", "uint256[]")}


class PayManyContract:
    """Calls the contract at an address, and reads its receipts."""

    def __init__(self, address: str, rail: str = RAIL) -> None:
        try:
            self.address = checksummed(address)
        except ValueError as error:
            raise BadSettings(f"The address of the batch contract cannot be read: {error}.") from error
        self._rail = rail

    async def check(self, chain: Chain, lane: Address) -> None:
        """See at opening that the contract is there and pays for this lane."""
        try:
            answer = bytes.fromhex((await chain.call(self.address, call_data("PayMany", "LANE")))[2:])
            (owner,) = decode(["address"], answer)
        except (Rejected, DecodingError, ValueError) as error:
            raise BadSettings(f"There is no batch contract at {self.address}.") from error
        if len(answer) != _WORD:
            raise BadSettings(f"There is no batch contract at {self.address}.")
        owner = checksummed(owner)
        if owner.lower() != lane.lower():
            raise BadSettings(f"The batch contract at {self.address} pays for {owner} and not for {lane}.")

    def pay(self, batch: str, payees: Sequence[BatchPayee], token: Address | None) -> tuple[int, str, int]:
        """Give value, data and gas limit of the call that pays these; `batch` is 32 bytes in hex, used once."""
        if not 0 < len(payees) <= MOST_PAYEES:
            raise BadAmount(f"A batch pays between 1 and {MOST_PAYEES} recipients.")
        lines, name = [packed(payee) for payee in payees], bytes.fromhex(word_of_batch(batch)[2:])
        if token is None:
            total = sum(payee.units_wei for payee in payees)
            return total, call_data("PayMany", "payETH", name, lines), BASE_GAS + PAYEE_GAS * len(payees)
        data = call_data("PayMany", "payToken", name, token, lines)
        return 0, data, TOKEN_BASE_GAS + TOKEN_PAYEE_GAS * len(payees)

    def read(self, data: str) -> "BatchCall | None":
        """Read a call that pays; None where it is none."""
        for function, types in CALLS.items():
            if data.startswith(_selector(function)):
                try:
                    name, *token, lines = decode(types, bytes.fromhex(data[_SELECTOR_DIGITS:]))
                except (DecodingError, ValueError):
                    return None
                payees = tuple(BatchPayee(checksummed(f"0x{one & ADDRESS:040x}"), one >> 160) for one in lines)
                return BatchCall("0x" + name.hex(), checksummed(token[0]) if token else None, payees)
        return None

    def failed(self, receipt: Receipt, batch: str, payees: Sequence[BatchPayee]) -> frozenset[int]:
        """Read which payees, by their place, were not paid.

        `Contradiction` where the receipt does not speak of this batch.
        """
        name = word_of_batch(batch)
        ours = [log for log in receipt.logs if log.address == self.address and log.topics[1:] == (name,)]
        paid = [log for log in ours if log.topics[0] == PAID]
        if not receipt.ok or len(paid) != 1:
            raise self._contradiction(receipt, "is not that of the batch")
        count, failures = self._numbers(receipt, paid[0])
        places = frozenset(self._place(receipt, log, payees) for log in ours if log.topics[0] == FAILED)
        if count != len(payees) or failures != len(places):
            raise self._contradiction(receipt, f"speaks of {count} payees, of whom {failures} failed")
        return places

    def _place(self, receipt: Receipt, log: Log, payees: Sequence[BatchPayee]) -> int:
        place, line = self._numbers(receipt, log)
        if place >= len(payees) or line != packed(payees[place]):
            raise self._contradiction(receipt, f"names another payee at place {place}")
        return place

    def _numbers(self, receipt: Receipt, log: Log) -> tuple[int, int]:
        try:
            first, second = decode(["uint256", "uint256"], bytes.fromhex(log.data[2:]))
        except (DecodingError, ValueError) as error:
            raise self._contradiction(receipt, "has an event that cannot be read") from error
        return int(first), int(second)

    def _contradiction(self, receipt: Receipt, words: str) -> Contradiction:
        return Contradiction(f"The receipt of {receipt.hash} {words}.", rail=self._rail)


@dataclass(frozen=True, slots=True)
class BatchCall:
    """What a call of the contract pays."""

    id: str
    token: Address | None
    payees: tuple[BatchPayee, ...]


def _selector(function: str) -> str:
    """Give what the data of a call begins with."""
    empty: tuple[object, ...] = (bytes(_WORD), []) if function == "payETH" else (bytes(_WORD), f"0x{0:040x}", [])
    return call_data("PayMany", function, *empty)[:_SELECTOR_DIGITS]


def word_of_batch(batch: str) -> str:
    """Write a batch's name as the word that it is in a topic."""
    return "0x" + batch.removeprefix("0x").lower().rjust(2 * _WORD, "0")


def packed(payee: BatchPayee) -> int:
    """Write a line of a batch: its amount, and behind it its address."""
    if not 0 <= payee.units_wei <= MOST_UNITS:
        raise BadAmount(f"An amount of {payee.units_wei} units does not fit into a batch.")
    return payee.units_wei << 160 | int(payee.to, 16)
