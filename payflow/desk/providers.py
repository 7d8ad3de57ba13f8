"""What is done with profiles of providers, how far a caller reaches, and what the risk rules are told of a provider.

A provider sees what is theirs, a platform the providers that it brought, staff all. Two platforms that both say `ann`
mean two: `platforms.meant` says which.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from machines.core.clock import DAY, HOUR, Millis
from machines.core.decision import Message
from machines.core.errors import BadInput, Conflict, NotAllowed, NotFound
from machines.core.ids import Owner, called, in_room, parse_id, room_of
from machines.core.money import Money
from machines.core.ports import Destination
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import COMPLETED, REQUESTED, REVERSED
from machines.payout.risk import ProviderHistory, Thresholds, Velocity
from payflow.desk import platforms
from payflow.desk.payouts import Desk
from payflow.desk.person import Caller
from payflow.desk.platforms import counts_as_verified, reserve_earning
from payflow.store.registers.profiles import Profile, Profiles
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.store.track_record import PastRequest

MOST_TRIES = 5


class ForeignOwner(NotAllowed):
    """The owner is another one's."""


class OwnerMissing(BadInput):
    """It was not said whose it is."""


class AccessScope:
    """Says what a caller may see. What lies beyond does not exist for them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._profiles = desk.profiles

    async def payout(self, caller: Caller, payout_id: str) -> PayoutRecord:
        """Read a payout that the caller may see."""
        missing = NotFound(f"There is no payout {payout_id[:60]}.")
        try:
            parse_id(payout_id)
        except BadInput:
            raise missing from None
        record = await self._desk.payout(payout_id, caller.owner)
        if not await self.sees(caller, record.owner):
            raise missing
        return record

    async def sees(self, caller: Caller, owner: Owner) -> bool:
        """Whether what is of an owner exists for a caller."""
        if caller.role is Role.PLATFORM:
            return (await self._profiles.read(owner)).platform == caller.of
        return caller.owner in (None, owner)

    async def owner(self, caller: Caller, asked: str | None) -> Owner:
        """Tell whose money a request is about."""
        if caller.owner is not None:
            if asked not in (None, caller.owner, called(caller.owner)):
                raise ForeignOwner("This token is bound to another provider.")
            return caller.owner
        if asked is None:
            raise OwnerMissing("owner: say whose.")
        if caller.role is not Role.PLATFORM:
            return await platforms.find_owner(self._desk.store, asked)
        profile = await platforms.meant(self._desk.store, asked, caller.of)
        if profile.platform != caller.of:
            raise NotFound(f"{caller.of} brought no provider {asked}.")
        return profile.owner


class ProviderProfiles:
    """What providers and their platforms change; whoever was told things so far is warned of a new profile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def change_own(self, owner: Owner, version: int | None, changes: Mapping[str, Any]) -> Profile:
        """Change a provider's own profile."""

        def changed(before: Profile) -> Profile:
            spoken_for = before.platform if before.version else room_of(owner)
            return replace(_unchanged(before, version), platform=spoken_for, **changes)

        return await change(self._store, owner, changed)

    async def bring(
        self, asked: str, platform: str, version: int | None, changes: Mapping[str, Any], *, verified: bool | None
    ) -> Profile:
        """Bring a provider, or change one: of the platform's own, or one of whom nobody has heard."""

        def changed(before: Profile) -> Profile:
            if before.version and before.platform != platform:
                raise ForeignOwner(f"{platform} does not speak for {called(before.owner)}.")
            sure = before.verified if verified is None else verified
            checked = before.checked_by_us and sure
            return replace(
                _unchanged(before, version), platform=platform, verified=sure, checked_by_us=checked, **changes
            )

        return await change(self._store, (await platforms.meant(self._store, asked, platform)).owner, changed)

    async def credit(self, caller: Caller, earning_id: str, owner: Owner, amount: Money) -> bool:
        """Book an earning; False when it was booked before. A new one takes of what the platform may credit today."""
        platform = caller.of
        if not await self._store.earnings.knows(platform, earning_id):
            caller.person.refuse_above(amount)
            await reserve_earning(self._store, platform, earning_id, amount)
        return await self._store.earnings.credit(platform, earning_id, owner, amount)

    async def claw_back(
        self, platform: str, earning_id: str, amount: Money | None, reference: str
    ) -> tuple[Owner, Money]:
        """Take an earning back, whole or in part; what is gone already is owed."""
        return await self._store.earnings.claw_back(platform, earning_id, amount, reference)


async def claim(store: Store, asked: str, platform: str) -> Owner:
    """Remember which platform brought a provider of whom nobody has heard."""
    owner = (await platforms.meant(store, asked, platform)).owner

    # For whom nobody speaks stays their own, whoever credits them.
    await change(store, owner, lambda before: before if before.version else replace(before, platform=platform))
    return owner


async def set_provider(
    store: Store, owner: Owner, by: str, *, verified: bool | None, platform: str | None, version: int | None = None
) -> Profile:
    """Say as somebody who works here that a provider is verified, or which platform speaks for them; '' for none."""
    if platform:
        store.profiles.refuse_reserved(owner)
        await platforms.refuse_unknown(store, platform)
        if not room_of(owner) and (await store.profiles.read(in_room(platform, owner))).version:
            raise BadInput(f"{platform} calls somebody else {owner} already: {in_room(platform, owner)}.")

    def changed(before: Profile) -> Profile:
        sure = before.verified if verified is None else verified
        checked = before.checked_by_us if verified is None else verified
        spoken_for = before.platform if platform is None else platform
        return replace(_unchanged(before, version), verified=sure, checked_by_us=checked, platform=spoken_for)

    return await change(store, owner, changed, by)


async def change(store: Store, owner: Owner, changed: Callable[[Profile], Profile], operator: str = "") -> Profile:
    """Change a profile; what an operator does to one is in the audit log, what others do to their own is not."""
    for _ in range(MOST_TRIES):
        before = await store.profiles.read(owner)
        after = changed(before)
        if after == before:
            return before
        now = await store.records.now()
        noted = store.audit.doing(operator, "set provider", owner, _says(before, after)) if operator else nullcontext()
        try:
            async with noted:
                if after.destination != before.destination:
                    await store.contributors.take_over(owner, now)
                return await store.profiles.write(before, after, now, _warnings(store.profiles, before, after))
        except Conflict:
            continue
    raise Conflict(f"The profile of {owner} is being changed by others: try again.")


def _says(before: Profile, after: Profile) -> str:
    """Say what is set, and what it was."""
    said = []
    if after.verified != before.verified:
        said.append("verified" if after.verified else "not verified any more")
    if after.platform != before.platform:
        said.append(f"spoken for by {after.platform or 'nobody'}, before by {before.platform or 'nobody'}")
    return "; ".join(said)


def _unchanged(before: Profile, version: int | None) -> Profile:
    if version is not None and version != before.version:
        raise Conflict(f"The profile changed since version {version}: look at it again.")
    return before


def _warnings(profiles: Profiles, before: Profile, after: Profile) -> tuple[Message, ...]:
    """Tell the old contact, not the new one, and the platform: if it was a thief, the owner must hear of it."""
    changed = [
        words
        for words, is_so in (
            ("where your money goes", before.destination and before.destination != after.destination),
            ("where you are told things", before.notify and before.notify != after.notify),
            ("which platform speaks for you", before.platform != after.platform),
        )
        if is_so
    ]
    if not changed:
        return ()
    body = {"event": "profile_changed", "owner": before.owner, "changed": " and ".join(changed)}
    to = profiles.sealed_contacts(before.owner, before.notify)
    to_provider = [Message("notify", {**body, "to": to})] if to else []
    to_platform = [Message("webhook", {**body, "platform": before.platform})] if before.platform else []
    return (*to_provider, *to_platform)


# ── for the risk rules ────────────────────────────────────────────────────────────────────────────────────────────────


LATEST = 100


class ProviderHistories:
    """Reads the store; the newest payouts stand for all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def history(self, record: PayoutRecord, limits: Thresholds) -> ProviderHistory:
        """Say what is known of a payout's owner, without the payout itself."""
        profile, track = await self._store.profiles.read(record.owner), self._store.track
        asked_at = await track.asked_at(record.id)
        at = asked_at or record.created_at
        failed_since, a_day_ago = Millis(at - limits.failures_within_ms), Millis(at - DAY)
        # Of as many as may be asked for in a day, and one: more would be found to be too many anyway.
        found = await track.of(
            record.owner,
            record.machine,
            max(LATEST, limits.most_a_day + 1),
            lambda one: failed_since if has_failed(one) else a_day_ago,
            record.id,
        )
        past = [one for one in found.requests if one.record.id != record.id]
        paid = [one for one in past if one.record.state == COMPLETED]
        velocity = _velocity(record, at, past, more=found.more)
        return ProviderHistory(
            verified=profile.verified and await self._verified_for(record, profile, velocity),
            successes=len(paid),
            recent_failures=sum(1 for one in past if has_failed(one.record) and one.asked_at >= failed_since),
            details_changed_at=self._details_changed_at(
                record, profile, at, [one.record for one in paid if not one.archived]
            ),
            average_units=_average(record, [one.record for one in paid]),
            velocity=velocity,
            doubt=found.doubt or ("" if asked_at else "its own history is not whole"),
            look_alike=self._look_alike(record, profile, [one.record for one in paid if not one.archived]),
        )

    async def _verified_for(self, record: PayoutRecord, profile: Profile, velocity: Velocity) -> bool:
        """Tell whether being verified counts for this payout: the word of a platform does up to what it was granted."""
        if profile.checked_by_us or not profile.platform or record.amount is None:
            return True
        return await counts_as_verified(self._store, profile.platform, record.amount, velocity.day_units)

    def _details_changed_at(
        self, record: PayoutRecord, profile: Profile, at: Millis, paid: Iterable[PayoutRecord]
    ) -> Millis | None:
        """Say since when the money goes where this payout goes.

        A destination that was never paid before is a change of this moment, whether it was named in the request or
        has just been written into a profile that had none: a thief with a token would do either.
        """
        where = self._place(record)
        if any(self._place(one) == where for one in paid):
            return profile.details_changed_at
        usual = profile.destination is not None and _place(profile.destination) == where
        return profile.details_changed_at if usual and profile.details_changed_at is not None else at

    def _look_alike(self, record: PayoutRecord, profile: Profile, paid: Iterable[PayoutRecord]) -> str:
        """Find an address of theirs that this one is easily taken for, and is not."""
        address = _address(self._store.seals.open(record.data.sealed, record.id))
        if not address:
            return ""
        before = {_address(self._store.seals.open(one.data.sealed, one.id)) for one in paid}
        before |= {_address(profile.destination)} if profile.destination else set()
        return "" if address in before else next((one for one in sorted(before) if alike(one, address)), "")

    def _place(self, record: PayoutRecord) -> tuple[str, ...]:
        return _place(self._store.seals.open(record.data.sealed, record.id))


LOOKED_AT = 4
"""Digits at either end of an address that people compare."""


def alike(one: str, other: str) -> bool:
    """Whether two addresses are easily taken for each other: they begin and end alike, and are not the same."""
    first, second = one.casefold().removeprefix("0x"), other.casefold().removeprefix("0x")
    ends = (first[:LOOKED_AT], first[-LOOKED_AT:]) == (second[:LOOKED_AT], second[-LOOKED_AT:])
    return bool(first) and ends and first != second


def _address(destination: Destination) -> str:
    return dict(destination.fields).get("address", "").casefold()


async def usual_name(store: Store, owner: Owner) -> str:
    """Give the name that a provider is usually paid under; empty where none is known."""
    destination = (await store.profiles.read(owner)).destination
    return dict(destination.fields).get("account_name", "") if destination else ""


def _place(destination: Destination) -> tuple[str, ...]:
    """Tell an account from others; how its holder's name was spelt does not."""
    named = (f"{name}={value}" for name, value in destination.fields if name != "account_name")
    return (destination.kind, *sorted(named))


def has_failed(record: PayoutRecord) -> bool:
    """Tell whether a payout failed, however it ended, or came back."""
    return record.state == REVERSED or bool(record.data.failures)


def _velocity(record: PayoutRecord, at: Millis, past: Sequence[PastRequest], *, more: bool) -> Velocity:
    """Sum up what was asked for before this payout.

    What was asked for after it and is already decided counts as well: else two that come in at once, of which the
    later one is looked at first, would not see each other. Where so much is asked for that not all of it was read,
    everything counts.
    """
    asset = record.amount.asset if record.amount else None
    all_of_it = more and all(abs(at - one.asked_at) < DAY for one in past if not one.archived)
    before = [
        one
        for one in past
        if all_of_it or one.record.state != REQUESTED or (one.asked_at, one.record.id) < (at, record.id)
    ]

    def asked_within(span: int) -> tuple[int, int]:
        amounts = [one.record.amount for one in before if abs(at - one.asked_at) < span]
        return len(amounts), sum(amount.units for amount in amounts if amount and amount.asset == asset)

    return Velocity(*asked_within(HOUR), *asked_within(DAY))


def _average(record: PayoutRecord, paid: Iterable[PayoutRecord]) -> int:
    """Give the average of what was paid in the currency of a payout."""
    asset = record.amount.asset if record.amount else None
    units = [one.amount.units for one in paid if one.amount and one.amount.asset == asset]
    return sum(units) // len(units) if units else 0
