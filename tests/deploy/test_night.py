"""A night at the terminal: the machine is lost, the backup is old, and every command is typed as its page says."""

import json
import shutil
from pathlib import Path

import aiohttp
import pytest

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from payflow.store.seals import new_key
from tests.deploy.run import Run, a_bank, begun


def times_paid(bank: FlutterwaveSimulator, payout: str) -> int:
    """How often a payout's first reference was really paid."""
    found = [one.reference for one in bank.transfers.all if one.reference.startswith(payout)]
    return sum(bank.book.times_paid(one) for one in found if one.endswith("-1"))


async def before(run: Run) -> tuple[str, str]:
    """A payout is paid, the store is saved, another one is paid."""
    await run.says("shop", "PUT", "/api/providers/ann", {"verified": True})
    await run.says("shop", "POST", "/api/earnings", {"id": "job", "owner": "ann", "amount": "50000", "currency": "NGN"})
    early = await run.ask("10000", "0123456789")
    await run.until(early, "paid")
    await run.command("backup", "backup.tar.zst")
    late = await run.ask("11000", "0123456789")
    await run.until(late, "paid")
    return early, late


async def after(run: Run, late: str) -> None:
    """Closed until it was reconciled; the one thing that only a person knows is asked for; then it goes on."""
    status, text = await run.api.get("/readyz")
    assert status == 503
    assert "payflow reconcile" in text
    waits = await run.ask("12000", "0123456789")

    told = json.loads(await run.command("reconcile", "--since", "1h", "--json", code=1))
    (left,) = [finding for finding in told["findings"] if finding["open"]]
    assert left["about"] == late
    assert "It may be shop~ann." in left["to_do"]
    assert not [one for one in run.bank.book if one.asked.startswith(waits)], "nothing is sent while rails are closed"

    words = ("--owner", f"{late}=shop~ann", "--reason", "her request in the API's log", "--yes", "--json")
    told = json.loads(await run.command("reconcile", "--since", "1h", *words))
    assert told["clear"]
    assert told["opened"]
    await run.until(waits, "paid")
    status, _ = await run.api.get("/readyz")
    assert status == 200
    assert times_paid(run.bank, waits) == 1


@pytest.mark.timeout(180)
async def test_a_lost_machine_is_set_back_reconciled_and_pays_nobody_twice(tmp_path: Path) -> None:
    async with a_bank() as bank, aiohttp.ClientSession() as session:
        async with begun(tmp_path, bank, session) as run:
            early, late = await before(run)
            tokens = run.tokens
        shutil.move(tmp_path / "data/appendonlydir", tmp_path / "broken")
        refused = await run.command("restore", "backup.tar.zst", code=1, PAYFLOW_BACKUP_KEYS=new_key())
        assert "not in PAYFLOW_BACKUP_KEYS" in refused
        said = await run.command("restore", "backup.tar.zst")
        assert "payflow reconcile --since" in said
        async with begun(tmp_path, bank, session, tokens) as run:
            await after(run, late)
            books = json.loads(await run.command("ledger", "--json"))
            assert books["conserved"]
            (total,) = books["totals"]
            assert total["paid"] == "33000.00"
            assert sum(entry.amount for entry in bank.book) == 33_000
            assert (times_paid(bank, early), times_paid(bank, late)) == (1, 1)
