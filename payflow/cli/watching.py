"""Following the moves of all records, live."""

import anyio
from rich.text import Text

from payflow.cli.desk import Code, Desk
from payflow.cli.words import clean
from payflow.desk.records import Moves, News
from payflow.shown import iso, utc

LOOK_EVERY_S = 1.0


async def tail(desk: Desk) -> Code:
    """Tell each move as it happens, until interrupted."""
    async with desk.open() as payflow:
        moves = Moves(payflow.store, await payflow.store.records.now())
        while True:
            for news in await moves.news():
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
