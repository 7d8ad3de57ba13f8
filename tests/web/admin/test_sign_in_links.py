"""Links that sign in: good once, for minutes, for one person; what only looks at them uses nothing up."""

import asyncio

import pytest

from machines.payout.risk import ProviderHistory
from payflow.desk.identity import PersonChange, add_person, make_sign_in_link
from payflow.desk.person import Person, shell
from payflow.store.registers.sign_ins import LASTS_S, SignInLink, SignInLinks
from payflow.store.registers.tokens import ApiToken, Role, Tokens, digest_of
from tests.web.admin.chromium import Chromium, flaws
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, Front

BOSS = Person("boss", Role.OPERATOR)


def holder(token: ApiToken) -> Person:
    return Person(token.name, token.role, token.made_by)


async def link_for(front: Front, name: str, role: Role = Role.REVIEWER, by: Person = BOSS) -> str:
    await front.token(role, name=name)
    return await make_sign_in_link(front.store, name, by)


async def test_a_link_signs_its_person_in_once(visitor: Visitor, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    assert await visitor.get(f"sign-in?link={link}&to=/admin/review") == 200
    assert "Sign in as rita" in visitor.text
    assert not visitor.cookie
    assert await visitor.press("Sign in as rita") == 200
    assert visitor.headers["Content-Type"].startswith("text/html")
    assert "rita reviewer" in visitor.text
    again = Visitor(flagged)
    assert await again.get(f"sign-in?link={link}") == 401
    assert await again.post("sign-in", link=link) == 401
    assert not again.cookie
    assert "signs nobody in" in again.text


async def test_whatever_looks_at_a_link_by_itself_leaves_it_as_good_as_it_was(visitor: Visitor, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    for _ in range(3):
        assert await Visitor(flagged).get(f"sign-in?link={link}") == 200
    assert await visitor.post("sign-in", link=link) == 303


async def test_of_all_who_show_a_link_at_once_one_is_let_in(flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    answers = await asyncio.gather(*(Visitor(flagged).post("sign-in", link=link) for _ in range(8)))
    assert sorted(answers) == [303, *[401] * 7]


async def test_a_link_is_over_after_minutes_and_the_store_knows_only_its_hash(flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    (key,) = [key async for key in flagged.store.link.keys("pf:sign-in:*")]
    assert link not in key
    assert 0 < await flagged.store.link.ask("TTL", key) <= LASTS_S <= 15 * 60


async def test_a_link_opens_nothing_once_its_token_is_revoked_even_where_another_takes_the_name(
    visitor: Visitor, flagged: Front
) -> None:
    link = await link_for(flagged, "rita")
    tokens = Tokens(flagged.store.link)
    await tokens.revoke("rita", "boss")
    await tokens.create("rita", Role.OPERATOR, "", "boss")
    assert await visitor.get(f"sign-in?link={link}") == 401
    assert await visitor.post("sign-in", link=link) == 401
    assert not visitor.cookie


async def test_a_session_that_a_link_opened_ends_with_the_token(visitor: Visitor, flagged: Front) -> None:
    assert await visitor.post("sign-in", link=await link_for(flagged, "rita")) == 303
    assert await visitor.get("review") == 200
    await Tokens(flagged.store.link).revoke("rita", "boss")
    assert await visitor.get("review") == 303


async def test_only_operators_make_links_for_others_and_only_for_those_who_work_here(flagged: Front) -> None:
    await flagged.token(Role.OPERATOR, name="otto")
    rita = await Tokens(flagged.store.link).find(await flagged.token(Role.REVIEWER, name="rita"))
    assert rita is not None
    with pytest.raises(Exception, match="takes the token of an operator"):
        await make_sign_in_link(flagged.store, "otto", holder(rita))
    assert await make_sign_in_link(flagged.store, "rita", holder(rita)), "their own"
    await flagged.token(Role.PROVIDER, ANN, name="ann-phone")
    for name, why in (("ann-phone", "does not work here"), ("nobody", "no token")):
        with pytest.raises(Exception, match=why):
            await make_sign_in_link(flagged.store, name, BOSS)
    assert [key async for key in flagged.store.link.keys("pf:sign-in:*")] != []


async def test_once_two_people_operate_nobody_lets_another_in_alone(flagged: Front) -> None:
    """Else one of them, or whoever has a shell, would be the second person that acts ask for."""
    for name, role in (("otto", Role.OPERATOR), ("olga", Role.OPERATOR), ("rita", Role.REVIEWER)):
        await flagged.token(role, name=name)
    for by in (Person("otto", Role.OPERATOR), shell()):
        for name in ("rita", "olga"):
            with pytest.raises(Exception, match=f"nobody lets {name} in alone"):
                await make_sign_in_link(flagged.store, name, by)
    for name, role in (("otto", Role.OPERATOR), ("rita", Role.REVIEWER)):
        assert await make_sign_in_link(flagged.store, name, Person(name, role)), "their own"


async def test_a_person_with_two_tokens_is_let_in_by_the_one_that_they_show(flagged: Front) -> None:
    """A reviewer's token that was stolen is no operator's by a link."""
    change = PersonChange(frozenset({Role.REVIEWER, Role.OPERATOR}))
    await add_person(flagged.store, "rita", change, BOSS)
    tokens = Tokens(flagged.store.link)
    for role in (Role.REVIEWER, Role.OPERATOR):
        await tokens.create(f"rita-{role}", role, "", "boss", person="rita")
    secret = await make_sign_in_link(flagged.store, "rita", Person("rita", Role.REVIEWER))
    link = await SignInLinks(flagged.store.link).find(secret)
    assert link == SignInLink(await tokens.digest_in_use("rita-reviewer"), "")
    with pytest.raises(Exception, match="takes the token of an operator"):
        await make_sign_in_link(flagged.store, "rita-operator", Person("rita", Role.REVIEWER))
    with pytest.raises(Exception, match="more than one token; name it: rita-operator, rita-reviewer"):
        await make_sign_in_link(flagged.store, "rita", shell())


async def test_a_link_lets_nobody_in_whose_token_became_a_providers(visitor: Visitor, flagged: Front) -> None:
    """What is in the store says whose token it is, and the pages ask again who may come in."""
    digest = digest_of(await flagged.token(Role.PROVIDER, ANN))
    secret = await SignInLinks(flagged.store.link).make(SignInLink(digest, ""))
    assert await visitor.get(f"sign-in?link={secret}") == 403
    assert await visitor.post("sign-in", link=secret) == 403
    assert not visitor.cookie


async def test_who_made_a_link_for_another_is_no_second_person_by_it(flagged: Front) -> None:
    """One operator with two browsers is one person: the other identity is one that they let in themselves."""
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = await flagged.requested("400")
    await flagged.until(made["id"], "COMPLETED")
    olu = await Visitor(flagged).come("olu", Role.OPERATOR)
    path = f"records/{made['id']}"
    await olu.see(f"{path}/override?to=CANCELLED")
    version = olu.field("version")
    sent = await olu.send(f"{path}/override/propose", to="CANCELLED", reason="mine", version=version)
    assert sent == 200
    await olu.see("proposals")
    seen = olu.field("proposal")
    for role in (Role.OPERATOR, Role.REVIEWER):
        digest = digest_of(await flagged.token(role, name=f"puppet-{role}"))
        link = await SignInLinks(flagged.store.link).make(SignInLink(digest, "olu"))
        puppet = Visitor(flagged)
        assert await puppet.post("sign-in", link=link) == 303
        await puppet.see("proposals")
        assert "Confirm exactly this" not in puppet.page
        assert await puppet.send("proposals/confirm", proposal=seen) == 403
    assert (await flagged.record(made["id"])).state == "COMPLETED"


async def test_a_form_of_another_site_uses_no_link_up(visitor: Visitor, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    assert await visitor.post("sign-in", {"Origin": "https://evil.example"}, link=link) == 403
    assert not visitor.cookie
    assert await visitor.post("sign-in", link=link) == 303


async def test_links_that_are_guessed_are_refused_and_change_nothing(visitor: Visitor, flagged: Front) -> None:
    await link_for(flagged, "rita")
    for guess in ("x", "A" * 22, "é" * 22, "*", "A" * 5000):
        assert await visitor.get(f"sign-in?link={guess}") == 401
        assert await visitor.post("sign-in", link=guess) == 401
        assert not visitor.cookie


async def test_who_made_a_link_and_who_came_by_it_stands_in_the_audit_log(visitor: Visitor, flagged: Front) -> None:
    link = await link_for(flagged, "rita", by=shell())
    assert await visitor.post("sign-in", link=link) == 303
    lines = [(line.who, line.act, line.why) for line in await flagged.store.audit.page(None, 2)]
    assert lines == [
        ("rita", "sign in", f"from 127.0.0.1, by a link that {shell().name} made"),
        (shell().name, "make sign-in link", ""),
    ]
    assert link not in repr(lines)


async def test_who_is_signed_in_already_is_asked_before_somebody_else_takes_their_place(
    visitor: Visitor, flagged: Front
) -> None:
    link = await link_for(flagged, "rita")
    await visitor.get(f"sign-in?link={link}")
    assert "data-send" in visitor.page
    await visitor.come("otto", Role.OPERATOR)
    assert await visitor.get(f"sign-in?link={link}") == 200
    assert "You are signed in as otto here" in visitor.text
    assert "data-send" not in visitor.page


async def test_a_click_is_all_that_it_takes_in_a_browser(browser: Chromium, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    page = await browser.window()
    await browser.see(page, f"/sign-in?link={link}&to=/admin/review")
    await page.get_by_role("button", name="Sign out").wait_for()
    assert page.url == f"{flagged.address}/admin/review"


async def test_without_a_script_it_takes_one_more(browser: Chromium, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    page = await browser.window(script=False)
    await browser.see(page, f"/sign-in?link={link}")
    await page.get_by_role("button", name="Sign in as rita").click()
    await page.get_by_role("button", name="Sign out").wait_for()


async def test_the_page_of_a_link_can_be_used_by_everybody(browser: Chromium, flagged: Front) -> None:
    link = await link_for(flagged, "rita")
    page = await browser.signed_in("otto", Role.OPERATOR)
    await browser.see(page, f"/sign-in?link={link}")
    await page.get_by_text("You are signed in as otto here").wait_for()
    assert await flaws(page) == []
