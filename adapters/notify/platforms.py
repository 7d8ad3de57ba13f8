"""Platforms, by webhooks after the Standard Webhooks specification: an id, a time, a signature over both and the body.

The id is the same for every delivery of the same news, so that a platform can tell what it has heard already. Whatever
is not a 2xx is a failure and comes again, with growing pauses, for about a day.
"""

import base64
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
from standardwebhooks import Webhook

from machines.core.clock import SECOND, Clock
from machines.core.errors import BadSettings, Retryable

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)

LEAST_SECRET_BYTES = 24
"""As the specification asks for."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where one platform listens, and what signs what it hears."""

    url: str
    secret: str = field(repr=False)
    """As the specification writes it, whsec_ and base64; an old one may stand behind a comma, and signs as well."""


class Platforms:
    """Delivers to the platforms that have a hook, over a session that goes to public addresses alone."""

    def __init__(
        self, session: aiohttp.ClientSession, clock: Clock, hooks: Mapping[str, Hook], *, loopback: bool = False
    ) -> None:
        self._session = session
        self._clock = clock
        self._hooks = {name: (hook.url, _signers(name, hook)) for name, hook in hooks.items()}
        for name, hook in hooks.items():
            parts = urlsplit(hook.url)
            host = parts.hostname or ""
            near = host == "localhost" or _is_loopback(host)
            if not host or not (parts.scheme == "https" or (parts.scheme == "http" and loopback and near)):
                raise BadSettings(f"PAYFLOW_PLATFORM_WEBHOOKS: {name} must listen on an https:// address.")

    def listens(self, platform: str) -> bool:
        """Tell whether a platform wants to hear anything."""
        return platform in self._hooks

    async def deliver(self, platform: str, message_id: str, news: Mapping[str, object]) -> None:
        """Deliver once; raises `Retryable` when the platform did not acknowledge it."""
        url, signers = self._hooks[platform]
        body = json.dumps(news, ensure_ascii=False, separators=(",", ":"))
        now = datetime.fromtimestamp(self._clock.now() // SECOND, UTC)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "payflow",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in signers),
        }
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as response:
                status = response.status  # the answer's body is nobody's business, and may have no end
                response.close()
        except aiohttp.ClientConnectorError as error:
            raise Retryable(f"{platform} cannot be reached ({type(error).__name__}: {error.os_error}).") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retryable(f"{platform} cannot be reached ({type(error).__name__}).") from error
        if not 200 <= status < 300:  # noqa: PLR2004  (2xx)
            raise Retryable(f"{platform} answered with HTTP {status}.")


def _signers(name: str, hook: Hook) -> list[Webhook]:
    fault = f"PAYFLOW_PLATFORM_WEBHOOKS: the secret of {name} is none: write whsec_ and 24 to 64 bytes as base64."
    try:
        secrets = [secret.strip().removeprefix("whsec_") for secret in hook.secret.split(",")]
        keys = [base64.b64decode(secret, validate=True) for secret in secrets]
    except ValueError as error:
        raise BadSettings(fault) from error
    if any(len(key) < LEAST_SECRET_BYTES for key in keys):
        raise BadSettings(fault)
    return [Webhook(key) for key in keys]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
