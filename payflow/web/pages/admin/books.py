"""Ledger: the trial balance and whether it is true, one owner's accounts, and the newest postings of all."""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from machines.core.clock import Millis
from machines.core.ids import owner_of
from payflow.desk.person import STAFF
from payflow.desk.values import JournalCursor, LedgerAccount, LedgerReport
from payflow.shown import decimal
from payflow.store.registers.tokens import Role
from payflow.web.http.problems import BAD_FIELD, Problem
from payflow.web.http.sessions import Form, Visit
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.frame import FormDone, Frame, is_record

COLUMNS = ("available", "held", "paid", "funded", "owed")
POSTINGS = 50
CHECK_WITHIN_S = 600.0
PATIENCE_S = 1.0
NEVER_STALE = float("inf")

_TURN = re.compile(r"([0-9]{1,15})\.([0-9]{1,4})")

CHECKS = frozenset(STAFF - {Role.VIEWER})


class LedgerPage:
    """The page. A walk over all books is asked for by a button, runs once at a time, and leaves its result here."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._store = frame.store
        self._books: CachedValue[LedgerReport] = CachedValue(
            frame.store.ledger.check, fresh_s=NEVER_STALE, within_s=CHECK_WITHIN_S
        )

    def routes(self) -> list[web.RouteDef]:
        place = f"{self._frame.place}/ledger"
        return [
            web.get(place, self._frame.shows(self.show)),
            web.post(f"{place}/check", self._frame.does(self.check, CHECKS)),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        query = visit.request.query
        asked = query.get("owner", "").strip()
        owner = owner_of(asked) if asked else None
        accounts = await self._store.ledger.account(owner) if owner else {}
        after = _turn(query.get("after", ""))
        postings, following = await self._store.ledger.postings(POSTINGS, after)
        totals = self._books.value.totals if self._books.value else {}
        assets = self._store.records.assets
        return await self._frame.page(
            visit, "ledger.html", title="Ledger", here="ledger", owner=owner or "", columns=COLUMNS,
            accounts=self._rows(accounts), books=self._books, totals=self._rows(totals),
            verdict=await self._store.ledger.last_check(), may_check=visit.caller.role in CHECKS,
            postings=[
                {
                    "at": one.at, "entry": one.posting, "is_record": is_record(one.posting.cause),
                    "amount": decimal(one.posting.units, one.posting.asset, assets),
                }
                for one in postings
            ],
            following=f"{following.at}.{following.seen}" if following else "",
        )  # fmt: skip

    def _rows(self, accounts: Mapping[str, LedgerAccount]) -> list[dict[str, Any]]:
        assets = self._store.records.assets
        return [
            {"asset": asset, "off": account.imbalance}
            | {part: decimal(getattr(account, part), asset, assets) for part in COLUMNS}
            for asset, account in sorted(accounts.items())
        ]

    async def check(self, visit: Visit, _: Form) -> FormDone:
        """Walk over the books."""
        done = await self._books.afresh(visit.request.app, PATIENCE_S)
        said = "The books were checked." if done else "The books are being checked; the result will stand here."
        return FormDone(said, f"{self._frame.place}/ledger")


def _turn(text: str) -> JournalCursor | None:
    if not text:
        return None
    match = _TURN.fullmatch(text)
    if match is None:
        raise Problem(BAD_FIELD, "This address of a further page was changed: begin at the first one.")
    return JournalCursor(Millis(int(match[1])), int(match[2]))
