"""The parts of Payflow as one process of a run has them: its own connection and its own memory, the same store."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from machines.core.clock import Clock
from machines.core.errors import BadInput
from machines.payout.data import PayoutRecord
from payflow.app.payouts import Payouts
from payflow.config import Settings
from payflow.desk.gateways import GatewaySetup
from payflow.desk.payouts import Desk
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.guard import Guard
from payflow.store.integrity import Integrity
from payflow.store.ledger import Ledger
from payflow.store.link import Link
from payflow.store.listing import Listing
from payflow.store.pauses import Pauses
from payflow.store.records import Records
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

OLGA, OMAR = Person("olga", Role.OPERATOR), Person("omar", Role.OPERATOR)
RITA = Person("rita", Role.REVIEWER)


@dataclass(frozen=True, slots=True)
class Installation:
    """What one process works with."""

    store: Store
    payouts: Payouts
    setups: Mapping[str, GatewaySetup]
    metrics: Metrics
    desk: Desk
    steering: Steering

    async def override(self, record: PayoutRecord, to: str, reason: str, *, by_two: bool) -> None:
        """Put a payout into a state, as one operator may, or two."""
        try:
            await self.steering.override(record.id, to, reason, OLGA, record.version)
        except BadInput:
            if not by_two:
                raise
            proposal = await self.steering.propose_override(record.id, to, reason, OLGA, record.version)
            await self.steering.two.confirm(proposal.digest, OMAR)


def installed(
    store: Store,
    link: Link,
    settings: Settings,
    setups_over: Callable[[Store], Mapping[str, GatewaySetup]],
    clock: Clock,
    high_water: Path,
    metrics: Metrics,
) -> Installation:
    """Open the parts over a link."""
    guard = Guard(store.records.shards, high_water)
    records = Records(link, guard, store.records.shards, store.records.assets, clock)
    ledger, pauses = Ledger(link, records), Pauses(link)
    memory: dict[str, Any] = {"guard": guard, "records": records, "_comparing": asyncio.Lock()}
    own: Store = replace(
        store,
        settings=settings,
        link=link,
        listing=Listing(link, records),
        integrity=Integrity(link, records),
        ledger=ledger,
        pauses=pauses,
        **memory,
    )
    setups = setups_over(own)
    payouts = Payouts(settings, own, metrics, setups)
    own.serve([payouts.machine])
    return Installation(own, payouts, setups, metrics, payouts.desk, Steering(own, metrics))
