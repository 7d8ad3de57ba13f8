"""A lifecycle as a picture for a page: boxes with figures, lines with the moves; the style sheet gives the colours.

Where states and moves stand is pure, and the same for every machine. Layers: a state stands one layer behind the
farthest state that leads to it, moves that go back left out. A move over several layers passes each through a gap of
its own, so that no line crosses a box. Then order and distance are evened out a few times, each layer against its
neighbours.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import fmean
from urllib.parse import urlencode

from markupsafe import Markup, escape

from machines.core.lifecycle import OVERRIDE, Lifecycle, State

ROUNDS = 12
MARGIN = 8
WIDEST_LETTER = 8.2

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


LYING = Size(long=124, wide=56, between_layers=32, between_boxes=18, line=10)
"""The flow goes to the right: for wide screens."""
UPRIGHT = Size(long=56, wide=112, between_layers=38, between_boxes=8, line=6)
"""The flow goes down: for phones."""


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


@cache
def lay_out(lifecycle: Lifecycle, size: Size) -> Layout:
    """Say where everything stands."""
    moves = _moves(lifecycle)
    back = _back(lifecycle, moves)
    layer = _layers(lifecycle, moves, back)
    ways = {pair: _way(pair, layer, turned=pair in back) for pair in moves}
    places = dict(layer)
    for way in ways.values():
        places |= {node: place for place, node in enumerate(way, start=layer[way[0]])}
    across = _spread(places, ways, size)
    middle = {node: place * (size.long + size.between_layers) + size.long / 2 for node, place in places.items()}
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


def _neighbours(ways: Mapping[Pair, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    before: dict[str, list[str]] = defaultdict(list)
    behind: dict[str, list[str]] = defaultdict(list)
    for way in ways.values():
        for one, other in pairwise(way):
            before[other].append(one)
            behind[one].append(other)
    return before, behind


def _spread(places: Mapping[str, int], ways: Mapping[Pair, list[str]], size: Size) -> dict[str, float]:
    """Say where each node stands across the flow: in the order of its neighbours, near them, never over another one."""
    rows: list[list[str]] = [[] for _ in range(max(places.values()) + 1)]
    for node, place in places.items():
        rows[place].append(node)
    before, behind = _neighbours(ways)
    at: dict[str, float] = {}
    for row in rows:
        at |= zip(row, _apart(row, [0.0] * len(row), size), strict=True)
    for turn in range(2 * ROUNDS):
        near = before if turn % 2 == 0 else behind
        for row in rows if turn % 2 == 0 else reversed(rows):
            around = {node: near[node] or before[node] + behind[node] or [node] for node in row}
            wanted = {node: fmean(at[one] for one in around[node]) for node in row}
            if turn < ROUNDS:
                row.sort(key=lambda node: wanted[node])
            at |= zip(row, _apart(row, [wanted[node] for node in row], size), strict=True)
    least = min(at[node] - _breadth(node, size) / 2 for node in at)
    return {node: place - least for node, place in at.items()}


def _apart(row: list[str], wanted: list[float], size: Size) -> list[float]:
    """Move what would overlap apart, half of it each way."""
    pushed = list(wanted)
    for place in range(1, len(row)):
        least = (_breadth(row[place - 1], size) + _breadth(row[place], size)) / 2 + size.between_boxes
        pushed[place] = max(pushed[place], pushed[place - 1] + least)
    shift = fmean(want - got for want, got in zip(wanted, pushed, strict=True))
    return [got + shift for got in pushed]


def _breadth(node: str, size: Size) -> float:
    return size.line if "#" in node else size.wide


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


# ── drawn ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StateFigures:
    """What is written into a box."""

    count: int = 0
    oldest: str = ""
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """What is picked out on the picture of one record."""

    here: str = ""
    went: Collection[tuple[str, str]] = ()
    """The moves that it made, as pairs of states."""


def pictures(
    lifecycle: Lifecycle, figures: Mapping[str, StateFigures] | None, marks: Marks = Marks(), *, links: str
) -> Markup:
    """Draw a lifecycle twice, lying and standing; the style sheet shows the one that fits the screen."""
    return Markup("").join(
        _picture(lifecycle, lay_out(lifecycle, size), figures, marks, links, lying=size is LYING)
        for size in (LYING, UPRIGHT)
    )


def _picture(
    lifecycle: Lifecycle,
    layout: Layout,
    figures: Mapping[str, StateFigures] | None,
    marks: Marks,
    links: str,
    *,
    lying: bool,
) -> Markup:
    way = "lying" if lying else "standing"
    length, breadth = layout.length + 2 * MARGIN, layout.breadth + 2 * MARGIN
    width, height = (length, breadth) if lying else (breadth, length)
    arrow = f"arrow-{lifecycle.machine}-{way}"
    lines = Markup("").join(_drawn(line, marks, arrow, lying=lying) for line in layout.lines)
    boxes = Markup("").join(
        _box(
            lifecycle.machine,
            lifecycle.states[name],
            _flat(*at, lying=lying),
            layout.size,
            figures,
            marks,
            links,
            lying=lying,
        )
        for name, at in layout.boxes.items()
    )
    return Markup(
        '<svg class="machine {way}" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}" role="group"'
        ' aria-label="{label}"><defs>{heads}</defs>{lines}{boxes}</svg>'
    ).format(
        way=way,
        w=width,
        h=height,
        label=f"The states of a {lifecycle.machine} and the moves between them",
        heads=_heads(arrow),
        lines=lines,
        boxes=boxes,
    )


def _heads(arrow: str) -> Markup:
    return Markup("").join(
        Markup(
            '<marker id="{name}" class="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto-start-reverse"><path d="M0 .8 7.5 4 0 7.2z"/></marker>'
        ).format(name=f"{arrow}{kind}", kind=f"head{kind}")
        for kind in ("", "-went")
    )


def _drawn(line: DiagramLine, marks: Marks, arrow: str, *, lying: bool) -> Markup:
    went = (line.source, line.target) in marks.went
    kind = " ".join(["move", *(["back"] if line.back else []), *(["went"] if went else [])])
    return Markup('<path class="{kind}" d="{way}" marker-end="url(#{head})"><title>{said}</title></path>').format(
        kind=kind,
        way=_curves(line, lying=lying),
        head=f"{arrow}{'-went' if went else ''}",
        said=f"{line.source} to {line.target}: {', '.join(line.triggers)}",
    )


def _curves(line: DiagramLine, *, lying: bool) -> str:
    """Write a line as soft curves that leave and meet boxes straight."""
    words = ["M{:.1f} {:.1f}".format(*_flat(*line.points[0], lying=lying))]
    for (along, across), (next_along, next_across) in zip(line.points, line.points[1:], strict=False):
        if across == next_across:
            words.append("L{:.1f} {:.1f}".format(*_flat(next_along, next_across, lying=lying)))
            continue
        half = (along + next_along) / 2
        bends = [_flat(half, across, lying=lying), _flat(half, next_across, lying=lying)]
        points = [*bends, _flat(next_along, next_across, lying=lying)]
        words.append("C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points))
    return "".join(words)


def _flat(along: float, across: float, *, lying: bool) -> tuple[float, float]:
    return (along + MARGIN, across + MARGIN) if lying else (across + MARGIN, along + MARGIN)


def _box(
    machine: str,
    state: State,
    middle: tuple[float, float],
    size: Size,
    figures: Mapping[str, StateFigures] | None,
    marks: Marks,
    links: str,
    *,
    lying: bool,
) -> Markup:
    width, height = (size.long, size.wide) if lying else (size.wide, size.long)
    x, y = middle[0] - width / 2, middle[1] - height / 2
    found = (figures or {}).get(state.name, StateFigures())
    words = ["state", f"in-{state.position or 'none'}"]
    words += ["final"] * state.final + ["here"] * (state.name == marks.here) + ["stuck"] * bool(found.stuck)
    words += ["empty"] * (figures is not None and not found.count)
    inner = _figures(found, x, y, width, height) if figures is not None else Markup("")
    query = urlencode({"machine": machine, "state": state.name})
    return Markup(
        '<a href="{href}" class="{kind}"><title>{means}</title>'
        '<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{w}" height="{h}" rx="5"/>'
        '<rect class="side" x="{x:.1f}" y="{y:.1f}" width="4" height="{h}" rx="2"/>'
        '<text class="name" x="{tx:.1f}" y="{ty:.1f}"{fit}>{name}</text>{inner}</a>'
    ).format(
        href=f"{links}?{query}", kind=" ".join(words), means=state.means, x=x, y=y, w=width, h=height, tx=x + 12,
        ty=y + (20 if figures is not None else height / 2 + 4), name=escape(state.name.replace("_", " ")), inner=inner,
        fit=_fit(state.name, width - 18),
    )  # fmt: skip


def _fit(name: str, width: float) -> Markup:
    """Draw a long name closer together, so that it stays in its box."""
    if len(name) * WIDEST_LETTER <= width:
        return Markup("")
    return Markup(' textLength="{width:.0f}" lengthAdjust="spacingAndGlyphs"').format(width=width)


def _figures(found: StateFigures, x: float, y: float, width: float, height: float) -> Markup:
    count = Markup('<text class="count" x="{x:.1f}" y="{y:.1f}">{n:,}</text>').format(
        x=x + 12, y=y + height - 11, n=found.count
    )
    note = f"{found.stuck:,} stuck" if found.stuck else found.oldest
    kind = "note bad" if found.stuck else "note"
    return count + Markup('<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="end">{note}</text>').format(
        kind=kind, x=x + width - 9, y=y + height - 12, note=note
    )
