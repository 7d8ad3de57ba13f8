"""One act over the records that were picked, on the pages."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest

from machines.core.ids import RecordId
from machines.payout.lifecycle import FAILED
from payflow.config import Settings
from payflow.store.registers.tokens import Role
from tests.web.admin.visitor import Visitor
from tests.web.api.front import BOUNCES, Front, asking, open_front


@pytest.fixture
async def front(settings: Settings) -> AsyncIterator[Front]:
    async with open_front(settings, payout_most_open=0) as front:
        yield front


async def failed(front: Front, count: int) -> list[str]:
    await front.earn("90000")
    made = [str((await front.ann("POST", "/api/payouts", asking("500", BOUNCES))).body["id"]) for _ in range(count)]
    async with front.working():
        for one in made:
            await front.until(one, FAILED)
    return made


def picked(verb: str, ids: list[str]) -> str:
    return f"bulk?{urlencode([('verb', verb), *(('id', one) for one in ids)])}"


async def test_what_is_picked_is_shown_and_then_done(front: Front) -> None:
    made = await failed(front, 3)
    olu = await Visitor(front).come("olu", Role.OPERATOR)
    await olu.see("records?state=FAILED")
    assert olu.page.count('type="checkbox" name="id"') == 3
    shown = await olu.see(picked("release", made[:2]))
    assert "2 in FAILED: CANCELLED (NGN 1,000.00)" in shown
    assert [(await front.record(one)).state for one in made] == ["FAILED"] * 3
    assert await olu.press("Release 2 records", reason="their account is closed") == 200
    assert "Done: 2; left alone: 0" in olu.text
    assert "their account is closed" in olu.text
    assert [(await front.record(one)).state for one in made] == ["CANCELLED", "CANCELLED", "FAILED"]
    # What was done is not offered once more, and a form that is sent again does nothing.
    assert "Nothing would be done" in await olu.see(picked("release", made[:2]))


async def test_what_changed_since_it_was_shown_stops_all_of_it(front: Front) -> None:
    made = await failed(front, 2)
    olu = await Visitor(front).come("olu", Role.OPERATOR)
    await olu.see(picked("release", made))
    await front.desk.correct_account(made[0], "ann", "0690000031", "044", "")
    assert await olu.press("Release 2 records", reason="closed") == 409
    assert "changed since you looked at it" in olu.text
    assert [(await front.record(one)).state for one in made] == ["FAILED"] * 2


async def test_bad_picks_are_refused_in_words(front: Front) -> None:
    olu = await Visitor(front).come("olu", Role.OPERATOR)
    many = [f"payout-01-{'a' * 13}{one // 26 % 26 + 97:c}{one % 26 + 97:c}a" for one in range(201)]
    for query, status, says in (
        ("bulk?verb=retry", 400, "No record is picked"),
        ("bulk?verb=pay&id=payout-01-aaaaaaaaaaaaaaaa", 400, "There is no act"),
        ("bulk?verb=retry&id=%00", 400, "is no record"),
        (picked("retry", many), 400, "More than 200"),
        ("bulk?verb=retry&id=payout-01-aaaaaaaaaaaaaaaa", 200, "There is no record payout-01-aaaaaaaaaaaaaaaa"),
    ):
        assert (await olu.get(query), says in olu.text) == (status, True), olu.text
    assert await olu.send("bulk/retry", reason="x", id=RecordId("payout-01-aaaaaaaaaaaaaaaa"), seen="1") == 409


async def test_who_only_looks_picks_nothing(front: Front) -> None:
    (one,) = await failed(front, 1)
    vic = await Visitor(front).come("vic", Role.VIEWER)
    await vic.see("records?state=FAILED")
    assert 'type="checkbox"' not in vic.page
    assert await vic.get(picked("retry", [one])) == 403
