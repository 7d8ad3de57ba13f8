"""The pages say that one person is enough, when they may confirm, and what was done while no service ran."""

from machines.core.clock import Millis
from payflow.desk.dual_control import WAIT_MS
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.shown import utc
from payflow.store.registers.alone import GlassBroken, OnePerson
from payflow.store.registers.tokens import Role
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
