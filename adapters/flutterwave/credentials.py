"""What opens the gateway's door: one key for ever in v3, a token for ten minutes in v4."""

import asyncio

import aiohttp
from yarl import URL

from adapters.flutterwave import wire_v4
from adapters.flutterwave.client import Broken, Limits, exchange
from adapters.flutterwave.exchange import Request
from machines.core.clock import SECOND, Clock, Millis
from machines.core.errors import Retryable


class SecretKey:
    """The secret key of v3."""

    def __init__(self, key: str) -> None:
        self._key = key

    async def bearer(self) -> str:
        """Give the key."""
        return self._key

    def renew(self, refused: str) -> bool:  # noqa: ARG002  (there is no other key than the refused one)
        """Say that there is no other key."""
        return False


class ClientToken:
    """The token of v4: fetched for the client, kept for as long as it holds, fetched anew a minute early."""

    EARLY_S = 60

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        client_id: str,
        client_secret: str,
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008  (frozen, so one default may serve all)
    ) -> None:
        self._session = session
        self._url = URL(url, encoded=True)
        self._form = wire_v4.token(client_id, client_secret)
        self._clock = clock
        self._limits = limits
        self._token = ""
        self._until = Millis(0)
        self._one_at_a_time = asyncio.Lock()

    async def bearer(self) -> str:
        """Give a token that still holds. Whatever fails here, nothing else has been sent yet."""
        async with self._one_at_a_time:
            if self._clock.now() >= self._until:
                fresh = await self._fetch()
                self._token = fresh.access_token
                self._until = Millis(self._clock.now() + max(fresh.expires_in - self.EARLY_S, 0) * SECOND)
            return self._token

    def renew(self, refused: str) -> bool:
        """Drop the token that was refused, unless somebody did so in the meantime."""
        if refused == self._token:
            self._until = Millis(0)
        return True

    async def _fetch(self) -> wire_v4.Token:
        request = Request("POST", self._url.path, body=self._form)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        limits = self._limits
        try:
            reply = await exchange(self._session, request, self._url, headers, limits, limits.read_s, self._clock)
        except Broken as error:
            raise Retryable(f"Flutterwave's identity server did not answer: {error}.") from error
        return wire_v4.read_token(reply)
