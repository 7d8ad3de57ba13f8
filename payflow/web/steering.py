"""What operators do to the engine: override, take up again, pause, resume, replay. Each act goes into the audit log."""

from dataclasses import dataclass
from typing import Any

from machines.core.errors import BadInput, Conflict, StepError
from machines.core.facts import Fact, Override, Proof
from machines.core.ids import RecordId, parse_id
from machines.core.lifecycle import By, State
from machines.core.record import Record
from payflow.engine.step import Applied, take_in
from payflow.store.pauses import EVERYTHING, scope_of
from payflow.store.proposals import Proposal, Proposals
from payflow.store.store import Store
from payflow.store.stored import Stored
from payflow.telemetry.metrics import Metrics

RETRY = "retry"
SOMEBODY = "(a second person)"

SAID = {
    Proof.NONE: "The rail cannot tell whether it was paid.",
    Proof.PAID: "The rail proves that it was paid.",
    Proof.NOT_PAID: "The rail proves that it was not paid.",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What an override would change."""

    record: Record[Any]
    source: State
    target: State
    evidence: str
    """What the rail said when it was asked; empty where there is none to ask."""
    proof: Proof
    why_two: str
    """Why a second person must confirm; empty when one is enough."""
    refused: str
    """Why even two people cannot; empty when it can be done."""

    @property
    def moves_money(self) -> bool:
        """Whether the money changes its position."""
        return self.record.amount is not None and self.source.position is not self.target.position


class Steering:
    """The operators' desk: the same for dashboard and command line."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._records = store.records
        self._metrics = metrics
        self.proposals = Proposals(store.link)

    # ── override ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def preview(self, record_id: RecordId, to: str, who: str) -> Preview:
        """Ask the rail, and say what an override would change and whether it may be done."""
        stored = await self._records.read(record_id)
        proof, evidence = await self._evidence(stored.record)
        lifecycle = self._records.machines[stored.record.machine].lifecycle
        source, target = lifecycle.state(stored.record.state), lifecycle.state(to)
        alone = self._refusal(stored, Override(to, "preview", who, "", proof))
        together = self._refusal(stored, Override(to, "preview", who, SOMEBODY, proof)) if alone else ""
        return Preview(stored.record, source, target, evidence, proof, "" if together else alone, together)

    def _refusal(self, stored: Stored, word: Override) -> str:
        try:
            self._records.machines[stored.record.machine].react(stored.record, word, stored.at)
        except BadInput as error:
            return str(error)
        return ""

    async def _evidence(self, record: Record[Any]) -> tuple[Proof, str]:
        """Ask the rail before a person overrules it."""
        prove = self._records.machines[record.machine].prove
        if prove is None:
            return Proof.NONE, ""
        try:
            proof = await prove(record)
        except StepError as error:
            return Proof.NONE, f"The rail could not be asked ({error})."
        return proof, SAID[proof]

    async def override(
        self, record_id: RecordId, to: str, reason: str, who: str, version: int, second: str = ""
    ) -> Applied:
        """Put a record into a state, if it is still as it was shown; the rail is asked once more."""

        async def unless_changed(record: Record[Any]) -> Fact:
            _refuse_changed(record, version)
            proof, _ = await self._evidence(record)
            return Override(to, reason, who, second, proof)

        by = f"{who} and {second}" if second else who
        async with self._store.audit.doing(by, f"override to {to}", record_id, reason):
            return await take_in(self._records, self._metrics, record_id, unless_changed, who)

    async def propose(self, record_id: RecordId, to: str, reason: str, who: str, version: int) -> None:
        """Ask a second person to confirm an override."""
        if not reason.strip():
            raise BadInput("An override needs a reason: the second person reads it, and whoever asks later.")
        stored = await self._records.read(record_id)
        _refuse_changed(stored.record, version)
        preview = await self.preview(record_id, to, who)
        if preview.refused:
            raise BadInput(preview.refused)
        async with self._store.audit.doing(who, f"propose override to {to}", record_id, reason):
            if not await self.proposals.make(Proposal(record_id, to, reason, who, version, stored.at)):
                raise Conflict(f"An override of {record_id} waits for a second person already: decline that one first.")

    async def confirm(self, record_id: RecordId, second: str) -> Applied:
        """Do what another person proposed."""
        proposal = await self._proposed(record_id)
        if proposal.by.strip().casefold() == second.strip().casefold():
            raise BadInput(f"{second} proposed it: the second person must be another one.")
        applied = await self.override(
            record_id, proposal.to, proposal.reason, proposal.by, proposal.version, second
        )  # fmt: skip
        await self.proposals.drop(record_id)
        return applied

    async def decline(self, record_id: RecordId, who: str) -> None:
        """Take a proposal off the table."""
        proposal = await self._proposed(record_id)
        async with self._store.audit.doing(who, f"decline override to {proposal.to}", record_id, proposal.reason):
            await self.proposals.drop(record_id)

    async def _proposed(self, record_id: RecordId) -> Proposal:
        proposal = await self.proposals.of(record_id)
        if proposal is None:
            raise BadInput(f"Nobody proposes an override of {record_id}, or it was decided meanwhile.")
        return proposal

    # ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_up(self, record_id: RecordId, who: str) -> str:
        """Look again at once: at what was set aside, at what is asleep, or just earlier than it was due."""
        stored = await self._records.read(record_id)
        record = stored.record
        state = self._records.machines[record.machine].lifecycle.state(record.state)
        async with self._store.audit.doing(who, "take up again", record_id, record.parked):
            if record.parked:
                await self._records.unpark(
                    stored, f"taken up again by {who}; it was set aside: {record.parked}", who
                )  # fmt: skip
                return f"{record_id} is taken up again and will be looked at now."
            if state.by is not By.POLLER:
                raise BadInput(f"{record_id} is in {state.name}, where nobody looks by himself.")
            (answer,) = await self._records.poke(record_id)
            if answer == "asleep":
                await self._records.unpark(stored, f"woken by {who}", who)
        return f"{record_id} will be looked at now."

    async def retry(self, record_id: RecordId, who: str) -> Applied:
        """Ask for the move `retry` of any machine that knows it."""
        retried = self._records.machines[parse_id(record_id)[0]].retried
        if retried is None:
            raise BadInput(f"{record_id}: this machine knows no retry.")
        async with self._store.audit.doing(who, RETRY, record_id):
            return await take_in(self._records, self._metrics, record_id, retried(who), who)

    # ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def pause(self, scope: str, who: str, why: str) -> str:
        """Stop sends in a scope, and say how that went."""
        kind, _, name = scope.partition(":")
        if kind == "shard":
            raise BadInput("Only Payflow itself closes a shard, when the store lost writes. Pause everything instead.")
        scope_of(scope)
        if kind == "machine" and name not in self._records.machines:
            raise BadInput(f"There is no machine {name!r}: a pause of it would stop nothing.")
        if not why.strip():
            raise BadInput("A pause needs a reason, for whoever finds it at night.")
        async with self._store.audit.doing(who, "pause", scope, why):
            fresh = await self._store.pauses.pause(scope, who, why.strip(), await self._records.now())
        if fresh:
            return f"Sends are paused: {called(scope)}. Looks go on."
        standing = (await self._store.pauses.all()).get(scope)
        return f"It was paused already, by {standing.who}: {standing.why}" if standing else "It was resumed meanwhile."

    async def resume(self, scope: str, who: str, why: str) -> str:
        """Allow sends in a scope again."""
        if not why.strip():
            raise BadInput("Say why sends may go on: the audit log keeps it.")
        async with self._store.audit.doing(who, "resume", scope, why):
            if not await self._store.pauses.resume(scope):
                raise BadInput(f"{called(scope)} is not paused.")
        return f"Sends go on: {called(scope)}."

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def replay(self, message: str, who: str) -> str:
        """Deliver a message once more that was given up."""
        async with self._store.audit.doing(who, "replay", message):
            await self._store.outbox.replay(message)
        return f"The message {message} is delivered again."


def called(scope: str) -> str:
    """Name a scope for people."""
    kind, _, name = scope.partition(":")
    return "everything" if scope == EVERYTHING else f"the {kind} {name}"


def _refuse_changed(record: Record[Any], version: int) -> None:
    if record.version != version:
        raise Conflict(f"{record.id} changed while you were looking at it: look again.")
