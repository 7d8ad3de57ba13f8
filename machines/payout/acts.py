"""What a look at a payout does: asks the ports, and returns what was learned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import AnotherPayment, BadAmount, Deferred, OutcomeUnknown, Rejected, Retryable, StepError
from machines.core.facts import Fact, LostSight, Nothing, Proof, Reading
from machines.core.money import Assets, Money
from machines.core.ports import (
    Act,
    Cause,
    Destination,
    Evidence,
    Failed,
    Lists,
    Payment,
    PaymentKey,
    Pending,
    PermitSigner,
    Rail,
    Reversed,
    Settled,
    Status,
    Step,
    Trace,
    Unsent,
)
from machines.core.record import Sending
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import TWO, Approval, Attempt, PayoutData, PayoutRecord, RiskFinding, row_of
from machines.payout.permit import by_rules, who_approved
from machines.payout.policy import PayoutPolicy
from machines.payout.review import with_assessment
from machines.payout.risk import ProviderHistory, RiskRequest, Thresholds, assess


class Providers(Protocol):
    """What is known of providers."""

    async def history(self, record: PayoutRecord, limits: Thresholds) -> ProviderHistory:
        """Say what is known of a payout's owner, as far as these limits ask."""


class BatchSchedule(Protocol):
    """When batches open."""

    def next_opening(self, after: Millis) -> Millis | None:
        """Say when the next batch opens after a time; None when only a person opens them."""


class Unsealer(Protocol):
    """Opens what is encrypted at rest."""

    def open(self, sealed: str, bound_to: str) -> Destination:
        """Give the destination of a record in clear, for the rail alone."""

    def place(self, destination: Destination) -> str:
        """Name a destination: the same for the same one, however it was sealed."""


class Enquiries(Protocol):
    """Asks a rail's gateway about a payment before anybody approves it."""

    async def ask(self, record: PayoutRecord, now: Millis) -> f.Enquired | None:
        """Say whose account it is and what arrives; None where there is nobody to ask.

        Raises `Rejected` when it can never be paid so, `Retryable` when it should be asked again.
        """


class Funding(Protocol):
    """What our wallets at the rails hold, and who waits for it."""

    async def covers(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell whether the wallet has money for a payout, after all older ones that it has money for as well."""

    async def take(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell the same, and count it as gone where it has."""

    async def was_short(self, record: PayoutRecord, now: Millis) -> None:
        """Keep in mind that the rail had too little for a payout."""

    async def left(self, record: PayoutRecord) -> None:
        """Keep in mind that a payout has left."""


class Approvers(Protocol):
    """Knows who may say yes."""

    async def lapsed(self, record: PayoutRecord, said_yes: Sequence[Approval]) -> Mapping[str, str]:
        """Say of those who said yes to a payout who may not now, or is another one of them, and why."""


class Everybody:
    """Lets the yes of everybody count."""

    async def lapsed(self, record: PayoutRecord, said_yes: Sequence[Approval]) -> Mapping[str, str]:  # noqa: ARG002  (as the port has it)
        return {}


class Caps(Protocol):
    """What may leave in a day."""

    async def reserve(self, record: PayoutRecord, now: Millis) -> str:
        """Take a payout off what may leave today, once; a sentence where too little is left of it."""

    async def give_back(self, record: PayoutRecord, now: Millis) -> None:
        """Give back what a payout took that has ended, as the rail proves, without anything having left."""


class Uncapped:
    """Lets everything leave."""

    async def reserve(self, record: PayoutRecord, now: Millis) -> str:  # noqa: ARG002  (as the port has it)
        return ""

    async def give_back(self, record: PayoutRecord, now: Millis) -> None: ...


ELSEWHERE = RiskFinding("corrected", "it is to go elsewhere than was asked for at first")
NOT_ASKED = RiskFinding("unresolved", "whose account it is could not be found out: the gateway did not answer")
SHORT = "our wallet at the rail is too low for it"


def _other_name(said: f.Enquired) -> RiskFinding:
    """Say how far the name on the account is from the one in the request."""
    text = "the account is of another name than the request gives"
    if said.name_score is None:
        return RiskFinding("other_name", text)
    fits = f"{text}: they fit by {said.name_score} of 100"
    return (
        RiskFinding("held_name", f"{fits}, so that two must say yes") if said.held else RiskFinding("other_name", fits)
    )


@dataclass(frozen=True, slots=True)
class PayoutActs:
    """The looks of the payout machine, bound to their ports."""

    rails: Mapping[str, Rail]
    providers: Providers
    schedule: BatchSchedule
    seals: Unsealer
    permits: PermitSigner
    thresholds: Thresholds
    funding: Funding
    enquiries: Enquiries | None = None
    """None where nobody can say whose an account is."""
    two_people_from: Mapping[str, int] | None = None
    """By asset from how many units on two must approve, and any amount of one that is not named; None for never."""
    policy: PayoutPolicy = field(default_factory=PayoutPolicy)
    lists: Mapping[str, Lists | None] = field(default_factory=dict)
    caps: Caps = field(default_factory=Uncapped)
    approvers: Approvers = field(default_factory=Everybody)

    def acts(self) -> dict[str, Act[PayoutData]]:
        return {
            s.REQUESTED: self.assess,
            s.APPROVED: self.board,
            s.PROCESSING: self.pay,
            s.UNCONFIRMED: self.find,
            s.FAILED: self.look_back,
            s.COMPLETED: self.watch,
            s.REVERSED: self.watch,
            s.REJECTED: self.watch,
            s.CANCELLED: self.watch,
            s.CONTRADICTED: self.watch,
        }

    async def assess(self, record: PayoutRecord, step: Step) -> Fact:
        """Ask the gateway, then the risk rules, once: before that nobody is asked to approve anything."""
        old_news = await self._of_old_attempts(record)
        if old_news is not None:
            return old_news
        if record.data.rules and not record.data.waits_for_rules:
            return Nothing()
        return await self._ask_rules(record, step)

    async def _ask_rules(self, record: PayoutRecord, step: Step) -> Fact:
        """Say what the gateway and the rules find about a payout where it is proposed to go, under a worker's seal."""
        proposed = replace(record, data=record.data.as_proposed)
        if record.amount is None:
            return Nothing()
        try:
            enquired = await self.enquiries.ask(proposed, step.now) if self.enquiries else None
        except Rejected as error:
            return f.Unpayable(str(error))
        findings = await self._found(proposed, record.amount, step.now)
        if enquired and enquired.given_up:
            findings = (*findings, NOT_ASKED)
        if enquired and enquired.other_name:
            findings = (*findings, _other_name(enquired))
        place = self.seals.place(self.seals.open(proposed.data.sealed, record.id))
        if record.data.correction or any(one.place not in ("", place) for one in record.data.attempts):
            findings = (*findings, ELSEWHERE)
        # What arrives is fixed by the first attempt: it is by that that the rail shows what became of it.
        said = None if record.data.attempts else enquired
        two = self._takes_two(record.amount) or bool(enquired and enquired.held)
        fact = f.Assessed(findings, TWO if two else 1, said, place)
        seen = replace(record, data=with_assessment(record.data, fact))
        return replace(fact, seal=by_rules(self.permits, seen))

    async def _found(self, proposed: PayoutRecord, amount: Money, now: Millis) -> tuple[RiskFinding, ...]:
        """Ask the risk rules. Of a row of a file they judge nothing that its owner's other requests have to do with."""
        if proposed.data.file:
            return (row_of(proposed.data.file),)
        history = await self.providers.history(proposed, self.thresholds)
        return assess(RiskRequest(amount, history, now), self.thresholds)

    def _takes_two(self, amount: Money) -> bool:
        """Whether two people must approve."""
        least = self.two_people_from
        return least is not None and amount.units >= least.get(amount.asset.code, 0)

    async def board(self, record: PayoutRecord, step: Step) -> Fact:
        """See whether the batch that it waits for has opened; what was deferred waits for no second one."""
        return await self._of_old_attempts(record) or await self._board(record, step)

    async def _of_old_attempts(self, record: PayoutRecord) -> Fact | None:
        """Say what is new of attempts that were made before; somebody may have brought one back to life at the rail."""
        data = record.data
        surprise = await self._surprise(record, data.attempts)
        if surprise is None and data.wish and data.all_dead:
            return f.AllProvenUnpaid(len(data.attempts))
        # One that is still open, as after an override, is followed where it belongs: in PROCESSING.
        followed = isinstance(surprise, f.UnderWay | f.NotSeen) and not data.attempt(surprise.reference).failed
        return None if followed else surprise

    async def _board(self, record: PayoutRecord, step: Step) -> Fact:
        data = record.data
        if data.deferred_since and data.batch:
            # A webhook about the attempt that was turned away wakes it as well: that is no reason to try again.
            if data.opens_at > step.now:
                return f.Waits(Millis(data.opens_at))
            await step.refuse_paused(f"rail:{data.rail}")
            covered = await self.funding.covers(record, step.now)
            return await self._unless_capped(record, data.batch, step.now) if covered else f.PassedOver()
        coming = self.schedule.next_opening(step.now)
        if coming is None:
            return Nothing()
        if coming <= step.now:
            name = batch_name("instant", Millis(step.now - step.now % DAY))
        else:
            opens_at = Millis(min(data.opens_at or coming, coming))
            if opens_at > step.now:
                return f.Waits(opens_at)
            name = batch_name("batch", opens_at)
        await step.refuse_paused(f"rail:{data.rail}")
        return await self._unless_capped(record, name, step.now)

    async def _unless_capped(self, record: PayoutRecord, batch: str, now: Millis) -> Fact:
        """Let it board if it may leave today. Before an attempt is opened: a cap holds a payout, and fails none."""
        why = await self.caps.reserve(record, now)
        return f.Capped(why) if why else f.Boarded(batch)

    async def pay(self, record: PayoutRecord, step: Step) -> Fact:
        """Follow the current attempt, or send it: only when every earlier one is proven unpaid, and it is wanted."""
        current = record.data.current
        if current is None:
            return Nothing()
        found = await self._learn(record, current, now=step.now)
        if not isinstance(found, f.NotSeen):
            if isinstance(found, f.NotPaid) and found.cause is Cause.WALLET:
                await self.funding.was_short(record, step.now)
            return found
        if current.sent:
            return LostSight(f"the rail took {current.reference} and does not show it", current.reference)
        if record.sending is not Sending.NO:
            return LostSight(f"whoever was sending {current.reference} did not say what came of it", current.reference)
        surprises = await self._surprises(record, record.data.attempts[:-1])
        return await self._looked_up(record, surprises, step.now) or await self._unless_withheld(record, current, step)

    async def _unless_withheld(self, record: PayoutRecord, current: Attempt, step: Step) -> Fact:
        """Send what nothing speaks against, unless nobody wants it any more or the rail has too little for it."""
        if record.data.wish:
            if current.never_begun:
                return f.AllProvenUnpaid(len(record.data.attempts))
            return LostSight(f"{current.reference} may have been sent, and is not sent any more", current.reference)
        payment = self._payment(record, current)
        lapsed = await self._lapsed(record, current, who_approved(self.permits, record, self.seals.place(payment.to)))
        if lapsed is not None:
            return lapsed
        # One more attempt, or the same one on another day: it leaves today, so it counts today.
        short = "" if current.unknown else await self._too_much(record, step.now)
        return f.TurnedAway(current.reference, short) if short else await self._send(record, current, payment, step)

    async def _too_much(self, record: PayoutRecord, now: Millis) -> str:
        """Say what keeps it from leaving now: what may leave today, or what our wallet holds."""
        capped = await self.caps.reserve(record, now)
        return capped or ("" if await self.funding.take(record, now) else SHORT)

    async def _lapsed(self, record: PayoutRecord, current: Attempt, said_yes: Sequence[Approval]) -> Fact | None:
        """Say that too few are left of those who approved it; what may have left is followed, and not sent again."""
        lapsed = await self.approvers.lapsed(record, said_yes) if said_yes else {}
        if not lapsed or len(said_yes) - len(lapsed) >= record.data.people_needed:
            return None
        why = "; ".join(lapsed.values())
        if current.never_begun:
            return f.ApprovalsLapsed(current.reference, tuple(lapsed), why)
        return LostSight(f"{current.reference} may have been sent, and is not sent again: {why}", current.reference)

    async def _send(self, record: PayoutRecord, current: Attempt, payment: Payment, step: Step) -> Fact:
        rail = self._rail(record)
        try:
            payment = await rail.prepare(payment)
            await step.may_send(f"rail:{record.data.rail}")
            handle = await rail.submit(payment)
        except OutcomeUnknown as error:
            if error.answered:
                return f.NotTaken(current.reference, str(error))
            return LostSight(str(error), current.reference)
        except Rejected as error:
            return f.NotTaken(current.reference, str(error), proven=error.first or not current.unknown)
        except Deferred as error:
            if error.short:
                await self.funding.was_short(record, step.now)
            return f.TurnedAway(current.reference, str(error))
        await self.funding.left(record)
        return f.Submitted(current.reference, handle or "")

    async def find(self, record: PayoutRecord, step: Step) -> Fact:
        """Look for an attempt whose outcome is unknown, in the end in all that the rail did; send nothing."""
        current = record.data.current
        if current is None:
            return Nothing()
        found = await self._learn(record, current, now=step.now)
        if not isinstance(found, f.NotSeen):
            return found
        earlier = await self._surprise(record, record.data.attempts[:-1], strict=False)
        if isinstance(earlier, f.Paid):
            return earlier  # somebody brought it back to life while this one is looked for
        if self.lists.get(record.data.rail) is None:
            return found
        if not self.policy.may_be_absent(record, current, step.now):
            return replace(found, listed=True)
        return await self._listed(record, found, step.now)

    async def _looked_up(self, record: PayoutRecord, surprises: Sequence[Fact], now: Millis) -> Fact | None:
        """Give the gravest; where the rail only does not show some, what the complete list says of each of them."""
        unseen = [fact for fact in surprises if isinstance(fact, f.NotSeen)]
        if not surprises or surprises[0] not in unseen:
            return surprises[0] if surprises else None
        found = [await self._listed(record, one, now) for one in unseen]
        return min(found, key=lambda fact: (isinstance(fact, f.NotSeen), isinstance(fact, f.Absent)))

    async def _listed(self, record: PayoutRecord, found: f.NotSeen, now: Millis) -> Fact:
        """Look for an open attempt that the rail does not show in the complete list of what it did since before it."""
        attempt, lists = record.data.attempt(found.reference), self.lists.get(record.data.rail)
        if lists is None or attempt.failed:
            return found
        known = record.data.is_paid(attempt.reference) and record.state != s.UNCONFIRMED
        late = not known and self.policy.may_be_absent(record, attempt, now)
        # It is looked at often in PROCESSING: there the list is asked once it can prove something.
        if record.state == s.PROCESSING and not late:
            return found
        traces = await self._traces(record, attempt, lists)
        if not traces:
            return found if traces is None or not late else f.Absent(attempt.reference)
        (trace,) = traces
        names = (trace.handle, *trace.names)
        if attempt.named_too(names) != attempt:
            return f.Named(attempt.reference, names)
        return _fact(attempt.reference, trace.status)

    async def _traces(self, record: PayoutRecord, attempt: Attempt, lists: Lists) -> list[Trace] | None:
        """Find an attempt in the complete list; None where the list is not surely whole, so that it ends nothing."""
        payment = self._payment(record, attempt)
        since = Millis((attempt.opened_at or record.created_at) - DAY)
        try:
            return await lists.done_since(since, lambda key: key == payment.key, Assets((payment.amount.asset,)))
        except OutcomeUnknown:
            return None

    async def look_back(self, record: PayoutRecord, step: Step) -> Fact:
        """Read every attempt of a failed payout: a success may surface late, and a retry needs proof of all."""
        found = await self._over(record, step)
        if found is None and record.data.waits_for_rules and not record.data.wish:
            return await self._ask_rules(record, step)
        return found or f.AllProvenUnpaid(len(record.data.attempts))

    async def watch(self, record: PayoutRecord, step: Step) -> Fact:
        """Look at a finished payout: success can be undone, and a failure can turn out to be one."""
        found = await self._over(record, step, strict=False)
        if found is None and all(attempt.failed for attempt in record.data.attempts):
            await self.caps.give_back(record, step.now)
        return found or Nothing()

    async def _over(self, record: PayoutRecord, step: Step, *, strict: bool = True) -> Fact | None:
        """Read every attempt; look in all that the rail did for one that people put away while it was open."""
        surprises = await self._surprises(record, record.data.attempts, strict=strict, now=step.now)
        return await self._looked_up(record, surprises, step.now)

    async def prove(self, record: PayoutRecord) -> Reading:
        """Say what the rail says of every attempt, and what that proves of the payout as a whole."""
        try:
            found = [(one, await self._learn(record, one)) for one in record.data.attempts]
        except StepError as error:
            if not record.data.paid_by:
                raise
            return Reading(Proof.PAID, ((record.data.paid_by, f"paid, as the record has it; not asked: {error}"),))
        read = tuple((attempt.reference, _in_words(fact)) for attempt, fact in found)
        news = [fact for attempt, fact in found if not _expected(record, attempt, fact)]
        if record.data.paid_by or any(isinstance(fact, f.Paid) for fact in news):
            return Reading(Proof.PAID, read)
        return Reading(Proof.NONE if news else Proof.NOT_PAID, read)

    async def ask(self, record: PayoutRecord, attempt: Attempt) -> Fact:
        """Say what the rail says of an attempt; send nothing."""
        return await self._learn(record, attempt)

    async def _surprise(
        self, record: PayoutRecord, attempts: Iterable[Attempt], *, strict: bool = True, now: Millis | None = None
    ) -> Fact | None:
        """Read attempts that should be over, every one; give the gravest fact that says otherwise, or None."""
        return next(iter(await self._surprises(record, attempts, strict=strict, now=now)), None)

    async def _surprises(
        self, record: PayoutRecord, attempts: Iterable[Attempt], *, strict: bool = True, now: Millis | None = None
    ) -> list[Fact]:
        """Give every fact that says otherwise, the gravest first."""
        found = [(attempt, await self._learn(record, attempt, strict=strict, now=now)) for attempt in attempts]
        surprises = [fact for attempt, fact in found if not _expected(record, attempt, fact)]
        return sorted(surprises, key=lambda fact: _GRAVITY.index(type(fact)))

    async def _learn(
        self, record: PayoutRecord, attempt: Attempt, *, strict: bool = True, now: Millis | None = None
    ) -> Fact:
        """Turn the rail's word on an attempt into a fact; of all the names that it may have, the gravest counts.

        A retry that the gateway told of and does not show may yet be paid, so that a failure proves nothing; where
        nothing is sent or given back for it (not `strict`) it is taken as it is, or no watch would end.
        """
        payment, rail = self._payment(record, attempt), self._rail(record)
        try:
            found = [_fact(attempt.reference, await rail.status(payment))]
        except OutcomeUnknown as error:
            raise Retryable(str(error)) from error  # this was only a look: nothing was sent
        unread: dict[str, str] = {}
        for name in attempt.named:
            # Whatever the rail shows under such a name, it must show it to be this payment.
            try:
                found.append(_fact(attempt.reference, await rail.status(replace(payment, handle=name))))
            except AnotherPayment:
                continue
            except OutcomeUnknown as error:
                unread[name] = str(error)
        paid = [fact for fact in found if isinstance(fact, f.Paid)]
        learned = (
            _all_paid(attempt, found, paid) if paid else min(found, key=lambda fact: _ALIVE_FIRST.index(type(fact)))
        )
        strict = strict or record.data.is_paid(attempt.reference)
        if unread and strict and not isinstance(learned, f.Paid | f.UnderWay):
            if now is not None and (none := await self._never_were(record, attempt, unread, now)):
                return f.Unnamed(attempt.reference, none)
            raise Retryable(next(iter(unread.values())))
        return learned

    async def _never_were(
        self, record: PayoutRecord, attempt: Attempt, names: Iterable[str], now: Millis
    ) -> tuple[str, ...]:
        """Tell which names a webhook made up: long after it came they are neither shown nor in the complete list."""
        lists = self.lists.get(record.data.rail)
        if lists is None or now - attempt.named_at < self.policy.absent_after_ms:
            return ()
        traces = await self._traces(record, attempt, lists)
        if traces is None:
            return ()
        listed = {name for trace in traces for name in (trace.handle, *trace.names)}
        return tuple(name for name in names if name not in listed)

    def _rail(self, record: PayoutRecord) -> Rail:
        """Find the rail that a payout went to, which may be one that nobody is paid through any more."""
        name = record.data.rail
        if name not in self.rails:
            raise Retryable(f"The rail {name} is not set up: its payouts wait until its credentials are set again.")
        return self.rails[name]

    def _payment(self, record: PayoutRecord, attempt: Attempt) -> Payment:
        if record.amount is None:
            raise BadAmount(f"{record.id} has no amount.")
        return Payment(
            PaymentKey(attempt.reference),
            self.seals.open(attempt.sealed, record.id),
            Money(record.data.send_units, record.amount.asset),
            record.data.note,
            attempt.handle,
        )


def _fact(reference: str, status: Status) -> Fact:
    match status:
        case Settled(evidence, also, over, repeated):
            return f.Paid(reference, evidence, also, over, repeated)
        case Failed(reason, retryable, evidence, cause):
            return f.NotPaid(reference, reason, retryable, cause, evidence)
        case Pending(waiting_for, _, again_s):
            return f.UnderWay(reference, waiting_for, again_s)
        case Reversed(evidence):
            return f.CameBack(reference, evidence)
        case Unsent():
            return f.NotSeen(reference)


def _in_words(fact: Fact) -> str:
    """Write what the rail said of an attempt, with what it showed for that."""
    match fact:
        case f.Paid(_, evidence):
            return f"paid: {_shown(evidence)}"
        case f.CameBack(_, evidence):
            return f"came back: {_shown(evidence)}"
        case f.NotPaid(_, reason, _, _, evidence):
            return f"not paid: {reason}{f' ({_shown(evidence)})' if evidence else ''}"
        case f.UnderWay(_, waiting_for):
            return f"under way{f', it waits for {waiting_for}' if waiting_for else ''}"
        case f.NotSeen():
            return "not known there"
        case _:
            return type(fact).__name__


def _shown(evidence: Evidence) -> str:
    said = [f"{evidence.source} {evidence.reference}", *(f"{name} {value}" for name, value in evidence.details)]
    return ", ".join(said)


# What is learned of one attempt under several names: what is paid, or may yet be, before what is over.
_ALIVE_FIRST: tuple[type[Fact], ...] = (f.Paid, f.UnderWay, f.CameBack, f.NotPaid, f.NotSeen)


def _all_paid(attempt: Attempt, found: Iterable[Fact], paid: Sequence[f.Paid]) -> f.Paid:
    """Put together what was learned of an attempt under several names; the payment that is known comes first."""
    proofs = {proof.reference: proof for fact in paid for proof in (fact.evidence, *fact.also)}
    over = {name for fact in paid for name in fact.over}
    over |= {one.evidence.reference for one in found if isinstance(one, f.NotPaid | f.CameBack) and one.evidence}
    own = next(name for name in (*attempt.paid_as, attempt.reference, *proofs) if name in proofs)
    first = proofs.pop(own)
    over -= {own, *proofs}
    return f.Paid(
        attempt.reference,
        first,
        tuple(proofs.values()),
        tuple(sorted(over)),
        repeated=all(fact.repeated for fact in paid),
    )


# What is learned of attempts that should be over, the gravest first.
_GRAVITY: tuple[type[Fact], ...] = (f.Paid, f.CameBack, f.NotPaid, f.UnderWay, f.NotSeen, f.Unnamed)


def _expected(record: PayoutRecord, attempt: Attempt, fact: Fact) -> bool:
    """Tell whether the rail says of an attempt what we know already."""
    data = record.data
    if data.is_paid(attempt.reference):
        # People knew of it and put the payout elsewhere; but to who wants the money back it is news, and where it is
        # to be found out whether anything was paid it is the answer.
        asked = data.wish or record.state == s.UNCONFIRMED
        return isinstance(fact, f.Paid) and not (asked or fact.beyond(attempt) or fact.gone(attempt))
    # That the rail cannot find an attempt proves nothing, unless it turned it away on the spot or was never asked.
    unasked = attempt.never_begun and record.sending is Sending.NO
    return isinstance(fact, f.NotPaid | f.CameBack) or (isinstance(fact, f.NotSeen) and (attempt.refused or unasked))


def batch_name(kind: str, opened_at: Millis) -> str:
    """Name a batch after the moment in which it opened, so that names sort by time."""
    return f"{datetime.fromtimestamp(opened_at / SECOND, UTC):%Y%m%d-%H%M%S}-{kind}"
