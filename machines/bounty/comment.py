"""The one comment on an issue: what it says in each state. Others read its lines, so their words stay."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from machines.bounty import lifecycle as s
from machines.bounty.data import BountyData, BountyRecord, Doubt
from machines.core.clock import SECOND
from machines.core.wallets import ETHER, Holding

NETWORKS = {1: "Mainnet", 11155111: "Testnet (Sepolia)", 17000: "Testnet (Holesky)", 560048: "Testnet (Hoodi)"}
PENDING = "Status: Pending maintainer confirmation"
TWO_DECIMALS = 2
DOUBTED = {
    Doubt.REOPENED: "**Attention:** the issue was opened again after the merge.",
    Doubt.REVERTED: "**Attention:** the merged work was taken back since.",
}


@dataclass(frozen=True, slots=True)
class CommentWriter:
    """Writes comments for one server and one chain."""

    server: str
    """Where people reach Payflow, without a slash at the end."""
    chain_id: int
    explorer: str = "https://etherscan.io"

    def comment(self, record: BountyRecord) -> str:
        """Write it; a sweep has none of its own."""
        if record.data.sweep_of:
            return ""
        lines = [*self._lines(record), *self._address_changes(record)]
        return "\n".join([f"<!-- payflow {record.id} -->", *(line for line in lines if line)]) + "\n"

    def _lines(self, record: BountyRecord) -> list[str]:
        data = record.data
        balance = self._balance(data)
        more = f"Visit {self.server}/bounties to learn more."
        hands = self._hands(record)
        empty = "" if data.holdings else "The contract holds nothing yet: it is paid once it is funded."
        confirming = [*balance, PENDING, f"Winner: {data.winner_login}", empty, *hands, more]
        said = {
            s.OPENING: self._deploying(data),
            s.OPEN: self._opened(record),
            s.CLOSED: [*balance, f"Status: {self._closed(data)}", more],
            s.AWAITING_ADDRESS: [
                *balance,
                "Status: Pending user to save ETH address",
                *self._asked(data),
                *hands,
                more,
            ],
            s.CONTESTED: [*balance, "Status: Pending decision by a person", more],
            s.REVOKING: [*balance, f"Status: Pending refund to {data.refund_to}", *hands, more],
            s.PAID: [*self._paid(data), f"Paid to: {data.winner_login}", *self._receipt(data), *hands, more],
            s.REFUNDED: [*self._paid(data), f"Refunded to: {data.refund_to}", *self._receipt(data), *hands, more],
        }
        return said.get(record.state, confirming)

    def _deploying(self, data: BountyData) -> list[str]:
        hash_ = data.transaction_hash
        sent = f"Transaction: [{hash_}]({self.explorer}/tx/{hash_})" if hash_ else ""
        waits = f"Status: waiting for {data.waiting_for}" if data.waiting_for and not hash_ else ""
        return ["Contract deploying", sent, waits]

    def _opened(self, record: BountyRecord) -> list[str]:
        lines = self._balance(record.data, "Current balance")
        lines.insert(len(lines) - 1, f"![QR code of the contract address]({self.server}{qr_path(record)})")
        return [
            *lines,
            f"To get paid for solving this, save your address at {self.server}/bounties (`My Payment Details`).",
            "To fund it, send ETH or one of the tokens that are accepted here to the contract address.",
        ]

    def _balance(self, data: BountyData, name: str = "Balance") -> list[str]:
        address = data.contract_address
        place = f"Contract address: [{address}]({self.explorer}/address/{address})" if address else ""
        network = NETWORKS.get(self.chain_id, f"Testnet (chain {self.chain_id})")
        return [*_amounts(data.holdings, name), place, f"Network: {network}"]

    def _paid(self, data: BountyData) -> list[str]:
        """What was paid, and not what is left: the one thing that a reader asks."""
        moved = data.attempts[-1].proposal.holdings if data.attempts else ()
        return self._balance(replace(data, holdings=moved))

    def _receipt(self, data: BountyData) -> list[str]:
        return [f"Receipt: [{data.payout_hash}]({self.explorer}/tx/{data.payout_hash})"] if data.payout_hash else []

    def _asked(self, data: BountyData) -> list[str]:
        again = f" (reminder {data.reminders})" if data.reminders else ""
        return [
            f"Winner: {data.winner_login}",
            f"@{data.winner_login}: save your address at {self.server}/bounties to be paid.{again}",
            f"Waits for {data.waiting_for}." if data.waiting_for else "",
        ]

    def _address_changes(self, record: BountyRecord) -> list[str]:
        """Name no address: it may be a thief's."""
        data, place = record.data, f"{self.server}/bounties"
        return [
            f"@{data.claimants[person]}: another address of yours counts from {day_of(counts_from)} on; until then the "
            f"one that you signed for does. If it was not you who saved it, take it back at {place}."
            for person, counts_from in data.address_changes
            if record.state in s.UNFIXED and person in data.claimants
        ]

    @staticmethod
    def _closed(data: BountyData) -> str:
        why = data.gone or ("closed without a merge" if not data.issue_open else "no longer labelled as a bounty")
        if not data.holdings:
            return f"{why}."
        return f"{why}. The contract still holds funds: a maintainer can give them back to who funded it."

    def _hands(self, record: BountyRecord) -> list[str]:
        """Say out loud what nobody may do silently, and how it goes on."""
        data = record.data
        if record.state in (s.PAID, s.REFUNDED):
            text = "What came in since is paid to nobody: a maintainer gives it back to who put it in."
            return [f"**Opened again, or labelled anew, after this was over.** {text}"] if data.second_round else []
        if not open_question(record):
            return []
        doubts = [] if data.refund_to else [DOUBTED[doubt] for doubt in data.doubts]
        held = [] if data.hand_wanted != data.question else [self._held(data)]
        since = f" (since {day_of(data.told_at)})" if data.told_about == data.question else ""
        return [
            *doubts,
            *held,
            f"Another owner of the contract says at {self.server}/bounties that it goes on.",
            f"Where there is none, an operator does, or it goes on seven days after this was first said here{since}.",
        ]

    @staticmethod
    def _held(data: BountyData) -> str:
        if data.refund_to:
            return "**Held back:** this address did not put the money in, so two owners must ask for it."
        return "" if data.doubts else f"**Held back:** {data.winner_login} is an owner of this contract."


def open_question(record: BountyRecord) -> str:
    """Give the question for another hand that the comment puts; empty where it puts none."""
    data = record.data
    held = record.state in (s.MERGED, s.EXECUTED, s.REVOKING) and data.hand_wanted == data.question
    doubted = record.state in (s.MERGED, s.AWAITING_ADDRESS, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING) and data.doubts
    return data.question if (held or doubted) and not data.sweep_of else ""


def day_of(at: int) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y-%m-%d}"


def qr_path(record: BountyRecord) -> str:
    """Say where the picture of the address is: a new place per balance, because forges keep pictures for long."""
    data = record.data
    content = "|".join([data.contract_address, *(f"{one.token}:{one.units}" for one in data.holdings)])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return f"/qr/{data.place.name}/bounty/{data.place.number}/{record.id}.{digest}/qr.png"


def _amounts(holdings: tuple[Holding, ...], name: str) -> list[str]:
    ether = next((one.decimal for one in holdings if one.token == ETHER), "0")
    tokens = " ".join(f"{one.symbol}: {_padded(one.decimal)}" for one in holdings if one.token != ETHER)
    return [f"{name}: {ether} ETH", f"Tokens: {tokens}" if tokens else ""]


def _padded(decimal: str) -> str:
    whole, _, fraction = decimal.partition(".")
    return f"{whole}.{fraction.ljust(TWO_DECIMALS, '0')}"
