"""Where the states and moves of a lifecycle stand on a picture: pure, the same for every machine.

Layers: a state stands one layer behind the farthest state that leads to it, moves that go back left out. A move over
several layers passes each through a gap of its own, so that no line crosses a box. Then order and distance are evened
out a few times, each layer against its neighbours.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from machines.core.lifecycle import OVERRIDE, Lifecycle

ROUNDS = 12

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is: along the flow, and across it."""

    long: int
    """Length of a box along the flow."""
    wide: int
    """Breadth of a box across the flow."""
    between_layers: int
    between_boxes: int
    line: int
    """Breadth that a passing line needs."""


@dataclass(frozen=True, slots=True)
class DiagramLine:
    """The moves from one state to another, as points along the flow."""

    source: str
    target: str
    triggers: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    """Along and across; the first on the edge of the source's box, the last on that of the target's."""
    back: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture before it is drawn: every box by its middle."""

    size: Size
    boxes: Mapping[str, tuple[float, float]]
    lines: Sequence[DiagramLine]
    length: float
    breadth: float


def lay_out(lifecycle: Lifecycle, size: Size) -> Layout:
    """Say where everything stands."""
    return _laid_out(lifecycle, size)


@cache
def _laid_out(lifecycle: Lifecycle, size: Size) -> Layout:
    moves = _moves(lifecycle)
    back = _back(lifecycle, moves)
    layer = _layers(lifecycle, moves, back)
    ways = {pair: _way(pair, layer, turned=pair in back) for pair in moves}
    rows = _ordered(layer, ways)
    across = _spread(rows, ways, size)
    middle = {node: (place * (size.long + size.between_layers) + size.long / 2) for node, place in layer.items()}
    for way in ways.values():
        first = layer[way[0]]
        for step, node in enumerate(way[1:-1], start=1):
            middle[node] = (first + step) * (size.long + size.between_layers) + size.long / 2
    lines = [_line(pair, tuple(moves[pair]), ways[pair], middle, across, size, turned=pair in back) for pair in moves]
    boxes = {name: (middle[name], across[name]) for name in lifecycle.states}
    length = (max(layer.values()) + 1) * (size.long + size.between_layers) - size.between_layers
    breadth = max(at + (size.wide if node in boxes else size.line) / 2 for node, at in across.items())
    return Layout(size, boxes, lines, length, breadth)


def _moves(lifecycle: Lifecycle) -> dict[Pair, list[str]]:
    moves: dict[Pair, list[str]] = defaultdict(list)
    for move in lifecycle.moves:
        for source in move.sources:
            if move.trigger != OVERRIDE and source != move.target:
                moves[source, move.target].append(move.trigger)
    return dict(moves)


def _back(lifecycle: Lifecycle, moves: Mapping[Pair, object]) -> set[Pair]:
    """Find the moves that lead back to a state on their own way."""
    back: set[Pair] = set()
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        for source, target in moves:
            if source == name and target in way:
                back.add((source, target))
            elif source == name and target not in done:
                follow(target, (*way, target))
        done.add(name)

    for name in (lifecycle.initial, *lifecycle.states):
        if name not in done:
            follow(name, (name,))
    return back


def _layers(lifecycle: Lifecycle, moves: Mapping[Pair, object], back: set[Pair]) -> dict[str, int]:
    layer = dict.fromkeys(lifecycle.states, 0)
    forward = [pair for pair in moves if pair not in back]
    for _ in lifecycle.states:
        for source, target in forward:
            layer[target] = max(layer[target], layer[source] + 1)
    return layer


def _way(pair: Pair, layer: Mapping[str, int], *, turned: bool) -> list[str]:
    """Name the nodes that a line passes, along the flow: its ends, and a gap in each layer between them.

    All lines to one state pass the same gaps, so that they join on their way, as tracks do before a station.
    """
    source, target = reversed(pair) if turned else pair
    gaps = range(layer[source] + 1, layer[target])
    return [source, *(f"{pair[1]}{turned:d}#{place}" for place in gaps), target]


def _ordered(layer: Mapping[str, int], ways: Mapping[Pair, list[str]]) -> list[list[str]]:
    """Order each layer by where its neighbours stand."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name, place in layer.items():
        rows[place].append(name)
    for way in ways.values():
        for step, node in enumerate(way[1:-1], start=1):
            row = rows[layer[way[0]] + step]
            if node not in row:
                row.append(node)
    before, behind = _neighbours(ways)
    for turn in range(ROUNDS):
        near = before if turn % 2 == 0 else behind
        positions = {node: place - len(row) / 2 for row in rows for place, node in enumerate(row)}
        for row in rows if turn % 2 == 0 else reversed(rows):
            wanted = {node: _mean([positions[one] for one in near[node]], positions[node]) for node in row}
            row.sort(key=lambda node: wanted[node])
            positions |= {node: place - len(row) / 2 for place, node in enumerate(row)}
    return rows


def _neighbours(ways: Mapping[Pair, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = defaultdict(list)
    behind: dict[str, list[str]] = defaultdict(list)
    for way in ways.values():
        for one, other in pairwise(way):
            before[other].append(one)
            behind[one].append(other)
    return before, behind


def _spread(rows: list[list[str]], ways: Mapping[Pair, list[str]], size: Size) -> dict[str, float]:
    """Say where each node stands across the flow: near its neighbours, and never over another one."""
    before, behind = _neighbours(ways)
    at: dict[str, float] = {}
    for row in rows:
        place = 0.0
        for node in row:
            at[node] = place
            place += _breadth(node, size) + size.between_boxes
    for turn in range(ROUNDS):
        for row in rows if turn % 2 == 0 else reversed(rows):
            near = before if turn % 2 == 0 else behind
            wanted = [_mean([at[one] for one in (near[node] or before[node] + behind[node])], at[node]) for node in row]
            at |= dict(zip(row, _apart(row, wanted, size), strict=True))
    least = min(at[node] - _breadth(node, size) / 2 for node in at)
    return {node: place - least for node, place in at.items()}


def _apart(row: list[str], wanted: list[float], size: Size) -> list[float]:
    """Move what would overlap apart, half of it each way."""
    pushed = list(wanted)
    for place in range(1, len(row)):
        least = (_breadth(row[place - 1], size) + _breadth(row[place], size)) / 2 + size.between_boxes
        pushed[place] = max(pushed[place], pushed[place - 1] + least)
    shift = _mean([want - got for want, got in zip(wanted, pushed, strict=True)], 0.0)
    return [got + shift for got in pushed]


def _breadth(node: str, size: Size) -> float:
    return size.line if "#" in node else size.wide


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(
    pair: Pair,
    triggers: tuple[str, ...],
    way: list[str],
    middle: Mapping[str, float],
    across: Mapping[str, float],
    size: Size,
    *,
    turned: bool,
) -> DiagramLine:
    """Lead a line from edge to edge; where lines share an edge they do not share a point."""
    first, last, half = way[0], way[-1], size.long / 2
    ends = [
        (middle[first] + half, _port(across, first, way[1], size)),
        (middle[last] - half, _port(across, last, way[-2], size)),
    ]
    points = [ends[0]]
    for node in way[1:-1]:
        points += [(middle[node] - half, across[node]), (middle[node] + half, across[node])]
    points.append(ends[1])
    return DiagramLine(*pair, triggers, tuple(reversed(points) if turned else points), turned)


def _port(across: Mapping[str, float], box: str, towards: str, size: Size) -> float:
    """Choose where a line meets a box: on the side that it comes from."""
    reach = size.wide / 2 - 10
    return across[box] + max(-reach, min(reach, (across[towards] - across[box]) * 0.35))
