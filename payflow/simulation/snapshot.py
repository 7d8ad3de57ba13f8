"""All that the store holds at a moment, to be put back: it is emptied between runs, and it may forget."""

from dataclasses import dataclass

from payflow.store.link import Link

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every key with its value."""

    values: tuple[tuple[str, bytes], ...]

    @classmethod
    async def of(cls, link: Link) -> "Snapshot":
        """Read all that the store holds."""
        keys = [key async for key in link.keys("*")]
        values = await link.pipeline([("DUMP", key) for key in keys]) if keys else []
        return cls(tuple(zip(keys, values, strict=True)))

    async def put_back(self, link: Link) -> None:
        """Make the store hold this, and nothing else."""
        await link.pipeline([("FLUSHDB",), *(("RESTORE", key, 0, value) for key, value in self.values)])
