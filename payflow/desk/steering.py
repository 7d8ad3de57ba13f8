"""What operators do to the engine: override, take up again, pause, resume, replay. Each act goes into the audit log."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from machines.core.errors import BadInput, Conflict
from machines.core.facts import Fact, Override, Proof, Reading
from machines.core.ids import Owner, RecordId, parse_id
from machines.core.lifecycle import By, State
from machines.core.record import Record
from machines.payout.data import PayoutData, PayoutRecord, who_asked
from payflow.desk import lane_steering, permits, verification
from payflow.desk.books import CORRECTION, Believed, correction, correction_of
from payflow.desk.dual_control import DualControl, Verb, both
from payflow.desk.identity import one_person_verb, person_verb, takes_two, token_verb
from payflow.desk.payouts import yes_of
from payflow.desk.person import Person, because, refuse_who_spoke
from payflow.desk.platforms import owners_called
from payflow.desk.reconcile import repairs
from payflow.desk.records import COULD_NOT, reading_of, tell
from payflow.engine.step import Applied
from payflow.store.pauses import BOOKS, CHANGED, EVERYTHING, Pause, scope_of
from payflow.store.registers.proposals import Proposal
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.store.stored import Stored
from payflow.telemetry.metrics import Metrics

RETRY = "retry"
OVERRIDING, RESUMING = "override", "resume"
CLOSED_ITSELF = (CHANGED, BOOKS)
"""Who stands behind a pause that no person made and no rail's code: something contradicts the books."""
SOMEBODY = "(a second person)"
SECONDS = (Role.OPERATOR, Role.REVIEWER)

SAID = {
    Proof.NONE: "The rail cannot tell whether it was paid.",
    Proof.PAID: "The rail proves that it was paid.",
    Proof.NOT_PAID: "The rail proves that it was not paid.",
}


LOOKED_AFTER = {
    By.POLLER: "Workers look after it.",
    By.PERSON: "A person looks after it.",
    By.OUTSIDE: "It waits for the world outside.",
    By.NOBODY: "Its story ends there.",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What an override would change."""

    record: Record[Any]
    source: State
    target: State
    evidence: str
    """What the rail proves, in a sentence; empty where there is none to ask."""
    reading: Reading
    """What it said when it was asked."""
    why_two: str
    """Why a second person must confirm; empty when one is enough."""
    second: Role | None
    """Which role the second person must have; None when one is enough, or when even two cannot."""
    refused: str
    """Why even two people cannot; empty when it can be done."""

    def says(self) -> list[str]:
        """Say what would change, to whoever asks for it."""
        money = "No money moves."
        if self.record.amount is not None and self.source.position is not self.target.position:
            way = f"{self.source.position} to {self.target.position}"
            money = f"{self.record.amount} of {self.record.owner} goes from {way}."
        return [
            f"{self.record.id}: {self.source.name} → {self.target.name}",
            money,
            f"Then: {self.target.means} {LOOKED_AFTER[self.target.by]}",
            *([f"Evidence: {self.evidence}"] if self.evidence else []),
            *(f"Read: {name}: {said}" for name, said in self.reading.read),
            *([f"One person is not enough: {self.why_two}"] if self.why_two else []),
        ]

    @property
    def seen(self) -> dict[str, str]:
        """What a second person must find as it was: where from and to, and the word of the rail."""
        amount = {"amount": str(self.record.amount)} if self.record.amount is not None else {}
        return {"from": self.source.name, "to": self.target.name, "proof": self.reading.proof.value, **amount}


@dataclass(frozen=True, slots=True)
class Again:
    """How it went to try again."""

    did: str
    """`moved`, `unparked`, `due` or `leased`."""
    said: str


class Steering:
    """What operators do to the engine: the same for dashboard and command line."""

    def __init__(
        self, store: Store, metrics: Metrics, more: Sequence[Verb] = (), scopes: Iterable[str] = ()
    ) -> None:  # fmt: skip
        self._store = store
        self._records = store.records
        self._metrics = metrics
        self._scopes = frozenset(scopes)
        """What can be paused of this process, beside what others of the installation have named."""
        acts = [Verb(OVERRIDING, self._says, self._confirmed), Verb(RESUMING, _resume_says, self._resumed)]
        acts += [
            verb(store, metrics) for verb in (lane_steering.trust, lane_steering.cancelling, lane_steering.adopting)
        ]
        acts += [verification.verb(store), repairs.verb(store, metrics)]
        who = [person_verb(store), token_verb(store), one_person_verb(store)]
        self.two = DualControl(store, [*acts, correction(store), permits.verb(store), *who, *more])

    # ── override ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def preview(self, record_id: RecordId, to: str, who: str) -> Preview:
        """Ask the rail, and say what an override would change, whether it may be done, and by whom."""
        stored = await self._records.read(record_id)
        states = self._records.machines[stored.record.machine].lifecycle.states
        if to not in states or to == stored.record.state:
            others = ", ".join(state for state in states if state != stored.record.state)
            said = f"cannot be put into {to[:40]!r}" if to not in states else f"is in {to} already"
            raise BadInput(f"{record_id} {said}: there is {others}.")
        reading, evidence = await self._evidence(stored.record)
        word = Override(to, "preview", who, "", reading.proof)
        alone = self._refusal(stored, word)
        # Whoever may approve is asked last: where an operator will do, no reviewer need be found.
        together = {role: self._refusal(stored, _seconded(word, SOMEBODY, role)) for role in SECONDS} if alone else {}
        second = next((role for role, refusal in together.items() if not refusal), None)
        return Preview(
            stored.record, states[stored.record.state], states[to], evidence, reading,
            why_two=alone if second else "", second=second,
            refused=together[Role.OPERATOR] if alone and not second else "",
        )  # fmt: skip

    def _refusal(self, stored: Stored, word: Override) -> str:
        try:
            self._records.machines[stored.record.machine].react(stored.record, word, stored.at)
        except BadInput as error:
            return str(error)
        return ""

    async def _evidence(self, record: Record[Any]) -> tuple[Reading, str]:
        """Ask rail, chain or pool before a person overrules them: what they said, and what it proves in a sentence."""
        reading = await reading_of(self._store, record)
        failed = dict(reading.read).get(COULD_NOT)
        if failed:
            return reading, f"The rail could not be asked ({failed})."
        return reading, SAID[reading.proof] if self._records.machines[record.machine].prove else ""

    async def override(self, record_id: RecordId, to: str, reason: str, by: Person, version: int) -> Applied:
        """Put a record into a state by one person's word, if it is as it was shown; the rail is asked once more."""

        async def unless_changed(record: Record[Any]) -> Fact:
            by.refuse_above(record.amount)
            _refuse_changed(record, version)
            reading, _ = await self._evidence(record)
            return Override(to, reason, by.name, "", reading.proof, reading.read)

        async with self._store.audit.doing(by.name, f"override to {to}", record_id, reason):
            return await tell(self._store, self._metrics, record_id, unless_changed, by.name)

    async def propose_override(
        self, record_id: RecordId, to: str, reason: str, person: Person, version: int
    ) -> Proposal:  # fmt: skip
        """Put an override before a second person."""
        preview = await self.preview(record_id, to, person.name)
        _refuse_changed(preview.record, version)
        if preview.refused:
            raise BadInput(preview.refused)
        if preview.second is None:
            raise BadInput(f"{record_id} can be put into {to} by one person: nobody need confirm it.")
        seen, role = preview.seen, preview.second
        return await self.two.propose(OVERRIDING, record_id, seen, reason, person, version=version, role=role)

    async def _confirmed(self, proposal: Proposal, second: Person) -> str:
        """Do what another person proposed, if record and rail say what they said then."""
        record_id, seen = RecordId(proposal.subject), proposal.seen

        async def unless_changed(record: Record[Any]) -> Fact:
            _refuse_changed(record, proposal.version)
            if isinstance(record.data, PayoutData):
                approved = record.data.approved_by if proposal.role == Role.REVIEWER else ()
                as_it_is = replace(record, data=replace(record.data, correction=None))
                await refuse_who_spoke(self._store, second, who_asked(as_it_is), approved, record.id)
            reading, evidence = await self._evidence(record)
            if reading.proof.value != seen["proof"]:
                raise Conflict(f"The rail says something else than when this was proposed: {evidence} Look again.")
            said = Override(seen["to"], proposal.reason, proposal.by, "", reading.proof, reading.read)
            word = _seconded(said, second.name, Role(proposal.role))
            return await self._sealed(record, word) if isinstance(record.data, PayoutData) else word

        both = f"{proposal.by} and {second.name}"
        async with self._store.audit.doing(both, f"override to {seen['to']}", record_id, proposal.reason):
            applied = await tell(self._store, self._metrics, record_id, unless_changed, second.name)
        return f"Done: {record_id} is in {applied.after.state} now."

    async def _sealed(self, record: PayoutRecord, word: Override) -> Override:
        """Seal the second person's yes where it counts as one; what waits as a correction is forgotten by it."""
        if not word.second_approves:
            return word
        at, as_it_is = await self._records.now(), replace(record, data=replace(record.data, correction=None))
        return replace(word, at=at, seal=yes_of(self._store, as_it_is, word.second, at))

    def _says(self, proposal: Proposal) -> list[str]:
        seen, lifecycle = proposal.seen, self._records.machines[parse_id(RecordId(proposal.subject))[0]].lifecycle
        source, target = lifecycle.state(seen["from"]), lifecycle.state(seen["to"])
        money = "No money moves in the books."
        if "amount" in seen and source.position is not target.position:
            money = f"{seen['amount']} goes from {source.position} to {target.position}."
        return [f"{source.name} → {target.name}. {target.means}", money, SAID[Proof(seen["proof"])]]

    # ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def again(self, record_id: RecordId, who: str) -> Again:
        """Try again: take up what was set aside, retry where the machine can now, and otherwise look at once."""
        stored = await self._records.read(record_id)
        record, machine = stored.record, self._records.machines[stored.record.machine]
        # Where a retry is no move, a look was asked for; where it is one and cannot be now, the machine says why.
        knows = machine.retried if RETRY in machine.lifecycle.triggers(record.state) and not record.parked else None
        if knows and machine.react(record, knows(who), stored.at).trigger == RETRY:
            applied = await self.retry(record_id, who)
            return Again("moved", f"{record_id} is tried again: it is in {applied.after.state}.")
        return await self.take_up(record_id, who)

    async def take_up(self, record_id: RecordId, who: str) -> Again:
        """Look again at once: at what was set aside, at what is asleep, or just earlier than it was due."""
        stored = await self._records.read(record_id)
        record = stored.record
        async with self._store.audit.doing(who, "take up again", record_id, record.parked):
            self.refuse_unwatched(record)
            if record.parked:
                await self._records.unpark(stored, f"taken up again by {who}; it was set aside: {record.parked}", who)
                return Again("unparked", f"{record_id} is taken up again and will be looked at now.")
            (answer,) = await self._records.poke(record_id)
            if answer == "asleep":
                await self._records.unpark(stored, f"woken by {who}", who)
        if answer == "leased":
            return Again(
                "leased", f"A worker looks at {record_id} right now, and will look again as soon as it is done."
            )
        return Again("due", f"{record_id} will be looked at now.")

    def refuse_unwatched(self, record: Record[Any]) -> None:
        """Raise where no worker looks at a record in its state."""
        lifecycle = self._records.machines[record.machine].lifecycle
        if lifecycle.state(record.state).by is By.POLLER:
            return
        ways = lifecycle.triggers(record.state)
        answers = f"It answers to: {', '.join(ways)}." if ways else "Its story ends there."
        raise BadInput(f"{record.id} is in {record.state}, where nothing is tried. {answers}")

    async def retry(self, record_id: RecordId, who: str) -> Applied:
        """Ask for the move `retry` of any machine that knows it."""
        retried = self._records.machines[parse_id(record_id)[0]].retried
        if retried is None:
            raise BadInput(f"{record_id}: this machine knows no retry.")
        async with self._store.audit.doing(who, RETRY, record_id):
            return await tell(self._store, self._metrics, record_id, retried(who), who)

    # ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, scope: str, who: str, why: str) -> str:
        """Stop sends in a scope, and say how that went."""
        await self._refuse_unknown(scope)
        why = because(why, "A pause needs a reason, for whoever finds it at night.")
        async with self._store.audit.doing(who, "pause", scope, why):
            fresh = await self._store.pauses.pause(scope, who, why, await self._records.now())
        if fresh:
            return f"Sends are paused: {in_words(scope)}. Looks go on."
        found = (await self._store.pauses.all()).get(scope)
        return f"It was paused already, by {found.who}: {found.why}" if found else "It was resumed meanwhile."

    async def _refuse_unknown(self, scope: str) -> None:
        """Refuse a scope that stops nothing: whoever mistypes it believes that sends have stopped."""
        if scope.startswith("shard:"):
            raise BadInput("Only Payflow itself closes a shard, when the store lost writes. Pause everything instead.")
        scope_of(scope)
        owners = []
        if scope.startswith("owner:"):
            owners = [f"owner:{one}" for one in await owners_called(self._store, scope.removeprefix("owner:"))]
        if scope in owners:
            return
        known = {EVERYTHING, *self._scopes, *(f"machine:{name}" for name in self._records.machines)}
        known |= await self._store.pauses.known()
        if scope in known:
            return
        near = owners or difflib.get_close_matches(scope, known, n=1, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise BadInput(
            f"Nothing here is called {scope[:60]!r}: a pause of it would stop nothing. {hint}"
            f"There is {', '.join(sorted(known))}."
        )

    async def resume(self, scope: str, person: Person, why: str) -> str:
        """Allow sends in a scope again; propose it where a contradiction stopped them, and two people operate."""
        said = because(why, "Say why sends may go on: the audit log keeps it.")
        found = (await self._store.pauses.all()).get(scope)
        if found is not None and found.who in CLOSED_ITSELF and not found.code and await takes_two(self._store):
            proposal = await self.two.propose(RESUMING, scope, _pause_seen(found), said, person)
            return (
                f"Nothing has changed yet: {in_words(scope)} was stopped by a contradiction, so another operator must "
                f"confirm it, on Proposals or by `payflow confirm {proposal.digest}`."
            )
        return await self._resume(scope, person.name, said)

    async def _resumed(self, proposal: Proposal, second: Person) -> str:
        found = (await self._store.pauses.all()).get(proposal.subject)
        if found is None or _pause_seen(found) != proposal.seen:
            raise Conflict(f"{in_words(proposal.subject)} is not stopped as it was when this was proposed: look again.")
        return await self._resume(proposal.subject, both(proposal, second), proposal.reason)

    async def _resume(self, scope: str, who: str, said: str) -> str:
        async with self._store.audit.doing(who, "resume", scope, said):
            if not await self._store.pauses.resume(scope):
                paused = ", ".join(await self._store.pauses.all()) or "nothing"
                raise BadInput(f"{in_words(scope)} is not paused; paused is: {paused}.")
        return f"Sends go on: {in_words(scope)}."

    # ── the books ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose_correction(
        self, owner: Owner, asset: str, believe: Believed | None, reason: str, person: Person
    ) -> Proposal:
        """Put the one correcting posting of a false account before a second person."""
        subject, seen = await correction_of(self._store, owner, asset, believe)
        return await self.two.propose(CORRECTION, subject, seen, reason, person)

    async def propose_posting(self, finding: RecordId, reason: str, person: Person) -> Proposal:
        """Put the posting that a finding proposes before a second person."""
        seen = await repairs.posting_of(self._store, self._metrics, finding)
        return await self.two.propose(repairs.POSTING, finding, seen, reason, person)

    # ── what is not signed ───────────────────────────────────────────────────────────────────────────────────────────

    async def propose_adoption(self, subject: str, reason: str, person: Person) -> Proposal:
        """Put before a second person that records which nobody signed are taken over as they are."""
        seen = await permits.adoption_of(self._store, subject)
        return await self.two.propose(permits.ADOPTION, subject, seen, reason, person)

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def replay(self, message: str, who: str) -> str:
        """Deliver a message once more that was given up."""
        async with self._store.audit.doing(who, "replay", message):
            await self._store.outbox.replay(message)
        return f"The message {message} is delivered again."


def in_words(scope: str) -> str:
    """Name a scope for people."""
    kind, _, name = scope.partition(":")
    return "everything" if scope == EVERYTHING else f"the {kind} {name}"


def _pause_seen(found: Pause) -> dict[str, str]:
    return {"by": found.who, "why": found.why, "at": str(found.at)}


def _resume_says(proposal: Proposal) -> list[str]:
    return [
        f"Sends of {in_words(proposal.subject)} go on at once; they were stopped by {proposal.seen['by']}.",
        f"Why they were stopped: {proposal.seen['why']}",
    ]


def _refuse_changed(record: Record[Any], version: int) -> None:
    if record.version != version:
        raise Conflict(f"{record.id} changed while you were looking at it: look again.")


def _seconded(word: Override, second: str, role: Role) -> Override:
    return replace(word, second=second, second_approves=role is Role.REVIEWER)
