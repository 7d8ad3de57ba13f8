"""A contact that a provider names leads to a service that we know, and our servers nowhere else."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.notify.handlers import to_people
from adapters.notify.people import People
from machines.core.errors import Retryable
from tests.adapters.notify.news import Letter, message

SERVICES = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "tgram": "tgram://123456789:AAGb8ZxlUmQP1bW1dXyXBTQbfr8sq3ZQ/-1001234",
}


class Listener:
    """A server on loopback, as the one that tells a cloud machine its secrets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"GET {self.path}")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"content": "hunter2", "blocks": []}')

            def do_POST(self) -> None:
                asked.append(f"POST {self.path}")
                self.send_response(307)
                self.send_header("Location", "/inside")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    """A listener, and no way out of this machine."""
    found = socket.getaddrinfo

    def only_here(host: object, *parts: Any, **more: Any) -> object:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, "no internet in tests")
        return found(host, *parts, **more)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    listener = Listener()
    with capture_logs():
        yield listener
    listener.close()


def named(*contacts: str) -> Callable[[str], Awaitable[Sequence[str]]]:
    async def read(_: str) -> Sequence[str]:
        return contacts

    return read


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("more", ["", "%3F%2BMetadata-Flavor%3DGoogle"])
async def test_no_contact_of_a_provider_makes_our_servers_read_an_address(
    listener: Listener, service: str, more: str
) -> None:
    url = f"http://127.0.0.1:{listener.port}/latest/meta-data/{more}"
    contact = f"{SERVICES[service]}/?template={url}"
    for body in (message("completed"), message("profile_changed", to=contact)):
        with pytest.raises(Retryable):
            await to_people(People(), named(contact), ())(Letter(body))
    assert listener.asked == []


@pytest.mark.parametrize("service", SERVICES)
async def test_no_contact_of_a_provider_makes_our_servers_read_a_file(
    listener: Listener, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"content": "hunter2", "blocks": [], "embeds": []}')
    opened: list[str] = []
    really = open

    def watched(file: Any, *parts: Any, **more: Any) -> object:  # noqa: ANN401  (as `open` is)
        opened.append(str(file))
        return really(file, *parts, **more)

    monkeypatch.setattr("builtins.open", watched)
    with pytest.raises(Retryable):
        await to_people(People(), named(f"{SERVICES[service]}/?template={secret}"), ())(Letter(message("completed")))
    assert str(secret) not in opened


async def test_a_service_that_leads_elsewhere_is_not_followed(listener: Listener) -> None:
    with pytest.raises(Retryable):
        await People().tell([f"json://127.0.0.1:{listener.port}/hook"], "subject", "text")
    assert listener.asked == ["POST /hook"]


async def test_a_contact_that_drips_keeps_nobody_longer_than_its_own_time(listener: Listener) -> None:
    """A server that takes a connection and never says anything; the contact beside it is told meanwhile."""
    silent = socket.create_server(("127.0.0.1", 0))
    drips = f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=60&cto=60"
    people = People(contact_s=0.2)
    try:
        with pytest.raises(Retryable, match="None of 3 contacts"):
            await people.tell([drips] * 3, "subject", "text")
        told = asyncio.create_task(people.tell([drips] * 12, "subject", "text"))
        with pytest.raises(Retryable):
            await people.apart().tell([f"json://127.0.0.1:{listener.port}/beside"], "subject", "text")
        assert listener.asked == ["POST /beside"]
        with pytest.raises(Retryable):
            await told
    finally:
        silent.close()
