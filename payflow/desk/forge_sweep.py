"""A sweep over all of the forge: it finds what deliveries failed to tell, and tells it the same way."""

import structlog

from machines.bounty import facts as f
from machines.bounty.data import MACHINE, owner_of_repository
from machines.core.errors import Rejected, TooLong
from machines.core.facts import Fact
from machines.core.forge import IssueNews, Place, PullRequest, RepositoryNews, concerns
from payflow.desk.bounties import BountyDesk
from payflow.desk.forge_news import SHOWN, UNFINISHED, WHO

log = structlog.get_logger()


async def sweep(desk: BountyDesk) -> dict[str, int]:
    """Read repositories, labelled issues and pull requests; say how many there are, and how many bounties are new."""
    seen: set[int] = set()
    opened = read = 0
    async for news in desk.world.forge.repositories():
        await desk.take(news)
        seen.add(news.repository)
        place = Place(news.installation, news.repository, news.name, 0)
        try:
            opened += await _labelled(desk, place)
            read += await _read(desk, place)
        except Rejected as error:  # one repository that is closed to us must not hide all the others
            log.warning("A repository cannot be swept.", action="sweep_refused", repository=news.name, error=str(error))
    for home in await desk.repositories():
        if home.data.number not in seen:
            data = home.data
            await desk.take(RepositoryNews(data.installation, data.number, data.name, enabled=False))
    return {"repositories": len(seen), "bounties opened": opened, "bounties read": read}


async def _labelled(desk: BountyDesk, place: Place) -> int:
    opened = 0
    async for issue in desk.world.forge.labelled(place):
        there = Place(place.installation, place.repository, place.name, issue.number)
        opened += await desk.take(IssueNews(there, issue)) == "opened"
    return opened


async def _read(desk: BountyDesk, place: Place) -> int:
    """Read the unfinished bounties of a repository anew; its pull requests are listed once for all of them."""
    found = await desk.store.listing.owned_by(owner_of_repository(place.repository), SHOWN)
    mine = [one.record for one in found if one.record.machine == MACHINE and one.record.state in UNFINISHED]
    pulls: tuple[PullRequest, ...] = await desk.world.forge.all_pulls(place) if mine else ()
    for record in mine:
        there = Place(place.installation, place.repository, place.name, record.data.place.number)
        named = tuple(pull for pull in pulls if concerns(pull, there.number))
        try:
            fact: Fact = f.Swept(await desk.world.forge.issue(there), named)
        except TooLong as error:
            fact = f.IssueUnreadable(str(error))
        await desk.tell(record.id, fact, WHO)
    return len(mine)
