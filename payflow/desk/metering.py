"""Counts and times every call to a rail, whichever rail it is."""

from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from machines.core.clock import SECOND
from machines.core.errors import Contradiction, OutcomeUnknown, PutOff, RailClosed, Rejected, Retryable
from machines.core.ports import Payment, Rail, Status
from machines.transaction.ports import LaneView
from payflow.desk.gateways import GatewaySetup
from payflow.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from adapters.ethereum.node import Nodes

T = TypeVar("T")

# The first that fits: `RailClosed` and `PutOff` are `Retryable`.
_OUTCOMES: tuple[tuple[type[Exception], str], ...] = (
    (RailClosed, "closed"),
    (PutOff, "put_off"),
    (Retryable, "retryable"),
    (Rejected, "refused"),
    (OutcomeUnknown, "unknown"),
    (Contradiction, "contradiction"),
)


def metered(metrics: Metrics, setups: Mapping[str, GatewaySetup]) -> Mapping[str, GatewaySetup]:
    """Give the same gateways with rails that are watched."""
    for name in setups:
        for call in ("submit", "status"):
            # Prometheus sees no increase in a series that is born with its first event, and this one must be seen.
            metrics.rail_calls.labels(name, call, "contradiction")
    return {
        name: replace(
            setup,
            rail=Watched(name, setup.rail, metrics),
            watching=setup.watching and Watched(name, setup.watching, metrics),
            asking=setup.asking and Watched(name, setup.asking, metrics),
        )
        for name, setup in setups.items()
    }


@dataclass(frozen=True, slots=True)
class Watched:
    """A rail whose calls are counted."""

    name: str
    rail: Rail
    metrics: Metrics

    async def prepare(self, payment: Payment) -> Payment:
        """Prepare."""
        return await self._counted("prepare", self.rail.prepare(payment))

    async def submit(self, payment: Payment) -> str | None:
        """Hand over."""
        return await self._counted("submit", self.rail.submit(payment))

    async def status(self, payment: Payment) -> Status:
        """Look."""
        return await self._counted("status", self.rail.status(payment))

    async def _counted(self, call: str, doing: Awaitable[T]) -> T:
        """Time a call and note what came of it; a call that was cut off when we stopped is not counted."""
        begun = perf_counter()
        try:
            answer = await doing
        except Exception as error:
            outcome = next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "bug")
            self.metrics.rail_calls.labels(self.name, call, outcome).observe(perf_counter() - begun)
            raise
        self.metrics.rail_calls.labels(self.name, call, "answered").observe(perf_counter() - begun)
        return answer


class LaneMeter:
    """Writes down what a lane and its nodes do."""

    def __init__(self, metrics: Metrics, lane: str, nodes: "Nodes") -> None:
        self._metrics = metrics.lanes
        self._metrics.without_quorum.labels(lane).set_function(lambda: float(nodes.without_quorum))
        self._nodes = nodes
        self._counted: Counter[tuple[str, str]] = Counter()

    def looked(self, view: LaneView) -> None:
        """Tell what a look at the lane saw."""
        lanes = self._metrics
        lanes.next_nonce.labels(view.lane).set(view.next_nonce)
        lanes.fee_paid.labels(view.lane)  # born before their first increase, which Prometheus would not see otherwise
        lanes.bumps.labels(view.lane)
        lanes.in_flight.labels(view.lane).set(view.in_flight)
        lanes.balance.labels(view.lane).set(view.balance_wei)
        lanes.waiting_money.labels(view.lane).set(int(view.lacks_money))
        lanes.capped.labels(view.lane).set(int(view.capped))
        oldest_s = (view.now - view.oldest_unmined_at) / SECOND if view.oldest_unmined_at else 0
        lanes.oldest_unmined.labels(view.lane).set(oldest_s)
        for node in self._nodes.figures():
            lanes.node_lag.labels(node.name).set(node.lag_blocks)
            for kind, count in node.errors.items():
                lanes.node_errors.labels(node.name, kind).inc(count - self._counted[node.name, kind])
                self._counted[node.name, kind] = count

    def bumped(self, lane: str) -> None:
        """Count a better offer."""
        self._metrics.bumps.labels(lane).inc()

    def finished(self, lane: str, fee_wei: int) -> None:
        """Count what a transaction cost."""
        self._metrics.fee_paid.labels(lane).inc(fee_wei)
