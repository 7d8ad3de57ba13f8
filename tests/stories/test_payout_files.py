"""A file of payouts: checked, approved as one, made into payouts, paid; and whatever may go wrong on the way."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from machines.core.errors import BadInput, NotAllowed, NotPossible, ShortBalance
from machines.core.ids import RecordId
from machines.disbursement import lifecycle as s
from machines.disbursement.data import FileRecord
from payflow.config import Settings
from payflow.desk.payout_files import files
from payflow.desk.payout_files.made import MadeRows, RowResult
from payflow.desk.person import Person
from payflow.store import keys
from payflow.store.registers.tokens import Role, Tokens
from tests.stories.town import ANN, Town, open_town
from tests.waiting import wait_until

UMA, RITA, RUDI = Person("uma", Role.OPERATOR), Person("rita", Role.REVIEWER), Person("rudi", Role.REVIEWER)
NO_SUCH_ACCOUNT = "0100000021"


@pytest.fixture
async def town(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    """The town, in which the shop's prefunded account is Ann's; two people approve from ₦1,000,000 on."""
    monkeypatch.setattr(files, "PORTION_ROWS", 4)
    async with open_town(
        settings, two_people_from="1000000", batch_schedule="instant", payout_worker_rate_limit=1000.0
    ) as town:
        for reviewer in (RITA, RUDI):
            await Tokens(town.store.link).create(reviewer.name, Role.REVIEWER, "", "test")
        await town.ann_earns("2000000")
        yield town


def written(folder: Path, *rows: str, name: str = "pay.csv") -> Path:
    """Write a file."""
    path = folder / name
    path.write_text("\n".join(["amount,currency,bank_code,account_number,note,reference", *rows]), "utf-8")
    return path


def plain_rows(count: int, amount: str = "1000") -> list[str]:
    return [f"{amount},NGN,044,06900001{number:02},pay," for number in range(count)]


async def sent(town: Town, path: Path, columns: str = "") -> FileRecord:
    return await town.files.upload(ANN, path, path.name, columns, UMA)


async def approved(town: Town, path: Path) -> FileRecord:
    file = await sent(town, path)
    return await town.files.approve(file.id, RITA, file.data.fingerprint)


async def until(town: Town, file: FileRecord, state: str) -> FileRecord:
    """Wait until a file is in a state."""

    async def there() -> bool:
        await town.time_passes(seconds=0.5)
        return (await town.files.read(file.id)).state == state

    await wait_until(there, f"{file.id} is {state}")
    return await town.files.read(file.id)


async def results(town: Town, file: FileRecord) -> dict[int, RowResult]:
    return {one.row: one async for one in MadeRows(town.store).results(await town.files.read(file.id))}


async def payouts(town: Town) -> int:
    owned = await town.store.listing.owned_by(ANN, 500)
    return sum(one.record.machine == "payout" for one in owned)


async def test_a_file_is_paid_row_by_row_once_two_people_said_yes(town: Town, tmp_path: Path) -> None:
    bad = ["12,NGN,044,0690000031,too little,", "1000,NGN,044,069 000,no number,", "1000,NGN,044,0690000102,again,"]
    file = await sent(town, written(tmp_path, *plain_rows(30, "40000"), *bad, f"500,NGN,044,{NO_SUCH_ACCOUNT},x,"))
    assert (file.data.rows, file.data.red, file.data.payable, file.data.approvals_needed) == (34, 2, 32, 2)
    await town.files.approve(file.id, RITA, file.data.fingerprint)
    assert (await town.account()).held == 0
    file = await town.files.approve(file.id, RUDI, file.data.fingerprint)
    assert (await town.account()).held == 30 * 40_000_00 + 1000_00 + 500_00
    async with town.worker():
        file = await until(town, file, s.DONE)
    assert file.data.states() == {"COMPLETED": 31, "REJECTED": 1}
    found = await results(town, file)
    assert Counter(one.status for one in found.values()) == {"paid": 31, "rejected": 1, "refused": 2}
    assert "smallest payout" in found[32].reason
    assert found[35].status == "rejected"
    assert (await town.account()).held == 0
    assert len(town.bank.transfers.all) == 31


async def test_who_sent_it_does_not_approve_it_nor_does_an_operator(town: Town, tmp_path: Path) -> None:
    file = await sent(town, written(tmp_path, *plain_rows(3)))
    with pytest.raises(NotAllowed):
        await town.files.approve(file.id, Person("otto", Role.OPERATOR), file.data.fingerprint)
    with pytest.raises(NotPossible, match="another person"):
        await town.files.approve(file.id, Person("uma", Role.REVIEWER), file.data.fingerprint)
    with pytest.raises(NotPossible, match="changed since"):
        await town.files.approve(file.id, RITA, "0" * 64)


async def test_the_same_file_again_pays_nothing_twice(town: Town, tmp_path: Path) -> None:
    path = written(tmp_path, *plain_rows(6))
    file = await approved(town, path)
    assert (await sent(town, path)).id == file.id
    async with town.worker():
        await until(town, file, s.DONE)
        other = await sent(town, path, "amount=amount,currency:NGN,bank_code=bank_code,account_number=account_number")
        assert (other.data.red, other.data.payable) == (6, 0)
        assert (await sent(town, path)).id == other.id, "the map is saved"
    assert await payouts(town) == len(town.bank.transfers.all) == 6


async def test_two_maps_of_one_file_that_are_both_approved_pay_it_once(town: Town, tmp_path: Path) -> None:
    path = written(tmp_path, *plain_rows(6))
    first = await sent(town, path)
    columns = "amount=amount,currency:NGN,bank_code=bank_code,account_number=account_number"
    second = await sent(town, path, columns)
    assert (second.data.payable, second.data.doubtful) == (6, 6)
    for file in (first, second):
        await town.files.approve(file.id, RITA, file.data.fingerprint)
    assert (await town.account()).held == 12 * 1000_00
    async with town.worker():
        first, second = [await until(town, one, s.DONE) for one in (first, second)]
    assert first.data.made + second.data.made == len(town.bank.transfers.all) == 6
    found = [*(await results(town, first)).values(), *(await results(town, second)).values()]
    statuses = Counter(one.status for one in found)
    assert statuses == {"paid": 6, "refused": 6}
    assert (await town.account()).held == 0


@pytest.mark.parametrize("amount", ["500.000", "1 500.000"])
async def test_a_point_that_may_mean_thousands_is_red(town: Town, tmp_path: Path, amount: str) -> None:
    """In half of the world 500.000 is half a million; read as five hundred it pays a thousandth."""
    rows = [f'"{one}",NGN,044,0690000031,pay,' for one in (amount, "1,500.000", "1000.50", "2000.0000")]
    file = await sent(town, written(tmp_path, *rows))
    assert (file.data.red, file.data.payable) == (1, 3)
    assert [one.cell for one in await town.files.first_red(file.id, 2)] == ["amount"]


async def test_what_is_not_covered_is_held_not_at_all(town: Town, tmp_path: Path) -> None:
    file = await sent(town, written(tmp_path, *[f"900000,NGN,044,06900001{number:02},pay," for number in range(3)]))
    await town.files.approve(file.id, RITA, file.data.fingerprint)
    with pytest.raises(ShortBalance, match=r"700,000\.00 NGN are missing"):
        await town.files.approve(file.id, RUDI, file.data.fingerprint)
    assert (await town.files.read(file.id)).state == s.CHECKED
    assert (await town.account()).held == 0


async def test_a_cancelled_file_makes_no_more_rows(town: Town, tmp_path: Path) -> None:
    file = await approved(town, written(tmp_path, *plain_rows(40)))
    async with town.worker():

        async def begun() -> bool:
            return (await town.files.read(file.id)).data.made > 0

        await wait_until(begun, "the first rows are payouts")
        file = await town.files.cancel(file.id, UMA, "the wrong month")
        made = file.data.made
        assert file.state == s.CANCELLED
        await town.time_passes(seconds=60)
        statuses = Counter(one.status for one in (await results(town, file)).values())
        assert statuses["not paid"] == 40 - made

        async def nothing_held() -> bool:
            await town.time_passes(seconds=1)
            return (await town.account()).held == 0

        await wait_until(nothing_held, "what was made is paid, what was not is available again")
    assert await payouts(town) == made == len(town.bank.transfers.all)


async def test_a_paused_owner_holds_it(town: Town, tmp_path: Path) -> None:
    await town.store.pauses.pause(f"owner:{ANN}", "otto", "looks odd", await town.store.records.now())
    file = await approved(town, written(tmp_path, *plain_rows(6)))
    async with town.worker():
        await town.time_passes(seconds=30)

        async def looked() -> bool:
            return (await town.store.listing.outlook(file)).at != file.since

        await wait_until(looked, "a worker looked at it")
        assert await payouts(town) == 0
        await town.store.pauses.resume(f"owner:{ANN}")
        await until(town, file, s.DONE)


async def test_rows_that_were_changed_beside_us_are_not_paid(town: Town, tmp_path: Path) -> None:
    file = await approved(town, written(tmp_path, *plain_rows(6)))
    rows = await town.files.rows.read(file.id, 1)
    assert rows is not None
    key = keys.file_rows(town.store.records.shard_of(file.id), file.id)
    first = await town.store.link.ask("HGET", key, "rows:0")
    await town.store.link.ask("HSET", key, "rows:1", first)
    async with town.worker():

        async def parked() -> bool:
            await town.time_passes(seconds=1)
            return "changed beside" in (await town.files.read(file.id)).parked

        await wait_until(parked, "the file was set aside")
    assert await payouts(town) == 4


async def test_a_row_that_is_sealed_for_another_account_is_sent_nowhere(town: Town, tmp_path: Path) -> None:
    file = await approved(town, written(tmp_path, *plain_rows(1)))
    (row,) = await town.files.rows.read(file.id, 0) or []
    before = town.store.seals.open(row.sealed, row.payout)
    thief = type(before)(before.kind, (("bank_code", "044"), ("account_number", "0123456780")))
    changed = [msgspec.structs.replace(row, sealed=town.store.seals.seal(thief, row.payout))]
    await town.files.rows.write(file.id, 0, changed)
    async with town.worker():
        await until(town, file, s.PAYING)

        async def stopped() -> bool:
            await town.time_passes(seconds=1)
            record = await town.record(row.payout)
            return bool(record.parked)

        await wait_until(stopped, "the payout was set aside")
    assert town.bank.transfers.all == []


async def test_reviewers_leave_rows_out_and_say_yes_to_the_rest(town: Town, tmp_path: Path) -> None:
    file = await sent(town, written(tmp_path, *plain_rows(10)))
    before = file.data.fingerprint
    file = await town.files.leave_out(file.id, "3, 5-8", RITA)
    assert (file.data.payable, file.data.sums()) == (5, {"NGN": 5 * 1000_00})
    with pytest.raises(NotPossible, match="changed since"):
        await town.files.approve(file.id, RITA, before)
    await town.files.approve(file.id, RITA, file.data.fingerprint)
    async with town.worker():
        await until(town, file, s.DONE)
    found = await results(town, file)
    assert {row for row, one in found.items() if one.status == "left out"} == {3, 5, 6, 7, 8}
    assert len(town.bank.transfers.all) == 5
    with pytest.raises(BadInput, match="names no rows"):
        await town.files.leave_out(file.id, "1-99999999", RITA)


async def test_rows_that_are_gone_come_back_with_the_same_file(town: Town, tmp_path: Path) -> None:
    path = written(tmp_path, *plain_rows(6))
    file = await sent(town, path)
    await town.files.rows.forget(file.id)
    with pytest.raises(NotPossible, match="send the same file again"):
        await town.files.approve(file.id, RITA, file.data.fingerprint)
    assert (await sent(town, path)).id == file.id
    assert (await town.files.approve(file.id, RITA, file.data.fingerprint)).state == s.MAKING


async def test_a_reference_is_paid_once_whatever_file_it_is_in(town: Town, tmp_path: Path) -> None:
    first = await approved(town, written(tmp_path, "1000,NGN,044,0690000101,pay,salary-7"))
    async with town.worker():
        await until(town, first, s.DONE)
        again = await sent(town, written(tmp_path, "2000,NGN,044,0690000102,pay,salary-7", name="other.csv"))
    assert (again.data.red, again.data.payable) == (1, 0)
    (row,) = (await results(town, again)).values()
    assert RecordId(row.reason.split()[2]).startswith("payout-")
    with pytest.raises(NotPossible, match="no row to pay"):
        await town.files.approve(again.id, RITA, again.data.fingerprint)


async def test_two_workers_make_and_pay_every_row_once(town: Town, tmp_path: Path) -> None:
    file = await approved(town, written(tmp_path, *plain_rows(40)))
    async with town.worker(), town.worker():
        file = await until(town, file, s.DONE)
    assert (file.data.made, file.data.states()) == (40, {"COMPLETED": 40})
    assert await payouts(town) == len(town.bank.transfers.all) == 40


async def test_who_was_shut_out_since_has_approved_no_row(town: Town, tmp_path: Path) -> None:
    file = await approved(town, written(tmp_path, *plain_rows(3)))
    await Tokens(town.store.link).revoke(RITA.name, "otto")
    async with town.worker():
        await until(town, file, s.PAYING)

        async def back() -> bool:
            await town.time_passes(seconds=1)
            owned = await town.store.listing.owned_by(ANN, 10)
            rows = [one.record for one in owned if one.record.machine == "payout"]
            return all(one.state == "REQUESTED" and "counts no more" in one.data.reason for one in rows)

        await wait_until(back, "every row waits for reviewers")
    assert town.bank.transfers.all == []


async def test_a_row_of_another_name_waits_for_reviewers_by_itself(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "pay.csv"
    head = "amount,currency,bank_code,account_number,account_name"
    path.write_text(f"{head}\n100,NGN,044,0690000101,\n100,NGN,044,0690000102,Totally Different Person\n", "utf-8")
    file = await approved(town, path)
    async with town.worker():
        await until(town, file, s.PAYING)

        async def waits() -> bool:
            await town.time_passes(seconds=1)
            found = await results(town, file)
            return [found[2].status, found[3].status] == ["paid", "requested"]

        await wait_until(waits, "one is paid, the other waits")
    found = await town.record((await results(town, file))[3].payout)
    assert [one.code for one in found.data.findings] == ["file", "held_name"]
    assert found.data.approvals == ()
