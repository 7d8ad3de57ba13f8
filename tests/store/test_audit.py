"""The audit log: every act is a line, no line can be changed unseen, and many may write at once."""

import asyncio

import pytest

from machines.core.errors import BadInput, StoreUnavailable
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
