"""Persons of the register need no token: a link, then a passkey; what they may be is the register's to say."""

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from machines.core.clock import DAY, FixedClock, Millis
from machines.core.errors import NotAllowed
from payflow.desk.identity import disable_person, make_sign_in_link, takes_two
from payflow.desk.login import answer_login, ask_login, collect_login
from payflow.desk.passkeys import passkeys_of, remove_passkey
from payflow.desk.person import Person, identified, shell
from payflow.store.registers.passkeys import Passkey, Passkeys
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Session, Tokens, TokenScope
from tests.web.admin.authenticator import Authenticator
from tests.web.admin.test_passkeys import AtLocalhost, Somebody
from tests.web.api.front import Front

OPERATOR, REVIEWER, VIEWER = Role.OPERATOR, Role.REVIEWER, Role.VIEWER


@pytest.fixture
async def at(flagged: Front) -> AsyncIterator[AtLocalhost]:
    """The pages as a browser finds them on this machine."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield AtLocalhost(flagged, session)


async def registered(front: Front, name: str, *roles: Role, made_by: str = "shell:root@host") -> RegisteredPerson:
    """Register somebody."""
    person = RegisteredPerson(name, frozenset(roles), made_by, await front.store.records.now())
    return await front.store.persons.write(person)


async def come(at: AtLocalhost, name: str, *roles: Role) -> tuple[Somebody, Authenticator]:
    """Somebody without a token, who came by a link that a shell made, and added a passkey."""
    await registered(at.front, name, *roles)
    link = await make_sign_in_link(at.front.store, name, shell())
    somebody, key = Somebody(at), Authenticator(at.address, handle=name)
    assert await somebody.post("sign-in", link=link) == 303, somebody.page
    assert await somebody.adds(key) == 303, somebody.page
    return somebody, key


async def test_a_person_comes_by_a_link_and_then_by_a_passkey_and_never_has_a_token(
    at: AtLocalhost, flagged: Front
) -> None:
    _, key = await come(at, "olu", OPERATOR)
    assert [one for one in await Tokens(flagged.store.link).all() if one.holder == "olu"] == []
    again = Somebody(at)
    assert await again.comes_by(key.but(count=2)) == 303, again.page
    assert "olu operator" in await again.see("records")
    assert "olu operator, let in by" in await again.see("sessions"), "whoever made the link"
    await disable_person(flagged.store, "olu", "left", shell())
    assert await again.get("records") == 303, "at once"
    assert await Somebody(at).comes_by(key.but(count=3)) == 403


async def test_who_may_be_several_things_is_one_at_a_time_and_says_which(at: AtLocalhost, flagged: Front) -> None:
    olu, _ = await come(at, "olu", REVIEWER, OPERATOR)
    assert "olu operator Be reviewer" in await olu.see()
    assert await olu.post("sessions/role", csrf=olu.field("csrf"), role="viewer") == 403
    assert await olu.send("sessions/role", role="reviewer") == 200
    assert "olu reviewer Be operator" in olu.text
    assert await olu.post("pause", csrf=olu.field("csrf"), scope="rail:flutterwave", reason="no") == 403
    person = await flagged.store.persons.find("olu")
    assert person
    await flagged.store.persons.write(replace(person, roles=frozenset({OPERATOR})))
    assert await olu.get() == 303, "what the register takes away is gone at once"


async def test_a_link_for_oneself_makes_nobody_more_than_they_are_now(at: AtLocalhost, flagged: Front) -> None:
    await registered(flagged, "olu", VIEWER, OPERATOR)
    link = await make_sign_in_link(flagged.store, "olu", Person("olu", VIEWER))
    somebody = Somebody(at)
    assert await somebody.post("sign-in", link=link) == 303
    assert "Be operator" not in await somebody.see()
    assert "olu viewer" in somebody.text


def passkey_of(name: str, token: str = "", by: str = "shell:root@host") -> Passkey:
    """A passkey that was added once."""
    return Passkey(f"id of {name}", name, "laptop", b"", 0, token, by, Millis(0), Millis(0))


async def test_two_who_come_by_passkeys_alone_are_two_and_neither_is_rid_of_the_other_alone(flagged: Front) -> None:
    """Whoever removes the other one's passkey, or disables them, does not act alone at once."""
    store = flagged.store
    passkeys = Passkeys(store.link)
    for name in ("olu", "otto"):
        assert not await takes_two(store)
        await registered(flagged, name, OPERATOR)
        await passkeys.add(passkey_of(name))
    assert await takes_two(store)
    await registered(flagged, "rita", REVIEWER)
    with pytest.raises(NotAllowed, match="nobody lets rita in alone"):
        await make_sign_in_link(store, "rita", Person("olu", OPERATOR))
    await remove_passkey(store, "olu", "otto", "id")
    assert await passkeys_of(store, "otto") == []
    assert await takes_two(store), "he is remembered"
    await disable_person(store, "otto", "no reason", Person("olu", OPERATOR))
    assert await takes_two(store), "and still is"


async def test_who_was_made_and_let_in_by_the_other_one_is_no_second_one(flagged: Front) -> None:
    await registered(flagged, "olu", OPERATOR)
    await registered(flagged, "otto", OPERATOR)
    await Passkeys(flagged.store.link).add(passkey_of("olu"))
    await Passkeys(flagged.store.link).add(passkey_of("otto", by="olu"))
    assert not await takes_two(flagged.store)


@pytest.mark.parametrize(
    ("scope", "role", "opens"),
    [
        (TokenScope(), REVIEWER, True),
        (TokenScope(), VIEWER, False),
        (TokenScope(most={"NGN": 1}), REVIEWER, False),
        (TokenScope(networks=("127.0.0.0/8",)), REVIEWER, False),
    ],
)
async def test_a_passkey_outlives_a_token_that_ended_by_itself_and_is_no_wider_than_that(
    at: AtLocalhost, flagged: Front, scope: TokenScope, role: Role, *, opens: bool
) -> None:
    await registered(flagged, "rita", REVIEWER, OPERATOR)
    link, key = flagged.store.link, Authenticator(at.address, handle="rita")
    long_ago = Tokens(link, FixedClock(1_000_000_000_000))
    await long_ago.create("rita-laptop", role, "", "olu", person="rita", lasts_ms=DAY, scope=scope)
    public = Somebody(at)
    fresh = await Tokens(link).create("rita-fresh", REVIEWER, "", "olu", person="rita")
    assert await public.sign_in(fresh) == 303
    assert await public.adds(key) == 303
    (added,) = await Passkeys(link).of("rita")
    assert await Passkeys(link).change(added, replace(added, token="rita-laptop"))
    somebody = Somebody(at)
    assert await somebody.comes_by(key.but(count=2)) == (303 if opens else 403), somebody.page
    if opens:
        assert "Be operator" not in await somebody.see(), "the token was for a reviewer"
        assert "rita reviewer, let in by olu" in await somebody.see("sessions")
        await Tokens(link).revoke("rita-laptop", "olu")
        assert await Somebody(at).comes_by(key.but(count=3)) == 403, "what was revoked ends all that came from it"


async def test_a_command_line_acts_as_who_has_no_token(flagged: Front) -> None:
    store = flagged.store
    await registered(flagged, "olu", REVIEWER, OPERATOR)
    session = Session("", "rita", person="olu", roles=(REVIEWER, OPERATOR))
    asked = await ask_login(store, "ann@laptop", "10.0.0.1")
    await answer_login(store, asked.code, Person("olu", REVIEWER), session)
    given = await collect_login(store, asked.secret)
    assert given
    assert (given.who, given.role) == ("olu", "reviewer")
    caller = await identified(store, await Tokens(store.link).find(given.secret))
    assert caller
    assert (caller.who, caller.role, caller.made_by, caller.token) == ("olu", REVIEWER, "rita", "")
    await disable_person(store, "olu", "left", shell())
    assert await identified(store, await Tokens(store.link).find(given.secret)) is None
