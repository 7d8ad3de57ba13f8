"""Batches: which payouts went out together, and what became of them."""

from typing import Any

from aiohttp import web

from machines.core.errors import NotFound
from machines.core.money import Money
from machines.core.record import Record
from payflow.shown import grouped
from payflow.store.registers.batches import Batches, Summary
from payflow.web.http.auth import Visit
from payflow.web.pages.admin.frame import Frame

SHOWN = 50
RECORDS = 200


class BatchPages:
    """The list, and one of them."""

    def __init__(self, frame: Frame, schedule: str) -> None:
        self._frame = frame
        self._batches = Batches(frame.store.link, frame.store.records)
        self._schedule = schedule

    def routes(self) -> list[web.RouteDef]:
        return [
            self._frame.shows("/batches", self.show),
            self._frame.shows("/batches/{name}", self.one),
        ]

    async def show(self, visit: Visit) -> web.StreamResponse:
        """List the newest."""
        return await self._frame.page(
            visit, "batches.html", title="Batches", here="batches", batches=await self._batches.latest(SHOWN),
            shown=SHOWN, schedule=self._schedule,
        )  # fmt: skip

    async def one(self, visit: Visit) -> web.StreamResponse:
        """Say what became of one."""
        name = visit.request.match_info["name"]
        batch = await self._batches.find(name)
        if batch is None:
            raise NotFound(f"There is no batch {name[:60]}.")
        summary = Summary()
        records: list[Record[Any]] = []
        async for record in self._batches.records(name):
            summary.add(name, record)
            if len(records) < RECORDS:
                records.append(record)
        assets = self._frame.store.records.assets
        states = [
            (
                state,
                count,
                ", ".join(grouped(Money(units, assets[code])) for code, units in summary.sums[state].items()),
            )
            for state, count in summary.counts.most_common()
        ]
        return await self._frame.page(
            visit, "batch.html", title=f"Batch {name}", here="batches", batch=batch, records=records,
            again=summary.boarded_again, states=states,
        )  # fmt: skip
