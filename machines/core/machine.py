"""A machine: its table, the shape of its data, how it thinks and what its looks do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from machines.core.clock import Millis
from machines.core.decision import Decision
from machines.core.facts import Fact, Proof
from machines.core.lifecycle import Lifecycle
from machines.core.ports import Act
from machines.core.record import Record
from machines.core.retry import RetryPolicy

D = TypeVar("D")

Prove: TypeAlias = Callable[[Record[D]], Awaitable[Proof]]


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
    """Asks the rail about a record's money before a person overrides it; None where no money leaves."""
    retried: Callable[[str], Fact] | None = None
    """Makes the fact with which an operator, by name, asks for the move `retry`; None where there is none."""
    open_until: Callable[[Record[D]], Millis] | None = None
    """Until when the world may still change what became of a finished record; before that it is not archived."""
    money: bool = field(init=False, default=False)
    """Whether its states have positions, so that its moves move money."""

    def __post_init__(self) -> None:
        positions = any(state.position for state in self.lifecycle.states.values())
        object.__setattr__(self, "money", positions)

    @property
    def name(self) -> str:
        return self.lifecycle.machine


AnyMachine = Machine[Any]
