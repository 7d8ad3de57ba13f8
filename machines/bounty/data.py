"""What a bounty keeps. The names that others read (`transaction_hash`, `confirm_hash`, …) are fields here."""

from dataclasses import dataclass, replace
from typing import Any

from machines.core.forge import Issue, Place, Pull, PullState
from machines.core.ids import Owner, RecordId, derived_id, shard_for
from machines.core.record import Record
from machines.core.wallets import Creation, Holding, Proposal

MACHINE = "bounty"


@dataclass(frozen=True, slots=True)
class Hand:
    """One owner of a wallet, who proved that its address is his."""

    person: int
    login: str
    address: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A proposal, with what became of it. Its key is never used for another one."""

    proposal: Proposal
    refund: bool = False
    execute_hash: str = ""
    confirm_hash: str = ""
    retracted: bool = False
    """Whether another one shall take its place."""
    withdrawn: bool = False
    """Whether the bot's approval of it is surely worth nothing any more."""


@dataclass(frozen=True, slots=True)
class BountyData:
    """The facts about a bounty that its machine needs again."""

    place: Place
    issue_id: int
    title: str = ""
    issue_open: bool = True
    labelled: bool = True
    issue_updated_at: int = 0
    labelled_at: int = 0
    """Since when it was a bounty, by the forge's clock: what was merged before was not merged for it."""
    gone: str = ""
    """Why the issue cannot be found where it was, such as `moved to owner/repository#7`."""
    swept_at: int = 0
    """When the forge was last read as a whole."""
    # ── the wallet ──
    creation: Creation | None = None
    deploys: int = 0
    """How many transactions that should make the wallet are proven to have failed."""
    hands: tuple[Hand, ...] = ()
    """The wallet's owners beside the bot, as they were when it was made."""
    transaction_hash: str = ""
    """Of the transaction that made the wallet."""
    contract_address: str = ""
    holdings: tuple[Holding, ...] = ()
    # ── who gets it ──
    claims: tuple[Pull, ...] = ()
    known_merges: tuple[int, ...] = ()
    """Ids of the merged claims that somebody, or the first merge, has decided about."""
    doubtful: tuple[int, ...] = ()
    """Ids of merged claims that may have been written into a pull request after its merge."""
    winner_pull: int = 0
    """Id of the pull request that wins."""
    winner_id: int = 0
    winner_login: str = ""
    commit_sha: str = ""
    payout_address: str = ""
    asked_at: int = 0
    """Since when the winner is asked for an address."""
    reminders: int = 0
    # ── the payment ──
    attempts: tuple[Attempt, ...] = ()
    execute_hash: str = ""
    confirm_hash: str = ""
    """What the wallet's owners confirm: not the hash of a transaction."""
    payout_hash: str = ""
    confirmed_at: int = 0
    confirmed_by: str = ""
    earlier_hashes: tuple[str, ...] = ()
    """Transactions that were named before, and paid nothing or were replaced."""
    payout_receipt: tuple[tuple[str, str], ...] = ()
    """What the receipt says, once it proves that the wallet paid."""
    refund_to: str = ""
    revoked_by: str = ""
    # ── what people see ──
    waiting_for: str = ""
    trouble: str = ""
    banners: tuple[str, ...] = ()
    comment_id: int = 0
    comment_print: str = ""
    """Of the comment as it was last written."""
    sweep_of: str = ""
    """Id of the bounty whose later deposits this one pays out."""
    sweeps: int = 0
    """How many of those it has."""

    @property
    def current(self) -> Attempt | None:
        """The payment that is under way."""
        newest = self.attempts[-1] if self.attempts else None
        return newest if newest and not newest.retracted else None

    @property
    def to_withdraw(self) -> Attempt | None:
        """An approval that must be taken back before another one is given."""
        return next((each for each in self.attempts if each.retracted and not each.withdrawn), None)

    @property
    def merged(self) -> tuple[Pull, ...]:
        """The claims that were merged, the first one first."""
        found = (claim for claim in self.claims if claim.state == PullState.MERGED)
        return tuple(sorted(found, key=lambda claim: (claim.merged_at, claim.id)))

    @property
    def rivals(self) -> tuple[Pull, ...]:
        """The merged claims that nobody has decided about, the first one first."""
        return tuple(claim for claim in self.merged if claim.id not in self.known_merges)

    @property
    def surely_won(self) -> bool:
        """Whether a merged claim is beyond doubt, so that somebody must get it."""
        return any(claim.id not in self.doubtful and claim.merged_at >= self.labelled_at for claim in self.merged)

    @property
    def wanted(self) -> bool:
        """Whether the issue asks for work."""
        return self.issue_open and self.labelled and not self.gone

    def with_attempt(self, number: int, **changes: Any) -> "BountyData":
        """Change one attempt; the hashes of the current one are the bounty's."""
        changed = (replace(one, **changes) if one.proposal.number == number else one for one in self.attempts)
        data = replace(self, attempts=tuple(changed))
        current = data.current
        return replace(
            data,
            execute_hash=current.execute_hash if current else "",
            confirm_hash=current.confirm_hash if current else "",
        )

    def winning(self, pull: Pull) -> "BountyData":
        """Name the winner."""
        return replace(
            self,
            winner_pull=pull.id,
            winner_id=pull.author_id,
            winner_login=pull.author,
            commit_sha=pull.commit_sha,
            payout_address="",
            asked_at=0,
            reminders=0,
        )

    def with_issue(self, issue: Issue, *, read: bool = False) -> "BountyData":
        """Learn what the issue is now, unless something newer is known.

        The forge writes seconds: of two deliveries of one second nobody can tell which is newer, so it is read anew.
        """
        if issue.labelled_at and not self.labelled_at:
            return replace(self, labelled_at=issue.labelled_at).with_issue(issue, read=read)
        if issue.updated_at < self.issue_updated_at:
            return self
        same = (issue.title, issue.open, issue.labelled) == (self.title, self.issue_open, self.labelled)
        if issue.updated_at == self.issue_updated_at and not read and not same:
            return replace(self, swept_at=0)
        return replace(
            self,
            title=issue.title,
            issue_open=issue.open,
            labelled=issue.labelled,
            issue_updated_at=issue.updated_at,
        )

    def with_claim(self, pull: Pull, *, read: bool = False) -> "BountyData":
        """Learn what a pull request is now. A merge is for ever; one that no longer names the issue claims nothing."""
        known = next((claim for claim in self.claims if claim.id == pull.id), None)
        if known is not None and (known.state == PullState.MERGED or pull.updated_at < known.updated_at):
            return self
        doubtful = known is not None and pull.updated_at == known.updated_at and pull != known
        if doubtful and not read and pull.state != PullState.MERGED:
            return replace(self, swept_at=0)
        others = tuple(claim for claim in self.claims if claim.id != pull.id)
        claims = (*others, pull) if self.place.number in pull.closes else others
        return replace(self, claims=tuple(sorted(claims, key=lambda claim: claim.number)))


BountyRecord = Record[BountyData]


def owner_of_repository(repository: int) -> Owner:
    """Name whom the bounties of a repository belong to: by its number, because names change."""
    return Owner(f"repository:{repository}")


def bounty_id(repository: int, issue: int, shards: int, sweep: int = 0) -> RecordId:
    """Give the one id of an issue's bounty, or of one of its sweeps."""
    parts = (str(repository), str(issue), *((str(sweep),) if sweep else ()))
    return derived_id(MACHINE, shard_for(owner_of_repository(repository), shards), *parts)


def deploy_key(record_id: RecordId, failed: int) -> str:
    """Name the transaction that makes the wallet, for ever; a new one only after that one is proven to have failed."""
    return f"{record_id}/deploy/{failed + 1}"


def approval_key(record_id: RecordId, number: int) -> str:
    """Name the bot's approval of a proposal, for ever."""
    return f"{record_id}/approve/{number}"


def withdrawal_key(record_id: RecordId, number: int) -> str:
    """Name the bot's taking back of an approval, for ever."""
    return f"{record_id}/withdraw/{number}"
