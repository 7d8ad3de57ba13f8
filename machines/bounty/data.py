"""What bounties and repositories keep, and what an operator may set about them.

The names that others read (`transaction_hash`, `confirm_hash`, …) are here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from machines.core.clock import DAY, HOUR, MINUTE
from machines.core.decision import Decision
from machines.core.forge import ForgeIssue, Place, PullRequest, PullState
from machines.core.ids import Owner, RecordId, derived_id, shard_for
from machines.core.record import Record
from machines.core.wallets import Creation, Holding, WalletProposal

MACHINE = "bounty"
REPOSITORY_MACHINE = "repository"
MOST_CLAIMS = 50
MOST_CLAIMS_A_PERSON = 3
"""Of claims that were not merged: anybody may write an issue's number into as many pull requests as they like."""


class Doubt(StrEnum):
    """Why work that was merged may not be what is to be paid."""

    REOPENED = "reopened"
    """The issue was opened again after the merge."""
    REVERTED = "reverted"
    """A pull request that takes the work back was merged."""


@dataclass(frozen=True, slots=True)
class Hand:
    """One owner of a wallet, who proved that its address is his."""

    person: int
    login: str
    address: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Somebody's word that what is asked about shall be paid."""

    person: int
    """0 for an operator."""
    name: str
    about: str
    """The question, as `BountyData.question` puts it: a word about another one is no word about this."""


@dataclass(frozen=True, slots=True)
class ProposalAttempt:
    """A proposal, with what became of it. Its key is never used for another one."""

    proposal: WalletProposal
    refund: bool = False
    execute_hash: str = ""
    confirm_hash: str = ""
    retracted: bool = False
    """Whether another one shall take its place."""
    withdrawn: bool = False
    """Whether the bot's approval of it is surely worth nothing any more."""
    seal: str = ""
    """A worker's, over all of the proposal and whose it is; empty where an older version made it."""


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
    reopened_at: int = 0
    """When the issue was last opened again, by the forge's clock."""
    relabelled_at: int = 0
    """When the label was last put on, by the same clock."""
    reverted: tuple[int, ...] = ()
    """Numbers of claims that were merged and taken back since."""
    ended_at: int = 0
    """The newest that was known of the issue when the wallet had paid, by the same clock."""
    # ── the wallet ──
    creation: Creation | None = None
    creation_seal: str = ""
    """A worker's, over how it is made; empty where an older version planned it."""
    deploys: int = 0
    """How many transactions that should make the wallet are proven to have failed."""
    hands: tuple[Hand, ...] = ()
    """The wallet's owners beside the bot, as they were when it was made."""
    transaction_hash: str = ""
    """Of the transaction that made the wallet."""
    contract_address: str = ""
    wallet_seal: str = ""
    """A worker's, over where it is."""
    holdings: tuple[Holding, ...] = ()
    # ── who gets it ──
    claims: tuple[PullRequest, ...] = ()
    known_merges: tuple[int, ...] = ()
    """Ids of the merged claims that somebody, or the first merge, has decided about."""
    doubtful: tuple[int, ...] = ()
    """Ids of merged claims that may have been written into a pull request after its merge."""
    winner_pull: int = 0
    """Id of the pull request that wins."""
    winner_id: int = 0
    winner_login: str = ""
    winner_seal: str = ""
    """That of two people who took over who wins, where the forge does not show it any more."""
    commit_sha: str = ""
    payout_address: str = ""
    address_changes: tuple[tuple[int, int], ...] = ()
    """Of those who claim it, who replaces the address where they are paid, and from when on the new one counts."""
    asked_at: int = 0
    """Since when the winner is asked for an address."""
    reminders: int = 0
    # ── the payment ──
    attempts: tuple[ProposalAttempt, ...] = ()
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
    deposits_since: str = ""
    """The transaction since which what came in is still there; empty for the one that made the wallet."""
    refund_to: str = ""
    revoked_by: str = ""
    revoked_by_id: int = 0
    refund_named: tuple[tuple[str, str], ...] = ()
    """Addresses that funded the wallet, each with the one that it signed for to get its money back at."""
    # ── whose hands ──
    agreements: tuple[Agreement, ...] = ()
    hand_wanted: str = ""
    """The question on which the bot's own approval waits."""
    told_about: str = ""
    """The question that the comment tells everybody of, and since when it does."""
    told_at: int = 0
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
    def current(self) -> ProposalAttempt | None:
        """The payment that is under way."""
        newest = self.attempts[-1] if self.attempts else None
        return newest if newest and not newest.retracted else None

    @property
    def to_withdraw(self) -> ProposalAttempt | None:
        """An approval that must be taken back before another one is given."""
        return next((each for each in self.attempts if each.retracted and not each.withdrawn), None)

    @property
    def merged(self) -> tuple[PullRequest, ...]:
        """The claims that were merged, the first one first."""
        merged = (claim for claim in self.claims if claim.state == PullState.MERGED)
        return tuple(sorted(merged, key=lambda claim: (claim.merged_at, claim.id)))

    @property
    def claimants(self) -> Mapping[int, str]:
        """Who claims it: their accounts, and what these are called."""
        return {claim.author_id: claim.author for claim in self.claims}

    @property
    def rivals(self) -> tuple[PullRequest, ...]:
        """The merged claims that nobody has decided about, the first one first."""
        return tuple(claim for claim in self.merged if claim.id not in self.known_merges)

    @property
    def surely_won(self) -> bool:
        """Whether a merged claim is beyond doubt, so that somebody must get it."""
        return any(claim.id not in self.doubtful and claim.merged_at >= self.labelled_at for claim in self.merged)

    @property
    def merged_at(self) -> int:
        """When the winning claim was merged, by the forge's clock."""
        return next((claim.merged_at for claim in self.claims if claim.id == self.winner_pull), 0)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why the winner's work may not be what is to be paid."""
        if not self.winner_pull:
            return ()
        winning = next((claim.number for claim in self.claims if claim.id == self.winner_pull), 0)
        found = {Doubt.REOPENED: self.reopened_at > self.merged_at, Doubt.REVERTED: winning in self.reverted}
        return tuple(doubt for doubt, is_so in found.items() if is_so)

    @property
    def second_round(self) -> bool:
        """Whether the issue was opened again, or labelled anew, since it was won or given back."""
        ended_at = self.merged_at or self.ended_at
        return bool(ended_at) and max(self.reopened_at, self.relabelled_at) > ended_at

    @property
    def question(self) -> str:
        """Name what another hand is asked about: who is paid, and what speaks against it."""
        if self.refund_to:
            return f"refund to {self.refund_to}"
        reopened = f" reopened {self.reopened_at}" if Doubt.REOPENED in self.doubts else ""
        return f"pull {self.winner_pull}{reopened}{' reverted' if Doubt.REVERTED in self.doubts else ''}"

    @property
    def wanted(self) -> bool:
        """Whether the issue asks for work."""
        return self.issue_open and self.labelled and not self.gone

    def with_attempt(self, number: int, **changes: Any) -> "BountyData":
        """Change one attempt; the hashes of the current one are the bounty's."""
        data = replace(
            self,
            attempts=tuple(replace(one, **changes) if one.proposal.number == number else one for one in self.attempts),
        )
        current = data.current
        return replace(
            data,
            execute_hash=current.execute_hash if current else "",
            confirm_hash=current.confirm_hash if current else "",
        )

    def winning(self, pull: PullRequest) -> "BountyData":
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

    def with_issue(self, issue: ForgeIssue, *, read: bool = False) -> "BountyData":
        """Learn what the issue is now, unless something newer is known.

        The forge writes seconds: of two deliveries of one second nobody can tell which is newer, so it is read anew.
        """
        if issue.labelled_at and not self.labelled_at:
            return replace(self, labelled_at=issue.labelled_at).with_issue(issue, read=read)
        if issue.updated_at < self.issue_updated_at:
            # When it was opened again or labelled stays true, however late the news comes.
            return _with_past(self, issue.reopened_at, issue.labelled_at)
        same = (issue.title, issue.open, issue.labelled) == (self.title, self.issue_open, self.labelled)
        if issue.updated_at == self.issue_updated_at and not read and not same:
            return replace(self, swept_at=0)
        return _with_past(
            replace(
                self,
                title=issue.title,
                issue_open=issue.open,
                labelled=issue.labelled,
                issue_updated_at=issue.updated_at,
            ),
            issue.reopened_at or (issue.updated_at if issue.open and not self.issue_open else 0),
            issue.labelled_at or (issue.updated_at if issue.labelled and not self.labelled else 0),
        )

    def with_claim(self, pull: PullRequest, *, read: bool = False) -> "BountyData":
        """Learn what a pull request is now. A merge is for ever; one that no longer names the issue claims nothing."""
        known = next((claim for claim in self.claims if claim.id == pull.id), None)
        if known is not None and (known.state == PullState.MERGED or pull.updated_at < known.updated_at):
            return self
        doubtful = known is not None and pull.updated_at == known.updated_at and pull != known
        if doubtful and not read and pull.state != PullState.MERGED:
            return replace(self, swept_at=0)
        others = tuple(claim for claim in self.claims if claim.id != pull.id)
        return replace(self, claims=_bounded((*others, pull) if self.place.number in pull.closes else others))

    def with_reverts(self, *pulls: PullRequest) -> "BountyData":
        """Learn which claims were taken back by what was merged."""
        taken_back = {number for pull in pulls if pull.state == PullState.MERGED for number in pull.reverts}
        known = {claim.number for claim in self.claims}
        return replace(self, reverted=tuple(sorted({*self.reverted, *(taken_back & known)})))


def _with_past(data: BountyData, reopened_at: int, labelled_at: int) -> BountyData:
    """Learn when it was opened again and labelled."""
    return replace(
        data,
        reopened_at=max(reopened_at, data.reopened_at),
        relabelled_at=max(labelled_at, data.relabelled_at),
    )


def _bounded(claims: Iterable[PullRequest]) -> tuple[PullRequest, ...]:
    """Keep every claim that was merged, and of the others the newest: open ones first, few of one person."""
    first, of_person = [], Counter[int]()
    for claim in sorted(claims, key=lambda claim: (claim.state == PullState.CLOSED, -claim.updated_at, -claim.id)):
        merged = claim.state == PullState.MERGED
        if not merged and (of_person[claim.author_id] >= MOST_CLAIMS_A_PERSON or of_person.total() >= MOST_CLAIMS):
            continue
        of_person[claim.author_id] += not merged
        first.append(claim)
    return tuple(sorted(first, key=lambda claim: claim.number))


@dataclass(frozen=True, slots=True)
class RepositoryData:
    """What is known of a repository."""

    number: int
    """The forge's own, which stays."""
    name: str
    installation: int
    hands: tuple[Hand, ...] = ()
    """Maintainers who proved an address."""
    private: bool = False
    """Whether what it is about is nobody else's business."""


BountyRecord = Record[BountyData]
Choice = Decision[BountyData]
RepositoryRecord = Record[RepositoryData]


def owner_of_repository(repository: int) -> Owner:
    """Name whom the bounties of a repository belong to: by its number, because names change."""
    return Owner(f"repository:{repository}")


def bounty_id(repository: int, issue: int, shards: int) -> RecordId:
    return derived_id(MACHINE, shard_for(owner_of_repository(repository), shards), str(repository), str(issue))


def repository_id(number: int, shards: int) -> RecordId:
    return derived_id(REPOSITORY_MACHINE, shard_for(owner_of_repository(number), shards), str(number))


def deploy_key(record_id: RecordId, failed: int) -> str:
    """Name the transaction that makes the wallet, for ever; a new one only after that one is proven to have failed."""
    return f"{record_id}/deploy/{failed + 1}"


def approval_key(record_id: RecordId, number: int) -> str:
    """Name the bot's approval of a proposal, for ever."""
    return f"{record_id}/approve/{number}"


def withdrawal_key(record_id: RecordId, number: int) -> str:
    """Name the bot's taking back of an approval, for ever."""
    return f"{record_id}/withdraw/{number}"


@dataclass(frozen=True, slots=True)
class BountyPolicy:
    """How bounties are treated."""

    threshold: int = 2
    """How many owners of a wallet must agree; the bot is one of them."""
    recovery: str = ""
    """Address of one more owner of every wallet, so that one lost key freezes nothing; empty for none."""
    sweep_ms: int = 6 * HOUR
    """How often the forge is read as a whole, because deliveries get lost."""
    remind_ms: int = 3 * DAY
    """How often a winner without an address is reminded."""
    deadline_ms: int = 30 * DAY
    """After how long without an address a maintainer may name another winner."""
    vanish_ms: int = 30 * MINUTE
    """How long a transaction that no node knows is waited for before the maintainer is asked again."""
    edited_ms: int = MINUTE
    """A pull request that changed so long after its merge may have been edited; the forge does not say what changed."""
    public_ms: int = 7 * DAY
    """How long the comment tells of a payment before it goes on, where nobody is there to be the other hand."""
    fresh_ms: int = 5 * MINUTE
    """How old what was read at the forge may be when money is given back, or paid out once more."""
    most_banners: int = 10
