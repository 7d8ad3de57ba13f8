"""Platforms, by webhooks after the Standard Webhooks specification: an id, a time, a signature over both and the body.

The id is the same for every delivery of the same news, so that a platform can tell what it has heard already. Whatever
is not a 2xx is a failure.
"""

import base64
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks import Webhook

from adapters.public import Network, NotPublic, refuse
from machines.core.clock import SECOND, Clock
from machines.core.errors import BadInput

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)

LEAST_SECRET_BYTES = 24
"""As the specification asks for."""
LONGEST_URL = 500
LONGEST_ANSWER = 200
"""So many characters of what an endpoint answers are read: it is theirs, and may have no end."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What an endpoint answered."""

    status: int
    """0 where it could not be asked."""
    words: str
    """The beginning of its answer, or why there was none."""
    took_ms: int

    @property
    def received(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004  (2xx)


class WebhookSender:
    """Sends signed news, over a session that goes to public addresses alone and unpacks nothing."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def send(
        self, url: str, secrets: Sequence[str], message_id: str, news: Mapping[str, object]
    ) -> WebhookAnswer:
        """Send once, signed with each secret; whatever comes of it is the answer."""
        body = json.dumps(news, ensure_ascii=False, separators=(",", ":"))
        now = datetime.fromtimestamp(self._clock.now() // SECOND, UTC)
        headers = {
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "payflow",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer(secret).sign(message_id, now, body) for secret in secrets),
        }
        begun = perf_counter()
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                status, words = response.status, await _beginning(response)
                response.close()
        except aiohttp.ClientConnectorError as error:
            status, words = 0, f"It cannot be reached ({type(error).__name__}: {error.os_error})."
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            status, words = 0, f"It cannot be reached ({type(error).__name__})."
        return WebhookAnswer(status, words[:LONGEST_ANSWER], round((perf_counter() - begun) * SECOND))


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """Read the beginning of an answer, as far as it came already: its status is what counts."""
    raw = await response.content.read(LONGEST_ANSWER)
    return "".join(one if one.isprintable() else " " for one in raw.decode(errors="replace"))


def check_address(url: str, also: Sequence[Network] = (), *, loopback: bool = False) -> None:
    """Raise where nothing may be sent to an address, whoever names it; to where its name leads is judged when we call.

    To http:// it goes on this machine alone, and only where that is wanted.
    """
    fault = BadInput("An endpoint listens on an https:// address of the internet, without a name and a password in it.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise fault from None
    near = host == "localhost" or _is_loopback(host)
    if not host or len(url) > LONGEST_URL or parts.username is not None or not url.isprintable() or " " in url:
        raise fault
    if not (parts.scheme == "https" or (parts.scheme == "http" and loopback and near)):
        raise fault
    try:
        if _is_address(host):
            refuse(host, also)
    except NotPublic:
        raise fault from None


def signer(secret: str) -> Webhook:
    """Make what signs with a secret: whsec_ and base64 of enough bytes; raises for anything else."""
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise BadInput("It is no secret: write whsec_ and 24 to 64 bytes as base64.") from error
    if len(key) < LEAST_SECRET_BYTES:
        raise BadInput("It is no secret: write whsec_ and 24 to 64 bytes as base64.")
    return Webhook(key)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback
