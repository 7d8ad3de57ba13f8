"""Sessions are listed and ended, and end by themselves where nobody does anything; what a page asks is not that."""

import pytest

from machines.core.clock import HOUR, SECOND, FixedClock
from payflow.config import Settings
from payflow.store.registers.tokens import Role, Tokens
from payflow.web.http.auth import LASTS_S
from tests.web.admin.visitor import Visitor
from tests.web.api.front import Front, open_front


async def ends_in_s(front: Front) -> int:
    """How long the only session has if nobody does anything."""
    (key,) = [key async for key in front.store.link.keys("pf:session:*")]
    return int(await front.store.link.ask("TTL", key))


async def test_a_session_in_which_nobody_does_anything_ends_and_one_that_is_used_goes_on(settings: Settings) -> None:
    clock = FixedClock()
    async with open_front(settings, clock=clock, session_idle_s=600) as front:
        visitor = Visitor(front)
        await visitor.come("vic", Role.VIEWER)
        (key,) = [key async for key in front.store.link.keys("pf:session:*")]
        assert 590 < await ends_in_s(front) <= 600
        await front.store.link.ask("EXPIRE", key, 100)
        assert await visitor.get("records") == 200
        assert await ends_in_s(front) <= 100, "once a minute it is written down, and no oftener"
        another = Visitor(front)  # as another process, which has not written it down yet
        async with open_front(settings, clock=clock, session_idle_s=600) as other:
            another.front, another.cookie = other, visitor.cookie
            for ways in ({"X_Live": "1"}, {"Accept": "text/event-stream"}):
                assert await another.get("records", **ways) == 200
                assert await ends_in_s(front) <= 100, "nobody did that"
            assert await another.get("records") == 200
            assert 590 < await ends_in_s(front) <= 600


async def test_however_busy_somebody_is_their_session_ends_after_hours(settings: Settings) -> None:
    clock = FixedClock()
    async with open_front(settings, clock=clock, session_idle_s=3600) as front:
        visitor = Visitor(front)
        await visitor.come("vic", Role.VIEWER)
        clock.advance(LASTS_S - 100)
        async with open_front(settings, clock=clock, session_idle_s=3600) as other:
            visitor.front = other
            assert await visitor.get("records") == 200
            assert 90 < await ends_in_s(front) <= 100


async def test_a_session_of_an_earlier_version_ends_when_it_would_have(settings: Settings) -> None:
    async with open_front(settings, session_idle_s=28_800) as front:
        visitor = Visitor(front)
        await visitor.come("vic", Role.VIEWER)
        (key,) = [key async for key in front.store.link.keys("pf:session:*")]
        await front.store.link.pipeline([("HDEL", key, "opened_at", "seen_at", "from"), ("EXPIRE", key, 500)])
        async with open_front(settings, session_idle_s=28_800) as other:
            visitor.front = other
            assert await visitor.get("records") == 200
            assert 490 < await ends_in_s(front) <= 500


async def test_everybody_ends_their_own_and_an_operator_anybodys(front: Front) -> None:
    rita, rob, olu = Visitor(front), Visitor(front), Visitor(front)
    await rita.come("rita", Role.REVIEWER)
    phone = Visitor(front)
    await phone.sign_in(await front.token(Role.REVIEWER, name="rita"))
    await rob.come("rob", Role.REVIEWER)
    await olu.come("olu", Role.OPERATOR)
    seen = await rita.see("sessions")
    assert ("rita reviewer" in seen, "rob reviewer" in seen.partition("Sessions")[2]) == (True, False)
    assert (rita.page.count("/admin/sessions/end"), rita.text.count("This one")) == (1, 1)
    assert rita.cookie.partition("=")[2] not in rita.page
    assert await rita.send("sessions/end", session=rita.field("session")) == 200
    assert "rita is signed out there" in rita.text
    assert await phone.get("records") == 303
    assert await rita.get("records") == 200
    await olu.see("sessions")
    assert olu.page.count("/admin/sessions/end") == 2
    await rob.see("sessions")
    name_of_olus = next(
        name for name in [key[11:23] async for key in front.store.link.keys("pf:session:*")]
        if name not in rob.page and name not in rita.page and name not in olu.page
    )  # fmt: skip
    for name in (name_of_olus, "*", "", "0" * 12, "pf:*"):
        assert await rob.send("sessions/end", session=name) == 404
        await rob.see("sessions")
    assert await olu.get("records") == 200
    lines = [(line.who, line.act, line.subject) for line in await front.store.audit.page(None, 20)]
    assert ("rita", "end session", "rita") in lines


async def test_who_may_not_come_in_any_more_is_in_no_list_and_looking_at_it_uses_no_token(front: Front) -> None:
    gone, olu = Visitor(front), Visitor(front)
    await gone.come("rita", Role.REVIEWER)
    await olu.come("olu", Role.OPERATOR)
    tokens = Tokens(front.store.link, FixedClock(1_900_000_000_000 + HOUR // SECOND))
    await Tokens(front.store.link).revoke("rita", "olu")
    assert "rita" not in (await olu.see("sessions")).partition("This one")[0]
    before = {token.name: token.used_at for token in await tokens.all()}
    await olu.see("sessions")
    assert {token.name: token.used_at for token in await tokens.all()} == before


@pytest.mark.parametrize("idle", [59, 28_801])
async def test_the_idle_time_has_bounds(settings: Settings, idle: int) -> None:
    with pytest.raises(Exception, match="PAYFLOW_SESSION_IDLE_S"):
        async with open_front(settings, session_idle_s=idle):
            pass
