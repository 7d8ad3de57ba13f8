"""What the forge tells means to which records: bounties are opened, and told what changed."""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import (
    MACHINE,
    REPOSITORY_MACHINE,
    BountyData,
    RepositoryData,
    RepositoryRecord,
    bounty_id,
    owner_of_repository,
    repository_id,
)
from machines.core.decision import Claim, New
from machines.core.errors import ClaimTaken, NotFound
from machines.core.facts import Fact
from machines.core.forge import ForgeIssue, IssueNews, News, Place, PullNews, PullRequest, PullState, RepositoryNews
from machines.core.ids import RecordId
from payflow.store import keys
from payflow.store.store import Store

log = structlog.get_logger()

ISSUES = "bounty-issue"
"""The space of unique claims in which an issue's number at the forge names its bounty."""
UNFINISHED = tuple(name for name, state in s.LIFECYCLE.states.items() if not state.final)
SHOWN = 500
WHO = "github"

Tell = Callable[[RecordId, Fact, str], Awaitable[None]]


class NewsDesk:
    """Takes in what the forge tells."""

    def __init__(self, store: Store, tell: Tell, most_open: int) -> None:
        self._store = store
        self._tell = tell
        self._most_open = most_open

    async def take(self, news: News) -> str:
        """Take in a piece of news, and say what became of it. Twice, late or out of order it changes nothing."""
        match news:
            case IssueNews(place, issue, gone):
                return await self._issue(place, issue, gone)
            case PullNews(place, pull, named):
                return await self._pull(place, pull, named)
            case RepositoryNews():
                return await self._repository(news)

    async def _issue(self, place: Place, issue: ForgeIssue, gone: str) -> str:
        record_id = bounty_id(place.repository, issue.id, self._store.records.shards)
        fact = f.IssueGone(gone) if gone else f.IssueChanged(issue)
        try:
            await self._tell(record_id, fact, WHO)
        except NotFound:
            if gone or not (issue.open and issue.labelled):
                return "other"
            return await self._open(record_id, place, issue)
        return "taken"

    async def _open(self, record_id: RecordId, place: Place, issue: ForgeIssue) -> str:
        """Make a bounty of a labelled issue."""
        if (await self._home(place)).state != s.ENABLED:
            return "disabled"
        if await self._count_open(place) >= self._most_open:
            log.warning("A repository has too many open bounties.", action="bounty_refused", repository=place.name)
            return "too_many"
        data = BountyData(place, issue.id, title=issue.title, issue_updated_at=issue.updated_at)
        claims = (Claim(ISSUES, str(issue.id)), Claim(_numbers(place.repository), str(issue.number)))
        owner = owner_of_repository(place.repository)
        try:
            await self._store.records.create(New(record_id, MACHINE, owner, None, data, claims=claims), WHO)
        except ClaimTaken:
            log.warning("Two issues have one number.", action="bounty_refused", repository=place.name)
            return "taken_already"
        return "opened"

    async def _count_open(self, place: Place) -> int:
        found = await self._store.listing.owned_by(owner_of_repository(place.repository), SHOWN)
        return sum(one.record.machine == MACHINE and one.record.state in UNFINISHED for one in found)

    async def _pull(self, place: Place, pull: PullRequest, named: Iterable[int]) -> str:
        outcome = "other"
        for number in named:
            record_id = await self._holder(_numbers(place.repository), str(number), place.repository)
            if record_id is not None:
                await self._tell(record_id, f.PullChanged(pull), WHO)
                outcome = "taken"
        for record in await self._taken_back(place, pull):
            await self._tell(record, f.PullChanged(pull), WHO)
            outcome = "taken"
        return outcome

    async def _taken_back(self, place: Place, pull: PullRequest) -> list[RecordId]:
        """List the bounties whose claims a merged pull request takes back."""
        if pull.state != PullState.MERGED or not pull.reverts:
            return []
        found = await self._store.listing.owned_by(owner_of_repository(place.repository), SHOWN)
        mine = [one.record for one in found if one.record.machine == MACHINE]
        return [one.id for one in mine if any(claim.number in pull.reverts for claim in one.data.claims)]

    async def _home(self, place: Place) -> RepositoryRecord:
        """Find a repository, or make it: that it tells us anything means that the app is installed there."""
        record_id = repository_id(place.repository, self._store.records.shards)
        data = RepositoryData(place.repository, place.name, place.installation)
        owner = owner_of_repository(place.repository)
        made = await self._store.records.create(New(record_id, REPOSITORY_MACHINE, owner, None, data), WHO)
        return made.record if made.fresh else (await self._store.records.read(record_id)).record

    async def _repository(self, news: RepositoryNews) -> str:
        home = await self._home(Place(news.installation, news.repository, news.name, 0))
        fact = f.Installed(news.name, news.installation, news.private) if news.enabled else f.Removed()
        await self._tell(home.id, fact, WHO)
        if news.enabled and (home.data.name, home.data.installation) != (news.name, news.installation):
            for one in await self._store.listing.owned_by(owner_of_repository(news.repository), SHOWN):
                if one.record.machine == MACHINE:
                    await self._tell(one.record.id, f.Renamed(news.name, news.installation), WHO)
        return "taken"

    async def _holder(self, space: str, value: str, repository: int) -> RecordId | None:
        shard = self._store.records.owner_shard(owner_of_repository(repository))
        found = await self._store.link.ask("HGET", keys.unique(shard, space), value)
        return RecordId(found.decode()) if found else None


def _numbers(repository: int) -> str:
    return f"issues-of-{repository}"
