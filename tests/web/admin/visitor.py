"""Somebody at our pages, without a browser: keeps the cookie, follows no redirect by himself, sends what forms hold."""

import html
import re
from http.cookies import SimpleCookie
from typing import Protocol

import aiohttp

from payflow.store.registers.tokens import Role


class Served(Protocol):
    """Pages that are served somewhere."""

    @property
    def address(self) -> str:
        """Where."""

    @property
    def session(self) -> aiohttp.ClientSession:
        """By what they are asked for."""

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody."""


class Visitor:
    """One visitor."""

    def __init__(self, front: Served, place: str = "/admin") -> None:
        self.front = front
        self.place = place
        self.cookie = ""
        self.said: SimpleCookie = SimpleCookie()
        """The cookies as they were set last, with their flags."""
        self.page = ""
        self.headers: dict[str, str] = {}

    async def get(self, path: str = "", **headers: str) -> int:
        """Open a page."""
        return await self._ask("GET", path, None, headers)

    async def see(self, path: str = "") -> str:
        """Open a page that must be there, and read it as text."""
        assert await self.get(path) == 200, self.page
        return self.text

    async def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str) -> int:
        """Send a form."""
        return await self._ask("POST", path, list(fields.items()), headers or {})

    async def send(self, path: str, **fields: str) -> int:
        """Send a form as a page of ours would, and go where it leads."""
        status = await self.post(path, csrf=self.field("csrf"), **fields)
        return await self.get(self.headers["Location"]) if status == 303 else status

    async def submit(self, path: str, fields: list[tuple[str, str]]) -> int:
        """Send a form in which a field stands more than once, and go where it leads."""
        status = await self._ask("POST", path, fields, {})
        return await self.get(self.headers["Location"]) if status == 303 else status

    async def press(self, button: str, **more: str) -> int:
        """Send the form that a button of the page belongs to, with all that stands in it, and go where it leads."""
        forms = re.findall(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', self.page, re.DOTALL)
        action, inside = next(one for one in forms if button in one[1])
        fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', inside)
        pairs = [*((name, html.unescape(value)) for name, value in fields), *more.items()]
        status = await self._ask("POST", action, pairs, {})
        return await self.get(self.headers["Location"]) if status == 303 else status

    async def _ask(self, method: str, path: str, fields: list[tuple[str, str]] | None, headers: dict[str, str]) -> int:
        place = path if path.startswith("/") else f"{self.place}{path}" if not path else f"{self.place}/{path}"
        given = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"{self.front.address}{place}"
        async with self.front.session.request(
            method, url, data=fields, headers=given, allow_redirects=False
        ) as answer:  # fmt: skip
            self.page, self.headers = await answer.text(), dict(answer.headers)
            if "Set-Cookie" in answer.headers:
                self.said = SimpleCookie(answer.headers["Set-Cookie"])
                self.cookie = "; ".join(f"{name}={one.value}" for name, one in self.said.items())
            return answer.status

    async def sign_in(self, secret: str) -> int:
        """Show a token."""
        return await self.post("sign-in", token=secret)

    async def come(self, name: str, role: Role = Role.REVIEWER, of: str = "") -> "Visitor":
        """Sign in as somebody, and open the first page."""
        assert await self.sign_in(await self.front.token(role, of, name=name)) == 303
        assert await self.get() == 200
        return self

    def field(self, name: str) -> str:
        """Read a hidden field of the page."""
        (value, *_) = re.findall(rf'name="{name}" value="([^"]*)"', self.page)
        return html.unescape(value)

    @property
    def text(self) -> str:
        """What a person reads on the page."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.page)).split())
