"""Acts that take two people: one proposes what they saw, and another one confirms exactly that.

Both show a token. Whether they are two people the register of persons says; two tokens of which one person alone made
the other one are one person. A shell without a token is nobody
here, neither the first nor the second. What is confirmed is named by a hash of all that was proposed, and is done once,
whoever confirms at the same moment.

Where an installation says that one person is enough, whoever proposed it may confirm it after a wait, in which anybody
who operates may take it back. Everybody with a contact hears of it when it is proposed and when it is done.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from machines.core.clock import SECOND, Clock, Millis, SystemClock
from machines.core.errors import BadInput, Conflict, NotAllowed, PayflowError, TooSoon
from machines.core.money import Money
from payflow.desk.person import A_ROLE, Person, alone_made, because
from payflow.shown import utc
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.tokens import Role
from payflow.store.store import Store

log = structlog.get_logger()

WAIT_MS = 10 * 60 * SECOND
"""So long what one person proposed can be taken back before they may do it."""
_ALONE = ", alone"


async def _never() -> bool:
    return False


def both(one: Proposal, second: Person) -> str:
    """Name those on whose word something is done; whoever was enough alone is one, and makes nobody a second one."""
    return one.by if second.name == one.by + _ALONE else f"{one.by} and {second.name}"


def whoever_acts_alone(name: str) -> str:
    """Name the person behind the word of one who was enough alone."""
    return name.removesuffix(_ALONE)


async def everybodys_contacts(store: Store) -> list[str]:
    """List where those who work here hear of things; whose contacts cannot be opened keeps the others from nothing."""
    found: list[str] = []
    for person in await store.persons.all():
        try:
            found += store.persons.contacts(person) if person.disabled_at is None else ()
        except PayflowError as error:
            log.warning("Contacts cannot be opened.", action="contacts_sealed", person=person.name, error=str(error))
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of act that takes two."""

    kind: str
    """What its proposals are called, such as `override`."""
    says: Callable[[Proposal], Sequence[str]]
    """What it would do, in sentences for the second person; made of nothing but the proposal."""
    do: Callable[[Proposal, Person], Awaitable[str]]
    """Does it, on the word of the second person, and says what was done. Raises `Conflict` where what was seen has
    changed since: that is looked at first, before anything is written."""
    refuse: Callable[[Proposal], object] = lambda _: None
    """Raises where this process cannot do it, and says what to do: then the proposal stays on the table."""
    alone: Callable[[], Awaitable[bool]] = _never
    """Whether one person is enough for it though the installation does not say so."""


class DualControl:
    """The table where proposals wait."""

    def __init__(self, store: Store, verbs: Sequence[Verb] = (), clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or store.outbox.clock or SystemClock()
        self._proposals = Proposals(store.link)
        self._verbs: dict[str, Verb] = {}
        for verb in verbs:
            if verb.kind in self._verbs:
                raise ValueError(f"{verb.kind} is registered twice")
            self._verbs[verb.kind] = verb

    @property
    def kinds(self) -> Collection[str]:
        """Name every act that takes two."""
        return self._verbs.keys()

    # ── seen ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def waiting(self) -> list[Proposal]:
        """List what waits for a second person, the oldest first."""
        return await self._proposals.waiting(await self._store.records.now())

    async def of(self, subject: str) -> list[Proposal]:
        """List what is proposed about a subject."""
        return await self._proposals.of(subject, await self._store.records.now())

    async def find(self, name: str) -> Proposal:
        """Find a proposal by its hash, or by its subject where only one waits for it."""
        found = [one for one in await self.waiting() if name in (one.digest, one.subject)]
        if not found:
            raise Conflict(f"No proposal {name[:60]} waits: it was decided, or replaced, or is older than a day.")
        if len(found) > 1:
            raise BadInput(f"More than one proposal waits for {name[:60]}: name it by its hash.")
        return found[0]

    def says(self, proposal: Proposal) -> list[str]:
        """Say to the second person what is proposed, by whom, why, and what it would do."""
        if proposal.kind not in self._verbs:
            return [f"{proposal.by} proposes: {proposal.kind} of {proposal.subject}, which this version does not know."]
        return [
            f"{proposal.by} proposes: {proposal.kind} of {proposal.subject}.",
            *self._verb(proposal.kind).says(proposal),
            f"Reason: {proposal.reason}",
            f"To be confirmed by {A_ROLE[Role(proposal.role)]}; its hash is {proposal.digest}.",
        ]

    async def may_confirm(self, proposal: Proposal, person: Person) -> bool:
        """Whether somebody is a second person for this one."""
        try:
            await self._refuse_second(proposal, person)
        except (NotAllowed, TooSoon):
            return False
        return True

    async def alone_from(self, proposal: Proposal) -> Millis | None:
        """Say from when on whoever proposed it may confirm it themselves; None where that takes another one."""
        verb = self._verbs.get(proposal.kind)
        if verb is None:
            return None  # a newer version proposed it
        found = await self._store.alone.read()
        enough = found.on and found.since <= proposal.at
        return Millis(proposal.at + WAIT_MS) if enough or await verb.alone() else None

    async def own(self, proposal: Proposal, person: Person) -> bool:
        """Whether somebody proposed it, under whatever name of theirs."""
        return await self._store.persons.same(proposal.by, person.name)

    # ── done ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose(
        self, kind: str, subject: str, seen: Mapping[str, str], reason: str, person: Person,
        *, version: int = 0, role: Role = Role.OPERATOR,
    ) -> Proposal:  # fmt: skip
        """Put an act before a second person, who must be the holder of another token with the role."""
        self._verb(kind)
        why = because(reason, "This needs a reason: the second person reads it, and whoever asks later.")
        if person.role is None:
            raise NotAllowed(
                "This takes two people, and a shell without a token is nobody here: `payflow login` as an operator, or "
                "set PAYFLOW_TOKEN (or PAYFLOW_TOKEN_FILE to a file), then propose it again. Nothing was "
                "changed."
            )
        person.refuse_unless({Role.OPERATOR})
        person.refuse_above(self._amount(seen))
        # By whichever clock is ahead here, and behind when the wait is over: who sets one of them shortens nothing.
        at = max(await self._store.records.now(), self._clock.now())
        proposal = Proposal(kind, subject, dict(seen), role.value, why, person.name, version, at, person.made_by)
        until = await self.alone_from(proposal)
        if until is not None:
            await self._tell(proposal, "proposes", until)
        async with self._store.audit.doing(person.name, f"propose {kind}", subject, _summary(proposal)):
            if not await self._proposals.make(proposal):
                raise Conflict(
                    f"An act of this kind ({kind}) waits for a second person already for {subject}, or too many wait: "
                    "decline that one first."
                )
        return proposal

    async def confirm(self, digest: str, person: Person) -> str:
        """Do what another person proposed, exactly as it was seen."""
        proposal = await self._named(digest)
        verb = self._verb(proposal.kind)
        await self._refuse_second(proposal, person)
        verb.refuse(proposal)
        async with self._store.audit.doing(
            person.name, f"confirm {proposal.kind}", proposal.subject, _summary(proposal)
        ):
            # It is off the table before it is done: two who confirm at once must not both do it. After a crash in
            # between nothing was done, and it is proposed again.
            if not await self._proposals.take(proposal):
                raise Conflict("Somebody decided this proposal a moment ago: nothing was done by you.")
            if await self.own(proposal, person):
                await self._tell(proposal, "does")
                person = replace(person, name=proposal.by + _ALONE)
            return await verb.do(proposal, person)

    async def decline(self, digest: str, person: Person) -> Proposal:
        """Take a proposal off the table; its proposer may as well."""
        proposal = await self._named(digest)
        async with self._store.audit.doing(
            person.name, f"decline {proposal.kind}", proposal.subject, _summary(proposal)
        ):
            if not await self._proposals.take(proposal):
                raise Conflict("Somebody decided this proposal a moment ago.")
        return proposal

    async def _named(self, digest: str) -> Proposal:
        """Find exactly what somebody saw."""
        found = [one for one in await self.waiting() if one.digest == digest]
        if not found:
            raise Conflict(
                "What you looked at is not proposed any more: it was decided, another proposal took its place, or it "
                "is older than a day. Nothing was done: look again."
            )
        return found[0]

    async def _refuse_second(self, proposal: Proposal, person: Person) -> None:
        if person.role is None:
            raise NotAllowed(
                f"Only {A_ROLE[Role(proposal.role)]} with a token of their own confirms this; a shell without one is "
                "nobody here: set PAYFLOW_TOKEN, or confirm it on the dashboard."
            )
        person.refuse_unless({Role(proposal.role)})
        person.refuse_above(self._amount(proposal.seen))
        proposer = await self._store.persons.find(proposal.by)
        if proposer is not None and proposer.disabled_at is not None:
            raise NotAllowed(f"{proposal.by} proposed it and was disabled since: decline it, and propose it anew.")
        if await self.own(proposal, person):
            await self._refuse_alone(proposal, person)
            return
        if await alone_made(self._store, proposal.by, person.name, person.made_by):
            raise NotAllowed(
                f"{proposal.by} proposed it and made the token {person.name}: another person must confirm it."
            )
        if await alone_made(self._store, person.name, proposal.by, proposal.made_by):
            raise NotAllowed(
                f"{person.name} made the token {proposal.by}, which proposed it: another one must confirm."
            )

    async def _refuse_alone(self, proposal: Proposal, person: Person) -> None:
        """Raise unless one person is enough, and whoever proposed it has waited."""
        until = await self.alone_from(proposal)
        if until is None:
            raise NotAllowed(f"{person.name} proposed it: the second person must be another one.")
        left = until - min(await self._store.records.now(), self._clock.now())
        if left > 0:
            after_s = 1 + left // SECOND
            raise TooSoon(
                f"{person.name} proposed it, and one person is enough here after a wait in which it can be taken back: "
                f"confirm it in {after_s} seconds.",
                after_s=after_s,
            )

    async def _tell(self, proposal: Proposal, does: str, until: Millis | None = None) -> None:
        news = {"by": proposal.by, "does": does, "kind": proposal.kind, "subject": proposal.subject}
        news |= {"reason": proposal.reason} | ({"proposal": proposal.digest, "until": utc(until)} if until else {})
        log.warning("One person acts alone.", action="acts_alone", **news)
        contacts, now = await everybodys_contacts(self._store), await self._store.records.now()
        await self._store.alone.tell(news, contacts, now)

    def _amount(self, seen: Mapping[str, str]) -> Money | None:
        """Read how much an act is about, where it says so."""
        code, _, number = seen.get("amount", "").partition(" ")
        return Money.parse(number, self._store.records.assets[code]) if number else None

    def _verb(self, kind: str) -> Verb:
        if kind not in self._verbs:
            raise BadInput(f"This version knows no act {kind[:40]!r} that takes two.")
        return self._verbs[kind]


def _summary(proposal: Proposal) -> str:
    return f"{', '.join(f'{name} {value}' for name, value in sorted(proposal.seen.items()))}: {proposal.reason}"
