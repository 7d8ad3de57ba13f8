"""Platforms: what each may credit in a day, and up to where its word about a provider counts."""

from typing import Annotated

import typer

from machines.core.money import Money
from payflow.app.installation import Payflow
from payflow.cli.terminal import Column, Commands, Terminal, Usage, drawn, json_of, limit_of, typed
from payflow.desk import platforms
from payflow.desk.platforms import PlatformLimits

Name = Annotated[str, typer.Argument(metavar="PLATFORM", help="The platform, as its tokens name it.")]
Limits = Annotated[list[str] | None, typer.Option(metavar="AMOUNT", help="Such as `5000000 NGN`, or `none ETH`.")]

command = Commands()


def _amounts(amounts: tuple[Money, ...]) -> str:
    return ", ".join(map(str, amounts))


PLATFORM = (
    Column("name", None),
    Column("daily", None, lambda one: _amounts(one.daily)),
    Column("used", None, lambda one: _amounts(one.used)),
    Column("verified", None, lambda one: _amounts(one.verified)),
)


@command("payflow platform ls")
async def ls(terminal: Terminal, payflow: Payflow) -> None:
    """List platforms: what each may credit in a day, what it credited today, up to where its `verified` counts."""
    found = await platforms.platforms(payflow.store)
    terminal.tell([json_of(PLATFORM, one) for one in found], drawn(PLATFORM, found))


@command("payflow platform show shop")
async def show(terminal: Terminal, payflow: Payflow, name: Name) -> None:
    """Show the limits of one platform."""
    _tell(terminal, await platforms.platform(payflow.store, name))


@command("payflow platform grant shop --daily '5000000 NGN'")
async def grant(
    terminal: Terminal, payflow: Payflow, name: Name, *, daily: Limits = None, verified: Limits = None
) -> None:
    """Say how much a platform may credit in a day, and how much its verified providers may ask for as such."""
    if not daily and not verified:
        raise Usage("Say what to grant: --daily, --verified, or both.")
    assets = payflow.store.records.assets
    with typed():
        limits = [dict(limit_of(text, assets) for text in given or ()) for given in (daily, verified)]
    _tell(terminal, await platforms.grant(payflow.store, name, limits[0], limits[1], await terminal.person(payflow)))


def _tell(terminal: Terminal, one: PlatformLimits) -> None:
    terminal.tell(json_of(PLATFORM, one), drawn(PLATFORM, [one]))
