"""The books: accounts, the trial balance, and the walk that proves that nothing was lost or made."""

from typing import Any, cast

from rich.table import Table
from rich.text import Text

from machines.core.ids import owner_of
from machines.core.money import Assets
from payflow.cli.desk import Code, Desk, Usage, person, typed
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.words import clean, rows, table
from payflow.desk.ledger_correction import Believed
from payflow.shown import exact
from payflow.store.ledger import LedgerAccount, LedgerCheck

COLUMNS = ("available", "held", "paid", "funded", "owed")


async def ledger(desk: Desk, *, owner: str | None) -> Code:
    """Show the books, of one owner or of all, and whether they are true."""
    return await (_all(desk) if owner is None else _of(desk, owner))


async def _of(desk: Desk, owner: str) -> Code:
    with typed():
        name = owner_of(owner)
    async with desk.open() as payflow:
        accounts, assets = await payflow.store.ledger.account(name), payflow.store.records.assets
        off = {asset: account.imbalance for asset, account in accounts.items() if account.imbalance}
        desk.tell(
            {
                "owner": name,
                "accounts": [_account_json(asset, account, assets) for asset, account in sorted(accounts.items())],
                "balanced": not off,
            },
            _account_table(accounts, assets, "asset") if accounts else Text(f"{name} has no account."),
            *(
                Text(f"{asset}: funded + owed and available + held + paid differ by {units} units.", "bold red")
                for asset, units in off.items()
            ),
        )
    return Code.REFUSED if off else Code.OK


async def _all(desk: Desk) -> Code:
    async with desk.open() as payflow:
        begun = await payflow.store.records.now()
        books = await payflow.store.ledger.check()
        await payflow.store.ledger.remember(LedgerCheck(begun, books.conserved))
        assets = payflow.store.records.assets
        desk.tell(
            {
                "accounts": books.accounts,
                "totals": [_account_json(asset, account, assets) for asset, account in sorted(books.totals.items())],
                "conserved": books.conserved,
                "faults": books.faults,
            },
            _account_table(books.totals, assets, "all owners"),
            "",
            *(Text(clean(fault), "bold red") for fault in books.faults),
            Text(f"{books.accounts:,} accounts. Conserved: nothing was lost, nothing was made.", "green")
            if books.conserved
            else Text(
                "NOT conserved. Workers pause what it concerns; find out what wrote this (runbook LedgerNotConserved).",
                "bold red",
            ),
        )
    return Code.OK if books.conserved else Code.REFUSED


async def correct(desk: Desk, *, owner: str, asset: str, believe: str | None, reason: str) -> Code:
    """Propose to a second person the posting that puts a false account right."""
    with typed():
        name = owner_of(owner)
    if believe not in (None, "account", "journal"):
        raise Usage("--believe is account or journal.")
    async with desk.open() as payflow:
        who, steering = await person(desk, payflow.store), steering_of(payflow)
        proposal = await steering.propose_correction(name, asset, cast("Believed | None", believe), reason, who)
        desk.tell(
            {"proposal": proposal.digest, "seen": dict(proposal.seen), "who": who.name},
            *(Text(clean(line)) for line in steering.two.says(proposal)),
            *(Text(clean(line)) for line in who_confirms(proposal.role, proposal.digest)),
        )
    return Code.OK


def _account_json(asset: str, account: LedgerAccount, assets: Assets) -> dict[str, Any]:
    return {"asset": asset} | {part: exact(getattr(account, part), asset, assets) for part in COLUMNS}


def _account_table(accounts: dict[str, LedgerAccount], assets: Assets, title: str) -> Table:
    return rows(
        table(title, *(f"{part}>" for part in COLUMNS)),
        (
            (asset, *(exact(getattr(account, part), asset, assets) for part in COLUMNS))
            for asset, account in sorted(accounts.items())
        ),
    )


async def verify(desk: Desk) -> Code:
    """Walk over every record: hash chains, indexes, records that nobody would look at."""
    async with desk.open() as payflow:
        faults = [fault async for fault in payflow.store.integrity.verify()]
        count = sum(crowd.count for crowd in await payflow.store.listing.counts_by_state())
        desk.tell(
            {"records": count, "faults": [{"record": fault.place, "problem": fault.problem} for fault in faults]},
            *([rows(table("record", "problem"), ((one.place, one.problem) for one in faults))] if faults else []),
            Text(f"{len(faults)} faults in {count:,} records.", "bold red")
            if faults
            else Text(f"{count:,} records: every history whole, every index true, none forgotten.", "green"),
        )
    return Code.REFUSED if faults else Code.OK
