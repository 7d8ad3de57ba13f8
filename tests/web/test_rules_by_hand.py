"""Somebody who writes to the store by hand wants the rules to approve alone what should wait for a person."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest

from machines.core.clock import HOUR, FixedClock
from machines.core.ids import Owner, RecordId
from machines.core.ports import Evidence, Step
from machines.payout import facts as f
from machines.payout.acts import PayoutActs
from machines.payout.data import PayoutRecord, reference_of
from machines.payout.risk import Thresholds
from payflow.config import Settings
from payflow.desk.books import Bookkeeper
from payflow.desk.providers import LATEST, ProviderHistories
from payflow.store import keys
from payflow.store.codec import chain, event_bytes, read_event
from payflow.store.registers.profiles import Profile
from payflow.store.store import Store
from tests.machines.payout.world import Opens, Unlimited
from tests.web.test_provider_histories import ANN, Past, opened

DAY_S = 86_400


class Rules(Past):
    """Ann is verified and known, and the rules look at what she asks for as a worker has them do."""

    async def codes(self, record_id: RecordId | None = None, units: int = 1000) -> list[str]:
        """What they find in what she asks for now, or asked for then."""
        record_id = record_id or await self.asked(units)
        record: PayoutRecord = (await self.store.records.read(record_id)).record
        acts = PayoutActs(
            {},
            ProviderHistories(self.store),
            Opens(),
            self.store.seals,
            self.store.permit_keys,
            Thresholds(),
            Unlimited(),
        )
        fact = await acts.assess(record, cast("Step", SimpleNamespace(now=self.clock.now())))
        assert isinstance(fact, f.Assessed)
        return [one.code for one in fact.findings]

    async def by_hand(self, *words: str | int | bytes) -> int:
        """Write to the store."""
        return int(await self.store.link.ask(*words))

    async def is_known(self, *, verified: bool = True) -> None:
        """Have three payouts paid, long ago."""
        for _ in range(3):
            await self.paid(units=20_000_00)
        before = await self.store.profiles.read(ANN)
        await self.store.profiles.write(before, Profile(ANN, verified=verified), self.clock.now())
        self.clock.advance(90 * DAY_S)


@pytest.fixture
async def rules(settings: Settings, clock: FixedClock) -> AsyncIterator[Rules]:
    async with opened(settings, clock) as store:
        rules = Rules(store, clock)
        yield rules


def shard(store: Store, owner: Owner = ANN) -> str:
    return keys.prefix(store.records.owner_shard(owner))


def neighbour(store: Store) -> Owner:
    """Somebody else in Ann's shard."""
    names = (Owner(f"bob{number}") for number in range(999))
    return next(one for one in names if shard(store, one) == shard(store))


async def test_rules_approve_what_somebody_who_is_known_asks_for(rules: Rules) -> None:
    await rules.is_known()
    assert await rules.codes() == []


Windows = Callable[[Rules], Awaitable[None]]


async def taken_away(rules: Rules) -> None:
    """Take away whatever counts what she asked for."""
    for name in ("vel", "velhour", "velday"):
        await rules.by_hand("DEL", f"{shard(rules.store)}{name}:{ANN}")


async def lowered_on_the_record(rules: Rules) -> None:
    """Write onto each record that nothing was asked for before."""
    for one in await rules.store.listing.in_state("payout", "REQUESTED"):
        await rules.by_hand("HSET", keys.record(one.record.id), "vel", "0 0 0 0")


async def made_long_ago(rules: Rules) -> None:
    """Write that all were made long ago, and of the index of its owner too."""
    for one in await rules.store.listing.in_state("payout", "REQUESTED"):
        was = one.record.created_at - 2 * HOUR
        await rules.by_hand("HSET", keys.record(one.record.id), "made", was)
        await rules.by_hand("ZADD", keys.owned(rules.store.records.owner_shard(ANN), ANN), was, one.record.id)


async def hidden(rules: Rules) -> None:
    """Take all but the newest out of the index of their owner."""
    await rules.by_hand("ZREMRANGEBYRANK", keys.owned(rules.store.records.owner_shard(ANN), ANN), 0, -2)


async def with_another_history(rules: Rules) -> None:
    """Write each history anew as that of an archived one which came back, asked for long ago."""
    for one in await rules.store.listing.in_state("payout", "REQUESTED"):
        first = await rules.store.link.ask("LINDEX", keys.history(one.record.id), -1)
        seen = read_event(first)
        older = event_bytes(seen.before, seen.at - 2 * HOUR, 1, "", seen.state, seen.who, seen.why, seen.fact, {})
        await rules.by_hand("HSET", keys.record(one.record.id), "archived", seen.before, "made", seen.at - 2 * HOUR)
        await rules.by_hand("LPUSH", keys.history(one.record.id), older)
        assert chain(older) != chain(first)


@pytest.mark.parametrize("change", [taken_away, lowered_on_the_record, made_long_ago, hidden, with_another_history])
async def test_what_was_asked_for_within_the_hour_counts_whatever_somebody_wrote(rules: Rules, change: Windows) -> None:
    await rules.is_known()
    for _ in range(3):
        await rules.asked()
        rules.clock.advance(1)
    assert await rules.codes() == ["frequency"]
    await change(rules)
    fourth = await rules.asked()
    await change(rules)
    assert await rules.codes(fourth), "the fifth within an hour is for a person"


async def test_amounts_count_whatever_somebody_wrote(rules: Rules) -> None:
    await rules.is_known()
    await rules.asked(units=70_000_00)
    rules.clock.advance(1)
    newest = await rules.asked(units=20_000_00)
    await taken_away(rules)
    await lowered_on_the_record(rules)
    await rules.by_hand("HSET", keys.record(newest), "vel", "0 0 0 0")
    assert await rules.codes(newest) == []
    rules.clock.advance(1)
    newest = await rules.asked(units=20_000_00)
    await taken_away(rules)
    await lowered_on_the_record(rules)
    assert await rules.codes(newest) == ["volume"]


async def test_nobody_becomes_known_by_a_figure(rules: Rules) -> None:
    before = await rules.store.profiles.read(ANN)
    await rules.store.profiles.write(before, Profile(ANN, verified=True), rules.clock.now())
    await rules.by_hand("HSET", f"{shard(rules.store)}tally:{ANN}", "payout:COMPLETED", 9)
    assert "new" in await rules.codes()
    await rules.by_hand("DEL", f"{shard(rules.store)}tally:{ANN}")


async def test_nobody_becomes_known_by_what_was_paid_to_another(rules: Rules) -> None:
    before = await rules.store.profiles.read(ANN)
    await rules.store.profiles.write(before, Profile(ANN, verified=True), rules.clock.now())
    home = rules.store.records.owner_shard(ANN)
    for _ in range(3):
        paid = await rules.paid(owner=neighbour(rules.store))
        await rules.by_hand("ZADD", keys.owned(home, ANN), 1, paid)
    assert {"new", "doubt"} <= {*await rules.codes()}


async def test_failures_are_not_hidden(rules: Rules) -> None:
    await rules.is_known()
    for _ in range(2):
        failed = await rules.failed()
        await rules.by_hand("ZREM", keys.owned(rules.store.records.owner_shard(ANN), ANN), failed)
    rules.clock.advance(DAY_S)
    assert await rules.codes() == ["failures"]


async def test_what_was_hidden_after_it_was_paid_stops_its_owner_at_the_next_walk(rules: Rules) -> None:
    """Its account holds nothing that would tell; and the postings of it were looked at before."""
    walker = Bookkeeper(rules.store, 0.001, 3600)
    await rules.is_known()
    asked = [await rules.paid(units=40_000_00), await rules.asked(units=40_000_00)]
    await rules.happened(asked[1], f.Assessed(()), f.Cancelled("ann"))
    for one in asked:
        rules.clock.advance(1)
        await walker.check_in_turn()
        assert await rules.store.pauses.all() == {}
        await rules.by_hand("ZREM", keys.owned(rules.store.records.owner_shard(ANN), ANN), one)
        rules.clock.advance(1)
        await walker.check_in_turn()
        (why,) = [pause.why for pause in (await rules.store.pauses.all()).values()]
        assert f"{one} is not in the index of its owner" in why
        await rules.store.pauses.resume(f"owner:{ANN}")
        made = await rules.store.link.ask("HGET", keys.record(one), "made")
        await rules.by_hand("ZADD", keys.owned(rules.store.records.owner_shard(ANN), ANN), made, one)
        walker = Bookkeeper(rules.store, 0.001, 3600)


async def test_of_somebody_with_many_payouts_nothing_is_hidden_either(rules: Rules) -> None:
    """More than the rules look at: an old one that still holds is no doubt, and a new one that is hidden counts."""
    await rules.is_known()
    await rules.failed()
    for _ in range(LATEST):
        await rules.paid()
    rules.clock.advance(DAY_S)
    first = await rules.asked()
    assert await rules.codes(first) == []
    rules.clock.advance(1)
    large = await rules.asked(units=70_000_00)
    await rules.happened(large, f.Cancelled("ann"))
    for one in (first, large):
        await rules.by_hand("ZREM", keys.owned(rules.store.records.owner_shard(ANN), ANN), one)
    rules.clock.advance(1)
    assert "volume" in await rules.codes(units=40_000_00)


async def test_a_record_that_was_changed_is_not_judged_by(rules: Rules) -> None:
    await rules.is_known()
    for _ in range(2):
        failed = await rules.failed()
        other = await rules.paid()
        data = await rules.store.link.ask("HGET", keys.record(other), "data")
        await rules.by_hand("HSET", keys.record(failed), "data", data)
    rules.clock.advance(DAY_S)
    assert "doubt" in await rules.codes()


async def test_what_came_in_at_once_is_seen_by_whatever_is_looked_at_last(rules: Rules) -> None:
    """Whichever a worker happens to look at first, no more than three of an hour are approved by rules alone."""
    await rules.is_known()
    asked = [await rules.asked() for _ in range(6)]
    approved = 0
    for record_id in reversed(asked):
        if not await rules.codes(record_id):
            await rules.happened(record_id, f.Assessed(()))
            approved += 1
    assert approved <= 3


async def test_what_this_process_runs_no_machine_for_is_no_doubt(rules: Rules) -> None:
    await rules.is_known()
    home, other = rules.store.records.owner_shard(ANN), RecordId("bounty-03-aaaaaaaaaaaaaaaa")
    await rules.by_hand("HSET", keys.record(other), "state", "OPEN", "ver", 1, "owner", ANN, "data", b"\x80")
    await rules.by_hand("ZADD", keys.owned(home, ANN), rules.clock.now(), other)
    assert await rules.codes() == []
    await rules.by_hand("ZADD", keys.owned(home, ANN), rules.clock.now(), "whatever")
    assert await rules.codes() == ["doubt"]


# ── archived ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_somebody_who_is_known_stays_so_when_their_payouts_are_archived(rules: Rules) -> None:
    await rules.is_known()
    assert await put_away(rules) == 3
    assert "new" not in await rules.codes()


async def test_what_is_left_of_an_archived_payout_must_be_theirs_and_as_it_was(rules: Rules) -> None:
    await rules.is_known()
    await put_away(rules)
    home = rules.store.records.owner_shard(ANN)
    tombs = await rules.store.link.ask("HGETALL", keys.tombs(home))
    name, tomb = next(iter(tombs.items()))
    await rules.by_hand("HSET", keys.tombs(home), name, tomb.replace(b"COMPLETED", b"REVERSED\0"))
    assert "doubt" in await rules.codes()
    await rules.by_hand("HSET", keys.tombs(home), name, tomb)
    assert "doubt" not in await rules.codes()
    other = neighbour(rules.store)
    await rules.by_hand("ZADD", keys.past(home, other), 1, name)
    found = await rules.store.track.of(other, "payout", 9)
    assert found.requests == ()
    assert "is not in the list of requests" in found.doubt


async def test_what_is_brought_back_counts_once_as_what_it_becomes(rules: Rules) -> None:
    await rules.is_known()
    await put_away(rules)
    rules.clock.advance(DAY_S)
    home = rules.store.records.owner_shard(ANN)
    one = RecordId(next(iter(await rules.store.link.ask("HKEYS", keys.tombs(home)))).decode())
    assert (await rules.known_of(await rules.asked())).successes == 3
    assert await rules.store.archive.bring_back(one, "otto", "the bank sent it back")
    known = await rules.known_of(await rules.asked())
    assert (known.successes, known.doubt) == (3, "")
    await rules.happened(one, f.CameBack(reference_of(one, 1), Evidence("bank", "returned")))
    known = await rules.known_of(await rules.asked())
    assert (known.successes, known.recent_failures, known.doubt) == (2, 1, "")


async def put_away(rules: Rules) -> int:
    """Archive all that was paid, as if nobody watched it any more."""
    gone, home = 0, rules.store.records.owner_shard(ANN)
    for one in await rules.store.listing.in_state("payout", "COMPLETED"):
        await rules.by_hand("ZREM", keys.due(home, "payout", "COMPLETED"), one.record.id)
        record = await rules.store.archive.read(one.record.id)
        assert record is not None
        gone += await rules.store.archive.remove(record, "archive", rules.clock.now())
    return gone
