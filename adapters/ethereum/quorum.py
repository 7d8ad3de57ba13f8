"""How many nodes must say the same before it counts. Pure.

What cannot be undone follows only from what *enough* nodes say alike: a majority, unless the settings say otherwise.
Who does not answer agrees to nothing. What is merely planned with (a price, a balance) is the highest value that
enough nodes have reached, so that no single one can raise it, nor lower it while the others answer.

                        alike: agreed()             reached: reached()
    5 5 900             5                           5
    5 5 -               5                           5
    5 - -               nothing, unless trusted     5
    5 900               nothing, unless trusted     5
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Agreed(Generic[T]):
    """What enough nodes say, and which."""

    value: T
    by: frozenset[str]


@dataclass(slots=True)
class Quorum:
    """The rule for the nodes of one chain."""

    nodes: int
    needed: int = 0
    """How many must agree; a majority where none is given."""
    trusted: str = field(default="", init=False)
    """The node whose word counts alone for a time, because people said so."""

    def __post_init__(self) -> None:
        self.needed = self.needed or self.nodes // 2 + 1

    @property
    def alone(self) -> bool:
        """Whether there is one node, whose word counts."""
        return self.nodes == 1

    def agreed(self, said: Sequence[tuple[str, V]]) -> Agreed[V] | None:
        """Find what enough nodes say alike; else what the trusted one says."""
        groups: dict[V, list[str]] = {}
        for name, value in said:
            groups.setdefault(value, []).append(name)
        most = max(groups, key=lambda value: len(groups[value]), default=None)
        # Where fewer than half are needed, two groups may both be enough, and then neither is believed.
        rivals = sum(len(names) >= self.needed for names in groups.values())
        if most is not None and rivals == 1:
            return Agreed(most, frozenset(groups[most]))
        trusted = [value for value, names in groups.items() if self.trusted in names]
        return Agreed(trusted[0], frozenset(groups[trusted[0]])) if trusted and not rivals else None

    def reached(self, values: Sequence[T], rank: Callable[[T], Any]) -> T:
        """Give the highest value that enough of those who answered have reached."""
        return sorted(values, key=rank, reverse=True)[min(self.needed, len(values)) - 1]
