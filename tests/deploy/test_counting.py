"""Figures that rules rest on: calls to rails, the verdict on the books, what is too old at which rail."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from machines.core.errors import Contradiction, OutcomeUnknown, PutOff, RailClosed, Rejected, Retryable
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Payment, PaymentKey, Status, Unsent
from payflow.desk.books import Bookkeeper
from payflow.desk.metering import Watched
from payflow.store.ledger import LedgerCheck
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.http.probes import read_gauges
from tests.desk import ANN, ask, fund
from tests.waiting import wait_until

PAYMENT = Payment(PaymentKey("key"), Destination("bank", ()), Money(1, NGN))


class Moody:
    """A rail that raises what it is told to."""

    mood: BaseException | None = None

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Hand over."""
        if self.mood is not None:
            raise self.mood
        return "handle"

    async def status(self, payment: Payment) -> Status:
        """Look."""
        if self.mood is not None:
            raise self.mood
        return Unsent()


def count(registry: CollectorRegistry, call: str, outcome: str) -> float | None:
    """How often a call came to an outcome."""
    labels = {"rail": "moody", "call": call, "outcome": outcome}
    return registry.get_sample_value("payflow_rail_call_seconds_count", labels)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[list[dict[str, object]]]:
    """Keep the log off the screen."""
    with capture_logs() as logged:
        yield logged  # type: ignore[misc]


@pytest.mark.parametrize(
    ("mood", "outcome"),
    [
        (Retryable(), "retryable"),
        (RailClosed(rail="moody"), "closed"),
        (PutOff("our own budget"), "put_off"),
        (Rejected(), "refused"),
        (OutcomeUnknown(), "unknown"),
        (Contradiction(rail="moody"), "contradiction"),
        (ZeroDivisionError(), "bug"),
    ],
)
async def test_a_call_to_a_rail_is_counted_by_what_came_of_it(mood: Exception, outcome: str) -> None:
    metrics, rail = Metrics(), Moody()
    watched = Watched("moody", rail, metrics)
    assert await watched.submit(PAYMENT) == "handle"
    assert await watched.status(PAYMENT) == Unsent()
    rail.mood = mood
    with pytest.raises(type(mood)):
        await watched.submit(PAYMENT)
    assert count(metrics.registry, "submit", "answered") == 1
    assert count(metrics.registry, "status", "answered") == 1
    assert count(metrics.registry, "submit", outcome) == 1


async def test_a_call_that_was_cut_off_is_not_counted() -> None:
    metrics, rail = Metrics(), Moody()
    rail.mood = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await Watched("moody", rail, metrics).submit(PAYMENT)
    assert count(metrics.registry, "submit", "answered") is None


async def test_one_worker_of_all_walks_over_the_books_and_everybody_tells_what_it_found(
    store: Store, quiet: list[dict[str, object]]
) -> None:
    await fund(store)
    keeper, beside = Bookkeeper(store, 3600, 3600), Bookkeeper(store, 3600, 3600)
    first = await keeper.check_in_turn()
    assert first is not None
    assert first.conserved
    assert await beside.check_in_turn() is None, "it is nobody's turn"
    told = (await read_gauges(store)).registry
    assert told.get_sample_value("payflow_ledger_conserved") == 1
    await store.link.ask("HSET", f"{{pf:{store.records.owner_shard(ANN):02d}}}:acct:ann", "NGN.available", "5")
    store.records._clock.advance(3601)  # type: ignore[union-attr]  # noqa: SLF001  (the fixture's clock obeys)
    again = await keeper.check_in_turn()
    assert again is not None
    assert not again.conserved
    told = (await read_gauges(store)).registry
    assert told.get_sample_value("payflow_ledger_conserved") == 0
    assert [line["action"] for line in quiet] == ["not_conserved"]
    await store.link.ask("HSET", f"{{pf:{store.records.owner_shard(ANN):02d}}}:acct:ann", "NGN.available", "1000000")


async def test_before_the_first_walk_nothing_is_said_to_be_wrong(store: Store) -> None:
    assert await store.ledger.last_check() is None
    assert (await read_gauges(store)).registry.get_sample_value("payflow_ledger_conserved") == 1
    verdict = LedgerCheck(await store.records.now(), conserved=False)
    await store.ledger.remember(verdict)
    assert await store.ledger.last_check() == verdict


async def test_a_pause_tells_its_age_and_a_state_its_facts(store: Store) -> None:
    await fund(store)
    await ask(store)
    await store.pauses.pause("rail:x", "olu", "why", await store.records.now())
    store.records._clock.advance(90)  # type: ignore[union-attr]  # noqa: SLF001
    told = (await read_gauges(store)).registry
    assert told.get_sample_value("payflow_pause_age_seconds", {"scope": "rail:x"}) == 90
    facts = {"machine": "errand", "state": "SENDING", "by": "poller", "sends": "yes", "final": "no"}
    assert told.get_sample_value("payflow_state", facts) == 1
    facts = {"machine": "errand", "state": "DONE", "by": "nobody", "sends": "no", "final": "yes"}
    assert told.get_sample_value("payflow_state", facts) == 1


async def test_books_that_cannot_be_read_stop_sends_and_not_the_worker(
    store: Store, quiet: list[dict[str, object]]
) -> None:
    await fund(store)
    key = f"{{pf:{store.records.owner_shard(ANN):02d}}}:acct:ann"
    await store.link.ask("HSET", key, "NGN.available", "much")
    watching = asyncio.create_task(Bookkeeper(store, 3600, 3600).run())

    async def paused() -> bool:
        return "machine:errand" in await store.pauses.all()

    await wait_until(paused, "what is in our books is paused")
    assert not watching.done()
    assert quiet[0]["action"] == "not_conserved"
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await store.link.ask("HSET", key, "NGN.available", "1000000")
