"""All commands, by what they are for; the file of one is imported when it is typed: `payflow --help` must be quick."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Listed(NamedTuple):
    """A command, or a noun with commands of its own."""

    panel: str
    module: str
    """The file in this folder."""
    means: str
    """What it does; the commands of a noun say that themselves."""


RUN, LOOK, STEER, KEEP, PROVE = "Run it", "Look", "Steer", "Keep", "Prove"

INDEX: Mapping[str, Listed] = {
    "serve": Listed(RUN, "service", "Run the API and, unless ENABLE_WORKERS=false, the workers."),
    "worker": Listed(RUN, "service", "Run workers without the API; PAYFLOW_PROBE_PORT gives them /metrics and probes."),
    "init": Listed(
        RUN,
        "service",
        "Make the store of a new installation; `serve`, `worker`, `sandbox` and `pool run` make it too.",
    ),
    "doctor": Listed(RUN, "examine.doctor", "Check settings and store, and say what to do."),
    "sandbox": Listed(
        RUN,
        "sandbox",
        "Run Payflow with its world simulated: a bank, a chain, a mining pool, GitHub, mail, tokens for everybody.",
    ),
    "seal-key": Listed(RUN, "service", "Make a key for PAYFLOW_SEAL_KEYS, which encrypts where money goes."),
    "pool": Listed(RUN, "pools", "Pay the miners of an open-ethereum-pool."),
    "trouble": Listed(
        LOOK, "trouble", "List what is wrong now: since when, how many and how much, and what is safe to do."
    ),
    "ls": Listed(
        LOOK, "records", "Count the records in each state, and list the open ones, longest in their state first."
    ),
    "show": Listed(
        LOOK, "records", "Tell the whole story of one record: its money, what happens next, who did what and why."
    ),
    "tail": Listed(LOOK, "records", "Follow the moves of all records, live."),
    "top": Listed(
        LOOK, "top", "Watch the installation: records by state, how fast they move, what is late, paused or closed."
    ),
    "caps": Listed(LOOK, "caps", "Show what may leave in a day, by rail and in all, and what of it is used."),
    "lifecycle": Listed(LOOK, "records", "Show what the records of a machine can be and do."),
    "receipt": Listed(LOOK, "receipts", "Write proof of a payment into a file, for whoever was paid."),
    "verify-receipt": Listed(LOOK, "receipts", "Check a receipt: offline, from the file alone."),
    "override": Listed(
        STEER,
        "steering",
        "Put a record into a state by hand, or propose it where that takes two people; shows first what would change.",
    ),
    "proposals": Listed(STEER, "steering", "List what waits for a second person."),
    "confirm": Listed(
        STEER,
        "steering",
        "Be the second person: shows what another one proposed, asks, and does that. Takes a token of your own.",
    ),
    "break-glass": Listed(
        STEER,
        "break_glass",
        "Do what takes two people while no service answers, with both tokens; all are told first.",
    ),
    "decline": Listed(STEER, "steering", "Take off the table what somebody proposed; nothing is changed."),
    "retry": Listed(
        STEER, "steering", "Try a failed record again, take up one that was set aside, or look at a waiting one now."
    ),
    "do": Listed(
        STEER,
        "bulk",
        "Do one act to many records; shows first what it would do to each, and what it leaves alone.",
    ),
    "resync": Listed(
        STEER, "bulk", "Compare records with the world at once, finished and archived ones too; workers look at them."
    ),
    "pause": Listed(STEER, "steering", "Stop sends in a scope, on all workers; looks go on."),
    "resume": Listed(STEER, "steering", "Allow sends in a scope again."),
    "paused": Listed(STEER, "steering", "List what is paused, since when, by whom and why."),
    "sign-in": Listed(
        STEER, "sign_in", "Print a link that signs somebody in at the pages: good once, for a quarter of an hour."
    ),
    "login": Listed(
        STEER, "sign_in", "Act as yourself here: shows a code, which you confirm at the pages; for 8 hours."
    ),
    "logout": Listed(STEER, "sign_in", "End what `payflow login` began."),
    "person": Listed(STEER, "persons", "See who works here; say what each may do, and shut them out."),
    "session": Listed(STEER, "sessions", "See who is signed in at the pages, and sign them out."),
    "passkey": Listed(STEER, "passkeys", "See the passkeys of somebody who works here, and remove one that was lost."),
    "token": Listed(STEER, "tokens", "Make, list, rotate and revoke API tokens."),
    "payout": Listed(STEER, "payouts", "Decide about a payout."),
    "payouts": Listed(STEER, "payout_files", "Send many payouts as a file, approve it as one, and follow each row."),
    "batch": Listed(STEER, "batches", "Open batches of payouts, and see what became of them."),
    "lane": Listed(STEER, "lanes", "See and steer the addresses that pay over a chain."),
    "platform": Listed(STEER, "platforms", "See platforms, and say how much each may credit and vouch for."),
    "finding": Listed(STEER, "findings", "See where our books and a rail's differ, and do what is proposed for it."),
    "permit": Listed(STEER, "permits", "See records that are not signed as they are, and take them over."),
    "provider": Listed(STEER, "providers", "See and verify providers."),
    "outbox": Listed(STEER, "outbox", "See news that nobody took, and send it once more."),
    "bounty": Listed(STEER, "bounties", "Bounties of a GitHub organisation."),
    "export": Listed(
        KEEP,
        "archive",
        "Write records with their whole histories into a file, one JSON document a line; the store keeps them.",
    ),
    "archive": Listed(
        KEEP,
        "archive",
        "Take finished records and old postings out of the store, into a file; their keys never pay again.",
    ),
    "backup": Listed(KEEP, "archive", "Save the embedded store into a file, while payments go on."),
    "restore": Listed(
        KEEP, "archive", "Put a saved store into a data folder that has none; nothing is sent until it was reconciled."
    ),
    "unseal": Listed(KEEP, "archive", "Write what an encrypted backup, archive or export holds into a file, in clear."),
    "reseal": Listed(
        KEEP,
        "service",
        "Encrypt with the newest key all that older keys encrypt, while payments go on; then these can be taken off.",
    ),
    "simulate": Listed(
        PROVE,
        "simulation",
        "Play payouts in virtual time against gateways that lie, lag and lose, and compare with what they really paid.",
    ),
    "ledger": Listed(PROVE, "books", "Show the books, and prove that nothing was lost or made."),
    "coverage": Listed(
        PROVE, "month_end", "Show what is owed, what wallets hold to pay it from, and for how many days that lasts."
    ),
    "month-end": Listed(
        PROVE, "month_end", "Write a month for accountants: payouts, postings, and what each account held at both ends."
    ),
    "verify": Listed(
        PROVE, "books", "Walk over every record: hash chains, indexes, records that nobody would look at."
    ),
    "trial": Listed(
        PROVE,
        "examine.trial",
        "Make a transfer of a gateway's test mode, and say what was not as we expect of the gateway.",
    ),
    "reconcile": Listed(
        PROVE,
        "books",
        "Compare our books with what the world did since a time; then open what closed when the store lost writes.",
    ),
}


class LazyGroup(TyperGroup):
    """Lists its commands by the index, and imports one when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  (typer's own click is private)
        """Find what was typed."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name and listed else None, rest


def loaded(name: str) -> Any:  # noqa: ANN401  (as above)
    """Import a command, or a noun with its commands."""
    noun = typer.main.get_group(import_module(f"payflow.cli.{INDEX[name].module}").command.typer)
    found = noun.commands.get(name, noun)
    found.name, found.help = name, INDEX[name].means
    return found


cli = typer.Typer(
    name="payflow",
    cls=LazyGroup,
    help="Payflow pays people and can prove it.",
    epilog="Exit codes: 0 done, 1 refused or faults found, 2 wrong command line or settings, 3 store cannot be used.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _entry in INDEX.items():
    cli.command(_name, help=_entry.means, rich_help_panel=_entry.panel)(lambda: None)
