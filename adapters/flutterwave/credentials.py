"""The token of v4, which holds for ten minutes. v3 has one key for ever."""

import asyncio

import aiohttp
from yarl import URL

from adapters.flutterwave import wire_v4
from adapters.http import LIMITS, HttpLimits, NoReply, exchange
from machines.core.clock import SECOND, Clock, Millis
from machines.core.errors import Retryable

TEST_KEYS = "FLWSECK_TEST"
"""What the secret keys of v3 begin with that move no money."""


def is_test_key(key: str) -> bool:
    """Whether a secret key of v3 is of the test mode."""
    return key.startswith(TEST_KEYS)


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
        limits: HttpLimits = LIMITS,
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

    async def _fetch(self) -> wire_v4.TokenV4:
        try:
            reply = await exchange(
                self._session,
                "POST",
                self._url,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                total_s=self._limits.read_s,
                limits=self._limits,
                body=self._form,
                clock=self._clock,
            )
        except NoReply as error:
            raise Retryable(f"Flutterwave's identity server did not answer: {error}.") from error
        return wire_v4.read_token(reply)
