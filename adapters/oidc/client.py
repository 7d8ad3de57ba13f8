"""The exchanges with an identity provider: bounded, without redirects, and seldom."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from adapters.http import SYSTEM, HttpLimits, HttpReply, HttpRequest, NoReply, exchange
from adapters.oidc import wire
from adapters.oidc.wire import OidcClient, ProviderMetadata, UnknownSigningKey
from machines.core.clock import MINUTE, Clock, Millis
from machines.core.errors import IssuerUnavailable
from machines.core.issuer import AuthRequest, VouchedSubject

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

LIMITS = HttpLimits(body_bytes=256 * 1024)
KNOWN_MS = 5 * MINUTE
"""So long what a provider says of itself, and its keys, are not asked for again: a key that it took back ends then."""
MOST_FETCHES = 5
"""So often a minute its keys are fetched, whatever tokens name."""


@asynccontextmanager
async def opened(client: OidcClient) -> "AsyncIterator[IdentityProvider]":
    """Open the way to one, for as long as the block runs."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield IdentityProvider(session, client)


@dataclass(slots=True)
class IdentityProvider:
    """One identity provider."""

    session: aiohttp.ClientSession
    client: OidcClient
    clock: Clock = SYSTEM
    _metadata: tuple[Millis, ProviderMetadata] | None = None
    _keys: "tuple[Millis, KeySet] | None" = None
    _fetched: deque[Millis] = field(default_factory=lambda: deque(maxlen=MOST_FETCHES))

    @property
    def host(self) -> str:
        """What people know it by."""
        return self.client.host

    async def sign_in_url(self, asked: AuthRequest) -> str:
        """Say where somebody is sent."""
        return wire.sign_in_url(await self.metadata(), self.client, asked)

    async def who(self, asked: AuthRequest, code: str, issuer: str) -> VouchedSubject:
        """Tell who came back with a code, which is good once; `issuer` is who answered, where that was said."""
        found = await self.metadata()
        wire.check_answer(found, issuer)
        token = wire.read_token(await self._ask(wire.token_request(found, self.client, asked, code)))
        try:
            return wire.vouched(token, await self.keys(), self.client, asked, self.clock.now())
        except UnknownSigningKey:
            # It changed its keys since they were fetched.
            return wire.vouched(token, await self.keys(anew=True), self.client, asked, self.clock.now())

    async def metadata(self) -> ProviderMetadata:
        """Give what the provider says of itself."""
        now = self.clock.now()
        if self._metadata is None or now - self._metadata[0] >= KNOWN_MS:
            place = self.client.issuer.rstrip("/") + wire.DISCOVERY
            self._metadata = now, wire.read_metadata(await self._ask(HttpRequest("GET", place)), self.client.issuer)
        return self._metadata[1]

    async def keys(self, *, anew: bool = False) -> "KeySet":
        """Give the keys that it signs with."""
        now = self.clock.now()
        if self._keys is None or anew or now - self._keys[0] >= KNOWN_MS:
            if len(self._fetched) == MOST_FETCHES and now - self._fetched[0] < MINUTE:
                raise IssuerUnavailable(f"Its keys were fetched {MOST_FETCHES} times within a minute: wait a moment.")
            self._fetched.append(now)
            found = await self.metadata()
            self._keys = now, wire.read_keys(await self._ask(HttpRequest("GET", found.jwks_uri)))
        return self._keys[1]

    async def _ask(self, request: HttpRequest) -> HttpReply:
        try:
            return await exchange(
                self.session, request.method, URL(request.path), headers=dict(request.headers),
                total_s=LIMITS.read_s, limits=LIMITS, body=request.body,
            )  # fmt: skip
        except NoReply as error:
            raise IssuerUnavailable(f"The identity provider at {self.client.host} did not answer: {error}.") from error
