"""All that is sealed is sealed anew while everything runs: nothing but ciphertext changes, and the old key can go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from machines.core.clock import FixedClock, Millis
from machines.core.decision import Message, New, keep, wait
from machines.core.errors import Conflict, SealedForAnother, UnknownSealKey
from machines.core.facts import Nothing
from machines.core.ids import Owner, RecordId, derived_id
from machines.core.money import NGN, Money
from machines.core.ports import Destination
from machines.core.saved_address import SavedAddress
from machines.payout import facts as f
from machines.payout.data import Attempt, PayoutData, ProposedDestination, reference_of
from machines.payout.lifecycle import APPROVED, COMPLETED, FAILED, PROCESSING, REQUESTED
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from payflow.desk.reseal import ResealReport, reseal
from payflow.store import keys
from payflow.store.registers.contributors import AddressProof, ContributorAddress
from payflow.store.registers.payout_files import FileRow, PayoutFileRows, RedRow
from payflow.store.registers.profiles import Profile
from payflow.store.seals import Seals, new_key
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from tests.desk import ANN, BOB, LEASE_MS, settings_for, sign
from tests.servers import Deployment, Kind

OLD, NEW = new_key(), new_key()
PRINTS = Seals([OLD]).fingerprint_key
HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))
AWAY = Destination("bank", (("bank_code", "058"), ("account_number", "0690000099")))
STATES = (REQUESTED, APPROVED, PROCESSING, FAILED, COMPLETED)


@asynccontextmanager
async def with_keys(server: Deployment, folder: Path, clock: FixedClock, given: str) -> AsyncIterator[Store]:
    """The store as a process has it that was started with these seal keys."""
    settings = settings_for(server, folder, PAYFLOW_SEAL_KEYS=given, PAYFLOW_FINGERPRINT_KEY=PRINTS)
    async with open_store(settings, clock=clock) as store:
        store.serve([payout(PayoutPolicy(), {})])
        yield store


@pytest.fixture
async def before(server: Deployment, tmp_path: Path, clock: FixedClock) -> AsyncIterator[Store]:
    """The store with the old key alone."""
    async with with_keys(server, tmp_path, clock, OLD) as store:
        yield store


@pytest.fixture
async def store(server: Deployment, tmp_path: Path, clock: FixedClock) -> AsyncIterator[Store]:
    """The same store with the new key in front of the old one."""
    async with with_keys(server, tmp_path, clock, f"{NEW},{OLD}") as store:
        yield store


def as_of_old(destination: Destination) -> str:
    """What a version sealed that did not say whose it is."""
    return Fernet(OLD).encrypt(msgspec.msgpack.encode(destination)).decode()


async def made(store: Store, state: str = PROCESSING, key: str = "1", owner: Owner = ANN, **more: Any) -> RecordId:
    """Make a payout as an older version left it: one ciphertext in several places, and no names."""
    record_id = derived_id("payout", store.records.owner_shard(owner), owner, key)
    sealed = as_of_old(HOME)
    attempts = (
        Attempt(reference_of(record_id, 1), as_of_old(AWAY), failed="no such account"),
        Attempt(reference_of(record_id, 2), sealed, handle="7"),
    )
    data = PayoutData("flutterwave", "bank", sealed, "044 ••••0031", 100_00, assessed=True, attempts=attempts)
    await store.records.fund(owner, Money(100_00, NGN), f"earned {record_id}")
    new = New(record_id, "payout", owner, Money(100_00, NGN), replace(data, **more))
    await store.records.recreate(new, state, "test", "made for a test")
    return record_id


async def data_of(store: Store, record_id: RecordId) -> PayoutData:
    """What a payout keeps."""
    data: PayoutData = (await store.records.read(record_id)).record.data
    return data


async def fields(store: Store, record_id: RecordId) -> dict[str, bytes]:
    """A record as the store has it, and when it is due."""
    state = (await store.records.read(record_id)).record.state
    shard = store.records.shard_of(record_id)
    found = {name.decode(): value for name, value in (await store.link.ask("HGETALL", keys.record(record_id))).items()}
    found["due"] = repr(await store.link.ask("ZSCORE", keys.due(shard, "payout", state), record_id)).encode()
    return found


async def leased(store: Store, state: str) -> Stored:
    """Lease the one payout that is due in a state."""
    (claimed,) = await store.records.claim([Queue("payout", state, 1, LEASE_MS)])
    (found,) = claimed.found
    assert isinstance(found, Stored)
    return found


async def opens_with_the_new_key(store: Store, record_id: RecordId) -> None:
    """Everything in a payout opens for it with the new key alone, and is named."""
    alone, data = Seals([NEW], PRINTS), await data_of(store, record_id)
    for one in (data, *data.attempts, *([data.correction] if data.correction else ())):
        assert alone.is_current(one.sealed, record_id)
        assert one.place == alone.place(alone.open(one.sealed, record_id))


async def everything_is_whole(store: Store) -> None:
    """No history, index or account is other than it should be."""
    assert [fault async for fault in store.integrity.verify()] == []
    assert (await store.ledger.check()).conserved


@pytest.mark.parametrize("kind", [Kind.VALKEY, Kind.CLUSTER], indirect=True)
async def test_one_ciphertext_becomes_one_wherever_it_is_and_what_had_no_name_gets_one(store: Store) -> None:
    waiting = ProposedDestination("ann", as_of_old(AWAY), "058 ••••0099", "print")
    ids = [await made(store, state, f"{state} {owner}", owner) for state in STATES for owner in (ANN, BOB)]
    ids.append(await made(store, FAILED, "corrected", correction=waiting))
    told: list[int] = []
    assert await reseal(store, "otto", told.append) == ResealReport(len(ids), len(ids), (), done=True)
    assert sum(told) == 2 * len(ids)
    for record_id in ids:
        await opens_with_the_new_key(store, record_id)
        data = await data_of(store, record_id)
        first, second = data.attempts
        assert data.sealed == second.sealed != first.sealed
        assert (data.goes_where(second), data.goes_where(first)) == (True, False)
        (*_, last) = await store.records.history(record_id)
        assert (last.fact, last.who, last.trigger) == ("Resealed", "otto", "")
    await everything_is_whole(store)
    assert await reseal(store, "otto") == ResealReport(len(ids), 0, (), done=True), "again there is nothing to do"


@pytest.mark.parametrize("state", [PROCESSING, FAILED, COMPLETED])
async def test_nothing_of_a_record_changes_but_its_data_and_its_history(store: Store, state: str) -> None:
    record_id = await made(store, state)
    found = await leased(store, state)
    await store.records.commit(found, wait(77), Nothing(), "worker", tries=4)
    unchanged = await fields(store, record_id)
    assert (await reseal(store, "otto")).renewed == 1
    after = await fields(store, record_id)
    assert {name for name in after if after[name] != unchanged.get(name)} == {"ver", "hash", "data", "mac"}
    assert after["tries"] == b"4"


async def test_who_holds_a_record_and_is_sending_goes_on_and_is_not_looked_at_sooner(store: Store) -> None:
    record_id = await made(store)
    found = await leased(store, PROCESSING)
    await store.records.confirm(found, LEASE_MS)
    unchanged = await fields(store, record_id)
    assert (await reseal(store, "otto")).renewed == 1
    after = await fields(store, record_id)
    assert {name for name in after if after[name] != unchanged.get(name)} == {"ver", "hash", "data", "mac"}
    assert await store.records.hold(found, LEASE_MS)
    again = await store.records.reread(found)
    left = await store.records.commit(again, keep("the rail has it", data=again.record.data), Nothing(), "worker")
    assert left.version == again.record.version + 1
    assert "sending" not in await fields(store, record_id)
    await everything_is_whole(store)


async def test_what_is_set_aside_stays_set_aside(store: Store) -> None:
    record_id = await made(store)
    await store.records.park(await leased(store, PROCESSING), "a bug", "worker")
    assert (await reseal(store, "otto")).renewed == 1
    assert (await store.records.read(record_id)).record.parked == "a bug"
    assert await store.listing.parked() == [(record_id, "a bug")]
    await everything_is_whole(store)


async def test_a_look_that_is_taken_meanwhile_is_neither_lost_nor_forgotten(store: Store) -> None:
    ids = [await made(store, PROCESSING, str(number)) for number in range(60)]

    async def looks() -> None:
        for _ in range(3):
            for claimed in await store.records.claim([Queue("payout", PROCESSING, 60, LEASE_MS)]):
                for found in claimed.found:
                    assert isinstance(found, Stored)
                    while True:
                        data = found.record.data.with_current(handle=f"{found.record.data.current.handle}0")
                        try:
                            await store.records.commit(found, keep("seen", data=data, again_s=0), Nothing(), "worker")
                        except Conflict:
                            found = await store.records.reread(found)  # noqa: PLW2901
                            continue
                        break

    _, report = await asyncio.gather(looks(), reseal(store, "otto"))
    assert report.done
    for record_id in ids:
        await opens_with_the_new_key(store, record_id)
        current = (await data_of(store, record_id)).current
        assert current is not None
        assert current.handle == "7000"
    await everything_is_whole(store)


async def test_profiles_and_addresses_are_sealed_anew_under_the_version_that_they_have(
    before: Store, store: Store
) -> None:
    await before.profiles.write(Profile(ANN), Profile(ANN, "shop", destination=HOME), Millis(1))
    nothing = ContributorAddress(BOB, SavedAddress())
    proof = AddressProof("words\n0xb0b", "signed")
    await before.contributors.write(nothing, SavedAddress("0xb0b"), proof, Millis(1))
    assert await reseal(store, "otto") == ResealReport(2, 2, (), done=True)
    alone = Seals([NEW], PRINTS)
    store.profiles._seals = store.contributors._seals = alone  # noqa: SLF001  (the old key was taken off the list)
    assert await store.profiles.read(ANN) == Profile(ANN, "shop", destination=HOME, version=1)
    assert await store.contributors.read(BOB) == ContributorAddress(BOB, SavedAddress("0xb0b"), 1, {"0xb0b": proof})


async def test_contacts_that_an_older_version_left_in_clear_are_read_and_sealed_in_messages_too(
    server: Deployment, tmp_path: Path, clock: FixedClock, store: Store
) -> None:
    mail, telegram = "mailto:ann@example.com", "tgram://123456:ABCDEF/99"
    body = {"event": "profile_changed", "owner": ANN, "changed": "all", "to": f"{mail}\n{telegram}"}
    row = ("shop", True, (mail, telegram), "", None, False)
    old = dict(
        zip(("platform", "verified", "notify", "sealed", "details_changed_at", "checked_by_us"), row, strict=True)
    )
    written = await store.profiles.put("provider", ANN, 0, old, clock.now(), [Message("notify", body)])
    assert written == 1
    assert (await store.profiles.read(ANN)).notify == (mail, telegram)
    assert await reseal(store, "otto") == ResealReport(2, 2, (), done=True)
    async for key in store.link.keys("*"):
        assert b"ABCDEF" not in (await store.link.ask("DUMP", key))
    assert (await reseal(store, "otto")).renewed == 0
    async with with_keys(server, tmp_path, clock, NEW) as alone:
        assert await alone.profiles.read(ANN) == Profile(ANN, "shop", verified=True, notify=(mail, telegram), version=1)
        (post,) = await alone.outbox.take(10, 1000)
        assert alone.profiles.opened_contacts(ANN, post.body["to"]) == (mail, telegram)
        assert {**post.body, "to": body["to"]} == body


async def test_a_store_without_a_key_goes_on_with_contacts_in_clear(clock: FixedClock, store: Store) -> None:
    store.profiles._seals = Seals([])  # noqa: SLF001  (as where no PAYFLOW_SEAL_KEYS are set)
    await store.profiles.write(Profile(ANN), Profile(ANN, notify=("mailto:ann@example.com",)), clock.now())
    assert (await store.profiles.read(ANN)).notify == ("mailto:ann@example.com",)


async def test_what_is_archived_opens_with_the_new_key_when_it_comes_back(store: Store, clock: FixedClock) -> None:
    record_id = await made(store, COMPLETED)
    found = await leased(store, COMPLETED)
    await store.records.commit(found, wait(-1), Nothing(), "worker")
    raw = await store.archive.read(record_id)
    assert raw is not None
    assert await store.archive.remove(raw, "a file", clock.now())
    assert await reseal(store, "otto") == ResealReport(1, 1, (), done=True)
    assert await store.archive.bring_back(record_id, "otto", "the bank says otherwise")
    await opens_with_the_new_key(store, record_id)
    await everything_is_whole(store)


async def test_no_history_holds_what_is_sealed_so_that_a_key_that_was_stolen_opens_none_of_it(store: Store) -> None:
    record_id = await made(store, FAILED)
    corrected = f.Corrected(
        "ann", store.seals.seal(AWAY, record_id), "058 ••••0099", "print", "", store.seals.place(AWAY)
    )
    found = f.Rediscovered((Attempt(reference_of(record_id, 3), store.seals.seal(HOME, record_id), sent=True),), "otto")
    machine = store.records.machines["payout"]
    for fact in (corrected, found):
        stored = await store.records.read(record_id)
        await store.records.commit(stored, machine.react(stored.record, fact, stored.at), fact, "test")
    events = await store.link.ask("LRANGE", keys.history(record_id), 0, -1)
    assert len(events) == 3
    assert b"058" in events[1]
    assert not [event for event in events if b"gAAAAA" in event]
    await everything_is_whole(store)
    data = await data_of(store, record_id)
    assert store.seals.open(data.attempts[-1].sealed, record_id) == HOME


async def test_a_request_that_is_made_again_gets_its_first_answer_though_nothing_sealed_is_in_it(store: Store) -> None:
    record_id = derived_id("payout", store.records.owner_shard(ANN), ANN, "again")
    data = PayoutData("flutterwave", "bank", store.seals.seal(HOME, record_id), "044 ••••0031", 100_00)
    await store.records.fund(ANN, Money(100_00, NGN), "earned")
    new = New(record_id, "payout", ANN, Money(100_00, NGN), data, fingerprint="print")
    assert (await store.records.create(new, "ann")).fresh
    again = await store.records.create(replace(new, data=replace(data, sealed="another")), "ann")
    assert (again.fresh, again.record.data) == (False, replace(data, sealed=""))


async def test_what_was_written_in_by_hand_gets_no_new_seal(before: Store, store: Store) -> None:
    ours = await made(store)
    theirs = await made(before, key="2", owner=BOB)
    stolen = replace(await data_of(store, ours), sealed=as_of_old(AWAY))
    await store.link.ask("HSET", keys.record(ours), "data", msgspec.msgpack.encode(stolen))
    copied = before.seals.seal(HOME, ours)
    await store.link.ask(
        "HSET",
        keys.record(theirs),
        "data",
        msgspec.msgpack.encode(replace(await data_of(store, theirs), sealed=copied)),
    )
    await sign(store, theirs)
    elsewhere = await made(store, key="3", place=store.seals.place(AWAY))
    lost = await made(store, key="4", sealed=Seals([new_key()]).seal(HOME, "whoever"))
    found = await reseal(store, "otto")
    why = {one.place: one.problem for one in found.left}
    assert (found.renewed, found.done) == (0, False)
    assert "not what Payflow wrote" in why[ours]
    assert f"was sealed for {ours}" in why[theirs]
    assert "another destination than is named" in why[elsewhere]
    assert "not in PAYFLOW_SEAL_KEYS" in why[lost]


async def test_a_destination_that_was_copied_from_another_payout_is_not_paid(store: Store) -> None:
    ours, theirs = await made(store), await made(store, key="2", owner=BOB)
    await reseal(store, "otto")
    with pytest.raises(SealedForAnother):
        store.seals.open((await data_of(store, ours)).sealed, theirs)


async def test_who_was_started_with_the_old_keys_alone_is_told_so(before: Store, store: Store) -> None:
    record_id = await made(store)
    await reseal(store, "otto")
    with pytest.raises(UnknownSealKey):
        before.seals.open((await data_of(store, record_id)).sealed, record_id)


async def test_rows_of_files_that_wait_for_reviewers_are_sealed_anew(before: Store, store: Store) -> None:
    home = store.records.owner_shard(ANN)
    file, payout_id = (derived_id(machine, home, ANN, "1") for machine in ("disbursement", "payout"))
    row = FileRow(
        2, payout_id, "NGN", 100_00, "bank", "flutterwave", before.seals.seal(HOME, payout_id), "044 ••••0031",
        before.seals.place(HOME), "print", twin="another",
    )  # fmt: skip
    rows = PayoutFileRows(store.link, store.records)
    await rows.write(file, 0, [row, msgspec.structs.replace(row, number=3)])
    await rows.write_red(file, 0, [RedRow(4, "amount", "too little")])
    report = await reseal(store, "otto")
    assert report.done
    assert report.renewed == 1
    found = await rows.read(file, 0)
    assert found is not None
    assert [one.means for one in found] == [row.means, (3, *row.means[1:])]
    assert {Seals([NEW], PRINTS).open(one.sealed, payout_id) for one in found} == {HOME}
    assert [one.number async for one in rows.red(file)] == [4]
    assert await store.link.ask("PTTL", keys.file_rows(home, file)) > 0
