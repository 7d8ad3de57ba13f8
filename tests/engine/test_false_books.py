"""False books stop sends: of the one whose account is false, or of all where it is not theirs alone."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from machines.core.clock import FixedClock
from machines.core.errors import Paused
from machines.core.ids import Owner
from payflow.desk.books import FEW, Bookkeeper
from payflow.store import keys
from payflow.store.pauses import BOOKS
from payflow.store.store import Store
from payflow.store.stored import Stored
from tests.desk import ANN, BOB, FakeRail, ask, claim, fund, opened, owner_in, settings_for, tell
from tests.engine.office import open_office
from tests.errand import Approved, Done, Sent
from tests.servers import Deployment
from tests.waiting import wait_until

LONG_MS = 600_000
SHARD = 3
CROWD = [Owner(f"crowd{number}") for number in range(FEW + 1)]


def keeper(store: Store) -> Bookkeeper:
    """A worker whose turn it always is."""
    return Bookkeeper(store, 0.001, 3600)


async def look(store: Store, bookkeeper: Bookkeeper | None = None) -> set[str]:
    """Let the books be checked, and give what is paused."""
    store.records._clock.advance(1)  # type: ignore[union-attr]  # noqa: SLF001  (the fixture's clock obeys)
    assert await (bookkeeper or keeper(store)).check_in_turn() is not None
    return set(await store.pauses.all())


async def about_to_send(store: Store, *owners: Owner) -> dict[Owner, Stored]:
    """Bring an errand of each to where it is about to be sent."""
    for owner in owners:
        await fund(store, owner)
        record_id = await ask(store, owner)
        await tell(store, record_id, Approved())
        await tell(store, record_id, Sent())
    return {one.record.owner: one for one in await claim(store, "SENDING", lease_ms=LONG_MS)}


async def posting(store: Store, cause: str) -> tuple[bytes, list[bytes]]:
    """Find the newest posting of ann with this in it."""
    entries = await store.link.ask("XRANGE", keys.journal(SHARD), "-", "+")
    found = []
    for entry_id, fields in entries:
        values = [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else list(fields)
        if values[1].startswith(b"ann ") and cause.encode() in values[1]:
            found.append((entry_id, values))
    return found[-1]


async def more_available(store: Store, owner: Owner = ANN) -> None:
    """Make money by hand."""
    await store.link.ask("HINCRBY", keys.account(store.records.owner_shard(owner), owner), "NGN.available", 5000)


async def freed(store: Store) -> None:
    """Make what is held available by hand, while it is being sent."""
    key = keys.account(SHARD, ANN)
    await store.link.ask("HINCRBY", key, "NGN.held", -100)
    await store.link.ask("HINCRBY", key, "NGN.available", 100)


async def twice_funded(store: Store) -> None:
    """Make money by hand that agrees with itself."""
    await more_available(store)
    await store.link.ask("HINCRBY", keys.account(SHARD, ANN), "NGN.funded", 5000)


async def smaller_record(store: Store) -> None:
    """Change the amount of a record by hand."""
    (stored,) = await store.listing.owned_by(ANN)
    await store.link.ask("HSET", keys.record(stored.record.id), "units", "99")


async def earning_forgotten(store: Store) -> None:
    """Take the posting of what was earned out of the journal."""
    await store.link.ask("XDEL", keys.journal(SHARD), (await posting(store, "outside"))[0])


@pytest.mark.parametrize("falsify", [more_available, freed, twice_funded, smaller_record, earning_forgotten])
async def test_a_false_account_stops_its_owners_payouts_and_nobody_elses(
    store: Store, falsify: Callable[[Store], Awaitable[None]]
) -> None:
    sending = await about_to_send(store, ANN, BOB)
    assert await look(store) == set()
    await falsify(store)
    assert await look(store) == {"owner:ann"}
    with pytest.raises(Paused, match="owner:ann is paused: the books are false"):
        await store.may_send(sending[ANN], LONG_MS, "rail:test")
    await store.may_send(sending[BOB], LONG_MS, "rail:test")
    assert (await store.pauses.all())["owner:ann"].who == BOOKS


async def posting_forgotten(store: Store) -> None:
    """Take the posting that held the money out of the journal."""
    await store.link.ask("XDEL", keys.journal(SHARD), (await posting(store, "available held"))[0])


async def posting_repeated(store: Store) -> None:
    """Write the posting that held the money a second time."""
    await store.link.ask("XADD", keys.journal(SHARD), "*", *(await posting(store, "available held"))[1])


async def posting_of_nobody(store: Store) -> None:
    """Write something into the journal that is no posting."""
    await store.link.ask("XADD", keys.journal(SHARD), "*", "e", "what is this")


async def account_of_no_numbers(store: Store) -> None:
    """Write something into an account that is no amount."""
    await store.link.ask("HSET", keys.account(SHARD, ANN), "NGN.held", "much")


async def many_false(store: Store) -> None:
    """Make money by hand for more than a few."""
    for owner in CROWD:
        await more_available(store, owner)


@pytest.mark.parametrize(
    "falsify", [posting_forgotten, posting_repeated, posting_of_nobody, account_of_no_numbers, many_false]
)
async def test_what_is_not_one_owners_matter_stops_all_that_is_in_our_books(
    store: Store, falsify: Callable[[Store], Awaitable[None]]
) -> None:
    sending = await about_to_send(store, ANN, BOB, *CROWD)
    assert await look(store) == set()
    await falsify(store)
    assert "machine:errand" in await look(store)
    with pytest.raises(Paused, match="machine:errand is paused: the books are false"):
        await store.may_send(sending[BOB], LONG_MS, "rail:test")
    await store.link.ask("DEL", keys.journal(SHARD))


async def test_a_few_false_accounts_stop_their_owners_alone(store: Store) -> None:
    sending = await about_to_send(store, *CROWD, BOB)
    for owner in CROWD[:FEW]:
        await more_available(store, owner)
    assert await look(store) == {f"owner:{owner}" for owner in CROWD[:FEW]}
    await store.may_send(sending[BOB], LONG_MS, "rail:test")


async def test_what_a_person_opened_while_it_is_false_is_closed_again(store: Store) -> None:
    await about_to_send(store, ANN)
    await more_available(store)
    await look(store)
    await store.pauses.resume("owner:ann")
    assert await look(store) == {"owner:ann"}
    await store.link.ask("HINCRBY", keys.account(SHARD, ANN), "NGN.available", -5000)
    assert await look(store) == {"owner:ann"}, "nothing opens by itself what false books closed"
    await store.pauses.resume("owner:ann")
    assert await look(store) == set()


async def test_a_later_walk_reads_what_was_posted_since_and_finds_the_same(store: Store) -> None:
    bookkeeper = keeper(store)
    sending = await about_to_send(store, ANN, BOB)
    assert await look(store, bookkeeper) == set()
    await tell(store, sending[BOB].record.id, Done("proof"))
    for number in range(700):
        await store.records.fund(ANN, sending[ANN].record.amount, f"more {number}")  # type: ignore[arg-type]
    assert await look(store, bookkeeper) == set()
    await posting_repeated(store)
    assert "machine:errand" in await look(store, bookkeeper)
    await store.link.ask("DEL", keys.journal(SHARD))


async def test_a_walk_that_goes_on_after_postings_were_archived_raises_nothing(store: Store) -> None:
    bookkeeper = keeper(store)
    await about_to_send(store, ANN, BOB)
    assert await look(store, bookkeeper) == set()
    await fund(store, ANN, 7, "later")
    for shard in range(store.records.shards):
        postings = [entry async for entry in store.ledger.journal(shard)]
        assert await store.archive.fold(shard, postings)
    await fund(store, ANN, 7, "latest")
    assert await look(store, bookkeeper) == set()


async def test_a_worker_sends_for_all_but_the_one_whose_account_became_false(tmp_path: Path) -> None:
    """The account is falsified while a batch is under way: what has not left stays, and ends when a person opens it."""
    async with open_office(tmp_path / "data") as office:
        theirs = await office.ask(3)
        victim, office.owner = office.owner, BOB
        await fund(office.store, BOB)
        others = await office.ask(3)
        await more_available(office.store, victim)
        await Bookkeeper(office.store, 1, 3600).check_in_turn()
        async with office.worker():
            await office.until_all(others, "DONE")
            await wait_until(lambda: office.errors("SENDING", "paused") >= 1, "a send is refused")
            assert not set(theirs) & set(office.rail.submits)
            key = keys.account(office.store.records.owner_shard(victim), victim)
            await office.store.link.ask("HINCRBY", key, "NGN.available", -5000)
            await office.store.pauses.resume(f"owner:{victim}")
            await office.until_all(theirs, "DONE")


# ── records that are not what their history says ─────────────────────────────────────────────────────────────────────


async def test_a_record_that_somebody_moved_by_hand_is_found(server: Deployment, tmp_path: Path) -> None:
    """Its index, its account and the journal were changed with it: only its own history says otherwise."""
    clock = FixedClock(1_800_000_000_000)
    async with opened(settings_for(server, tmp_path), clock=clock, rail=FakeRail()) as store:
        await fund(store)
        record_id = await ask(store, units=200)
        for fact in (Approved(), Sent(), Done("proof")):
            await tell(store, record_id, fact)
        members = keys.members(SHARD, "errand", "DONE")
        await store.link.ask("HSET", keys.record(record_id), "state", "FAILED")
        await store.link.ask("ZREM", members, record_id)
        await store.link.ask("ZADD", keys.members(SHARD, "errand", "FAILED"), clock.now(), record_id)
        found = [fault.problem async for fault in store.integrity.verify()]
        assert found == [
            "somebody changed it beside its history: it is in FAILED, version 4; its history ends in DONE, version 4"
        ]


async def test_a_record_whose_amount_somebody_changed_is_found(store: Store) -> None:
    await fund(store)
    record_id = await ask(store, units=200)
    await store.link.ask("HSET", keys.record(record_id), "units", "20")
    (found,) = [fault.problem async for fault in store.integrity.verify()]
    assert found.endswith("its amount is NGN 20; its history begins with NGN 200")
    assert owner_in(SHARD)
