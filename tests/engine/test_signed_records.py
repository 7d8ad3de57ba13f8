"""What somebody wrote into the store beside Payflow sends nothing and gives nothing back, and is seen."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from machines.core.errors import NotSigned
from machines.core.ids import RecordId
from payflow.config import load
from payflow.store import keys
from payflow.store.codec import chain, encode, event_bytes
from payflow.store.integrity import NOT_SIGNED
from payflow.store.macs import Forged
from payflow.store.seals import new_key
from payflow.store.store import open_store
from tests.engine.office import Office, open_office
from tests.errand import Cancelled, ErrandData
from tests.waiting import wait_until

SIGNED = ("state", "ver", "owner", "asset", "units", "data", "hash", "mac")
Attack = Callable[[Office, RecordId, RecordId], Awaitable[object]]


def changed(name: str) -> Attack:
    """Put another plausible value into a field."""
    values: dict[str, str | bytes] = {
        "state": "SENDING",
        "ver": "7",
        "owner": "mallory",
        "asset": "ETH",
        "units": "99",
        "data": encode(ErrandData("to somebody else")),
        "hash": b"h" * 32,
        "mac": b"1:" + b"m" * 20,
    }

    async def attack(office: Office, victim: RecordId, _: RecordId) -> object:
        return await office.store.link.ask("HSET", keys.record(victim), name, values[name])

    return attack


def removed(name: str) -> Attack:
    async def attack(office: Office, victim: RecordId, _: RecordId) -> object:
        return await office.store.link.ask("HDEL", keys.record(victim), name)

    return attack


def copied(name: str) -> Attack:
    """Take a field from another record of ours."""

    async def attack(office: Office, victim: RecordId, other: RecordId) -> object:
        value = (await office.fields(other))[name]
        return await office.store.link.ask("HSET", keys.record(victim), name, value)

    return attack


async def whole(office: Office, victim: RecordId, other: RecordId) -> None:
    """Copy a whole record, its history too, under another name."""
    link = office.store.link
    fields = await link.ask("HGETALL", keys.record(other))
    await link.ask("DEL", keys.record(victim), keys.history(victim))
    await link.ask("HSET", keys.record(victim), *(part for pair in fields.items() for part in pair))
    await link.ask("RPUSH", keys.history(victim), *await link.ask("LRANGE", keys.history(other), 0, -1))


async def another_commit(office: Office, victim: RecordId, _: RecordId) -> None:
    """Write what a commit writes: other data, an event behind the last one, its hash, the next version."""
    link, stored = office.store.link, await office.store.records.read(victim)
    data = encode(ErrandData("to somebody else"))
    event = event_bytes(stored.chain, stored.at, stored.record.version + 1, "", "ASKED", "worker", "", "Looked", None)
    await link.ask("RPUSH", keys.history(victim), event)
    fields = ("ver", stored.record.version + 1, "hash", chain(event), "data", data)
    await link.ask("HSET", keys.record(victim), *fields)


# Of one amount and asset, and of one state, another one's is the same.
ATTACKS: dict[str, Attack] = (
    {f"{name} changed": changed(name) for name in SIGNED}
    | {f"{name} removed": removed(name) for name in SIGNED if name not in {"state", "ver"}}
    | {f"{name} of another": copied(name) for name in ("units", "data", "hash", "mac")}
    | {"a whole record copied": whole, "another commit": another_commit}
)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_what_was_changed_beside_payflow_never_leaves_and_is_seen(tmp_path: Path, attack: Attack) -> None:
    async with open_office(tmp_path / "data", planted=True, lease_s=1) as office:
        (victim,), (other,) = await office.ask(units=100), await office.ask(units=250)
        sound = await office.ask(3)
        before = await office.fields(victim)
        await office.store.link.ask("HSET", keys.record(other), "data", encode(ErrandData("another")))
        await sign(office, other)
        await attack(office, victim, other)
        async with office.worker():
            await office.until_all(sound, "DONE")

            async def is_seen() -> bool:
                held = office.errors("SENDING", "unsigned") + office.errors("ASKED", "unknown_key")
                parked = {one for one, _ in await office.store.listing.parked()}
                faults = {fault.place async for fault in office.store.integrity.verify()}
                return victim in faults and bool(held or victim in parked or victim not in await due(office))

            await wait_until(is_seen, description="it is seen")
        assert office.rail.submits[victim] == 0
        await office.store.link.ask("HSET", keys.record(victim), *(part for pair in before.items() for part in pair))


async def due(office: Office) -> set[str]:
    found: set[str] = set()
    shard = office.store.records.owner_shard(office.owner)
    for state in ("ASKED", "READY", "SENDING"):
        names = await office.store.link.ask("ZRANGE", keys.due(shard, "errand", state), 0, -1)
        found |= {name.decode() for name in names}
    return found


async def sign(office: Office, record_id: RecordId) -> None:
    """Sign a record as it stands, as two people would have it."""
    await office.store.link.ask("HDEL", keys.record(record_id), "mac")
    found = [one async for one in office.store.permits.unsigned() if one.id == record_id]
    assert [await office.store.permits.adopt(one) for one in found] == [True]


async def test_what_an_older_version_left_is_looked_at_sends_nothing_and_gives_nothing_back(tmp_path: Path) -> None:
    async with open_office(tmp_path / "data", planted=True) as office:
        old, back = await office.ask(2)
        for one in (old, back):
            await office.store.link.ask("HDEL", keys.record(one), "mac")
        with pytest.raises(NotSigned, match="gives nothing back"):
            await office.learn(back, Cancelled())
        async with office.worker():
            await wait_until(lambda: office.errors("SENDING", "unsigned") > 0, description="it is held up")
            assert office.rail.submits == {}
            found = {one.id: one async for one in office.store.permits.unsigned()}
            assert {one: (found[one].problem, found[one].forged) for one in found} == {
                old: ("", False), back: ("", False)
            }  # fmt: skip
            problems = {fault.problem async for fault in office.store.integrity.verify()}
            assert problems == {NOT_SIGNED}
            for one in (old, back):
                await adopt(office, one)
            await office.until_all([old, back], "DONE")
        assert [fault async for fault in office.store.integrity.verify()] == []


async def adopt(office: Office, record_id: RecordId) -> None:
    """Take a record over as it is, however often it is looked at meanwhile."""

    async def taken() -> bool:
        found = [one async for one in office.store.permits.unsigned() if one.id == record_id]
        return all([await office.store.permits.adopt(one) for one in found])

    await wait_until(taken, description=f"{record_id} is taken over")


async def test_what_was_seen_and_moved_since_is_not_signed(office: Office) -> None:
    (record_id,) = await office.ask()
    await office.store.link.ask("HDEL", keys.record(record_id), "mac")
    (seen,) = [one async for one in office.store.permits.unsigned()]
    await office.steps().look(await office.claim("ASKED"))
    assert not await office.store.permits.adopt(seen)
    await adopt(office, record_id)


async def test_what_was_made_by_something_unsigned_is_unsigned_and_a_record_of_ours_does_not_heal_it(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path / "data", planted=True) as office:
        (record_id,) = await office.ask()
        await office.store.link.ask("HDEL", keys.record(record_id), "mac")
        await office.steps().look(await office.claim("ASKED"))
        stored = await office.store.records.read(record_id)
        assert (stored.record.version, stored.body.signed, office.store.records.trusts(stored)) == (2, False, False)


async def test_a_worker_with_an_older_list_of_keys_leaves_what_it_cannot_judge_to_the_others(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    async with open_office(tmp_path / "data", seal_keys=old) as office:
        before = await office.ask(2)
        settings = load({}, **(office.settings.model_dump() | {"seal_keys": f"{new},{old}"}))
        async with open_store(settings) as newer:
            newer.serve([office.machine])
            made = await office.ask(2, store=newer)
            async with office.worker():
                await office.until_all(before, "DONE")
                await wait_until(lambda: office.errors("ASKED", "unknown_key") > 0, description="they are left")
                assert [one for one, _ in await office.store.listing.parked()] == []
                assert set(office.rail.submits) == set(before)
                async with office.worker("second", store=newer):

                    async def paid() -> bool:
                        return set(office.rail.submits) == {*before, *made}

                    await wait_until(paid, description="the other worker paid them")
            with pytest.raises(Exception, match="give it the list that the others have"):
                await office.store.records.read(made[0])
            # Both retire the old key's work: what was signed with it can still be told from what was forged.
            assert (await newer.records.read(before[0])).body.signed
        # The office, which checks itself at the end, gets the list as well.
        office.store.link.macs = newer.link.macs


async def test_a_tombstone_that_was_changed_does_not_come_back(office: Office) -> None:
    (record_id,) = await office.ask()
    async with office.worker():
        await office.until(record_id, "DONE")
    raw = await office.store.archive.read(record_id)
    assert raw is not None
    assert await office.store.archive.remove(raw, "file", await office.store.records.now())
    tombs = keys.tombs(office.store.records.shard_of(record_id))
    stub = await office.store.link.ask("HGET", tombs, record_id)
    await office.store.link.ask("HSET", tombs, record_id, stub.replace(b"ada", b"eve"))
    with pytest.raises(Forged):
        await office.store.archive.bring_back(record_id, "test", "to look at it")
    await office.store.link.ask("HSET", tombs, record_id, stub)
    assert await office.store.archive.bring_back(record_id, "test", "to look at it")
    assert (await office.store.records.read(record_id)).body.signed
