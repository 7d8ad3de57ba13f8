"""A pool pays what a run found due, and nothing that was written into the store beside it."""

from dataclasses import replace
from typing import Any

import pytest

from machines.core.errors import Unapproved
from machines.core.money import ETH, Money
from machines.pool import lifecycle as s
from machines.pool.acts import PayingPool, PoolActs
from machines.pool.data import PoolRecord, shannon_of
from machines.pool.permit import with_permit
from payflow.store.permits import PermitKeys
from tests.machines.pool.test_acts import Ports
from tests.machines.pool.test_react import payment

SIGNER = PermitKeys(["made up for approvals alone"], ["made up for permits alone"], [])


def due(state: str) -> PoolRecord:
    """A payment that a run found due."""
    record = payment(state)
    return replace(record, data=with_permit(SIGNER, record.id, record.data, shannon_of(record)))


@pytest.mark.parametrize("state", [s.DUE, s.DEBITED])
async def test_what_a_run_found_due_is_debited_and_handed_to_the_lane(state: str) -> None:
    ports = Ports()
    await PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, SIGNER).acts()[state](due(state), ports)


@pytest.mark.parametrize("state", [s.DUE, s.DEBITED])
@pytest.mark.parametrize(
    "changes", [{"to": "0x" + "1" * 40}, {"charge_wei": "-1"}, {"permit": ""}, {"run": "another"}], ids=str
)
async def test_what_was_changed_or_written_by_hand_is_neither(state: str, changes: dict[str, Any]) -> None:
    ports, record = Ports(), due(state)
    forged = replace(record, data=replace(record.data, **changes))
    more = replace(record, amount=Money(shannon_of(record) + 1, ETH))
    acts = PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, SIGNER).acts()
    for one in (forged, more):
        with pytest.raises(Unapproved, match="No run found it due"):
            await acts[state](one, ports)
