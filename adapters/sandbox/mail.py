"""A mail server on loopback that keeps what it is sent: the sandbox's letter box, and the tests'.

As much of SMTP as a mail client needs. It takes any name and password, because none of its mail ever leaves.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from email import message_from_bytes, policy

from adapters.sandbox.simulator import Running

MOST_MAILS = 1000
MOST_BYTES = 1024 * 1024
LONGEST_LINE = 64 * 1024

_ANSWERS = {
    "EHLO": b"250-sandbox\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN\r\n",
    "HELO": b"250 sandbox\r\n",
    "AUTH": b"235 Welcome\r\n",
    "NOOP": b"250 Done\r\n",
    "VRFY": b"252 Try\r\n",
}
_GO_ON = b"354 Go on\r\n"
_OK = b"250 Done\r\n"
_BYE = b"221 Bye\r\n"
_UNKNOWN = b"502 Not known here\r\n"
_TOO_LARGE = b"552 Too large\r\n"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that arrived."""

    sender: str
    to: tuple[str, ...]
    subject: str
    text: str


class MailSink(Running):
    """Listens on loopback; `mails` holds the newest of what came, in order."""

    def __init__(self) -> None:
        self.mails: deque[Mail] = deque(maxlen=MOST_MAILS)
        self.refuses = False
        """Whether it takes no mail just now."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """What to give Payflow as its mail server."""
        return f"mailto://127.0.0.1:{self.port}?from=payflow@sandbox.example&mode=insecure"

    def to(self, address: str) -> list[Mail]:
        """List what came for somebody."""
        return [mail for mail in self.mails if address in mail.to]

    async def start(self, port: int = 0) -> None:
        """Begin to listen, on a free port unless one is named."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=LONGEST_LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and hang up on whoever still speaks."""
        if self._server is not None:
            self._server.close()
            for guest in tuple(self._guests):
                guest.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._guests.add(writer)
        try:
            await self._converse(reader, writer)
        except (OSError, ValueError, EOFError):
            pass  # a guest who hangs up, or talks without end, is no guest any more
        finally:
            self._guests.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, to = "", list[str]()
        writer.write(b"220 sandbox\r\n")
        while line := (await reader.readline()).decode("utf-8", "replace").strip():
            verb = line[:4].upper()
            if self.refuses and verb in ("MAIL", "AUTH"):
                answer = b"451 Not now\r\n"
            elif verb == "MAIL":
                sender, to, answer = _address(line), [], _OK
            elif verb == "RCPT":
                to.append(_address(line))
                answer = _OK
            elif verb == "RSET":
                sender, to, answer = "", [], _OK
            elif verb == "DATA":
                writer.write(_GO_ON)
                answer = self._keep(sender, to, await _letter(reader))
            else:
                answer = _BYE if verb == "QUIT" else _ANSWERS.get(verb, _UNKNOWN)
            writer.write(answer)
            await writer.drain()
            if answer is _BYE:
                return

    def _keep(self, sender: str, to: list[str], letter: bytes | None) -> bytes:
        if letter is None:
            return _TOO_LARGE
        message = message_from_bytes(letter, policy=policy.default)
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
        self.mails.append(Mail(sender, tuple(to), str(message["subject"] or ""), text.replace("\r\n", "\n")))
        return _OK


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


async def _letter(reader: asyncio.StreamReader) -> bytes | None:
    """Read up to the lonely dot; None for a letter that is too large, whose rest is read and dropped."""
    lines, size = list[bytes](), 0
    while (line := await reader.readline()) not in (b".\r\n", b".\n"):
        if not line:
            raise EOFError
        size += len(line)
        if size <= MOST_BYTES:
            lines.append(line[1:] if line.startswith(b"..") else line)
    return b"".join(lines) if size <= MOST_BYTES else None
