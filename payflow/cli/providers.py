"""Profiles of providers, for what neither they nor a platform may change: whether they are verified, whose they are."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import TIME, Column, Commands, Reason, Terminal, Usage, grid, json_of, owner_named, typed
from payflow.desk.payouts import shown
from payflow.desk.verification import change_provider
from payflow.store.registers.profiles import Profile

Provider = Annotated[
    str,
    typer.Argument(metavar="PROVIDER", help="As `shop~ann`, or as their platform calls them."),
]

command = Commands()

PROFILE = (
    Column("owner", None),
    Column("platform", None),
    Column("verified", None),
    Column("contacts", None, lambda profile: len(profile.notify)),
    Column("destination", None, lambda profile: shown(profile.destination) if profile.destination else None),
    Column("details_changed_at", None, form=TIME),
    Column("version", None),
)


@command("payflow provider show ann")
async def show(terminal: Terminal, payflow: Payflow, owner: Provider) -> None:
    """Show what is known of a provider."""
    _tell(terminal, await payflow.store.profiles.read(await owner_named(payflow, owner)))


@command("payflow provider set ann --verified", "set")
async def set_(
    terminal: Terminal,
    payflow: Payflow,
    owner: Provider,
    *,
    verified: Annotated[
        bool | None, typer.Option("--verified/--unverified", help="Whether somebody has checked who they are.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which platform speaks for them and hears of them; '' for none.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Say that a provider is verified, or which platform speaks for them; they are told when that changes.

    Where two people operate this installation, only --unverified is done before the other one confirms it.
    """
    if verified is None and platform is None:
        raise Usage("Say what to set: --verified, --unverified or --platform.")
    name, who, two = await owner_named(payflow, owner), await terminal.person(payflow), steering_of(payflow).two
    with typed():
        done = await change_provider(two, payflow.store, name, who, reason, verified=verified, platform=platform)
    if isinstance(done, Profile):
        _tell(terminal, done)
    else:
        terminal.tell({"owner": name, "proposal": done.digest}, "Nothing has changed yet.", *who_confirms(done))


def _tell(terminal: Terminal, profile: Profile) -> None:
    answer = json_of(PROFILE, profile)
    terminal.tell(answer, grid({name: "" if value is None else str(value) for name, value in answer.items()}))
