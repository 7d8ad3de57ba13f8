"""Running the service."""

import typer

from payflow.app import installation, service
from payflow.cli.desk import Code, Desk, leaving, print_json
from payflow.config import load


async def init(desk: Desk) -> Code:
    """Make the store, unless it is there."""
    async with installation.opened(desk.settings, desk.assemble) as payflow:
        where = str(desk.settings.data.absolute()) if desk.settings.embedded else payflow.store.link.place
        desk.tell({"store": payflow.store.store_id, "at": where}, f"The store {payflow.store.store_id} is at {where}.")
    return Code.OK


def run(context: typer.Context, *, api: bool, as_json: bool) -> None:
    """Run until a signal comes."""

    def announce(sentence: str, address: str) -> None:
        if as_json:
            print_json({"listening": address or None, "says": sentence})
        else:
            typer.echo(sentence)

    with leaving():
        run_it = service.serve if api else service.work
        service.run(run_it(load(), context.obj or installation.assemble, announce))
