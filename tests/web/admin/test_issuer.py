"""Signing in by an identity provider that we did not write: who comes in, as whom, and who does not."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest

from machines.core.clock import Millis
from machines.payout.data import Approval
from machines.payout.risk import ProviderHistory
from payflow.config import Settings
from payflow.desk.approvers import RegisteredApprovers
from payflow.desk.identity import disable_person, takes_two
from payflow.desk.person import Person
from payflow.store.registers.alone import FIRST_SIGN_IN, OWNER
from payflow.store.registers.audit import REFUSED
from payflow.store.registers.persons import RegisteredPerson, alias_of
from payflow.store.registers.subjects import ASKED_S, KnownSubject, KnownSubjects
from payflow.store.registers.tokens import Role, Tokens
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.issuer import SECRET, US, IssuerProcess, Signer, running
from tests.machines.payout import scenes
from tests.web.admin.authenticator import Authenticator
from tests.web.admin.test_passkeys import Somebody, age, waiting
from tests.web.api.front import Front, open_front

OPERATOR, REVIEWER, VIEWER = Role.OPERATOR, Role.REVIEWER, Role.VIEWER
GROUPS = {"payments": "reviewer", "money": "operator", "staff": "viewer"}


@dataclass
class Company:
    """An installation whose people sign in by the provider."""

    front: Front
    issuer: IssuerProcess
    address: str
    session: aiohttp.ClientSession

    async def announced(self) -> list[dict[str, Any]]:
        """Read what everybody hears of."""
        posts = await self.front.store.outbox.take(100, 1)
        return [dict(post.body) for post in posts if post.body["event"] == FIRST_SIGN_IN]

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody."""
        return await self.front.token(role, of, name)

    async def registered(self, name: str, *roles: Role, aliases: tuple[str, ...] = ()) -> None:
        """Register somebody."""
        now = await self.front.store.records.now()
        person = RegisteredPerson(name, frozenset(roles), "shell:root@host", now, {}, aliases)
        await self.front.store.persons.write(person)

    async def known(self, name: str, *groups: str, **claims: object) -> None:
        """Let the provider know somebody, or say otherwise of them."""
        self.issuer.adds(name, *groups, **claims)
        await self.issuer.set_up()


class Comer(Somebody):
    """A visitor with several cookies, whose browser is sent to the provider and back."""

    def __init__(self, company: Company) -> None:
        super().__init__(company)
        self.signer = Signer()
        self.cookies: dict[str, str] = {}

    async def _ask(self, method: str, path: str, fields: list[tuple[str, str]] | None, headers: dict[str, str]) -> int:
        place = path if path.startswith("/") else f"{self.place}/{path}".rstrip("/")
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.front.session.request(
            method, self.front.address + place, data=fields, allow_redirects=False, headers={"Cookie": cookie} | headers
        ) as answer:
            self.page, self.headers = await answer.text(), dict(answer.headers)
            for said in answer.cookies.values():
                self.cookies.pop(said.key, None)
                if said.value:
                    self.cookies[said.key] = said.value
            return answer.status

    async def sent(self, path: str = "sign-in/issuer") -> str:
        """Be sent there."""
        assert await self.get(path) == 303, self.text
        return self.headers["Location"]

    async def returns(self, **brought: str) -> int:
        """Come back with something."""
        assert await self.get(f"sign-in/issuer/back?{urlencode(brought)}") == 200
        (place,) = re.findall(r"url=([^\"]*)\"", self.page)
        return await self.get(html.unescape(place))

    async def signs_in(self, name: str, path: str = "sign-in/issuer") -> int:
        """Go there, sign in, and come back."""
        return await self.returns(**await self.signer.answers(await self.sent(path), name))


@pytest.fixture(scope="module")
def issuer_address() -> Iterator[str]:
    """One provider for all tests."""
    with running() as address:
        yield address


@asynccontextmanager
async def company(settings: Settings, issuer_address: str, **changes: Any) -> AsyncIterator[Company]:
    """Open one."""
    given = {"oidc_issuer": issuer_address, "oidc_client_id": US, "oidc_client_secret": SECRET}
    async with (
        open_front(settings, **(given | {"two_people_from": None} | changes)) as front,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        issuer = IssuerProcess(issuer_address, session)
        names = {"groups_claim": front.settings.oidc_groups_claim, "name_claim": front.settings.oidc_name_claim}
        board = DashboardExtensions(issuer=issuer.provider(session, **names))
        pages = app.application(api.pages(front.desk, front.settings, board))
        async with app.listening(pages, "127.0.0.1", 0) as address:
            at = f"http://localhost:{urlsplit(address).port}"
            await issuer.set_up(f"{at}/admin/sign-in/issuer/back")
            yield Company(front, issuer, at, session)


@pytest.fixture
async def firm(settings: Settings, issuer_address: str) -> AsyncIterator[Company]:
    """Where the register says what people may be."""
    async with company(settings, issuer_address) as one:
        yield one


@pytest.fixture
async def grouped(settings: Settings, issuer_address: str) -> AsyncIterator[Company]:
    """Where groups say so as well."""
    async with company(settings, issuer_address, oidc_roles=GROUPS, oidc_limits={"NGN": "500000"}) as one:
        yield one


@pytest.fixture
async def flagged_firm(firm: Company) -> AsyncIterator[Company]:
    """One in which people must look at what Ann asks for."""
    await firm.front.earn("1000")
    firm.front.known.standing_of_all = ProviderHistory()
    async with firm.front.working():
        yield firm


async def lines(firm: Company) -> list[tuple[str, str, str]]:
    """Read the newest lines of the audit log."""
    return [(line.who, line.act, line.why) for line in await firm.front.store.audit.page(None, 10)]


# ── who it is here ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("alias", ["oidc:rita", "rita@shop.example"])
async def test_a_person_is_found_by_the_subject_or_by_an_address_that_was_checked(firm: Company, alias: str) -> None:
    await firm.registered("rita-r", REVIEWER, aliases=(alias,))
    await firm.known("rita")
    rita = Comer(firm)
    assert await rita.signs_in("rita") == 303, rita.text
    assert rita.headers["Location"] == "/admin"
    assert "rita-r reviewer" in await rita.see()
    (told,) = await firm.announced()
    assert (told["by"], told["subject"], told["roles"]) == ("rita-r", "rita@shop.example", "reviewer")
    assert any(line[1] == "first sign-in" for line in await lines(firm))
    assert ("rita-r", "sign in", "from 127.0.0.1, by 127.0.0.1") in await lines(firm) or "::1" in str(await lines(firm))
    assert await Comer(firm).signs_in("rita") == 303
    assert len(await firm.announced()) == 1, "it is the first one that is told"
    assert await Tokens(firm.front.store.link).all() == []


@pytest.mark.parametrize(
    ("claims", "aliases"),
    [
        ({}, ()),
        ({"email_verified": False}, ("rita@shop.example",)),
        ({"email": None}, ("rita@shop.example",)),
        ({}, ("oidc:RITA",)),
        ({}, ("oidc:rit",)),
        ({}, ("rita",)),
    ],
)
async def test_who_is_nobody_here_does_not_come_in(
    firm: Company, claims: dict[str, Any], aliases: tuple[str, ...]
) -> None:
    """Whoever may choose what the provider calls them does not come in as somebody by that."""
    await firm.registered("olu", OPERATOR, aliases=aliases)
    await firm.known("rita", "money", **claims)
    rita = Comer(firm)
    assert await rita.signs_in("rita") == 403
    assert "is nobody here" in rita.text
    assert f"oidc:{firm.issuer.url}#rita" in rita.text
    assert "payflow_admin" not in rita.cookies
    assert (await lines(firm))[0][1] == REFUSED


async def test_an_address_is_one_subjects_from_its_first_sign_in_on(firm: Company) -> None:
    """The provider gives the address of somebody who left to somebody else."""
    await firm.registered("rita", REVIEWER, aliases=("rita@shop.example",))
    await firm.known("rita")
    await firm.known("another", email="rita@shop.example")
    assert await Comer(firm).signs_in("rita") == 303
    comer = Comer(firm)
    assert await comer.signs_in("another") == 403
    assert "signs in as another subject" in comer.text
    await firm.known("rita", email="married@shop.example")
    assert await Comer(firm).signs_in("rita") == 303, "the subject stays who it is, whatever its address"


async def test_who_is_disabled_stays_out_at_once(firm: Company) -> None:
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    rita = Comer(firm)
    assert await rita.signs_in("rita") == 303
    await disable_person(firm.front.store, "rita", "left", Person("olu", OPERATOR))
    assert await rita.get() == 303, "her session is over"
    assert await Comer(firm).signs_in("rita") == 403


async def test_an_alias_without_an_issuer_is_completed_once_and_is_nobodys_after_a_change_of_issuer(
    firm: Company,
) -> None:
    persons, subjects = firm.front.store.persons, KnownSubjects(firm.front.store.link)
    await firm.registered("rita-r", REVIEWER, aliases=("oidc:rita",))
    await firm.registered("olu-o", OPERATOR, aliases=("oidc:olu",))
    await firm.known("rita")
    await firm.known("olu")
    assert await Comer(firm).signs_in("rita") == 303
    for name, subject in (("rita-r", "rita"), ("olu-o", "olu")):
        person = await persons.find(name)
        assert person
        assert person.aliases == (alias_of(firm.issuer.url, subject),)
    assert ("payflow", "name the issuer", alias_of(firm.issuer.url, "olu")) in await lines(firm)
    await firm.registered("eve-e", OPERATOR, aliases=("oidc:eve",))
    await firm.registered("max-m", OPERATOR, aliases=(alias_of("https://former.example", "max"),))
    await subjects.write(KnownSubject("https://former.example", "x", "somebody", (), Millis(1), Millis(1)))
    for name in ("eve", "max"):
        await firm.known(name)
        comer = Comer(firm)
        assert await comer.signs_in(name) == 403, "it may be the other issuer's"
        assert f"--alias oidc:{firm.issuer.url}#{name}" in comer.text
    assert await Comer(firm).signs_in("olu") == 303, "whose alias names this issuer is who they are"


async def test_a_sign_that_only_looks_like_a_letter_is_another_address(firm: Company) -> None:
    await firm.registered("kelly", REVIEWER, aliases=("kelly@shop.example",))
    await firm.registered("strasse", REVIEWER, aliases=("strasse@shop.example",))
    for name, email in (("kelvin", "\u212aelly@shop.example"), ("sharp", "stra\u00dfe@shop.example")):
        await firm.known(name, email=email)
        assert await Comer(firm).signs_in(name) == 403
    await firm.known("caps", email="KELLY@shop.example")
    assert await Comer(firm).signs_in("caps") == 303


# ── groups ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_is_new_becomes_what_their_groups_say_and_everybody_hears_of_it(grouped: Company) -> None:
    await grouped.known("rita", "payments", "chess")
    rita = Comer(grouped)
    assert await rita.signs_in("rita") == 303, rita.text
    assert "rita@shop.example reviewer" in await rita.see()
    person = await grouped.front.store.persons.find(alias_of(grouped.issuer.url, "rita"))
    assert person
    assert (person.name, set(person.roles)) == ("rita@shop.example", {REVIEWER})
    assert person.limits == {"NGN": 500_000_00}
    assert person.made_by == f"oidc:{grouped.issuer.url}"
    assert len(await grouped.announced()) == 1
    await grouped.known("rita", "payments", "money")
    assert await rita.signs_in("rita") == 303
    assert "Be operator" not in await rita.see(), "more than the register says takes two, as everywhere"


async def test_a_group_that_is_gone_takes_away_what_it_gave_for_passkeys_too(grouped: Company) -> None:
    await grouped.registered("rita", REVIEWER, OPERATOR, aliases=("oidc:rita",))
    await grouped.known("rita", "payments", "money")
    rita, key = Comer(grouped), Authenticator(grouped.address, handle="rita")
    assert await rita.signs_in("rita") == 303
    assert "rita operator Be reviewer" in await rita.see()
    assert await rita.signs_in("rita", "prove") == 303
    assert await rita.adds(key) == 303, rita.text
    await grouped.known("rita", "payments")
    assert await Comer(grouped).signs_in("rita") == 303
    by_passkey = Comer(grouped)
    assert await by_passkey.comes_by(key.but(count=2)) == 303
    assert "rita reviewer" in await by_passkey.see()
    assert "operator" not in by_passkey.text.partition("Sign out")[0]
    await grouped.known("rita", "chess")
    last = Comer(grouped)
    assert await last.signs_in("rita") == 403
    assert "give you nothing that rita may be here" in last.text
    assert await Comer(grouped).comes_by(key.but(count=3)) == 403
    await grouped.known("rita", "payments")
    assert await Comer(grouped).signs_in("rita") == 303, "and what is given again is there again"


async def test_what_a_group_gave_ends_in_every_open_session_when_it_is_gone(grouped: Company) -> None:
    """The provider tells it at the next sign-in, or proof, of theirs: nobody asks it in between."""
    await grouped.registered("rita", REVIEWER, OPERATOR, aliases=("oidc:rita",))
    await grouped.known("rita", "payments", "money")
    at_work, at_home = Comer(grouped), Comer(grouped)
    assert await at_work.signs_in("rita") == 303
    assert await at_work.get() == 200
    await grouped.known("rita", "payments")
    assert await at_home.signs_in("rita") == 303
    assert await at_work.get() == 303, "it might do what an operator does"
    assert await at_home.get() == 200
    await grouped.known("rita", "chess")
    assert await at_work.signs_in("rita") == 403
    assert await at_home.get() == 303, "who may nothing any more has no session"


async def test_a_yes_counts_no_more_when_the_group_that_gave_it_is_gone(grouped: Company) -> None:
    store, payout = grouped.front.store, scenes.payout("PROCESSING")
    said = Approval("rita", 1, "print", "person.seal")
    await grouped.registered("rita", REVIEWER, VIEWER, aliases=("oidc:rita",))
    await grouped.known("rita", "payments", "staff")
    assert await Comer(grouped).signs_in("rita") == 303
    assert await RegisteredApprovers(store).lapsed(payout, (said,)) == {}
    await grouped.known("rita", "staff")
    assert await Comer(grouped).signs_in("rita") == 303
    found = await RegisteredApprovers(store).lapsed(payout, (said,))
    assert found == {"rita": "the yes of rita counts no more, who is no reviewer any more"}
    await Tokens(store.link).create("rita-token", REVIEWER, "", "olu", person="rita")
    assert await RegisteredApprovers(store).lapsed(payout, (said,)) == {}, "a token goes by the register"


async def test_nobody_becomes_a_person_by_a_name_of_somebody_or_without_one(grouped: Company) -> None:
    await grouped.registered("olu@shop.example", OPERATOR)
    await Tokens(grouped.front.store.link).create("ona@shop.example", VIEWER, "", "olu")
    await grouped.known("evil", "money", email="ona@shop.example")
    await grouped.known("nameless", "money", email_verified=False)
    await grouped.known("stranger", "chess")
    for name, why in (
        ("evil", "is somebody's name here already"),
        ("nameless", "no name"),
        ("stranger", "nobody here"),
    ):
        comer = Comer(grouped)
        assert await comer.signs_in(name) == 403
        assert why in comer.text
    assert len(await grouped.front.store.persons.all()) == 1


async def test_two_who_operate_by_the_provider_are_two(grouped: Company) -> None:
    for name in ("olu", "otto"):
        assert not await takes_two(grouped.front.store)
        await grouped.known(name, "money")
        assert await Comer(grouped).signs_in(name) == 303
    assert await takes_two(grouped.front.store)
    await grouped.known("otto", "staff")
    assert await Comer(grouped).signs_in("otto") == 403
    assert await takes_two(grouped.front.store), "whoever runs the provider does not make the other one act alone"


async def test_who_operates_alone_by_the_provider_waits_as_anybody_who_does(firm: Company) -> None:
    store = firm.front.store
    found, now = await store.alone.read(), await store.records.now()
    await store.alone.write(replace(found, on=True, by="olu", since=now), {"by": "olu", "does": "x"}, [], now)
    assert not await takes_two(store), "where nobody operates nobody waits"
    await firm.registered("olu", OPERATOR, aliases=("oidc:olu",))
    await firm.known("olu")
    assert await Comer(firm).signs_in("olu") == 303
    assert await takes_two(store)


async def test_everybody_who_works_here_hears_of_it_and_nobody_who_left(firm: Company) -> None:
    store = firm.front.store
    for name in ("rita", "rob", "olu"):
        await firm.registered(name, REVIEWER, aliases=(f"oidc:{name}",))
        person = await store.persons.find(name)
        assert person
        await store.persons.write(store.persons.with_contacts(person, [f"mailto:{name}@shop.example"]))
    await disable_person(store, "rob", "left", Person("olu", OPERATOR))
    await firm.known("rita")
    assert await Comer(firm).signs_in("rita") == 303
    (to_staff, to_reviewers) = sorted(await firm.announced(), key=lambda body: "to" not in body)
    opened = store.profiles.opened_contacts(OWNER, to_staff["to"])
    assert sorted(opened) == ["mailto:olu@shop.example", "mailto:rita@shop.example"]
    assert "to" not in to_reviewers


# ── there and back ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_brought_back_is_good_once_in_the_browser_that_was_sent(firm: Company) -> None:
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    rita, thief = Comer(firm), Comer(firm)
    brought = await rita.signer.answers(await rita.sent(), "rita")
    assert await thief.sent()
    assert await thief.returns(**brought) == 403, "the state is of another browser"
    assert "did not begin in this browser" in thief.text
    assert await rita.returns(**brought) == 400, "and is used up by that"

    brought = await rita.signer.answers(await rita.sent(), "rita")
    cookie = rita.cookies["payflow_issuer"]
    assert await rita.returns(**brought) == 303
    rita.cookies["payflow_issuer"] = cookie
    assert await rita.returns(**brought) == 400
    assert "was finished, or began more than ten minutes ago" in rita.text

    mallory = Comer(firm)
    fresh = await mallory.signer.answers(await mallory.sent(), "rita")
    assert await mallory.returns(**(fresh | {"code": brought["code"]})) == 403, "the code was used"
    fresh = await mallory.signer.answers(await mallory.sent(), "rita")
    other = Comer(firm)
    theirs = await other.signer.answers(await other.sent(), "rita")
    assert await mallory.returns(**(fresh | {"code": theirs["code"]})) == 403, "the code is of another sign-in"


async def test_what_was_never_sent_or_waited_too_long_or_was_refused_lets_nobody_in(firm: Company) -> None:
    await firm.known("rita")
    rita, link = Comer(firm), firm.front.store.link
    for said in (
        "",
        "state=x&code=y",
        "state=%ff%00&code=%ed%a0%80",
        "state=" + "x" * 4000,
        "iss=%00",
        "state=a&state=b",
    ):
        for place in ("back", "done"):
            assert await rita.get(f"sign-in/issuer/{place}?{said}") == (200 if place == "back" else 400), said
    rita.cookies["payflow_issuer"] = "\xe9" * 300
    assert await rita.returns(state="x", code="y") == 400
    brought = await rita.signer.answers(await rita.sent(), "rita")
    asked = [one async for one in link.keys("pf:issuer-sign-in:*")]
    assert asked
    for one in asked:
        assert 0 < await link.ask("TTL", one) <= ASKED_S
        await link.ask("DEL", one)
    assert await rita.returns(**brought) == 400
    state = re.findall(r"state=([^&]*)", await rita.sent())[0]
    assert await rita.returns(state=state, error="access_denied", error_description="<b>") == 403
    assert "access_denied" in rita.text
    state = re.findall(r"state=([^&]*)", await rita.sent())[0]
    assert await rita.returns(state=state, error="<script>") == 403
    assert "script" not in rita.page.partition("<main")[2]
    state = re.findall(r"state=([^&]*)", await rita.sent())[0]
    assert await rita.returns(state=state, code="z" * 5000) == 400


async def test_a_sign_in_leads_to_a_page_of_ours_and_nowhere_else(firm: Company) -> None:
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    for to, led in (("/admin/records", "/admin/records"), ("https://evil.example/", "/admin"), ("//evil", "/admin")):
        rita = Comer(firm)
        assert await rita.signs_in("rita", f"sign-in/issuer?{urlencode({'to': to})}") == 303
        assert rita.headers["Location"] == led
    assert "Sign in with 127.0.0.1" in await Comer(firm).see("sign-in")


async def test_where_the_provider_is_gone_it_is_said_and_the_other_ways_stay(
    settings: Settings, issuer_address: str
) -> None:
    async with company(settings, issuer_address) as firm:
        gone = replace(firm.issuer, url="http://127.0.0.1:9")
        board = DashboardExtensions(issuer=gone.provider(firm.session))
        pages = app.application(api.pages(firm.front.desk, firm.front.settings, board))
        async with app.listening(pages, "127.0.0.1", 0) as address:
            comer = Comer(replace(firm, address=address.replace("127.0.0.1", "localhost")))
            assert await comer.get("sign-in/issuer") == 503
            assert "cannot be asked now" in comer.text
            assert await comer.sign_in(await firm.token(VIEWER, name="vic")) == 303


# ── proving that it is still oneself ──────────────────────────────────────────────────────────────────────────────────


async def test_what_moves_money_asks_who_came_by_the_provider_to_sign_in_there_anew(flagged_firm: Company) -> None:
    firm = flagged_firm
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.registered("rob", REVIEWER, aliases=("oidc:rob",))
    await firm.known("rita")
    await firm.known("rob")
    path, fields = await waiting(firm.front)
    rita = Comer(firm)
    assert await rita.signs_in("rita") == 303
    await rita.see("review")
    csrf = rita.field("csrf")
    assert await rita.post(path, csrf=csrf, **fields) == 200
    assert "Prove it at 127.0.0.1" in rita.text
    assert "Nothing was done yet" in rita.text
    url = await rita.sent("prove?to=/admin/review")
    assert "prompt=login" in url
    assert "max_age=0" in url
    brought = await Signer().answers(url, "rob")
    assert await rita.returns(**brought) == 403, "somebody else signed in there"
    assert "is not rita" in rita.text
    assert await rita.post(path, csrf=csrf, **fields) == 200, "nothing is proven"
    assert await rita.signs_in("rita", "prove?to=/admin/review") == 303
    assert rita.headers["Location"] == "/admin/review"
    assert "It is you." in await rita.see("review")
    assert await rita.post(path, csrf=csrf, **fields) == 303
    await age(firm.front)
    path, fields = await waiting(firm.front)
    assert await rita.post(path, csrf=csrf, **fields) == 200, "five minutes are over"


async def test_a_proof_is_for_the_session_that_asked_for_it(firm: Company) -> None:
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    rita = Comer(firm)
    assert await rita.signs_in("rita") == 303
    first = dict(rita.cookies)
    brought = await rita.signer.answers(await rita.sent("prove"), "rita")
    asked, rita.signer = rita.cookies["payflow_issuer"], Signer()
    assert await rita.signs_in("rita") == 303
    assert rita.cookies != first
    rita.cookies["payflow_issuer"] = asked
    assert await rita.returns(**brought) == 403
    assert "You signed out, or in again" in rita.text
    stranger = Comer(firm)
    assert await stranger.get("prove") == 303
    assert stranger.headers["Location"].startswith("/admin/sign-in")


async def test_who_has_a_passkey_is_asked_for_that_however_they_came(flagged_firm: Company) -> None:
    """Whoever runs the provider can sign in as anybody who comes by it; with a passkey they move no money."""
    firm = flagged_firm
    await firm.registered("rita", REVIEWER, aliases=("oidc:rita",))
    await firm.known("rita")
    rita, key = Comer(firm), Authenticator(firm.address, handle="rita")
    assert await rita.signs_in("rita") == 303
    assert await rita.adds(key) == 200, "adding one is held back as well"
    assert await rita.signs_in("rita", "prove") == 303
    assert await rita.adds(key) == 303
    path, fields = await waiting(firm.front)
    again = Comer(firm)
    assert await again.signs_in("rita") == 303
    await again.see("review")
    assert await again.post(path, csrf=again.field("csrf"), **fields) == 200
    assert "Confirm with your passkey" in again.text
    proof = again.page
    assert await again.get("prove") == 409
    assert "You have a passkey" in again.text
    for name in [key async for key in firm.front.store.link.keys("pf:passkeys:*")]:
        (one,) = await firm.front.store.link.ask("HKEYS", name)
        row = await firm.front.store.link.ask("HGET", name, one)
        await firm.front.store.link.ask("HSET", name, one, b"spoilt")
        assert await again.get("prove") == 409, "one that somebody spoilt in the store is no reason for less"
        await firm.front.store.link.ask("HSET", name, one, row)
    again.page = proof
    assert await again.proves(key.but(count=2)) == 303
