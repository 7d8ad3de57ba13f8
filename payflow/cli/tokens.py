"""API tokens: made, listed and revoked. A token is shown once, when it is made, and never again."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.tables import TIME, Column, Format
from payflow.cli.terminal import Commands, Terminal, Usage, known, typed
from payflow.desk.person import make_token, revoke_token
from payflow.shown import utc
from payflow.store.registers.tokens import Role, Tokens

Name = Annotated[str, typer.Argument(help="Who holds it: what the history will call them.")]

command = Commands()

TOKEN = (
    Column("name", "name"),
    Column("role", "role"),
    Column("of", "of"),
    Column("made_at", "made (UTC)", form=TIME),
    Column("made_by", "by"),
    Column("used_at", "last used (UTC)", form=Format(TIME.json, lambda at: "never" if at is None else utc(at))),
    Column("revoked_at", "revoked (UTC)", form=TIME),
    Column("revoked_by", "by"),
)


@command("payflow token create shop --role platform --platform shop")
async def create(
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    role: Annotated[str, typer.Option(help="platform, provider, reviewer, operator or viewer.")],
    owner: Annotated[str, typer.Option(help="Which provider, for a provider's token.")] = "",
    platform: Annotated[str, typer.Option(help="Which platform, for a platform's token.")] = "",
) -> None:
    """Make a token and print it: it is kept nowhere, so it cannot be shown again."""
    known("role", role, Role)
    bound = {Role.PROVIDER: ("--owner", owner, platform), Role.PLATFORM: ("--platform", platform, owner)}
    option, of, other = bound.get(Role(role), ("", owner or platform, ""))
    if option and (not of or other):
        raise Usage(f"A {role}'s token needs {option}, and only that.")
    who = (await terminal.person(payflow)).name
    with typed():
        secret = await make_token(payflow.store, name, Role(role), of, who)
    terminal.tell({"name": name, "role": role, "of": of, "token": secret}, secret)


@command("payflow token ls")
async def ls(terminal: Terminal, payflow: Payflow) -> None:
    """List all tokens, the newest first, those that were revoked too."""
    found = await Tokens(payflow.store.link).all()
    terminal.tell_list(TOKEN, found, "There are no tokens. Make one with `payflow token create`.")


@command("payflow token revoke shop")
async def revoke(terminal: Terminal, payflow: Payflow, name: Name) -> None:
    """Let a token open nothing any more, at once and everywhere."""
    token = await revoke_token(payflow.store, name, (await terminal.person(payflow)).name)
    terminal.tell({"name": token.name, "revoked": True}, f"{token.name} opens nothing any more.")
