"""What the machines know of a wallet that several people own: values, and the port through which it is used.

Amounts are whole numbers of the smallest unit, as text, because they outgrow every counter: wei for ether.
Addresses are checksummed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from machines.core.chain import Address, TxHash

ETHER = ""
"""The token address that stands for ether."""


@dataclass(frozen=True, slots=True)
class ContractCall:
    """What an account sends: to whom, and the data. Never value: wallets are filled by others."""

    to: str
    """Empty to make a contract."""
    data: str


@dataclass(frozen=True, slots=True)
class Holding:
    """What a wallet holds, or gives, of one asset."""

    token: str
    """Address of the token; `ETHER` for ether."""
    symbol: str
    decimals: int
    units: str

    @property
    def decimal(self) -> str:
        """The amount in the asset's usual unit, without zeros that say nothing."""
        digits = self.units.rjust(self.decimals + 1, "0")
        whole, fraction = digits[: len(digits) - self.decimals], digits[len(digits) - self.decimals :]
        return f"{whole}.{fraction}".rstrip("0").rstrip(".") if self.decimals else digits


@dataclass(frozen=True, slots=True)
class Deposit:
    """What came into a wallet."""

    sender: str
    token: str
    """Address of the token; `ETHER` for ether."""
    units: str


@dataclass(frozen=True, slots=True)
class Creation:
    """How a wallet is made, fixed before anything leaves."""

    kind: str
    owners: tuple[str, ...]
    threshold: int
    call: ContractCall
    address: str = ""
    """Where it will be, when that is known before."""


@dataclass(frozen=True, slots=True)
class WalletProposal:
    """What the bot proposes that a wallet pays, fixed before anything leaves."""

    kind: str
    number: int
    """The how manieth of its bounty."""
    wallet: str
    to: str
    holdings: tuple[Holding, ...]
    """Exactly what it moves."""
    operation: ContractCall
    """What the wallet itself would do."""
    value_units: str
    """The ether that goes along with it, in wei."""
    delegate: bool
    """Whether the wallet runs the other contract's code as its own, as it does to pay several things at once."""
    nonce: int
    """The wallet's own, where it has one."""
    hash: str
    """What the owners agree on, where that is known before."""
    approval: ContractCall
    """What the bot sends to agree."""
    since_block: int
    """Nothing of it can have happened before this block."""


class End(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    """Nothing that can be relied on yet."""
    PAID = "paid"
    """The wallet paid it, deep enough in the chain."""
    FAILED = "failed"
    """The transaction that was named did not pay it, and it may still be paid."""
    DEAD = "dead"
    """It can never be paid any more."""


@dataclass(frozen=True, slots=True)
class ProposalOutcome:
    """What became of a proposal, and where that can be read."""

    end: End
    tx: str = ""
    """The transaction that did it, or is about to."""
    block: int = 0
    why: str = ""
    known: bool = True
    """Whether any node knows a transaction that was named."""
    details: tuple[tuple[str, str], ...] = ()
    """What the receipt says, for the record."""


class Wallets(Protocol):
    """Wallets of one kind on one chain. Reads and builds calls; it sends nothing.

    Every method raises `Retryable` when no node can be asked.
    """

    @property
    def kind(self) -> str:
        """What this kind is called."""

    async def creation(self, owners: Sequence[Address], threshold: int, salt: str, /) -> Creation:
        """Say how a wallet of these owners is made; the same salt gives the same wallet, where the kind allows it."""

    def is_approval(self, proposal: WalletProposal, /) -> bool:
        """Tell whether what would be sent to agree to a proposal is just that, and no other call."""

    async def made(self, creation: Creation, tx: TxHash, /) -> Address | None:
        """Find the wallet that a transaction made, and see that it is the one that was wanted.

        None where that transaction made none. `Contradiction` where it made another one.
        """

    async def existing(self, creation: Creation, /) -> Address | None:
        """Find the wallet where it must be, whoever made it; None where the place is not known or empty."""

    async def holdings(self, wallet: Address, /) -> tuple[Holding, ...]:
        """List what a wallet holds of ether and of the tokens that count here; what it has none of is left out."""

    async def deposits(self, wallet: Address, made_by: TxHash, /) -> tuple[Deposit, ...] | None:
        """List what came in since a transaction that is known; None where that cannot be told for sure.

        What was forced into it without its knowledge is not there.
        """

    async def propose(
        self, wallet: Address, to: Address, holdings: Sequence[Holding], number: int, /
    ) -> WalletProposal:
        """Fix a payment of these amounts."""

    async def approved(self, proposal: WalletProposal, tx: TxHash, /) -> str:
        """Read from the receipt of the bot's approval what the others must confirm; empty where it approved nothing."""

    async def confirmation(self, proposal: WalletProposal, confirm_hash: str, owner: Address, /) -> ContractCall:
        """Say what another owner sends so that the wallet pays; `Rejected` where it would fail now."""

    async def outcome(self, proposal: WalletProposal, confirm_hash: str, named: Sequence[str], /) -> ProposalOutcome:
        """Say what became of a proposal: by its effect, whoever brought it about, and by the transactions named."""

    def withdrawal(self, proposal: WalletProposal, confirm_hash: str, /) -> ContractCall | None:
        """Say how the bot takes its approval back; None where the next proposal takes its place by itself."""

    async def withdrawn(self, proposal: WalletProposal, confirm_hash: str, /) -> bool:
        """Say whether the bot's approval is taken back, for good."""
