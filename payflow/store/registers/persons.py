"""Persons who work here: what each may do, up to how much, and every name that they go by.

Whether two names are one person's is decided here and nowhere else: `Persons.same`. `Persons.find` knows a person by
their name and by each alias; a name that nobody registered is a person of its own. Capitals make no other name.
"""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput, Conflict
from machines.core.ids import folded
from machines.core.ports import Destination
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link
from payflow.store.macs import Forged, UnknownKey
from payflow.store.registers.tokens import Role, is_name
from payflow.store.row_list import Row
from payflow.store.scripts import PERSON, SWAP
from payflow.store.seals import Seals

MOST_ALIASES = 20
MOST_CONTACTS = 5
REMEMBERED_MS = 7 * DAY
"""So long somebody who was shut out still counts as one of those of whom two are needed: nobody gets to act alone by
shutting out the other one."""

SUBJECT = "oidc:"
"""What the alias of a person begins with that is a subject of an identity provider; no token is called so."""
_SUBJECT = re.compile(SUBJECT + r"[!-~]{1,600}")
_WHOLE = re.compile(SUBJECT + "https?://[^#]+#.")
_CONTACTS = "contacts"


@dataclass(frozen=True, slots=True)
class RegisteredPerson:
    """One person who works here."""

    name: str
    """What the history calls them, whichever of their tokens they show."""
    roles: frozenset[Role]
    """What tokens of theirs may be for; one for anything else opens nothing."""
    made_by: str
    made_at: Millis
    limits: Mapping[str, int] = field(default_factory=dict)
    """By asset: the most units that one approval of theirs may be about; an asset that is not named has no limit."""
    aliases: tuple[str, ...] = ()
    """Other names of theirs, such as those of older tokens."""
    sealed_contacts: str = ""
    disabled_by: str = ""
    disabled_at: Millis | None = None
    """Since when they open nothing; None for whoever may work."""
    version: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Every name they go by, the first one first."""
        return (self.name, *self.aliases)


class Persons:
    """All persons."""

    def __init__(self, link: Link, seals: Seals) -> None:
        self._link = link
        self._seals = seals

    # ── asked ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, name: str) -> RegisteredPerson | None:
        """Find the person who goes by a name; None where nobody registered it."""
        wanted = folded(name)
        question = ("HMGET", keys.PERSONS, f"person:{wanted}", f"name:{wanted}")
        row, whose = await self._link.rows.read(self._link, _row(wanted), question, lambda found: found[0])
        if row is None and whose is not None:
            row = await self._link.rows.read(self._link, _row(whose.decode()))
        person = None if row is None else self._read(row)
        # The index is a way to find them; which names they have, they say themselves.
        return person if person and wanted in map(folded, person.names) else None

    async def named(self, name: str) -> str:
        """Say what the history calls whoever goes by a name."""
        person = await self.find(name)
        return person.name if person else name.strip()

    async def same(self, one: str, other: str) -> bool:
        """Tell whether two names are one person's."""
        return folded(one) == folded(other) or folded(await self.named(one)) == folded(await self.named(other))

    async def all(self) -> list[RegisteredPerson]:
        """List everybody, those who were disabled too, by name."""
        found: list[RegisteredPerson] = []
        for _, row in await self._link.rows.fields(self._link, keys.PERSONS, "person:"):
            # One that nobody of us wrote must not hide the others; `verify` names it.
            with suppress(Forged, UnknownKey, ValueError, TypeError):
                found += [] if isinstance(row, Forged) else [self._read(row)]
        return sorted(found, key=lambda person: folded(person.name))

    def contacts(self, person: RegisteredPerson) -> tuple[str, ...]:
        """Open where a person hears of what is done in their name: one URL each."""
        sealed = person.sealed_contacts
        return tuple(url for _, url in self._seals.open(sealed, _bound_to(person)).fields) if sealed else ()

    # ── written ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def with_contacts(self, person: RegisteredPerson, contacts: Collection[str]) -> RegisteredPerson:
        """Give a person other contacts."""
        if len(contacts) > MOST_CONTACTS:
            raise BadInput(f"A person has {MOST_CONTACTS} contacts at most.")
        fields = tuple((str(place), url) for place, url in enumerate(contacts))
        sealed = self._seals.seal(Destination(_CONTACTS, fields), _bound_to(person)) if fields else ""
        return replace(person, sealed_contacts=sealed)

    async def reseal(self, person: RegisteredPerson) -> bool:
        """Seal a person's contacts anew where they need it; False where they do not."""
        if not person.sealed_contacts or self._seals.is_current(person.sealed_contacts, _bound_to(person)):
            return False
        await self.write(self.with_contacts(person, self.contacts(person)))
        return True

    async def write(self, person: RegisteredPerson) -> RegisteredPerson:
        """Write a person who is new, or as they were read; each name is one person's alone."""
        _check(person)
        names = [folded(name) for name in person.names]
        written = self._written(person)
        words: tuple[str | int | bytes, ...] = (names[0], person.version, written, *dict.fromkeys(names))
        async with self._link.rows.changing(self._link, _row(names[0]), b"%d %b" % (person.version + 1, written)):
            found = await self._link.run(PERSON, [keys.PERSONS], *words)
        if isinstance(found, bytes):
            raise Conflict(f"{found.decode()} is a name of another person: no two persons have one name.")
        if not found:
            raise Conflict(f"{person.name} was made or changed by somebody else meanwhile: look again.")
        return replace(person, version=int(found))

    def _written(self, one: RegisteredPerson) -> bytes:
        content = encode((
            one.name, sorted(one.roles), one.made_by, one.made_at, dict(one.limits), one.aliases, one.sealed_contacts,
            one.disabled_by, one.disabled_at,
        ))  # fmt: skip
        return self._link.macs.wrap(f"{keys.PERSONS} {one.version + 1}", content)

    def _read(self, row: bytes) -> RegisteredPerson:
        """Read a person; raises where nobody of us wrote it: who has another one's name must not be let in for it."""
        version, _, wrapped = row.partition(b" ")
        content = self._link.macs.unwrap(f"{keys.PERSONS} {version.decode(errors='replace')}", wrapped)
        found = msgspec.msgpack.decode(content)
        name, roles, made_by, made_at, limits, aliases, contacts, disabled_by, disabled_at = found
        return RegisteredPerson(
            name, frozenset(map(Role, roles)), made_by, Millis(made_at), limits, tuple(aliases), contacts, disabled_by,
            None if disabled_at is None else Millis(disabled_at), int(version),
        )  # fmt: skip

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        rows = await self._link.ask("HGETALL", keys.PERSONS)
        for field_name, row in rows.items():
            if not field_name.startswith(b"person:"):
                continue
            try:
                person = self._read(row)
            except (Forged, UnknownKey, ValueError, TypeError):
                yield f"{keys.PERSONS} {field_name.decode(errors='replace')}"
            else:
                # Whoever is not found by a name of theirs would be two persons.
                for name in map(folded, person.names):
                    if rows.get(f"name:{name}".encode()) != folded(person.name).encode():
                        yield f"{keys.PERSONS} name:{name}"
                version, _, wrapped = row.partition(b" ")
                if not self._link.macs.is_current(wrapped[1:]):
                    fresh = self._written(replace(person, version=person.version - 1))
                    after = version + b" " + fresh
                    async with self._link.rows.changing(self._link, _row(folded(person.name)), after):
                        await self._link.run(SWAP, [keys.PERSONS], field_name, row, after)


def alias_of(issuer: str, subject: str) -> str:
    """Name a subject of an identity provider; what another one calls the same is another subject."""
    return f"{SUBJECT}{issuer}#{subject}"


def with_issuer(alias: str, issuer: str) -> str:
    """Complete an alias that names a subject and no issuer; every other name stays as it is."""
    bare = alias.startswith(SUBJECT) and not _WHOLE.match(alias)
    return alias_of(issuer, alias.removeprefix(SUBJECT)) if bare else alias


def _row(name: str) -> Row:
    return Row(keys.PERSONS, f"person:{name}")


def _bound_to(person: RegisteredPerson) -> str:
    return f"person:{folded(person.name)}"


def _check(person: RegisteredPerson) -> None:
    for name in person.names:
        if not is_name(name) and (name == person.name or not _SUBJECT.fullmatch(name)):
            raise BadInput(
                f"{name[:64]!r} is no name for a person: 1 to 64 letters, digits and _.@+-, a letter or digit first."
            )
    if not person.roles:
        raise BadInput(f"Say what {person.name} may do: reviewer, operator, viewer, or several of them.")
    if len(person.aliases) > MOST_ALIASES:
        raise BadInput(f"A person has {MOST_ALIASES} aliases at most.")
