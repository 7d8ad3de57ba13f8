"""Every command: its name, what it takes, and one line on what it does.

`payflow --help` must be quick, so a command imports what it needs when it runs.
"""

from functools import partial
from typing import Annotated

import typer

from payflow.cli import bounties, examples, keeping, lanes, outbox, payouts, pools, providers, tokens

cli = typer.Typer(
    name="payflow",
    help="Payflow pays people and can prove it.",
    epilog="Exit codes: 0 done, 1 refused or faults found, 2 wrong command line or settings, 3 store cannot be used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
RecordId = Annotated[str, typer.Argument(metavar="ID", help="A record, such as payout-03-abcdefgh23456777.")]
Scope = Annotated[str, typer.Argument(help="everything, machine:NAME, rail:NAME or lane:NAME.")]
Proposed = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Its hash, or the record that it is about.")]

RUN, LOOK, STEER, PROVE = "Run it", "Look", "Steer", "Prove"

cli.add_typer(tokens.app, rich_help_panel=STEER)
cli.add_typer(payouts.payout, rich_help_panel=STEER)
cli.add_typer(payouts.batch, rich_help_panel=STEER)
cli.add_typer(lanes.lane, rich_help_panel=STEER)
cli.add_typer(pools.pool, rich_help_panel=RUN)
cli.add_typer(providers.app, rich_help_panel=STEER)
cli.add_typer(outbox.app, rich_help_panel=STEER)
cli.add_typer(bounties.bounty, rich_help_panel=STEER)
cli.add_typer(keeping.app)


@cli.command(rich_help_panel=RUN)
def serve(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Run the API and, unless ENABLE_WORKERS=false, the workers."""
    from payflow.cli import service

    service.run(context, api=True, as_json=as_json)


@cli.command(rich_help_panel=RUN)
def worker(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Run workers without the API; PAYFLOW_WORKER_PORT gives them /metrics and probes."""
    from payflow.cli import service

    service.run(context, api=False, as_json=as_json)


@cli.command(rich_help_panel=RUN)
def init(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Make the store of a new installation; `serve`, `worker`, `sandbox` and `pool run` make it too."""
    from payflow.cli import desk, service

    desk.go(context, service.init, as_json=as_json)


@cli.command(rich_help_panel=RUN)
def doctor(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Check settings and store, and say what to do."""
    from payflow.cli import desk, doctor

    desk.go(context, doctor.doctor, as_json=as_json)


@cli.command(rich_help_panel=RUN)
def sandbox(
    *,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 picks a free one.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier sandboxes left.")] = False,
    scenario: Annotated[
        str,
        typer.Option(
            help="What is played: default, none, gateway-outage, fraud-spike; with anvil: reorg, stuck-nonce."
        ),
    ] = "default",
    as_json: AsJson = False,
) -> None:
    """Run Payflow with its world simulated: a bank, a chain, a mining pool, GitHub, mail, tokens for everybody."""
    from payflow.cli import sandbox

    sandbox.run(port=port, fresh=fresh, scenario=scenario, as_json=as_json)


@cli.command(rich_help_panel=PROVE)
def simulate(
    *,
    runs: Annotated[int, typer.Option(min=1, help="How many payouts to play, each with a seed of its own.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The first seed: the same seed is the same run.")] = 1,
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many to play side by side.")] = 2,
    truthful: Annotated[bool, typer.Option("--truthful", help="Only gateways that say nothing untrue.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Tell each run as a story, and not only those that fail.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Play payouts in virtual time against gateways that lie, lag and lose, and compare with what they really paid."""
    from payflow.cli import simulation

    code = simulation.run(runs=runs, seed=seed, processes=processes, truthful=truthful, trace=trace, as_json=as_json)
    raise typer.Exit(code)


@cli.command("seal-key", rich_help_panel=RUN)
def seal_key() -> None:
    """Make a key for PAYFLOW_SEAL_KEYS, which encrypts where money goes."""
    from payflow.store.seals import new_key

    typer.echo(new_key())


@cli.command(rich_help_panel=LOOK)
def ls(
    context: typer.Context,
    *,
    machine: Annotated[str | None, typer.Option(help="Only records of this machine.")] = None,
    state: Annotated[str | None, typer.Option(help="Only records in this state, finished ones too.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only records of this owner, newest first.")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those set aside or too long in their state.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many records to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Count the records in each state, and list the open ones, longest in their state first."""
    from payflow.cli import desk, records

    action = partial(records.ls, machine=machine, state=state, owner=owner, stuck=stuck, limit=limit)
    desk.go(context, action, as_json=as_json)


@cli.command(rich_help_panel=LOOK)
def show(
    context: typer.Context,
    record_id: RecordId,
    *,
    folder: Annotated[str | None, typer.Option("--archive", metavar="FOLDER", help="Where archives are.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of one record: its money, what happens next, who did what and why."""
    from payflow.cli import archive, desk

    desk.go(context, partial(archive.show, record_id=record_id, folder=folder), as_json=as_json)


@cli.command(rich_help_panel=LOOK)
def tail(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Follow the moves of all records, live."""
    from payflow.cli import desk, watching

    desk.go(context, watching.tail, as_json=as_json)


@cli.command(rich_help_panel=LOOK)
def lifecycle(
    context: typer.Context,
    machine: Annotated[str, typer.Argument(help="Which machine.")],
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw it as a mermaid diagram.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the records of a machine can be and do."""
    from payflow.cli import desk, tables

    desk.go(context, partial(tables.lifecycle, machine=machine, mermaid=mermaid), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def override(
    context: typer.Context,
    record_id: RecordId,
    state: Annotated[str, typer.Argument(metavar="STATE", help="Where the record is put.")],
    *,
    reason: Annotated[str, typer.Option(help="Why: it is kept in the history for ever.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a record into a state by hand, or propose it where that takes two people; shows first what would change."""
    from payflow.cli import desk, steering

    action = partial(steering.override, record_id=record_id, to=state, reason=reason, yes=yes)
    desk.go(context, action, as_json=as_json)


@cli.command(rich_help_panel=STEER)
def proposals(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List what waits for a second person."""
    from payflow.cli import desk, steering

    desk.go(context, steering.proposals, as_json=as_json)


@cli.command(rich_help_panel=STEER)
def confirm(
    context: typer.Context,
    proposal: Proposed,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; the proposal is named by its hash.")] = False,
    as_json: AsJson = False,
) -> None:
    """Be the second person: shows what another one proposed, asks, and does exactly that. Takes a token of your own."""
    from payflow.cli import desk, steering

    desk.go(context, partial(steering.confirm_proposal, named_by=proposal, yes=yes), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def decline(context: typer.Context, proposal: Proposed, *, as_json: AsJson = False) -> None:
    """Take off the table what somebody proposed; nothing is changed."""
    from payflow.cli import desk, steering

    desk.go(context, partial(steering.decline_proposal, named_by=proposal), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def retry(context: typer.Context, record_id: RecordId, *, as_json: AsJson = False) -> None:
    """Try a failed record again, take up one that was set aside, or look at a waiting one now."""
    from payflow.cli import desk, steering

    desk.go(context, partial(steering.retry, record_id=record_id), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def pause(
    context: typer.Context,
    scope: Scope,
    *,
    why: Annotated[str, typer.Option(help="Why, for whoever finds it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Stop sends in a scope, on all workers; looks go on."""
    from payflow.cli import desk, steering

    desk.go(context, partial(steering.pause, scope=scope, why=why), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def resume(
    context: typer.Context,
    scope: Scope,
    *,
    why: Annotated[str, typer.Option(help="Why sends may go on: the audit log keeps it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Allow sends in a scope again."""
    from payflow.cli import desk, steering

    desk.go(context, partial(steering.resume, scope=scope, why=why), as_json=as_json)


@cli.command(rich_help_panel=STEER)
def paused(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List what is paused, since when, by whom and why."""
    from payflow.cli import desk, steering

    desk.go(context, steering.paused, as_json=as_json)


@cli.command(rich_help_panel=PROVE)
def ledger(
    context: typer.Context,
    owner: Annotated[str | None, typer.Argument(help="Whose account; without it, the trial balance of all.")] = None,
    *,
    correct: Annotated[
        str | None, typer.Option(metavar="ASSET", help="Propose the one posting that puts a false account right.")
    ] = None,
    believe: Annotated[
        str | None, typer.Option(help="What is believed where both could be right: account or journal.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why the correction is right, for the second person.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the books, and prove that nothing was lost or made."""
    from payflow.cli import books, desk

    if correct is None:
        desk.go(context, partial(books.ledger, owner=owner), as_json=as_json)
    else:
        asked = partial(books.correct, owner=owner or "", asset=correct, believe=believe, reason=reason)
        desk.go(context, asked, as_json=as_json)


@cli.command(rich_help_panel=PROVE)
def verify(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Walk over every record: hash chains, indexes, records that nobody would look at."""
    from payflow.cli import books, desk

    desk.go(context, books.verify, as_json=as_json)


examples.put_into(cli)
