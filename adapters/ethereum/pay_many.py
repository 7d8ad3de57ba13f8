"""The contract that pays many: how it is called, and what its events say.

Its source is `contracts/PayMany.vy`. A recipient is one word, its amount in the upper 96 bits and its address below.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from adapters.ethereum.addresses import checksummed, keccak_hex
from machines.core.chain import Address, BatchPayee, Chain, Log, Receipt
from machines.core.errors import BadAmount, BadSettings, Contradiction, Rejected

RAIL = "ethereum"
MOST_PAYEES = 500
MOST_UNITS = 2**96 - 1
"""The largest amount that one line of a batch can have."""

PAY_ETH = "0xdb47795b"
PAY_TOKEN = "0x3a1f5d5e"  # noqa: S105  (a function of the contract)
LANE = "0x4eff3738"
PAID = keccak_hex(b"Paid(bytes32,uint256,uint256)")
FAILED = keccak_hex(b"Failed(bytes32,uint256,uint256)")

# Gas that is enough whatever the recipients of ether do: each may burn 30,000, and 9,000 + 2,600 are the call itself.
BASE_GAS = 110_000
PAYEE_GAS = 44_500
# A token is one contract, chosen by us: its transfers are reckoned as tokens' transfers are. Should they burn more than
# this, the contract reverts as a whole and blames nobody.
TOKEN_BASE_GAS = 230_000
TOKEN_PAYEE_GAS = 65_000

_WORD = 64


class PayManyContract:
    """Calls the contract at an address, and reads its receipts."""

    def __init__(self, address: str, rail: str = RAIL) -> None:
        try:
            self._address = checksummed(address)
        except ValueError as error:
            raise BadSettings(f"The address of the batch contract cannot be read: {error}.") from error
        self._rail = rail

    @property
    def address(self) -> Address:
        """Where it is on this chain."""
        return self._address

    async def check(self, chain: Chain, lane: Address) -> None:
        """See at opening that the contract is there and pays for this lane."""
        try:
            answer = await chain.call(self._address, LANE)
        except Rejected as error:
            raise BadSettings(f"There is no batch contract at {self._address}.") from error
        if len(answer) != 2 + _WORD:
            raise BadSettings(f"There is no batch contract at {self._address}.")
        owner = checksummed("0x" + answer[-40:])
        if owner.lower() != lane.lower():
            raise BadSettings(f"The batch contract at {self._address} pays for {owner} and not for {lane}.")

    def pay(self, batch: str, payees: Sequence[BatchPayee], token: Address | None) -> tuple[int, str, int]:
        """Give value, data and gas limit of the call that pays these; `batch` is 32 bytes in hex, used once."""
        if not 0 < len(payees) <= MOST_PAYEES:
            raise BadAmount(f"A batch pays between 1 and {MOST_PAYEES} recipients.")
        words = "".join(_word(_packed(payee)) for payee in payees)
        head, length = batch.removeprefix("0x").rjust(_WORD, "0"), _word(len(payees))
        if token is None:
            total = sum(payee.units_wei for payee in payees)
            data = f"{PAY_ETH}{head}{_word(2 * 32)}{length}{words}"
            return total, data, BASE_GAS + PAYEE_GAS * len(payees)
        data = f"{PAY_TOKEN}{head}{_word(int(token, 16))}{_word(3 * 32)}{length}{words}"
        return 0, data, TOKEN_BASE_GAS + TOKEN_PAYEE_GAS * len(payees)

    def failed(self, receipt: Receipt, batch: str, payees: Sequence[BatchPayee]) -> frozenset[int]:
        """Read which payees, by their place, were not paid.

        `Contradiction` where the receipt does not speak of this batch.
        """
        topic = "0x" + batch.removeprefix("0x").lower().rjust(_WORD, "0")
        ours = [log for log in receipt.logs if log.address == self._address and log.topics[1:] == (topic,)]
        paid = [log for log in ours if log.topics[0] == PAID]
        if not receipt.ok or len(paid) != 1:
            raise self._contradiction(receipt, "is not that of the batch")
        count, failures = _numbers(paid[0])
        places = frozenset(self._place(receipt, log, payees) for log in ours if log.topics[0] == FAILED)
        if count != len(payees) or failures != len(places):
            raise self._contradiction(receipt, f"speaks of {count} payees, of whom {failures} failed")
        return places

    def _place(self, receipt: Receipt, log: Log, payees: Sequence[BatchPayee]) -> int:
        place, packed = _numbers(log)
        if place >= len(payees) or packed != _packed(payees[place]):
            raise self._contradiction(receipt, f"names another payee at place {place}")
        return place

    def _contradiction(self, receipt: Receipt, words: str) -> Contradiction:
        return Contradiction(f"The receipt of {receipt.hash} {words}.", rail=self._rail)


def deploy_data(lane: Address) -> str:
    """Give the data of the transaction that makes the contract for a lane's address."""
    return f"{_artifact()['bytecode']}{_word(int(lane, 16))}"


@cache
def _artifact() -> dict[str, str]:
    artifact: dict[str, str] = json.loads(
        files("adapters.ethereum.contracts").joinpath("PayMany.json").read_text("utf-8")
    )
    return artifact


def _packed(payee: BatchPayee) -> int:
    if not 0 <= payee.units_wei <= MOST_UNITS:
        raise BadAmount(f"An amount of {payee.units_wei} units does not fit into a batch.")
    return payee.units_wei << 160 | int(payee.to, 16)


def _word(number: int) -> str:
    return f"{number:0{_WORD}x}"


def _numbers(log: Log) -> tuple[int, int]:
    digits = log.data.removeprefix("0x")
    return int(digits[:_WORD] or "0", 16), int(digits[_WORD : 2 * _WORD] or "0", 16)
