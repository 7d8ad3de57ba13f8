"""Receipts: written for whoever was paid, and checked by anybody."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from machines.core.errors import BadInput, NotPossible
from payflow.app.installation import Payflow
from payflow.cli.terminal import Code, Commands, RecordName, Terminal, clean, record_of

command = Commands()

COMPARE = "Compare it with /.well-known/payflow-keys.json of who paid, or give that file with --keys."
OUT = Annotated[Path | None, typer.Option(help="Where to write it; by default under its own name here.")]


@command("payflow receipt payout-03-abcdefgh23456777 --page")
async def receipt(
    terminal: Terminal,
    payflow: Payflow,
    record_id: RecordName,
    *,
    page: Annotated[bool, typer.Option("--page", help="As a page that prints, with the receipt in it.")] = False,
    staff: Annotated[bool, typer.Option("--staff", help="With the names of those who decided, and why.")] = False,
    out: OUT = None,
) -> None:
    if payflow.parts.desk is None:
        raise NotPossible("This process knows no payouts.")
    receipts, name = payflow.parts.desk.receipts, record_of(payflow, record_id)
    content = await (receipts.page if page else receipts.file)(name, staff=staff)
    path = out or Path(f"receipt-{name}.{'html' if page else 'json'}")
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise BadInput(f"{path} is there already: take it away, or name another file with --out.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    terminal.tell({"record": name, "file": str(path)}, f"The receipt of {name} is in {path}.")


@command("payflow verify-receipt receipt-payout-03-abcdefgh23456777.json --keys payflow-keys.json")
def verify_receipt(
    terminal: Terminal,
    file: Annotated[Path, typer.Argument(help="The receipt, as JSON or as a page.")],
    *,
    keys: Annotated[
        Path | None,
        typer.Option(help="What /.well-known/payflow-keys.json of the installation said, saved when you trusted it."),
    ] = None,
) -> Code:
    from payflow.desk.receipts.checking import check  # noqa: PLC0415  (a second, and only here)

    found = check(_read(file), _keys(keys) if keys else ())
    body = found.body
    whose = "" if found.known else f", says whoever has the key {found.key}"
    terminal.tell(
        {"receipt": body["id"], "says": body["says"], "made_at": body["made_at"], "key": found.key,
         "key_known": found.known, "holds": list(found.holds)},
        Text(clean(f"{body['id']}: {body['says']}, as of {body['made_at']}{whose}"), "bold"),
        *(f"· {clean(line)}" for line in found.holds),
        *([] if found.known else [f"Whose key {found.key} is, this cannot know. {COMPARE}"]),
    )  # fmt: skip
    return Code.OK if found.known else Code.REFUSED


def _keys(path: Path) -> list[bytes]:
    try:
        return [bytes.fromhex(one["ed25519"]) for one in json.loads(_read(path))["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is no list of keys, as /.well-known/payflow-keys.json gives it.") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error
