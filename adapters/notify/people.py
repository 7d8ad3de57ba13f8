"""People, by mail, push or chat: one Apprise URL each, or a plain `mailto:` address that our own mail server serves."""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import structlog

from machines.core.errors import Retryable

if TYPE_CHECKING:
    from apprise import NotifyBase

log = structlog.get_logger()

PLAIN = "mailto"
_ADDRESS = re.compile(r'[^\s,;<>"]+@[^\s,;<>"]+')
# What a provider may name: services whose host he cannot choose. Our servers must not be made to call his.
PROVIDERS_MAY = frozenset({PLAIN, "tgram", "slack", "discord", "pover", "pbul"})


class People:
    """Sends words to contacts."""

    def __init__(self, mail: str = "") -> None:
        self._mail = mail
        """The Apprise URL of our mail server, such as mailtos://user:password@smtp.example.com?from=pay@example.com."""

    async def tell(self, contacts: Sequence[str], subject: str, text: str) -> None:
        """Tell somebody through every contact; raises `Retryable` when none of them took it.

        One is enough: were all of them told again because one is broken, the others would be told for a day.
        """
        took = [await self._send(contact, subject, text) for contact in contacts]
        if contacts and not any(took):
            raise Retryable(f"None of {len(contacts)} contacts took the message.")

    async def _send(self, contact: str, subject: str, text: str) -> bool:
        url = self._url(contact)
        service = await asyncio.to_thread(_service, url) if url else None
        sent = service is not None and await service.async_notify(title=subject, body=text, body_format="text")
        if not sent:
            # The URL holds secrets: only its kind may be told.
            kind = urlsplit(contact).scheme[:20]
            log.warning("A contact did not take a message.", action="contact_failed", kind=kind, known=bool(service))
        return bool(sent)

    def _url(self, contact: str) -> str:
        """Give the URL to send through; empty where there is none."""
        address = contact.removeprefix(f"{PLAIN}:")
        if contact == address or address.startswith("//"):
            return contact
        if not self._mail:
            log.error("No mail server is set, so nobody can be mailed.", action="no_mail_server")
        if not self._mail or not _ADDRESS.fullmatch(address):
            return ""
        return f"{self._mail}{'&' if '?' in self._mail else '?'}to={quote(address, safe='')}"


def _service(url: str) -> "NotifyBase | None":
    """Make what sends to a URL; None for a URL that is none."""
    from apprise import Apprise  # noqa: PLC0415  (half a second of imports, which only who sends has to wait for)

    return Apprise.instantiate(url)


def may_be_named(contact: str) -> bool:
    """Tell whether a provider may name such a contact."""
    return urlsplit(contact).scheme in PROVIDERS_MAY and not contact.startswith(f"{PLAIN}://")
