"""Signing people in with GitHub: where they are sent, and who comes back. It asks for no right, only for who it is."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from adapters.github.wire import User
from adapters.http import JSON, HttpLimits, NoReply, exchange
from machines.core.errors import Rejected, Retryable
from machines.core.forge import ForgeAccount

T = TypeVar("T")

LIMITS = HttpLimits(body_bytes=64 * 1024)


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """Who we are to GitHub when it asks people."""

    id: str
    secret: str = field(repr=False)
    web_url: str = "https://github.com"
    api_url: str = "https://api.github.com"


class _Token(msgspec.Struct):
    access_token: str = ""


class GitHubSignIn:
    """Sends people to GitHub, and learns who they are."""

    def __init__(self, session: aiohttp.ClientSession, client: OAuthClient) -> None:
        self._session = session
        self._client = client

    def sign_in_url(self, state: str, back: str) -> str:
        """Say where somebody is sent; `state` comes back with him."""
        query = {"client_id": self._client.id, "state": state, "redirect_uri": back, "allow_signup": "false"}
        return f"{self._client.web_url.rstrip('/')}/login/oauth/authorize?{urlencode(query)}"

    async def who(self, code: str, back: str) -> ForgeAccount:
        """Tell who came back with a code, which works once."""
        asked = {
            "client_id": self._client.id,
            "client_secret": self._client.secret,
            "code": code,
            "redirect_uri": back,
        }
        place = f"{self._client.web_url.rstrip('/')}/login/oauth/access_token"
        token = (await self._exchange("POST", place, "", asked, _Token)).access_token
        if not token:
            raise Rejected("GitHub does not know this code: sign in again.")
        found = await self._exchange("GET", f"{self._client.api_url.rstrip('/')}/user", token, None, User)
        return ForgeAccount(found.id, found.login)

    async def _exchange(self, method: str, url: str, token: str, body: dict[str, str] | None, shape: type[T]) -> T:
        headers = {"Accept": "application/json", **JSON, **({"Authorization": f"Bearer {token}"} if token else {})}
        content = msgspec.json.encode(body) if body else b""
        try:
            reply = await exchange(
                self._session, method, URL(url), headers=headers, total_s=LIMITS.read_s, limits=LIMITS, body=content
            )
        except NoReply as error:
            raise Retryable(f"GitHub did not answer: {error}.") from error
        if reply.status != HTTPStatus.OK:
            raise Retryable(f"GitHub answered {reply.status}.")
        try:
            return msgspec.json.decode(reply.body, type=shape)
        except msgspec.DecodeError as error:
            raise Retryable("GitHub's answer cannot be read.") from error
