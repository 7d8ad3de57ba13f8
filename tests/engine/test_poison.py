"""Records that were damaged: each is set aside and seen, and the others go on."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from machines.core.ids import RecordId
from payflow.store import keys
from tests.engine.office import Office, open_office
from tests.waiting import wait_until

Plant = Callable[[Office, RecordId], Awaitable[object]]


def field(name: str, value: bytes | str | None) -> Plant:
    """Overwrite a field of a record, or remove it."""

    async def plant(office: Office, record_id: RecordId) -> object:
        if value is None:
            return await office.store.link.ask("HDEL", keys.record(record_id), name)
        return await office.store.link.ask("HSET", keys.record(record_id), name, value)

    return plant


PLANTS = {
    "no msgpack": field("data", b"\xc1\xff\x00garbage"),
    "empty data": field("data", b""),
    "no data": field("data", None),
    "data of another shape": field("data", msgspec.msgpack.encode([1, 2, 3])),
    "data of other types": field("data", msgspec.msgpack.encode({"note": 5, "asked": "many"})),
    "an unknown asset": field("asset", "DOGE"),
    "an asset that is no text": field("asset", b"\xff\xfe"),
    "units that are no number": field("units", "lots"),
    "units below zero": field("units", "-5"),
    "more units than fit": field("units", str(10**18)),
    "no owner": field("owner", None),
    "an owner that is no text": field("owner", b"\xff\xfe"),
    "no time of birth": field("made", None),
    "tries that are no number": field("tries", "often"),
    "no hash": field("hash", None),
}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
async def test_a_damaged_record_is_set_aside_and_the_others_go_on(tmp_path: Path, plant: Plant) -> None:
    async with open_office(tmp_path / "data", planted=True, lease_s=1) as office:
        damaged, *sound = await office.ask(5)
        before = await office.fields(damaged)
        await plant(office, damaged)
        async with office.worker():
            await office.until_all(sound, "DONE")
            await aside(office, damaged)
        assert office.rail.submits == dict.fromkeys(sound, 1)
        assert [post.kind for post in await office.store.outbox.take(10, 1)] in (["alarm"], [])
        await office.store.link.ask("HSET", keys.record(damaged), *[part for pair in before.items() for part in pair])


async def aside(office: Office, record_id: RecordId) -> None:
    """Wait until a record is listed as parked, with a reason, and nobody will look at it by himself."""

    async def is_aside() -> bool:
        return [why != "" for one, why in await office.store.listing.parked() if one == record_id] == [True]

    await wait_until(is_aside, description=f"{record_id} is set aside")
    assert await office.due_in_ms(record_id, "ASKED") is None


@pytest.mark.parametrize("plant", ["another type", "no version", "a version that is no number"])
async def test_a_record_that_cannot_even_be_set_aside_does_not_stop_the_others(tmp_path: Path, plant: str) -> None:
    async with open_office(tmp_path / "data", planted=True, lease_s=1) as office:
        damaged, *sound = await office.ask(5)
        key = keys.record(damaged)
        kept = await office.store.link.ask("DUMP", key)
        if plant == "another type":
            await office.store.link.ask("DEL", key)
            await office.store.link.ask("SET", key, "a string")
        elif plant == "no version":
            await office.store.link.ask("HDEL", key, "ver")
        else:
            await office.store.link.ask("HSET", key, "ver", "new")
        async with office.worker():
            await office.until_all(sound, "DONE")
        if plant == "another type":
            await office.store.link.ask("RESTORE", key, 0, kept, "REPLACE")
        else:
            await office.store.link.ask("HSET", key, "ver", 1)


async def test_a_damaged_record_refuses_facts_from_outside(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", planted=True) as office:
        (damaged,) = await office.ask()
        await field("data", b"\xc1")(office, damaged)
        with pytest.raises(Exception, match="not what Payflow wrote"):
            await office.record(damaged)
