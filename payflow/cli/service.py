"""Running the service."""

import typer

from payflow import app
from payflow.cli.desk import leaving, print_json
from payflow.config import load


def run(context: typer.Context, *, api: bool, as_json: bool) -> None:
    """Run until a signal comes."""

    def announce(sentence: str, address: str) -> None:
        if as_json:
            print_json({"listening": address or None, "says": sentence})
        else:
            typer.echo(sentence)

    with leaving():
        service = app.serve if api else app.work
        app.run(service(load(), context.obj or app.parts, announce))
