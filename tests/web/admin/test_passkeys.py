"""Passkeys: added, used and removed by whom they are of; what is not exactly what was asked is refused."""

import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import pytest

from payflow.config import Settings
from payflow.desk.identity import make_sign_in_link
from payflow.desk.passkeys import PROVEN_MS
from payflow.desk.person import Person
from payflow.store.registers.passkeys import ASKED_S, Passkeys
from payflow.store.registers.tokens import Role, Tokens, TokenScope
from payflow.store.row_list import Row
from tests.web.admin.authenticator import PRESENT, Authenticator
from tests.web.admin.visitor import Visitor
from tests.web.api.front import Front, open_front


@dataclass
class AtLocalhost:
    """The pages by the name that passkeys are for."""

    front: Front
    session: aiohttp.ClientSession
    """One that remembers no cookies: visitors do that themselves."""

    @property
    def address(self) -> str:
        return f"http://localhost:{urlsplit(self.front.address).port}"

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody."""
        return await self.front.token(role, of, name)


class Somebody(Visitor):
    """A visitor with passkeys."""

    def options(self) -> str:
        """Read what a form of the page asks a passkey."""
        (found,) = re.findall(r'data-options="([^"]*)"', self.page)
        return html.unescape(found)

    async def adds(self, key: Authenticator, label: str = "my laptop") -> int:
        """Add a passkey."""
        assert await self.get("passkeys") == 200
        made = key.made(self.options())
        return await self.post("passkeys/add", csrf=self.field("csrf"), label=label, credential=made)

    async def asked_who(self) -> str:
        """Ask for what the sign-in page asks for."""
        assert await self.post("sign-in/challenge") == 200
        return self.page

    async def comes_by(self, key: Authenticator) -> int:
        """Sign in by a passkey."""
        return await self.post("sign-in", credential=key.answer(await self.asked_who()))

    async def proves(self, key: Authenticator) -> int:
        """Send the form that was held back once more, with a proof."""
        (action,) = re.findall(r'<form class="panel stack" method="post" action="([^"]*)"', self.page)
        fields = dict(
            re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', self.page.partition("data-passkey")[2])
        )
        fields = {name: html.unescape(value) for name, value in fields.items()}
        return await self.post(action, **(fields | {"proof": key.answer(self.options())}))


@pytest.fixture
async def at(flagged: Front) -> AsyncIterator[AtLocalhost]:
    """The pages as a browser finds them on this machine."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield AtLocalhost(flagged, session)


async def rita(at: AtLocalhost, key: Authenticator | None = None, name: str = "rita") -> tuple[Somebody, Authenticator]:
    """Rita, who signed in with her token and has added a passkey."""
    key = key or Authenticator(at.address, handle=name)
    somebody = Somebody(at)
    await somebody.come(name)
    assert await somebody.adds(key) == 303, somebody.page
    return somebody, key


async def waiting(front: Front) -> tuple[str, dict[str, str]]:
    """A payout before the reviewers: where its yes is sent to, and what is sent."""
    made = await front.requested("100")
    seen = await front.in_review(made["id"])
    return f"records/{made['id']}/do/approve", {"seen": seen["fingerprint"]}


async def test_who_has_a_passkey_signs_in_by_it(at: AtLocalhost, flagged: Front) -> None:
    _, key = await rita(at)
    again = Somebody(at)
    assert await again.comes_by(key.but(count=2)) == 303
    assert await again.get("passkeys") == 200
    assert "rita reviewer" in again.text
    assert "my laptop" in again.text
    lines = [(line.who, line.act, line.why) for line in await flagged.store.audit.page(None, 2)]
    assert (
        lines
        == [
            ("rita", "sign in", "from 127.0.0.1, by the passkey my laptop"),
            ("rita", "add passkey", "my laptop"),
        ]
        or "::1" in lines[0][2]
    )


async def test_one_may_have_several_and_what_was_removed_proves_nothing(at: AtLocalhost, flagged: Front) -> None:
    somebody, key = await rita(at)
    phone = Authenticator(at.address, handle="rita")
    assert await somebody.adds(phone, "my phone") == 303, "she proved a moment ago that it is her"
    assert await Somebody(at).comes_by(phone.but(count=2)) == 303
    await somebody.see("passkeys")
    assert "my laptop" in somebody.text
    assert "my phone" in somebody.text
    first = (await Passkeys(flagged.store.link).of("rita"))[0]
    assert await somebody.post("passkeys/remove", csrf=somebody.field("csrf"), passkey_id=first.id) == 303
    assert await Somebody(at).comes_by(key.but(count=2)) == 403
    assert await Somebody(at).comes_by(phone.but(count=3)) == 303
    assert [line.act for line in await flagged.store.audit.page(None, 10)].count("remove passkey") == 1


async def test_a_passkey_signs_nobody_in_whose_token_was_revoked(at: AtLocalhost, flagged: Front) -> None:
    _, key = await rita(at)
    again = Somebody(at)
    assert await again.comes_by(key.but(count=2)) == 303
    await Tokens(flagged.store.link).revoke("rita", "boss")
    assert await again.get("review") == 303
    refused = Somebody(at)
    assert await refused.comes_by(key.but(count=3)) == 403
    assert not refused.cookie


async def test_a_passkey_is_no_other_persons_who_took_over_the_name_of_a_token(at: AtLocalhost, flagged: Front) -> None:
    """Passkeys are looked for by the name in small letters, as tokens are."""
    somebody, key = await rita(at)
    rob = Somebody(at)
    await rob.come("rob")
    assert await Somebody(at).comes_by(key.but(count=2, handle="rob")) == 403
    assert await Somebody(at).comes_by(key.but(count=2, handle="RITA")) == 303
    assert await somebody.get("passkeys") == 200


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "http://localhost:1"},
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"flags": PRESENT},
        {"flags": 0},
        {"kind": "webauthn.get"},
        {"kind": "payment.get"},
    ],
)
async def test_a_passkey_that_was_made_otherwise_is_not_added(
    at: AtLocalhost, flagged: Front, lie: dict[str, str]
) -> None:
    somebody = Somebody(at)
    await somebody.come("rita")
    assert await somebody.adds(Authenticator(at.address, handle="rita").but(**lie)) in (403, 409)
    assert await Passkeys(flagged.store.link).of("rita") == []


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "http://localhost:1"},
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"flags": PRESENT},
        {"flags": 0},
        {"kind": "webauthn.create"},
        {"count": 1},
        {"count": 0},
        {"id": b"x" * 32},
        {"handle": ""},
        {"handle": "rob"},
        {"handle": "*"},
        {"key": Authenticator("").key},
    ],
)
async def test_an_answer_that_is_not_what_was_asked_signs_nobody_in(at: AtLocalhost, lie: dict[str, str]) -> None:
    _, key = await rita(at)
    stranger = Somebody(at)
    assert await stranger.comes_by(key.but(**({"count": 2} | lie))) == 403, lie
    assert not stranger.cookie
    assert await stranger.comes_by(key.but(count=2)) == 303, "and the true one still does"


async def test_a_count_that_went_back_is_a_copy_and_one_that_never_counts_is_not(at: AtLocalhost) -> None:
    _, key = await rita(at)
    for count, status in ((7, 303), (7, 403), (6, 403), (8, 303)):
        assert await Somebody(at).comes_by(key.but(count=count)) == status
    _, uncounted = await rita(at, Authenticator(at.address, handle="rob", count=0), "rob")
    for _ in range(2):
        assert await Somebody(at).comes_by(uncounted) == 303


async def test_what_was_signed_once_is_good_once(at: AtLocalhost) -> None:
    _, key = await rita(at)
    stranger = Somebody(at)
    shown = key.but(count=2).answer(await stranger.asked_who())
    assert await stranger.post("sign-in", credential=shown) == 303
    thief = Somebody(at)
    assert await thief.post("sign-in", credential=shown) == 409
    assert not thief.cookie


async def test_what_was_asked_is_over_after_minutes(at: AtLocalhost, flagged: Front) -> None:
    _, key = await rita(at)
    stranger = Somebody(at)
    options = await stranger.asked_who()
    asked = [one async for one in flagged.store.link.keys("pf:passkey-challenge:*")]
    assert asked
    for one in asked:
        assert 0 < await flagged.store.link.ask("TTL", one) <= ASKED_S
        await flagged.store.link.ask("DEL", one)
    assert await stranger.post("sign-in", credential=key.but(count=2).answer(options)) == 409


async def test_what_was_asked_for_one_thing_or_in_one_session_is_answered_for_no_other(
    at: AtLocalhost, flagged: Front
) -> None:
    path, fields = await waiting(flagged)
    _, key = await rita(at)
    one, other = Somebody(at), Somebody(at)
    for count, visitor in ((2, one), (3, other)):
        assert await visitor.comes_by(key.but(count=count)) == 303
        await visitor.see("passkeys")
        await age(flagged)
    assert await one.post(path, csrf=one.field("csrf"), **fields) == 200, one.text
    held = one.options()
    assert await Somebody(at).post("sign-in", credential=key.but(count=9).answer(held)) == 409
    csrf = other.field("csrf")
    assert await one.post(path, csrf=one.field("csrf"), **fields) == 200
    shown = key.but(count=10).answer(one.options())
    assert await other.post(path, csrf=csrf, proof=shown, **fields) == 409, "another session of hers"
    sign_in = key.but(count=11).answer(await Somebody(at).asked_who())
    assert await other.post(path, csrf=csrf, proof=sign_in, **fields) == 409, "what was asked at the sign-in"


async def age(front: Front) -> None:
    """Let the last proof in each session be long ago, as a clock would."""
    link = front.store.link
    for key in [key async for key in link.keys("pf:session:*")]:
        fields = await link.ask("HGETALL", key)
        fields[b"proven"] = b"%d" % max(0, int(fields[b"proven"]) - PROVEN_MS - 1000)
        mac = link.macs.sign_fields(key, fields, frozenset({b"said", b"opened_at", b"seen_at", b"from"}))
        async with link.rows.changing(link, Row(key, "mac"), mac):
            await link.ask("HSET", key, "proven", fields[b"proven"], "mac", mac)


async def test_what_moves_money_asks_for_a_proof_where_there_is_a_passkey(at: AtLocalhost, flagged: Front) -> None:
    path, fields = await waiting(flagged)
    _, key = await rita(at)
    somebody = await Somebody(at).come("rita")
    assert isinstance(somebody, Somebody)
    assert await somebody.post(path, csrf=somebody.field("csrf"), **fields) == 200
    assert "Nothing was done yet" in somebody.text
    assert (await flagged.record(path.split("/")[1])).state == "REQUESTED"
    page = somebody.page
    assert await somebody.proves(key.but(count=2, key=Authenticator("").key)) == 403
    assert (await flagged.record(path.split("/")[1])).state == "REQUESTED"
    somebody.page = page
    assert await somebody.proves(key.but(count=2)) == 409, "what was asked is used up, whatever the answer was"
    await somebody.see()
    assert await somebody.post(path, csrf=somebody.field("csrf"), **fields) == 200
    assert await somebody.proves(key.but(count=2)) == 303
    assert (await flagged.record(path.split("/")[1])).data.approvals[0].by == "rita"
    path, fields = await waiting(flagged)
    await somebody.see()
    assert await somebody.post(path, csrf=somebody.field("csrf"), **fields) == 303, "she proved it a moment ago"
    await age(flagged)
    path, fields = await waiting(flagged)
    await somebody.see()
    assert await somebody.post(path, csrf=somebody.field("csrf"), **fields) == 200, "and that was long ago"


async def test_nobody_proves_by_a_passkey_of_somebody_else(at: AtLocalhost, flagged: Front) -> None:
    path, fields = await waiting(flagged)
    await rita(at)
    _, robs = await rita(at, name="rob")
    somebody = await Somebody(at).come("rita")
    assert isinstance(somebody, Somebody)
    assert await somebody.post(path, csrf=somebody.field("csrf"), **fields) == 200
    assert await somebody.proves(robs.but(count=2)) == 403
    assert (await flagged.record(path.split("/")[1])).state == "REQUESTED"


async def test_a_form_that_was_held_back_is_sent_with_all_that_stood_in_it(at: AtLocalhost, flagged: Front) -> None:
    made = await flagged.requested("100")
    await flagged.in_review(made["id"])
    key = Authenticator(at.address, handle="otto")
    otto = Somebody(at)
    await otto.come("otto", Role.OPERATOR)
    assert await otto.adds(key) == 303
    otto = Somebody(at)
    await otto.come("otto", Role.OPERATOR)
    await otto.see(f"records/{made['id']}/do/cancel")
    fields = {"csrf": otto.field("csrf"), "seen": otto.field("seen"), "reason": 'a "reason" & <more>'}
    assert await otto.post(f"records/{made['id']}/do/cancel", **fields) == 200
    assert await otto.proves(key.but(count=2)) == 303
    record = await flagged.record(made["id"])
    assert record.state == "CANCELLED"
    history = await flagged.store.records.history(record.id)
    assert 'a "reason" & <more>' in history[-1].why


async def test_who_has_no_passkey_goes_on_as_before(at: AtLocalhost, flagged: Front) -> None:
    path, fields = await waiting(flagged)
    await rita(at)
    rob = await Somebody(at).come("rob")
    assert await rob.post(path, csrf=rob.field("csrf"), **fields) == 303


async def test_who_has_a_passkey_proves_it_before_another_is_added_or_a_command_line_signed_in(
    at: AtLocalhost, flagged: Front
) -> None:
    """Else a token, or a cookie, that was stolen would be as good as the passkey."""
    _, key = await rita(at)
    login = (await flagged.call("POST", "/api/login", {"account": "thief@elsewhere"})).body
    thief = await Somebody(at).come("rita")
    assert isinstance(thief, Somebody)
    assert await thief.adds(Authenticator(at.address, handle="rita"), "the thief's") == 200
    assert "Is it you?" in thief.text
    assert len(await Passkeys(flagged.store.link).of("rita")) == 1
    await thief.see()
    assert await thief.post("login/confirm", csrf=thief.field("csrf"), code=login["code"]) == 200
    assert "Is it you?" in thief.text
    assert (await flagged.call("POST", "/api/login/answer", {"secret": login["secret"]})).body["status"] == "waiting"
    first = (await Passkeys(flagged.store.link).of("rita"))[0]
    await thief.see()
    assert await thief.post("passkeys/remove", csrf=thief.field("csrf"), passkey_id=first.id) == 200
    assert await Passkeys(flagged.store.link).of("rita") == [first]
    assert key.id


async def test_who_was_let_in_by_another_is_not_themselves_by_a_passkey_either(at: AtLocalhost, flagged: Front) -> None:
    await flagged.token(Role.REVIEWER, name="rita")
    link = await make_sign_in_link(flagged.store, "rita", Person("olu", Role.OPERATOR))
    puppet, key = Somebody(at), Authenticator(at.address, handle="rita")
    assert await puppet.post("sign-in", link=link) == 303
    assert await puppet.adds(key) == 303
    (passkey,) = await Passkeys(flagged.store.link).of("rita")
    assert passkey.let_in_by == "olu"
    assert await Somebody(at).comes_by(key.but(count=2)) == 303
    sessions = [key async for key in flagged.store.link.keys("pf:session:*")]
    assert {await flagged.store.link.ask("HGET", one, "by") for one in sessions} == {b"olu"}


@pytest.mark.parametrize("shown", ["", "{", "[]", "null", "1", '{"id": 1}', '{"id":"é","response":{}}', "x" * 40_000])
async def test_what_is_no_answer_is_refused_in_a_sentence(at: AtLocalhost, shown: str) -> None:
    await rita(at)
    stranger = Somebody(at)
    assert await stranger.post("sign-in", credential=shown) in (400, 403, 409)
    assert 'role="alert"' in stranger.page
    somebody = await Somebody(at).come("rob")
    assert await somebody.post("passkeys/add", csrf=somebody.field("csrf"), label="x", credential=shown) == 409


def changed(text: str, place: int) -> str:
    """Change one letter."""
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


async def test_bytes_of_anybodys_making_break_nothing(at: AtLocalhost, flagged: Front) -> None:
    """Every byte of an answer, changed: refused, and never a failure of ours."""
    _, key = await rita(at)
    stranger = Somebody(at)
    for place in range(0, 100, 4):
        for name in ("authenticatorData", "signature"):
            answer = json.loads(key.but(count=2).answer(await stranger.asked_who()))
            if place < len(answer["response"][name]) - 1:  # the last letter has bits that say nothing
                answer["response"][name] = changed(answer["response"][name], place)
                assert await stranger.post("sign-in", credential=json.dumps(answer)) in (400, 403), (name, place)
    somebody = Somebody(at)
    await somebody.come("rob")
    for place in range(0, 300, 11):
        assert await somebody.get("passkeys") == 200
        made = json.loads(Authenticator(at.address, handle="rob").made(somebody.options()))
        text = made["response"]["attestationObject"]
        if place >= len(text):
            break
        made["response"]["attestationObject"] = changed(text, place)
        fields = {"csrf": somebody.field("csrf"), "label": "x", "credential": json.dumps(made)}
        status = await somebody.post("passkeys/add", **fields)
        assert status in (303, 403, 409), place
        if status == 303:  # it was a byte that says nothing, such as of the name
            for passkey in await Passkeys(flagged.store.link).of("rob"):
                await Passkeys(flagged.store.link).remove(passkey)


async def test_a_page_at_another_address_says_where_passkeys_are(flagged: Front) -> None:
    visitor = await Visitor(flagged).come("rita")
    await visitor.see("passkeys")
    assert "this page was opened elsewhere" in visitor.text
    assert await visitor.post("passkeys/add", csrf=visitor.field("csrf"), label="x", credential="{}") == 409
    assert await visitor.post("sign-in/challenge") == 409


async def test_with_an_address_that_is_set_passkeys_are_for_its_host_alone(settings: Settings) -> None:
    async with open_front(settings, public_url="https://pay.example.com") as front:
        visitor = Somebody(front)
        await visitor.come("rita")
        assert await visitor.get("passkeys", Host="pay.example.com") == 200
        options = json.loads(visitor.options())
        assert options["rp"]["id"] == "pay.example.com"
        key = Authenticator("https://pay.example.com", host="pay.example.com", handle="rita")
        headers = {"Host": "pay.example.com"}
        fields = {"csrf": visitor.field("csrf"), "label": "x", "credential": key.made(visitor.options())}
        assert await visitor.post("passkeys/add", headers, **fields) == 303
        await visitor.get("passkeys", Host="pay.example.com")
        (passkey,) = await Passkeys(front.store.link).of("rita")
        assert passkey.label == "x"


async def test_a_token_approves_at_the_api_within_its_limits_whatever_passkeys_there_are(
    at: AtLocalhost, flagged: Front
) -> None:
    """It is the proof that it was made to be; what it may not, it may not with a passkey at hand either."""
    somebody, _ = await rita(at)
    tokens = Tokens(flagged.store.link)
    made = [(await flagged.requested("100"))["id"] for _ in range(2)]
    seen = {one: {"fingerprint": (await flagged.in_review(one))["fingerprint"]} for one in made}

    async def approves(secret: str, one: str) -> int:
        return (await flagged.call("POST", f"/api/reviews/{one}/approve", seen[one], token=secret)).status

    narrow = {
        "small": TokenScope(most={"NGN": 99_99}),
        "reading": TokenScope(reads_only=True),
        "elsewhere": TokenScope(networks=("10.0.0.0/8",)),
    }
    for name, scope in narrow.items():
        secret = await tokens.create(name, Role.REVIEWER, "", "test", scope=scope)
        assert await approves(secret, made[0]) == 403, name
    operates = await tokens.create("otto", Role.OPERATOR, "", "test")
    assert await approves(operates, made[0]) == 403
    assert await approves(await flagged.token(Role.REVIEWER, name="rita"), made[0]) == 200
    await age(flagged)
    await flagged.until(made[0], "COMPLETED")
    await somebody.see("passkeys")
    assert await somebody.post(f"records/{made[1]}/do/approve", csrf=somebody.field("csrf"), seen="0") == 200
    assert "Nothing was done yet." in somebody.page, "the session of the same person is asked"
    assert (await flagged.record(made[1])).state == "REQUESTED"
