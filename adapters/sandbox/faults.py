"""What can go wrong between a caller and a gateway, as values; and the script that says when it does.

The question that every one of them asks: did the request take effect? `created` says so, and the caller cannot see it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Protocol


class Kind(StrEnum):
    """How an exchange ends badly."""

    UNAVAILABLE = "unavailable"
    """503 with the gateway's own JSON, as after its 28 s."""
    HTML = "html"
    """502 with a page of the proxy in front of it."""
    RESET = "reset"
    """The connection is gone."""
    CUT = "cut"
    """The connection is gone in the middle of the answer."""
    TRUNCATED = "truncated"
    """Half of the answer's JSON, as if it were all."""
    SLOW = "slow"
    """The right answer, late."""
    RATE_LIMITED = "rate_limited"
    """429; never takes effect."""
    HUGE = "huge"
    """An answer without end."""
    EMPTY = "empty"
    """200 and nothing."""
    UNTRUE = "untrue"
    """200 and an error in the body."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to answer badly, and whom."""

    kind: Kind
    created: bool = False
    """Whether the request takes effect before its answer is spoilt."""
    delay_s: float = 0.0
    """How long the caller waits for it; for 429 what it asks him to wait."""
    times: int = 1
    """How many requests it meets."""
    where: str = ""
    """Which requests, such as `GET /v3/transfers*`; those that pay when empty."""
    reference: str = "*"
    """Of which payments."""


class Target(Protocol):
    """What a fault sees of a request."""

    @property
    def line(self) -> str:
        """Method and path, such as `POST /v3/transfers`."""

    @property
    def pays(self) -> bool:
        """Whether it asks for money to move."""

    @property
    def reference(self) -> str:
        """Of which payment it speaks; empty when that cannot be told."""


class Faults:
    """The script: faults are used up in the order in which they were written."""

    def __init__(self) -> None:
        self._script: list[Fault] = []
        self.by_destination: Callable[[Target], Fault | None] = lambda _: None
        """What a magic account asks for; the script comes first."""

    def add(self, *faults: Fault) -> None:
        """Write faults into the script."""
        self._script.extend(fault for fault in faults if fault.times > 0)

    def clear(self) -> None:
        """Forget the script."""
        self._script.clear()

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._script))

    def take(self, target: Target) -> Fault | None:
        """Say how to answer this request badly, if at all, and cross it off."""
        for place, fault in enumerate(self._script):
            there = fnmatchcase(target.line, fault.where) if fault.where else target.pays
            if there and fnmatchcase(target.reference, fault.reference):
                left = replace(fault, times=fault.times - 1)
                self._script[place : place + 1] = [left] if left.times else []
                return fault
        return self.by_destination(target)
