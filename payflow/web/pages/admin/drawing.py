"""A lifecycle as a picture for a page: boxes with figures, lines with the moves; the style sheet gives the colours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup, escape

from machines.core.lifecycle import Lifecycle, State
from payflow.web.pages.admin.diagram import DiagramLine, Layout, Size, lay_out

LYING = Size(long=124, wide=56, between_layers=32, between_boxes=18, line=10)
"""The flow goes to the right: for wide screens."""
UPRIGHT = Size(long=56, wide=112, between_layers=38, between_boxes=8, line=6)
"""The flow goes down: for phones."""
MARGIN = 8
WIDEST_LETTER = 8.2


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
    lines = Markup("").join(_line(line, marks, arrow, lying=lying) for line in layout.lines)
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


def _line(line: DiagramLine, marks: Marks, arrow: str, *, lying: bool) -> Markup:
    went = (line.source, line.target) in marks.went
    kind = " ".join(["move", *(["back"] if line.back else []), *(["went"] if went else [])])
    return Markup('<path class="{kind}" d="{way}" marker-end="url(#{head})"><title>{said}</title></path>').format(
        kind=kind,
        way=_way(line, lying=lying),
        head=f"{arrow}{'-went' if went else ''}",
        said=f"{line.source} to {line.target}: {', '.join(line.triggers)}",
    )


def _way(line: DiagramLine, *, lying: bool) -> str:
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
