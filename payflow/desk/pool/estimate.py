"""What paying all who are due would cost, and what batches would save."""

from collections.abc import Sequence
from dataclasses import dataclass

from machines.core.chain import Address
from machines.pool.data import WEI
from payflow.desk.pool.due import Due
from payflow.desk.pool.pool import Pool

PLAIN_GAS = 21_000
BATCHED_GAS = 10_500
"""What a payment takes in a batch of a hundred, to an account that exists."""
LEAST_BATCH = 3
MOST_ASKED = 200
"""Of so many it is asked whether they exist; of more, as many in a hundred will."""


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
