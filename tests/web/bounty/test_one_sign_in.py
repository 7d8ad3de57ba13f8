"""Who works here signs in once, at the dashboard or at Manage Payouts; a contributor opens no dashboard by it."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from machines.core.clock import Millis
from payflow.app.installation import opened
from payflow.config import Settings
from payflow.store.registers.passkeys import Passkey, Passkeys
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, digest_of
from payflow.web.http import app
from tests.bounties import Fair, open_fair


@asynccontextmanager
async def both(settings: Settings, folder: Path) -> AsyncIterator[tuple[Fair, str]]:
    """Serve the dashboard and Manage Payouts at one address."""
    async with open_fair(settings, "safe", folder) as fair, opened(fair.settings) as payflow:
        served = app.application(payflow.parts.routes())
        async with app.listening(served, "127.0.0.1", 0) as address:
            yield fair, address


class Browser:
    """Keeps cookies as a browser does, each for its own places."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def sees(self, place: str) -> int:
        """Open a page."""
        async with self._session.get(self._address + place, allow_redirects=False) as answer:
            return answer.status

    async def signs_in(self, place: str, token: str) -> int:
        """Show a token."""
        where = f"{self._address}{place}/sign-in"
        async with self._session.post(where, data={"token": token}, allow_redirects=False) as answer:
            return answer.status

    async def signs_out(self, place: str) -> int:
        """Send the form that ends the session."""
        async with self._session.get(self._address + place) as answer:
            (csrf, *_) = re.findall(r'name="csrf" value="([^"]*)"', await answer.text())
        where = f"{self._address}{place}/sign-out"
        async with self._session.post(where, data={"csrf": csrf}, allow_redirects=False) as answer:
            return answer.status


async def test_staff_sign_in_once_and_out_once_and_a_contributor_opens_no_dashboard(
    settings: Settings, tmp_path: Path
) -> None:
    async with both(settings, tmp_path) as (fair, address):
        otto = await Tokens(fair.store.link).create("otto", Role.OPERATOR, "", "test")
        for first, other in (("/admin", "/bounties"), ("/bounties", "/admin")):
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
                browser = Browser(address, session)
                assert (await browser.sees(first), await browser.sees(other)) == (303, 303)
                assert await browser.signs_in(first, otto) == 303
                assert (await browser.sees(first), await browser.sees(other)) == (200, 200), first
                assert await browser.signs_out(other) == 303
                assert (await browser.sees(first), await browser.sees(other)) == (303, 303), first
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            browser = Browser(address, session)
            assert await browser.signs_in("/bounties", await fair.token_of("mia")) == 303
            assert (await browser.sees("/bounties"), await browser.sees("/admin")) == (200, 303)


async def test_a_stolen_cookie_is_asked_for_the_passkey_at_the_api_too_and_a_token_is_its_own_proof(
    settings: Settings, tmp_path: Path
) -> None:
    """It takes the session of our pages, for their scripts, and does nothing by it that a page asks a passkey for."""
    async with both(settings, tmp_path) as (fair, address), aiohttp.ClientSession() as session:
        link = fair.store.link
        otto = await Tokens(link).create("otto", Role.OPERATOR, "", "test")
        await Passkeys(link).add(Passkey("id", "otto", "laptop", b"", 0, "otto", "", Millis(0), Millis(0)))
        stolen = await Sessions(link).open(Session(digest_of(otto)), 600)
        csrf = hashlib.sha256(b"form of " + stolen.encode()).hexdigest()
        cookie = {"Cookie": f"payflow_bounties={stolen}", "X-CSRF": csrf}
        shown = {"Authorization": f"Bearer {otto}"}
        place = f"{address}/api/user/bounty/1/agree"

        async def asks(headers: dict[str, str]) -> tuple[int, str]:
            async with session.post(place, json={"about": "anything"}, headers=headers) as answer:
                return answer.status, await answer.text()

        status, text = await asks(cookie)
        assert (status, "Whether it is you" in text) == (403, True), text
        assert (await asks(shown))[0] == 404, "it was let in, and there is no such bounty"
        async with session.get(f"{address}/api/user", headers=cookie) as answer:
            assert answer.status == 200, "looking takes no proof"
