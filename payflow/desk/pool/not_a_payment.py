"""Counting what the pool's address sent as no miner's payment: a person's word against the chain's, so it takes two.

What the chain or our own store proves is booked on one operator's word. Whoever says that a transaction to a miner was
something else has the miner paid as if it had not been: were that wrong, they would be paid twice.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from machines.pool.data import WEI
from payflow.desk.dual_control import DualControl, Verb
from payflow.desk.person import Person
from payflow.store.registers.proposals import Proposal

if TYPE_CHECKING:
    from payflow.desk.pool.outside import Stray

NO_PAYMENT = "pool transaction"


class Disowns(Protocol):
    """Opens the books of a pool, and writes there that a transaction was something else."""

    @property
    def coins(self) -> Collection[str]:
        """Whose books can be opened here."""

    async def disown(self, coin: str, login: str, tx: TxHash, who: str) -> str:
        """Do it, and say what was done; `Conflict` where nobody asks about that transaction any more."""


def verb(pools: Disowns | None) -> Verb:
    """Give what a second person confirms; without pools it can be proposed here and read, and confirmed elsewhere."""

    def opened(one: Proposal) -> Disowns:
        coin = one.subject.partition("/")[0]
        if pools is None or coin not in pools.coins:
            raise BadInput(
                f"No file names the pool {coin[:40]} here, so nothing was done, and it stays proposed: name its file "
                "in PAYFLOW_POOLS, or in PAYFLOW_POOL_CONFIG, then confirm it again."
            )
        return pools

    async def do(one: Proposal, second: Person) -> str:
        coin, _, tx = one.subject.partition("/")
        return await opened(one).disown(coin, one.seen["login"], TxHash(tx), f"{one.by} and {second.name}")

    return Verb(NO_PAYMENT, says, do, opened)


def says(one: Proposal) -> list[str]:
    """Say what would be written."""
    coin, _, tx = one.subject.partition("/")
    return [
        f"{tx} sent {one.seen['sent']} Shannon from the pool's address ({coin}), and concerns {one.seen['login']}.",
        f"It counts as no payment to them: what {one.seen['login']} is owed stays, and the next run pays it.",
        "If it was their payment after all, they are paid twice. Nothing on the chain tells.",
    ]


def chosen(strays: "Sequence[Stray]", other: Sequence[TxHash]) -> "list[Stray]":
    """Give those of the transactions that nobody knows of that were named, or refuse what is none of them."""
    found = {one.seen.hash: one for one in strays}
    strange = [tx for tx in other if tx not in found]
    if strange:
        raise BadInput(f"{strange[0]} is none of the transactions that nobody knows of: nothing was changed.")
    return [found[tx] for tx in dict.fromkeys(other)]


async def propose(two: DualControl, coin: str, stray: "Stray", reason: str, person: Person) -> Proposal:
    """Put one transaction before a second person."""
    seen = {"login": stray.login, "sent": str(stray.seen.value_wei // WEI)}
    return await two.propose(NO_PAYMENT, f"{coin}/{stray.seen.hash}", seen, reason, person)
