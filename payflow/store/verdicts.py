"""What the last walk over the books found, kept in the store so that every process can tell it."""

from dataclasses import dataclass

from machines.core.clock import Millis
from payflow.store import keys
from payflow.store.link import Link

_FIELD = "books"


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """Whether the books were true, and when that was found."""

    at: Millis
    conserved: bool


async def remember(link: Link, verdict: LedgerCheck) -> None:
    """Keep a verdict in place of the last one."""
    await link.ask("HSET", keys.META, _FIELD, f"{verdict.at} {int(verdict.conserved)}")


async def last(link: Link) -> LedgerCheck | None:
    """Give the last verdict; None while nobody has walked over the books."""
    kept = await link.ask("HGET", keys.META, _FIELD)
    if kept is None:
        return None
    at, conserved = kept.split()
    return LedgerCheck(Millis(int(at)), conserved == b"1")
