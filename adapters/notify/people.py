"""People, by mail, push or chat: one Apprise URL each, or a plain `mailto:` address that our own mail server serves."""

import asyncio
import re
import smtplib
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import structlog

from adapters.http import plain
from machines.core.errors import Retryable

if TYPE_CHECKING:
    from apprise import AppriseAsset

log = structlog.get_logger()

PLAIN = "mailto"
_ADDRESS = re.compile(r'[^\s,;<>"]+@[^\s,;<>"]+')

CONTACT_S = 10.0
"""How long one contact may take; the others do not wait for it."""
THREADS = 16
"""So many contacts are spoken to at a time. One that hangs keeps its thread until its service gives up."""


class People:
    """Sends words to contacts."""

    def __init__(self, mail: str = "", *, contact_s: float = CONTACT_S) -> None:
        self._mail = mail
        """The Apprise URL of our mail server, such as mailtos://user:password@smtp.example.com?from=pay@example.com."""
        self._contact_s = contact_s
        self._free = asyncio.Semaphore(THREADS)

    def apart(self) -> "People":
        """Give others who tell as well, with threads of their own: nobody waits for those of the first."""
        return People(self._mail, contact_s=self._contact_s)

    async def tell(self, contacts: Sequence[str], subject: str, text: str) -> None:
        """Tell somebody through every contact; raises `Retryable` when none of them took it.

        One is enough: were all of them told again because one is broken, the others would be told for a day.
        """
        took = await asyncio.gather(*(self._send(contact, subject, text) for contact in contacts))
        if contacts and not any(took):
            raise Retryable(f"None of {len(contacts)} contacts took the message.")

    async def greet(self) -> None:
        """Greet our mail server as whoever sends through it, and send nothing; raises `Retryable` where it refuses."""
        refused = "it does not answer"

        def greet() -> bool:
            nonlocal refused
            try:
                _greet(self._mail)
            except (OSError, smtplib.SMTPException) as error:
                refused = plain(str(error)) or type(error).__name__
                return False
            return True

        took = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._contact_s):
                took = await self._in_a_thread(greet)
        if not took:
            raise Retryable(f"The mail server of PAYFLOW_MAIL takes no mail from us: {refused}.")

    async def _send(self, contact: str, subject: str, text: str) -> bool:
        url = self._url(contact)
        known = False

        def send() -> bool:
            nonlocal known
            from apprise import Apprise  # noqa: PLC0415  (half a second, which only who sends has to wait for)

            service = Apprise.instantiate(url, asset=_asset())
            known = service is not None
            return service is not None and bool(service.notify(title=subject, body=text, body_format="text"))

        sent = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._contact_s):
                sent = bool(url) and await self._in_a_thread(send)
        if not sent:
            # The URL holds secrets: only its kind may be told.
            kind = urlsplit(contact).scheme[:20]
            log.warning("A contact did not take a message.", action="contact_failed", kind=kind, known=known)
        return sent

    async def _in_a_thread(self, call: Callable[[], bool]) -> bool:
        """Call what blocks. A thread that hangs is left behind, and its place is free again only when it has ended."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = loop.create_future()

        def finish(*, took: bool) -> None:
            self._free.release()
            if not ended.done():
                ended.set_result(took)

        def run() -> None:
            took = False
            try:
                took = call()
            except Exception as error:  # noqa: BLE001  (a library's, of any kind: the contact did not take it)
                log.warning("A contact cannot be told.", action="contact_broken", error=type(error).__name__)
            with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
                loop.call_soon_threadsafe(lambda: finish(took=took))

        threading.Thread(target=run, name="contact", daemon=True).start()
        return await ended

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


def _greet(url: str) -> None:
    from apprise import Apprise  # noqa: PLC0415  (as above)

    server: Any = Apprise.instantiate(f"{url}{'&' if '?' in url else '?'}to=nobody@example.com", asset=_asset())
    if not hasattr(server, "smtp_host"):
        raise OSError("its address cannot be read")
    over_tls = server.secure_mode == "ssl"
    context = ssl.create_default_context()
    dialled = partial(smtplib.SMTP_SSL, context=context) if over_tls else smtplib.SMTP
    with dialled(server.smtp_host, server.port or 0, timeout=CONTACT_S) as mail:
        if server.secure_mode == "starttls":
            mail.starttls(context=context)
        if server.user and server.password:
            mail.login(server.user, server.password)
        mail.noop()


@cache
def _asset() -> "AppriseAsset":
    """Say how the library behaves: it goes where it is sent, and nowhere that it is led to from there."""
    from apprise import AppriseAsset  # noqa: PLC0415  (as above)

    return AppriseAsset(http_redirects=False)
