"""Counts and times every call to a rail, whichever rail it is."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol, TypeVar

from machines.core.clock import SECOND
from machines.core.errors import Contradiction, OutcomeUnknown, PutOff, RailClosed, Rejected, Retryable
from machines.core.ports import Payment, Rail, Status
from machines.transaction.ports import LaneView
from payflow.desk.gateways import GatewaySetup
from payflow.telemetry.metrics import Metrics

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


class LaneNodes(Protocol):
    """The nodes of a lane."""

    @property
    def without_quorum(self) -> bool:
        """Whether too few of them agreed when they were last asked, lately."""

    def figures(self) -> Sequence["NodeFigures"]:
        """Tell what each node was asked and how it did."""


class NodeFigures(Protocol):
    """What one node was asked, and how it did."""

    @property
    def name(self) -> str:
        """Its host and port."""

    @property
    def errors(self) -> Counter[str]:
        """Its failures by kind, since this process began."""

    @property
    def lag_blocks(self) -> int:
        """How far it was behind the best when it was looked at last."""


class Meter:
    """Puts itself around rails."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def around(self, setups: Mapping[str, GatewaySetup]) -> Mapping[str, GatewaySetup]:
        """Give the same gateways with rails that are watched."""
        for name in setups:
            for call in ("submit", "status"):
                # Prometheus sees no increase in a series that is born with its first event, and this one must be seen.
                self._metrics.rail_calls.labels(name, call, "contradiction")
        return {
            name: replace(
                setup,
                rail=Watched(name, setup.rail, self),
                watching=setup.watching and Watched(name, setup.watching, self),
                asking=setup.asking and Watched(name, setup.asking, self),
            )
            for name, setup in setups.items()
        }

    @contextmanager
    def timed(self, rail: str, call: str) -> Iterator[None]:
        """Time a call and note what came of it; a call that was cut off when we stopped is not counted."""
        begun = perf_counter()
        try:
            yield
        except Exception as error:
            outcome = next((name for kind, name in _OUTCOMES if isinstance(error, kind)), "bug")
            self._count(rail, call, outcome, perf_counter() - begun)
            raise
        self._count(rail, call, "answered", perf_counter() - begun)

    def _count(self, rail: str, call: str, outcome: str, seconds: float) -> None:
        self._metrics.rail_calls.labels(rail, call, outcome).observe(seconds)

    def around_lane(self, lane: str, nodes: LaneNodes) -> "LaneMeter":
        """Give what a lane tells its doings to."""
        self._metrics.lanes.without_quorum.labels(lane).set_function(lambda: float(nodes.without_quorum))
        return LaneMeter(self._metrics, nodes.figures)


@dataclass(frozen=True, slots=True)
class Watched:
    """A rail whose calls are counted."""

    name: str
    rail: Rail
    meter: Meter

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
        with self.meter.timed(self.name, call):
            return await doing


class LaneMeter:
    """Writes down what a lane and its nodes do."""

    def __init__(self, metrics: Metrics, nodes: Callable[[], Sequence[NodeFigures]]) -> None:
        self._metrics = metrics.lanes
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
        oldest_s = (view.now - view.oldest_unmined_at) / SECOND if view.oldest_unmined_at else 0
        lanes.oldest_unmined.labels(view.lane).set(oldest_s)
        for node in self._nodes():
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
