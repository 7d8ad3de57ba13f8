"""Which bounties there are, whom they concern, who may steer them; and what the forge tells of them."""

import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import structlog

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import (
    MACHINE,
    REPOSITORY_MACHINE,
    BountyData,
    BountyPolicy,
    BountyRecord,
    RepositoryData,
    RepositoryRecord,
    bounty_id,
    owner_of_repository,
    repository_id,
)
from machines.core.chain import Address
from machines.core.decision import Claim, New
from machines.core.errors import BadInput, ClaimTaken, ForgeUnavailable, NotAllowed, NotFound, Rejected, StepError
from machines.core.facts import Fact
from machines.core.forge import (
    Forge,
    ForgeAccount,
    ForgeIssue,
    IssueNews,
    News,
    Place,
    PullNews,
    PullRequest,
    PullState,
    RepositoryNews,
)
from machines.core.ids import Owner, RecordId
from machines.core.saved_address import CoolOff
from machines.core.wallets import Wallets
from payflow.desk import records
from payflow.desk.person import STAFF, Caller
from payflow.store import keys
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

ISSUES = "bounty-issue"
"""The space of unique claims in which an issue's number at the forge names its bounty."""
UNFINISHED = tuple(name for name, state in s.LIFECYCLE.states.items() if not state.final)
SHOWN = 500
WHO = "github"
NO_BOUNTY = "There is no such bounty."
NO_REPOSITORY = "There is no such repository here."
RECENT_S = 60.0
MOST_RECENT = 10_000
MOST_DIGITS = 19
"""Of a number of 64 bits."""

WON = (s.MERGED, s.AWAITING_ADDRESS, s.CONTESTED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID)

_PERSON = re.compile(r"github:([1-9][0-9]{0,18})")


class Reader(Forge, Protocol):
    """The forge, and what a sweep over all of it needs."""

    async def person(self, installation: int, person: int) -> ForgeAccount:
        """Read an account."""

    def repositories(self) -> AsyncIterator[RepositoryNews]:
        """List every repository that the app is installed in."""

    def labelled(self, place: Place) -> AsyncIterator[ForgeIssue]:
        """List the open issues of a repository that carry the label."""

    async def all_pulls(self, place: Place) -> tuple[PullRequest, ...]:
        """List pull requests of a repository."""


@dataclass(frozen=True, slots=True)
class World:
    """What the desk asks of the world outside."""

    forge: Reader
    wallets: Wallets
    checksummed: Callable[[str], Address]
    """Reads an address; `ValueError` or `BadInput` for one that is none or is mistyped."""
    signer_of: Callable[[str, str], Address]
    """Tells who signed a message; `BadInput` for a signature that is none."""
    server: str
    chain_id: int
    explorer: str
    most_open: int
    policy: BountyPolicy
    cool_off: CoolOff
    """How long an address of a contributor's waits before it counts."""
    recovery: str = ""
    """Address of one more owner of every wallet; empty for none."""


class BountyFinder:
    """Finds bounties for people, as far as they may see them."""

    def __init__(self, store: Store, metrics: Metrics, world: World) -> None:
        self.store = store
        self.metrics = metrics
        self.world = world
        self._recent: dict[tuple[int, str], tuple[float, bool]] = {}

    # ── what the forge tells ─────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, news: News) -> str:
        """Take in a piece of news, and say what became of it. Twice, late or out of order it changes nothing."""
        match news:
            case IssueNews():
                return await self._issue(news)
            case PullNews(place, pull, named):
                return await self._pull(place, pull, named)
            case RepositoryNews():
                return await self._repository(news)

    async def _issue(self, news: IssueNews) -> str:
        place, issue, gone = news.place, news.issue, news.gone
        record_id = bounty_id(place.repository, issue.id, self.store.records.shards)
        fact = f.IssueGone(gone) if gone else f.IssueChanged(issue)
        try:
            await self.tell(record_id, fact, WHO)
        except NotFound:
            if gone or not (issue.open and issue.labelled):
                return "other"
            return await self._open(record_id, place, issue, private=news.private)
        return "taken"

    async def _open(self, record_id: RecordId, place: Place, issue: ForgeIssue, *, private: bool) -> str:
        """Make a bounty of a labelled issue."""
        if (await self._home(place, private=private)).state != s.ENABLED:
            return "disabled"
        if sum(one.state in UNFINISHED for one in await self.of_repository(place.repository)) >= self.world.most_open:
            log.warning("A repository has too many open bounties.", action="bounty_refused", repository=place.name)
            return "too_many"
        data = BountyData(place, issue.id, title=issue.title, issue_updated_at=issue.updated_at)
        claims = (Claim(ISSUES, str(issue.id)), Claim(_numbers(place.repository), str(issue.number)))
        owner = owner_of_repository(place.repository)
        try:
            await self.store.records.create(New(record_id, MACHINE, owner, None, data, claims=claims), WHO)
        except ClaimTaken:
            log.warning("Two issues have one number.", action="bounty_refused", repository=place.name)
            return "taken_already"
        return "opened"

    async def _pull(self, place: Place, pull: PullRequest, named: Iterable[int]) -> str:
        outcome = "other"
        for number in named:
            shard = self.store.records.owner_shard(owner_of_repository(place.repository))
            holder = await self.store.link.ask("HGET", keys.unique(shard, _numbers(place.repository)), str(number))
            if holder is not None:
                await self.tell(RecordId(holder.decode()), f.PullChanged(pull), WHO)
                outcome = "taken"
        for record in await self._taken_back(place, pull):
            await self.tell(record, f.PullChanged(pull), WHO)
            outcome = "taken"
        return outcome

    async def _taken_back(self, place: Place, pull: PullRequest) -> list[RecordId]:
        """List the bounties whose claims a merged pull request takes back."""
        if pull.state != PullState.MERGED or not pull.reverts:
            return []
        mine = await self.of_repository(place.repository)
        return [one.id for one in mine if any(claim.number in pull.reverts for claim in one.data.claims)]

    async def _home(self, place: Place, *, private: bool) -> RepositoryRecord:
        """Find a repository, or make it: that it tells us anything means that the app is installed there."""
        record_id = repository_id(place.repository, self.store.records.shards)
        data = RepositoryData(place.repository, place.name, place.installation, private=private)
        owner = owner_of_repository(place.repository)
        made = await self.store.records.create(New(record_id, REPOSITORY_MACHINE, owner, None, data), WHO)
        return made.record if made.fresh else (await self.store.records.read(record_id)).record

    async def _repository(self, news: RepositoryNews) -> str:
        home = await self._home(Place(news.installation, news.repository, news.name, 0), private=news.private)
        fact = f.Installed(news.name, news.installation, news.private) if news.enabled else f.Removed()
        await self.tell(home.id, fact, WHO)
        if news.enabled and (home.data.name, home.data.installation) != (news.name, news.installation):
            for one in await self.of_repository(news.repository):
                await self.tell(one.id, f.Renamed(news.name, news.installation), WHO)
        return "taken"

    async def tell(self, record_id: RecordId, fact: Fact, who: str) -> None:
        """Let a record learn something."""
        await records.tell(self.store, self.metrics, record_id, fact, who)

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, name: str) -> BountyRecord:
        """Find a bounty by its id, or by the number that the forge gave its issue."""
        if name.isascii() and name.isdecimal() and len(name) <= MOST_DIGITS:
            asked = [("HGET", keys.unique(shard, ISSUES), str(int(name))) for shard in range(self.store.records.shards)]
            found = [one.decode() for one in await self.store.link.pipeline(asked) if one]
            name = found[0] if found else ""
        try:
            record: BountyRecord = (await self.store.records.read(RecordId(name))).record
        except (BadInput, NotFound):
            raise NotFound(NO_BOUNTY) from None
        if record.machine != MACHINE:
            raise NotFound(NO_BOUNTY)
        return record

    async def repositories(self) -> list[RepositoryRecord]:
        """List the repositories that are enabled."""
        return [one.record for one in await self.store.listing.in_state(REPOSITORY_MACHINE, s.ENABLED, SHOWN)]

    async def disabled(self) -> set[int]:
        """Name the repositories from which the app was taken away: nobody there can be told from a stranger."""
        found = await self.store.listing.in_state(REPOSITORY_MACHINE, s.DISABLED, SHOWN)
        return {one.record.data.number for one in found}

    async def public(self, states: Iterable[str] | None = None) -> list[BountyRecord]:
        """List bounties that anybody may see: those of private repositories are nobody's business."""
        found = await self.bounties(states)
        shown = {number for number in {one.data.place.repository for one in found} if await self.is_public(number)}
        return [one for one in found if one.data.place.repository in shown]

    async def is_public(self, repository: int) -> bool:
        """Ask the repository's own record: a list has an end, and what lies beyond it is not public for that."""
        home = await self._home_if_known(repository)
        return home is not None and not home.data.private

    async def _home_if_known(self, repository: int) -> RepositoryRecord | None:
        try:
            return (await self.store.records.read(repository_id(repository, self.store.records.shards))).record
        except NotFound:
            return None

    async def bounties(self, states: Iterable[str] | None = None, limit: int = SHOWN) -> list[BountyRecord]:
        """List bounties in these states, the oldest of each first."""
        found: dict[RecordId, BountyRecord] = {}
        for state in states or s.LIFECYCLE.states:
            # Read one after the other, a bounty may move on in between and be listed twice.
            found |= {one.id: one for one in await self._in_state(state, limit)}
        return list(found.values())

    async def _in_state(self, state: str, limit: int) -> list[BountyRecord]:
        """List bounties in a state: of those that are over the newest, of the others those that wait longest."""
        if not s.LIFECYCLE.state(state).final:
            return [one.record for one in await self.store.listing.in_state(MACHINE, state, limit)]
        asked = [
            ("ZREVRANGE", keys.members(shard, MACHINE, state), 0, limit - 1)
            for shard in range(self.store.records.shards)
        ]
        ids = [RecordId(one.decode()) for part in await self.store.link.pipeline(asked) for one in part]
        records = [(await self.store.records.read(one)).record for one in ids[:limit]]
        return sorted(records, key=lambda one: one.since, reverse=True)

    async def of_repository(self, repository: int) -> list[BountyRecord]:
        """List a repository's bounties, the newest first."""
        found = await self.store.listing.owned_by(owner_of_repository(repository), SHOWN)
        return [one.record for one in found if one.record.machine == MACHINE]

    async def concerning(self, caller: Caller) -> list[BountyRecord]:
        """List the bounties that a caller may see: all for staff, else of repositories they maintain or won by them."""
        if caller.role in STAFF:
            return await self.bounties()
        person = person_of(caller)
        if person is None:
            return []
        places = await self.maintained(caller)
        found = {one.id: one for place in places for one in await self.of_repository(place.repository)}
        found |= {one.id: one for one in await self.bounties(WON) if one.data.winner_id == person}
        return list(found.values())

    async def seen_by(self, name: str, caller: Caller) -> BountyRecord:
        """Find a bounty for somebody whom it concerns."""
        record = await self.find(name)
        won = record.data.winner_id and record.data.winner_id == person_of(caller)
        if not (caller.role in STAFF or won):
            try:
                await self.maintainer(record, caller)
            except NotAllowed:
                raise NotFound(NO_BOUNTY) from None  # whether it exists is theirs to know
        return record

    async def visible_to(self, name: str, caller: Caller) -> BountyRecord:
        """Find a bounty for somebody who may know that it exists: anybody, where its repository is public."""
        record = await self.find(name)
        await self.must_know_of(record, caller)
        return record

    async def steered_by(self, name: str, caller: Caller) -> tuple[BountyRecord, ForgeAccount]:
        """Find a bounty for somebody who maintains its repository, and say as whom they do."""
        record = await self.find(name)
        return record, await self.maintainer(record, caller)

    # ── who may ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def maintains(self, place: Place, caller: Caller) -> ForgeAccount | None:
        """Say as whom a caller maintains a repository; the forge decides, each time but for a minute after a no.

        Anybody may ask, twice is what an answer costs at the forge, and what it allows in an hour is for all.
        """
        person = person_of(caller)
        if person is None or self._known_to_maintain(place, caller) is False:
            return None
        found = await self.world.forge.maintains(place, person)
        self._remember(place, caller, maintains=found is not None)
        return found

    def _known_to_maintain(self, place: Place, caller: Caller) -> bool | None:
        until, maintains = self._recent.get((place.repository, caller.of), (0.0, False))
        return maintains if monotonic() < until else None

    def _remember(self, place: Place, caller: Caller, *, maintains: bool) -> None:
        if len(self._recent) >= MOST_RECENT:
            self._recent.clear()
        self._recent[place.repository, caller.of] = (monotonic() + RECENT_S, maintains)

    async def maintained(self, caller: Caller) -> list[Place]:
        """List the repositories that a caller maintains."""
        if person_of(caller) is None:
            return []
        homes = [Place(one.data.installation, one.data.number, one.data.name, 0) for one in await self.repositories()]
        return [place for place in homes if await self._seen_to_maintain(place, caller)]

    async def _seen_to_maintain(self, place: Place, caller: Caller) -> bool:
        """Say so from a recent answer, for lists alone: whoever does something is asked about anew."""
        known = self._known_to_maintain(place, caller)
        if known is not None:
            return known
        try:
            return await self.maintains(place, caller) is not None
        except Rejected:  # the app was taken away there, which must not hide all the other repositories
            self._remember(place, caller, maintains=False)
            return False

    async def maintainer(self, record: BountyRecord | RepositoryRecord, caller: Caller) -> ForgeAccount:
        """Let only those go on who maintain the repository.

        To whom a private one is nobody's business nothing says that it exists: not who may, and not that the forge
        cannot be asked, which somebody could bring about by asking often.
        """
        home = _home_of(record)
        knows = await self._knows_without_asking(record, caller)
        missing = NotFound(NO_BOUNTY if record.machine == MACHINE else NO_REPOSITORY)
        try:
            found = await self.maintains(home, caller)
        except Rejected:  # the app was taken away there: nobody can be told from a stranger
            found = None
        except StepError as error:
            if knows:
                raise ForgeUnavailable("GitHub cannot be asked now who maintains this: ask again later.") from error
            raise missing from error
        if found is None:
            raise NotAllowed(f"Only who maintains {home.name} may do this.") if knows else missing
        return found

    async def must_know_of(self, record: BountyRecord | RepositoryRecord, caller: Caller) -> None:
        """Answer as if it did not exist to whom it is nobody's business."""
        if not await self._knows_without_asking(record, caller):
            await self.maintainer(record, caller)

    async def _knows_without_asking(self, record: BountyRecord | RepositoryRecord, caller: Caller) -> bool:
        """Say whether somebody knows of it already: who works here, who takes part, anybody where it is public."""
        home = await self._home_if_known(_home_of(record).repository)
        public = home is not None and not home.data.private
        parties = _parties(record) | (_parties(home) if home else set())
        return public or caller.role in STAFF or person_of(caller) in parties


def _home_of(record: BountyRecord | RepositoryRecord) -> Place:
    """Say where a bounty, or a repository, is."""
    match record.data:
        case BountyData(place=place):
            return place
        case RepositoryData(number, name, installation):
            return Place(installation, number, name, 0)


def _parties(record: BountyRecord | RepositoryRecord) -> set[int]:
    """Name the accounts that own a wallet, claim a bounty or won it."""
    owners = {hand.person for hand in record.data.hands}
    return owners | {*record.data.claimants, record.data.winner_id} if isinstance(record.data, BountyData) else owners


def person_of(caller: Caller) -> int | None:
    """Tell which account of the forge a caller is; None for people who work here."""
    match = _PERSON.fullmatch(caller.of) if caller.role is Role.PROVIDER else None
    return int(match[1]) if match else None


def _numbers(repository: int) -> str:
    return f"issues-of-{repository}"


def account_of(person: int) -> Owner:
    """Name whom a contributor's profile belongs to: by their number, because names change."""
    return Owner(f"github:{person}")


def first_of(record: BountyRecord) -> str:
    """Name the bounty whose wallet this one pays out of."""
    return record.data.sweep_of or record.id


def sweeping(found: Iterable[BountyRecord]) -> set[str]:
    """Name the bounties, among these, whose later deposits are being paid out."""
    open_ones = (one for one in found if not s.LIFECYCLE.state(one.state).final)
    return {one.data.sweep_of for one in open_ones if one.data.sweep_of}
