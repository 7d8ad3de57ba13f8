"""Running the service, and what it needs before it runs."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from payflow.app import service
from payflow.app.installation import Payflow
from payflow.cli.terminal import Code, Commands, Terminal, bar, print_json
from payflow.desk import reseal as seals
from payflow.store.seals import new_key

command = Commands()


@command("PAYFLOW_PORT=9000 payflow serve")
def serve(terminal: Terminal) -> None:
    _run(terminal, service.serve)


@command("PAYFLOW_PROBE_PORT=8081 payflow worker")
def worker(terminal: Terminal) -> None:
    _run(terminal, service.work)


def _run(terminal: Terminal, serve_or_work: Callable[..., Coroutine[Any, Any, None]]) -> None:
    def announce(sentence: str, address: str) -> None:
        if terminal.as_json:
            print_json({"listening": address or None, "says": sentence})
        else:
            typer.echo(sentence)

    service.run(serve_or_work(terminal.settings, terminal.assemble, announce))


@command("PAYFLOW_DATA=/var/lib/payflow payflow init")
async def init(terminal: Terminal) -> None:
    async with terminal.open(make=True) as payflow:
        settings, store = terminal.settings, payflow.store
        where = str(settings.data.absolute()) if settings.embedded else store.link.place
        terminal.tell({"store": store.store_id, "at": where}, f"The store {store.store_id} is at {where}.")


@command("payflow seal-key")
async def seal_key(
    terminal: Terminal,
    *,
    fingerprints: Annotated[
        bool, typer.Option("--fingerprints", help="Say what PAYFLOW_FINGERPRINT_KEY must be for what is there.")
    ] = False,
) -> None:
    if fingerprints:
        async with terminal.open() as payflow:
            key = payflow.store.seals.fingerprint_key
    else:
        key = new_key()
    terminal.tell({"key": key}, key)


@command("payflow reseal")
async def reseal(terminal: Terminal, payflow: Payflow) -> Code | None:
    store, who = payflow.store, (await terminal.acting(payflow)).name
    with bar("Sealing anew", await seals.count_of_records(store), quiet=terminal.as_json) as count:
        found = await seals.reseal(store, who, count)
    left = [{"place": one.place, "why": one.problem} for one in found.left]
    said = "The older keys may be taken off PAYFLOW_SEAL_KEYS" if found.done else "The older keys are still needed"
    terminal.tell(
        {"looked_at": found.looked_at, "renewed": found.renewed, "left": left, "done": found.done},
        f"{found.renewed:,} were sealed anew, of {found.looked_at:,} looked at; {len(left):,} are left.",
        *(f"{one.place}: {one.problem}" for one in found.left),
        f"{said}: see deploy/operations/rotate-keys.md.",
    )
    return None if found.done else Code.REFUSED
