"""What the sandbox tells of its scenario: a few lines, each of which says where one payment is. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class StageMark(StrEnum):
    """How it stands with a line."""

    GOES = "goes"
    WAITS = "waits"
    """A person must do something."""
    DONE = "done"
    BROKE = "broke"


@dataclass(frozen=True, slots=True)
class Line:
    """One story, as it is now."""

    story: str
    about: str
    state: str = ""
    happens: str = ""
    mark: StageMark = StageMark.GOES


Listener = Callable[[Line], None]


class Stage:
    """Keeps the lines in their order, and tells whoever listens of each change."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.listeners: list[Listener] = []

    def tell(self, line: Line) -> None:
        """Change a line, or add it."""
        if self.lines.get(line.story) != line:
            self.lines[line.story] = line
            for listener in self.listeners:
                listener(line)


class Teller:
    """Tells of one story."""

    def __init__(self, stage: Stage, story: str, about: str) -> None:
        self._stage = stage
        self._line = Line(story, about)
        stage.tell(self._line)

    def say(self, state: str, happens: str, mark: StageMark = StageMark.GOES) -> None:
        """Say where it is, and what happens."""
        self._line = replace(self._line, state=state, happens=happens, mark=mark)
        self._stage.tell(self._line)

    def follow(self, state: str, happens: str) -> None:
        """Say what a record's state means; a state about which nothing need be said is passed over."""
        if happens:
            self.say(state.lower(), happens)

    def done(self, state: str, happens: str) -> None:
        """Say that it has reached its end."""
        self.say(state, happens, StageMark.DONE)

    def waits(self, state: str, happens: str) -> None:
        """Say what a person must do."""
        self.say(state, happens, StageMark.WAITS)

    def broke(self, happens: str) -> None:
        """Say that it cannot go on."""
        self.say(self._line.state, happens, StageMark.BROKE)
