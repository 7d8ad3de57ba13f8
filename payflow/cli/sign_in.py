"""Coming in: links that sign somebody in at the pages."""

from typing import Annotated

import typer

from payflow.app.installation import Payflow
from payflow.cli.terminal import Commands, Terminal, Usage
from payflow.desk.person import STAFF, make_sign_in_link

command = Commands()


@command("payflow sign-in rita", "sign-in")
async def sign_in(
    terminal: Terminal,
    payflow: Payflow,
    name: Annotated[str, typer.Argument(help="Whom the link signs in; by default who shows a token here.")] = "",
) -> None:
    who = await terminal.person(payflow, STAFF)
    if not name and who.role is None:
        raise Usage("Say whom the link signs in, such as `payflow sign-in rita`.")
    secret = await make_sign_in_link(payflow.store, name or who.name, who)
    link = f"{payflow.settings.pages_at}/admin/sign-in?link={secret}"
    terminal.tell({"name": name or who.name, "link": link}, link)
