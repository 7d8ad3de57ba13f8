"""How a gateway's statement is walked over: day by day, page by page, whatever zone the gateway lives in."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from adapters.http import GatewayClient, HttpReply, HttpRequest
from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import OutcomeUnknown
from machines.core.money import Asset, Assets

T = TypeVar("T")

_ONE_DAY = timedelta(days=1)


def days(since: Millis, until: Millis) -> Iterator[tuple[date, Millis]]:
    """Give each day between two times, and one on either side, with the moment when it begins."""
    day, last = _day(Millis(since - DAY)), _day(Millis(until + DAY))
    while day <= last:
        yield day, Millis(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * SECOND))
        day += _ONE_DAY


def _day(at: Millis) -> date:
    return datetime.fromtimestamp(max(0, at) / SECOND, UTC).date()


async def all_pages(
    client: GatewayClient,
    who: str,
    most: int,
    ask: Callable[[int], HttpRequest],
    read: Callable[[HttpReply], tuple[Sequence[T], int]],
) -> list[T]:
    """Read all pages of one day; `who` lists them, and no more than `most` are believed."""
    found: list[T] = []
    page, pages = 1, 1
    while page <= pages:
        if page > most:
            raise OutcomeUnknown(f"{who} lists more than {most} pages for one day.")
        more, pages = read(await client.read(ask(page)))
        found += more
        page += 1
    return found


def asset_of(assets: Assets, code: str) -> Asset:
    """Give an asset; a gateway also moves currencies in which nobody keeps books here, all of two decimals."""
    return next((one for one in assets if one.code == code), Asset(code, 2))


def moment(who: str, text: str) -> Millis:
    """Read a time; one without a zone is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise OutcomeUnknown(f"{who} wrote a time that is none: {text[:40]!r}.") from None
    return Millis(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * SECOND))
