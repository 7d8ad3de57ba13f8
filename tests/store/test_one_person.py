"""An installation of one person: what takes two takes one and a wait that nobody cuts, and everybody hears of it."""

from dataclasses import replace

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.errors import Conflict, NotAllowed, TooSoon
from machines.core.ids import shard_for
from payflow.desk.dual_control import WAIT_MS, DualControl, Verb
from payflow.desk.identity import (
    PersonChange,
    add_person,
    disable_person,
    end_one_person,
    one_person_verb,
    person_verb,
    propose_one_person,
    takes_two,
    token_verb,
    two_operate,
)
from payflow.desk.person import Person, alone_made
from payflow.desk.readiness import one_person
from payflow.store import keys
from payflow.store.registers.alone import OWNER
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store
from payflow.telemetry.health import Level

WAIT_S = WAIT_MS / 1000
OLU, SHELL = Person("olu", Role.OPERATOR, "shell:root@host", token="olu"), Person("shell:root@host", None)
OPERATES = PersonChange(frozenset({Role.OPERATOR}), contacts=["mailto:olu@example.com"])


class Table:
    """A table of proposals on which one act can be done; what there is may change meanwhile."""

    def __init__(self, store: Store, clock: FixedClock | None = None) -> None:
        self.there, self.done = "a", list[str]()
        self.clock = clock or FixedClock(1)
        who = [person_verb(store), token_verb(store), one_person_verb(store)]
        self.two = DualControl(store, [*who, Verb("act", lambda _: (), self._do)], self.clock)

    async def _do(self, one: Proposal, second: Person) -> str:
        if one.seen["there"] != self.there:
            raise Conflict("It changed.")
        self.done.append(second.name)
        return "done"

    async def proposed(self, by: Person = OLU) -> Proposal:
        return await self.two.propose("act", "x", {"there": self.there}, "why", by)


async def operating(store: Store, *names: str) -> None:
    """Let people operate here, of whom none made another."""
    for name in names:
        await Tokens(store.link).create(name, Role.OPERATOR, "", "shell:root@host")


async def alone(store: Store, clock: FixedClock) -> None:
    """Let olu say that one is enough."""
    await operating(store, "olu")
    await add_person(store, "olu", OPERATES, SHELL)
    proposal = await propose_one_person(store, "nobody else works here", OLU)
    clock.advance(WAIT_S)
    await Table(store, clock).two.confirm(proposal.digest, OLU)


async def news(store: Store) -> list[tuple[str, str]]:
    """Whom the messages go to that wait, and what they say somebody does."""
    bodies = [post.body for post in await store.outbox.take(100, 1) if post.body["event"] == "acted_alone"]
    opened = store.profiles.opened_contacts
    return sorted((",".join(opened(OWNER, one["to"])) if "to" in one else "", one["does"]) for one in bodies)


async def test_without_the_setting_nobody_confirms_their_own_however_long_they_wait(
    store: Store, clock: FixedClock
) -> None:
    table = Table(store, clock)
    proposal = await table.proposed()
    clock.advance(WAIT_S * 2)
    with pytest.raises(NotAllowed, match="must be another one"):
        await table.two.confirm(proposal.digest, OLU)
    assert table.done == []


async def test_one_does_what_takes_two_after_the_wait_and_everybody_hears_of_it_twice(
    store: Store, clock: FixedClock
) -> None:
    await alone(store, clock)
    says = "says that things may be done"
    assert await news(store) == [
        ("", "does"), ("", "proposes"), ("", says),
        *(("mailto:olu@example.com", does) for does in ("does", "proposes", says)),
    ]  # fmt: skip
    table = Table(store, clock)
    proposal = await table.proposed()
    assert await table.two.alone_from(proposal) == proposal.at + WAIT_MS
    for _ in range(2):
        with pytest.raises(TooSoon, match="confirm it in"):
            await table.two.confirm(proposal.digest, OLU)
        assert not await table.two.may_confirm(proposal, OLU)
        clock.advance(WAIT_S / 2 - 1)
    clock.advance(2)
    assert await table.two.may_confirm(proposal, OLU)
    everything = len(await news(store))
    assert await table.two.confirm(proposal.digest, OLU) == "done"
    assert table.done == ["olu, alone"]
    clock.advance(1)
    assert len(await news(store)) == everything + 2
    with pytest.raises(Conflict):
        await table.two.confirm(proposal.digest, OLU)
    assert (await one_person(store)).level is Level.WARN


async def test_it_takes_two_to_say_so_where_there_are_two_and_one_to_end_it_at_once(
    store: Store, clock: FixedClock
) -> None:
    await operating(store, "olu", "otto")
    assert await two_operate(store)
    otto, table = Person("otto", Role.OPERATOR, "shell:root@host"), Table(store, clock)
    proposal = await propose_one_person(store, "otto leaves", OLU)
    clock.advance(WAIT_S * 2)
    with pytest.raises(NotAllowed, match="must be another one"):
        await table.two.confirm(proposal.digest, OLU)
    with pytest.raises(NotAllowed):
        await table.two.confirm(proposal.digest, SHELL)
    await table.two.confirm(proposal.digest, otto)
    waiting = await table.proposed()
    clock.advance(WAIT_S)
    with pytest.raises(NotAllowed, match="nobody here"):
        await end_one_person(store, "no", SHELL)
    await end_one_person(store, "somebody new came", otto)
    with pytest.raises(NotAllowed, match="must be another one"):
        await table.two.confirm(waiting.digest, OLU)


async def test_what_was_proposed_before_it_was_said_is_not_done_alone(store: Store, clock: FixedClock) -> None:
    await operating(store, "olu")
    table = Table(store, clock)
    quiet = await table.proposed()
    clock.advance(1)
    await alone_again(store, clock)
    clock.advance(WAIT_S)
    with pytest.raises(NotAllowed, match="must be another one"):
        await table.two.confirm(quiet.digest, OLU)


async def alone_again(store: Store, clock: FixedClock) -> None:
    proposal = await propose_one_person(store, "nobody else works here", OLU)
    clock.advance(WAIT_S)
    await Table(store, clock).two.confirm(proposal.digest, OLU)


async def test_anybody_takes_it_back_while_it_waits(store: Store, clock: FixedClock) -> None:
    await alone(store, clock)
    table = Table(store, clock)
    for who in (OLU, Person("otto", Role.OPERATOR), SHELL):
        proposal = await table.proposed()
        await table.two.decline(proposal.digest, who)
        clock.advance(WAIT_S)
        with pytest.raises(Conflict, match="not proposed any more"):
            await table.two.confirm(proposal.digest, OLU)


@pytest.mark.parametrize("of_store", [True, False])
async def test_neither_clock_alone_makes_the_wait_shorter(store: Store, clock: FixedClock, *, of_store: bool) -> None:
    await alone(store, clock)
    own = FixedClock(clock.now())
    set_ahead = clock if of_store else own
    table = Table(store, own)
    proposal = await table.proposed()
    set_ahead.advance(WAIT_S * 100)
    with pytest.raises(TooSoon):
        await table.two.confirm(proposal.digest, OLU)
    # Nor one that was set back while it was proposed.
    await table.two.decline(proposal.digest, OLU)
    late = Table(store, own)
    again = await late.proposed()
    assert again.at == max(clock.now(), own.now())
    # Another process, or this one after a restart, waits as long.
    with pytest.raises(TooSoon):
        await Table(store, FixedClock(again.at)).two.confirm(again.digest, OLU)


async def test_who_edits_the_store_shortens_no_wait_and_switches_nothing_on(store: Store, clock: FixedClock) -> None:
    key = keys.setting(shard_for(OWNER, store.records.shards), OWNER)
    store.link.macs.strict = True
    await alone(store, clock)
    on = await store.link.ask("HGETALL", key)
    table = Table(store, clock)
    proposal = await table.proposed()
    ((place, value),) = (await store.link.ask("HGETALL", keys.PROPOSED)).items()
    name, _, rest = value.partition(b" ")
    earlier = str(proposal.at - WAIT_MS).encode()
    await store.link.ask("HSET", keys.PROPOSED, place, b" ".join((name, earlier, rest.partition(b" ")[2])))
    with pytest.raises((TooSoon, Conflict)):
        await table.two.confirm(proposal.digest, OLU)
    # Switched on by hand: with what another version said, or without a signature.
    await end_one_person(store, "enough", OLU)
    ended = await store.link.ask("HGETALL", key)
    for forged in (
        ended | {b"profile": on[b"profile"]}, ended | {b"profile": on[b"profile"], b"mac": on[b"mac"]},
        {b"profile": on[b"profile"], b"version": on[b"version"]},
    ):  # fmt: skip
        await store.link.ask("DEL", key)
        await store.link.ask("HSET", key, *(part for pair in forged.items() for part in pair))
        assert not (await store.alone.read()).on
        assert key in [place async for place in store.rows.faults()]


async def test_a_shell_a_disabled_person_and_what_changed_meanwhile_come_to_nothing(
    store: Store, clock: FixedClock
) -> None:
    await alone(store, clock)
    table = Table(store, clock)
    with pytest.raises(NotAllowed, match="nobody here"):
        await table.proposed(SHELL)
    proposal = await table.proposed()
    clock.advance(WAIT_S)
    with pytest.raises(NotAllowed, match="nobody here"):
        await table.two.confirm(proposal.digest, SHELL)
    table.there = "b"
    with pytest.raises(Conflict, match="changed"):
        await table.two.confirm(proposal.digest, OLU)
    proposal = await table.proposed()
    await disable_person(store, "olu", "lost the laptop", OLU)
    clock.advance(WAIT_S)
    for who in (OLU, replace(OLU, name="OLU ")):
        with pytest.raises(NotAllowed, match="disabled since"):
            await table.two.confirm(proposal.digest, who)
    assert table.done == []


async def test_another_name_of_theirs_waits_as_well_and_whom_they_let_in_is_no_second_person(
    store: Store, clock: FixedClock
) -> None:
    await alone(store, clock)
    table = Table(store, clock)
    assert await takes_two(store)
    asked = await add_person(store, "eve", PersonChange(frozenset({Role.OPERATOR})), OLU, "a colleague")
    assert isinstance(asked, Proposal), "letting somebody in waits as well"
    for who in (OLU, replace(OLU, name=" OLU")):
        with pytest.raises(TooSoon):
            await table.two.confirm(asked.digest, who)
    clock.advance(WAIT_S)
    await table.two.confirm(asked.digest, OLU)
    eve = await store.persons.find("eve")
    assert eve is not None
    assert eve.made_by == "olu"
    assert await alone_made(store, "olu", "eve")
    proposal = await table.proposed()
    with pytest.raises(NotAllowed):
        await table.two.confirm(proposal.digest, Person("eve", Role.OPERATOR, "olu"))
    assert not await two_operate(store)
    with pytest.raises(Conflict, match="enough already"):
        await propose_one_person(store, "once more", OLU)


async def test_what_a_newer_version_proposed_is_shown_and_confirmed_by_nobody_here(
    store: Store, clock: FixedClock
) -> None:
    await alone(store, clock)
    newer = Proposal("of tomorrow", "x", {}, Role.OPERATOR.value, "why", "olu", 0, Millis(clock.now()))
    await Proposals(store.link).make(newer)
    two = Table(store, clock).two
    assert (await two.alone_from(newer), await two.may_confirm(newer, OLU)) == (None, False)
    assert "does not know" in two.says(newer)[0]
    # Nor does a person whose contacts cannot be opened keep anybody from being told.
    olu = await store.persons.find("olu")
    assert olu is not None
    await store.persons.write(replace(olu, sealed_contacts="nothing of ours"))
    clock.advance(WAIT_S)
    assert await news(store)
    assert (await Table(store, clock).proposed()).by == "olu"
