"""API tokens: made, listed and revoked. A token is shown once, when it is made, and never again."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from payflow.cli.desk import Code, Desk

app = typer.Typer(name="token", help="Make, list and revoke API tokens.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]
Name = Annotated[str, typer.Argument(help="Who holds it: what the history will call him.")]


@app.command()
def create(
    context: typer.Context,
    name: Name,
    *,
    role: Annotated[str, typer.Option(help="platform, provider, reviewer, operator or viewer.")],
    owner: Annotated[str, typer.Option(help="Which provider, for a provider's token.")] = "",
    platform: Annotated[str, typer.Option(help="Which platform, for a platform's token.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: it is kept nowhere, so it cannot be shown again."""
    from payflow.cli import desk

    action = partial(_create, name=name, role=role, owner=owner, platform=platform)
    desk.go(context, action, as_json=as_json)


@app.command()
def ls(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List all tokens, the newest first, those that were revoked too."""
    from payflow.cli import desk

    desk.go(context, _ls, as_json=as_json)


@app.command()
def revoke(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Let a token open nothing any more, at once and everywhere."""
    from payflow.cli import desk

    desk.go(context, partial(_revoke, name=name), as_json=as_json)


async def _create(desk: "Desk", *, name: str, role: str, owner: str, platform: str) -> "Code":
    from rich.text import Text

    from payflow.cli.desk import Code, Usage, named, typed
    from payflow.store.registers.tokens import Role, Tokens

    if role not in set(Role):
        raise Usage(f"There is no role {role!r}; use one of {', '.join(Role)}.")
    bound = {Role.PROVIDER: ("--owner", owner, platform), Role.PLATFORM: ("--platform", platform, owner)}
    option, of, other = bound.get(Role(role), ("", owner or platform, ""))
    if option and (not of or other):
        raise Usage(f"A {role}'s token needs {option}, and only that.")
    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        with typed():
            async with payflow.store.audit.doing(who, "create token", name, f"{role} {of}".strip()):
                secret = await Tokens(payflow.store.link).create(name, Role(role), of, who)
    desk.tell({"name": name, "role": role, "of": of, "token": secret}, Text(secret))
    return Code.OK


async def _ls(desk: "Desk") -> "Code":
    from rich.text import Text

    from payflow.cli.desk import Code
    from payflow.cli.words import rows, table
    from payflow.shown import iso, utc
    from payflow.store.registers.tokens import Tokens

    async with desk.open() as payflow:
        tokens = await Tokens(payflow.store.link).all()
    drawn = rows(
        table("name", "role", "of", "made (UTC)", "by", "last used (UTC)", "revoked (UTC)", "by"),
        (
            (
                one.name,
                one.role,
                one.of,
                utc(one.made_at),
                one.made_by,
                utc(one.used_at) if one.used_at is not None else "never",
                utc(one.revoked_at) if one.revoked_at is not None else "",
                one.revoked_by,
            )
            for one in tokens
        ),
    )
    told = [
        {
            "name": one.name,
            "role": one.role,
            "of": one.of,
            "made_at": iso(one.made_at),
            "made_by": one.made_by,
            "used_at": None if one.used_at is None else iso(one.used_at),
            "revoked_at": None if one.revoked_at is None else iso(one.revoked_at),
            "revoked_by": one.revoked_by,
        }
        for one in tokens
    ]
    desk.tell(told, drawn if tokens else Text("There are no tokens. Make one with `payflow token create`."))
    return Code.OK


async def _revoke(desk: "Desk", *, name: str) -> "Code":
    from rich.text import Text

    from payflow.cli.desk import Code, named
    from payflow.store.registers.tokens import Tokens

    async with desk.open() as payflow:
        who = await named(desk, payflow.store)
        async with payflow.store.audit.doing(who, "revoke token", name):
            token = await Tokens(payflow.store.link).revoke(name, who)
    desk.tell({"name": token.name, "revoked": True}, Text(f"{token.name} opens nothing any more."))
    return Code.OK
