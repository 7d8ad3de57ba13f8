"""Ledger and audit: the trial balance and whether it is true, accounts, the newest postings; what people did.

A walk over all books, or over every history, is asked for by a button, runs once at a time, and leaves its result here.
"""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from machines.core.clock import Millis
from machines.core.money import Assets
from payflow.desk.books import faults_of
from payflow.desk.person import STAFF
from payflow.desk.platforms import find_owner
from payflow.desk.rails import amount_of, equations_of, is_rail, moved, rails_of
from payflow.desk.values import IntegrityFault, JournalCursor, LedgerAccount, LedgerReport
from payflow.shown import decimal
from payflow.store.registers.tokens import Role
from payflow.web.http.auth import Form, Visit
from payflow.web.http.payloads import cursor_of, read_cursor
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.frame import FormDone, Frame, is_record

COLUMNS = ("available", "held", "paid", "funded", "owed")
POSTINGS = 50
AUDITED = 100
FAULTS = 100
CHECK_WITHIN_S = 600.0
PATIENCE_S = 1.0
NEVER_STALE = float("inf")

_TURN = re.compile(r"([0-9]{1,15}):([0-9]{1,4})")
_NUMBER = re.compile(r"[0-9]{1,12}")

CHECKS = frozenset(STAFF - {Role.VIEWER})


class LedgerPage:
    """The page of the ledger."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._books: CachedValue[LedgerReport] = CachedValue(
            frame.store.ledger.check, fresh_s=NEVER_STALE, within_s=CHECK_WITHIN_S
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/ledger", self.show),
            self._frame.does("/ledger/check", self.check, CHECKS),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        query = visit.request.query
        asked = query.get("owner", "").strip()
        owner = await find_owner(self._frame.store, asked) if asked else None
        accounts = await self._frame.store.ledger.account(owner) if owner else {}
        place = read_cursor(query.get("after", ""), _TURN)
        after = JournalCursor(Millis(int(place[1])), int(place[2])) if place else None
        postings, following = await self._frame.store.ledger.postings(POSTINGS, after)
        books = self._books.value
        rails, not_opened = await rails_of(self._frame.store)
        totals = books.totals if books else {}
        assets = self._frame.store.records.assets
        return await self._frame.page(
            visit, "ledger.html", title="Ledger", here="ledger", owner=owner or "", columns=COLUMNS,
            accounts=account_rows(accounts, assets), books=self._books, totals=account_rows(totals, assets),
            rails=rails, not_opened=not_opened, equations=equations_of(books, assets) if books else [],
            verdict=await self._frame.store.ledger.last_check(), may_check=visit.caller.role in CHECKS,
            postings=[
                {
                    "at": one.at, "entry": one.posting, "is_record": is_record(one.posting.cause),
                    "is_rail": is_rail(one.posting), "moved": moved(one.posting),
                    "amount": amount_of(one.posting, assets),
                }
                for one in postings
            ],
            following=cursor_of(following.at, following.seen) if following else "",
        )  # fmt: skip

    async def check(self, visit: Visit, _: Form) -> FormDone:
        """Walk over the books."""
        done = await self._books.afresh(visit.request.app, PATIENCE_S)
        said = "The books were checked." if done else "The books are being checked; the result will stand here."
        return FormDone(said, f"{self._frame.place}/ledger")


def account_rows(accounts: Mapping[str, LedgerAccount], assets: Assets) -> list[dict[str, Any]]:
    """Write accounts as rows of a table, by asset."""
    return [
        {"asset": asset, "off": account.imbalance}
        | {part: decimal(getattr(account, part), asset, assets) for part in COLUMNS}
        for asset, account in sorted(accounts.items())
    ]


# ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class AuditPage:
    """What people did, and whether any history was changed afterwards."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._faults: CachedValue[list[IntegrityFault]] = CachedValue(
            self._walk, fresh_s=NEVER_STALE, within_s=CHECK_WITHIN_S
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/audit", self.show),
            self._frame.does("/audit/check", self.check, CHECKS),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """List the newest acts."""
        place = read_cursor(visit.request.query.get("before", ""), _NUMBER)
        lines = await self._frame.store.audit.page(int(place[0]) if place else None, AUDITED)
        return await self._frame.page(
            visit, "audit.html", title="Audit", here="audit",
            lines=[(line, is_record(line.subject)) for line in lines],
            following=cursor_of(lines[-1].number) if lines and lines[-1].number > 1 else "", faults=self._faults,
            may_check=visit.caller.role in CHECKS,
        )  # fmt: skip

    async def check(self, visit: Visit, _: Form) -> FormDone:
        """Walk over every history, every index, and the log itself."""
        done = await self._faults.afresh(visit.request.app, PATIENCE_S)
        said = "All was checked." if done else "The histories are being checked; the result will stand here."
        return FormDone(said, f"{self._frame.place}/audit")

    async def _walk(self) -> list[IntegrityFault]:
        found = []
        async for fault in faults_of(self._frame.store):
            found.append(fault)
            if len(found) == FAULTS:
                break
        return found
