"""Money that somebody wrote into the books, so that all figures agree, is found: no commit of ours posted it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from machines.core.clock import DAY, FixedClock
from payflow.desk.books import check, faults_of, freeze
from payflow.desk.reseal import reseal
from payflow.store import keys, ledger
from payflow.store.accounts import LedgerAccount
from payflow.store.ledger import PostedSums
from payflow.store.macs import Forged, UnknownKey
from payflow.store.pauses import EVERYTHING
from payflow.store.rail_side import rail_account
from payflow.store.seals import Seals, new_key
from payflow.store.store import Store
from tests.desk import ANN, account, ask, fund, ngn, opened, settings_for, tell
from tests.errand import Approved, Cancelled, Done, Sent
from tests.servers import Deployment

RAIL_ACCOUNT = rail_account("test")
SHARD = 3


async def some_business(store: Store) -> None:
    """Earn, ask, be paid, take back, ask again: postings of every kind."""
    await fund(store, units=10_000)
    paid, _ = await ask(store, units=100), await ask(store, units=200, key="2")
    for fact in (Approved(), Sent(), Done("receipt")):
        await tell(store, paid, fact)
    cancelled = await ask(store, units=300, key="3")
    await tell(store, cancelled, Cancelled())
    await store.records.fund(ANN, ngn(50), "taken back", out=True)


async def raised(store: Store, **by: int) -> None:
    for part, units in by.items():
        await store.link.ask("HINCRBY", keys.account(SHARD, ANN), f"NGN.{part}", units)


async def post(store: Store, words: str) -> None:
    await store.link.ask("XADD", keys.journal(SHARD), "*", "e", f"{ANN} NGN {words}")


async def an_earning_out_of_nothing(store: Store) -> None:
    await post(store, "outside available 777 0 earned by ann")
    await raised(store, funded=777, available=777)


async def an_earning_with_a_seal_of_another(store: Store) -> None:
    entry = await anext(store.ledger.journal(SHARD))
    await post(store, f"outside available 777 0 {entry.cause} ~{entry.seal}")
    await raised(store, funded=777, available=777)


async def an_earning_a_second_time(store: Store) -> None:
    entry = await anext(store.ledger.journal(SHARD))
    await post(store, f"outside available {entry.units} 0 {entry.cause} ~{entry.seal}")
    await raised(store, funded=entry.units, available=entry.units)


async def a_reversal_that_was_none(store: Store) -> None:
    await post(store, "paid available 100 0 errand-03-aaaaaaaaaaaaaaaa")
    await raised(store, paid=-100, available=100)


async def the_oldest_one_worth_more(store: Store) -> None:
    await rewritten(store, lambda content: content.replace(b" 10000 ", b" 10777 "))
    await raised(store, funded=777, available=777)


async def a_debt_in_place_of_what_was_there(store: Store) -> None:
    """What was taken back is owed, it says, and was not taken off what is available."""
    await rewritten(store, lambda content: content.replace(b" 50 0 taken back", b" 50 50 taken back"))
    await raised(store, owed=50, available=50)


async def rewritten(store: Store, change: Callable[[bytes], bytes | None]) -> None:
    """Write the whole journal anew, as somebody can who has the store; what becomes nothing is left out."""
    journal = keys.journal(SHARD)
    entries = await store.link.ask("XRANGE", journal, "-", "+")
    await store.link.ask("DEL", journal)
    for entry_id, fields in entries:
        (content,) = dict(fields).values()
        fresh = change(content)
        if fresh is not None:
            await store.link.ask("XADD", journal, entry_id, "e", fresh)


async def an_earning_that_is_credited_again(store: Store) -> None:
    """That it was booked is taken out by hand; then its platform says it again, as platforms do."""
    entry = await anext(store.ledger.journal(SHARD))
    await store.link.ask("HDEL", keys.unique(SHARD, "fund"), entry.cause)
    assert await store.records.fund(ANN, ngn(entry.units), entry.cause)


ATTACKS = [
    an_earning_that_is_credited_again,
    a_debt_in_place_of_what_was_there,
    an_earning_out_of_nothing,
    an_earning_with_a_seal_of_another,
    an_earning_a_second_time,
    a_reversal_that_was_none,
    the_oldest_one_worth_more,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_money_that_no_commit_of_ours_posted_is_found_though_all_figures_agree(
    store: Store, attack: Callable[[Store], Awaitable[None]]
) -> None:
    await some_business(store)
    walked = PostedSums()
    assert (await store.ledger.check(walked)).conserved
    await attack(store)
    books, _ = await check(store)
    assert (books.differences, books.unreadable) == ([], []), "the figures agree"
    assert not books.conserved
    assert list(books.forged) == [ANN]
    await freeze(store, books)
    assert f"owner:{ANN}" in await store.pauses.all()


async def test_the_next_walk_finds_it_as_well(store: Store) -> None:
    await some_business(store)
    walked = PostedSums()
    assert (await store.ledger.check(walked)).conserved
    await an_earning_out_of_nothing(store)
    assert not (await store.ledger.check(walked)).conserved
    assert not (await store.ledger.check(walked)).conserved, "and it stays so"


async def test_sums_of_postings_that_were_put_away_cannot_be_raised(store: Store, clock: FixedClock) -> None:
    await some_business(store)
    entries = [one async for one in store.ledger.journal(SHARD)]
    assert await store.archive.fold(SHARD, entries[:3])
    assert (await store.ledger.check()).conserved
    await fund(store, units=5, reference="later")
    assert (await store.ledger.check()).conserved
    figures = (await store.link.ask("HGET", keys.checkpoint(SHARD), f"{ANN} NGN")).split()
    assert len(figures) == len(LedgerAccount.__slots__)
    more = [str(int(one) + (777 if place in (0, 3) else 0)) for place, one in enumerate(figures)]
    await store.link.ask("HSET", keys.checkpoint(SHARD), f"{ANN} NGN", " ".join(more))
    await raised(store, funded=777, available=777)
    books = await store.ledger.check()
    assert (books.differences, list(books.forged)) == ([], [ANN])
    with pytest.raises(Forged, match="Nothing of the journal is put away"):
        await store.archive.fold(SHARD, entries[3:4])


async def test_what_was_stated_of_the_oldest_cannot_be_said_otherwise(store: Store) -> None:
    await some_business(store)
    stated = await store.link.ask("HGET", keys.posted(SHARD), "stated")
    sums = await store.ledger.walk(SHARD, PostedSums())
    last = [one.id async for one in store.ledger.journal(SHARD)][-1]
    digest = store.ledger.statement(SHARD, last, sums).split(" ")[1]
    await an_earning_out_of_nothing(store)
    for false in (f"{last} {digest} {stated.split()[2].decode()}", f"{last} {digest} ", "", None):
        if false is None:
            await store.link.ask("DEL", keys.posted(SHARD))
        else:
            await store.link.ask("HSET", keys.posted(SHARD), "stated", false)
        assert not (await store.ledger.check()).conserved, false


async def test_two_people_may_believe_what_is_posted_as_they_saw_it(store: Store) -> None:
    await some_business(store)
    await an_earning_out_of_nothing(store)
    said = await store.ledger.forged_in(SHARD)
    assert len(said) == 1
    assert "was written by no commit of ours" in said[0]
    assert not await store.ledger.believe(SHARD, [])
    assert await store.ledger.believe(SHARD, said)
    assert (await store.ledger.check()).conserved
    assert (await account(store)).funded == 10_000 - 50 + 777
    await fund(store, units=5, reference="later")
    assert (await store.ledger.check()).conserved


async def test_what_is_left_after_postings_were_put_away_is_not_there_twice(store: Store) -> None:
    await some_business(store)
    walked = PostedSums()
    assert (await store.ledger.check(walked)).conserved
    entries = [one async for one in store.ledger.journal(SHARD)]
    assert await store.archive.fold(SHARD, entries[:3])
    assert (await store.ledger.check(walked)).conserved


async def test_a_walk_that_was_cut_leaves_nothing_that_the_next_one_takes_for_twice(store: Store) -> None:
    await some_business(store)
    walked = PostedSums()
    assert (await store.ledger.check(walked)).conserved
    await fund(store, units=5, reference="later")
    await store.link.ask("XADD", keys.journal(SHARD), "*", "e", "what is this")
    assert not (await store.ledger.check(walked)).conserved
    newest = (await store.link.ask("XREVRANGE", keys.journal(SHARD), "+", "-", "COUNT", 1))[0][0]
    await store.link.ask("XDEL", keys.journal(SHARD), newest)
    assert (await store.ledger.check(walked)).conserved


async def test_what_two_people_believed_is_believed_by_who_walked_before(store: Store) -> None:
    await some_business(store)
    walked = PostedSums()
    await an_earning_out_of_nothing(store)
    assert not (await store.ledger.check(walked)).conserved
    assert await store.ledger.believe(SHARD, await store.ledger.forged_in(SHARD))
    assert (await store.ledger.check(walked)).conserved


async def test_a_key_that_sealed_postings_can_go_when_they_were_stated_anew(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    old, new = new_key(), new_key()
    prints = Seals([old]).fingerprint_key
    for place, given in enumerate((old, f"{old},{new}", f"{new},{old}", new)):
        settings = settings_for(server, tmp_path, PAYFLOW_SEAL_KEYS=given, PAYFLOW_FINGERPRINT_KEY=prints)
        async with opened(settings, clock=clock) as store:
            await fund(store, units=100, reference=f"earned {place}")
            if place == 1:
                entries = [one async for one in store.ledger.journal(SHARD)]
                assert await store.archive.fold(SHARD, entries[:1])
            if given == f"{new},{old}":
                assert (await reseal(store, "ola")).done
            assert (await store.ledger.check()).conserved, given
            assert [fault async for fault in faults_of(store)] == []


async def test_who_lacks_a_key_says_nothing_of_the_books_and_pauses_nothing(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    old, new = new_key(), new_key()
    prints = Seals([old]).fingerprint_key
    given = {"PAYFLOW_FINGERPRINT_KEY": prints}
    before = settings_for(server, tmp_path, PAYFLOW_SEAL_KEYS=old, **given)
    after = settings_for(server, tmp_path, PAYFLOW_SEAL_KEYS=f"{new},{old}", **given)
    async with opened(before, clock=clock) as behind, opened(after, clock=clock) as ahead:
        await fund(ahead)
        with pytest.raises(UnknownKey):
            await check(behind)
        assert await ahead.pauses.pause("rail:flutterwave", "ola", "a bad feeling", clock.now())
        assert EVERYTHING in await behind.pauses.all(), "it sends nothing itself"
        with pytest.raises(UnknownKey):
            await behind.pauses.pause("rail:paystack", "ola", "another one", clock.now())
        assert set(await ahead.pauses.all()) == {"rail:flutterwave"}, "and stops nobody else"


async def test_of_many_decoys_the_false_one_is_stopped_with_all(store: Store) -> None:
    await some_business(store)
    for number in range(5):
        name = f"decoy{number}"
        await store.link.ask("XADD", keys.journal(SHARD), "*", "e", f"{name} NGN outside available 7 0 gift")
        for part in ("funded", "available"):
            await store.link.ask("HSET", keys.account(SHARD, name), f"NGN.{part}", 7)
    await an_earning_out_of_nothing(store)
    books, _ = await check(store)
    await freeze(store, books)
    assert "machine:errand" in await store.pauses.all()


async def test_a_record_that_was_set_back_with_its_whole_history_is_found(store: Store) -> None:
    """Every signature is ours: it is what it was before it was paid."""
    await fund(store)
    record_id = await ask(store)
    for fact in (Approved(), Sent()):
        await tell(store, record_id, fact)
    before = [await store.link.ask("DUMP", key) for key in (keys.record(record_id), keys.history(record_id))]
    await tell(store, record_id, Done("receipt"))
    for key, dump in zip((keys.record(record_id), keys.history(record_id)), before, strict=True):
        await store.link.ask("RESTORE", key, 0, dump, "REPLACE")
    await store.link.ask("ZREM", keys.members(SHARD, "errand", "DONE"), record_id)
    for index in (keys.members, keys.due):
        await store.link.ask("ZADD", index(SHARD, "errand", "SENDING"), 1, record_id)
    await raised(store, held=100, paid=-100)
    await post(store, "paid held 100 0 a mistake")
    for part, units in (("settled", -100), ("in_flight", 100)):
        await store.link.ask("HINCRBY", keys.rails(SHARD), f"test NGN.{part}", units)
    words = f"{RAIL_ACCOUNT} NGN settled in_flight 100 0 a mistake"
    await store.link.ask("XADD", keys.journal(SHARD), "*", "e", words)
    books = await store.ledger.check()
    assert books.differences == [], "the figures agree"
    assert sorted(books.forged) == [ANN, RAIL_ACCOUNT]


async def test_a_paid_record_that_was_taken_away_is_found(store: Store) -> None:
    await some_business(store)
    (paid,) = await store.link.ask("ZRANGE", keys.members(SHARD, "errand", "DONE"), 0, -1)
    record_id = paid.decode()
    await store.link.ask("DEL", keys.record(record_id), keys.history(record_id))
    await store.link.ask("ZREM", keys.members(SHARD, "errand", "DONE"), record_id)
    await store.link.ask("ZREM", keys.owned(SHARD, ANN), record_id)
    books = await store.ledger.check()
    assert (books.differences, list(books.forged)) == ([], [ANN, RAIL_ACCOUNT])
    assert "is not there any more" in books.forged[ANN]


async def test_a_posting_that_is_left_out_is_found_by_what_was_written_down_outside(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock) as store:
        await some_business(store)
        walked = PostedSums()
        assert (await store.ledger.check(walked)).conserved
        await store.write_down_books(walked)
        await store.write_down()
        await rewritten(store, lambda content: None if b"taken back" in content else content)
        await raised(store, funded=50, available=50)
        await fund(store, units=5, reference="later")
        assert sorted((await store.ledger.check()).forged) == [ANN], "whose it is cannot be told"
    async with opened(settings, clock=clock) as store:
        assert sorted((await store.ledger.check()).forged) == [ANN]
        assert await store.ledger.believe(SHARD, await store.ledger.forged_in(SHARD))
        assert (await store.ledger.check()).conserved


async def test_debts_that_moves_make_and_settle_are_as_the_walk_expects(store: Store) -> None:
    await some_business(store)
    await store.records.fund(ANN, ngn(9_650), "taken back too", out=True)
    assert (await account(store)).owed == 0
    await store.records.fund(ANN, ngn(50), "and more", out=True)
    assert (await account(store)).owed > 0
    assert (await store.ledger.check()).conserved
    await fund(store, units=20, reference="some")
    await fund(store, units=2_000, reference="all")
    assert (await account(store)).owed == 0
    assert (await store.ledger.check()).conserved


def test_seals_that_were_seen_are_known_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FEW_FRESH", 8)
    seen = ledger.SeenSeals()
    numbers = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1_000)]
    for number in numbers:
        assert number not in seen
        seen.add(number)
    assert len(seen) == 1_000
    assert all(number in seen for number in numbers)


@pytest.mark.parametrize("what", ["an earning", "an earning of an older version", "a record", "an archived record"])
async def test_a_posting_that_was_put_away_is_not_added_again(server: Deployment, tmp_path: Path, what: str) -> None:
    """By the store's own clock: it lies long after what it is about, and twice is not seen any more."""
    async with opened(settings_for(server, tmp_path)) as store:
        await fund(store, units=10_000)
        if what == "an earning of an older version":
            (entry,) = [one async for one in store.ledger.journal(SHARD)]
            said = (entry.owner, entry.asset, entry.source, entry.target, str(entry.units), entry.cause)
            seal = store.records.macs.seal_posting(said, 0)
            await rewritten(store, lambda content: content.partition(b" ~")[0] + seal.encode())
        elif what != "an earning":
            record_id = await ask(store, units=100)
            await tell(store, record_id, Cancelled())
            raw = await store.archive.read(record_id)
            assert raw is not None
            if what == "an archived record":
                assert await store.archive.remove(raw, "file", await store.records.now())
        assert (await store.ledger.check()).conserved
        last = await store.link.ask("XREVRANGE", keys.journal(SHARD), "+", "-", "COUNT", 1)
        entries = [one async for one in store.ledger.journal(SHARD)]
        assert await store.archive.fold(SHARD, entries)
        assert (await store.ledger.check()).conserved
        (content,) = dict(last[0][1]).values()
        await store.link.ask("XADD", keys.journal(SHARD), f"{await store.records.now() + 2 * DAY}-0", "e", content)
        if what.startswith("an earning"):
            await raised(store, funded=10_000, available=10_000)
        else:
            await raised(store, held=-100, available=100)
        assert list((await store.ledger.check()).forged) == [ANN]
