"""An owner's records page by page, the newest first, however many there are."""

from dataclasses import dataclass

from machines.core.clock import Millis
from machines.core.ids import Owner, RecordId
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.listing import scored


@dataclass(frozen=True, slots=True)
class ListCursor:
    """A place in an owner's list of records."""

    at: Millis
    id: RecordId


async def before(
    link: Link,
    shard: int,
    owner: Owner,
    place: ListCursor | None,
    since: Millis | None,
    until: Millis | None,
    limit: int,
) -> list[ListCursor]:
    """List so many of an owner's records that were made before a place, and between two times (the second excluded)."""
    newest = f"({until}" if until is not None else "+inf"
    if place is not None and (until is None or place.at < until):
        newest = str(place.at)
    oldest = str(since) if since is not None else "-inf"
    found: list[ListCursor] = []
    skipped = 0
    while len(found) < limit:
        # Records of the same millisecond stand in the order of their ids; those in front of the place were seen.
        page = scored(
            await link.ask(
                "ZREVRANGEBYSCORE", keys.owned(shard, owner), newest, oldest, "WITHSCORES", "LIMIT", skipped, limit
            )
        )
        skipped += len(page)
        places = [ListCursor(Millis(int(score)), record_id) for record_id, score in page]
        found += [one for one in places if place is None or (one.at, one.id) < (place.at, place.id)]
        if len(page) < limit:
            break
    return found[:limit]
