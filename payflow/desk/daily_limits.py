"""The limits of a day, proven: what platforms credited is in signed postings, what payouts took in signed records.

A figure that says less than they do is put right, and counts again at once. Where more was used than may be, what it
was used for stops.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import structlog

from machines.core.clock import DAY, MINUTE, Millis
from machines.core.errors import PayflowError
from machines.core.ids import Owner
from machines.core.record import Sending
from machines.payout.data import PayoutRecord
from machines.payout.lifecycle import APPROVED, CANCELLED, LIFECYCLE, REJECTED, REQUESTED
from payflow.desk.caps import ALL, cap_name, caps_of
from payflow.desk.payouts import MACHINE
from payflow.store.ledger import PostedSums
from payflow.store.link import PAGE
from payflow.store.pauses import BOOKS
from payflow.store.registers.reservations import Miscount
from payflow.store.store import Store

MOST_STOPPED = 100
_LEFT_FROM = [state for state in LIFECYCLE.states if state not in (REQUESTED, REJECTED, CANCELLED)]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WrongFigure:
    """A limit of today that says something else than what was signed."""

    found: Miscount
    most: int | None
    """The limit; None where there is none."""
    stops: tuple[str, ...]
    """What is paused where more was used than may be."""

    @property
    def is_passed(self) -> bool:
        return self.most is not None and self.found.used > self.most


async def wrong_figures(store: Store, posted: PostedSums, *, put_right: bool) -> AsyncIterator[WrongFigure]:
    """Compare the figures of today's limits with the postings that were walked over, and with the records."""
    now = await store.records.now()
    earned: dict[str, dict[str, Counter[Owner]]] = {}
    for (platform, asset), owners in posted.earned_on(now // DAY).items():
        earned.setdefault(platform, {})[asset] = owners
    for platform in sorted({*earned, *await store.platforms.with_grants()}):
        known = earned.get(platform, {})
        least = {asset: sum(owners.values()) for asset, owners in known.items()}
        daily = await _daily(store, platform)
        for found in await store.platforms.recount(platform, least, now, put_right=put_right):
            stops = tuple(f"owner:{owner}" for owner in sorted(known.get(found.limit, Counter())))
            yield WrongFigure(found, daily.get(found.limit), stops[:MOST_STOPPED])
    caps = {cap_name(*place): most.units for place, most in caps_of(store.settings, store.records.assets).items()}
    left = await _left_today(store, caps, now) if caps and MACHINE in store.records.machines else {}
    for found in await store.caps.recount(left, now, put_right=put_right):
        of = found.limit.partition(" ")[0]
        scope = f"machine:{MACHINE}" if of == ALL else f"rail:{of}"
        yield WrongFigure(found, caps.get(found.limit), (scope,))


async def count_anew(store: Store, posted: PostedSums) -> None:
    """Put right each figure that says something else, and stop what passed its limit by that."""
    async for one in wrong_figures(store, posted, put_right=True):
        log.error("What is used of a limit was not what it said.", action="miscounted", place=one.found.place)
        for scope in one.stops if one.is_passed else ():
            why = f"{one.found.place}: more was used than the {one.most} units that may be, for {one.found.text}"
            await store.pauses.pause(scope, BOOKS, why, await store.records.now())


async def _daily(store: Store, platform: str) -> Mapping[str, int]:
    """Read what a platform may credit; a grant that nobody of us wrote says nothing, and is found where rows are."""
    try:
        return (await store.platforms.granted(platform)).daily
    except PayflowError:
        return {}


async def _left_today(store: Store, caps: Mapping[str, int], now: Millis) -> dict[str, int]:
    """Sum up by cap what has left today for sure, or may have; but for what was opened in the first minute."""
    midnight = Millis(now - now % DAY)
    ids = [record_id for state in _LEFT_FROM for record_id in await store.listing.moved_since(MACHINE, state, midnight)]
    left = dict.fromkeys(caps, 0)
    unique = list(dict.fromkeys(ids))
    for begin in range(0, len(unique), PAGE):
        for stored in await store.records.readable(unique[begin : begin + PAGE]):
            record: PayoutRecord = stored.record
            if record.amount is None or not _has_left(record, midnight):
                continue
            for of in (ALL, record.data.rail):
                name = cap_name(of, record.amount.asset.code)
                if name in left:
                    left[name] += record.amount.units
    return left


def _has_left(record: PayoutRecord, midnight: Millis) -> bool:
    """Tell whether an attempt that was opened today has left, as far as anybody knows; what may still go has not."""
    if record.state in (APPROVED, REJECTED, CANCELLED):
        return False
    opened = [one for one in record.data.attempts if one.opened_at >= midnight + MINUTE]
    return any(one.sent or record.data.is_paid(one.reference) for one in opened) or (
        bool(opened) and record.sending is not Sending.NO
    )
