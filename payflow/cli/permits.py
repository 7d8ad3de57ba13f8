"""Records that are not signed as they are, or not sealed, so that they send nothing; two people take them over."""

from typing import Annotated

import typer
from rich.text import Text

from payflow.app.installation import Payflow
from payflow.cli.steering import steering_of, who_confirms
from payflow.cli.terminal import Code, Column, Commands, Reason, Terminal, because, clean, drawn, json_of, record_of
from payflow.desk import permits

UNSIGNED = (
    Column("record", "record", "id"),
    Column("state", "state"),
    Column("amount", "amount", lambda one: f"{one.body.units} {one.body.asset}".strip()),
    Column("changed_after_it_was_signed", None, "forged"),
    Column("problem", None),
    Column("", "what of it", lambda one: Text(_said(one), "bold red" if one.problem or one.forged else "")),
)

UNSEALED = (
    Column("record", "record", lambda one: one.record.id),
    Column("state", "state", lambda one: one.record.state),
    Column("amount", "amount", lambda one: f"{one.body.units} {one.body.asset}".strip()),
    Column("set_aside", None, lambda one: one.record.parked),
    Column("", "what of it", lambda _: "says that it was approved, and nobody put a seal on that"),
)

command = Commands()


def _said(one: permits.UnsignedRecord) -> str:
    if one.problem:
        return f"cannot be taken over: {one.problem}"
    return "was changed after it had been signed" if one.forged else "an older version, or somebody else, wrote it"


@command("payflow permit ls")
async def ls(terminal: Terminal, payflow: Payflow) -> Code:
    """List the records, postings and rows that nobody of us signed as they are; amounts are in ledger units."""
    found = await permits.unsigned(payflow.store)
    rows = [*found.broken, *found.sound]
    unsealed = list(found.unsealed)
    postings = [said for _, of_shard in sorted(found.postings.items()) for said in of_shard]
    false = [f"{place} is not what Payflow wrote last." for place in found.rows]
    sound = Text(
        "Every record, every posting and every row is signed as it is, and what was approved is sealed.", "green"
    )
    terminal.tell(
        {
            "records": [json_of(UNSIGNED, one) for one in rows],
            "unsealed": [json_of(UNSEALED, one) for one in unsealed],
            "postings": postings,
            "rows": list(found.rows),
        },
        *([drawn(UNSIGNED, rows)] if rows else []),
        *([drawn(UNSEALED, unsealed)] if unsealed else []),
        *(Text(clean(said), "bold red") for said in (*postings, *false)),
        *([] if rows or postings or unsealed or false else [sound]),
    )
    return Code.REFUSED if rows or postings or unsealed or false else Code.OK


@command('payflow permit adopt --reason "they are those of the version before"')
async def adopt(
    terminal: Terminal,
    payflow: Payflow,
    record_id: Annotated[
        str | None, typer.Argument(metavar="RECORD", help="One record; without it, all that can be taken over.")
    ] = None,
    *,
    reason: Reason = "",
) -> None:
    """Propose to a second person that records which nobody signed or sealed are taken over exactly as they are."""
    because(reason)
    subject = record_of(payflow, record_id) if record_id else permits.ALL
    who, steering = await terminal.person(payflow), steering_of(payflow)
    proposal = await steering.propose_adoption(subject, reason, who)
    answer = {"proposal": proposal.digest, "seen": dict(proposal.seen), "who": who.name}
    terminal.tell(answer, *steering.two.says(proposal), *who_confirms(proposal))
