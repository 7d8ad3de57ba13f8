"""A pause stops sends, never looks; what the sequence guard closed, only a reconciliation opens."""

import pytest

from machines.core.errors import BadInput, Paused
from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.store.pauses import Pause, scope_of
from payflow.store.store import Store
from payflow.store.stored import Stored
from tests.desk import LEASE_MS, ask, claim_one, fund, opened, tell, think
from tests.errand import Approved, Sent
from tests.servers import EVERY

NOW = 1_800_000_000_000


@pytest.fixture
async def stored(store: Store) -> Stored:
    """An errand that a worker is about to send."""
    await fund(store)
    record_id: RecordId = await ask(store)
    await tell(store, record_id, Approved())
    await tell(store, record_id, Sent())
    return await claim_one(store, "SENDING")


@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_a_pause_is_seen_by_all_with_who_and_why(store: Store, settings: Settings) -> None:
    assert await store.pauses.all() == {}
    assert await store.pauses.pause("rail:flutterwave", "olu", "key rotation", store.records._clock.now())  # type: ignore[union-attr]  # noqa: SLF001
    async with opened(settings) as other:
        assert await other.pauses.all() == {
            "rail:flutterwave": Pause("rail:flutterwave", "olu", "key rotation", NOW)  # type: ignore[arg-type]
        }
        assert await other.pauses.resume("rail:flutterwave")
    assert await store.pauses.all() == {}
    assert not await store.pauses.resume("rail:flutterwave")


async def test_the_first_reason_stays(store: Store) -> None:
    await store.pauses.pause("everything", "olu", "first", await store.records.now())
    assert not await store.pauses.pause("everything", "eve", "second", await store.records.now())
    assert (await store.pauses.all())["everything"].who == "olu"


@pytest.mark.parametrize("scope", ["everything", "machine:errand", "rail:test", "lane:a/b", "shard:03"])
async def test_a_paused_scope_is_not_sent_through(store: Store, stored: Stored, scope: str) -> None:
    await store.may_send(stored, LEASE_MS, "rail:test", "lane:a/b")
    await store.pauses.pause(scope, "olu", "it is raining", await store.records.now())
    with pytest.raises(Paused, match="it is raining"):
        await store.may_send(stored, LEASE_MS, "rail:test", "lane:a/b")


@pytest.mark.parametrize("scope", ["machine:payout", "rail:ethereum", "lane:c", "shard:02", "rail:tes"])
async def test_another_scope_is_sent_through(store: Store, stored: Stored, scope: str) -> None:
    await store.pauses.pause(scope, "olu", "it is raining", await store.records.now())
    await store.may_send(stored, LEASE_MS, "rail:test", "lane:a/b")


async def test_looks_go_on_while_everything_is_paused(store: Store, stored: Stored) -> None:
    await store.pauses.pause("everything", "olu", "it is raining", await store.records.now())
    await ask(store, key="2")
    assert (await think(store, await claim_one(store), Approved())).state == "READY"


@pytest.mark.parametrize("scope", ["", "nothing", "rail", "rail:", ":x", "everything:x", "Rail:x", "record:x"])
def test_what_cannot_be_paused_is_refused(scope: str) -> None:
    with pytest.raises(BadInput, match="cannot be paused"):
        scope_of(scope)


async def test_what_the_guard_closed_is_not_resumed_by_hand(store: Store) -> None:
    await store.pauses.pause("shard:03", "sequence guard", "lost writes", await store.records.now())
    with pytest.raises(BadInput, match="payflow reconcile"):
        await store.pauses.resume("shard:03")
    assert await store.pauses.resume("shard:03", reconciled=True)
