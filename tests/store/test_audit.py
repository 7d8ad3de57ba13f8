"""The audit log: every act is a line, no line can be changed unseen, and many may write at once."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.errors import BadInput, BadSettings, StoreUnavailable
from payflow.desk.person import note_refused_sign_in
from payflow.store.codec import GENESIS
from payflow.store.registers.anchors import AnchorFile
from payflow.store.registers.audit import AuditLine
from payflow.store.store import Store


async def test_lines_are_kept_in_order_and_read_page_by_page_the_newest_first(store: Store) -> None:
    for number in range(25):
        await store.audit.note("otto", "pause", f"rail:{number}", "why")
    first = await store.audit.page(None, 10)
    second = await store.audit.page(first[-1].number, 10)
    third = await store.audit.page(second[-1].number, 10)
    assert [line.subject for line in first + second + third] == [f"rail:{number}" for number in range(24, -1, -1)]
    assert await store.audit.page(third[-1].number, 10) == []
    assert (await store.audit.count(), await store.audit.fault()) == (25, "")


async def test_many_who_write_at_once_all_get_their_line_and_the_chain_stays_whole(store: Store) -> None:
    await asyncio.gather(*(store.audit.note(f"person{number}", "pause", "everything") for number in range(30)))
    assert len({line.who for line in await store.audit.page(None, 100)}) == 30
    assert await store.audit.fault() == ""


@pytest.mark.parametrize("place", [0, 3, 8])
async def test_a_line_that_was_changed_taken_out_or_damaged_is_found(store: Store, place: int) -> None:
    for number in range(10):
        await store.audit.note("otto", "pause", str(number))
    kept = await store.link.ask("LINDEX", "pf:audit", place)
    await store.link.ask("LSET", "pf:audit", place, kept[:-1] + b"!")
    assert await store.audit.fault() == f"line {place + 2} does not follow the one before"
    await store.link.ask("LREM", "pf:audit", 1, kept[:-1] + b"!")
    assert await store.audit.fault() == f"line {place + 1} does not follow the one before"
    await store.link.ask("LSET", "pf:audit", place, b"")
    assert "unreadable" in [line.act for line in await store.audit.page(None, 20)]


async def test_an_act_is_written_before_it_is_tried_and_a_refusal_after_it(store: Store) -> None:
    seen: list[str] = []

    async def refused() -> None:
        async with store.audit.doing("otto", "resume", "everything", "it is well"):
            seen.extend(line.act for line in await store.audit.page(None, 5))
            raise BadInput("everything is not paused.")

    with pytest.raises(BadInput):
        await refused()
    assert seen == ["resume"]
    lines = await store.audit.page(None, 5)
    assert [(line.act, line.why) for line in lines] == [
        ("refused", "resume: everything is not paused."),
        ("resume", "it is well"),
    ]


async def test_what_may_have_been_done_is_not_called_refused(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        async with store.audit.doing("otto", "resume", "everything"):
            raise StoreUnavailable("no answer")
    assert [line.act for line in await store.audit.page(None, 5)] == ["resume"]


# ── who writes to the store changes the log unseen, but for what was written down outside ────────────────────────────


async def _filled(store: Store, lines: int) -> None:
    for number in range(lines):
        await store.audit.note("otto", "pause", f"rail:{number}")
    await store.audit.anchor()


async def _rewritten(store: Store) -> None:
    """Put another name into every line, and chain them anew."""
    lines, before = await store.link.ask("LRANGE", "pf:audit", 0, -1), GENESIS
    for place, line in enumerate(lines):
        changed = before + line[32:].replace(b"otto", b"olga")
        await store.link.ask("LSET", "pf:audit", place, changed)
        before = hashlib.sha256(changed).digest()


async def test_an_end_that_was_cut_off_is_found(store: Store) -> None:
    await _filled(store, 5)
    await store.link.ask("RPOP", "pf:audit")
    assert await store.audit.fault() == (
        "it has 4 lines, and had 5 as was written down outside the store: its end was cut off"
    )


async def test_a_log_that_was_emptied_is_found(store: Store) -> None:
    await _filled(store, 5)
    await store.link.ask("DEL", "pf:audit")
    assert "it has 0 lines, and had 5" in await store.audit.fault()


async def test_a_log_that_was_rewritten_whole_is_found_and_so_is_one_that_grew_again(store: Store) -> None:
    await _filled(store, 5)
    await _rewritten(store)
    await store.audit.note("otto", "pause", "later")
    assert await store.audit.fault() == "line 5, or one before it, is not what was written down outside the store"


async def test_whoever_writes_down_the_shorter_log_afterwards_hides_nothing(store: Store) -> None:
    await _filled(store, 5)
    await store.link.ask("RPOP", "pf:audit")
    await store.audit.anchor()
    assert "its end was cut off" in await store.audit.fault()


async def test_a_changed_line_of_what_was_written_down_is_found(store: Store) -> None:
    await _filled(store, 5)
    file = store.settings.data / "anchors"
    words = file.read_text().split(" ")
    file.write_text(" ".join([words[0], "4", *words[2:]]))
    assert await store.audit.fault() == f"line 1 of {file} was changed, or signed with a key that is gone"


async def test_after_a_store_that_was_set_back_is_taken_for_the_truth_only_the_lost_end_is_void(store: Store) -> None:
    await _filled(store, 3)
    await store.audit.note("otto", "pause", "lost")
    await store.audit.anchor()
    await store.link.ask("RPOP", "pf:audit")
    assert "its end was cut off" in await store.audit.fault()
    await store.adopt()
    assert await store.audit.fault() == ""
    await store.link.ask("RPOP", "pf:audit")
    assert "it has 2 lines, and had 3" in await store.audit.fault()


async def test_what_is_as_it_was_is_written_down_once(store: Store) -> None:
    await _filled(store, 2)
    await store.audit.anchor()
    assert len((store.settings.data / "anchors").read_text().splitlines()) == 1


async def test_a_place_that_cannot_be_written_to_is_said(store: Store, tmp_path: Path) -> None:
    nowhere = AnchorFile(tmp_path / "not" / "there", store.seals)
    with pytest.raises(BadSettings, match="PAYFLOW_ANCHORS"):
        nowhere.write(await store.audit.anchor())


async def noted(store: Store, clock: FixedClock, number: int = 10) -> None:
    """Write so many lines, a second after each other."""
    for place in range(number):
        await store.audit.note("otto", "pause", f"rail:{place}")
        clock.advance(1)


async def test_old_lines_are_put_away_and_what_is_left_is_whole_and_numbered_as_before(
    store: Store, clock: FixedClock
) -> None:
    began = clock.now()
    await noted(store, clock)
    await store.audit.anchor()
    gone: list[AuditLine] = []
    assert await store.audit.put_away(Millis(began + 4_000), gone.append) == 4
    assert [(line.number, line.subject) for line in gone] == [(number, f"rail:{number - 1}") for number in range(1, 5)]
    assert (await store.audit.count(), await store.audit.fault()) == (10, "")
    assert [line.number for line in await store.audit.page(None, 100)] == list(range(10, 4, -1))
    assert [line.number for line in await store.audit.page(7, 1)] == [6]
    assert await store.audit.page(5, 10) == []
    await noted(store, clock, 1)
    await store.audit.anchor()
    assert await store.audit.put_away(Millis(began + 3_000), gone.append) == 0
    assert await store.audit.put_away(clock.now(), gone.append) == 6, "but for the newest"
    assert [line.number for line in gone] == list(range(1, 11))
    assert (await store.audit.count(), await store.audit.fault()) == (11, "")
    await store.audit.note("otto", "resume", "rail:1")
    assert [(line.number, line.act) for line in await store.audit.page(None, 5)] == [(12, "resume"), (11, "pause")]
    assert await store.audit.fault() == ""


async def test_what_was_put_away_is_not_made_more_by_who_writes_to_the_store_alone(
    store: Store, clock: FixedClock
) -> None:
    await noted(store, clock)
    await store.audit.anchor()
    assert await store.audit.put_away(Millis(clock.now() - 6_000), lambda _: None) == 4
    front = await store.link.ask("LINDEX", "pf:audit", 0)
    last = await store.link.ask("LINDEX", "pf:audit", 3)
    for false in (front[:-1] + b"0", hashlib.sha256(last).digest() + front[32:].replace(b"4", b"7")):
        await store.link.ask("LSET", "pf:audit", 0, false)
        assert await store.audit.fault() != ""
    await store.link.ask("LSET", "pf:audit", 0, front)
    assert await store.audit.fault() == ""
    await store.link.ask("LTRIM", "pf:audit", 3, -1)
    await store.link.ask("LPUSH", "pf:audit", front)
    assert await store.audit.fault() != ""


async def test_knocking_writes_no_more_than_a_line_an_hour(store: Store, clock: FixedClock) -> None:
    for _ in range(200):
        await note_refused_sign_in(store, "admin", "no such token")
        clock.advance(60)
    assert await store.audit.count() <= 5
