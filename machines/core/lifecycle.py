"""The table of a machine: its states, its moves, and nothing else decides.

`transitions` reads the table once, refuses what does not fit and draws the diagram. At run time a move is one look-up
in a frozen map, because a trigger of `transitions` costs a thousand times as much.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from transitions import Machine

from machines.core.errors import BadInput, IllegalMove

OVERRIDE = "override"

# The only moves that leave a final state: money came back, money left after all, a person decided.
REOPENING = frozenset({"reverse", "contradict", OVERRIDE})


class Position(StrEnum):
    """Where a record's money is in the owner's account."""

    AVAILABLE = "available"
    HELD = "held"
    PAID = "paid"


class RailPosition(StrEnum):
    """Where a record's money is on the rail's side of the books."""

    IN_FLIGHT = "in_flight"
    """Handed over, and not proven either way."""
    SETTLED = "settled"
    """Proven to have left for good."""


class By(StrEnum):
    """Who moves a record on from a state."""

    POLLER = "poller"
    PERSON = "person"
    OUTSIDE = "outside"
    NOBODY = "nobody"


class UnknownState(BadInput):
    """This version does not know the state; another version of Payflow may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state with its facts."""

    name: str
    """What the record's state is called, in capitals."""
    means: str
    """One sentence for people."""
    by: By
    """Who moves it on."""
    position: Position | None = None
    """Where the money is; none where the machine holds nobody's money."""
    at_rail: RailPosition | None = None
    """Where it is on the rail's side; none where nothing is there, or the machine has nothing to do with a rail."""
    public: str = ""
    """What the owner of the record is told; the name in small letters when empty."""
    every_s: int | None = None
    """How often the poller looks again when a look learned nothing."""
    stuck_after_s: int | None = None
    """After how long in this state somebody should ask why."""
    sends: bool = False
    """Whether its act may send something that cannot be taken back."""
    may_have_left: bool = False
    """Whether the money may have left while the record is here; a sending state always says so."""
    cleared: bool = False
    """Whether what is here goes out with nobody's further yes, or on one person's; a sending state always says so."""
    final: bool = False
    """Whether the record's story ends here; only a reopening move leaves it."""

    @property
    def gone(self) -> bool:
        """Whether the money may have left, or surely has."""
        return self.may_have_left or self.position is Position.PAID

    @property
    def says_gone(self) -> bool:
        """Whether a record that ends here says that its money has left for good."""
        return self.position is Position.PAID or (self.position is None and self.final and self.may_have_left)

    def __post_init__(self) -> None:
        if self.sends:
            object.__setattr__(self, "may_have_left", True)
            object.__setattr__(self, "cleared", True)


@dataclass(frozen=True, slots=True)
class Move:
    """A named trigger from some states to one, and why it happens."""

    trigger: str
    sources: tuple[str, ...]
    target: str
    cause: str


class Lifecycle:
    """What records of one machine can be and do."""

    def __init__(self, machine: str, *, states: Iterable[State], moves: Iterable[Move], initial: str) -> None:
        self.machine = machine
        self.initial = initial
        self.states: Mapping[str, State] = MappingProxyType({str(state.name): state for state in states})
        self.moves = tuple(moves)
        self._check()
        self._targets: Mapping[tuple[str, str], State] = MappingProxyType(
            {
                (source, trigger): self.states[str(transition[0].dest)]
                for trigger, event in self._read_by_transitions().events.items()
                for source, transition in event.transitions.items()
            }
        )

    def state(self, name: str) -> State:
        """Give the facts of a state."""
        try:
            return self.states[name]
        except KeyError:
            raise UnknownState(
                f"This version does not know the {self.machine} state {name!r}. Run the version that wrote it."
            ) from None

    def target(self, source: str, trigger: str) -> State:
        """Tell where a trigger leads from a state, or refuse."""
        try:
            return self._targets[source, trigger]
        except KeyError:
            possible = ", ".join(self.triggers(source)) or "nothing"
            raise IllegalMove(f"A {self.machine} in {source} cannot {trigger}; it can: {possible}.") from None

    def triggers(self, source: str) -> tuple[str, ...]:
        return tuple(trigger for state, trigger in self._targets if state == source)

    def mermaid(self) -> str:
        """Draw the diagram as mermaid text."""
        from transitions.extensions import GraphMachine  # noqa: PLC0415  (only a diagram needs the extensions)

        machine = self._read_by_transitions(GraphMachine, graph_engine="mermaid")
        # What stands before the diagram is a title, not as mermaid writes it.
        drawn = str(machine.graph_cls(machine).get_graph(self.machine).source).rpartition("---\n")[2]
        lines = (
            line for line in drawn.splitlines() if "classDef" not in line and not line.lstrip().startswith("Class ")
        )
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def _read_by_transitions(self, kind: type[Machine] = Machine, **options: Any) -> Machine:
        return kind(
            model=None,
            states=list(self.states),
            transitions=[
                {"trigger": move.trigger, "source": source, "dest": move.target}
                for move in self.moves
                for source in move.sources
            ],
            initial=self.initial,
            auto_transitions=False,
            **options,
        )

    def _check(self) -> None:
        """Refuse a table that leaves a record without a way or without somebody who looks after it."""
        self._check_moves()
        leaving = {source for move in self.moves for source in move.sources}
        reachable = self._reachable()
        for name, state in self.states.items():
            faults = {
                f"nothing leads to {name}": name not in reachable,
                f"nothing leads out of {name}": not state.final and name not in leaving,
                f"{name} needs a poller and its pace, or neither": (state.by is By.POLLER)
                != (state.every_s is not None),
                f"nobody looks after {name}": not state.final and state.by is By.NOBODY,
                f"only a poller sends, {name} has none": state.sends and state.by is not By.POLLER,
            }
            for fault, found in faults.items():
                if found:
                    raise IllegalMove(f"{self.machine}: {fault}.")
        if len({state.position is None for state in self.states.values()}) > 1:
            raise IllegalMove(f"{self.machine}: either every state has a position or none has.")

    def _check_moves(self) -> None:
        if self.initial not in self.states:
            raise IllegalMove(f"{self.machine}: the initial state {self.initial} is not there.")
        seen: set[tuple[str, str]] = set()
        for move in self.moves:
            for name in (*move.sources, move.target):
                if name not in self.states:
                    raise IllegalMove(f"{self.machine}: {move.trigger} names the state {name}, which is not there.")
            for source in move.sources:
                if (source, move.trigger) in seen:
                    raise IllegalMove(f"{self.machine}: {move.trigger} leaves {source} twice.")
                seen.add((source, move.trigger))
                if self.states[source].final and move.trigger not in REOPENING:
                    raise IllegalMove(f"{self.machine}: {source} is final, {move.trigger} cannot leave it.")

    def _reachable(self) -> set[str]:
        reached: set[str] = set()
        following = {self.initial}
        while following:
            reached |= following
            following = {move.target for move in self.moves if reached.intersection(move.sources)} - reached
        return reached
