"""Who may come in: persons and tokens, made, changed, rotated and taken away.

A token is a person's or a machine's. A person's token is made for one role that the person has; who disables the person
shuts all of them at once. A token of nobody who is registered goes on working: its name is its person.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from machines.core.clock import DAY, SECOND
from machines.core.errors import BadInput, Conflict, NotAllowed, NotFound
from machines.core.money import Asset, Money
from payflow.desk.person import OPERATES, STAFF, Person, because
from payflow.store.registers.persons import Persons, RegisteredPerson, folded
from payflow.store.registers.tokens import UNSCOPED, ApiToken, Role, Tokens, TokenScope
from payflow.store.store import Store

STAFF_DAYS = 90
"""So long a token of somebody who works here lasts, unless something else is said; a machine's lasts for ever."""
MOST_DAYS = 3650
MOST_OVERLAP_MS = 7 * DAY

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


async def add_person(store: Store, name: str, change: PersonChange, by: Person) -> RegisteredPerson:
    """Register somebody who works here."""
    by.refuse_unless(OPERATES)
    known, now = await store.persons.find(name), await store.records.now()
    if known is not None:
        raise Conflict(f"{name} is {known.name}, who is registered: `payflow person set {known.name}` changes them.")
    wish = _changed(store.persons, RegisteredPerson(name.strip(), frozenset(), by.name, now), change)
    return await _write(store, wish, by, "add person")


async def change_person(store: Store, name: str, change: PersonChange, by: Person) -> RegisteredPerson:
    """Say otherwise what a person may do, up to how much, and how else they are called."""
    by.refuse_unless(OPERATES)
    wish = _changed(store.persons, await find_person(store, name), change)
    return await _write(store, wish, by, "change person")


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


async def enable_person(store: Store, name: str, reason: str, by: Person) -> RegisteredPerson:
    """Let a person who was disabled come in again; tokens that were revoked stay so."""
    by.refuse_unless(OPERATES)
    why = because(reason)
    person = await find_person(store, name)
    if person.disabled_at is None:
        raise Conflict(f"{person.name} is not disabled.")
    async with store.audit.doing(by.name, "enable person", person.name, why):
        return await store.persons.write(replace(person, disabled_by="", disabled_at=None))


def _changed(persons: Persons, before: RegisteredPerson, change: PersonChange) -> RegisteredPerson:
    if not change.roles <= STAFF:
        raise BadInput("A person is a reviewer, an operator or a viewer; platforms and providers have tokens alone.")
    limits = dict(before.limits)
    for asset, limit in change.limits.items():
        if limit is None:
            limits.pop(asset.code, None)
        else:
            limits[asset.code] = limit.units
    known = {folded(name) for name in before.names}
    fresh = {folded(name): name.strip() for name in change.aliases if folded(name) not in known}
    wish = replace(
        before,
        roles=change.roles or before.roles,
        limits=dict(sorted(limits.items())),
        aliases=(*before.aliases, *fresh.values()),
    )
    return wish if change.contacts is None else persons.with_contacts(wish, change.contacts)


async def _write(store: Store, wish: RegisteredPerson, by: Person, act: str) -> RegisteredPerson:
    async with store.audit.doing(by.name, act, wish.name, said_of(store, wish)):
        await _refuse_at_odds(store, wish)
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


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TokenWish:
    """A token that somebody wants."""

    name: str
    role: Role
    of: str = ""
    """Which provider or platform, for the token of a machine."""
    person: str = ""
    """Whose it is, for somebody who works here; without one its name is its person."""
    days: int | None = None
    """How long it lasts; None for as long as such tokens do."""
    scope: TokenScope = UNSCOPED


async def make_token(store: Store, wish: TokenWish, by: Person) -> str:
    """Make a token and give it: it is kept nowhere, so it cannot be shown again."""
    by.refuse_unless(OPERATES)
    lasts_ms = _lasts(wish.role, wish.days)
    person = await _holder(store, wish)
    says = [f"{wish.role} {wish.of}".strip(), *([f"of {person}"] if person else []), *_narrower(wish.scope)]
    async with store.audit.doing(by.name, "create token", wish.name, ", ".join(says)):
        tokens = Tokens(store.link)
        secret = await tokens.create(
            wish.name, wish.role, wish.of, by.name, person=person, lasts_ms=lasts_ms, scope=wish.scope
        )
        await tokens.let_in(wish.of)
        return secret


async def rotate_token(store: Store, name: str, overlap_ms: int, days: int | None, by: Person) -> str:
    """Give what takes the place of a token; what was shown before ends by itself after the overlap.

    A person rotates their own tokens; an operator anybody's.
    """
    if not 0 <= overlap_ms <= MOST_OVERLAP_MS:
        raise BadInput("Both tokens may open for 7 days at most: name a shorter overlap, such as 1h.")
    token = await _in_use(store, name)
    await _refuse_stranger(store, token, by)
    lasted = None if token.expires_at is None else max(1, (token.expires_at - token.made_at) // DAY)
    lasts_ms = _lasts(token.role, lasted if days is None else days)
    async with store.audit.doing(by.name, "rotate token", token.name, f"the old one ends in {overlap_ms // SECOND} s"):
        return await Tokens(store.link).rotate(name, by.name, overlap_ms, lasts_ms)


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


async def _refuse_stranger(store: Store, token: ApiToken, by: Person) -> None:
    if not (token.role in STAFF and await store.persons.same(token.holder, by.name)):
        by.refuse_unless(OPERATES)


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


def _narrower(scope: TokenScope) -> list[str]:
    return [
        *(["reads only"] if scope.reads_only else []),
        *(f"up to {units} units of {code}" for code, units in scope.most.items()),
        *([f"from {', '.join(scope.networks)}"] if scope.networks else []),
    ]
