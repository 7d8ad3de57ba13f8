"""API tokens: made, listed, rotated and revoked. A token is shown once, when it is made, and never again."""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.steering import who_confirms
from payflow.cli.terminal import (
    TIME,
    Column,
    Commands,
    Format,
    Reason,
    Terminal,
    Usage,
    duration,
    known,
    limit_of,
    typed,
)
from payflow.desk.identity import TokenWish, make_token, narrower, revoke_token, rotate_token
from payflow.desk.person import STAFF
from payflow.shown import utc
from payflow.store.registers.tokens import Role, Tokens, TokenScope

Name = Annotated[str, typer.Argument(help="What it is called; where it is no registered person's, who holds it.")]
Days = Annotated[
    int | None, typer.Option(help="After so many days it ends; by default 90 for staff, never for machines.")
]


command = Commands()

TOKEN = (
    Column("name", "name"),
    Column("role", "role"),
    Column("of", "of"),
    Column("person", "person"),
    Column("scope", "only", lambda token: ", ".join(narrower(token.scope))),
    Column("made_at", "made (UTC)", form=TIME),
    Column("made_by", "by"),
    Column("used_at", "last used (UTC)", form=Format(TIME.json, lambda at: "never" if at is None else utc(at))),
    Column("expires_at", "ends (UTC)", form=Format(TIME.json, lambda at: "never" if at is None else utc(at))),
    Column("revoked_at", "revoked (UTC)", form=TIME),
    Column("revoked_by", "by"),
)


@command("payflow token create shop --role platform --platform shop")
async def create(  # noqa: PLR0913  (each is an option that one may type)
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    role: Annotated[str, typer.Option(help="platform, provider, reviewer, operator or viewer.")],
    owner: Annotated[str, typer.Option(help="Which provider, for a provider's token.")] = "",
    platform: Annotated[
        str, typer.Option(help="Which platform, for its token; for a provider's, the platform that calls them so.")
    ] = "",
    person: Annotated[str, typer.Option(help="Whose it is, for a reviewer's, operator's or viewer's token.")] = "",
    days: Days = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It looks, and changes nothing.")] = False,
    most: Annotated[
        list[str] | None, typer.Option(metavar="AMOUNT", help="The most of one act, such as `100000 NGN`.")
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="It opens only from there, such as 10.2.0.0/16.")
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Its holder cannot send an Idempotency-Key when they ask for money.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Make a token and print it: it is kept nowhere, so it cannot be shown again.

    Where two people operate this installation, one for somebody who works here opens nothing before the other confirms.
    """
    known("role", role, Role)
    bound = {Role.PROVIDER: ("--owner", owner, ""), Role.PLATFORM: ("--platform", platform, owner)}
    option, of, other = bound.get(Role(role), ("", owner or platform, ""))
    if option and (not of or other):
        raise Usage(f"A {role}'s token needs {option}, and only that.")
    who = await terminal.person(payflow)
    with typed():
        scope = TokenScope(read_only, _most(payflow, most or ()), tuple(map(_network, network or ())))
        made = await make_token(
            payflow.store, TokenWish(name, Role(role), of, platform, person, days, scope, not without_keys), who, reason
        )
    told = {"name": name, "role": role, "of": made.of, "token": made.secret}
    if made.proposal is None:
        terminal.tell(told, made.secret)
    else:
        waits = ("It opens nothing yet.", *who_confirms(made.proposal))
        terminal.tell(told | {"proposal": made.proposal.digest}, made.secret, *waits)


def _most(payflow: Payflow, amounts: Iterable[str]) -> dict[str, int]:
    limits = dict(limit_of(text, payflow.store.records.assets) for text in amounts)
    return {asset.code: limit.units for asset, limit in limits.items() if limit is not None}


def _network(text: str) -> str:
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise Usage(f"{text!r} is no network: write 10.2.0.0/16, or one address.") from None


@command("payflow token rotate shop --overlap 1h")
async def rotate(
    terminal: Terminal,
    payflow: Payflow,
    name: Name,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old one still opens: 30m, 1h, 2d; 0m for not at all.")],
    days: Days = None,
) -> None:
    """Print what takes the place of a token; the old one ends by itself. Whoever works here may rotate their own."""
    who = await terminal.person(payflow, STAFF)
    secret = await rotate_token(payflow.store, name, duration(overlap), days, who)
    terminal.tell({"name": name, "token": secret, "overlap": overlap}, secret)


@command("payflow token ls")
async def ls(terminal: Terminal, payflow: Payflow) -> None:
    """List all tokens, the newest first, those that were revoked too."""
    found = await Tokens(payflow.store.link).all()
    terminal.tell_list(TOKEN, found, "There are no tokens. Make one with `payflow token create`.")


@command("payflow token revoke shop")
async def revoke(terminal: Terminal, payflow: Payflow, name: Name) -> None:
    """Let a token open nothing any more, at once and everywhere."""
    token = await revoke_token(payflow.store, name, await terminal.person(payflow))
    terminal.tell({"name": token.name, "revoked": True}, f"{token.name} opens nothing any more.")
