"""Review: what waits for people, why, and what is known of who asks, so that yes or no can be given on one page."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from machines.core.errors import PayflowError, StoreError
from machines.core.ids import Owner, RecordId
from machines.payout.data import Approval, PayoutRecord
from machines.payout.lifecycle import COMPLETED
from payflow.desk.actions import Actions, Offer
from payflow.desk.payouts import MACHINE, Desk
from payflow.desk.person import Caller
from payflow.desk.providers import has_failed
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.http.auth import Visit, see
from payflow.web.pages.admin.frame import Frame

SHOWN = 25
EARLIER = 5
SEEN = 30
"""So many of their newest payouts are read, and as many archived ones."""
OLD_PLACE = "/review"


@dataclass(frozen=True, slots=True)
class ReviewCase:
    """One payout before the reviewers."""

    record: PayoutRecord
    approvals: tuple[Approval, ...]
    """Those that are about what is proposed now."""
    profile: Profile
    """What is known of the provider, beside their request."""
    paid: str
    failed: int
    latest: list[tuple[PayoutRecord, str]]
    """Their newest payouts, each with the public word for where it is."""
    approve: Offer | str
    """What a yes would do, or why this reviewer cannot give it."""
    reject: Offer | str

    @property
    def missing(self) -> int:
        """How many must still say yes."""
        return self.record.data.people_needed - len(self.approvals)


class ReviewPage:
    """The line of what waits."""

    def __init__(self, frame: Frame, desk: Desk, actions: Actions) -> None:
        self._frame = frame
        self._actions = actions
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """List the places; the page stood elsewhere before, and bookmarks and mails lead there."""
        return [
            self._frame.shows("/review", self.show),
            web.get(OLD_PLACE, self._moved),
        ]

    async def _moved(self, _: web.Request) -> web.Response:
        return see(f"{self._frame.place}/review")

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show the oldest."""
        waiting, more = await self._desk.waiting(SHOWN)
        cases = await asyncio.gather(*(self._case(one.id, visit.caller) for one in waiting))
        return await self._frame.page(
            visit, "review.html", title="Review", here="review", cases=cases, more=more,
            may_decide=visit.caller.role is Role.REVIEWER,
        )  # fmt: skip

    async def _case(self, payout_id: RecordId, caller: Caller) -> ReviewCase:
        stored = await self._frame.store.records.read(payout_id)
        record: PayoutRecord = stored.record
        data, owner = record.data, record.owner
        profile, track = await asyncio.gather(self._profile(owner), self._frame.store.track.of(owner, MACHINE, SEEN))
        past = [one for one in track.requests if one.record.id != record.id]
        others = [one.record for one in past if not one.archived]
        return ReviewCase(
            record,
            tuple(one for one in data.approvals if one.fingerprint == data.proposal.fingerprint),
            profile,
            f"{sum(one.record.state == COMPLETED for one in past)}{' of the newest' * track.more}",
            sum(has_failed(one) for one in others[:EARLIER]),
            [(one, answers.status_of(one.state)) for one in others[:EARLIER]],
            self._actions.offered("approve", stored, caller),
            self._actions.offered("reject", stored, caller),
        )

    async def _profile(self, owner: Owner) -> Profile:
        """Read a profile; one that cannot be opened must not hide the request."""
        try:
            return await self._frame.store.profiles.read(owner)
        except StoreError:
            raise
        except PayflowError:
            return Profile(owner)
