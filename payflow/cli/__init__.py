"""The command line: what operators type."""

from typing import TYPE_CHECKING

from payflow.cli.commands import cli

if TYPE_CHECKING:
    from payflow.app.installation import Assemble

__all__ = ["main"]


def main(assemble: "Assemble | None" = None) -> None:
    """Run one command; tests bring their own parts."""
    cli(obj=assemble, prog_name="payflow")
