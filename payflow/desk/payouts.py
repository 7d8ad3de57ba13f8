"""What people and platforms may do with payouts: one function each, for API, pages and command line alike."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from machines.core.clock import SECOND, Millis
from machines.core.decision import New, RequestLimits
from machines.core.errors import (
    BadInput,
    Conflict,
    NotFound,
    Paused,
    Retryable,
    ShortBalance,
    StepError,
    TooManyOpen,
    TooManyToday,
)
from machines.core.facts import Fact, Proof, Read, Reading
from machines.core.ids import Owner, RecordId, called, derived_id, fresh_id, parse_id
from machines.core.methods import PayMethod
from machines.core.money import Asset, Money
from machines.core.ports import Destination
from machines.payout import facts as f
from machines.payout.data import PayoutData, PayoutRecord, who_asked
from machines.payout.lifecycle import FAILED, REQUESTED
from machines.payout.permit import by_person
from payflow.config import Settings
from payflow.desk.batches import Schedule
from payflow.desk.gateways import Gateway, print_of
from payflow.desk.methods import MethodTable, PayRoute
from payflow.desk.person import Person, because, refuse_who_spoke
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.records import FactSource, tell
from payflow.desk.requests import Bounds, with_account
from payflow.engine.step import Applied
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

MACHINE = "payout"
WHY = "Say why: the provider will read it."

SHOWN_DIGITS = 4
ENQUIRY_S = 3.0
OPEN_AGAIN_S = 60
"""After how long one who has too many open payouts may ask again: nobody knows when one of them is over."""
# What was asked for a moment ago and is still with the rules stands in the same line as what waits for people.
MOST_LOOKED_THROUGH = 1000


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a payout, as a provider makes it."""

    owner: Owner
    amount: Money | Asset
    """How much; an asset alone for all of it that is available."""
    method: str
    destination: Destination | None
    """None takes the one of the profile."""
    note: str = ""
    key: str = ""
    """The idempotency key; without one every request is a new payout."""
    by: str = ""
    asker: Person | None = None
    """Whose token asks, which may ask for less than its role."""

    @property
    def asset(self) -> Asset:
        """What is asked for."""
        return self.amount.asset if isinstance(self.amount, Money) else self.amount


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: the payout as it was made, and whether this request made it."""

    record: PayoutRecord
    fresh: bool
    expected_at: Millis | None
    """When its batch opens, if no review holds it up; None when a person opens batches."""


class Desk:
    """The desk where payouts are asked for, approved and steered."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        metrics: Metrics,
        gateways: Mapping[str, Gateway],
        schedule: Schedule,
        receipts: Receipts | None = None,
    ) -> None:
        self.store = store
        self.schedule = schedule
        self.receipts = receipts or Receipts(store)
        self.profiles = store.profiles
        self._records = store.records
        self.metrics = metrics
        self._gateways = gateways
        self._settings = settings
        self._limits = RequestLimits(settings.payout_most_open, settings.payout_most_daily)
        self.bounds = Bounds(settings, store.records.assets)
        self.methods = MethodTable(gateways, settings, store.records.assets, store.seals)

    # ── asked for ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def request(self, ask: Ask) -> Answer:
        """Make a payout, or give the first answer to the same request; the balance is checked as it is held."""
        if ask.asker is not None:
            ask.asker.refuse_without_key(ask.key)
        shard = self._records.owner_shard(ask.owner)
        payout_id = derived_id(MACHINE, shard, ask.owner, ask.key) if ask.key else fresh_id(MACHINE, shard)
        fingerprint = self._fingerprint(ask)
        known = await self._known(payout_id) if ask.key else None
        if known is not None:
            data, amount = known.data, known.amount
        else:
            asked = ask.amount if isinstance(ask.amount, Money) else await self._available(ask.owner, ask.amount)
            amount = self.bounds.check(asked, (await self._route(ask)).row)
            if ask.asker is not None:
                ask.asker.refuse_above(amount)
            data = await self._data(ask, amount, payout_id)
        new = New(payout_id, MACHINE, ask.owner, amount, data, fingerprint=fingerprint, limits=self._limits)
        try:
            made = await self._records.create(new, ask.by or ask.owner)
        except ShortBalance:
            available = await self._available(ask.owner, ask.asset)
            raise ShortBalance(f"{amount or Money(0, ask.asset)} was asked for, {available} is available.") from None
        except TooManyOpen:
            raise TooManyOpen(
                f"{called(ask.owner)} has {self._limits.most_open} open payouts, and no more at a time: take one back, "
                "or ask again when one of them was paid or refused.",
                after_s=OPEN_AGAIN_S,
            ) from None
        except TooManyToday:
            most = self._limits.most_daily
            after_s = 1 + await self._records.room_after_ms(ask.owner, most) // SECOND
            raise TooManyToday(
                f"{called(ask.owner)} asked for {most} payouts in 24 hours, which is the most: ask again in {after_s} "
                "seconds.",
                after_s=after_s,
            ) from None
        return Answer(made.record, made.fresh, self.schedule.next_opening(made.record.created_at))

    async def _known(self, payout_id: RecordId) -> PayoutRecord | None:
        try:
            return (await self._records.read(payout_id)).record
        except NotFound:
            return await self.store.archive.first_answer(payout_id)

    def _fingerprint(self, ask: Ask) -> str:
        destination = ask.destination and (ask.destination.kind, *ask.destination.fields)
        amount = ask.amount.decimal if isinstance(ask.amount, Money) else None
        body = [amount, ask.asset.code, ask.method, destination, ask.note]
        return self.store.seals.fingerprint("request", json.dumps(body))

    async def _available(self, owner: Owner, asset: Asset) -> Money:
        account = (await self.store.ledger.account(owner)).get(asset.code)
        return Money(account.available if account else 0, asset)

    async def _data(self, ask: Ask, amount: Money, payout_id: RecordId) -> PayoutData:
        route = await self._route(ask)
        destination = ask.destination or await self._usual(ask)
        self._check(route, destination)
        return PayoutData(
            rail=route.rail,
            method=ask.method,
            sealed=self.store.seals.seal(destination, payout_id),
            shown=shown(destination),
            send_units=amount.units,
            note=ask.note,
            requested_by=ask.by or ask.owner,
            installation=self.store.installation,
            fingerprint=print_of(self.store.seals, amount, destination),
            place=self.store.seals.place(destination),
        )

    async def _route(self, ask: Ask) -> PayRoute:
        """Find how it is paid; which platform somebody belongs to is read where that makes a difference."""
        platform = (await self.profiles.read(ask.owner)).platform if self.methods.by_platform else ""
        return self.methods.route(ask.asset.code, ask.method, platform)

    def _check(self, route: PayRoute, destination: Destination) -> None:
        """Refuse a destination that the row of the table cannot pay."""
        if destination.kind != route.row.destination_kind:
            raise BadInput(f"The destination is of kind {destination.kind}, the method is {route.row.method}.")
        route.row.check(destination)
        self._gateways[route.rail].check(destination)

    def checked(self, amount: Money, method: str, parts: Mapping[str, str]) -> tuple[PayRoute, Destination]:
        """Check a row of a file as a single request is checked; nobody outside is asked."""
        route = self.methods.route(amount.asset.code, method)
        self.bounds.check(amount, route.row)
        destination = Destination(route.row.destination_kind, tuple(parts.items()))
        self._check(route, destination)
        return route, destination

    async def _usual(self, ask: Ask) -> Destination:
        profile = await self.profiles.read(ask.owner)
        if profile.destination is None or profile.destination.kind != ask.method:
            raise BadInput(f"Name a destination: the profile of {called(ask.owner)} has none for {ask.method}.")
        return profile.destination

    # ── seen ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def payout(self, payout_id: str, owner: Owner | None = None) -> PayoutRecord:
        """Read a payout; for a provider only their own, and another's does not exist."""
        machine, _ = parse_id(payout_id)
        if machine != MACHINE:
            raise NotFound(f"There is no payout {payout_id}.")
        record: PayoutRecord = (await self._records.read(RecordId(payout_id))).record
        if owner is not None and record.owner != owner:
            raise NotFound(f"There is no payout {payout_id}.")
        return record

    async def waiting(self, limit: int) -> tuple[list[PayoutRecord], bool]:
        """List what waits for people, the oldest first, and say whether more does than these."""
        found: list[PayoutRecord] = []
        for state in (REQUESTED, FAILED):
            there = await self.store.listing.in_state(MACHINE, state, MOST_LOOKED_THROUGH)
            found += [stored.record for stored in there if self._waits(stored.record)]
        found.sort(key=lambda record: record.since)
        return found[:limit], len(found) > limit

    def _waits(self, record: PayoutRecord) -> bool:
        """Whether it waits for a person, and not for the rules or for a retry by itself."""
        data = record.data
        if record.state == REQUESTED:
            return data.assessed
        return data.correction is not None or data.failures > len(self._settings.retry_after_s)

    # ── decided ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, payout_id: str, by: Person, fingerprint: str) -> Applied:
        """Say yes to what was seen, as another person than whoever asked for it or said yes already."""
        return await self._decide("approve", payout_id, self.approving(by, fingerprint), by.name)

    def approving(self, by: Person, fingerprint: str) -> FactSource:
        """Give what makes somebody's yes of a payout as it is then."""

        async def unless_spoken(record: PayoutRecord) -> Fact:
            by.refuse_above(record.amount)
            data = record.data
            await refuse_who_spoke(self.store, by, who_asked(record), data.approved_by, record.id)
            if fingerprint != data.proposal.fingerprint:
                return f.Approved(by.name, fingerprint)  # which is refused: nobody puts a seal on what they did not see
            if data.waits_for_rules or (self.store.permit_keys.asks and not data.rules):
                await self._records.poke(record.id)
                raise BadInput(f"{record.id} is still being assessed: try again in a moment.")
            at = await self._records.now()
            return f.Approved(by.name, fingerprint, at, yes_of(self.store, record, by.name, at))

        return unless_spoken

    async def reject(self, payout_id: str, by: str, reason: str) -> Applied:
        """Say no."""
        why = because(reason, WHY)
        return await self._decide("reject", payout_id, self._with_proof(partial(f.Declined, by, why)), by, why)

    async def cancel(self, payout_id: str, by: str, reason: str, owner: Owner | None = None) -> Applied:
        """Take a payout back before it is paid."""
        await self.payout(payout_id, owner)
        fact = self.cancelling(by, reason)
        if owner is not None:
            return await self._tell(payout_id, fact, by)  # their own affair: the payout's history says it
        return await self._decide("cancel", payout_id, fact, by, reason)

    def cancelling(self, by: str, reason: str) -> FactSource:
        """Give what makes a cancellation of a payout as it is then, with what its rail proves."""
        return self._with_proof(partial(f.Cancelled, by, reason))

    async def retry(self, payout_id: str, by: str) -> Applied:
        """Try a failed payout once more."""
        return await self._decide("retry", payout_id, f.Retried(by), by)

    async def release(self, payout_id: str, by: Person, reason: str) -> Applied:
        """Give back the money of a failed payout, as soon as the rail proves that none of its attempts was paid."""
        why = because(reason, WHY)
        return await self._decide("release", payout_id, self.releasing(by, why), by.name, why)

    def releasing(self, by: Person, why: str) -> FactSource:
        """Give what makes a release of a payout as it is then, with what its rail proves."""

        async def unless_above(record: PayoutRecord) -> Fact:
            by.refuse_above(record.amount)
            found = await self._proven(record)
            return f.Released(by.name, why, found.proof is Proof.NOT_PAID, found.read)

        return unless_above

    async def correct(self, payout_id: str, by: str, destination: Destination, owner: Owner | None = None) -> Applied:
        """Name another destination for a failed payout; it goes through review."""
        record = await self.payout(payout_id, owner)
        # The rail stays the one that its earlier attempts went to, whichever one is the settings' now.
        gateway = self._gateways.get(record.data.rail)
        if gateway is None:
            raise BadInput(f"The rail {record.data.rail} is not set up: nothing can be sent through it.")
        if record.amount is None:
            raise BadInput(f"{payout_id} has no amount.")
        row = gateway.row(record.amount.asset.code, record.data.method)
        if row is None:
            raise BadInput(
                f"{record.amount.asset.code} cannot be paid by {record.data.method} through {record.data.rail}."
            )
        row.check(destination)
        gateway.check(destination)
        holder = await _holder(gateway, row, destination)
        arrives = Money(record.data.send_units, record.amount.asset)
        seals = self.store.seals
        fingerprint = print_of(seals, record.amount, destination, arrives, holder)
        place = seals.place(destination)
        fact = f.Corrected(by, seals.seal(destination, record.id), shown(destination), fingerprint, holder, place)
        return await self._tell(payout_id, fact, by)

    async def correct_account(self, payout_id: str, by: str, account: str, bank: str, name: str) -> Applied:
        """Name another account for a failed payout; what is left empty stays, a branch only as long as its bank."""
        before = self.store.seals.open((await self.payout(payout_id)).data.sealed, payout_id)
        return await self.correct(payout_id, by, with_account(before, account, bank, name))

    # ── sent ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _with_proof(self, fact: Callable[[Proof, Read], Fact]) -> FactSource:
        """Make a fact of what the rail says right before the payout learns it."""

        async def learned(record: PayoutRecord) -> Fact:
            found = await self._proven(record)
            return fact(found.proof, found.read)

        return learned

    async def _proven(self, record: PayoutRecord) -> Reading:
        """Ask the rail what became of a payout's attempts; where it cannot be asked now, it has proven nothing.

        Of attempts that the store may have forgotten it cannot be asked either.
        """
        prove = self._records.machines[MACHINE].prove
        if not record.data.attempts or prove is None:
            return Reading()
        try:
            await self.store.refuse_closed(self._records.shard_of(record.id))
            return await prove(record)
        except (StepError, Paused) as error:
            return Reading(read=((record.data.rail, f"could not be asked: {error}"),))

    async def _decide(self, act: str, payout_id: str, fact: FactSource, by: str, why: str = "") -> Applied:
        """Take in what somebody decides about what is not their own: it goes into the audit log as well."""
        await self.payout(payout_id)
        async with self.store.audit.doing(by, act, payout_id, why):
            return await self._tell(payout_id, fact, by)

    async def _tell(self, payout_id: str, fact: FactSource, by: str) -> Applied:
        return await tell(self.store, self.metrics, RecordId(payout_id), fact, by)


def yes_of(store: Store, record: PayoutRecord, by: str, at: Millis) -> str:
    """Seal somebody's yes to what a payout proposes now; what is sealed in it must be what they were shown."""
    proposal = record.data.proposal
    destination = store.seals.open(proposal.sealed, record.id)
    place = store.seals.place(destination)
    if proposal.place not in ("", place) or proposal.shown not in (shown(destination), masked(destination)):
        raise Conflict(
            f"What is sealed in {record.id} is another destination than {proposal.shown}, which is shown: somebody "
            "changed it beside Payflow. Nothing was approved."
        )
    return by_person(store.permit_keys, record, place, by, at)


async def _holder(gateway: Gateway, row: PayMethod, destination: Destination) -> str:
    """Ask whose account it is, for a moment: a gateway that does not answer stops nobody, and reviewers see that."""
    if not row.resolves:
        return ""
    try:
        async with asyncio.timeout(ENQUIRY_S):
            return await gateway.resolve(destination, row.currency)
    except (TimeoutError, Retryable):
        return ""


def shown(destination: Destination) -> str:
    """Give a destination as people may see it: the last digits only; of a chain all, where everybody reads it anyhow.

    Of an address a few digits are no help: whoever wants to be mistaken for somebody makes one that has the same.
    """
    return dict(destination.fields).get("address") or masked(destination)


def masked(destination: Destination) -> str:
    """Give the last digits only, as older versions showed addresses as well."""
    fields: dict[str, Any] = dict(destination.fields)
    number = str(fields.get("account_number") or fields.get("address") or "")
    masked = "•" * max(0, min(SHOWN_DIGITS, len(number) - SHOWN_DIGITS)) + number[-SHOWN_DIGITS:]
    return " ".join(part for part in (fields.get("bank_code", ""), masked) if part)
