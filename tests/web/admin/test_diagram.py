"""The map of a machine: whatever its table says, every state and move is on it, and nothing covers anything."""

import re
from importlib import import_module
from itertools import combinations, pairwise

import pytest

from machines.core.lifecycle import OVERRIDE, Lifecycle
from payflow.web.pages.admin.diagram import LYING, UPRIGHT, Layout, Marks, Size, StateFigures, lay_out, pictures
from tests.errand import LIFECYCLE as ERRAND

NAMES = ("payout", "pool", "bounty", "transaction")
ALL: dict[str, Lifecycle] = {"errand": ERRAND} | {
    one.machine: one
    for name in NAMES
    for one in vars(import_module(f"machines.{name}.lifecycle")).values()
    if isinstance(one, Lifecycle)
}


def samples(layout: Layout, points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Points along a line as it is drawn: curves between the points that it was given."""
    found = []
    for (x1, y1), (x2, y2) in pairwise(points):
        for step in range(21):
            t = step / 20
            near, far = 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2
            bend = far + t**3
            along = (1 - t) ** 3 * x1 + (near + far) * (x1 + x2) / 2 + t**3 * x2
            found.append((along, y1 + (y2 - y1) * bend))
    return found


@pytest.mark.parametrize("size", [LYING, UPRIGHT], ids=["lying", "standing"])
@pytest.mark.parametrize("lifecycle", ALL.values(), ids=ALL)
def test_every_state_and_every_move_has_its_place_and_nothing_covers_a_box(lifecycle: Lifecycle, size: Size) -> None:
    layout = lay_out(lifecycle, size)
    half_long, half_wide = layout.size.long / 2, layout.size.wide / 2
    assert set(layout.boxes) == set(lifecycle.states)
    moves = {(source, move.target) for move in lifecycle.moves for source in move.sources if move.trigger != OVERRIDE}
    assert {(line.source, line.target) for line in layout.lines} == {
        (one, other) for one, other in moves if one != other
    }
    for (_, one), (_, other) in combinations(layout.boxes.items(), 2):
        apart = abs(one[0] - other[0]) >= 2 * half_long or abs(one[1] - other[1]) >= 2 * half_wide
        assert apart, "two boxes overlap"
    for along, across in layout.boxes.values():
        assert half_long <= along <= layout.length - half_long + 1e-6
        assert half_wide - 1e-6 <= across <= layout.breadth - half_wide + 1e-6
    for line in layout.lines:
        for x, y in samples(layout, line.points):
            inside = [
                name
                for name, (along, across) in layout.boxes.items()
                if abs(x - along) < half_long - 1 and abs(y - across) < half_wide - 1
            ]
            assert not inside, f"{line.source} to {line.target} crosses {inside}"


def test_a_box_says_how_many_how_old_and_how_many_are_stuck_and_leads_to_them() -> None:
    figures = {"READY": StateFigures(1234, "3 h", 7)}
    drawn = str(pictures(ERRAND, figures, Marks("READY", {("ASKED", "READY")}), links="/admin/records"))
    assert drawn.count("1,234") == drawn.count("7 stuck") == 2
    assert drawn.count('href="/admin/records?machine=errand&amp;state=READY"') == 2
    assert drawn.count('class="move went"') == 2
    assert "style=" not in drawn
    assert not re.search(r"<script|on\w+=", drawn)


def test_a_map_of_the_largest_machine_fits_a_screen_and_a_phone() -> None:
    drawn = lay_out(ALL["payout"], LYING)
    assert drawn.length <= 1230
    assert lay_out(ALL["payout"], UPRIGHT).breadth <= 358
