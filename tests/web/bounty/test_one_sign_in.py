"""Who works here signs in once, at the dashboard or at Manage Payouts; a contributor opens no dashboard by it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from payflow.app.installation import opened
from payflow.config import Settings
from payflow.store.registers.tokens import Role, Tokens
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
