"""Profiles of providers, for what neither they nor a platform may change: whether they are verified, whose they are."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from payflow.cli.desk import Code, Desk
    from payflow.store.registers.profiles import Profile

app = typer.Typer(name="provider", help="See and verify providers.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Owner = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider, as earnings name him.")]


@app.command()
def show(context: typer.Context, owner: Owner, *, as_json: AsJson = False) -> None:
    """Show what is known of a provider."""
    from payflow.cli import desk

    desk.go(context, partial(_show, owner=owner), as_json=as_json)


@app.command("set")
def set_(
    context: typer.Context,
    owner: Owner,
    *,
    verified: Annotated[
        bool | None, typer.Option("--verified/--unverified", help="Whether somebody has checked who he is.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which platform speaks for him and hears of him; '' for none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say that a provider is verified, or which platform speaks for him; he is told when that changes."""
    from payflow.cli import desk

    action = partial(_set, owner=owner, verified=verified, platform=platform)
    desk.go(context, action, as_json=as_json)


async def _show(desk: "Desk", *, owner: str) -> "Code":
    from machines.core.ids import owner_of
    from payflow.cli.desk import Code, typed

    with typed():
        name = owner_of(owner)
    async with desk.open() as payflow:
        profile = await payflow.store.profiles.read(name)
    _tell(desk, profile)
    return Code.OK


async def _set(desk: "Desk", *, owner: str, verified: bool | None, platform: str | None) -> "Code":
    from machines.core.decision import Message
    from machines.core.ids import owner_of
    from payflow.cli.desk import Code, Usage, named, typed
    from payflow.store.registers.tokens import Role, Tokens

    if verified is None and platform is None:
        raise Usage("Say what to set: --verified, --unverified or --platform.")
    with typed():
        name = owner_of(owner)
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        platforms = {token.of for token in await Tokens(payflow.store.link).all() if token.role is Role.PLATFORM}
        if platform and platform not in platforms:
            raise Usage(f"No platform {platform[:64]!r} ever had a token: `payflow token create` makes one.")
        if platform:
            with typed():
                payflow.store.profiles.refuse_reserved(name)
        before = await payflow.store.profiles.read(name)
        after = replace(
            before,
            verified=before.verified if verified is None else verified,
            platform=before.platform if platform is None else platform,
        )
        told = []
        if before.notify and after.platform != before.platform:
            body = {"event": "profile_changed", "owner": name, "changed": "which platform speaks for you"}
            told = [Message("notify", {**body, "to": "\n".join(before.notify)})]
        if after != before:
            now = await payflow.store.records.now()
            async with payflow.store.audit.doing(who, "set provider", name, _changes(before, after)):
                after = await payflow.store.profiles.write(before, after, now, told)
    _tell(desk, after)
    return Code.OK


def _changes(before: "Profile", after: "Profile") -> str:
    """Say what is set, and what it was."""
    told = []
    if after.verified != before.verified:
        told.append("verified" if after.verified else "not verified any more")
    if after.platform != before.platform:
        told.append(f"spoken for by {after.platform or 'nobody'}, before by {before.platform or 'nobody'}")
    return "; ".join(told)


def _tell(desk: "Desk", profile: "Profile") -> None:
    from payflow.cli.words import clean, rows, table
    from payflow.desk.payouts import shown
    from payflow.shown import iso

    told: dict[str, Any] = {
        "owner": profile.owner,
        "platform": profile.platform,
        "verified": profile.verified,
        "contacts": len(profile.notify),
        "destination": shown(profile.destination) if profile.destination else None,
        "details_changed_at": None if (at := profile.details_changed_at) is None else iso(at),
        "version": profile.version,
    }
    lines = ((name, "" if value is None else clean(str(value))) for name, value in told.items())
    desk.tell(told, rows(table("", ""), lines))
