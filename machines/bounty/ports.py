"""What bounties need from the world beside the core's `Rail`, `Chain`, `Forge` and `Wallets`."""

from typing import Protocol

from machines.bounty.data import BountyRecord, Hand
from machines.core.saved_address import SavedAddress


class Owners(Protocol):
    """Who owns the wallets of a repository."""

    async def proven(self, repository: int) -> tuple[Hand, ...]:
        """List the maintainers who proved an address; none where the repository is not enabled."""


class Contributors(Protocol):
    """Where contributors want their money."""

    async def address(self, person: int) -> SavedAddress:
        """Give what somebody saved."""


class CommentText(Protocol):
    """What the comment on an issue says."""

    def comment(self, record: BountyRecord) -> str:
        """Write it; empty where there is none."""
