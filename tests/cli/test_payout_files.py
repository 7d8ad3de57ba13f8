"""Files of payouts at the terminal."""

import csv
from pathlib import Path

import pytest

from machines.core.ids import Owner
from machines.core.money import NGN, Money
from payflow.app.installation import Payflow, assemble
from payflow.store.registers.tokens import Role
from payflow.store.seals import new_key
from tests.cli.till import Till, showing

ROWS = "Net,Account,Who\n100,0690000031,=cmd()\n200,0690000032,b\n100,31 00,c\n"
MAP = "amount=Net,account_number=Account,bank_code:044,currency:NGN,reference=Who"


@pytest.fixture
def desk(till: Till, monkeypatch: pytest.MonkeyPatch) -> Till:
    """The command line of an installation that pays."""
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    monkeypatch.setenv("FLUTTERWAVE_SECRET_KEY", "FLWSECK-x")
    desk = Till(assemble)

    async def fund(payflow: Payflow) -> None:
        await payflow.store.records.fund(Owner("shop~payroll"), Money(1_000_00, NGN), "prefunded")

    _ = till  # in its environment
    desk.do(fund)
    return desk


def test_a_file_is_sent_approved_and_gives_back_a_table(desk: Till, tmp_path: Path) -> None:
    file, to = tmp_path / "may.csv", tmp_path / "results.csv"
    file.write_text(ROWS, "utf-8")
    sent = desk.json("payouts", "upload", str(file), "--owner", "shop~payroll", "--columns", MAP, code=1)
    assert (sent["state"], sent["rows"], sent["red"], sent["payable"]) == ("CHECKED", 3, 1, 2)
    assert [(one["number"], one["cell"]) for one in sent["red_rows"]] == [(4, "account_number")]
    assert desk.json("payouts", "upload", str(file), "--owner", "shop~payroll", code=1)["id"] == sent["id"]
    assert "reviewer" in desk.refused("payouts", "approve", sent["id"], "--yes", "--json")
    with showing(desk, "rita", Role.REVIEWER):
        after = desk.json("payouts", "approve", sent["id"], "--yes", "--json")
    assert (after["state"], after["made"]) == ("MAKING", 0)
    told = desk("payouts", "show", sent["id"]).out
    assert "NGN 300.00 in 2 rows by flutterwave" in told
    assert [one["id"] for one in desk.json("payouts", "files")] == [sent["id"]]
    assert desk.json("payouts", "results", sent["id"], "--to", str(to))["rows"] == 3
    rows = list(csv.DictReader(to.read_text("utf-8-sig").splitlines()))
    assert [(one["row"], one["reference"], one["status"]) for one in rows] == [
        ("2", "'=cmd()", "waiting"),
        ("3", "b", "waiting"),
        ("4", "c", "refused"),
    ]
    assert "there already" in desk.refused("payouts", "results", sent["id"], "--to", str(to), code=2)
    assert desk.json("payouts", "cancel", sent["id"], "--reason", "the wrong month")["state"] == "CANCELLED"
    assert desk.json("payouts", "columns", "shop~payroll")["columns"] == MAP


def test_what_is_no_such_file_is_refused(desk: Till, tmp_path: Path) -> None:
    path = tmp_path / "no.csv"
    path.write_text("a,b\n1,2\n", "utf-8")
    said = desk.refused("payouts", "upload", str(path), "--owner", "shop~payroll", "--json", code=2)
    assert "No heading of the file is known" in said
    assert "There is no file" in desk.refused(
        "payouts", "upload", "none.csv", "--owner", "shop~payroll", "--json", code=2
    )
