"""Coming in: links that sign somebody in at the pages, and a command line that acts as who is signed in there."""

import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import aiohttp
import anyio
import msgspec
import typer
from yarl import URL

from adapters.http import JSON, NoReply, exchange
from machines.core.errors import NotPossible, StoreUnavailable
from payflow.app.installation import Payflow
from payflow.cli import saved_login
from payflow.cli.saved_login import SavedLogin
from payflow.cli.terminal import Commands, Terminal, Usage
from payflow.desk.identity import make_sign_in_link
from payflow.desk.person import STAFF, shell

WITHIN_S = 15.0

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


@command("payflow login")
async def login(terminal: Terminal) -> None:
    async with aiohttp.ClientSession() as session:
        service = _Service(session, terminal.settings.pages_at)
        asked = await service.ask("", account=_account())
        page = service.address + asked["page"]
        terminal.tell(
            {"page": page, "code": asked["code"]},
            f"Open {page}",
            f"and say yes if it shows {asked['code']}. Who is not signed in there is asked to, first.",
        )
        given = await service.answer(asked)
    saved = SavedLogin(given["token"], given["who"], given["role"], given["until"])
    place = saved_login.write(terminal.settings, saved)
    terminal.tell(
        {"who": saved.who, "role": saved.role, "until": saved.until, "saved": str(place)},
        f"Commands act as {saved.who}, a {saved.role}, until {saved.until}; `payflow logout` ends it.",
    )


@command("payflow logout")
async def logout(terminal: Terminal) -> None:
    saved = saved_login.read(terminal.settings)
    if saved is None:
        raise NotPossible(f"Nobody is logged in at {terminal.settings.pages_at} here.")
    async with aiohttp.ClientSession() as session:
        await _Service(session, terminal.settings.pages_at).ask("/end", secret=saved.token)
    saved_login.remove(terminal.settings)
    terminal.tell({"who": saved.who, "ended": True}, f"Commands act as {saved.who} no more.")


@dataclass(frozen=True, slots=True)
class _Service:
    """The service that runs, as a command line asks it."""

    session: aiohttp.ClientSession
    address: str

    async def ask(self, place: str, **body: str) -> dict[str, Any]:
        """Ask it something; what it refuses is said in its own words."""
        status, found = await self._asked(place, **body)
        if status >= HTTPStatus.BAD_REQUEST:
            raise NotPossible(_said(found))
        return found

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Ask until somebody has said yes or no."""
        until = time.monotonic() + asked["within_s"]
        while time.monotonic() < until:
            await anyio.sleep(asked["every_s"])
            status, found = await self._asked("/answer", secret=asked["secret"])
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                continue
            if status >= HTTPStatus.BAD_REQUEST:
                raise NotPossible(_said(found))
            if found["status"] == "confirmed":
                return found
        raise NotPossible("Nobody said yes in time: type `payflow login` again.")

    async def _asked(self, place: str, **body: str) -> tuple[int, dict[str, Any]]:
        url = URL(f"{self.address}/api/login{place}")
        try:
            reply = await exchange(
                self.session, "POST", url, headers=JSON, total_s=WITHIN_S, body=msgspec.json.encode(body)
            )
            found: dict[str, Any] = msgspec.json.decode(reply.body, type=dict)
        except (NoReply, msgspec.MsgspecError) as error:
            raise StoreUnavailable(
                f"No Payflow answers at {self.address}: see that the service runs, and that PAYFLOW_PUBLIC_URL is set "
                "as it is for the service."
            ) from error
        return reply.status, found


def _account() -> str:
    """Say whose command line this is, in letters that the service takes."""
    return re.sub(r"[^A-Za-z0-9_.:@+-]", "-", shell().name.removeprefix("shell:")).lstrip("_.:@+-") or "unknown"


def _said(found: dict[str, Any]) -> str:
    return str(found.get("error", {}).get("message", "The service refused it."))
