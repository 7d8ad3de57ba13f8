"""A file of many payouts: how fast it is checked, in how much memory; then paid through the simulator, and killed.

    python -m tests.bench.payout_files --rows 100000 --pay 5000 --calls 200 --kills 3

The file that is checked has 1 % of bad rows. The one that is paid is approved by two people; workers are killed with
kill -9 while they make payouts, and while they pay; in the end every row was paid exactly once, and the books balance.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import PAYS
from machines.core.clock import SystemClock
from machines.core.ids import Owner
from machines.core.money import NGN, Money
from machines.disbursement import lifecycle as s
from machines.disbursement.data import FileRecord
from payflow.app.installation import Payflow, opened
from payflow.config import load
from payflow.desk.payout_files.files import PayoutFiles
from payflow.desk.payout_files.made import MadeRows
from payflow.desk.person import Person
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import new_key
from payflow.telemetry.logs import configure

PAYROLL = Owner("shop~payroll")
UMA, RITA, RUDI = Person("uma", Role.OPERATOR), Person("rita", Role.REVIEWER), Person("rudi", Role.REVIEWER)
BAD_EVERY = 100
LOOK_S = 0.5


def written(path: Path, rows: int, *, bad: bool, prefix: str = "r") -> Path:
    """Write a file, in which one row of a hundred has an amount below the least, a bad account or another's payee."""
    with path.open("w", encoding="utf-8") as opened:
        opened.write("amount,currency,bank_code,account_number,account_name,note,reference\n")
        for number in range(rows):
            amount, account, reference = f"{1000 + number % 5000}.50", f"{3 * 10**9 + number:010}", f"{prefix}{number}"
            if bad and number % BAD_EVERY == 0:
                kind = number // BAD_EVERY % 3
                amount = "12" if kind == 0 else amount
                account = "31 00" if kind == 1 else account
                reference = f"{prefix}{number - 1}" if kind == 2 and number else reference
            opened.write(f"{amount},NGN,044,{account},,May,{reference}\n")
    return path


def memory_mb() -> float:
    """Say how much memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def checked(payflow: Payflow, path: Path) -> FileRecord:
    """Check a file, and tell how long that took."""
    files = PayoutFiles(_desk(payflow))
    before, begun, used = memory_mb(), time.perf_counter(), time.process_time()
    record = await files.upload(PAYROLL, path, path.name, "", UMA)
    took, used = time.perf_counter() - begun, time.process_time() - used
    data = record.data
    print(
        f"checked: {data.rows:,} rows in {took:.1f} s ({used:.1f} s of a core, load {os.getloadavg()[0]:.0f}), "
        f"{data.rows / took:,.0f}/s, {data.red:,} red, "
        f"{len(data.portions)} portions; memory {before:.0f} MB before, {memory_mb():.0f} MB at most"
    )
    return record


def _desk(payflow: Payflow):  # type: ignore[no-untyped-def]  # noqa: ANN202  (of the installation)
    assert payflow.parts.desk is not None
    return payflow.parts.desk


async def _worker(environment: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "payflow", "worker", env=os.environ | environment, stdout=errors, stderr=errors
        )


async def paid(
    payflow: Payflow, path: Path, environment: dict[str, str], kills: int, bank: FlutterwaveSimulator
) -> bool:
    """Have a file paid while workers are killed; say whether each row was paid exactly once."""
    files = PayoutFiles(_desk(payflow))
    record = await checked(payflow, path)
    begun = time.perf_counter()
    for reviewer in (RITA, RUDI):
        await Tokens(payflow.store.link).create(reviewer.name, Role.REVIEWER, "", "bench")
        if (await files.read(record.id)).state == s.CHECKED:
            record = await files.approve(record.id, reviewer, record.data.fingerprint)
    print(f"approved by {len(record.data.approvals)}: {time.perf_counter() - begun:.1f} s")
    log, killed = path.with_suffix(".log"), 0
    rows = record.data.payable
    marks = sorted({rows // 10, rows // 3, 2 * rows // 3})[:kills]
    begun, making = time.perf_counter(), None
    worker = await _worker(environment, log)
    try:
        while True:
            await asyncio.sleep(LOOK_S * (1 + random.random()))
            await bank.catch_up()
            record = await files.read(record.id)
            done = sum(1 for _ in bank.book)
            if record.state != s.MAKING and making is None:
                making = time.perf_counter() - begun
                print(f"made: {record.data.made:,} payouts in {making:.1f} s")
            if worker.returncode is not None:
                print(f"the worker ended by itself: {log}")
                return False
            if killed < len(marks) and (done >= marks[killed] or (killed == 0 and record.data.made > rows // 5)):
                worker.kill()
                await worker.wait()
                killed += 1
                print(f"killed -9 at {record.data.made:,} made, {done:,} paid")
                worker = await _worker(environment, log)
            if record.state == s.DONE:
                break
            if time.perf_counter() - begun > 3600:
                print(f"given up: {record.state}, {done:,} paid")
                return False
    finally:
        worker.terminate()
        await worker.wait()
    took = time.perf_counter() - begun
    print(f"paid: {rows:,} in {took:.0f} s ({rows / took:,.1f} rows/s), {killed} kills; {dict(record.data.states())}")
    return await _true(payflow, record, bank)


async def _true(payflow: Payflow, record: FileRecord, bank: FlutterwaveSimulator) -> bool:
    """Hold the results against the gateway's own book."""
    statuses = Counter([one.status async for one in MadeRows(payflow.store).results(record)])
    by_reference = Counter(entry.reference for entry in bank.book)
    twice = [one for one, times in by_reference.items() if times > 1]
    books = await payflow.store.ledger.check()
    units = (await payflow.store.ledger.account(PAYROLL))["NGN"].paid
    there = int(sum(entry.amount for entry in bank.book) * 100)
    print(
        f"results: {dict(statuses)}; paid at the gateway: {len(by_reference):,}, twice: {len(twice)}; books "
        f"{'balance' if books.conserved else 'DO NOT BALANCE'}; {units / 100:,.2f} paid here, {there / 100:,.2f} there"
    )
    return not twice and books.conserved and len(by_reference) == record.data.payable and units == there


async def run(rows: int, pay: int, calls: float, kills: int) -> bool:
    """Check one file, pay another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with FlutterwaveSimulator(SystemClock(), PAYS) as bank:
            environment = {
                "PAYFLOW_DATA": str(folder / "data"),
                "PAYFLOW_SEAL_KEYS": new_key(),
                "PAYFLOW_BATCH_SCHEDULE": "instant",
                "PAYFLOW_GATEWAY_CALLS": str(calls),
                "PAYOUT_WORKER_CONCURRENCY": "64",
                "PAYOUT_WORKER_RATE_LIMIT": str(calls),
                "PAYFLOW_PAYOUT_MOST_OPEN": "0",
                "PAYFLOW_LEASE_S": "15",
                "FLUTTERWAVE_URL": bank.v3_url,
                "FLUTTERWAVE_SECRET_KEY": bank.keys.secret_key,
                "FLUTTERWAVE_WEBHOOK_HASH": bank.keys.secret_hash,
            }
            async with opened(load(environment)) as payflow:
                await payflow.store.records.fund(PAYROLL, Money(10**14, NGN), "prefunded")
                if rows:
                    await checked(payflow, written(folder / "checked.csv", rows, bad=True, prefix="c"))
                return not pay or await paid(
                    payflow, written(folder / "paid.csv", pay, bad=False), environment, kills, bank
                )


def main() -> None:
    """Run it as it was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.payout_files", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of the file that is checked")
    parser.add_argument("--pay", type=int, default=2_000, help="of the file that is paid; 0 for none")
    parser.add_argument("--calls", type=float, default=200.0, help="to the gateway, a second")
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    configure("error", "text")
    good = asyncio.run(run(given.rows, given.pay, given.calls, given.kills))
    print(json.dumps({"good": good}))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
