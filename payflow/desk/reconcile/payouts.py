"""Payouts after the store was set back: what the gateways did under our references, and whom it was for."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import partial
from typing import TypeVar

from machines.core.accounts import normal_account, same_account
from machines.core.clock import Millis
from machines.core.errors import (
    BadInput,
    NotFound,
    NotPossible,
    OutcomeUnknown,
    PayflowError,
    RailClosed,
    Retryable,
    ShortBalance,
)
from machines.core.ids import Owner, RecordId, owner_of, parse_id
from machines.core.lifecycle import By, Position
from machines.core.money import Asset, Money
from machines.core.ports import Failed, Lists, PaymentKey, Settled, StatementLine, Trace
from machines.core.rail_share import FINE
from machines.finding.data import Finding, FindingKind
from machines.finding.matching import OurPayment
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.acts import PayoutActs
from machines.payout.data import Attempt, PayoutData, PayoutRecord, parts_of, record_of
from machines.payout.rediscovery import number_of, recreated
from payflow.desk.payouts import MACHINE, shown
from payflow.desk.reconcile.comparison import Word
from payflow.desk.records import revived
from payflow.engine.step import take_in
from payflow.store import keys
from payflow.store.store import Store
from payflow.store.stored import ArchivedStub
from payflow.telemetry.metrics import Metrics

LATEST = 100
MOST_LATE = 1_000
MOST_REPEATS = 30
"""How many calls of a reconciliation may go astray and be made again: one that is down must not be asked for hours."""

HERE = FindingKind.MISSING_HERE

T = TypeVar("T")


def is_of(installation: str, key: PaymentKey) -> bool:
    """Tell whether a reference at a gateway is of this installation; those of older versions name none."""
    parts = parts_of(key)
    return parts is not None and parts[0].startswith(f"{MACHINE}-") and parts[1] in ("", installation)


class PayoutBooks:
    """What payouts say of one rail, to whoever holds its statement against them."""

    def __init__(self, store: Store, rail: str) -> None:
        self._store = store
        self._rail = rail

    async def ours(self, lines: Sequence[StatementLine]) -> Mapping[str, RecordId]:
        """Name the payouts that the references of lines are of."""
        installation = self._store.installation
        return {one.id: record_of(one.reference) for one in lines if is_of(installation, PaymentKey(one.reference))}

    async def payments(self, records: Sequence[RecordId]) -> Mapping[RecordId, OurPayment]:
        """Say what some payouts are, archived ones too."""
        found = {one.record.id: one.record for one in await self._store.records.readable(records)}
        for name in records:
            left = None if name in found else await self._store.archive.as_left(name)
            found |= {} if left is None else {name: left}
        return {name: ours for name, record in found.items() if (ours := self._of(record))}

    async def paid_between(self, since: Millis, until: Millis) -> AsyncIterator[Sequence[OurPayment]]:
        """Walk over the payouts that came to be paid between two times."""
        for state in s.LIFECYCLE.states.values():
            if state.position is Position.PAID:
                async for page in self._store.listing.came_between(MACHINE, state.name, since, until):
                    yield [ours for one in page if (ours := self._of(one.record))]

    async def late(self, before: Millis) -> Sequence[OurPayment]:
        """List what has been with the rail since before a time."""
        found = []
        for state in s.LIFECYCLE.states.values():
            if state.may_have_left and not state.final and state.position is Position.HELD and state.by is By.POLLER:
                oldest = await self._store.listing.in_state(MACHINE, state.name, MOST_LATE)
                found += [self._of(one.record) for one in oldest if one.record.since < before]
        return [ours for ours in found if ours and ours.open]

    def _of(self, record: PayoutRecord) -> OurPayment | None:
        data, state = record.data, s.LIFECYCLE.state(record.state)
        if record.amount is None or data.rail != self._rail:
            return None
        asset = record.amount.asset
        paid = data.attempt(data.paid_by) if data.paid_by else data.current
        return OurPayment(
            record.id,
            record.owner,
            tuple(one.reference for one in data.attempts),
            tuple(name for one in data.attempts for name in (one.handle, *one.named) if name),
            Money(data.send_units, asset),
            _fee_of(data, asset),
            self._account(record, paid.sealed if paid and paid.sealed else data.sealed),
            paid=state.position is Position.PAID,
            open=state.may_have_left and not state.final and state.by is By.POLLER,
            at=record.since,
            fee_rest=_fee_rest(data, asset),
        )

    def _account(self, record: PayoutRecord, sealed: str) -> str:
        fields = dict(self._store.seals.open(sealed, record.id).fields)
        number = fields.get("account_number", "")
        return self._store.seals.account(number, record.amount.asset) if record.amount else ""


def _fee_of(data: PayoutData, asset: Asset) -> int | None:
    """Read what the rail took, as it is posted; rounded up, as lines have it."""
    fee = _exact_fee(data)
    return int(fee.scaleb(asset.decimals).to_integral_value(ROUND_CEILING)) if fee is not None else None


def _fee_rest(data: PayoutData, asset: Asset) -> int:
    """Say by how much less than a unit that is rounded up, in parts of one."""
    exact = (_exact_fee(data) or Decimal(0)).scaleb(asset.decimals)
    return int((exact - exact.to_integral_value(ROUND_CEILING)) * FINE)


def _exact_fee(data: PayoutData) -> Decimal | None:
    """Give what the rail's own object said when it was proven, or else its statement."""
    if data.evidence is None:
        return None
    said = dict(data.evidence.details).get("fee", "") or dict(data.charged).get(data.evidence.reference, "")
    try:
        return Decimal(said) if said else None
    except InvalidOperation:
        return None


class PayoutsReconcile:
    """Compares payouts with the gateways that pay them."""

    def __init__(self, store: Store, metrics: Metrics, looks: PayoutActs, rails: Mapping[str, Lists | None]) -> None:
        self._store = store
        self._metrics = metrics
        self._looks = looks
        self._rails = rails
        self._repeats = MOST_REPEATS

    async def reconcile(self, since: Millis, word: Word) -> Sequence[Finding]:
        """Take in what the gateways list, then ask them about every payout whose money may have left."""
        findings: list[Finding] = []
        asked: set[RecordId] = set()
        self._repeats = MOST_REPEATS
        for name, rail in self._rails.items():
            try:
                ours = partial(is_of, self._store.installation)
                listed = partial(rail.done_since, since, ours, self._store.records.assets) if rail else None
                traces = await self._patiently(listed) if listed else None
            except PayflowError as error:
                findings.append(
                    Finding(
                        name,
                        FindingKind.STATEMENT_GAP,
                        f"rail:{name}",
                        f"It could not be asked: {error}",
                        advised="Try again later.",
                    )
                )
                continue
            if traces is None:
                advice = f"Compare its dashboard with `payflow ls`, then say so: --dismiss rail:{name} --reason WHY."
                findings.append(
                    Finding(
                        name, FindingKind.STATEMENT_GAP, f"rail:{name}", "It cannot list what it did.", advised=advice
                    )
                )
            for payout, found in _by_payout(traces or ()).items():
                findings += await self._account_for(name, payout, found, word)
                asked.add(payout)
        for record in await self._may_have_left():
            if record.id not in asked:
                findings += await self._learn(record.data.rail, record.id, word)
        return findings

    async def ask(self, rail: str, record: RecordId, who: str) -> Sequence[Finding]:
        """Ask the rail about all attempts of a payout; one that was archived comes back for it."""
        self._repeats = MOST_REPEATS
        await revived(self._store, record, f"{rail} is asked about it once more", who)
        return [one for one in await self._learn(rail, record, Word(who)) if one.open]

    async def adopt(self, rail: str, record: RecordId, since: Millis, word: Word) -> Sequence[Finding]:
        """Take in what the rail lists of a payout, or make it again for its owner where the store has forgotten it."""
        lists = self._rails.get(rail)
        if lists is None:
            raise NotPossible(f"{rail} cannot list what it did: settle {record} by hand, and waive this.")
        self._repeats = MOST_REPEATS
        listed = partial(lists.done_since, since, lambda key: record_of(key) == record, self._store.records.assets)
        traces = await self._patiently(listed)
        if not traces:
            raise NotPossible(f"{rail} lists nothing of {record}.")
        return [one for one in await self._account_for(rail, record, traces, word) if one.open]

    async def learn_fee(self, record: RecordId, fee: str, who: str) -> None:
        """Let a payout learn what the statement says that it cost, which its proof did not; both sides post it then."""
        data = (await revived(self._store, record, "the rail's statement names its fee", who)).data
        name = data.evidence.reference if data.evidence else data.paid_by
        await take_in(self._store.records, self._metrics, record, f.FeeNamed(name, fee), who)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask again what went astray: one call of hundreds must not leave a whole reconciliation undone."""
        while True:
            try:
                return await call()
            except (Retryable, OutcomeUnknown) as error:
                if isinstance(error, RailClosed) or not self._repeats:
                    raise
                self._repeats -= 1

    # ── what a gateway lists ─────────────────────────────────────────────────────────────────────────────────────────

    async def _account_for(self, rail: str, payout: RecordId, found: list[Trace], word: Word) -> list[Finding]:
        try:
            record: PayoutRecord = (await self._store.records.read(payout)).record
        except NotFound:
            tomb = await self._store.archive.stub(payout)
            if tomb is None:
                return [await self._forgotten(rail, payout, found, word)]
            if _as_left(found, tomb):
                return [_done(rail, payout, f"{_amount(found)}: it was {tomb.state} when it was archived.")]
            if not await self._store.archive.bring_back(payout, word.who, f"{rail} says otherwise"):
                return [_archived_too_thin(rail, payout, found, tomb)]
            record = (await self._store.records.read(payout)).record
        attempts = tuple(self._known(trace, record) for trace in found)
        # A payout that was asked for, or approved, when the store was saved takes a move or two to where it really is.
        for _ in range(3):
            applied = await take_in(
                self._store.records, self._metrics, payout, f.Rediscovered(attempts, word.who), word.who
            )
            if applied.decision.trigger is None:
                break
        findings = await self._learn(rail, payout, word, found)
        return findings or [_done(rail, payout, f"{_amount(found)}: as the store has it.")]

    def _known(self, trace: Trace, record: PayoutRecord) -> Attempt:
        """Make an attempt of what the rail lists: to the destination of the record where the account is the same."""
        data, found = record.data, self._attempt(trace, record.id)
        known = self._store.seals.open(data.sealed, record.id)
        ours, theirs = (dict(place.fields).get("account_number", "") for place in (known, trace.to))
        if not same_account(ours, theirs, trace.amount.asset):
            return found
        return replace(found, sealed=data.sealed, place=data.place)

    def _attempt(self, trace: Trace, payout: RecordId) -> Attempt:
        failed = trace.status.reason if isinstance(trace.status, Failed) else ""
        sealed, place = self._store.seals.seal(trace.to, payout), self._store.seals.place(trace.to)
        attempt = Attempt(str(trace.key), sealed, trace.handle, sent=True, failed=failed, place=place)
        return attempt.named_too(trace.names)

    async def _learn(self, rail: str, payout: RecordId, word: Word, found: Sequence[Trace] = ()) -> list[Finding]:
        """Ask the rail about every attempt of a payout, and let the payout react as it would to a look."""
        before: PayoutRecord = (await self._store.records.read(payout)).record
        try:
            for attempt in before.data.attempts:
                ask = partial(self._looks.ask, before, attempt)
                # A rail that nobody set up any more will not answer the next time either.
                fact = await (self._patiently(ask) if before.data.rail in self._looks.rails else ask())
                await take_in(self._store.records, self._metrics, payout, fact, word.who)
        except PayflowError as error:
            return [
                _open(rail, FindingKind.LATE, payout, f"{before.state}: {error}", "Look at it with `payflow show`.")
            ]
        after: PayoutRecord = (await self._store.records.read(payout)).record
        if after.data.also_paid:
            return [_twice(rail, payout, (after.data.paid_by, *after.data.also_paid))]
        several = [name for trace in found for name in _payments(trace)]
        if len(several) > 1:
            return [_twice(rail, payout, several)]
        if after.version == before.version:
            return []
        return [_done(rail, payout, f"{before.state} → {after.state}, by what the rail proves.")]

    async def _may_have_left(self) -> list[PayoutRecord]:
        listing, found = self._store.listing, []
        for state in self._store.records.machines[MACHINE].lifecycle.states.values():
            if state.may_have_left and not state.final:
                found += [stored.record for stored in await listing.in_state(MACHINE, state.name, 1_000_000)]
        return found

    # ── what the store has forgotten altogether ──────────────────────────────────────────────────────────────────────

    async def _forgotten(self, rail: str, payout: RecordId, found: list[Trace], word: Word) -> Finding:
        if all(isinstance(trace.status, Failed) for trace in found):
            return _done(rail, payout, f"{_amount(found)}: the store has forgotten it, and nothing was paid.")
        owner = word.owners.get(payout)
        says = f"{_amount(found)} to {shown(found[-1].to)}: the store has forgotten this payout."
        if owner is None:
            likely = ", ".join(await self._likely(payout, found))
            whose = f" It may be {likely}." if likely else ""
            return _open(rail, HERE, payout, says, f"Say whose it was: --owner {payout}=NAME --reason WHY.{whose}")
        try:
            state, data = await self._recreate(rail, payout, found, owner, word)
        except ShortBalance:
            return _open(
                rail,
                HERE,
                payout,
                says,
                f"{owner} has too little for what is under way: book what he earned, then try again.",
            )
        if data.also_paid:
            return _twice(rail, payout, (data.paid_by, *data.also_paid))
        return _done(rail, payout, f"{_amount(found)}: made again for {owner}, {state}.")

    async def _recreate(
        self, rail: str, payout: RecordId, found: list[Trace], owner: Owner, word: Word
    ) -> tuple[str, PayoutData]:
        _, shard = parse_id(payout)
        if self._store.records.owner_shard(owner_of(owner)) != shard:
            raise BadInput(f"{payout} is not of {owner}, whose payouts have other numbers: say whose it was.")
        attempts = [(trace, self._attempt(trace, payout)) for trace in found]
        state, new = recreated(payout, owner, rail, attempts, shown(found[-1].to))
        why = f"the store had forgotten it, {rail} has it: {word.reason}"
        await self._store.records.recreate(new, state, word.who, why)
        return state, new.data

    async def _likely(self, payout: RecordId, found: list[Trace]) -> list[str]:
        """Name owners of the payout's shard who were paid at this account before, or have it in their profile."""
        _, shard = parse_id(payout)
        asset = found[-1].amount.asset
        accounts = {normal_account(dict(trace.to.fields).get("account_number", ""), asset) for trace in found}
        likely = set()
        for shape in (keys.provider(shard, "*"), keys.owned(shard, "*")):
            async for key in self._store.link.keys(shape):
                owner = Owner(key.removeprefix(shape[:-1]))
                if accounts & {normal_account(number, asset) for number in await self._accounts_of(owner)}:
                    likely.add(owner)
        return sorted(likely)

    async def _accounts_of(self, owner: Owner) -> list[str]:
        profile = await self._store.profiles.read(owner)
        places = [profile.destination] if profile.destination else []
        payouts = [one.record for one in await self._store.listing.owned_by(owner, LATEST)]
        places += [self._store.seals.open(one.data.sealed, one.id) for one in payouts if one.machine == MACHINE]
        return [dict(place.fields).get("account_number", "") for place in places]


def _open(rail: str, kind: FindingKind, payout: RecordId, says: str, advice: str) -> Finding:
    return Finding(rail, kind, payout, says, record=payout, advised=advice)


def _done(rail: str, payout: RecordId, says: str) -> Finding:
    """Name what was put right, or was as it should be."""
    return Finding(rail, HERE, payout, says, record=payout, settled=True)


def _by_payout(traces: Sequence[Trace]) -> dict[RecordId, list[Trace]]:
    found: dict[RecordId, list[Trace]] = defaultdict(list)
    for trace in sorted(traces, key=lambda trace: number_of(trace.key)):
        found[record_of(trace.key)].append(trace)
    return found


def _amount(found: list[Trace]) -> str:
    paid = [trace for trace in found if isinstance(trace.status, Settled)] or found
    amount: Money = paid[-1].amount
    return f"{amount} under {paid[-1].key}"


def _as_left(found: list[Trace], tomb: ArchivedStub) -> bool:
    """Whether the gateway lists an archived payout as it was left."""
    paid = [name for trace in found for name in _payments(trace)]
    return len(paid) == (tomb.state in (s.COMPLETED, s.CONTRADICTED))


def _payments(trace: Trace) -> list[str]:
    """Name what was paid of an attempt, with the gateway's own ids."""
    status = trace.status
    proofs = (status.evidence, *status.also) if isinstance(status, Settled) else ()
    return [f"{proof.reference} ({dict(proof.details).get('id', '')})" for proof in proofs]


def _twice(rail: str, payout: RecordId, names: Sequence[str]) -> Finding:
    first, *others = names
    says = f"paid by {first} and by {', '.join(others)}"
    return _open(rail, FindingKind.TWICE, payout, says, "Get the money back, then say so with --dismiss.")


def _archived_too_thin(rail: str, payout: RecordId, found: list[Trace], tomb: ArchivedStub) -> Finding:
    says = f"{_amount(found)}: it was {tomb.state} when an older version archived it, and cannot be brought back."
    advice = f"Settle it with its owner, {tomb.owner}, then say so: --dismiss {payout} --reason WHY."
    return _open(rail, HERE, payout, says, advice)
