"""One look at one record: act, react, commit. The same for every machine."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any

import structlog

from machines.core.clock import Millis
from machines.core.decision import Decision, wait
from machines.core.errors import (
    BadInput,
    ClaimTaken,
    Conflict,
    Contradiction,
    KeyReused,
    LeaseLost,
    NotDurable,
    NotSigned,
    OtherPayee,
    OutcomeUnknown,
    Paused,
    PayflowError,
    RailClosed,
    Rejected,
    Retryable,
    StoreError,
    StoreUnavailable,
    StoreUnfit,
    Unapproved,
    UnknownPermitKey,
    UnknownSealKey,
)
from machines.core.facts import Fact, LostSight, Nothing, Refused
from machines.core.ids import RecordId
from machines.core.machine import AnyMachine
from machines.core.record import Record
from payflow.store.records import Records
from payflow.store.store import Store
from payflow.store.stored import Poison, Stored
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

# A record that changes under us this often is fought over by something that is broken.
MOST_CONFLICTS = 20
LOOK_AGAIN_WHEN_PAUSED_S = 5.0
MOST_OF_AN_ERROR = 300
CHANGED = "It, or what moves with it, was changed during the look."
LEFT_TO_OTHERS_MS = 5_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a fact: the record before and after, and the decision between them."""

    before: Record[Any]
    after: Record[Any]
    decision: Decision[Any]


class Steps:
    """Runs looks and takes in facts."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        who: str,
        lease_ms: int,
        limit_s: float | None = None,
        rng: Random | None = None,
    ) -> None:
        self._store = store
        self._records = store.records
        self._metrics = metrics
        self._who = who
        self._lease_ms = lease_ms
        self._limit_s = limit_s
        self._rng = rng or Random()  # noqa: S311  (it spreads retries, it guards nothing)
        self.on_messages: Callable[[], None] = lambda: None
        """Called when a commit left messages to deliver."""

    async def look(self, stored: Stored) -> None:
        """Look at a leased record: it is committed, handed back or parked, or its lease runs out."""
        record = stored.record
        machine = self._records.machines[record.machine]
        started = perf_counter()
        try:
            fact = await self._act(stored, machine)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling() > 0:
                raise  # it is us who are cancelled, and not something that an act waited for
            await self._park(stored, error)
        except Exception as error:  # noqa: BLE001  (a bug in one record must not stop the others)
            await self._troubled(stored, machine, error)
        else:
            await self._settle(stored, fact, machine)
        self._metrics.looked(record.machine, record.state, perf_counter() - started)

    async def _act(self, stored: Stored, machine: AnyMachine) -> Fact:
        """Do the I/O of a look; one that never ends would hold its record for ever, since its lease is prolonged."""
        record, limit = stored.record, asyncio.timeout(self._limit_s)
        try:
            async with limit:
                return await machine.acts[record.state](record, _Looking(self._store, stored, self._lease_ms))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise OutcomeUnknown(f"The look took longer than {self._limit_s:g} s.") from error

    async def _troubled(self, stored: Stored, machine: AnyMachine, error: Exception) -> None:
        """Deal with an act that gave no fact: each kind of error says what may be done next."""
        match error:
            case OtherPayee() | Unapproved():
                # What one payee's number looks like at a gateway says nothing about anybody else's payment.
                await self._park(stored, error)
            case RailClosed() | Contradiction():
                await self._close_rail(stored, error)
            case Retryable():
                await self._again(stored, machine, error)
            case Paused() | NotDurable() | UnknownSealKey() | NotSigned():
                await self._held_up(stored, error)
            case LeaseLost():
                self._metrics.leases_lost.labels(stored.record.machine).inc()
            case Conflict():
                # Somebody changed the record before the send: its act must see what it is now.
                await self._act_again(stored)
            case StoreUnavailable() | StoreUnfit():
                # Nothing is known about the store; the lease runs out and the record comes back.
                log.warning(
                    "The store failed during a look.", action="look_lost", record=stored.record.id, why=str(error)
                )
            case Rejected():
                self._erred(stored, "rejected")
                await self._settle(stored, Refused(str(error)), machine)
            case OutcomeUnknown():
                self._erred(stored, "unknown")
                await self._settle(stored, LostSight(str(error)), machine)
            case _:
                await self._park(stored, error)

    def _erred(self, stored: Stored, kind: str) -> None:
        self._metrics.act_errors.labels(stored.record.machine, stored.record.state, kind).inc()

    async def _settle(self, stored: Stored, fact: Fact, machine: AnyMachine) -> None:
        """React and commit; on a conflict read again and react again to the same fact."""
        try:
            for _ in range(MOST_CONFLICTS):
                decision = machine.react(stored.record, fact, stored.at)
                try:
                    after = await self._records.commit(stored, decision, fact, self._who)
                except Conflict:
                    seen, stored = stored, await self._records.reread(stored)
                    if decision.group and stored.record.version == seen.record.version:
                        # Another record of its group changed, which only its act can read again.
                        await self._act_again(stored)
                        return
                else:
                    report(self._metrics, Applied(stored.record, after, decision), self._who)
                    if decision.messages or decision.alarm:
                        self.on_messages()
                    return
        except Exception as error:  # noqa: BLE001  (a bug in one record must not stop the others)
            await self._unsettled(stored, error)
        else:
            await self._park(stored, Conflict(f"{stored.record.id} changed {MOST_CONFLICTS} times under one look."))

    async def _unsettled(self, stored: Stored, error: Exception) -> None:
        """Deal with a decision that could not be written."""
        record = stored.record
        if isinstance(error, ClaimTaken | KeyReused):
            await self._act_again(stored)  # what somebody took or made meanwhile, it must read
        elif isinstance(error, LeaseLost):
            self._metrics.leases_lost.labels(record.machine).inc()
        elif isinstance(error, Paused | NotSigned):
            await self._held_up(stored, error)
        elif isinstance(error, StoreUnavailable | StoreUnfit):
            log.warning("A commit's outcome is unknown.", action="commit_lost", record=record.id, error=str(error))
        else:
            await self._park(stored, error)

    async def _act_again(self, stored: Stored) -> None:
        """Go back to `act`: the first time at once, but who meets the same obstacle again must not run hot."""
        record = stored.record
        retry = self._records.machines[record.machine].retry
        again_s = retry.delay_s(record.tries, self._rng.random()) if record.tries else 0
        await self._commit_quietly(stored, wait(again_s), record.tries + 1, error=CHANGED)

    async def _close_rail(self, stored: Stored, error: RailClosed | Contradiction) -> None:
        """Pause a rail by ourselves, until a person resumes it; what its own code closed, until it lets a probe in.

        What contradicts the books is set aside as well.
        """
        why = f"{type(error).__name__}: {error}"
        code = error.code if isinstance(error, RailClosed) else ""
        try:
            paused = await self._store.pauses.pause(f"rail:{error.rail}", self._who, why, stored.at, code)
        except BadInput:  # an error that names no rail is a bug of its adapter
            await self._park(stored, error)
            return
        if paused:
            log.error("A rail was paused.", action="rail_paused", rail=error.rail, why=why)
        if isinstance(error, Contradiction):
            await self._park(stored, error)
        else:
            await self._held_up(stored, error)

    async def _again(self, stored: Stored, machine: AnyMachine, error: Retryable) -> None:
        record = stored.record
        tries = record.tries + 1
        self._erred(stored, "retryable")
        log.info("A look will be tried again.", action="retry", record=record.id, tries=tries, error=str(error))
        delay_s = max(error.after_s or 0.0, machine.retry.delay_s(tries, self._rng.random()))
        await self._commit_quietly(stored, wait(delay_s), tries, settled=True, error=str(error))

    async def _held_up(self, stored: Stored, error: Exception) -> None:
        kinds: dict[type[Exception], str] = {
            Paused: "paused", NotDurable: "not_durable", UnknownSealKey: "seal_key", NotSigned: "unsigned",
            UnknownPermitKey: "permit_key",
        }  # fmt: skip
        self._erred(stored, kinds.get(type(error), "rail_closed"))
        again_s = LOOK_AGAIN_WHEN_PAUSED_S * (0.5 + self._rng.random())
        await self._commit_quietly(stored, wait(again_s), stored.record.tries, settled=True, error=str(error))

    async def _commit_quietly(
        self, stored: Stored, decision: Decision[Any], tries: int, *, settled: bool = False, error: str = ""
    ) -> None:
        """Write only when to look next; what was decided about a state means nothing in another one."""
        try:
            for _ in range(MOST_CONFLICTS):
                try:
                    await self._records.commit(
                        stored,
                        decision,
                        Nothing(),
                        self._who,
                        tries=tries,
                        settled=settled,
                        error=error[:MOST_OF_AN_ERROR],
                    )
                except Conflict:
                    seen, stored = stored, await self._records.reread(stored)
                    if stored.record.state != seen.record.state:
                        decision, tries = wait(0), stored.record.tries
                else:
                    return
        except LeaseLost:
            self._metrics.leases_lost.labels(stored.record.machine).inc()
        except PayflowError as lost:
            log.warning(
                "A record could not be handed back.",
                action="hand_back_lost",
                record=stored.record.id,
                error=str(lost),
            )

    async def _park(self, stored: Stored, error: BaseException) -> None:
        record = stored.record
        self._erred(stored, "unapproved" if isinstance(error, Unapproved) else "bug")
        log.error("A record was set aside.", action="park", record=record.id, error=repr(error), exc_info=error)
        await self.set_aside(stored, f"{type(error).__name__}: {error}")

    async def set_aside(self, stored: Stored | Poison, why: str) -> None:
        """Park a record, readable or not."""
        try:
            await self._records.park(stored, why, self._who)
        except (StoreError, LeaseLost) as failure:
            log.warning("A record could not be parked.", action="park_lost", error=str(failure))
            return
        self._metrics.parked.labels(stored.record.machine).inc()

    async def untouched(self, poison: Poison) -> None:
        """Deal with a record that cannot be read or trusted: it is set aside, or left to whoever can judge it."""
        await (self.leave(poison) if poison.foreign else self.set_aside(poison, poison.problem))

    async def leave(self, poison: Poison) -> None:
        """Leave to others what only this process cannot judge: it lacks the key, and decides nothing without it."""
        record = poison.record
        self._metrics.act_errors.labels(record.machine, record.state, "unknown_key").inc()
        log.error("A record was left to other workers.", action="unknown_key", record=record.id, why=poison.problem)
        with suppress(LeaseLost, Conflict):
            await self._records.leave(poison, LEFT_TO_OTHERS_MS)

    async def hand_back(self, stored: Stored) -> None:
        """Give up a lease without having looked."""
        await self._commit_quietly(stored, wait(0), stored.record.tries)


@dataclass(slots=True)
class _Looking:
    """What an act is given: the time, and the one question before a send."""

    store: Store
    stored: Stored
    lease_ms: int

    @property
    def now(self) -> Millis:
        return self.stored.at

    async def may_send(self, *scopes: str) -> None:
        await self.store.may_send(self.stored, self.lease_ms, *scopes)

    async def refuse_paused(self, *scopes: str) -> None:
        await self.store.refuse_paused(self.stored.record, *scopes)


async def take_in(
    records: Records,
    metrics: Metrics,
    record_id: RecordId,
    fact: Fact | Callable[[Record[Any]], Awaitable[Fact]],
    who: str,
) -> Applied:
    """Take in a fact from outside a look: a webhook, an operator's word. Raises what `react` or the store refuses."""
    stored = await records.read(record_id)
    for _ in range(MOST_CONFLICTS):
        machine = records.machines[stored.record.machine]
        learned = fact if isinstance(fact, Fact) else await fact(stored.record)
        decision = machine.react(stored.record, learned, stored.at)
        try:
            after = await records.commit(stored, decision, learned, who)
        except Conflict:
            stored = await records.read(record_id)
        else:
            applied = Applied(stored.record, after, decision)
            report(metrics, applied, who)
            return applied
    raise Conflict(f"{record_id} changed {MOST_CONFLICTS} times; try again.")


def report(metrics: Metrics, applied: Applied, who: str) -> None:
    """Count and log a decision: the one place where moves are told."""
    before, after, decision = applied.before, applied.after, applied.decision
    if decision.trigger:
        metrics.moved(after.machine, before.state, after.state)
        if log.is_enabled_for(20):
            log.info(
                "A record moved.",
                action="move",
                record=after.id,
                trigger=decision.trigger,
                from_state=before.state,
                to_state=after.state,
                who=who,
                why=decision.why,
            )
    if decision.alarm:
        metrics.noted.labels(after.machine).inc()
        log.error("A fact contradicts a record.", action="contradiction", record=after.id, who=who, why=decision.alarm)
