"""What the API takes and answers of bounties: the names are those of Status Open Bounty, so they are kebab-case."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from payflow.web.api.answers import ApiResponse
from payflow.web.http.payloads import ChainAddress, IssueId, Query, RequestBody, SignedText, TransactionHash, Whole


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class KebabAnswer(ApiResponse):
    """Something that the API answers of bounties."""

    model_config = ConfigDict(alias_generator=_kebab, serialize_by_alias=True)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class PublicBounty(KebabAnswer):
    """What anybody may see of a bounty."""

    issue_id: int
    issue_number: int
    issue_title: str
    repo_owner: str
    repo_name: str
    state: str
    contract_address: str | None
    balance_eth: str
    tokens: dict[str, str]


class PublicBounties(KebabAnswer):
    """Bounties that anybody may solve."""

    bounties: list[PublicBounty]


class ClaimingPull(KebabAnswer):
    """A pull request."""

    pr_id: int
    pr_number: int
    pr_title: str
    user_login: str
    commit_sha: str


class BountyClaim(ClaimingPull):
    """A pull request that claims a bounty."""

    state: Annotated[int, Field(ge=0, le=2)]
    """0 opened, 1 merged, 2 closed."""


class ClaimActivity(PublicBounty, ClaimingPull):
    """What became of a claim."""

    type: str


class ActivityFeed(KebabAnswer):
    """What became of claims lately, the newest first."""

    activity: list[ClaimActivity]


class BountyHunter(KebabAnswer):
    """Somebody who was paid."""

    user_login: str
    bounties: int
    total_eth: str


class BountyHunters(KebabAnswer):
    """Who was paid most."""

    hunters: list[BountyHunter]


class BountyPayment(KebabAnswer):
    """Exactly what a confirmation moves, and to whom."""

    to: str
    amounts: dict[str, str]


class BountyShown(PublicBounty):
    """A bounty, as those see it whom it concerns."""

    id: str
    repo_id: int
    transaction_hash: str | None
    commit_sha: str | None
    winner_login: str | None
    payout_address: str | None
    execute_hash: str | None
    confirm_hash: str | None
    payout_hash: str | None
    payout_receipt: dict[str, str] | None
    confirming: Annotated[bool, Field(alias="confirming?")]
    payment: BountyPayment | None
    refund_to: str | None
    question: str | None
    """What another owner, or an operator, is asked to agree to, word for word."""
    doubts: list[str]
    """`reopened`, `reverted`."""
    second_round: Annotated[bool, Field(alias="second-round?")]
    """It was opened again, or labelled anew, after it was over."""
    waiting_for: str | None
    trouble: str | None
    banners: list[str]
    claims: list[BountyClaim]


class BountiesShown(KebabAnswer):
    """The bounties that concern the caller."""

    bounties: list[BountyShown]


class BountyRepository(KebabAnswer):
    """A repository with the app."""

    repo_id: int
    repo_name: str


class BountyRepositories(KebabAnswer):
    """The repositories that the caller maintains."""

    repositories: list[BountyRepository]


class ConfirmationCall(KebabAnswer):
    """What a maintainer's wallet must send to confirm a payment."""

    number: int
    to: str
    data: str
    value: str
    chain_id: str


class SignedWords(KebabAnswer):
    """The words (EIP-4361) that an address signs: once, within 15 minutes, for this alone."""

    message: str


class NamedRefund(KebabAnswer):
    """Where the money of a funding address goes back to."""

    from_: Annotated[str, Field(alias="from")]
    to: str


class NamedRefunds(KebabAnswer):
    """All that was named of a bounty."""

    refunds: list[NamedRefund]


class PayoutAddress(KebabAnswer):
    """Where somebody wants their money."""

    address: str | None
    proven: bool
    next_address: str | None
    """It takes the other one's place when its time has come."""
    next_from: str | None
    next_proven: bool
    """Whether it was signed for: then the other one can give way."""


class Contributor(PayoutAddress):
    """Who the caller is, and where they want their money."""

    id: int | None
    name: str


class WalletOwner(KebabAnswer):
    """An owner of the wallets to come."""

    login: str
    address: str


# ── bodies and queries ───────────────────────────────────────────────────────────────────────────────────────────────


class KebabBody(RequestBody):
    """Something that the API is given of bounties."""

    model_config = ConfigDict(alias_generator=_kebab)


class ConfirmedGiven(KebabBody):
    """The transaction with which a maintainer confirms."""

    payout_hash: TransactionHash
    number: Whole | None = None
    """Of the payment, as it was asked for."""


class AgreedGiven(KebabBody):
    """What somebody agrees to."""

    about: SignedText
    """The bounty's `question`, word for word."""


class IssueGiven(KebabBody):
    """Which bounty."""

    issue_id: IssueId


class RevokedGiven(IssueGiven):
    """Where a bounty's money goes back to."""

    address: ChainAddress


class SignedGiven(KebabBody):
    """The word of an address."""

    message: SignedText
    signature: SignedText

    @property
    def proof(self) -> tuple[str, str]:
        """What was signed, and the signature."""
        return self.message, self.signature


class ProofGiven(SignedGiven):
    """An address, and its word."""

    address: ChainAddress


class AddressGiven(KebabBody):
    """Where the caller wants their money; signed for or not."""

    address: ChainAddress
    message: SignedText | None = None
    signature: SignedText | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.message is None) != (self.signature is None):
            raise PydanticCustomError("half_a_proof", "message and signature go together")
        return self

    @property
    def proof(self) -> tuple[str, str] | None:
        """What was signed, and the signature."""
        return (self.message, self.signature) if self.message and self.signature else None


class RefundGiven(SignedGiven):
    """Where the money of a funding address goes back to, signed by it."""

    from_: Annotated[ChainAddress, Field(alias="from")]
    to: ChainAddress


class ConfirmationAsked(Query):
    """Whose wallet confirms."""

    owner: ChainAddress


class RefundProofAsked(Query):
    """Whose money goes back, and where."""

    from_: Annotated[ChainAddress, Field(alias="from")]
    to: ChainAddress


class ProofAsked(Query):
    """What an address is to prove."""

    model_config = ConfigDict(alias_generator=_kebab)

    address: ChainAddress
    repository: Annotated[str, Field(pattern=r"^[0-9]{1,19}$")] | None = None
    """To own the wallets of this one; without it, to be paid."""
    gives_way_to: ChainAddress | None = None
    """The address that takes its place."""
