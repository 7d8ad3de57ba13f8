"""Following the moves of all records, live. It asks the store once a second and costs the payments nothing."""

from collections import OrderedDict
from typing import NamedTuple

import anyio
from rich.text import Text

from machines.core.clock import Millis
from machines.core.ids import RecordId
from payflow.app.installation import Payflow
from payflow.cli.desk import Code, Desk
from payflow.cli.words import clean
from payflow.shown import iso, utc
from payflow.store.codec import HistoryEvent

LOOK_EVERY_S = 1.0
# A move that is committed while we look may carry a time just before our look.
OVERLAP_MS = 2_000
MOST_REMEMBERED = 100_000


class News(NamedTuple):
    """A move of a record, and where the record was before it: nowhere, when it was made."""

    record: RecordId
    source: str
    event: HistoryEvent


class Tail:
    """Finds the moves that came since the last look."""

    def __init__(self, payflow: Payflow, start: Millis) -> None:
        self._store = payflow.store
        self._start = start
        self._since = start
        self._told: OrderedDict[RecordId, int] = OrderedDict()

    async def news(self) -> list[News]:
        """Give what is new, oldest first."""
        now = await self._store.records.now()
        moved: set[RecordId] = set()
        for machine in self._store.records.machines.values():
            for state in machine.lifecycle.states:
                moved.update(await self._store.listing.moved_since(machine.name, state, self._since))
        self._since = Millis(max(self._start, now - OVERLAP_MS))
        found = [news for record_id in moved for news in await self._of(record_id)]
        return sorted(found, key=lambda news: (news.event.at, news.event.version))

    async def _of(self, record_id: RecordId) -> list[News]:
        events = await self._store.records.history(record_id)
        told = self._told.get(record_id)
        if told is None:
            # Its newest move brought it here, even when the look that made it began before ours.
            told = next((event.version - 1 for event in events if event.at >= self._start), len(events) - 1)
        self._told[record_id] = len(events)
        self._told.move_to_end(record_id)
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return [
            News(record_id, events[at - 1].state if at else "", events[at])
            for at in range(told, len(events))
            if events[at].trigger or at == 0
        ]


async def tail(desk: Desk) -> Code:
    """Tell each move as it happens, until interrupted."""
    async with desk.open() as payflow:
        following = Tail(payflow, await payflow.store.records.now())
        while True:
            for news in await following.news():
                desk.tell(_json(news), _line(news))
            await anyio.sleep(LOOK_EVERY_S)


def _json(news: News) -> dict[str, object]:
    event = news.event
    return {
        "at": iso(event.at),
        "id": news.record,
        "version": event.version,
        "from": news.source,
        "to": event.state,
        "trigger": event.trigger,
        "who": event.who,
        "why": event.why,
    }


def _line(news: News) -> Text:
    event = news.event
    what = f"{news.source} → {event.state}" if news.source else event.state
    return Text.assemble(
        (f"{utc(event.at)}  ", "dim"), f"{news.record}  ", (what, "bold"), f"  {clean(event.why or event.fact)}  ",
        (event.who, "dim"),
    )  # fmt: skip
