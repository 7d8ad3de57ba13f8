"""Who of a pool's miners is due, what paying them would cost, and what batches would save."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from adapters.open_ethereum_pool.books import Payee, address_of
from machines.core.chain import Address
from machines.core.errors import BadInput
from machines.core.money import MAX_UNITS
from machines.pool.data import WEI
from payflow.desk.pool.pool import Pool

log = structlog.get_logger()

PLAIN_GAS = 21_000
BATCHED_GAS = 10_500
"""What a payment takes in a batch of a hundred, to an account that exists."""
LEAST_BATCH = 3
MOST_ASKED = 200
"""Of so many it is asked whether they exist; of more, as many in a hundred will."""


@dataclass(frozen=True, slots=True)
class Due:
    """A miner who has reached his threshold."""

    login: str
    to: str
    shannon: int


async def due(pool: Pool, say: Callable[[str], None] = lambda _: None) -> list[Due]:
    """List who has reached the threshold, the smallest sum first; what cannot be paid is said and left alone."""
    found = []
    for payee in await pool.books.payees(pool.config.threshold):
        try:
            one = reached(pool, payee)
        except BadInput as error:
            say(f"Skipped {payee.login[:60]!r}: {error}")
            log.warning("A miner cannot be paid.", action="pool_payee", why=str(error))
        else:
            found += [one] if one else []
    return sorted(found, key=lambda one: (one.shannon, one.login))


def reached(pool: Pool, payee: Payee) -> Due | None:
    """Say whether a miner is due; `BadInput` where his balance or his login cannot be used."""
    digits = payee.balance.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal():
        raise BadInput(f"his balance is {payee.balance[:40]!r}, which is no whole number of Shannon.")
    shannon, threshold = int(payee.balance), payee.threshold
    if shannon < threshold or (shannon == threshold and not pool.config.reached):
        return None
    if shannon > MAX_UNITS:
        raise BadInput(f"his balance is {payee.balance[:40]} Shannon, more than there can be.")
    if shannon * WEI <= pool.config.charge_wei:
        raise BadInput(f"his balance is {shannon} Shannon, less than what is kept back for the network.")
    return Due(payee.login, address_of(payee.login), shannon)


@dataclass(frozen=True, slots=True)
class Cost:
    """About what it would cost."""

    fee_wei: int
    """One by one."""
    gas_saved: int
    saved_wei: int

    def saved(self, *, batches: bool) -> str:
        """Say what batches would save, or why they would not."""
        if not self.gas_saved:
            return "Batches would save nothing: they are cheaper only for several addresses that exist already."
        how = "this lane sends batches" if batches else "set pay_many for the lane"
        return f"Batches save about {self.gas_saved} gas of it, {self.saved_wei // WEI} Shannon: {how}."


async def estimate(pool: Pool, payees: Sequence[Due]) -> Cost:
    """Estimate it, as the chain is now."""
    gas_wei, asked = await pool.gas_wei(), payees[:MOST_ASKED]
    known = [one for one in asked if await pool.lane.chain.known(Address(one.to))]
    exist = len(known) * len(payees) // len(asked) if asked else 0
    saved = exist * (PLAIN_GAS - BATCHED_GAS) if exist >= LEAST_BATCH else 0
    return Cost(gas_wei * len(payees), saved, gas_wei * saved // PLAIN_GAS)


@dataclass(frozen=True, slots=True)
class Dues:
    """Who would be paid now, and what that would cost."""

    payees: Sequence[Due]
    skipped: Sequence[str]
    """Who cannot be paid, and why."""
    cost: Cost

    @property
    def total(self) -> int:
        """What all of them would get, in Shannon."""
        return sum(one.shannon for one in self.payees)

    def says(self, *, batches: bool) -> list[str]:
        """Tell how much it is, what it costs, what batches save, and who is left out."""
        shannon = self.cost.fee_wei // WEI
        whole = f"{self.total} Shannon to {len(self.payees)} payees; the network takes about {shannon} Shannon"
        return [f"{whole}, one by one.", self.cost.saved(batches=batches), *self.skipped]


async def dues(pool: Pool) -> Dues:
    """Look who would be paid now, and what it would cost."""
    skipped: list[str] = []
    payees = await due(pool, skipped.append)
    return Dues(payees, skipped, await estimate(pool, payees))
