"""What a payout keeps, and what the world is told about it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from machines.core.decision import Decision, Message
from machines.core.ids import RecordId, called, folded
from machines.core.machine import Anew
from machines.core.money import Money
from machines.core.ports import Evidence, SealKind
from machines.core.record import Record

TWO = 2
MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class RiskFinding:
    """Something that a risk rule saw."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Approval:
    """One reviewer's yes, bound to what he saw."""

    by: str
    at: int
    fingerprint: str
    seal: str = ""
    """Over exactly what is paid to whom; empty where an older version took it in."""


@dataclass(frozen=True, slots=True)
class ProposedDestination:
    """Where somebody wants the money to go, as a reviewer sees it."""

    by: str
    sealed: str
    """The destination, encrypted."""
    shown: str
    """The destination as people may see it, masked."""
    fingerprint: str
    """Of amount and destination: what a reviewer's yes is bound to."""
    holder: str = ""
    """Whose account the bank says that it is; empty where it did not say."""
    place: str = ""
    """Names the destination: the fingerprint of it alone, the same however often it is sealed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody's wish to have the money back, taken while it is not proven that nothing of it is paid."""

    trigger: str
    """The move that carries it out where the payout never left: `cancel` or `reject`."""
    by: str
    reason: str
    at: int

    @property
    def said(self) -> str:
        """Whose it is, and why."""
        return f"{self.by}: {self.reason}" if self.reason else self.by


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to pay. Its reference is never used for another one."""

    reference: str
    sealed: str
    """The destination that it was sent to."""
    handle: str = ""
    """The rail's own name for it."""
    sent: bool = False
    """Whether the rail is known to have been asked to pay it. A crash can hide that, so nothing safe hangs on a no."""
    failed: str = ""
    """Why it failed; empty while it has not."""
    unknown: bool = False
    """Whether the outcome of a send of it was ever unknown. It stays so: no answer to a repeat speaks of that send."""
    refusal: str = ""
    """What a repeat was refused with while the outcome was unknown, which proves nothing of the send before it."""
    opened_at: int = field(default=0, compare=False)
    """When it was opened, so before it was first sent; 0 where a version opened it that did not mark sends."""
    named: tuple[str, ...] = ()
    """What webhooks called it, or a retry of it; believed only as far as the rail shows it to be ours when asked."""
    named_at: int = field(default=0, compare=False)
    """When the newest of these names was told."""
    absent: bool = False
    """Whether it is proven that the rail never took it."""
    paid_as: tuple[str, ...] = ()
    """What the rail calls the payments of it that are proven; several where somebody clicked Retry in its dashboard."""
    place: str = ""
    """Names the destination that it was sent to; empty where an older version opened it."""

    def named_too(self, handles: Iterable[str]) -> "Attempt":
        """Keep further names of the rail's own for it, the newest ones."""
        newest = tuple(handles)[-MOST_NAMES:]
        new = tuple(dict.fromkeys(one for one in newest if one not in ("", self.handle, *self.named)))
        return replace(self, named=(*self.named, *new)[-MOST_NAMES:]) if new else self

    @property
    def never_begun(self) -> bool:
        """Whether nothing of it was sent, where its record is not marked as sending."""
        return bool(self.opened_at) and not (self.sent or self.failed or self.unknown)

    @property
    def refused(self) -> bool:
        """Whether the rail never took it, so that it should not know it."""
        return bool(self.failed) and (self.absent or not (self.sent or self.unknown))


NO_ATTEMPT = Attempt("", "")


@dataclass(frozen=True, slots=True)
class PayoutData:
    """The facts about a payout that its machine needs again."""

    rail: str
    method: str
    sealed: str
    """The destination, encrypted."""
    shown: str
    """The destination as people may see it, masked."""
    send_units: int
    """What arrives: the amount, less the fee where the provider bears it, which the first look finds out."""
    fee_units: int = 0
    note: str = ""
    requested_by: str = ""
    installation: str = ""
    """The installation that it was asked of, which its references carry; empty where an older version took it in."""
    fingerprint: str = ""
    """Of amount, destination and what the bank said of it: what a reviewer's yes is bound to."""
    holder: str = ""
    """Whose account the bank says that it is; empty where it did not say."""
    name_score: int | None = None
    """How far that fits the name in the request, of 100; None where one of them is missing."""
    own_score: int | None = None
    """The same with the name that the provider is usually paid under."""
    findings: tuple[RiskFinding, ...] = ()
    assessed: bool = False
    approvals_needed: int = 1
    rules: str = ""
    """The rules' seal over what they found; empty where an older version asked them."""
    ruled_place: str = ""
    """The destination that they looked at; they look again before anything goes to another one."""
    approvals: tuple[Approval, ...] = ()
    batch: str = ""
    """The batch that it left with; one that was deferred leaves with it again as soon as it can be paid."""
    opens_at: int = 0
    deferred_since: int = 0
    """Since when the rail would not take it, though it takes others; 0 where it never was passed over."""
    deferred_told: bool = False
    """Whether a person was told that it has been passed over for long."""
    attempts: tuple[Attempt, ...] = ()
    failures: int = 0
    """Proven failures that used up a retry."""
    unseen: int = 0
    """Looks in a row that did not find the current attempt."""
    unseen_since: int = 0
    """Since when the current attempt is not seen, which is when it was last sent."""
    unknown_since: int = 0
    """Since when its outcome is unknown, however often it was sent again."""
    absent: int = 0
    """Looks in a row at all that the rail did, that did not have one attempt."""
    absent_of: str = ""
    """The reference of that attempt; empty where an older version counted."""
    absent_at: int = 0
    waiting_for: str = ""
    """What the rail waits for, such as `approval`; before it is there, the cap of the day that is reached."""
    reason: str = ""
    """Why it failed, as the rail says it, for who works here; or why somebody gave it back, in their words."""
    evidence: Evidence | None = None
    paid_by: str = ""
    """The reference of the attempt that is proven paid."""
    also_paid: tuple[str, ...] = ()
    """What is proven paid besides, which should never be, and a person knows: other attempts, by their references, and
    further payments of one attempt, by what the rail calls them."""
    correction: ProposedDestination | None = None
    """Another destination for a failed payout, which waits for reviewers."""
    alarmed: bool = False
    """Whether a person was told that this attempt takes long."""
    return_of: str = ""
    """The attempt that was paid and is shown as failed since `return_since`, as a return is by some rails."""
    return_since: int = 0
    lost: int = 0
    """How often the sight of this attempt was lost."""
    wish: Wish | None = None
    """Nothing of it is sent any more: the money is given back as soon as the rail proves that nothing is paid."""
    place: str = ""
    """Names the destination; empty where an older version took it in."""
    charged: tuple[tuple[str, str], ...] = ()
    """What the rail charged for each payment that is proven, as it wrote it, behind what it calls the payment."""
    file: str = ""
    """Which row of which file it is; empty for one that was asked for by itself."""
    cause: str = ""
    """Why it is not paid, by the name that the table of reasons has for it; empty where a person says why."""
    cause_announced: str = ""
    """The cause of which the provider heard last: each failure that is one like it is told once."""

    @property
    def scope(self) -> str:
        """What a pause of its rail is called."""
        return f"rail:{self.rail}"

    @property
    def current(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def newest(self) -> str:
        """The reference of the newest attempt: what a look is at where the engine could not name one."""
        return (self.current or NO_ATTEMPT).reference

    def is_current(self, reference: str) -> bool:
        return self.current is not None and self.current.reference == reference

    @property
    def proposal(self) -> ProposedDestination:
        """What a reviewer looks at: a correction that waits for his yes, or else the payout as it was asked for."""
        return self.correction or ProposedDestination(
            self.requested_by, self.sealed, self.shown, self.fingerprint, self.holder, self.place
        )

    @property
    def as_proposed(self) -> "PayoutData":
        """The same with what is proposed taken over."""
        one = self.proposal
        return replace(
            self,
            requested_by=one.by,
            sealed=one.sealed,
            shown=one.shown,
            fingerprint=one.fingerprint,
            holder=one.holder,
            place=one.place,
            correction=None,
            cause_announced="",
        )

    @property
    def is_row(self) -> bool:
        """Whether the rules found nothing but that it is a row of a file, which people approve as one."""
        return bool(self.file) and self.findings == (row_of(self.file),)

    @property
    def waits_for_rules(self) -> bool:
        """Whether the rules have yet to look at it where it is to go."""
        # What an older version approved, and sealed nothing of, is not looked at again, but adopted.
        sealed = self.rules or self.correction
        return not self.assessed or bool(sealed and self.ruled_place != self.proposal.place)

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Who approved what is proposed now already."""
        return tuple(one.by for one in self.approvals if one.fingerprint == self.proposal.fingerprint)

    @property
    def people_needed(self) -> int:
        """How many people must say yes: what nobody sealed that the rules found takes two."""
        return self.approvals_needed if self.assessed and self.rules else max(TWO, self.approvals_needed)

    @property
    def by_rules(self) -> bool:
        """Whether the rules let it pass to where they saw it go."""
        few = not self.findings and self.approvals_needed < TWO
        return bool(self.assessed and self.rules and few and self.place == self.ruled_place)

    @property
    def waits_unsealed(self) -> bool:
        """Whether seals are missing that an older version did not make; a wrong one is no missing one."""
        adopted = any(one.seal.startswith(SealKind.ADOPTION) for one in self.approvals)
        sealed = sum(bool(one.seal) for one in self.approvals)
        return not (adopted or (self.rules and (self.by_rules or sealed >= self.people_needed)))

    def approvals_missing(self) -> int:
        """Count the people who must still say yes before anything may go to the destination that is kept now.

        Whether a seal proves what is written here is asked before each send.
        """
        if self.assessed and not self.findings and self.approvals_needed < TWO:
            return 0
        given = {
            one_person(one.by)
            for one in self.approvals
            if one.fingerprint == self.fingerprint and one_person(one.by) != one_person(self.requested_by)
        }
        return max(0, self.people_needed - len(given))

    def goes_where(self, attempt: Attempt) -> bool:
        """Whether an attempt was sent to the destination that is kept now.

        Only what an older version wrote, which named none, is told by how it is sealed; `payflow reseal` names it.
        """
        if self.place and attempt.place:
            return self.place == attempt.place
        return self.sealed == attempt.sealed

    def resealed(self, anew: Anew) -> "PayoutData":
        """Give the same with every destination sealed anew, and named: one ciphertext becomes one, wherever it is."""

        def renewed(one: _Sealed) -> _Sealed:
            sealed, place = anew(one.sealed, one.place)
            return replace(one, sealed=sealed, place=place)

        return replace(
            renewed(self),
            attempts=tuple(map(renewed, self.attempts)),
            correction=renewed(self.correction) if self.correction else None,
        )

    @property
    def all_dead(self) -> bool:
        """Whether each attempt so far has failed, so that none is open."""
        return all(attempt.failed for attempt in self.attempts)

    def is_paid(self, reference: str) -> bool:
        """Tell whether an attempt is known to be paid, although people may have put the payout elsewhere since."""
        return bool(reference) and reference in (self.paid_by, *self.also_paid)

    def attempt(self, reference: str) -> Attempt:
        """Find an attempt by its reference; one that is empty where there is none."""
        return next((one for one in self.attempts if one.reference == reference), NO_ATTEMPT)

    def with_current(self, **changes: Any) -> "PayoutData":
        return self.with_attempt(self.attempts[-1].reference, **changes)

    def with_attempt(self, reference: str, **changes: Any) -> "PayoutData":
        return replace(
            self,
            attempts=tuple(replace(one, **changes) if one.reference == reference else one for one in self.attempts),
        )

    def with_payments(self, reference: str, names: tuple[str, ...]) -> "PayoutData":
        """Note the payments of an attempt, by what the rail calls them; all but the payout's own are paid besides."""
        before = (self.paid_by, *self.attempt(reference).paid_as[1:])
        also = tuple(one for one in self.also_paid if one not in before)
        if reference not in (self.paid_by, *also):
            also = (*also, reference)
        return replace(self.with_attempt(reference, paid_as=names), also_paid=(*also, *names[1:]))

    @property
    def payments(self) -> int:
        """How many payments of it are known to be paid."""
        return sum(len(one.paid_as) or self.is_paid(one.reference) for one in self.attempts)

    def with_charges(self, proofs: Iterable[Evidence]) -> "PayoutData":
        """Keep what the rail says that it charged; it does so no less where the money comes back later."""
        named = {one.reference: dict(one.details).get("fee", "") for one in proofs}
        charged = dict(self.charged) | {name: fee for name, fee in named.items() if fee}
        return replace(self, charged=tuple(charged.items())) if len(charged) > len(self.charged) else self

    def with_charge(self, name: str, fee: str) -> "PayoutData":
        """Keep what the rail's statement says that it charged for a payment, unless something said so before."""
        return self if name in dict(self.charged) else replace(self, charged=(*self.charged, (name, fee)))

    def without_payments(self, reference: str) -> "PayoutData":
        """Forget that an attempt was paid: it is proven that it was not, so that a payment of it would be news."""
        gone = (reference, *self.attempt(reference).paid_as)
        return replace(
            self.with_attempt(reference, paid_as=()),
            paid_by="" if self.paid_by in gone else self.paid_by,
            also_paid=tuple(one for one in self.also_paid if one not in gone),
        )

    def next_attempt(self, record_id: RecordId, now: int, **changes: Any) -> "PayoutData":
        """Open an attempt with a reference of its own; one that has not failed goes on under its old reference."""
        data = replace(self, **_AT_REST, reason="", cause="", **changes)
        if data.current and not data.current.failed and data.goes_where(data.current):
            return data
        reference = reference_of(record_id, len(data.attempts) + 1, data.installation)
        opened = Attempt(reference, data.sealed, opened_at=now, place=data.place)
        return replace(data, attempts=(*data.attempts, opened))

    def at_rest(self, **changes: Any) -> "PayoutData":
        """Forget what was only true while an attempt was with the rail."""
        return replace(self, **_AT_REST, **changes)


def row_of(file: str) -> RiskFinding:
    """Say of a payout that it is a row of a file: what it has in common with the other rows, people looked at."""
    return RiskFinding("file", f"{file}, which people approve as one")


_Sealed = TypeVar("_Sealed", ProposedDestination, Attempt, PayoutData)

PayoutRecord = Record[PayoutData]
Choice = Decision[PayoutData]


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's: neither a capital letter nor a room makes anybody a second person."""
    return one_person(one) == one_person(other)


def who_asked(record: PayoutRecord) -> tuple[str, str]:
    """Name those whose yes counts for nothing: whoever says where it is to go, and whose money it is."""
    return record.data.proposal.by, record.owner


def one_person(name: str) -> str:
    return folded(called(name))


_REFERENCE = re.compile(r"([a-z][a-z_]{1,31}-[0-9]{2}-[a-z2-7]{16})(?:-([a-z][a-z2-7]{3}))?-([0-9]{1,4})")

_AT_REST: Mapping[str, Any] = MappingProxyType(
    {
        "waiting_for": "",
        "alarmed": False,
        "lost": 0,
        "unseen": 0,
        "unseen_since": 0,
        "unknown_since": 0,
        "absent": 0,
        "absent_of": "",
        "absent_at": 0,
    }
)


def reference_of(record_id: RecordId, attempt: int, installation: str = "") -> str:
    """Name an attempt, for ever: at most 36 characters, of those that every gateway accepts.

    Two installations that use one account of a gateway (staging and production) make the same id of the same owner and
    key: that their references differ keeps one from taking the other's transfer for its own.
    """
    return "-".join(part for part in (record_id, installation, str(attempt)) if part)


def parts_of(reference: str) -> tuple[RecordId, str, int] | None:
    """Read payout, installation and number of a reference; none where it does not have the form of ours."""
    found = _REFERENCE.fullmatch(reference)
    return (RecordId(found[1]), found[2] or "", int(found[3])) if found else None


def record_of(reference: str) -> RecordId:
    """Tell which payout a reference belongs to; of one that is not ours, an id that nothing has."""
    parts = parts_of(reference)
    return parts[0] if parts else RecordId(reference.rpartition("-")[0])


# ── what the world is told: provider and platform news, reviewers a call to look ──────────────────────────────────────


def news(record: PayoutRecord, event: str, **more: str) -> tuple[Message, ...]:
    """Tell the provider and the platform of an event that stands in the table of them."""
    body = {**_known(record), "event": event, **more}
    return Message("notify", body), Message("webhook", body)


def review_needed(record: PayoutRecord, why: str) -> Message:
    return Message("notify", {**_known(record), "event": "review_needed", "why": why})


def boarded(batch: str) -> Message:
    return Message("batch", {"batch": batch})


def _known(record: PayoutRecord) -> dict[str, str]:
    known = {"payout": record.id, "owner": record.owner, "destination": record.data.shown}
    if record.amount is None:
        return known
    asset, arrives = record.amount.asset, Money(record.data.send_units, record.amount.asset)
    return {**known, "amount": record.amount.decimal, "currency": asset.code, "arrives": arrives.decimal}
