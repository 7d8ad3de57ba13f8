"""Who may come in: persons and tokens, made, changed, rotated and taken away.

A token is a person's or a machine's. A person's token is made for one role that the person has; who disables the person
shuts all of them at once. A token of nobody who is registered goes on working: its name is its person.

Once two people operate this installation, whatever lets somebody in, or do more, takes two of them: or one could make
up the second person that other acts ask for. Shutting somebody out takes one. Until there are two of whom neither made
the other, one is enough, and a shell is one: how else would the first ones come in?
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import combinations

from machines.core.clock import DAY, SECOND
from machines.core.errors import BadInput, Conflict, NotAllowed, NotFound
from machines.core.ids import Owner, folded
from machines.core.money import Asset, Money
from payflow.desk.dual_control import DualControl, Verb, both, everybodys_contacts
from payflow.desk.passkeys import opens_as_person, passkeys_of
from payflow.desk.person import A_ROLE, ASKS, OPERATES, STAFF, Person, because, identified, roles_of
from payflow.desk.platforms import known_owner, refuse_unknown
from payflow.desk.providers import claim
from payflow.store.registers.alone import OnePerson
from payflow.store.registers.passkeys import Passkeys
from payflow.store.registers.persons import REMEMBERED_MS, RegisteredPerson, with_issuer
from payflow.store.registers.proposals import Proposal
from payflow.store.registers.sign_ins import SignInLink, SignInLinks
from payflow.store.registers.subjects import KnownSubjects
from payflow.store.registers.tokens import (
    UNSCOPED,
    ApiToken,
    Role,
    Sessions,
    SessionUse,
    Tokens,
    TokenScope,
    by_person,
    digest_of,
    new_secret,
)
from payflow.store.store import Store

STAFF_DAYS = 90
"""So long a token of somebody who works here lasts, unless something else is said; a machine's lasts for ever."""
MOST_DAYS = 3650
WARNED_MS = 14 * DAY
MOST_OVERLAP_MS = 7 * DAY

PERSON, TOKEN, ONE_PERSON = "person", "token", "one person"
INSTALLATION = "this installation"


async def takes_two(store: Store) -> bool:
    """Whether what lets somebody in takes two people, or one alone, where they said that one is enough, after a wait.

    Where nobody operates any more, or did lately, nobody waits: how else would anybody come in again?
    """
    if await two_operate(store):
        return True
    in_use = await Tokens(store.link).in_use(REMEMBERED_MS)
    operates = any(token.role is Role.OPERATOR for token in in_use) or any(
        [await _let_in_without_token(store, one) for one in await store.persons.all() if Role.OPERATOR in one.roles]
    )
    return operates and (await store.alone.read()).on


async def two_operate(store: Store) -> bool:
    """Whether two people operate this installation, or did lately, of whom neither made the other.

    Whoever shut the other one out must not be able to act alone at once.
    """
    makers: dict[str, set[str]] = {}
    others: list[tuple[str, set[str]]] = []
    for token in await Tokens(store.link).in_use(REMEMBERED_MS):
        if token.role is not Role.OPERATOR:
            continue
        person = await store.persons.find(token.holder)
        if person is None and token.person:
            continue
        if person is not None and (Role.OPERATOR not in person.roles or await _long_gone(store, person)):
            continue
        made_by = {token.made_by, person.made_by if person else token.made_by}
        names = {folded(await store.persons.named(maker)) for maker in made_by}
        makers.setdefault(folded(person.name if person else token.name), set()).update(names)
    for person in await store.persons.all():
        if Role.OPERATOR in person.roles and not await _long_gone(store, person):
            for by in await _let_in_without_token(store, person):
                names = {folded(await store.persons.named(maker)) for maker in {person.made_by, by}}
                others.append((folded(person.name), names))
    pairs = combinations([*makers.items(), *others], 2)
    return any(
        one != other and one not in makers_of_other and other not in makers_of_one
        for (one, makers_of_one), (other, makers_of_other) in pairs
    )


async def _let_in_without_token(store: Store, person: RegisteredPerson) -> list[str]:
    """Say for each way in that a person has, or had lately, without an open token who let them in."""
    passkeys, tokens, now = Passkeys(store.link), Tokens(store.link), await store.records.now()
    found: list[str] = []
    subjects = [one for one in await KnownSubjects(store.link).all() if folded(one.person) == folded(person.name)]
    there = (one.issuer == store.settings.oidc_issuer or one.last_at + REMEMBERED_MS > now for one in subjects)
    found += [""] if any(there) else []
    removed = [await passkeys.removed_lately(name) for name in person.names]
    for passkey in [*await passkeys_of(store, person.name), *(one for one in removed if one)]:
        _, token = await tokens.last(passkey.token) if passkey.token else ("", None)
        if not passkey.token:
            found.append(passkey.let_in_by)
        elif token is not None and not token.open_at(now) and opens_as_person(token, Role.OPERATOR):
            found.append(passkey.let_in_by or token.made_by)
    return found


async def _long_gone(store: Store, person: RegisteredPerson) -> bool:
    return person.disabled_at is not None and person.disabled_at + REMEMBERED_MS <= await store.records.now()


# ── persons ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What is said of a person; what is left out stays as it is."""

    roles: frozenset[Role] = frozenset()
    limits: Mapping[Asset, Money | None] = field(default_factory=dict)
    """The most that one approval of theirs may be about; None takes a limit away."""
    aliases: Collection[str] = ()
    """More names of theirs: one that was given is never taken back, so that nobody becomes two."""
    contacts: Collection[str] | None = None


async def find_person(store: Store, name: str) -> RegisteredPerson:
    """Find a person by any name of theirs."""
    person = await store.persons.find(name)
    if person is None:
        raise NotFound(f"There is no person {name[:64]!r}: `payflow person ls` names them.")
    return person


async def add_person(
    store: Store, name: str, change: PersonChange, by: Person, reason: str = ""
) -> RegisteredPerson | Proposal:
    """Register somebody who works here, or propose it."""
    by.refuse_unless(OPERATES)
    known, now = await store.persons.find(name), await store.records.now()
    if known is not None:
        raise Conflict(f"{name} is {known.name}, who is registered: `payflow person set {known.name}` changes them.")
    wish = _changed(store, RegisteredPerson(name.strip(), frozenset(), by.name, now), change)
    return await _write(store, wish, by, reason, "add person")


async def change_person(
    store: Store, name: str, change: PersonChange, by: Person, reason: str = ""
) -> RegisteredPerson | Proposal:
    """Say otherwise what a person may do, up to how much, and how else they are called; or propose it."""
    by.refuse_unless(OPERATES)
    wish = _changed(store, await find_person(store, name), change)
    return await _write(store, wish, by, reason, "change person")


async def disable_person(store: Store, name: str, reason: str, by: Person) -> RegisteredPerson:
    """Let a person come in nowhere any more, with whatever token or session, at once."""
    by.refuse_unless(OPERATES)
    why = because(reason)
    person = await find_person(store, name)
    if person.disabled_at is not None:
        raise Conflict(f"{person.name} is disabled already, by {person.disabled_by}.")
    async with store.audit.doing(by.name, "disable person", person.name, why):
        now = await store.records.now()
        return await store.persons.write(replace(person, disabled_by=by.name, disabled_at=now))


async def enable_person(store: Store, name: str, reason: str, by: Person) -> RegisteredPerson | Proposal:
    """Let a person who was disabled come in again, or propose it; tokens that were revoked stay so."""
    by.refuse_unless(OPERATES)
    why = because(reason)
    person = await find_person(store, name)
    if person.disabled_at is None:
        raise Conflict(f"{person.name} is not disabled.")
    return await _write(store, replace(person, disabled_by="", disabled_at=None), by, why, "enable person")


def _changed(store: Store, before: RegisteredPerson, change: PersonChange) -> RegisteredPerson:
    if not change.roles <= STAFF:
        raise BadInput("A person is a reviewer, an operator or a viewer; platforms and providers have tokens alone.")
    limits = dict(before.limits)
    for asset, limit in change.limits.items():
        if limit is None:
            limits.pop(asset.code, None)
        else:
            limits[asset.code] = limit.units
    issuer = store.settings.oidc_issuer
    # Where no issuer is set yet, the first one that is completes it.
    aliases = [with_issuer(name.strip(), issuer) if issuer else name.strip() for name in change.aliases]
    known = {folded(name) for name in before.names}
    fresh = {folded(name): name for name in aliases if folded(name) not in known}
    wish = replace(
        before,
        roles=change.roles or before.roles,
        limits=dict(sorted(limits.items())),
        aliases=(*before.aliases, *fresh.values()),
    )
    return wish if change.contacts is None else store.persons.with_contacts(wish, change.contacts)


async def _write(
    store: Store, wish: RegisteredPerson, by: Person, reason: str, act: str
) -> RegisteredPerson | Proposal:  # fmt: skip
    await _refuse_at_odds(store, wish)
    if await takes_two(store):
        version = wish.version
        return await _two(store).propose(PERSON, wish.name, {"act": act, **_seen(wish)}, reason, by, version=version)
    async with store.audit.doing(by.name, act, wish.name, said_of(store, wish)):
        return await store.persons.write(wish)


async def _refuse_at_odds(store: Store, person: RegisteredPerson) -> None:
    """Raise where a name is another person's, or a token that is in use would open nothing any more."""
    for name in person.names:
        other = await store.persons.find(name)
        if other is not None and folded(other.name) != folded(person.name):
            raise Conflict(f"{name} is {other.name}: no two persons have one name.")
    names = {folded(name) for name in person.names}
    for token in await Tokens(store.link).in_use():
        if folded(token.holder) in names and token.role in STAFF - person.roles:
            raise Conflict(
                f"The token {token.name} of {person.name} is for a {token.role}: name that role too, or revoke the "
                "token first."
            )


def said_of(store: Store, person: RegisteredPerson) -> str:
    """Say of a person what they may do, up to how much, and how else they are called."""
    assets = store.records.assets
    parts = [", ".join(sorted(person.roles))]
    parts += [f"up to {Money(units, assets[code])}" for code, units in person.limits.items()]
    parts += [f"also called {', '.join(person.aliases)}"] if person.aliases else []
    return "; ".join(parts)


def _seen(person: RegisteredPerson) -> dict[str, str]:
    """Write a person as they would be into a proposal."""
    return {
        "roles": " ".join(sorted(person.roles)),
        "limits": ", ".join(f"{code} {units}" for code, units in person.limits.items()),
        "aliases": " ".join(person.aliases),
        "contacts": person.sealed_contacts,
    }


async def _proposed(store: Store, one: Proposal, made_by: str) -> RegisteredPerson:
    """Read a person as they would be, in the version that was seen."""
    before = await store.persons.find(one.subject)
    known = before or RegisteredPerson(one.subject, frozenset(), made_by, await store.records.now())
    limits = (limit.partition(" ") for limit in one.seen["limits"].split(", ") if limit)
    enabled = one.seen["act"] == "enable person"
    return replace(
        known,
        roles=frozenset(map(Role, one.seen["roles"].split())),
        limits={code: int(units) for code, _, units in limits},
        aliases=tuple(one.seen["aliases"].split()),
        sealed_contacts=one.seen["contacts"],
        disabled_by="" if enabled else known.disabled_by,
        disabled_at=None if enabled else known.disabled_at,
        version=one.version,
    )


def person_verb(store: Store) -> Verb:
    """Give what a second person confirms of a person."""

    def says(one: Proposal) -> list[str]:
        seen, assets = one.seen, store.records.assets
        limits = [limit.partition(" ") for limit in seen["limits"].split(", ") if limit]
        amounts = ", ".join(str(Money(int(units), assets[code])) for code, _, units in limits)
        return [
            f"{seen['act'].capitalize()} {one.subject}, who may be: {seen['roles']}.",
            f"One approval of theirs may be about {amounts or 'any amount'}{' at most' if amounts else ''}.",
            f"Also called: {seen['aliases'] or 'nothing else'}.",
        ]

    async def do(one: Proposal, second: Person) -> str:
        made_by = both(one, second)
        wish = await _proposed(store, one, made_by)
        async with store.audit.doing(made_by, one.seen["act"], one.subject, said_of(store, wish)):
            await _refuse_at_odds(store, wish)
            await store.persons.write(wish)
        return f"Done: {one.subject} is {said_of(store, wish)}."

    return Verb(PERSON, says, do)


def _two(store: Store) -> DualControl:
    return DualControl(store, [person_verb(store), token_verb(store), one_person_verb(store)])


# ── one person ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def propose_one_person(store: Store, reason: str, by: Person) -> Proposal:
    """Propose that one person be enough for what takes two, after a wait. Where two operate it takes both."""
    found = await store.alone.read()
    if found.on:
        raise Conflict(f"One person is enough already, since {found.by} said so.")
    return await _two(store).propose(ONE_PERSON, INSTALLATION, {"since": str(found.since)}, reason, by)


async def end_one_person(store: Store, reason: str, by: Person) -> None:
    """Let what takes two take two again, at once."""
    if by.role is None:
        raise NotAllowed("A shell without a token is nobody here: whoever operates says that it takes two again.")
    by.refuse_unless(OPERATES)
    why, found = because(reason), await store.alone.read()
    if not found.on:
        raise Conflict("It takes two already.")
    async with store.audit.doing(by.name, "end one person", INSTALLATION, why):
        await _set_one_person(store, found, on=False, by=by.name, does="ends that anything is done", reason=why)


def one_person_verb(store: Store) -> Verb:
    """Give what is confirmed: by a second person, or where there is none by the one, after the wait."""

    def says(_: Proposal) -> list[str]:
        return [
            "One person is enough from then on for what takes two: after ten minutes in which it can be taken back.",
            "Everybody with a contact hears of each such act, when it is proposed and when it is done.",
        ]

    async def do(one: Proposal, second: Person) -> str:
        found, who = await store.alone.read(), both(one, second)
        if found.on or str(found.since) != one.seen["since"]:
            raise Conflict("Whether one person is enough was changed since this was proposed: look again.")
        async with store.audit.doing(who, ONE_PERSON, INSTALLATION, one.reason):
            await _set_one_person(store, found, on=True, by=who, does="says that things may be done", reason=one.reason)
        return "Done: one person is enough from now on, after a wait, and everybody hears of it."

    async def alone() -> bool:
        return not await two_operate(store)

    return Verb(ONE_PERSON, says, do, alone=alone)


async def _set_one_person(store: Store, before: OnePerson, *, on: bool, by: str, does: str, reason: str) -> None:
    now = await store.records.now()
    news = {"by": by, "does": does, "kind": ONE_PERSON, "subject": INSTALLATION, "reason": reason}
    after = replace(before, on=on, by=by, since=now)
    await store.alone.write(after, news, await everybodys_contacts(store), now)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token that somebody wants."""

    name: str
    role: Role
    of: str = ""
    """Which provider or platform, for the token of a machine."""
    platform: str = ""
    """Which platform calls the provider so, where nobody has heard of them."""
    person: str = ""
    """Whose it is, for somebody who works here; without one its name is its person."""
    days: int | None = None
    """How long it lasts; None for as long as such tokens do."""
    scope: TokenScope = UNSCOPED
    keyed: bool = True
    """Whether who asks for money with it must send an Idempotency-Key: else a repeat is a second payout."""


@dataclass(frozen=True, slots=True)
class TokenMade:
    """A token that was made or proposed."""

    of: str
    """Which provider or platform it is bound to; empty for staff."""
    secret: str
    """What its holder shows: it is kept nowhere, so it cannot be shown again."""
    proposal: Proposal | None = None
    """What another operator must confirm before it opens anything."""


async def make_token(store: Store, wish: TokenWish, by: Person, reason: str = "") -> TokenMade:
    """Make a token; one of somebody who works here is proposed where that takes two.

    Whoever proposes it sees what it shows, and so never counts as somebody else than its holder where two are needed.
    """
    by.refuse_unless(OPERATES)
    wish = replace(wish, scope=replace(wish.scope, keyed=wish.keyed and wish.role in ASKS))
    tokens, secret = Tokens(store.link), new_secret()
    lasts_ms = _lasts(wish.role, wish.days)
    person = await _holder(store, wish)
    if wish.role is Role.PROVIDER:
        wish = replace(wish, of=await _provider(store, wish))
    if wish.role in STAFF and await takes_two(store):
        seen = {"hash": digest_of(secret), "role": wish.role.value, "person": person, "lasts": str(lasts_ms)}
        seen |= _scope_written(wish.scope)
        return TokenMade("", secret, await _two(store).propose(TOKEN, wish.name, seen, reason, by))
    says = [f"{wish.role} {wish.of}".strip(), *([f"of {person}"] if person else []), *narrower(wish.scope)]
    async with store.audit.doing(by.name, "create token", wish.name, ", ".join(says)):
        await tokens.adopt(
            digest_of(secret), wish.name, wish.role, wish.of, by.name,
            person=person, lasts_ms=lasts_ms, scope=wish.scope,
        )  # fmt: skip
        await tokens.let_in(wish.of)
    return TokenMade(wish.of, secret)


async def _provider(store: Store, wish: TokenWish) -> Owner:
    if not wish.platform:
        return await known_owner(store, wish.of)
    await refuse_unknown(store, wish.platform)
    return await claim(store, wish.of, wish.platform)


def token_verb(store: Store) -> Verb:
    """Give what a second person confirms of a token."""

    def says(one: Proposal) -> list[str]:
        seen = one.seen
        days = int(seen["lasts"]) // DAY
        less = ", ".join(narrower(_scope_read(seen)))
        return [
            f"The token {one.subject} opens what {A_ROLE[Role(seen['role'])]} may, for {days} days.",
            f"It is of {seen['person'] or f'{one.subject}, whom nobody registered'}; {one.by} has seen what it shows.",
            *([f"It is narrower: {less}."] if less else []),
        ]

    async def do(one: Proposal, second: Person) -> str:
        seen, role, who = one.seen, Role(one.seen["role"]), both(one, second)
        wish = TokenWish(one.subject, role, person=seen["person"])
        async with store.audit.doing(who, "create token", one.subject, f"{role} of {seen['person'] or one.subject}"):
            if await _holder(store, wish) != seen["person"]:
                raise Conflict(f"Whose token {one.subject} would be changed since it was proposed: look again.")
            # By whoever saw what it shows: confirming it makes nobody its holder.
            await Tokens(store.link).adopt(
                seen["hash"], one.subject, role, "", one.by,
                person=seen["person"], lasts_ms=int(seen["lasts"]), scope=_scope_read(seen),
            )  # fmt: skip
        return f"Done: the token {one.subject} opens what it was proposed for."

    return Verb(TOKEN, says, do)


def _scope_written(scope: TokenScope) -> dict[str, str]:
    most = ", ".join(f"{code} {units}" for code, units in sorted(scope.most.items()))
    return {"reads": "yes" if scope.reads_only else "", "most": most, "networks": " ".join(scope.networks)}


def _scope_read(seen: Mapping[str, str]) -> TokenScope:
    most = (limit.partition(" ") for limit in seen["most"].split(", ") if limit)
    return TokenScope(
        bool(seen["reads"]), {code: int(units) for code, _, units in most}, tuple(seen["networks"].split())
    )  # fmt: skip


async def rotate_token(store: Store, name: str, overlap_ms: int, days: int | None, by: Person) -> str:
    """Give what takes the place of a token; what was shown before ends by itself after the overlap.

    Whoever shows it may, and an operator; that of another person only where one operator is enough, because whoever
    rotates a token sees what it shows.
    """
    if not 0 <= overlap_ms <= MOST_OVERLAP_MS:
        raise BadInput("Both tokens may open for 7 days at most: name a shorter overlap, such as 1h.")
    token = await _in_use(store, name)
    # Who rotates their own is its holder still: whoever made it made it up, or not, as before.
    maker = token.made_by if await _rotates_own(store, token, by) else by.name
    lasted = None if token.expires_at is None else max(1, (token.expires_at - token.made_at) // DAY)
    lasts_ms = _lasts(token.role, lasted if days is None else days)
    async with store.audit.doing(by.name, "rotate token", token.name, f"the old one ends in {overlap_ms // SECOND} s"):
        return await Tokens(store.link).rotate(name, maker, overlap_ms, lasts_ms)


async def ending_tokens(store: Store) -> list[str]:
    """Name the tokens that end within two weeks by themselves, and that nothing took the place of."""
    tokens = Tokens(store.link)
    named = {folded(token.name): token.name for token in await tokens.in_use()}
    later = {folded(token.name) for token in await tokens.in_use(-WARNED_MS)}
    return sorted(name for name_folded, name in named.items() if name_folded not in later)


async def revoke_token(store: Store, name: str, by: Person) -> ApiToken:
    """Let a token open nothing any more, at once and everywhere."""
    by.refuse_unless(OPERATES)
    async with store.audit.doing(by.name, "revoke token", name):
        return await Tokens(store.link).revoke(name, by.name)


async def _in_use(store: Store, name: str) -> ApiToken:
    for token in await Tokens(store.link).in_use():  # of one name the newest comes first
        if folded(token.name) == folded(name):
            return token
    raise NotFound(f"There is no token {name[:64]!r} that opens anything: `payflow token ls` names them.")


async def _rotates_own(store: Store, token: ApiToken, by: Person) -> bool:
    if by.role is not None and folded(by.token) == folded(token.name):
        return True
    by.refuse_unless(OPERATES)
    if token.role in STAFF and await takes_two(store):
        raise NotAllowed(
            f"Whoever rotates {token.name} sees what it shows: {token.holder} does so, with that token. Where it is "
            "lost, revoke it and propose another one."
        )
    return False


async def _holder(store: Store, wish: TokenWish) -> str:
    """Name the person whose token this would be; empty for a machine's, and where nobody is registered."""
    if wish.role not in STAFF:
        if wish.person:
            raise BadInput(f"The token of a {wish.role} is a machine's: leave --person out.")
        return ""
    registered = await store.persons.find(wish.name)
    person = await find_person(store, wish.person) if wish.person else registered
    if person is None:
        return ""
    if registered is not None and folded(registered.name) != folded(person.name):
        raise Conflict(f"{wish.name} is what {registered.name} is called: name the token of {person.name} otherwise.")
    if person.disabled_at is not None:
        raise NotAllowed(f"{person.name} was disabled by {person.disabled_by}: `payflow person enable` undoes that.")
    if wish.role not in person.roles:
        raise NotAllowed(f"{person.name} is no {wish.role}: `payflow person set {person.name}` may say otherwise.")
    return person.name


def _lasts(role: Role, days: int | None) -> int | None:
    if days is None:
        return STAFF_DAYS * DAY if role in STAFF else None
    if not 1 <= days <= MOST_DAYS:
        raise BadInput(f"A token lasts 1 to {MOST_DAYS} days.")
    return days * DAY


def narrower(scope: TokenScope) -> list[str]:
    """Say what a token opens less than its role would."""
    return [
        *(["reads only"] if scope.reads_only else []),
        *(f"up to {units} units of {code}" for code, units in scope.most.items()),
        *([f"from {', '.join(scope.networks)}"] if scope.networks else []),
        *(["asks for money with an Idempotency-Key"] if scope.keyed else []),
    ]


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Somebody who is signed in."""

    use: SessionUse
    who: str
    role: Role


async def open_sessions(store: Store, by: Person) -> list[OpenSession]:
    """List who is signed in: to operators everybody, to everybody else their own."""
    tokens, found = await Tokens(store.link).open_by_hash(), []
    for use in await Sessions(store.link).all():
        with suppress(NotAllowed):  # it is shown from where its token opens nothing
            token = by_person(use.person, use.roles, use.let_in_by) or tokens.get(use.token)
            caller = await identified(store, token, use.address)
            if caller is not None and await _may_end(store, caller.who, by):
                found.append(OpenSession(use, caller.who, caller.role))
    return found


async def end_session(store: Store, name: str, by: Person) -> OpenSession:
    """End a session at once: one's own, or as an operator anybody's."""
    for one in await open_sessions(store, by):
        if one.use.name == name:
            async with store.audit.doing(by.name, "end session", one.who, f"opened from {one.use.address}"):
                await Sessions(store.link).end(name)
            return one
    raise NotFound(f"There is no session {name[:20]!r} of yours: it is over, or somebody else's.")


async def _may_end(store: Store, who: str, by: Person) -> bool:
    return by.role in (None, Role.OPERATOR) or await store.persons.same(who, by.name)


# ── links that sign in ────────────────────────────────────────────────────────────────────────────────────────────────


async def make_sign_in_link(store: Store, name: str, by: Person) -> str:
    """Make a link for somebody who works here, and give what it must show: it signs them in once, within minutes.

    Everybody makes them for themselves; for somebody else an operator, or a shell, until two people operate.
    """
    token = await _token_of(store, name, by)
    holder = token.holder if token else await store.persons.named(name)
    roles = (token.role,) if token else await roles_of(store, name)
    own = by.role in roles and await store.persons.same(by.name, holder)
    if not own:
        by.refuse_unless(OPERATES)
        if await takes_two(store):
            raise NotAllowed(
                f"Two people operate this installation, so nobody lets {holder} in alone: they make a link for "
                "themselves, with their own token, or sign in with it. `payflow token create` gives them one."
            )
    made_by = "" if own else by.name
    if token is None:
        # What they may be is theirs to say, but for who is not all of it now.
        link = SignInLink("", made_by, holder, tuple(role for role in roles if not own or role is by.role))
    else:
        link = SignInLink(await Tokens(store.link).digest_in_use(token.name), made_by)
    async with store.audit.doing(by.name, "make sign-in link", token.name if token else holder):
        return await SignInLinks(store.link).make(link)


async def _token_of(store: Store, name: str, by: Person) -> ApiToken | None:
    """Find the token by which somebody signs in: by its own name, or by one of theirs where that leaves no doubt.

    None for a person who has none, and needs none.
    """
    tokens = await Tokens(store.link).in_use()
    named = [one for one in tokens if folded(one.name) == folded(name)]
    found = named or [one for one in tokens if await store.persons.same(one.holder, name)]
    staff = [one for one in found if one.role in STAFF]
    mine = [one for one in staff if one.role is by.role] or staff
    if not mine and await roles_of(store, name):
        return None
    if not found:
        raise NotFound(f"There is no token {name!r} in use, and no person who may sign in is called so.")
    if not mine:
        raise BadInput(f"{name} does not work here: only a viewer, a reviewer or an operator signs in by a link.")
    if len({folded(one.name) for one in mine}) > 1:
        raise Conflict(f"{name} has more than one token; name it: {', '.join(sorted(one.name for one in mine))}.")
    return mine[0]
