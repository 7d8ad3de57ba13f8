"""Passkeys: how those who work here add and remove them, sign in by one, and prove once more that it is them.

What a browser sends is checked against what it was asked, once, for this purpose, in this session; against the host
that people reach us by; and against how often the passkey was used: one that counts backwards was copied.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import msgspec

from machines.core.clock import MINUTE, Millis
from machines.core.errors import BadInput, Conflict, NotAllowed, NotFound
from payflow.desk.person import STAFF, Caller, roles_of
from payflow.store.registers.passkeys import Passkey, PasskeyChallenges, Passkeys
from payflow.store.registers.tokens import UNSCOPED, ApiToken, Role, Session, Tokens
from payflow.store.store import Store

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

T = TypeVar("T")

PROVEN_MS = 5 * MINUTE
"""So long after somebody used a passkey their session does what moves money without another proof."""
MOST = 20
LONGEST_LABEL = 60
_WITHIN_MS = MINUTE
_SIGN_IN = "sign-in"


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who passkeys are for: the host that people reach us by, and the whole address as browsers name it."""

    host: str
    origin: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in, and in which session: what is asked there is answered nowhere else."""

    caller: Caller
    session: Session
    session_name: str

    def purpose(self, act: str) -> str:
        """Name what something is signed for."""
        return f"{act} {self.session_name}"


# ── added, removed ────────────────────────────────────────────────────────────────────────────────────────────────────


async def ask_to_add(store: Store, at: RelyingParty, one: SignedIn) -> str:
    """Write what a browser makes a passkey by."""
    from webauthn import generate_registration_options, options_to_json  # noqa: PLC0415  (a third of a second)
    from webauthn.helpers.structs import (  # noqa: PLC0415  (as above)
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=at.host,
        rp_name="Payflow",
        user_name=one.caller.who,
        user_id=one.caller.who.casefold().encode(),
        challenge=await PasskeyChallenges(store.link).make(one.purpose("add")),
        timeout=_WITHIN_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=_named(await passkeys_of(store, one.caller.who)),
    )
    return options_to_json(options)


async def add_passkey(store: Store, at: RelyingParty, one: SignedIn, label: str, made: str) -> Passkey:
    """Add the passkey that a browser made."""
    from webauthn import verify_registration_response  # noqa: PLC0415  (as above)

    if one.caller.role not in STAFF:
        raise NotAllowed("Passkeys are for those who work here.")
    label = label.strip()
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise BadInput(f"Say what you call it, in 1 to {LONGEST_LABEL} letters, such as: my laptop.")
    _, challenge, _ = _read(made)
    if not await PasskeyChallenges(store.link).take(challenge, one.purpose("add")):
        raise Conflict("This was not asked for here, or too long ago: try again.")
    verified = _checked(
        lambda: verify_registration_response(
            credential=made, expected_challenge=challenge, expected_rp_id=at.host, expected_origin=at.origin,
            require_user_verification=True,
        )
    )  # fmt: skip
    if len(await passkeys_of(store, one.caller.who)) >= MOST:
        raise Conflict(f"Nobody has more than {MOST} passkeys: remove one first.")
    token = await Tokens(store.link).signed_in(one.session)
    if token is None:
        raise NotAllowed("Your token was revoked.")
    now = await store.records.now()
    passkey = Passkey(
        _text(verified.credential_id), one.caller.who.casefold(), label, verified.credential_public_key,
        verified.sign_count, token.name, one.session.let_in_by, now, now,
    )  # fmt: skip
    async with store.audit.doing(one.caller.who, "add passkey", one.caller.who, label):
        await Passkeys(store.link).add(passkey)
    return passkey


async def remove_passkey(store: Store, who: str, person: str, name: str) -> Passkey:
    """Let a passkey prove nothing any more; of its name as much is enough as leaves no doubt."""
    found = [one for one in await passkeys_of(store, person) if name and one.id.startswith(name)]
    if len(found) != 1:
        raise NotFound(f"{person} has {'more than one' if found else 'no'} passkey whose id begins so.")
    (passkey,) = found
    async with store.audit.doing(who, "remove passkey", passkey.person, passkey.label):
        if not await Passkeys(store.link).remove(passkey):
            raise Conflict("It was removed a moment ago.")
    return passkey


# ── used ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ask_who(store: Store, at: RelyingParty) -> str:
    """Write what a browser lets somebody sign in by, with whichever passkey of theirs is for us."""
    return await _asked(store, at, _SIGN_IN, [])


async def sign_in(store: Store, at: RelyingParty, shown: str) -> tuple[Passkey, Session]:
    """Tell who signs in by a passkey, and give the session that they have earned."""
    _, _, person = _read(shown)
    passkey = await _used(store, at, _SIGN_IN, person, shown)
    return passkey, replace(await session_by(store, passkey), proven_at=passkey.used_at)


async def session_by(store: Store, passkey: Passkey) -> Session:
    """Give the session that a passkey earns: by the token that its person had come with, or as the person they are.

    Of a token that ended by itself what was wider than a person's own is gone, and what was narrower stays so.
    """
    digest, token = await Tokens(store.link).last(passkey.token) if passkey.token else ("", None)
    if passkey.token and token is None:
        raise NotAllowed(
            f"The token {passkey.token}, by which this passkey lets {passkey.person} in, was revoked: ask an operator."
        )
    if token is not None and token.open_at(await store.records.now()):
        return Session(digest, passkey.let_in_by)
    roles = await roles_of(store, passkey.person)
    if token is not None:
        roles = tuple(role for role in roles if opens_as_person(token, role))
    if not roles:
        raise NotAllowed(
            f"This passkey lets nobody in any more: {passkey.person} may not, or the token ended that it goes back to. "
            "`payflow sign-in` makes a link, by which another passkey is added."
        )
    by = passkey.let_in_by or (token.made_by if token else "")
    return Session("", by, person=await store.persons.named(passkey.person), roles=roles)


def opens_as_person(token: ApiToken, role: Role) -> bool:
    """Whether a passkey that goes back to a token which ended by itself still lets its person be something."""
    return token.role is role and token.scope == UNSCOPED


async def refuse_another(store: Store, passkey: Passkey, caller: Caller) -> None:
    """Raise where the token by which a passkey lets somebody in is another person's by now."""
    if not await store.persons.same(passkey.person, caller.who):
        raise NotAllowed(f"The token {passkey.token} is {caller.who}'s now, and this passkey is not theirs.")


async def passkeys_of(store: Store, who: str) -> list[Passkey]:
    """List the passkeys of a person, under whatever name of theirs they were added."""
    passkeys = Passkeys(store.link)
    found = [one for name in await _names(store, who) for one in await passkeys.of(name)]
    return sorted(found, key=lambda passkey: passkey.made_at)


async def has_passkey(store: Store, who: str) -> bool:
    """Whether a person has one, even if it was changed beside Payflow: nobody is rid of theirs by that."""
    passkeys = Passkeys(store.link)
    return any([await passkeys.any_of(name) for name in await _names(store, who)])


async def _names(store: Store, who: str) -> tuple[str, ...]:
    person = await store.persons.find(who)
    return person.names if person else (who,)


async def needs_proof(store: Store, one: SignedIn) -> bool:
    """Whether somebody must prove that it is them before they move money: they can, and did not just now.

    By a passkey, if they have one; else at the identity provider, if that said who they are.
    """
    if not one.session.vouched and not await has_passkey(store, one.caller.who):
        return False
    proven, now = one.session.proven_at, await store.records.now()
    return proven is None or not 0 <= now - proven <= PROVEN_MS


async def ask_for_proof(store: Store, at: RelyingParty, one: SignedIn) -> str:
    """Write what a browser lets somebody prove by that it is them."""
    return await _asked(store, at, one.purpose("prove"), await passkeys_of(store, one.caller.who))


async def prove(store: Store, at: RelyingParty, one: SignedIn, shown: str) -> Millis:
    """Take the proof that it is them; gives when it was."""
    passkey = await _used(store, at, one.purpose("prove"), one.caller.who, shown)
    return passkey.used_at


async def _asked(store: Store, at: RelyingParty, purpose: str, passkeys: list[Passkey]) -> str:
    from webauthn import generate_authentication_options, options_to_json  # noqa: PLC0415  (as above)
    from webauthn.helpers.structs import UserVerificationRequirement  # noqa: PLC0415  (as above)

    options = generate_authentication_options(
        rp_id=at.host,
        challenge=await PasskeyChallenges(store.link).make(purpose),
        timeout=_WITHIN_MS,
        allow_credentials=_named(passkeys),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


async def _used(store: Store, at: RelyingParty, purpose: str, person: str, shown: str) -> Passkey:
    """Check what a passkey signed, and count its use."""
    from webauthn import verify_authentication_response  # noqa: PLC0415  (as above)

    name, challenge, _ = _read(shown)
    if not await PasskeyChallenges(store.link).take(challenge, purpose):
        raise Conflict("This was not asked for here, or too long ago: try again.")
    passkey = next((one for one in await passkeys_of(store, person) if one.id == name), None)
    if passkey is None:
        raise NotAllowed("This passkey is not known here: it was removed, or is of another installation.")
    verified = _checked(
        lambda: verify_authentication_response(
            credential=shown, expected_challenge=challenge, expected_rp_id=at.host, expected_origin=at.origin,
            credential_public_key=passkey.public_key, credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    )  # fmt: skip
    used = replace(passkey, sign_count=verified.new_sign_count, used_at=await store.records.now())
    if not await Passkeys(store.link).change(passkey, used):
        raise Conflict("This passkey was used or removed at the same moment: try again.")
    return used


# ── what a browser sends ──────────────────────────────────────────────────────────────────────────────────────────────

_UNREADABLE = "What the browser sent is no answer of a passkey: try again."


class _Response(msgspec.Struct):
    clientDataJSON: str  # noqa: N815  (browsers call it so)
    userHandle: str | None = None  # noqa: N815  (as above)


class _Shown(msgspec.Struct):
    id: str
    response: _Response


class _ClientData(msgspec.Struct):
    challenge: str


def _read(shown: str) -> tuple[str, bytes, str]:
    """Read which passkey it is of, what was signed, and whose it says that it is; nothing of it is believed."""
    try:
        found = msgspec.json.decode(shown, type=_Shown)
        client = msgspec.json.decode(_bytes(found.response.clientDataJSON), type=_ClientData)
        return found.id, _bytes(client.challenge), _bytes(found.response.userHandle or "").decode()
    except (ValueError, RecursionError) as error:
        raise BadInput(_UNREADABLE) from error


def _checked(check: Callable[[], T]) -> T:
    from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415  (as above)

    try:
        return check()
    except WebAuthnException as error:
        raise NotAllowed(f"The passkey was refused: {error}.") from error
    except Exception as error:
        # Decoders that expect what authenticators make meet bytes of anybody's making: whatever breaks is no answer.
        raise BadInput(_UNREADABLE) from error


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _named(passkeys: Sequence[Passkey]) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor  # noqa: PLC0415  (as above)

    return [PublicKeyCredentialDescriptor(id=_bytes(one.id)) for one in passkeys]
