"""Payouts and their batches: what reviewers and operators decide about them at the terminal."""

from functools import partial
from typing import Annotated

import typer

batch = typer.Typer(name="batch", help="Open batches of payouts, and see what became of them.", no_args_is_help=True)
payout = typer.Typer(name="payout", help="Decide about a payout.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="A batch, such as 20270115-080000-batch.")]
Payout = Annotated[str, typer.Argument(metavar="ID", help="A payout, such as payout-03-abcdefgh23456777.")]
Reason = Annotated[str, typer.Option(help="Why: the provider reads it, and it is kept for ever.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@batch.command()
def run(
    context: typer.Context,
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many payouts at most, the oldest first.")
    ] = 10_000,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Open a batch now: every approved payout is handed to its rail, whatever the schedule says."""
    from payflow.cli import batches, desk

    desk.go(context, partial(batches.run, limit=limit, yes=yes), as_json=as_json)


@batch.command()
def ls(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many batches.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List batches, the newest first, each with what became of it."""
    from payflow.cli import batches, desk

    desk.go(context, partial(batches.ls, limit=limit), as_json=as_json)


@batch.command()
def show(
    context: typer.Context,
    name: Batch,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of its payouts to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show one batch: how many payouts and how much money are where, and which they are."""
    from payflow.cli import batches, desk

    desk.go(context, partial(batches.show, name=name, limit=limit), as_json=as_json)


@payout.command()
def approve(context: typer.Context, payout_id: Payout, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Say yes to the amount and the destination that are shown; nobody approves what he asked for himself."""
    from payflow.cli import deciding, desk

    desk.go(context, partial(deciding.approve, payout_id=payout_id, yes=yes), as_json=as_json)


@payout.command()
def reject(context: typer.Context, payout_id: Payout, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Say no to a payout, or to another destination for a failed one."""
    from payflow.cli import deciding, desk

    desk.go(context, partial(deciding.reject, payout_id=payout_id, reason=reason), as_json=as_json)


@payout.command()
def cancel(context: typer.Context, payout_id: Payout, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Take a payout back that is not with its rail yet."""
    from payflow.cli import deciding, desk

    desk.go(context, partial(deciding.cancel, payout_id=payout_id, reason=reason), as_json=as_json)


@payout.command()
def retry(context: typer.Context, payout_id: Payout, *, as_json: AsJson = False) -> None:
    """Try a failed payout once more, under a new reference."""
    from payflow.cli import deciding, desk

    desk.go(context, partial(deciding.retry, payout_id=payout_id), as_json=as_json)


@payout.command()
def release(context: typer.Context, payout_id: Payout, *, reason: Reason = "", as_json: AsJson = False) -> None:
    """Give the money of a failed payout back, if the rail proves that none of its attempts was paid."""
    from payflow.cli import deciding, desk

    desk.go(context, partial(deciding.release, payout_id=payout_id, reason=reason), as_json=as_json)


@payout.command()
def correct(
    context: typer.Context,
    payout_id: Payout,
    *,
    account: Annotated[str, typer.Option(metavar="NUMBER", help="The account's or wallet's number.")],
    bank: Annotated[str, typer.Option(metavar="CODE", help="The bank's code; by default the bank stays.")] = "",
    name: Annotated[str, typer.Option(help="Whose account it is.")] = "",
    as_json: AsJson = False,
) -> None:
    """Name another account for a failed payout; another person must approve it."""
    from payflow.cli import deciding, desk

    action = partial(deciding.correct, payout_id=payout_id, account=account, bank=bank, name=name)
    desk.go(context, action, as_json=as_json)
