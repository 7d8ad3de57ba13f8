"""The pages say that one person is enough, when they may confirm, and what was done while no service ran."""

from dataclasses import replace

import pytest

from machines.core.clock import Millis
from machines.core.errors import NotAllowed, NotPossible
from payflow.desk import break_glass
from payflow.desk.break_glass import begin, sign_off
from payflow.desk.dual_control import WAIT_MS
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.shown import utc
from payflow.store.registers.alone import GlassBroken, OnePerson
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Tokens
from tests.web.admin.visitor import Visitor
from tests.web.api.front import WAITS, Front


async def test_one_person_reads_that_they_are_and_from_when_on_they_may_confirm(open_for_business: Front) -> None:
    front, store = open_for_business, open_for_business.store
    await front.earn("1000")
    made = await front.requested("500", account=WAITS)
    record = await front.until(made["id"], "PROCESSING")
    await store.alone.write(OnePerson(on=True, by="olu", since=Millis(1)), {"by": "olu"}, (), Millis(1))
    olu = Person("olu", Role.OPERATOR)
    steering = Steering(store, front.metrics)
    version = (await front.record(made["id"])).version
    proposal = await steering.propose_override(record.id, "CANCELLED", "it never left", olu, version)
    visitor = await Visitor(front).come("olu", Role.OPERATOR)
    assert "person is enough for what takes two" in await visitor.see("")
    page = await visitor.see("proposals")
    assert "One person is enough here for what takes two: olu said so" in page
    assert f"you may confirm it yourself from {utc(proposal.at + WAIT_MS)[:10]}" in page
    assert "Confirm exactly this" not in page
    assert await visitor.post("proposals/confirm", csrf=visitor.field("csrf"), proposal=proposal.digest) == 429
    assert await visitor.post("proposals/decline", csrf=visitor.field("csrf"), proposal=proposal.digest) == 303


async def test_what_was_done_without_the_service_stands_there_until_an_operator_signs_it_off(front: Front) -> None:
    await front.store.glass.add(GlassBroken(Millis(7), "olu and otto", "override x CANCELLED", "the pages burnt"))
    reviewer = await Visitor(front).come("rita", Role.REVIEWER)
    page = await reviewer.see("proposals")
    assert ("payflow override x CANCELLED" in page, "I looked at this" in page) == (True, False)
    visitor = await Visitor(front).come("otto", Role.OPERATOR)
    assert "done without the service, to be signed off" in await visitor.see("")
    assert "I looked at this" in await visitor.see("proposals")
    assert await visitor.post("proposals/sign-off", csrf=visitor.field("csrf"), at="7") == 303
    assert "done without the service" not in await visitor.see("")
    assert await front.store.glass.all() == []
    (line,) = [one for one in await front.store.audit.page(None, 20) if one.act == "sign off"]
    assert (line.who, "olu and otto: override x CANCELLED" in line.why) == ("otto", True)


async def test_whoever_did_it_signs_it_off_only_where_nobody_else_operates(front: Front) -> None:
    store, olu, ada = front.store, Person("olu", Role.OPERATOR), Person("ada", Role.OPERATOR)
    for at, who in ((7, "olu and otto"), (8, "olu, alone"), (9, "olu and otto")):
        await store.glass.add(GlassBroken(Millis(at), who, "override x CANCELLED", "the pages burnt"))
    await Tokens(store.link).create("olu", Role.OPERATOR, "", "shell")
    await sign_off(store, Millis(9), olu)  # who else should
    operates = RegisteredPerson("ada", frozenset({Role.OPERATOR}), "shell", Millis(1))
    ada_there = await store.persons.write(operates)
    await store.persons.write(replace(operates, name="olu.o", aliases=("olu", "otto-2")))
    for at in (7, 8):
        for name in ("olu", "OLU", "olu.o", "otto-2"):
            with pytest.raises(NotAllowed, match="another operator"):
                await sign_off(store, Millis(at), Person(name, Role.OPERATOR))
    with pytest.raises(NotAllowed, match="another operator"):
        await sign_off(store, Millis(7), Person("otto", Role.OPERATOR))
    await sign_off(store, Millis(7), ada)
    await store.persons.write(replace(ada_there, disabled_at=Millis(2), disabled_by="olu"))
    await sign_off(store, Millis(8), olu)
    assert await store.glass.all() == []


async def test_nothing_that_nobody_looked_at_is_dropped_however_much_there_is(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 103):
        await front.store.glass.add(GlassBroken(Millis(at), "olu and otto", "override x CANCELLED", "why"))
    assert len(await front.store.glass.all()) == 102
    monkeypatch.setattr(break_glass, "MOST_BROKEN", 102)
    olu, otto = (Person(name, Role.OPERATOR) for name in ("olu", "otto"))

    async def tell(*_: object) -> list[str]:
        raise AssertionError("nobody is told of what is not done")

    with pytest.raises(NotPossible, match="another operator signs them off"):
        await begin(front.store, olu, otto, "override y CANCELLED", "why", (), tell)
    assert len(await front.store.glass.all()) == 102
