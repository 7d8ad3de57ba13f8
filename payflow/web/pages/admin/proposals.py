"""Proposals: what waits for a second person, who confirms exactly what they see here, or declines it."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from machines.core.clock import Millis
from machines.core.ids import RecordId
from payflow.desk.break_glass import sign_off
from payflow.desk.dual_control import DualControl
from payflow.desk.person import OPERATES, Caller
from payflow.desk.values import Proposal
from payflow.store.registers.tokens import Role
from payflow.web.http.auth import Form, Visit
from payflow.web.pages.admin.frame import FormDone, Frame, is_record

DECIDES = frozenset({Role.OPERATOR, Role.REVIEWER})


@dataclass(frozen=True, slots=True)
class ProposalShown:
    """A proposal as somebody sees it."""

    proposal: Proposal
    lines: list[str]
    own: bool
    """Whether it is their own, which another person must confirm."""
    confirms: bool
    """Whether their token has the role that it takes."""
    declines: bool
    record: RecordId | None
    """The record that it is about, if it is about one."""
    alone_from: Millis | None = None
    """From when on its proposer may confirm it themselves, where one person is enough."""


class ProposalsPage:
    """The page, and the two answers."""

    def __init__(self, frame: Frame, two: DualControl) -> None:
        self._frame = frame
        self._two = two

    def routes(self) -> list[web.RouteDef]:
        shows, does = self._frame.shows, self._frame.does
        return [
            shows("/proposals", self.show),
            does("/proposals/confirm", self.confirm, DECIDES, proven=True),
            does("/proposals/decline", self.decline, DECIDES),
            does("/proposals/sign-off", self.sign_off, OPERATES),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """List what waits."""
        found = await shown(self._two, await self._two.waiting(), visit.caller)
        return await self._frame.page(
            visit, "proposals.html", title="Proposals", here="proposals", proposals=found,
            alone=await self._frame.store.alone.read(), glass=await self._frame.store.glass.all(),
            signs_off=visit.caller.role in OPERATES,
        )  # fmt: skip

    async def confirm(self, visit: Visit, form: Form) -> FormDone:
        """Be the second person, for exactly what the form was about."""
        said = await self._two.confirm(_digest(form), visit.caller.person)
        return FormDone(said, self._back(form))

    async def decline(self, visit: Visit, form: Form) -> FormDone:
        """Take a proposal off the table."""
        await self._two.decline(_digest(form), visit.caller.person)
        return FormDone("The proposal is off the table; nothing was changed.", self._back(form))

    async def sign_off(self, visit: Visit, form: Form) -> FormDone:
        """Say that what was done without the service was looked at."""
        at = str(form.get("at", ""))
        found = await sign_off(self._frame.store, Millis(int(at) if at.isdecimal() else 0), visit.caller.person)
        return FormDone(f"Signed off: {found.what}, by {found.who}.", self._back(form))

    def _back(self, form: Form) -> str:
        return self._frame.local(str(form.get("back", "")) or f"{self._frame.place}/proposals")


async def shown(two: DualControl, proposals: Iterable[Proposal], caller: Caller) -> list[ProposalShown]:
    """Say what is proposed, and what somebody may answer."""
    return [
        ProposalShown(
            one,
            two.says(one),
            own=await two.own(one, caller.person),
            confirms=await two.may_confirm(one, caller.person),
            declines=caller.role in DECIDES,
            record=RecordId(one.subject) if is_record(one.subject) else None,
            alone_from=await two.alone_from(one),
        )
        for one in proposals
    ]


def _digest(form: Form) -> str:
    return str(form.get("proposal", ""))[:64]
