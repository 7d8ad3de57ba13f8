"""A machine: its table, the shape of its data, how it thinks and what its looks do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from machines.core.clock import Millis
from machines.core.decision import Decision
from machines.core.errors import IllegalMove
from machines.core.facts import Fact, Reading
from machines.core.lifecycle import Lifecycle
from machines.core.ports import Act, PermitSigner
from machines.core.rail_share import ShareOf
from machines.core.record import Record

D = TypeVar("D")

Prove: TypeAlias = Callable[[Record[D]], Awaitable[Reading]]

Anew: TypeAlias = Callable[[str, str], tuple[str, str]]
"""Takes something sealed and its name; gives the same under the newest key, and its name, which it may have lacked."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait before the next try: full jitter up to a delay that doubles and is capped."""

    base_s: float = 1.0
    cap_s: float = 300.0

    def delay_s(self, tries: int, jitter: float) -> float:
        """Give the wait after this many tries; `jitter` is between 0 and 1 and spreads the tries of many records."""
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(tries, 30))
        return max(self.base_s / 2, ceiling * jitter)


@dataclass(frozen=True, slots=True)
class SealAdoption(Generic[D]):
    """How two people take over what an older version had approved, which sealed nothing."""

    waits: Callable[[Record[D]], bool]
    """Whether a record would be sent, and nothing in it is sealed."""
    sealed: Callable[[Record[D], PermitSigner, str, Millis], D]
    """Gives its data sealed, exactly as they are, by these people at this time."""


@dataclass(frozen=True, slots=True)
class Machine(Generic[D]):
    """Everything that the engine needs to run records of one kind."""

    lifecycle: Lifecycle
    data: type[D]
    react: Callable[[Record[D], Fact, Millis], Decision[D]]
    acts: Mapping[str, Act[D]] = field(default_factory=dict)
    """For each polled state, what a look does."""
    retry: RetryPolicy = RetryPolicy()
    prove: Prove[D] | None = None
    """Asks what rail, chain or pool say of a record before a person decides; None where there is nobody to ask."""
    retried: Callable[[str], Fact] | None = None
    """Makes the fact with which an operator, by name, asks for the move `retry`; None where there is none."""
    open_until: Callable[[Record[D]], Millis] | None = None
    """Until when the world may still change what became of a finished record, or rules judge by it; before that it is
    not archived."""
    reseal: Callable[[D, Anew], D] | None = None
    """Gives the data with all that is sealed in them sealed anew; None where nothing is sealed."""
    adoption: SealAdoption[D] | None = None
    """None where nothing is approved."""
    rail_share: ShareOf | None = None
    """What a record has in the accounts of its rail, in each state that says so; None where no state does."""
    money: bool = field(init=False, default=False)
    """Whether its states have positions, so that its moves move money."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "money", any(state.position for state in self.lifecycle.states.values()))
        if any(state.at_rail for state in self.lifecycle.states.values()) != (self.rail_share is not None):
            raise IllegalMove(f"{self.name}: states that are on a rail's side need a share of it, and only they.")

    @property
    def name(self) -> str:
        return self.lifecycle.machine


AnyMachine = Machine[Any]
