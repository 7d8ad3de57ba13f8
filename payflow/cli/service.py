"""Running the service, and what it needs before it runs."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from payflow.app import service
from payflow.cli.terminal import Commands, Terminal, print_json
from payflow.store.seals import new_key

command = Commands()


@command("PAYFLOW_PORT=9000 payflow serve")
def serve(terminal: Terminal) -> None:
    _run(terminal, service.serve)


@command("PAYFLOW_WORKER_PORT=8081 payflow worker")
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
