"""Mining pools: paying their miners, and putting right what was left in the middle."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

pool = typer.Typer(name="pool", help="Pay the miners of an open-ethereum-pool.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PAYOUTS.JSON", help="The pool's own configuration; one file for each coin."),
]
Config = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The pool's own configuration; payouts.json.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Look at the evidence and say what would be done; change nothing.")
]
Login = Annotated[str, typer.Argument(help="The miner's address, in small letters.")]
Amount = Annotated[
    int, typer.Argument(min=1, metavar="SHANNON", help="The amount in Shannon, as the pool's books have it.")
]
Tx = Annotated[str, typer.Argument(metavar="TX", help="The hash of the transaction.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@pool.command()
def run(
    context: typer.Context,
    files: Files = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Run over all miners once, and leave.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Finish what is pending, begin nothing, and leave.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Pay all miners who have reached their threshold, now and after each interval, as the pool's own module did.

    With RESOLVE_PAYOUT=1 it resolves what is pending instead, on evidence, and leaves.
    """
    from payflow.cli import pool_service

    pool_service.run(context, files, once=once, drain=drain, dry_run=dry_run, as_json=as_json)


@pool.command()
def due(context: typer.Context, *, config: Config = None, as_json: AsJson = False) -> None:
    """Show who would be paid now, how much it would cost, and what batches would save."""
    from payflow.cli import desk, pool_tables

    desk.go(context, partial(pool_tables.due, file=config), as_json=as_json)


@pool.command()
def pending(context: typer.Context, *, config: Config = None, as_json: AsJson = False) -> None:
    """List what is pending, whose it is, and what the chain proves about it."""
    from payflow.cli import desk, pool_tables

    desk.go(context, partial(pool_tables.pending, file=config), as_json=as_json)


@pool.command()
def resolve(
    context: typer.Context,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    fill: Annotated[
        bool, typer.Option("--fill", help="Use up the nonces of old transactions that may still come, then resolve.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Resolve what is pending, on evidence: paid is booked, proven unpaid is credited back, the rest is left."""
    from payflow.cli import pool_service

    pool_service.resolve(context, config, dry_run=dry_run, fill=fill, as_json=as_json)


@pool.command()
def adopt(
    context: typer.Context,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over what the old module left in the middle: paid is booked, proven unpaid is paid by the next run."""
    from payflow.cli import desk, pool_tables

    desk.go(context, partial(pool_tables.adopt, file=config, dry_run=dry_run), as_json=as_json)


@pool.command("mark-paid")
def mark_paid(
    context: typer.Context,
    login: Login,
    amount: Amount,
    tx: Tx,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Book a pending payment as paid, once the chain proves sender, recipient, value and success."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.mark_paid, login=login, shannon=amount, tx=tx, file=config, dry_run=dry_run)
    desk.go(context, action, as_json=as_json)


@pool.command()
def credit(
    context: typer.Context,
    login: Login,
    amount: Amount,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give a pending payment back to the miner's balance, once it is proven unpaid."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.credit, login=login, shannon=amount, file=config, dry_run=dry_run)
    desk.go(context, action, as_json=as_json)


@pool.command()
def unlock(
    context: typer.Context,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take the payouts' lock away, where nothing is pending."""
    from payflow.cli import desk, pool_tables

    desk.go(context, partial(pool_tables.unlock, file=config, dry_run=dry_run), as_json=as_json)


@pool.command("add-missing")
def add_missing(
    context: typer.Context,
    login: Login,
    amount: Amount,
    tx: Tx,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add the history of a payment that the chain proves and the pool did not log."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.add_missing, login=login, shannon=amount, tx=tx, file=config, dry_run=dry_run)
    desk.go(context, action, as_json=as_json)


@pool.command()
def repeat(
    context: typer.Context,
    login: Login,
    amount: Annotated[
        int | None, typer.Argument(min=1, metavar="[SHANNON]", help="Of a booked payment that never came.")
    ] = None,
    tx: Annotated[str | None, typer.Argument(metavar="[TX]", help="The hash that it is booked with.")] = None,
    *,
    config: Config = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Pay once more what never confirmed, only on proof that the old transaction is dead."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.repeat, login=login, shannon=amount, tx=tx, file=config, dry_run=dry_run)
    desk.go(context, action, as_json=as_json)


@pool.command()
def rebook(
    context: typer.Context,
    *,
    other: Annotated[
        list[str] | None,
        typer.Option("--other", metavar="TX", help="It was no miner's payment: proposed, another operator confirms."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why --other was no payment; the second person reads it.")] = "",
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """After a restored backup: book again what the pool's Redis, or Payflow too, has forgotten, after showing it."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.rebook, other=other or [], reason=reason, file=config, dry_run=dry_run, yes=yes)
    desk.go(context, action, as_json=as_json)


@pool.command()
def audit(
    context: typer.Context,
    *,
    config: Config = None,
    repair: Annotated[bool, typer.Option("--repair", help="Put right what the rows prove, after showing it.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Compare every miner's sums, and the pool's, with the rows; show what drifted, and put it right if asked."""
    from payflow.cli import desk, pool_tables

    action = partial(pool_tables.audit, file=config, repair=repair, dry_run=dry_run, yes=yes)
    desk.go(context, action, as_json=as_json)
