"""Profiles of providers, for what neither they nor a platform may change: whether they are verified, whose they are."""

from dataclasses import replace
from typing import Annotated

import typer

from machines.core.ids import Owner, owner_of
from payflow.app.installation import Payflow
from payflow.cli.terminal import TIME, Column, Commands, Terminal, Usage, grid, json_of, typed
from payflow.desk.payouts import shown
from payflow.desk.providers import change
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role, Tokens

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider, as earnings name them.")]

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
    _tell(terminal, await payflow.store.profiles.read(_named(owner)))


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
) -> None:
    """Say that a provider is verified, or which platform speaks for them; they are told when that changes."""
    if verified is None and platform is None:
        raise Usage("Say what to set: --verified, --unverified or --platform.")
    name, who = _named(owner), (await terminal.person(payflow)).name
    platforms = {token.of for token in await Tokens(payflow.store.link).all() if token.role is Role.PLATFORM}
    if platform and platform not in platforms:
        raise Usage(f"No platform {platform[:64]!r} ever had a token: `payflow token create` makes one.")
    if platform:
        with typed():
            payflow.store.profiles.refuse_reserved(name)

    def changed(before: Profile) -> Profile:
        sure = before.verified if verified is None else verified
        checked = before.checked_by_us if verified is None else verified
        return replace(
            before, verified=sure, checked_by_us=checked, platform=before.platform if platform is None else platform
        )

    _tell(terminal, await change(payflow.store, name, changed, who))


def _named(owner: str) -> Owner:
    with typed():
        return owner_of(owner)


def _tell(terminal: Terminal, profile: Profile) -> None:
    answer = json_of(PROFILE, profile)
    terminal.tell(answer, grid({name: "" if value is None else str(value) for name, value in answer.items()}))
