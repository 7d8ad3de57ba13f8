"""A store of an older version, which kept no rails' side, is opened once: shown before, and then both sides agree."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import pytest

from machines.core.clock import Millis
from machines.core.errors import Conflict
from machines.core.facts import Fact, Override
from machines.core.ids import RecordId
from machines.core.machine import AnyMachine
from machines.core.rail_share import FINE, RailPart
from payflow.store import keys
from payflow.store.ledger import RAILS_OPENED
from payflow.store.opening import UNKNOWN
from payflow.store.store import Store
from tests.desk import ANN, BOB, ask, faults, fund, ngn, tell, think
from tests.errand import Approved, Cancelled, Done, NotDone, Sent

PLACE = ("test", "NGN")


@contextmanager
def older(store: Store) -> Iterator[None]:
    """Let everything be written as a version does that knows of no rails' side."""
    machines = list(store.records.machines.values())
    store.serve([_without(machine) for machine in machines])
    try:
        yield
    finally:
        store.serve(machines)


def _without(machine: AnyMachine) -> AnyMachine:
    old = copy(machine)
    object.__setattr__(old, "rail_share", None)
    return old


async def business(store: Store) -> dict[str, RecordId]:
    """Leave records in many states, one of them archived, and the oldest postings put away."""
    await fund(store, units=1_000)
    await fund(store, units=1_000, owner=BOB)
    made = {}
    for name, units, owner, facts in (
        ("asked", 1, ANN, ()),
        ("sending", 20, ANN, (Approved(), Sent())),
        ("done", 30, ANN, (Approved(), Sent(), Done("proof"))),
        ("bobs", 40, BOB, (Approved(), Sent(), Done("proof"))),
        ("failed", 50, BOB, (Approved(), Sent(), NotDone("no"))),
        ("late", 60, BOB, (Approved(), Sent(), NotDone("no"), Cancelled(), Done("there it was"))),
        ("archived", 70, ANN, (Approved(), Sent(), Done("proof"))),
    ):
        made[name] = await ask(store, owner, units, key=name)
        for fact in facts:
            await tell(store, made[name], fact)
    raw = await store.archive.read(made["archived"])
    assert raw is not None
    assert await store.archive.remove(raw, "file", await store.records.now())
    for shard in range(store.records.shards):
        assert await store.archive.fold(shard, (await store.archive.postings(shard, Millis(2**60)))[:4])
    return made


@pytest.fixture
async def made(store: Store) -> dict[str, RecordId]:
    """A store that an older version wrote."""
    with older(store):
        made = await business(store)
    await store.link.ask("HDEL", keys.META, RAILS_OPENED)
    return made


async def settled(store: Store) -> tuple[int, int]:
    """What is in flight and what is settled, in units; the whole ledger must be in order."""
    assert await faults(store) == []
    account = (await store.ledger.rails())[PLACE]
    return account.fine(RailPart.IN_FLIGHT) // FINE, account.fine(RailPart.SETTLED) // FINE


async def test_before_it_is_opened_nothing_is_said_of_both_sides_and_nothing_is_broken(
    store: Store, made: dict[str, RecordId]
) -> None:
    assert await faults(store) == []
    report = await store.ledger.check()
    assert (report.rails_opened, report.conserved, report.rails) == (False, True, {})
    await tell(store, made["sending"], Done("proof"))
    assert await settled(store) == (0, 20), "what moves posts itself"


async def test_what_is_shown_is_what_is_posted_and_then_both_sides_agree(
    store: Store, made: dict[str, RecordId]
) -> None:
    shown = await store.opening.preview()
    assert await store.ledger.rails() == {}, "nothing is written by looking"
    done = await store.opening.post()
    assert (shown.records, dict(shown.rails)) == (done.records, dict(done.rails))
    assert done.records == 5
    assert await settled(store) == (20, 30 + 40 + 60 + 70)
    assert (await store.ledger.check()).rails_opened
    assert set(done.rails) == {PLACE}
    again = await store.opening.post()
    assert (again.records, dict(again.rails)) == (0, {}), "it is posted once"


async def test_what_it_was_opened_with_goes_on_as_if_it_had_always_been_there(
    store: Store, made: dict[str, RecordId]
) -> None:
    await store.opening.post()
    await tell(store, made["sending"], NotDone("no"))
    assert await store.archive.bring_back(made["archived"], "olu", "the bank sent it back")
    assert await settled(store) == (0, 200)
    for name in ("done", "archived"):
        await tell(store, made[name], Override("CANCELLED", "it came back", "rita", "olu"))
    assert await settled(store) == (0, 100)


async def test_it_may_be_opened_by_two_at_once_while_records_move_on(store: Store, made: dict[str, RecordId]) -> None:
    async def told(name: str, fact: Fact) -> None:
        try:
            await told_once(name, fact)
        except Conflict:
            await told_once(name, fact)

    async def told_once(name: str, fact: Fact) -> None:
        await tell(store, made[name], fact)

    await asyncio.gather(
        store.opening.post(), store.opening.post(), told("sending", Done("proof")),
        told("late", Override("CANCELLED", "it came back", "rita", "olu")),
    )  # fmt: skip
    assert await settled(store) == (0, 20 + 30 + 40 + 70)


@pytest.mark.parametrize(("name", "fact"), [("sending", Done("proof")), ("late", Override("CANCELLED", "b", "r", "o"))])
async def test_what_was_read_before_it_was_opened_is_not_posted_twice(
    store: Store, made: dict[str, RecordId], name: str, fact: Fact
) -> None:
    read = await store.records.read(made[name])
    await store.opening.post()
    with pytest.raises(Conflict):
        await think(store, read, fact)
    await tell(store, made[name], fact)
    assert await settled(store) == ((0, 220) if name == "sending" else (20, 140))


async def test_an_opening_that_died_half_way_is_gone_on_with(
    store: Store, made: dict[str, RecordId], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = store.link.run, 0

    async def dies(script: object, *words: object) -> object:
        nonlocal calls
        calls += getattr(script, "name", "") == "open_rails"
        if calls > 1:
            raise ConnectionError("somebody pulled the plug")
        return await run(script, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(store.link, "run", dies)
    with pytest.raises(ConnectionError):
        await store.opening.post()
    monkeypatch.undo()
    assert not (await store.ledger.check()).rails_opened
    await store.opening.post()
    assert await settled(store) == (20, 200)


async def test_what_no_record_accounts_for_is_said_to_be_of_an_unknown_rail(
    store: Store, made: dict[str, RecordId]
) -> None:
    with older(store):
        await store.records.fund(ANN, ngn(300), "in")
        for shard, words in ((store.records.owner_shard(ANN), f"{ANN} NGN available paid 300 0 "),):
            cause = "corrected by rita and olu: it was paid by hand"
            seal = store.records.macs.seal_posting((ANN, "NGN", "available", "paid", "300", cause), 1)
            await store.link.ask("XADD", keys.journal(shard), "*", "e", f"{words}{cause}{seal}")
            await store.link.ask("HINCRBY", keys.account(shard, ANN), "NGN.available", -300)
            await store.link.ask("HINCRBY", keys.account(shard, ANN), "NGN.paid", 300)
    shown = await store.opening.preview()
    assert shown.rails[UNKNOWN, "NGN"].fine(RailPart.SETTLED) == 300 * FINE
    assert dict(shown.rails) == dict((await store.opening.post()).rails)
    assert await settled(store) == (20, 200)


async def test_what_an_older_process_moves_afterwards_is_found_and_posted_by_opening_it_once_more(
    store: Store, made: dict[str, RecordId]
) -> None:
    await store.opening.post()
    with older(store):
        await tell(store, made["sending"], Done("proof"))
    said = " ".join(await faults(store))
    assert "owners' accounts say" in said
    assert "what is posted of it on its rail's side" in " ".join(
        [fault.problem async for fault in store.integrity.verify()]
    )
    await store.opening.post()
    assert await settled(store) == (0, 220)
