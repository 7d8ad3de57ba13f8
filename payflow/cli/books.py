"""The books: accounts, the trial balance, the walk that proves them, and the world that they are held against.

Reconciling is the only way to open rails that the sequence guard closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, cast

import typer
from rich.table import Table
from rich.text import Text

from machines.core.clock import Millis
from machines.core.errors import BadInput
from machines.core.ids import Owner, owner_of
from machines.core.money import Assets
from machines.finding.lifecycle import OPEN
from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import (
    Code,
    Column,
    Commands,
    Reason,
    Terminal,
    Usage,
    Yes,
    bar,
    clean,
    drawn,
    json_of,
    moment,
    owner_named,
    typed,
)
from payflow.desk.books import Believed, check, faults_of
from payflow.desk.rails import NOT_OPENED, RailRow, equations_of, opening_of, post_opening, rows_of
from payflow.desk.reconcile.comparison import Comparison, Word, compare, open_rails
from payflow.desk.reconcile.reconciler import ReconciledRail, Reconciler
from payflow.desk.reconcile.wallet_opening import WalletOpening, wallet_openings
from payflow.shown import exact, fine, utc

HUNDRED = 100
COLUMNS = ("available", "held", "paid", "funded", "owed")

command = Commands()

FAULT = (Column("record", "record", "place"), Column("problem", "problem"))


@command("payflow ledger ann")
async def ledger(
    terminal: Terminal,
    payflow: Payflow,
    owner: Annotated[str | None, typer.Argument(help="Whose account; without it, the trial balance of all.")] = None,
    *,
    correct: Annotated[
        str | None, typer.Option(metavar="ASSET", help="Propose the one posting that puts a false account right.")
    ] = None,
    believe: Annotated[
        str | None, typer.Option(help="What is believed where both could be right: account or journal.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the correction is right, for the second person.")] = "",
    opens: Annotated[
        bool, typer.Option("--open", help="Post the rails' side of what an older version left, once; shown before.")
    ] = False,
    yes: Yes = False,
) -> Code:
    if opens:
        return await _open(terminal, payflow, yes=yes)
    if correct is not None:
        return await _correct(terminal, payflow, owner or "", correct, believe, reason)
    return await (_all(terminal, payflow) if owner is None else _of(terminal, payflow, owner))


async def _of(terminal: Terminal, payflow: Payflow, owner: str) -> Code:
    name = await owner_named(payflow, owner)
    accounts, columns = await payflow.store.ledger.account(name), _columns(payflow.store.records.assets, "asset")
    off = {asset: account.imbalance for asset, account in accounts.items() if account.imbalance}
    terminal.tell(
        {"owner": name, "accounts": [json_of(columns, one) for one in sorted(accounts.items())], "balanced": not off},
        drawn(columns, sorted(accounts.items())) if accounts else f"{name} has no account.",
        *(
            Text(f"{asset}: funded + owed and available + held + paid differ by {units} units.", "bold red")
            for asset, units in off.items()
        ),
    )
    return Code.REFUSED if off else Code.OK


async def _all(terminal: Terminal, payflow: Payflow) -> Code:
    books, _ = await check(payflow.store)
    assets = payflow.store.records.assets
    columns, totals = _columns(assets, "all owners"), sorted(books.totals.items())
    rails, equations = rows_of(books.rails, assets), equations_of(books, assets)
    terminal.tell(
        {
            "accounts": books.accounts,
            "totals": [json_of(columns, one) for one in totals],
            "rails": [json_of(RAIL, one) for one in rails],
            "rails_opened": books.rails_opened,
            "equations": [json_of(EQUATION, one) for one in equations],
            "conserved": books.conserved,
            "faults": books.faults,
        },
        drawn(columns, totals),
        "",
        *_rails_drawn(rails),
        *(Text(clean(one.says), "green" if one.holds else "bold red") for one in equations),
        *([] if books.rails_opened else [Text(clean(NOT_OPENED), "yellow")]),
        *(Text(clean(fault), "bold red") for fault in books.faults),
        Text(f"{books.accounts:,} accounts. Conserved: nothing was lost, nothing was made.", "green")
        if books.conserved
        else Text(
            "NOT conserved. Workers pause what it concerns; find out what wrote this (runbook LedgerNotConserved).",
            "bold red",
        ),
    )
    return Code.OK if books.conserved else Code.REFUSED


RAIL = (
    Column("rail", None),
    Column("asset", None),
    Column("parts", None),
    Column("expected", None),
    Column("wallet", None),
    Column("unexplained", None),
)
EQUATION = (
    Column("asset", None),
    Column("left", None),
    Column("right", None),
    Column("holds", None),
)


def _rails_drawn(rows: Sequence[RailRow]) -> list[Table | str]:
    """Draw what the rails have, and their wallets."""
    if not rows:
        return []

    def of(title: str) -> Column:
        return Column(title, f"{title}>", lambda one: one.parts[title])

    parts = list(map(of, rows[0].parts))
    wallet = (
        Column("expected", "should hold>"),
        Column("wallet", "holds>", lambda one: one.wallet or "not known"),
        Column("unexplained", "unexplained>"),
    )
    name = Column("rail", "the rails' side", lambda one: f"{one.rail} {one.asset}")
    return [drawn([name, *parts], rows), "", drawn([name, *wallet], rows), ""]


def _wallet_says(one: WalletOpening, assets: Assets) -> str:
    held, went, before = (fine(parts, one.asset, assets) for parts in (one.held, one.went, one.fine))
    return (
        f"{one.rail} {one.asset}: the wallet held {held} when its statement begins ({utc(one.begins)}), and {went} had "
        f"left it until then by our books: {before} came into it before."
    )


async def _open(terminal: Terminal, payflow: Payflow, *, yes: bool) -> Code:
    """Show what the rails' side of an older version's records is, and post it."""
    who = await terminal.acting(payflow)
    assets = payflow.store.records.assets
    found = await opening_of(payflow.store)
    rows = rows_of(found.rails, assets)
    if not yes and not terminal.as_json:
        wallets = await wallet_openings(payflow.store, payflow.parts.reconciler, found.rails)
        terminal.tell({}, *_rails_drawn(rows), *(_wallet_says(one, assets) for one in wallets))
        rows = []
        terminal.confirm(
            [
                f"This is of {found.records:,} records whose rails' side is not posted. Stop older processes first.",
                "From then on both sides of the books are compared.",
            ]
        )
    done, wallets = await post_opening(payflow.store, payflow.parts.reconciler, who)
    terminal.tell(
        {
            "records": done.records,
            "rails": [json_of(RAIL, one) for one in rows_of(done.rails, assets)],
            "wallets": [
                {"rail": one.rail, "asset": one.asset, "before": fine(one.fine, one.asset, assets)} for one in wallets
            ],
        },
        *_rails_drawn(rows),
        *(_wallet_says(one, assets) for one in wallets),
        Text(f"Posted, of {done.records:,} records. Both sides of the books are compared from now on.", "green"),
    )
    return Code.OK


async def _correct(
    terminal: Terminal, payflow: Payflow, owner: str, asset: str, believe: str | None, reason: str
) -> Code:
    """Propose to a second person the posting that puts a false account right."""
    name = await owner_named(payflow, owner)
    if believe not in (None, "account", "journal"):
        raise Usage("--believe is account or journal.")
    who, steering = await terminal.person(payflow), steering_of(payflow)
    proposal = await steering.propose_correction(name, asset, cast("Believed | None", believe), reason, who)
    answer = {"proposal": proposal.digest, "seen": dict(proposal.seen), "who": who.name}
    terminal.tell(answer, *steering.two.says(proposal), *who_confirms(proposal))
    return Code.OK


def _columns(assets: Assets, title: str) -> list[Column]:
    def of(part: str) -> Column:
        return Column(part, f"{part}>", lambda one: exact(getattr(one[1], part), one[0], assets))

    return [Column("asset", title, lambda one: one[0]), *map(of, COLUMNS)]


@command("payflow verify")
async def verify(terminal: Terminal, payflow: Payflow) -> Code:
    faults = [fault async for fault in faults_of(payflow.store)]
    count = sum(one.count for one in await payflow.store.listing.counts_by_state())
    terminal.tell(
        {"records": count, "faults": [json_of(FAULT, one) for one in faults]},
        *([drawn(FAULT, faults)] if faults else []),
        Text(f"{len(faults)} faults in {count:,} records.", "bold red")
        if faults
        else Text(f"{count:,} records: every history whole, every index true, none forgotten.", "green"),
    )
    return Code.REFUSED if faults else Code.OK


# ── compared with the world ───────────────────────────────────────────────────────────────────────────────────────────

FINDING = (
    Column("about", "about", "subject"),
    Column("rail", "rail"),
    Column("kind", "kind"),
    Column("found", "found", "says"),
    Column("to_do", None, "advice"),
    Column("", "to do", lambda one: Text(clean(one.advice), "bold red") if one.open else Text("settled", "green")),
    Column("open", None),
)


@command("payflow reconcile --since 2027-01-15T08:00")
async def reconcile(
    terminal: Terminal,
    payflow: Payflow,
    *,
    since: Annotated[str, typer.Option(metavar="TIME", help="From when on: 2027-01-15T08:00 in UTC, or 90m, 6h, 3d.")],
    owner: Annotated[
        list[str] | None, typer.Option(metavar="ID=NAME", help="Whose a payout was that the store has forgotten.")
    ] = None,
    dismiss: Annotated[
        list[str] | None, typer.Option(metavar="SUBJECT", help="A finding that you have dealt with by hand.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
) -> Code:
    with typed():
        owners = _owners(owner or ())
    who = await terminal.acting(payflow)
    with typed():
        word = Word(who.name, reason, owners, frozenset(dismiss or ()))
    at, reconciler = moment(since, await payflow.store.records.now()), payflow.parts.reconciler
    register = reconciler.findings if reconciler else None
    outcome = await compare(payflow.store, payflow.parts.reconciles, at, word, register)
    opens = outcome.clear and bool(outcome.closed)
    turns = await _statements(terminal, reconciler, at) if reconciler else []
    differ = [one.data for turn in turns for one in turn.found if one.state == OPEN]
    findings: list[object] = [drawn(FINDING, [*outcome.findings, *differ]), ""] if outcome.findings or differ else []
    findings += [f"{turn.rail}: {turn.failed or f'{turn.lines} new lines.'}" for turn in turns]
    if opens and not yes and not terminal.as_json:
        terminal.tell({}, *findings)
        findings = []
        terminal.confirm([f"Everything is accounted for. This opens {', '.join(outcome.closed)}."])
    if opens:
        await open_rails(payflow.store, outcome, word)
    answer = {
        "findings": [json_of(FINDING, one) for one in (*outcome.findings, *differ)],
        "statements": [{"rail": turn.rail, "lines": turn.lines, "failed": turn.failed} for turn in turns],
        "clear": outcome.clear,
        "closed": [] if opens else list(outcome.closed),
        "opened": list(outcome.closed) if opens else [],
    }
    terminal.tell(answer, *findings, _sentence(outcome, len(differ)))
    return Code.OK if outcome.clear and not differ and not any(turn.failed for turn in turns) else Code.REFUSED


async def _statements(terminal: Terminal, reconciler: Reconciler, since: Millis) -> list[ReconciledRail]:
    """Compare every statement with our books, and show how far that is."""
    done: dict[str, int] = {}
    with bar("Reading statements", HUNDRED * len(reconciler.rails), quiet=terminal.as_json) as step:

        def progress(rail: str, begun: Millis, until: Millis, at: Millis) -> None:
            percent = min(HUNDRED, max(0, HUNDRED * (at - begun) // max(1, until - begun)))
            step(percent - done.get(rail, 0))
            done[rail] = percent

        return await reconciler.compare_all(since, progress)


def _owners(given: Iterable[str]) -> Mapping[str, Owner]:
    owners = {}
    for one in given:
        record_id, sign, name = one.partition("=")
        if not sign:
            raise BadInput(f"{one!r}: write --owner <id of the payout>=<name of its owner>.")
        owners[record_id] = owner_of(name)
    return owners


def _sentence(outcome: Comparison, differ: int) -> Text:
    left = sum(finding.open for finding in outcome.findings)
    if left:
        return Text(f"{left} findings are left to settle; what is closed stays closed.", "bold red")
    if differ:
        return Text(f"{differ} differences: `payflow finding ls` lists what is open, and what is proposed.", "bold red")
    if outcome.closed:
        return Text(f"Everything is accounted for. Open again: {', '.join(outcome.closed)}.", "green")
    return Text("Everything is accounted for. Nothing was closed.", "green")
