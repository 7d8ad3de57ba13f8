"""Rows beside the records that somebody wrote by hand count as if they were not there, and are found."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from machines.core.clock import DAY, FixedClock
from machines.core.errors import StoreUnfit
from machines.core.ids import Owner
from machines.core.ports import Destination
from payflow.desk.books import faults_of
from payflow.desk.reseal import reseal
from payflow.store import keys
from payflow.store.macs import Forged
from payflow.store.pauses import CHANGED, EVERYTHING
from payflow.store.registers.logins import PendingLogin, PendingLogins
from payflow.store.registers.passkeys import Passkey, Passkeys
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.registers.profiles import Profile, Profiles
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.sign_ins import SignInLink, SignInLinks
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, digest_of
from payflow.store.registers.webhook_endpoints import SigningSecret, WebhookEndpoint
from payflow.store.seals import Seals, new_key
from payflow.store.signed_rows import LISTED, MARK
from payflow.store.store import Store, open_store
from tests.desk import ANN, BOB, opened, settings_for
from tests.servers import Deployment

HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))
SECRET = "payflow_" + "x" * 43


async def fill(store: Store, clock: FixedClock) -> dict[str, str]:
    """Make one row of each kind, and a second one whose parts may be copied; gives what tokens show."""
    tokens, now = Tokens(store.link, clock), clock.now()
    shown = {name: await tokens.create(name, Role.VIEWER, "", "boss", lasts_ms=DAY) for name in ("vic", "vera")}
    for name in ("vic", "vera"):
        await store.persons.write(RegisteredPerson(name, frozenset({Role.VIEWER}), "boss", now))
    for owner, verified in ((ANN, False), (BOB, True)):
        await store.profiles.write(Profile(owner), Profile(owner, "shop", verified, destination=HOME), now)
    for platform, most in (("shop", 5), ("mall", 10**9)):
        await store.platforms.grant(platform, PlatformGrant({"NGN": most}))
    for platform in ("shop", "mall"):
        secret = SigningSecret("whsec_" + "c2VjcmV0" * 5)
        one = WebhookEndpoint(f"{platform}.one", "https://shop.example/", (secret,), "boss", now)
        await store.webhook_endpoints.write(one)
    for subject in ("one", "two"):
        proposal = Proposal("override", subject, {"to": "DONE"}, "operator", "because", "ola", 1, now)
        assert await Proposals(store.link).make(proposal)
    for person in ("vic", "vera"):
        passkey = Passkey("id", person, f"of {person}", person.encode(), 1, person, "", now, now)
        await Passkeys(store.link).add(passkey)
        digest = digest_of(shown[person])
        shown[f"session of {person}"] = await Sessions(store.link).open(Session(digest, "boss"), 600)
        shown[f"link of {person}"] = await SignInLinks(store.link).make(SignInLink(digest, "boss"))
        login, code = await PendingLogins(store.link).ask(PendingLogin(person, "10.0.0.1", now))
        assert await PendingLogins(store.link).decide(code, Session(digest, "boss"))
        shown[f"login of {person}"] = login
    for scope in ("rail:flutterwave", "machine:errand"):
        assert await store.pauses.pause(scope, "ola", "a bad feeling", now)
    return shown


def owned(owner: Owner, store: Store) -> str:
    return keys.provider(store.records.owner_shard(owner), owner)


async def change(store: Store, key: str, field: str, value: bytes | str) -> None:
    await store.link.ask("HSET", key, field, value)


async def swap_values(store: Store, key: str, one: bytes, other: bytes) -> None:
    """Put the value of one field of a hash under another one's name."""
    await store.link.ask("HSET", key, one, await store.link.ask("HGET", key, other))


Attack = Callable[[Store, dict[str, str]], Awaitable[object]]


async def a_token_says_operator(store: Store, shown: dict[str, str]) -> None:
    await change(store, keys.token(digest_of(shown["vic"])), "role", "operator")


async def a_token_never_ends(store: Store, shown: dict[str, str]) -> None:
    await store.link.ask("HDEL", keys.token(digest_of(shown["vic"])), "expires_at")


async def a_token_under_another_secret(store: Store, shown: dict[str, str]) -> None:
    fields = await store.link.ask("HGETALL", keys.token(digest_of(shown["vic"])))
    await store.link.ask("HSET", keys.token(digest_of(SECRET)), *(part for pair in fields.items() for part in pair))


async def a_token_out_of_nothing(store: Store, _: dict[str, str]) -> None:
    fields = {"name": "mallory", "role": "operator", "of": "", "made_by": "boss", "made_at": "1"}
    await store.link.ask("HSET", keys.token(digest_of(SECRET)), *(part for pair in fields.items() for part in pair))


async def a_person_out_of_another(store: Store, _: dict[str, str]) -> None:
    row = await store.link.ask("HGET", keys.PERSONS, "person:vic")
    await change(store, keys.PERSONS, "person:vic", row.replace(b"viewer", b"operat"))


async def a_person_taken_back_to_a_version(store: Store, _: dict[str, str]) -> None:
    row = await store.link.ask("HGET", keys.PERSONS, "person:vic")
    await change(store, keys.PERSONS, "person:vic", b"7" + row[1:])


async def a_verified_profile_of_another(store: Store, _: dict[str, str]) -> None:
    for field in ("profile", "mac"):
        await change(store, owned(ANN, store), field, await store.link.ask("HGET", owned(BOB, store), field))


async def a_profile_without_a_signature(store: Store, _: dict[str, str]) -> None:
    await store.link.ask("HDEL", owned(ANN, store), "mac")


async def a_profile_in_another_version(store: Store, _: dict[str, str]) -> None:
    await change(store, owned(ANN, store), "version", "7")


async def a_grant_of_another(store: Store, _: dict[str, str]) -> None:
    await swap_values(store, keys.PLATFORMS, b"shop", b"mall")


async def a_grant_out_of_nothing(store: Store, _: dict[str, str]) -> None:
    await change(store, keys.PLATFORMS, "shop", msgspec.msgpack.encode({"daily": {}, "verified": {}}))


async def a_session_of_another(store: Store, shown: dict[str, str]) -> None:
    await change(store, session_of(shown, "vic"), "token", digest_of(shown["vera"]))


async def a_session_that_came_by_itself(store: Store, shown: dict[str, str]) -> None:
    await change(store, session_of(shown, "vic"), "by", "")


async def a_session_that_proved_who_it_is(store: Store, shown: dict[str, str]) -> None:
    await change(store, session_of(shown, "vic"), "proven", "1900000000000")


async def a_session_out_of_nothing(store: Store, shown: dict[str, str]) -> None:
    await store.link.ask("HDEL", session_of(shown, "vic"), "mac", "by")


async def a_passkey_of_another(store: Store, _: dict[str, str]) -> None:
    await change(store, keys.passkeys("vic"), "id", await store.link.ask("HGET", keys.passkeys("vera"), "id"))


async def a_passkey_under_another_name(store: Store, _: dict[str, str]) -> None:
    await change(store, keys.passkeys("vic"), "other", await store.link.ask("HGET", keys.passkeys("vic"), "id"))


def session_of(shown: dict[str, str], person: str) -> str:
    return keys.session(digest_of(shown[f"session of {person}"]))


async def a_proposal_under_another_name(store: Store, _: dict[str, str]) -> None:
    await swap_values(store, keys.PROPOSED, b"override:one", b"override:two")


async def a_proposal_that_says_something_else(store: Store, _: dict[str, str]) -> None:
    row = await store.link.ask("HGET", keys.PROPOSED, "override:one")
    await change(store, keys.PROPOSED, "override:one", row.replace(b"DONE", b"GONE"))


async def a_pause_taken_away(store: Store, _: dict[str, str]) -> None:
    await store.link.ask("HDEL", keys.PAUSE, "rail:flutterwave")


async def all_pauses_taken_away(store: Store, _: dict[str, str]) -> None:
    await store.link.ask("DEL", keys.PAUSE)


ATTACKS: list[Attack] = [
    a_token_says_operator,
    a_token_never_ends,
    a_token_under_another_secret,
    a_token_out_of_nothing,
    a_person_out_of_another,
    a_person_taken_back_to_a_version,
    a_verified_profile_of_another,
    a_profile_without_a_signature,
    a_profile_in_another_version,
    a_grant_of_another,
    a_grant_out_of_nothing,
    a_session_of_another,
    a_session_that_came_by_itself,
    a_session_that_proved_who_it_is,
    a_session_out_of_nothing,
    a_passkey_of_another,
    a_passkey_under_another_name,
    a_proposal_under_another_name,
    a_proposal_that_says_something_else,
    a_pause_taken_away,
    all_pauses_taken_away,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_row_that_was_changed_by_hand_counts_for_nothing_and_is_found(
    store: Store, clock: FixedClock, attack: Attack
) -> None:
    shown = await fill(store, clock)
    assert [fault async for fault in faults_of(store)] == []
    before = await believed(store, clock, shown)
    told: list[str] = []
    store.link.macs.on_forged = told.append
    await attack(store, shown)
    assert not await believed(store, clock, shown) - before, "nothing more is believed than before"
    assert told, "somebody is told"
    assert [fault async for fault in faults_of(store)] != []


async def believed(store: Store, clock: FixedClock, shown: dict[str, str]) -> set[str]:
    """Say all that lets money leave, as the store tells it."""
    said: set[str] = set()
    tokens = Tokens(store.link, clock)
    for person in ("vic", "vera"):
        said |= {str(one) for one in await Passkeys(store.link).of(person)}
        said.add(str(await Sessions(store.link).find(shown[f"session of {person}"])))
    said -= {"None"}
    for secret in (*shown.values(), SECRET):
        token = await tokens.find(secret)
        if token:
            said.add(f"{secret} is {token.role} until {token.expires_at}")
    for ask in (
        lambda: store.persons.find("vic"),
        lambda: store.profiles.read(ANN),
        lambda: store.platforms.granted("shop"),
    ):
        with suppress(Forged):
            said.add(str(await ask()))
    said |= {f"{one.subject} {dict(one.seen)}" for one in await Proposals(store.link).waiting(clock.now())}
    paused = await store.pauses.all()
    return said | {
        f"{scope} may send" for scope in ("rail:flutterwave", "machine:errand") if not {scope, EVERYTHING} & set(paused)
    }


async def test_a_link_and_a_login_that_were_changed_by_hand_let_nobody_in(store: Store, clock: FixedClock) -> None:
    shown = await fill(store, clock)
    links, logins = SignInLinks(store.link), PendingLogins(store.link)
    for kind, place in (("link", keys.sign_in_link), ("login", keys.login)):
        vic, vera = (place(digest_of(shown[f"{kind} of {person}"])) for person in ("vic", "vera"))
        await store.link.ask("SET", vic, await store.link.ask("GET", vera), "KEEPTTL")
    assert await links.find(shown["link of vic"]) is None
    assert await links.take(shown["link of vic"]) is None
    assert await logins.collect(shown["login of vic"]) is None
    assert await links.take(shown["link of vera"]) == SignInLink(digest_of(shown["vera"]), "boss")
    assert (await logins.collect(shown["login of vera"])) is not None


async def test_a_code_that_leads_to_another_command_line_is_no_code(store: Store, clock: FixedClock) -> None:
    logins = PendingLogins(store.link)
    _, code = await logins.ask(PendingLogin("rita@laptop", "10.0.0.1", clock.now()))
    other, _ = await logins.ask(PendingLogin("rita@laptop", "10.0.0.1", clock.now()))
    await store.link.ask("SET", keys.login_code(code.replace("-", "")), digest_of(other), "KEEPTTL")
    assert await logins.coded(code) is None
    assert await logins.decide(code, Session("0" * 64)) is None


async def test_what_is_paused_is_believed_again_when_a_person_says_so(store: Store, clock: FixedClock) -> None:
    await fill(store, clock)
    await store.link.ask("HDEL", keys.PAUSE, "rail:flutterwave")
    assert set(await store.pauses.all()) == {EVERYTHING, "machine:errand"}
    assert await store.pauses.pause("rail:flutterwave", "ola", "it was taken away", clock.now())
    paused = await store.pauses.all()
    assert paused[EVERYTHING].who == CHANGED, "what is added makes nobody believe the rest"
    assert await store.pauses.resume(EVERYTHING)
    assert set(await store.pauses.all()) == {"rail:flutterwave", "machine:errand"}


@pytest.fixture
async def old_store(server: Deployment, tmp_path: Path, clock: FixedClock) -> dict[str, str]:
    """A store as a version left it that signed nothing; gives what tokens show."""
    async with opened(settings_for(server, tmp_path), clock=clock) as store:
        shown = await fill(store, clock)
        await store.link.ask("HDEL", keys.META, "signed")
        await store.link.ask("HDEL", keys.PAUSE, "#signature")
        for shard in range(store.records.shards):
            await store.link.ask("DEL", keys.posted(shard))
        for key in [one async for one in store.link.keys(keys.rows("*"))]:
            await store.link.ask("DEL", key)
        for key in [one async for one in store.link.keys(keys.token("*"))]:
            await store.link.ask("HDEL", key, "mac")
        for owner in (ANN, BOB):
            await store.link.ask("HDEL", owned(owner, store), "mac")
        for platform in ("shop", "mall"):
            await change(store, keys.PLATFORMS, platform, msgspec.msgpack.encode({"daily": {"NGN": 5}, "verified": {}}))
    for mark in (MARK, LISTED, "anchors.marks"):
        (tmp_path / mark).unlink()
    return shown


async def test_the_rows_of_an_older_version_are_signed_once_as_they_are(
    server: Deployment, tmp_path: Path, clock: FixedClock, old_store: dict[str, str]
) -> None:
    async with opened(settings_for(server, tmp_path), clock=clock) as store:
        assert await Tokens(store.link, clock).find(old_store["vic"]) is not None
        assert (await store.profiles.read(BOB)).verified
        assert await store.platforms.granted("shop") == PlatformGrant({"NGN": 5})
        assert set(await store.pauses.all()) == {"rail:flutterwave", "machine:errand"}
        assert [fault async for fault in faults_of(store)] == []
        await a_token_out_of_nothing(store, old_store)
        assert await Tokens(store.link, clock).find(SECRET) is None
        await store.link.ask("HDEL", keys.META, "signed")
    for folder in (tmp_path, tmp_path / "of another host"):
        with pytest.raises(StoreUnfit, match="somebody took that out"):
            async with opened(settings_for(server, folder), clock=clock):
                pass


async def test_who_stopped_in_the_middle_of_it_goes_on_and_two_at_once_are_let_in(
    server: Deployment, tmp_path: Path, clock: FixedClock, old_store: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Profiles, "sign", _power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            await opened(settings_for(server, tmp_path), clock=clock).__aenter__()

    async def start(folder: str) -> None:
        async with opened(settings_for(server, tmp_path / folder), clock=clock) as store:
            assert await Tokens(store.link, clock).find(old_store["vic"]) is not None
            assert (await store.profiles.read(BOB)).verified

    await asyncio.gather(*(start(f"host {number}") for number in range(3)))


def _power_cut(_: object) -> None:
    raise RuntimeError("power cut")


async def test_a_process_without_a_key_does_not_open_what_is_signed(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings, clock=clock):
        pass
    if settings.embedded:
        return  # it has a key of its own
    with pytest.raises(StoreUnfit, match="this process has no key"):
        async with opened(settings.model_copy(update={"seal_keys": None}), clock=clock):
            pass


async def test_an_old_key_can_go_when_all_was_signed_anew(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    old, new = new_key(), new_key()
    prints = Seals([old]).fingerprint_key
    shown: dict[str, str] = {}
    for given in (old, f"{new},{old}", new):
        settings = settings_for(server, tmp_path, PAYFLOW_SEAL_KEYS=given, PAYFLOW_FINGERPRINT_KEY=prints)
        async with open_store(settings, clock=clock) as store:
            shown = shown or await fill(store, clock)
            assert (await store.profiles.read(BOB)).destination == HOME
            assert await Tokens(store.link, clock).find(shown["vic"]) is not None
            assert set(await store.pauses.all()) == {"rail:flutterwave", "machine:errand"}
            assert await store.platforms.granted("shop") == PlatformGrant({"NGN": 5})
            if "," in given:
                assert (await reseal(store, "ola")).done
            else:
                assert [place async for place in store.rows.faults()] == []
