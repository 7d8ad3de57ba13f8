"""A row of ours that was put back, or taken away, counts for nothing and is found: a list says what it is now."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from machines.core.clock import FixedClock
from machines.core.ids import Owner
from machines.core.ports import Destination
from payflow.desk.books import Bookkeeper, faults_of
from payflow.store import keys
from payflow.store.macs import Forged
from payflow.store.pauses import BOOKS, CHANGED, EVERYTHING
from payflow.store.registers.passkeys import Passkey, Passkeys
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.registers.profiles import Profile
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.sign_ins import SignInLink, SignInLinks
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, digest_of
from payflow.store.row_list import Row
from payflow.store.signed_rows import LISTED
from payflow.store.store import Store
from tests.desk import ANN, opened, settings_for
from tests.servers import Deployment
from tests.store.test_signed_rows import owned

HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))
AWAY = Destination("bank", (("bank_code", "044"), ("account_number", "0690000032")))


class Change(NamedTuple):
    """One change that takes something away from somebody, and what would be believed if it were undone by hand."""

    key: str
    undone: Callable[[], Awaitable[object]]
    """Whether what was taken away counts again."""


Story = Callable[[Store, FixedClock], AsyncIterator[Change | None]]


async def a_token_is_revoked(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    tokens = Tokens(store.link, clock)
    secret = await tokens.create("vic", Role.OPERATOR, "", "boss")
    yield Change(keys.token(digest_of(secret)), lambda: tokens.find(secret))
    await tokens.revoke("vic", "boss")
    yield None


async def a_session_is_ended(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    secret = await Tokens(store.link, clock).create("vic", Role.OPERATOR, "", "boss")
    sessions = Sessions(store.link)
    shown = await sessions.open(Session(digest_of(secret)), 600)
    yield Change(keys.session(digest_of(shown)), lambda: sessions.find(shown))
    await sessions.close(shown)
    yield None


async def a_link_is_used(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    links = SignInLinks(store.link)
    shown = await links.make(SignInLink(digest_of("whatever"), f"boss at {clock.now()}"))
    yield Change(keys.sign_in_link(digest_of(shown)), lambda: links.take(shown))
    assert await links.take(shown)
    yield None


async def a_person_is_disabled(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    person = await store.persons.write(RegisteredPerson("vic", frozenset({Role.OPERATOR}), "boss", clock.now()))

    async def works() -> bool:
        found = await store.persons.find("vic")
        return found is None or found.disabled_at is None

    yield Change(keys.PERSONS, works)
    await store.persons.write(replace(person, disabled_at=clock.now(), disabled_by="boss"))
    yield None


async def a_profile_gets_another_destination(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    before = await store.profiles.write(Profile(ANN), Profile(ANN, destination=AWAY), clock.now())

    async def pays_away() -> bool:
        return (await store.profiles.read(ANN)).destination == AWAY

    yield Change(owned(ANN, store), pays_away)
    await store.profiles.write(before, replace(before, destination=HOME), clock.now())
    yield None


async def a_grant_is_lowered(store: Store, _: FixedClock) -> AsyncIterator[Change | None]:
    await store.platforms.grant("shop", PlatformGrant({"NGN": 10**9}))

    async def is_high() -> bool:
        return (await store.platforms.granted("shop")).daily.get("NGN") != 5

    yield Change(keys.PLATFORMS, is_high)
    await store.platforms.grant("shop", PlatformGrant({"NGN": 5}))
    yield None


async def a_rail_is_paused(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    await store.pauses.pause("rail:paystack", "ola", "an older one", clock.now())

    async def may_send() -> bool:
        return not {"rail:flutterwave", EVERYTHING} & set(await store.pauses.all())

    yield Change(keys.PAUSE, may_send)
    await store.pauses.pause("rail:flutterwave", "ola", "a bad feeling", clock.now())
    yield None


async def a_passkey_is_removed(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    passkeys = Passkeys(store.link)
    passkey = Passkey("id", "vic", "phone", b"key", 1, "vic", "", clock.now(), clock.now())
    await passkeys.add(passkey)
    yield Change(keys.passkeys("vic"), lambda: passkeys.of("vic"))
    assert await passkeys.remove(passkey)
    yield None


async def an_account_is_locked_out(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    tokens = Tokens(store.link, clock)

    async def may_come_in() -> bool:
        return not await tokens.locked_out("github:5")

    await tokens.create("github-5", Role.PROVIDER, "github:5", "github")
    yield Change(keys.TOKENS, may_come_in)
    await tokens.revoke("github-5", "boss")
    yield None


async def a_proposal_is_confirmed(store: Store, clock: FixedClock) -> AsyncIterator[Change | None]:
    proposals = Proposals(store.link)
    proposal = Proposal("override", "one", {"to": "DONE"}, "operator", "because", "ola", 1, clock.now())
    assert await proposals.make(proposal)
    yield Change(keys.PROPOSED, lambda: proposals.waiting(clock.now()))
    assert await proposals.take(proposal)
    yield None


STORIES: list[Story] = [
    a_token_is_revoked,
    a_session_is_ended,
    a_link_is_used,
    a_person_is_disabled,
    a_profile_gets_another_destination,
    a_grant_is_lowered,
    a_rail_is_paused,
    a_passkey_is_removed,
    an_account_is_locked_out,
    a_proposal_is_confirmed,
]


async def undone(change: Change) -> object:
    """Whether what was taken away counts again; what is refused with an error does not."""
    with suppress(Forged):
        return await change.undone()
    return None


async def lines_of(store: Store) -> dict[str, bytes]:
    """Copy the whole list."""
    return {key: await store.link.ask("DUMP", key) async for key in store.link.keys(keys.rows("*"))}


async def put_back(store: Store, dumps: dict[str, bytes | None]) -> None:
    for key, dump in dumps.items():
        await store.link.ask("DEL", key)
        if dump is not None:
            await store.link.ask("RESTORE", key, 0, dump)


@pytest.mark.parametrize("how", ["the row", "and its line", "and all of the list"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_row_that_is_put_back_as_it_was_counts_for_nothing_and_is_found(
    store: Store, clock: FixedClock, story: Story, how: str
) -> None:
    telling = story(store, clock)
    change = await anext(telling)
    assert change is not None
    row = await store.link.ask("DUMP", change.key)
    lines = await lines_of(store)
    before = {key: await store.link.ask("HGETALL", key) for key in lines}
    await anext(telling)
    assert not await change.undone()
    assert [fault async for fault in faults_of(store)] == []
    await put_back(store, {change.key: row})
    if how == "and its line":
        for key, fields in before.items():
            fields.pop(b"#")
            for name in await store.link.ask("HKEYS", key):
                if name != b"#" and name not in fields:
                    await store.link.ask("HDEL", key, name)
            if fields:
                await store.link.ask("HSET", key, *(part for pair in fields.items() for part in pair))
    if how == "and all of the list":
        await put_back(store, dict(lines))
    if (story, how) != (a_link_is_used, "the row"):  # it is refused when somebody shows it, and ends by itself
        assert [fault async for fault in faults_of(store)] != []
    if how != "and its line":  # that one is found by the walk
        assert not await undone(change)


# The others end by themselves, and nobody is let in by what is not there.
LASTING = [one for one in STORIES if one not in (a_session_is_ended, a_link_is_used, a_proposal_is_confirmed)]


@pytest.mark.parametrize("story", LASTING, ids=lambda story: story.__name__)
async def test_a_row_that_is_taken_away_is_found(store: Store, clock: FixedClock, story: Story) -> None:
    telling = story(store, clock)
    change = await anext(telling)
    assert change is not None
    if story is not a_passkey_is_removed:
        await anext(telling)
    told: list[str] = []
    store.link.macs.on_forged = told.append
    await store.link.ask("DEL", change.key)
    if story in (a_person_is_disabled, a_rail_is_paused, an_account_is_locked_out):
        assert not await undone(change), "absence lets nobody in"
    assert [place async for place in store.rows.unlisted()] != []
    assert told


async def test_of_who_has_no_passkey_any_more_one_is_asked_for_all_the_same(store: Store, clock: FixedClock) -> None:
    passkey = Passkey("id", "vic", "phone", b"key", 1, "vic", "", clock.now(), clock.now())
    await Passkeys(store.link).add(passkey)
    await store.link.ask("DEL", keys.passkeys("vic"))
    assert await Passkeys(store.link).any_of("vic")
    assert not await Passkeys(store.link).any_of("vera")


async def test_who_dies_between_the_steps_leaves_a_row_that_the_next_walks_settle(
    store: Store, clock: FixedClock
) -> None:
    platform, row = "shop", Row(keys.PLATFORMS, "shop")
    await store.platforms.grant(platform, PlatformGrant({"NGN": 5}))
    old = await store.link.ask("HGET", *row)
    with pytest.raises(RuntimeError, match="power cut"):
        async with store.link.rows.changing(store.link, row, b"another"):
            raise RuntimeError("power cut")
    rows = store.link.rows
    settle, rows._settle = rows._settle, _nothing  # type: ignore[method-assign, assignment]  # noqa: SLF001
    await store.platforms.grant(platform, PlatformGrant({"NGN": 6}))
    rows._settle = settle  # type: ignore[method-assign]  # noqa: SLF001
    assert await store.platforms.granted(platform) == PlatformGrant({"NGN": 6})
    for _ in range(2):
        assert [place async for place in store.rows.unlisted()] == []
    await store.link.ask("HSET", *row, old)
    assert [place async for place in store.rows.unlisted()] == [row.place]
    assert clock.now()


async def _nothing(*_: object) -> None:
    pass


async def test_many_may_change_rows_at_once(server: Deployment, tmp_path: Path, clock: FixedClock) -> None:
    async with (
        opened(settings_for(server, tmp_path), clock=clock) as one,
        opened(settings_for(server, tmp_path), clock=clock) as other,
    ):

        async def busy(store: Store, name: str) -> None:
            tokens = Tokens(store.link, clock)
            secret = await tokens.create(name, Role.VIEWER, "", "boss")
            owner = Owner(name)
            profile = await store.profiles.write(Profile(owner), Profile(owner, destination=HOME), clock.now())
            await store.profiles.write(profile, replace(profile, destination=AWAY), clock.now())
            assert await tokens.find(secret) is not None
            await store.platforms.grant("shop", PlatformGrant({"NGN": len(name)}))
            await tokens.revoke(name, "boss")
            assert await tokens.find(secret) is None

        await asyncio.gather(
            *(busy(store, f"{name}{place}") for place in range(8) for name, store in (("a", one), ("b", other)))
        )
        for store in (one, other):
            assert [fault async for fault in faults_of(store)] == []


async def test_rows_of_the_version_before_are_listed_once_and_the_list_cannot_be_begun_again(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock) as store:
        await store.platforms.grant("shop", PlatformGrant({"NGN": 5}))
        lines = await lines_of(store)
        await put_back(store, dict.fromkeys(lines))
    for name in (LISTED, "anchors.marks"):
        (tmp_path / name).unlink()
    async with opened(settings, clock=clock) as store:
        assert (await store.platforms.granted("shop")).daily == {"NGN": 5}
        assert [fault async for fault in faults_of(store)] == []
        await put_back(store, dict.fromkeys(lines))
    async with opened(settings, clock=clock) as store:
        with pytest.raises(Forged):
            await store.platforms.granted("shop")
        assert EVERYTHING in await store.pauses.all()
        await store.adopt()
        assert (await store.platforms.granted("shop")).daily == {"NGN": 5}
        assert await store.pauses.all() == {}
        assert [fault async for fault in faults_of(store)] == []


async def test_a_list_that_was_put_back_stops_everything_until_it_is_believed(store: Store, clock: FixedClock) -> None:
    await store.platforms.grant("shop", PlatformGrant({"NGN": 5}))
    lines = await lines_of(store)
    await store.platforms.grant("shop", PlatformGrant({"NGN": 6}))
    await put_back(store, dict(lines))
    await Bookkeeper(store, 30, 3600).check_in_turn()
    assert (await store.pauses.all())[EVERYTHING].who in (BOOKS, CHANGED)
    await store.adopt()
    await store.pauses.resume(EVERYTHING)
    await Bookkeeper(store, 30, 3600).check_in_turn()
    assert await store.pauses.all() == {}
    assert (await store.platforms.granted("shop")).daily == {"NGN": 6}
