"""A month for accountants: whatever was archived since, every payout and posting is in it, and both ends agree."""

import csv
from collections.abc import AsyncIterator
from decimal import Decimal
from operator import itemgetter
from pathlib import Path

import pytest
from openpyxl import load_workbook

from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput
from machines.core.ids import RecordId
from machines.core.money import NGN, Money
from machines.payout.data import reference_of
from machines.payout.lifecycle import COMPLETED, FAILED
from payflow.config import Settings
from payflow.desk.archive import archive, folder_of
from payflow.desk.coverage import coverage
from payflow.desk.month_end import MonthEnd, month_of
from payflow.store import keys
from tests.waiting import wait_until
from tests.web.api.front import ANN, BOB, BOUNCES, GOOD, SHOPS, Front, asking, open_front


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def balance(folder: Path, owner: str, figure: str) -> tuple[str, str, str]:
    (row,) = [one for one in rows(folder / "balances.csv") if (one["account"], one["figure"]) == (SHOPS[owner], figure)]
    return row["opening"], row["change"], row["closing"]


@pytest.fixture
async def front(settings: Settings) -> AsyncIterator[Front]:
    async with open_front(settings, payout_most_open=0) as front:
        yield front


async def paid(front: Front, amount: str, account: str = GOOD) -> RecordId:
    made = await front.ann("POST", "/api/payouts", asking(amount, account))
    assert made.status == 201, made.body
    async with front.working():
        await front.until(made.body["id"], COMPLETED if account == GOOD else FAILED)
    return RecordId(made.body["id"])


async def moment(front: Front) -> Millis:
    """A moment between what was and what comes; the journal's times are the server's."""
    now = await front.store.records.now()

    async def later() -> bool:
        return await front.store.records.now() > now + 1

    await wait_until(later, "a moment has passed")
    return Millis(now + 1)


async def put_away(front: Front, *payouts: RecordId) -> None:
    """Archive what is over, as if it were of long ago."""
    link = front.store.link
    for one in payouts:
        shard = front.store.records.shard_of(one)
        long_ago = await front.store.records.now() - 400 * DAY
        await link.ask("HSET", keys.record(one), "made", long_ago, "since", long_ago)
        await link.ask("DEL", keys.messages(shard), keys.outbox(shard), keys.due(shard, "payout", COMPLETED))
    folder = folder_of(front.store)
    done = await archive(front.store, folder, await moment(front), "olu")
    assert (done.records, done.postings > 0) == (len(payouts), True)


async def test_a_month_has_every_payout_and_posting_and_what_each_account_held(front: Front, tmp_path: Path) -> None:
    await front.earn("5000")
    before = await paid(front, "1000")
    begun = await moment(front)
    inside = await paid(front, "500.50")
    failed = await paid(front, "200", BOUNCES)
    await front.earn("300", BOB)
    ended = await moment(front)
    await paid(front, "700")
    month = range(begun, ended)
    written = await MonthEnd(front.store, month).write(tmp_path / "live", "olu")
    payouts = {one["id"]: one for one in rows(tmp_path / "live" / "payouts.csv")}
    assert payouts.keys() == {inside, failed}
    one = payouts[inside]
    assert (one["platform"], one["provider"], one["currency"], one["gross"], one["net"]) == (
        "shop", "ann", "NGN", "500.50", "500.50",
    )  # fmt: skip
    reference = reference_of(inside, 1, front.store.installation)
    assert (one["state at the end"], one["our reference"], one["rail"]) == ("COMPLETED", reference, "flutterwave")
    assert one["asked"] <= one["approved"] <= one["sent"] <= one["paid"]
    assert payouts[failed]["state now"] == "FAILED"
    assert balance(tmp_path / "live", ANN, "available") == ("4000.00", "-700.50", "3299.50")
    assert balance(tmp_path / "live", ANN, "held") == ("0.00", "200.00", "200.00")
    assert balance(tmp_path / "live", ANN, "paid") == ("1000.00", "500.50", "1500.50")
    assert balance(tmp_path / "live", BOB, "available") == ("0.00", "300.00", "300.00")
    moved = [one for one in rows(tmp_path / "live" / "postings.csv") if one["account"] == SHOPS[ANN]]
    assert [(one["from"], one["to"], one["amount"]) for one in moved] == [
        ("available", "held", "500.50"), ("held", "paid", "500.50"), ("available", "held", "200.00"),
    ]  # fmt: skip
    assert written.payouts == 2
    # Nothing of it changes when what is over leaves the store.
    await put_away(front, before, inside)
    again = await MonthEnd(front.store, month).write(tmp_path / "archived", "olu")
    assert (again.payouts, again.postings, again.figures) == (written.payouts, written.postings, written.figures)
    for name in ("postings", "balances"):
        assert rows(tmp_path / "archived" / f"{name}.csv") == rows(tmp_path / "live" / f"{name}.csv")
    key = itemgetter("id")
    now, then = (sorted(rows(tmp_path / part / "payouts.csv"), key=key) for part in ("archived", "live"))
    assert now == then


async def test_one_file_for_spreadsheets_says_the_same(front: Front, tmp_path: Path) -> None:
    await front.earn("5000")
    await paid(front, "1000.25")
    month = range(await moment(front))
    await MonthEnd(front.store, month).write(tmp_path, "olu")
    (file,) = (await MonthEnd(front.store, month).write(tmp_path, "olu", xlsx=True)).files
    book = load_workbook(file)
    assert book.sheetnames == ["payouts", "postings", "balances"]
    for name in book.sheetnames:
        heads, *found = book[name].iter_rows(values_only=True)
        table = rows(tmp_path / f"{name}.csv")
        assert list(heads) == list(table[0])
        for row, line in zip(found, table, strict=True):
            for cell, text in zip(row, line.values(), strict=True):
                assert (cell or "") == text or Decimal(str(cell)) == Decimal(text)


async def test_of_a_platform_there_is_what_is_its_own(front: Front, tmp_path: Path) -> None:
    await front.earn("5000")
    await front.rival("POST", "/api/earnings", {"id": "o", "owner": "zed", "amount": "50", "currency": "NGN"})
    await paid(front, "1000")
    month = range(await moment(front))
    for platform, accounts in (("shop", {SHOPS[ANN]}), ("rival", {"rival~zed"})):
        await MonthEnd(front.store, month, platform).write(tmp_path / platform, "olu")
        assert {one["account"] for one in rows(tmp_path / platform / "balances.csv")} == accounts
    assert rows(tmp_path / "rival" / "payouts.csv") == []


async def test_a_month_in_which_something_lacks_is_not_written(front: Front, tmp_path: Path) -> None:
    await front.earn("5000")
    payout = await paid(front, "1000")
    await put_away(front, payout)
    month = range(await moment(front))
    with pytest.raises(BadInput, match="do not sum to"):
        await MonthEnd(front.store, month, archives=tmp_path / "elsewhere").write(tmp_path / "out", "olu")
    assert not (tmp_path / "out").exists()
    await MonthEnd(front.store, month).write(tmp_path / "out", "olu")
    with pytest.raises(BadInput, match="is there already"):
        await MonthEnd(front.store, month).write(tmp_path / "out", "olu")


async def test_what_is_owed_stands_beside_what_there_is_to_pay_it_from(front: Front) -> None:
    await front.earn("5000")
    await paid(front, "1500")
    await front.ann("POST", "/api/payouts", asking("200"))
    await front.store.shortfalls.remember("flutterwave", Money.parse("100", NGN), await front.store.records.now())
    (naira,) = [one for one in await coverage(front.store) if one.asset == "NGN"]
    assert (naira.available, naira.held, naira.in_flight, naira.in_wallets) == (3_300_00, 200_00, 0, 100_00)
    assert (naira.paid, naira.missing, naira.days) == (1_500_00, 100_00, 2.0)


@pytest.mark.parametrize("text", ["2026", "2026-13", "november", "", "2026-1-1"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no month"):
        month_of(text)


def test_a_month_ends_where_the_next_one_begins() -> None:
    assert month_of("2026-12").stop == month_of("2027-01").start
