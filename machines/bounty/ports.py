"""What bounties need from the world beside the core's `Rail`, `Chain`, `Forge` and `Wallets`."""

from typing import Protocol

from machines.bounty.data import BountyRecord, Hand


class Owners(Protocol):
    """Who owns the wallets of a repository."""

    async def proven(self, repository: int) -> tuple[Hand, ...]:
        """List the maintainers who proved an address; none where the repository is not enabled."""


class Contributors(Protocol):
    """Where contributors want their money."""

    async def address(self, person: int) -> str:
        """Give the address that somebody saved; empty where he saved none."""


class Words(Protocol):
    """What the comment on an issue says."""

    def comment(self, record: BountyRecord) -> str:
        """Write it; empty where there is none."""
