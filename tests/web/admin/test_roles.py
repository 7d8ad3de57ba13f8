"""Roles hide and forbid: what somebody may not do he is not shown, and the place refuses him if he finds it himself."""

from collections.abc import Iterator

import pytest

from payflow.desk.person import STAFF
from payflow.store.registers.tokens import Role
from payflow.web.pages.admin import dashboard
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.web.admin.test_pages import busy_day, pages_of
from tests.web.admin.visitor import Visitor
from tests.web.api.front import Front

DOORS = ("/admin/sign-in", "/admin/sign-in/challenge", "/admin/sign-out")
CHECKS = ("/admin/ledger/check", "/admin/audit/check")


def places(front: Front) -> Iterator[tuple[str, str]]:
    """Every place that takes a form, and what decides who may send it."""
    for route in dashboard.routes(front.desk, front.settings, DashboardExtensions()):
        if route.method == "POST" and route.path not in DOORS:
            yield route.path, route.path.rpartition("/")[2]


def allowed(path: str, word: str) -> set[Role]:
    if path == "/admin/files/upload":
        return {Role.OPERATOR}
    if path == "/admin/sessions/end":
        return set(Role)  # their own; an operator anybody's
    if path in CHECKS:
        return {Role.REVIEWER, Role.OPERATOR}
    if path.startswith(("/admin/login/", "/admin/passkeys/")):
        return set(STAFF)
    if path in ("/admin/proposals/confirm", "/admin/proposals/decline"):
        return {Role.REVIEWER, Role.OPERATOR}
    return {Role.REVIEWER} if word in ("approve", "reject", "leave-out") else {Role.OPERATOR}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.OPERATOR])
async def test_every_place_refuses_everybody_whose_it_is_not(visitor: Visitor, flagged: Front, role: Role) -> None:
    made = await busy_day(flagged)
    before = {name: (await flagged.record(one)).version for name, one in made.items()}
    pauses = set(await flagged.store.pauses.all())
    await visitor.come("somebody", role)
    csrf = visitor.field("csrf")
    tried = 0
    for path, word in places(flagged):
        if role in allowed(path, word):
            continue
        tried += 1
        fields = {
            "csrf": csrf, "reason": "I say so", "scope": "machine:payout", "to": "CANCELLED", "message": "x",
            "seen": "1",
        }  # fmt: skip
        for payout_id in made.values():
            assert await visitor.post(path.replace("{id}", payout_id).replace("{name}", "none"), **fields) == 403, path
    assert tried >= 2
    assert {name: (await flagged.record(one)).version for name, one in made.items()} == before
    assert set(await flagged.store.pauses.all()) == pauses


async def test_a_viewer_sees_everything_and_is_offered_nothing(visitor: Visitor, flagged: Front) -> None:
    made = await busy_day(flagged)
    await visitor.come("vic", Role.VIEWER)
    paths = [
        *sorted(pages_of(flagged) - {*DOORS, "/admin/passkeys", "/admin/bulk"}),
        *(f"/admin/records/{one}" for one in made.values()),
    ]
    assert len(paths) > 10
    for path in paths:
        await visitor.see(path)
        assert visitor.page.count('method="post"') == 1, f"only the sign-out on {path}"
    assert "a viewer sees everything and changes nothing" in visitor.text
    for name, act in (("asked", "approve"), ("asked", "cancel"), ("failed", "release")):
        assert await visitor.get(f"records/{made[name]}/do/{act}") == 403
        assert "this takes a token of a" in visitor.text
    assert await visitor.get(f"records/{made['asked']}/override") == 403


async def test_each_role_is_offered_exactly_what_is_legal_for_it_now(visitor: Visitor, flagged: Front) -> None:
    made = await busy_day(flagged)
    wanted = {
        Role.REVIEWER: {"asked": {"approve", "reject"}, "failed": set(), "under_way": set(), "paid": set()},
        Role.OPERATOR: {"asked": {"cancel"}, "failed": {"release", "retry"}, "under_way": {"cancel"}, "paid": set()},
    }
    for role, by_name in wanted.items():
        await visitor.come(f"somebody-{role}", role)
        for name, acts in by_name.items():
            await visitor.see(f"records/{made[name]}")
            offered = {
                act for act in ("approve", "reject", "cancel", "release", "retry") if f"/do/{act}" in visitor.page
            }
            assert offered == acts, (role, name)
            assert ("/override" in visitor.page) == (role is Role.OPERATOR)
