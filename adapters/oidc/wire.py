"""OpenID Connect as a client speaks it: what an identity provider is asked, and which of its words count. No I/O.

What a token must be before anything in it is believed:

signature   by a key that the provider publishes, with an algorithm of SIGNED_BY: never `none`, never a shared secret
iss         exactly the issuer that the settings name
aud, azp    for us; where it is for others as well, it was given to us
exp, iat    neither over, nor from the future, nor older than MOST_AGE_S
nonce       what this one sign-in asked for
auth_time   where a fresh sign-in was asked for: after that was asked
"""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote_plus, urlencode

import msgspec
from yarl import URL

from adapters.http import HttpReply, HttpRequest, plain
from machines.core.clock import SECOND, Millis
from machines.core.errors import IssuerUnavailable, NotAllowed
from machines.core.issuer import AuthRequest, VouchedSubject

T = TypeVar("T")

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
LEEWAY_S = 60
"""So far the clocks of the two may be apart."""
MOST_AGE_S = 10 * 60
MOST_GROUPS = 1000
DISCOVERY = "/.well-known/openid-configuration"
_SUBJECT = re.compile(r"[!-~]{1,255}")
_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_BASIC = "client_secret_basic"


class UnknownSigningKey(NotAllowed):
    """A token names a key that the provider did not publish when it was asked last."""


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Who we are to the identity provider, and what we read in its tokens."""

    issuer: str
    id: str
    secret: str = field(repr=False)
    scopes: str = "openid email profile"
    groups_claim: str = "groups"
    name_claim: str = "email"

    @property
    def host(self) -> str:
        """What people know the provider by."""
        return URL(self.issuer).host or self.issuer


class ProviderMetadata(msgspec.Struct, frozen=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = (_BASIC,)
    authorization_response_iss_parameter_supported: bool = False


class _TokenAnswer(msgspec.Struct):
    id_token: str = ""
    error: str = ""


class _TokenHeader(msgspec.Struct):
    alg: str
    kid: str | None = None


class _TokenClaims(msgspec.Struct):
    sub: str
    iat: int | float
    exp: int | float
    auth_time: int | float | None = None
    email: str | None = None
    email_verified: bool | str | None = None


# ── asked ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_metadata(reply: HttpReply, issuer: str) -> ProviderMetadata:
    """Read what a provider says of itself; raises `IssuerUnavailable` where it is not the one of the settings."""
    found = _read(reply, ProviderMetadata, "discovery document")
    if found.issuer != issuer:
        raise IssuerUnavailable(
            f"The discovery document of {issuer} is {plain(found.issuer)}'s: PAYFLOW_OIDC_ISSUER must be exactly that."
        )
    for place in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        _check_place(place, issuer)
    return found


def _check_place(place: str, issuer: str) -> None:
    try:
        url = URL(place)
        schemes = {"https"} if issuer.startswith("https:") else {"https", "http"}
        fits = url.scheme in schemes and bool(url.host) and url.user is None and not url.fragment
    except ValueError:
        fits = False
    if not fits:
        raise IssuerUnavailable(f"{issuer} names a place that nobody can be sent to: {plain(place)}.")


def sign_in_url(found: ProviderMetadata, client: OidcClient, asked: AuthRequest) -> str:
    """Say where somebody is sent."""
    query = {
        "response_type": "code", "client_id": client.id, "redirect_uri": asked.back, "scope": client.scopes,
        "state": asked.state, "nonce": asked.nonce, "code_challenge": asked.challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    fresh = {} if asked.fresh_since is None else {"prompt": "login", "max_age": "0"}
    return str(URL(found.authorization_endpoint).update_query(query | fresh))


def check_answer(found: ProviderMetadata, issuer: str) -> None:
    """Raise where an answer says that it is another provider's: somebody mixes two of them up (RFC 9207)."""
    if issuer != found.issuer and (issuer or found.authorization_response_iss_parameter_supported):
        raise NotAllowed("The answer is not from the identity provider that was asked: begin again.")


def token_request(found: ProviderMetadata, client: OidcClient, asked: AuthRequest, code: str) -> HttpRequest:
    """Write what exchanges a code for a token."""
    said = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": asked.back, "code_verifier": asked.verifier,
    }  # fmt: skip
    headers: tuple[tuple[str, str], ...] = (_FORM, ("Accept", "application/json"))
    if _BASIC in found.token_endpoint_auth_methods_supported:
        login = base64.b64encode(f"{quote_plus(client.id)}:{quote_plus(client.secret)}".encode()).decode()
        headers += (("Authorization", f"Basic {login}"),)
    else:
        said |= {"client_id": client.id, "client_secret": client.secret}
    return HttpRequest("POST", found.token_endpoint, (), urlencode(said).encode(), headers)


def read_token(reply: HttpReply) -> str:
    """Read the token that a code was exchanged for."""
    if reply.status == HTTPStatus.OK:
        found = _read(reply, _TokenAnswer, "token")
        if found.id_token:
            return found.id_token
        raise IssuerUnavailable("The identity provider gave no ID token: the scopes must have `openid`.")
    try:
        error = msgspec.json.decode(reply.body, type=_TokenAnswer).error
    except (ValueError, RecursionError):
        error = ""
    if error == "invalid_grant":
        raise NotAllowed("The identity provider does not take this sign-in any more: begin again.")
    raise IssuerUnavailable(f"The identity provider answered {reply.status} {plain(error)} to our client.")


def read_keys(reply: HttpReply) -> "KeySet":
    """Read the keys that a provider publishes; those that sign nothing for us are left out."""
    from joserfc.jwk import KeySet  # noqa: PLC0415  (a fifth of a second, only where somebody signs in)

    given = _read(reply, dict[str, Any], "key set").get("keys")
    rows = [row for row in given if _signs(row)] if isinstance(given, list) else []
    try:
        return KeySet.import_key_set({"keys": rows})
    except Exception as error:
        raise IssuerUnavailable("A key of the identity provider cannot be read.") from error


def _signs(row: object) -> bool:
    return isinstance(row, dict) and row.get("kty") in ("RSA", "EC", "OKP") and row.get("use", "sig") == "sig"


def _read(reply: HttpReply, shape: type[T], what: str) -> T:
    if reply.status != HTTPStatus.OK:
        raise IssuerUnavailable(f"The identity provider answered {reply.status} where its {what} should be.")
    try:
        return msgspec.json.decode(reply.body, type=shape)
    except (ValueError, RecursionError) as error:
        raise IssuerUnavailable(f"The {what} of the identity provider cannot be read: {plain(str(error))}.") from error


# ── believed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def vouched(token: str, keys: "KeySet", client: OidcClient, asked: AuthRequest, now: Millis) -> VouchedSubject:
    """Tell who a token vouches for; raises `NotAllowed` where it is not all that this file begins with."""
    claims = _signed_claims(token, keys)
    _check_claims(claims, client, asked, now)
    try:
        said = msgspec.convert(claims, _TokenClaims)
    except msgspec.ValidationError as error:
        raise _refused(f"its claims cannot be read ({error})") from error
    if not _SUBJECT.fullmatch(said.sub):
        raise _refused("it names nobody")
    if said.iat < now / SECOND - MOST_AGE_S:
        raise _refused("it is too old")
    name, groups = _claim(claims, client.name_claim), _claim(claims, client.groups_claim)
    verified = (said.email or "") if said.email_verified is True else ""
    return VouchedSubject(
        client.issuer,
        said.sub,
        verified,
        verified if client.name_claim == "email" else name if isinstance(name, str) else "",
        _texts(groups),
        _proven(said.auth_time, asked, now),
    )


def _signed_claims(token: str, keys: "KeySet") -> dict[str, Any]:
    from joserfc import jwt  # noqa: PLC0415  (as above)

    try:
        raw, _, _ = token.partition(".")
        header = msgspec.json.decode(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)), type=_TokenHeader)
    except (ValueError, RecursionError) as error:
        raise _refused("it is none") from error
    if header.alg not in SIGNED_BY:
        raise _refused(f"it is signed by {plain(header.alg)[:20]}, which proves nothing here")
    if not any(header.kid in (None, key.kid) for key in keys) or (header.kid is None and len(keys.keys) != 1):
        raise UnknownSigningKey("The identity provider signed with a key that it does not publish: begin again.")
    try:
        return dict(jwt.decode(token, keys, algorithms=list(SIGNED_BY)).claims)
    except Exception as error:
        # Decoders meet bytes of anybody's making: whatever breaks is no token.
        raise _refused("its signature is not the provider's") from error


def _check_claims(claims: Mapping[str, Any], client: OidcClient, asked: AuthRequest, now: Millis) -> None:
    from authlib.oidc.core import CodeIDToken  # noqa: PLC0415  (as above)

    options = {
        "iss": {"essential": True, "value": client.issuer},
        "aud": {"essential": True, "value": client.id},
        "nonce": {"essential": True},
    }
    token = CodeIDToken(dict(claims), {}, options, {"client_id": client.id, "nonce": asked.nonce})
    try:
        token.validate(now=now // SECOND, leeway=LEEWAY_S)
        same = hmac.compare_digest(str(claims["nonce"]).encode(), asked.nonce.encode())
    except Exception as error:
        raise _refused(plain(str(error))) from error
    if not same:
        raise _refused("it is of another sign-in")


def _proven(auth_time: float | None, asked: AuthRequest, now: Millis) -> Millis | None:
    """Tell when somebody proved who they are; where that had to be fresh, it is."""
    at = None if auth_time is None else int(auth_time * SECOND)
    if at is not None and at > now + LEEWAY_S * SECOND:
        raise _refused("it says that they will prove who they are")
    if asked.fresh_since is None:
        return None if at is None else Millis(min(at, now))
    if at is None:
        raise NotAllowed(
            "The identity provider does not say when you proved to it who you are (`auth_time`), so that it proves "
            "nothing now: sign in by a link or a token, add a passkey, and use that."
        )
    if at < asked.fresh_since - LEEWAY_S * SECOND:
        raise NotAllowed("The identity provider did not ask you who you are, though it was asked to: begin again.")
    return Millis(min(at, now))


def _claim(claims: Mapping[str, Any], name: str) -> object:
    """Find a claim by its name, or by its path, as `realm_access.roles` of Keycloak."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _texts(found: object) -> frozenset[str]:
    given = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(one for one in given[:MOST_GROUPS] if isinstance(one, str))


def _refused(why: str) -> NotAllowed:
    return NotAllowed(f"The identity provider's token was refused: {why}. Begin again.")
