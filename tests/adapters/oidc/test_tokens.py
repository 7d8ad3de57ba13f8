"""Whom an identity provider vouches for: its own tokens, and what somebody makes of them."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from adapters.http import HttpReply
from adapters.oidc import wire
from adapters.oidc.client import LIMITS, MOST_FETCHES, IdentityProvider
from adapters.oidc.wire import OidcClient
from machines.core.clock import HOUR, MINUTE, SECOND, FixedClock, Millis, SystemClock
from machines.core.errors import IssuerUnavailable, NotAllowed
from machines.core.issuer import AuthRequest, VouchedSubject
from tests.issuer import OTHERS, SECRET, US, IssuerProcess, Signer, running

BACK = "http://localhost:1/back"
ASKED = AuthRequest(BACK, "s" * 43, "n" * 64, "v" * 64)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """One provider for all tests."""
    with running() as address:
        yield address


@pytest.fixture
async def issuer(address: str) -> AsyncIterator[IssuerProcess]:
    """The provider, who knows rita."""
    async with aiohttp.ClientSession() as session:
        process = IssuerProcess(address, session)
        process.adds("rita", "payments", "staff")
        await process.set_up(BACK)
        yield process


async def signed_in(provider: IdentityProvider, asked: AuthRequest = ASKED, name: str = "rita") -> dict[str, str]:
    """Let somebody sign in there; gives what they bring back."""
    return await Signer().answers(await provider.sign_in_url(asked), name)


@dataclass(frozen=True)
class Genuine:
    """A token of the provider, and what it is held against."""

    token: str
    keys: KeySet
    client: OidcClient
    now: Millis

    def believed(self, asked: AuthRequest = ASKED, **changes: Any) -> VouchedSubject:
        """Hold it against that."""
        one = replace(self, **changes)
        return wire.vouched(one.token, one.keys, one.client, asked, one.now)


async def genuine(issuer: IssuerProcess, asked: AuthRequest = ASKED) -> Genuine:
    """Fetch one."""
    provider = issuer.provider(issuer.session)
    code = (await signed_in(provider, asked))["code"]
    request = wire.token_request(await provider.metadata(), provider.client, asked, code)
    token = wire.read_token(await provider._ask(request))  # noqa: SLF001  (else only what it says comes out)
    return Genuine(token, await provider.keys(), provider.client, SystemClock().now())


def changed(token: str, header: dict[str, Any] | None = None, **claims: object) -> str:
    """Change a token by hand, and leave its signature."""
    parts = token.split(".")
    for place, more in ((0, header or {}), (1, claims)):
        raw = json.loads(base64.urlsafe_b64decode(parts[place] + "=="))
        parts[place] = base64.urlsafe_b64encode(json.dumps(raw | more).encode()).rstrip(b"=").decode()
    return ".".join(parts)


async def test_a_token_of_the_provider_says_who_it_is(issuer: IssuerProcess) -> None:
    found = (await genuine(issuer)).believed()
    assert (found.issuer, found.subject, found.email) == (issuer.url, "rita", "rita@shop.example")
    assert (found.name, set(found.groups)) == ("rita@shop.example", {"payments", "staff"})


async def test_a_token_that_is_not_all_that_was_asked_for_is_refused(issuer: IssuerProcess) -> None:
    one = await genuine(issuer)
    stranger = RSAKey.generate_key(parameters={"kid": one.keys.keys[0].kid or ""})
    by_stranger = jwt.encode({"alg": "RS256", "kid": stranger.kid}, {"sub": "rita"}, stranger)
    unsigned = changed(one.token, {"alg": "none"})
    cases: dict[str, Callable[[], object]] = {
        "the audience": lambda: one.believed(client=replace(one.client, id=OTHERS)),
        "the issuer": lambda: one.believed(client=replace(one.client, issuer="http://127.0.0.1:9")),
        "the issuer, nearly": lambda: one.believed(client=replace(one.client, issuer=issuer.url + "/")),
        "over": lambda: one.believed(now=Millis(one.now + 2 * HOUR)),
        "too old": lambda: one.believed(now=Millis(one.now + 12 * MINUTE)),
        "from the future": lambda: one.believed(now=Millis(one.now - 3 * MINUTE)),
        "the nonce": lambda: one.believed(replace(ASKED, nonce="m" * 64)),
        "none": lambda: one.believed(token=unsigned),
        "none, and no signature": lambda: one.believed(token=unsigned.rpartition(".")[0] + "."),
        "NONE": lambda: one.believed(token=changed(one.token, {"alg": "NONE"})),
        "a shared secret": lambda: one.believed(token=changed(one.token, {"alg": "HS256"})),
        "another algorithm": lambda: one.believed(token=changed(one.token, {"alg": "RS512"})),
        "another subject": lambda: one.believed(token=changed(one.token, sub="olu")),
        "the key of a stranger": lambda: one.believed(token=by_stranger),
        "a key that is not published": lambda: one.believed(token=changed(one.token, {"kid": "x"})),
        "what must be understood": lambda: one.believed(token=changed(one.token, {"crit": ["x"], "x": 1})),
        "no token": lambda: one.believed(token="x"),
        "nothing": lambda: one.believed(token=""),
        "encrypted": lambda: one.believed(token=one.token + ".x.y"),
        "deep": lambda: one.believed(token=base64.urlsafe_b64encode(b"[" * 20_000).decode() + ".x.y"),
    }
    assert one.believed().subject == "rita"
    for name, case in cases.items():
        with pytest.raises(NotAllowed, match=r"\.$"):
            print(name, case())  # noqa: T201  (the one that was believed)


async def test_a_fresh_sign_in_says_when_it_was(issuer: IssuerProcess) -> None:
    """And one that is not fresh does not count as one, nor one that does not say."""
    now = SystemClock().now()
    asked = replace(ASKED, fresh_since=now)
    one = await genuine(issuer, asked)
    proven_at = one.believed(asked).proven_at
    assert proven_at is not None
    assert now - 2 * SECOND <= proven_at <= one.now
    with pytest.raises(NotAllowed, match="did not ask you who you are"):
        one.believed(replace(asked, fresh_since=Millis(now + 5 * MINUTE)))
    with pytest.raises(NotAllowed, match="does not say when you proved"):
        (await genuine(issuer)).believed(asked)


OURS = RSAKey.generate_key(parameters={"kid": "ours"})
GOOD: dict[str, Any] = {"iss": "https://id.example", "sub": "rita", "aud": US, "nonce": ASKED.nonce}


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": [US]}, ""),
        ({"aud": [US, OTHERS], "azp": US}, ""),
        ({"aud": [US, OTHERS]}, "azp"),
        ({"aud": [US, OTHERS], "azp": OTHERS}, "azp"),
        ({"azp": OTHERS}, "azp"),
        ({"aud": [OTHERS]}, "aud"),
        ({"aud": None}, "aud"),
        ({"nonce": None}, "nonce"),
        ({"nonce": [ASKED.nonce]}, "nonce"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "."),
        ({"iat": None}, "iat"),
        ({"iat": True}, "."),
        ({"sub": ""}, "."),
        ({"sub": "rita olu"}, "names nobody"),
        ({"sub": 7}, "."),
        ({"sub": "x" * 256}, "names nobody"),
        ({"auth_time": 10**12}, "will prove"),
        ({"email": "r@x", "email_verified": "true"}, ""),
        ({"email": None, "groups": [1, None, {}]}, ""),
        ({"groups": "staff"}, ""),
    ],
)
def test_each_claim_is_what_it_must_be(claims: dict[str, Any], why: str) -> None:
    now = SystemClock().now()
    said = GOOD | {"iat": now // 1000, "exp": now // 1000 + 60} | claims
    token = jwt.encode({"alg": "RS256", "kid": "ours"}, {k: v for k, v in said.items() if v is not None}, OURS)
    client = OidcClient("https://id.example", US, SECRET)

    def believed() -> VouchedSubject:
        return wire.vouched(token, KeySet([OURS]), client, ASKED, now)

    if why:
        with pytest.raises(NotAllowed, match=why):
            believed()
    else:
        assert (believed().subject, believed().email) == ("rita", ""), "an address that nobody checked is none"


def test_a_claim_may_lie_deeper() -> None:
    now = SystemClock().now()
    said = GOOD | {"iat": now // 1000, "exp": now // 1000 + 60, "realm": {"roles": ["a", "b"]}, "who": "Rita"}
    token = jwt.encode({"alg": "RS256", "kid": "ours"}, said, OURS)
    client = OidcClient("https://id.example", US, SECRET, groups_claim="realm.roles", name_claim="who")
    found = wire.vouched(token, KeySet([OURS]), client, ASKED, now)
    assert (set(found.groups), found.name) == ({"a", "b"}, "Rita")


# ── exchanges ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_new_keys_are_fetched_when_a_token_names_one_and_not_more_often_than_they_may(
    issuer: IssuerProcess,
) -> None:
    clock = FixedClock(SystemClock().now())
    provider = replace(issuer.provider(issuer.session), clock=clock)

    async def comes() -> str:
        brought = await signed_in(provider)
        return (await provider.who(ASKED, brought["code"], brought["iss"])).subject

    for _ in range(MOST_FETCHES):
        assert await comes() == "rita"
        assert await comes() == "rita", "the keys are known"
        await issuer.set_up(rotate=True)
    with pytest.raises(IssuerUnavailable, match="within a minute"):
        await comes()
    clock.advance(60)
    assert await comes() == "rita"


async def test_a_code_is_good_once_and_only_with_what_was_asked(issuer: IssuerProcess) -> None:
    provider = issuer.provider(issuer.session)
    brought = await signed_in(provider)
    with pytest.raises(NotAllowed, match="not from the identity provider"):
        await provider.who(ASKED, brought["code"], "https://evil.example")
    with pytest.raises(NotAllowed, match="does not take this sign-in"):
        await provider.who(replace(ASKED, verifier="w" * 64), brought["code"], brought["iss"])
    brought = await signed_in(provider)
    assert (await provider.who(ASKED, brought["code"], brought["iss"])).subject == "rita"
    with pytest.raises(NotAllowed, match="does not take this sign-in"):
        await provider.who(ASKED, brought["code"], brought["iss"])


async def test_a_client_that_the_provider_does_not_know_is_told_to_whoever_runs_us(issuer: IssuerProcess) -> None:
    provider = issuer.provider(issuer.session, secret="wrong")
    brought = await signed_in(provider)
    with pytest.raises(IssuerUnavailable, match="invalid_client"):
        await provider.who(ASKED, brought["code"], brought["iss"])


def test_who_takes_no_basic_authentication_gets_the_secret_in_the_form() -> None:
    found = wire.ProviderMetadata("i", "a", "t", "k", ("client_secret_post",))
    request = wire.token_request(found, OidcClient("i", US, "a&b"), ASKED, "code")
    assert b"client_secret=a%26b" in request.body
    assert not any(name == "Authorization" for name, _ in request.headers)
    assert "a&b" not in repr(OidcClient("i", US, "a&b"))


Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(discovery: Serve) -> AsyncIterator[IdentityProvider]:
    """A provider of which only the discovery document is there."""
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", discovery)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession() as session:
            yield IdentityProvider(session, OidcClient(f"http://127.0.0.1:{port}", US, SECRET))
    finally:
        await runner.cleanup()


def document(issuer: str, **changes: object) -> dict[str, object]:
    """What one says of itself."""
    places = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    return {"issuer": issuer, **{place: f"{issuer}/{place}" for place in places}} | changes


ANSWERS: dict[str, Callable[[str], web.Response]] = {
    "leads elsewhere": lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    "is endless": lambda _: web.Response(body=b" " * (LIMITS.body_bytes + 1)),
    "is deep": lambda _: web.Response(body=b"[" * 10_000),
    "is another's": lambda _: web.json_response(document("http://evil.example")),
    "is nearly ours": lambda us: web.json_response(document(f"{us}/")),
    "names a script": lambda us: web.json_response(document(us, authorization_endpoint="javascript:alert(1)")),
    "names a user": lambda us: web.json_response(document(us, token_endpoint="http://a:b@127.0.0.1/")),
}


@pytest.mark.parametrize("said", ANSWERS)
async def test_whoever_is_not_the_issuer_of_the_settings_is_not_asked_anything(said: str) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        return ANSWERS[said](f"http://{request.host}")

    async with serving(serve) as provider:
        with pytest.raises(IssuerUnavailable):
            await provider.sign_in_url(ASKED)


def test_who_is_asked_by_https_names_no_place_without() -> None:
    for scheme, fits in (("https", True), ("http", False)):
        found = HttpReply(200, json.dumps(document("https://x", jwks_uri=f"{scheme}://x/keys")).encode())
        if fits:
            assert wire.read_metadata(found, "https://x").jwks_uri == "https://x/keys"
        else:
            with pytest.raises(IssuerUnavailable, match="nobody can be sent to"):
                wire.read_metadata(found, "https://x")


def test_keys_that_sign_nothing_for_us_are_left_out() -> None:
    public = OURS.as_dict(private=False)
    rows = [public | {"kid": "a"}, public | {"kid": "b", "use": "enc"}, {"kty": "oct", "k": "AAAA", "kid": "c"}, "x"]
    found = wire.read_keys(HttpReply(200, json.dumps({"keys": rows}).encode()))
    assert [key.kid for key in found] == ["a"]
    with pytest.raises(IssuerUnavailable):
        wire.read_keys(HttpReply(200, json.dumps({"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}]}).encode()))
