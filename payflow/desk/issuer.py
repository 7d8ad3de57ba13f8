"""Signing in by the company's identity provider: who is sent there, who comes back, and which person that is here.

It says who somebody is; what they may do the register says. A subject is the person who has it as an alias
(`oidc:<issuer>#<subject>`), or its e-mail address where the provider checked that: from the first sign-in on this
subject alone. An alias of an older version names no issuer: it is completed with the settings' one at the first sign-in
of anybody new, unless another issuer was ever known here, whose it might be.
Where the settings give roles to groups, each sign-in takes away what their groups do not say, and who is nobody here
becomes a person with what they say: then whoever runs the provider can make one.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace

from machines.core.errors import BadInput, NotAllowed, NotPossible
from machines.core.ids import folded
from machines.core.issuer import AuthRequest, Issuer, VouchedSubject
from machines.core.money import Money
from payflow.desk.dual_control import everybodys_contacts
from payflow.desk.passkeys import SignedIn, has_passkey
from payflow.desk.person import MAY_MOST
from payflow.store.registers.alone import FIRST_SIGN_IN
from payflow.store.registers.persons import SUBJECT, RegisteredPerson, alias_of, with_issuer
from payflow.store.registers.subjects import IssuerSignIn, IssuerSignIns, KnownSubject, KnownSubjects
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, digest_of, is_name
from payflow.store.store import Store

LONGEST_CODE = 4096
NAMER = "payflow"
_ERROR = re.compile(r"[a-z_]{1,40}")


# ── there and back ────────────────────────────────────────────────────────────────────────────────────────────────────


async def send_to_issuer(
    store: Store, issuer: Issuer, back: str, to: str, proves: SignedIn | None = None
) -> tuple[str, str]:
    """Say where somebody is sent, and what their browser alone must show when they come back.

    Whoever `proves` that it is them signs in there anew; a passkey of theirs proves more, and is asked for instead.
    """
    if proves is not None and await has_passkey(store, proves.caller.who):
        raise NotPossible("You have a passkey: what moves money asks for that.")
    browser, now = secrets.token_urlsafe(32), await store.records.now()
    begun = IssuerSignIn(digest_of(browser), now, to, proves.session_name if proves else "")
    state = await IssuerSignIns(store.link).begin(begun)
    return await issuer.sign_in_url(_asked(begun, browser, state, back)), browser


async def come_from_issuer(
    store: Store, issuer: Issuer, back: str, browser: str, said: Mapping[str, str]
) -> tuple[IssuerSignIn, VouchedSubject]:
    """Tell who comes back, and what they had been sent for; each is good once, in the browser that was sent."""
    state = said.get("state", "")
    begun = await IssuerSignIns(store.link).take(state)
    if begun is None:
        raise BadInput("This sign-in was finished, or began more than ten minutes ago: begin again.")
    if not browser or not hmac.compare_digest(digest_of(browser), begun.browser):
        raise NotAllowed("This sign-in did not begin in this browser: begin again.")
    if "error" in said:
        why = said["error"] if _ERROR.fullmatch(said["error"]) else "something else than is usual"
        raise NotAllowed(f"{issuer.host} let nobody in ({why}): begin again, or ask whoever runs it.")
    code = said.get("code", "")
    if not 0 < len(code) <= LONGEST_CODE:
        raise BadInput("Who comes from the identity provider brings a code: begin again.")
    return begun, await issuer.who(_asked(begun, browser, state, back), code, said.get("iss", ""))


def _asked(begun: IssuerSignIn, browser: str, state: str, back: str) -> AuthRequest:
    """Make what one sign-in is known by: out of what the browser holds, so that no other one could answer for it."""
    nonce, verifier = (_word(f"{what} {browser} {state}") for what in ("nonce", "verifier"))
    return AuthRequest(back, state, nonce, verifier, begun.at if begun.session else None)


def _word(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# ── who it is here ────────────────────────────────────────────────────────────────────────────────────────────────────


async def session_of_vouched(store: Store, who: VouchedSubject) -> Session:
    """Give the session that somebody has earned for whom the provider vouches."""
    person, roles = await _person_of(store, who)
    if not roles:
        raise NotAllowed(f"Your groups at the identity provider give you nothing that {person.name} may be here.")
    # A passkey proves more: who has one is asked for that, whenever they came.
    proven_at = None if await has_passkey(store, person.name) else who.proven_at
    return Session("", "", proven_at, person=person.name, roles=roles, vouched=True)


async def prove_vouched(store: Store, who: VouchedSubject, begun: IssuerSignIn, one: SignedIn) -> Session:
    """Give the session of somebody who signed in anew to prove that it is them."""
    if begun.session != one.session_name:
        raise NotAllowed("You signed out, or in again, meanwhile: what you asked for, ask for once more.")
    known = await KnownSubjects(store.link).find(who.issuer, who.subject)
    if known is None or not await store.persons.same(known.person, one.caller.who):
        raise NotAllowed(f"Whoever signed in there is not {one.caller.who}: nothing is proven.")
    person, roles = await _person_of(store, who)
    if one.caller.role not in roles or await has_passkey(store, person.name):
        raise NotAllowed(f"{person.name} may not be {one.caller.role} any more, or has a passkey by now: sign in anew.")
    return replace(one.session, proven_at=who.proven_at)


async def _person_of(store: Store, who: VouchedSubject) -> tuple[RegisteredPerson, tuple[Role, ...]]:
    """Find who a subject is here, and what they may be now; write down that they came."""
    subjects, now = KnownSubjects(store.link), await store.records.now()
    known = await subjects.find(who.issuer, who.subject)
    by_groups = _by_groups(store, who)
    person = await store.persons.find(known.person) if known else await _named(store, who)
    if person is None:
        person = await _registered(store, who, by_groups)
    if person.disabled_at is not None:
        raise NotAllowed(f"{person.name} was disabled here, by {person.disabled_by}.")
    may = by_groups if store.settings.oidc_roles else person.roles
    roles = tuple(role for role in MAY_MOST if role in may & person.roles)
    if known is None:
        subject, may_be = who.email or who.subject, ", ".join(roles) or "nothing"
        await store.audit.note(person.name, "first sign-in", who.issuer, f"{subject}, who may be {may_be}")
        news = {"by": person.name, "issuer": who.issuer, "subject": subject, "roles": may_be}
        await store.alone.tell(news, await everybodys_contacts(store), now, FIRST_SIGN_IN)
    if known is not None and not set(known.roles) <= set(may):
        await _end_wider_sessions(store, person, roles)
    first_at = known.first_at if known else now
    await subjects.write(KnownSubject(who.issuer, who.subject, person.name, tuple(sorted(may)), first_at, now))
    return person, roles


async def _end_wider_sessions(store: Store, person: RegisteredPerson, roles: Collection[Role]) -> None:
    """End the sessions in which somebody may be what their groups do not give them any more, wherever they are open."""
    sessions = Sessions(store.link)
    for use in await sessions.all():
        if use.person and await store.persons.same(use.person, person.name) and not set(use.roles) <= set(roles):
            await sessions.end(use.name)


def _by_groups(store: Store, who: VouchedSubject) -> frozenset[Role]:
    return frozenset(Role(role) for group, role in store.settings.oidc_roles.items() if group in who.groups)


async def _named(store: Store, who: VouchedSubject) -> RegisteredPerson | None:
    """Find the person who has a subject among their names, or its e-mail address, if that is no other subject's."""
    await _name_issuers(store, who.issuer)
    alias = alias_of(who.issuer, who.subject)
    person = await store.persons.find(alias)
    if person is not None and alias in person.names:  # a subject with other capitals is another one
        return person
    person = await store.persons.find(who.email) if who.email else None
    if person is None:
        return None
    others = [one for one in await KnownSubjects(store.link).all() if one.issuer == who.issuer]
    if any([await store.persons.same(one.person, person.name) for one in others]):
        raise NotAllowed(
            f"{who.email} is {person.name} here, who signs in as another subject of the identity provider. If both are "
            f"{person.name}, two operators say so: `payflow person set {person.name} --alias {alias}`."
        )
    return person


async def _name_issuers(store: Store, issuer: str) -> None:
    """Complete the aliases that name no issuer, once and for all: after a change of issuer they would be anybody's."""
    if any(one.issuer != issuer for one in await KnownSubjects(store.link).all()):
        return
    for person in await store.persons.all():
        whole = tuple(with_issuer(one, issuer) for one in person.aliases)
        if whole != person.aliases:
            async with store.audit.doing(NAMER, "name the issuer", person.name, ", ".join(whole)):
                await store.persons.write(replace(person, aliases=whole))


async def _registered(store: Store, who: VouchedSubject, roles: frozenset[Role]) -> RegisteredPerson:
    """Make a person of somebody whose groups say what they may be, or refuse who is nobody here."""
    if not roles:
        raise NotAllowed(
            f"{who.email or who.subject} is nobody here. Operators add who works here, or another name of theirs: "
            f"`payflow person add NAME --alias {alias_of(who.issuer, who.subject)}`, or `person set`."
        )
    name = who.name
    if not is_name(name):
        raise NotAllowed(
            f"The claim {store.settings.oidc_name_claim} of {who.email or who.subject} is no name for a person: it has "
            "1 to 64 letters, digits and _.@+-, a letter or digit first; an e-mail address must have been checked."
        )
    tokens = await Tokens(store.link).in_use()
    taken = await store.persons.find(name) or any(folded(name) in (folded(t.name), folded(t.holder)) for t in tokens)
    if taken:
        raise NotAllowed(
            f"{name} is somebody's name here already. If that is you, two operators say so: `payflow person set {name} "
            f"--alias {alias_of(who.issuer, who.subject)}`."
        )
    assets, limits = store.records.assets, store.settings.oidc_limits
    most = {code: Money.parse(number, assets[code]).units for code, number in sorted(limits.items())}
    now, maker = await store.records.now(), f"{SUBJECT}{who.issuer}"
    person = RegisteredPerson(name, roles, maker, now, most, (alias_of(who.issuer, who.subject),))
    async with store.audit.doing(maker, "add person", name, ", ".join(sorted(roles))):
        return await store.persons.write(person)
