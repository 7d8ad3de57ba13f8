"""Steering: override, retry, the pause switches, and what waits for a second person; the desk does it."""

from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from machines.core.chain import TxHash
from machines.core.errors import BadInput
from payflow.app.installation import Payflow
from payflow.cli.terminal import (
    TIME,
    Column,
    Commands,
    Format,
    Reason,
    RecordName,
    Terminal,
    Usage,
    Yes,
    ago,
    because,
    clean,
    known,
    record_of,
)
from payflow.desk.values import Proposal
from payflow.shown import amount_json
from payflow.store.registers.tokens import Role

if TYPE_CHECKING:
    from payflow.desk.pool.room import PoolRooms
    from payflow.desk.steering import Steering

DECIDES = frozenset({Role.OPERATOR, Role.REVIEWER})

Scope = Annotated[str, typer.Argument(help="everything, machine:NAME, rail:NAME or lane:NAME.")]
Proposed = Annotated[str, typer.Argument(metavar="PROPOSAL", help="Its hash, or the record that it is about.")]

command = Commands()


class PoolsOfSettings:
    """The pools whose files the settings name; each is opened when something is done to its books."""

    def __init__(self, payflow: Payflow) -> None:
        self._payflow = payflow

    @property
    def coins(self) -> Collection[str]:
        """Whose books can be opened here."""
        return self._rooms(AsyncExitStack()).coins

    async def disown(self, coin: str, login: str, tx: TxHash, who: str) -> str:
        """Count what a pool's address sent as no payment."""
        async with AsyncExitStack() as stack:
            return await self._rooms(stack).disown(coin, login, tx, who)

    def _rooms(self, stack: AsyncExitStack) -> "PoolRooms":
        from payflow.app.pools import rooms_of  # noqa: PLC0415  (two seconds, only where a pool is meant)

        settings = self._payflow.settings
        files = {file.resolve(): file for file in (settings.pool_config, *settings.pools) if file.exists()}
        return rooms_of(settings, self._payflow.store, self._payflow.metrics, stack, files.values())


def steering_of(payflow: Payflow) -> "Steering":
    """Open the desk."""
    from payflow.desk.pool import not_a_payment  # noqa: PLC0415  (most of the desk, which `--help` need not wait for)
    from payflow.desk.steering import Steering  # noqa: PLC0415  (as above)

    return Steering(payflow.store, payflow.metrics, [not_a_payment.verb(PoolsOfSettings(payflow))])


# ── override and retry ───────────────────────────────────────────────────────────────────────────────────────────────


@command('payflow override payout-03-abcdefgh23456777 CANCELLED --reason "the bank confirms that it never left"')
async def override(
    terminal: Terminal,
    payflow: Payflow,
    record_id: RecordName,
    state: Annotated[str, typer.Argument(metavar="STATE", help="Where the record is put.")],
    *,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    because(reason)
    who, steering, name = await terminal.acting(payflow), steering_of(payflow), record_of(payflow, record_id)
    known("state", state, payflow.store.records.machines[name.partition("-")[0]].lifecycle.states)
    preview = await steering.preview(name, state, who.name)
    if preview.refused:
        raise BadInput(preview.refused)
    lines = [*preview.says(), f"Reason: {reason}"]
    if not yes:
        terminal.confirm(lines)
        lines = []
    if preview.why_two:
        proposal = await steering.propose_override(name, state, reason, who, preview.record.version)
        terminal.tell(
            {"id": name, "proposal": proposal.digest, "why": preview.why_two, "who": who.name},
            *lines,
            Text(clean(f"Nothing has changed yet. {preview.why_two}"), "yellow"),
            *who_confirms(proposal),
        )
        return
    applied = await steering.override(name, state, reason, who, preview.record.version)
    terminal.tell(
        {
            "id": name,
            "from": applied.before.state,
            "to": applied.after.state,
            "amount": amount_json(applied.after.amount),
            "from_position": preview.source.position,
            "to_position": preview.target.position,
            "who": who.name,
            "why": applied.decision.why,
            "proof": preview.reading.proof,
            "read": dict(preview.reading.read),
        },
        *lines,
        Text(f"Done: it is in {applied.after.state}.", "green"),
    )


def who_confirms(proposal: Proposal) -> Sequence[str]:
    """Say who confirms a proposal, and where."""
    who = "a reviewer" if proposal.role == Role.REVIEWER else "another operator"
    return (
        f"It waits for {who}, with a token of their own, who within a day opens /admin/proposals on the dashboard,",
        f"or types: payflow confirm {proposal.digest}",
    )


@command("payflow retry payout-03-abcdefgh23456777")
async def retry(terminal: Terminal, payflow: Payflow, record_id: RecordName) -> None:
    who, name = await terminal.acting(payflow), record_of(payflow, record_id)
    before = (await payflow.store.records.read(name)).record.state
    again = await steering_of(payflow).again(name, who.name)
    terminal.tell({"id": name, "state": before, "did": again.did}, again.said)


# ── what waits for a second person ───────────────────────────────────────────────────────────────────────────────────


@command("payflow proposals")
async def proposals(terminal: Terminal, payflow: Payflow) -> None:
    columns = (
        Column("proposal", "proposal", "digest"),
        Column("kind", "act"),
        Column("subject", "of"),
        Column("seen", None, form=Format(dict, str)),
        Column("at", "since>", form=ago(await payflow.store.records.now())),
        Column("by", "by"),
        Column("role", "confirmed by a"),
        Column("reason", "why"),
    )
    terminal.tell_list(columns, await steering_of(payflow).two.waiting(), "Nothing waits for a second person.")


@command("payflow confirm payout-03-abcdefgh23456777")
async def confirm(
    terminal: Terminal,
    payflow: Payflow,
    proposal: Proposed,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; the proposal is named by its hash.")] = False,
) -> None:
    two = steering_of(payflow).two
    found = await two.find(proposal)
    if yes and proposal != found.digest:
        raise Usage("With --yes name the proposal by its hash, which says what you have seen: `payflow proposals`.")
    if not yes:
        terminal.confirm(two.says(found))
    said = await two.confirm(found.digest, await terminal.acting(payflow, {Role(found.role)}))
    terminal.tell({"proposal": found.digest, "did": said}, Text(clean(said), "green"))


@command("payflow decline payout-03-abcdefgh23456777")
async def decline(terminal: Terminal, payflow: Payflow, proposal: Proposed) -> None:
    two = steering_of(payflow).two
    found = await two.decline((await two.find(proposal)).digest, await terminal.person(payflow, DECIDES))
    said = f"{found.kind} of {found.subject} is not proposed any more; nothing was changed."
    terminal.tell({"proposal": found.digest, "declined": True}, said)


# ── pause ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@command('payflow pause rail:flutterwave --why "their status page is red"')
async def pause(
    terminal: Terminal,
    payflow: Payflow,
    scope: Scope,
    *,
    why: Annotated[str, typer.Option(help="Why, for whoever finds it.")] = "",
) -> None:
    who = (await terminal.person(payflow)).name
    said = await steering_of(payflow).pause(scope, who, why)
    found = (await payflow.store.pauses.all()).get(scope)
    details = {"who": found.who, "why": found.why, "fresh": found.who == who} if found else {}
    terminal.tell({"scope": scope, **details}, f"{said} `payflow resume {scope} --why …` opens it again.")


@command('payflow resume rail:flutterwave --why "their status page is green again"')
async def resume(
    terminal: Terminal,
    payflow: Payflow,
    scope: Scope,
    *,
    why: Annotated[str, typer.Option(help="Why sends may go on: the audit log keeps it.")] = "",
) -> None:
    said = await steering_of(payflow).resume(scope, await terminal.person(payflow), why)
    terminal.tell({"scope": scope}, said)


@command("payflow paused")
async def paused(terminal: Terminal, payflow: Payflow) -> None:
    columns = (
        Column("scope", "scope"),
        Column("at", "since (UTC)", form=TIME),
        Column("", "for>", "at", ago(await payflow.store.records.now())),
        Column("who", "by"),
        Column("why", "why"),
    )
    pauses = sorted((await payflow.store.pauses.all()).values(), key=lambda pause: pause.at)
    terminal.tell_list(columns, pauses, "Nothing is paused.")
