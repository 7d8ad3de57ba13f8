"""Mutated requests against the whole HTTP side: `python -m tests.web.mutate --requests 20000 --seed 1`.

Bytes are sent as they are over a socket of a thread of its own. Counted are answers by status, lines of the log that
are errors, and how late a tick of the event loop came: the longest hold. It is told and not asserted, for the sender
runs in the same process, and what it takes of the interpreter counts in.
GitHub's deliveries are read, and not taken in.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

from structlog.testing import capture_logs

from adapters.flutterwave import wire_v3, wire_v4
from adapters.github import wire as github
from adapters.paystack import wire as paystack
from payflow.config import Settings, load
from payflow.desk.gateways import Hooks
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.api.webhooks import Deliveries
from payflow.web.http import app
from payflow.web.http.auth import Gate
from tests.web.api.front import ANN, SHOP, asking, open_front

WHISPERED = "a secret of both sides, long enough"
TICK_S = 0.001
ANSWER_S = 0.5
"""So long the sender waits: a request that says it is longer than it is is answered only when its time is up."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ROOM = 65_536

FORM = b"application/x-www-form-urlencoded"
TYPES = (
    b"application/json",
    FORM,
    FORM + b"; charset=punycode",
    FORM + b"; charset=zlib",
    FORM + b"; charset=utf-16",
    b"application/json; charset=idna",
    b"multipart/form-data",
    b"multipart/form-data; boundary=x",
    b"text/plain",
    b"\xff",
    b"",
)
ODD_HEADERS = (
    b"Origin: http://[x",
    b"Referer: http://[x",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate",
    b"Cookie: \xff=\xfe",
    b"Cookie: payflow_admin=" + b"a" * 43,
    b"Authorization: Bearer \xff",
    b"Authorization: Basic",
    b"Expect: 100-continue",
    b"Transfer-Encoding: chunked",
    b"X-Forwarded-For: nonsense, 1.2.3.4",
    b"Idempotency-Key: \xc3\xa9",
    b"Host: \xff",
    b"Upgrade: websocket",
    b"X-A: " + b"b" * 9_000,
    b"If-None-Match: *",
    b"Range: bytes=0-",
    b"Accept-Language: " + b"en," * 500,
)
SIGNED: Mapping[str, str] = {
    "/v3": "flutterwave", "/v4": "flutterwave", "/paystack": "paystack", "/webhook-app": "github"
}  # fmt: skip
TRANSFER = {
    "event": "transfer.completed", "type": "transfer.disburse",
    "data": {"id": 7, "reference": "pf-1", "status": "SUCCESSFUL", "transfer_code": "TRF_1"},
    "id": "wbk_1", "timestamp": 1,
}  # fmt: skip
ISSUE = {
    "action": "labeled",
    "issue": {
        "id": 5, "number": 7, "title": "t", "state": "open", "updated_at": "2026-01-01T00:00:00Z",
        "labels": [{"name": "bounty"}],
    },
    "repository": {"id": 6, "full_name": "acme/widgets", "default_branch": "main", "private": False},
    "installation": {"id": 77},
}  # fmt: skip
ODD_VALUES: tuple[object, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    2**64,
    10**400,
    1.5,
    "",
    "\x00",
    "\ud800",
    "x" * 5_000,
    [],
    {},
    [[]],
    {"a": {}},
    "9" * 400,
    "NaN",
)


@dataclass
class Outcome:
    """What became of them."""

    statuses: Counter[int] = field(default_factory=Counter)
    """By status of the answer; 0 where the connection was closed without one."""
    faults: list[str] = field(default_factory=list)
    """What was sent where the answer was a 5xx."""
    errors: list[str] = field(default_factory=list)
    """Lines of the log that are errors, or have a traceback."""
    longest_hold_s: float = 0.0
    held_by: bytes = b""
    """What was being answered during the longest hold."""
    sending: bytes = b""


@dataclass(frozen=True)
class Mutator:
    """Writes requests."""

    dice: random.Random
    places: tuple[tuple[str, str], ...]
    """Methods and paths of the application's own routes."""
    tokens: tuple[str, ...]

    def request(self) -> bytes:
        """Write the next one."""
        method, path = self.dice.choice(self.places)
        headers: list[bytes] = []
        if path in SIGNED and self.dice.random() < 0.8:
            body, headers = self._delivery(path)
        else:
            body = self._body()
            headers = [b"Content-Type: " + self.dice.choice(TYPES)]
            if self.dice.random() < 0.6:
                headers.append(f"Authorization: Bearer {self.dice.choice(self.tokens)}".encode())
            headers += self.dice.sample(ODD_HEADERS, self.dice.choice((0, 0, 1, 2)))
        path = path.replace("{", "").replace("}", "")
        if self.dice.random() < 0.2:
            path += self.dice.choice(
                ("?%ff=%00", "?limit=-1", "?cursor=%F0", "/..%2f", "?owner=\u00e9", "?month=0-0", "%")
            )
        if any(one.startswith(b"Transfer-Encoding") for one in headers):
            body = self.dice.choice((b"5\r\nab", b"zz\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"-1\r\n", body))
        else:
            length = len(body) if self.dice.random() < 0.95 else max(0, len(body) - 3)
            headers.append(b"Content-Length: %d" % length)
        head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), b"Host: payflow", *headers, b"Connection: close"])
        whole = head + b"\r\n\r\n" + body
        return self._scratched(whole) if self.dice.random() < 0.15 else whole

    def _body(self) -> bytes:
        match self.dice.randrange(6):
            case 0:
                return self._json(asking())
            case 1:
                return b"token=" + self.dice.randbytes(20) + b"&to=%ff&csrf=x"
            case 2:
                return b"--x\r\nContent-Disposition: form-data; name=token\r\n\r\ncut"
            case 3:
                return self.dice.randbytes(self.dice.randrange(200))
            case 4:
                return b"[" * 5_000
            case _:
                return b"token=" + b"a-" * 5_000

    def _json(self, whole: Mapping[str, object]) -> bytes:
        """Put something odd in the place of some values, and sometimes scratch the text."""

        def bent(value: object) -> object:
            if self.dice.random() < 0.12:
                return self.dice.choice(ODD_VALUES)
            if isinstance(value, dict):
                return {name: bent(one) for name, one in value.items() if self.dice.random() > 0.03}
            return [bent(one) for one in value] if isinstance(value, list) else value

        text = json.dumps(bent(dict(whole)), ensure_ascii=self.dice.random() < 0.5).encode(errors="surrogatepass")
        return self._scratched(text) if self.dice.random() < 0.2 else text

    def _scratched(self, text: bytes) -> bytes:
        spoiled = bytearray(text)
        for _ in range(self.dice.randrange(1, 4)):
            if spoiled:
                spoiled[self.dice.randrange(len(spoiled))] = self.dice.randrange(256)
        return bytes(spoiled)

    def _delivery(self, path: str) -> tuple[bytes, list[bytes]]:
        """Write a mutated body, and sign it as its sender would."""
        secret = WHISPERED.encode()
        if path == "/webhook-app":
            body = self._json(ISSUE)
            signature = b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()
            event = self.dice.choice((b"issues", b"pull_request", b"repository", b"installation", b"\xff"))
            return body, [*self._shown(b"X-Hub-Signature-256: ", signature), b"X-GitHub-Event: " + event]
        body = self._json(TRANSFER)
        match path:
            case "/v3":
                return body, self._shown(b"verif-hash: ", secret)
            case "/v4":
                signature = hmac.new(secret, body, hashlib.sha256).digest()
                return body, self._shown(b"flutterwave-signature: ", base64.b64encode(signature))
            case _:
                return body, self._shown(b"x-paystack-signature: ", hmac.digest(secret, body, "sha512").hex().encode())

    def _shown(self, name: bytes, signature: bytes) -> list[bytes]:
        return [name + (signature if self.dice.random() < 0.9 else self.dice.choice((b"", b"\xff", b"\xc3\xa9")))]


def send(host: str, port: int, request: bytes) -> int:
    """Send one, and read the status of its answer; 0 without one."""
    with socket.create_connection((host, port), timeout=ANSWER_S) as line:
        answer = b""
        with suppress(ConnectionError, TimeoutError):
            line.sendall(request)
            while chunk := line.recv(ROOM):
                answer = chunk if answer in (b"", CONTINUE) else answer
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


class _Errors(logging.Handler):
    """Takes down what libraries log as an error."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(logging.ERROR)
        self._outcome = outcome

    def emit(self, record: logging.LogRecord) -> None:
        self._outcome.errors.append(f"{record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


async def _tick(outcome: Outcome) -> None:
    while True:
        before = monotonic()
        await asyncio.sleep(TICK_S)
        held_s = monotonic() - before - TICK_S
        if held_s > outcome.longest_hold_s:
            outcome.longest_hold_s, outcome.held_by = held_s, outcome.sending


async def mutate(settings: Settings, requests: int, seed: int) -> Outcome:
    """Send so many requests, one after the other."""
    outcome = Outcome()
    async with open_front(settings, api_rate=1e5, api_address_rate=1e5) as front:
        tokens = [
            await front.token(role, of)
            for role, of in (
                (Role.PROVIDER, ANN), (Role.PLATFORM, SHOP), (Role.OPERATOR, ""), (Role.REVIEWER, ""), (Role.VIEWER, "")
            )
        ]  # fmt: skip
        gate = Gate(front.store, front.settings)

        async def taken(_: object) -> str:
            return "other"

        hooks = [
            Hooks("flutterwave", ("/v3",), lambda h, _: wire_v3.verify(h, WHISPERED), wire_v3.read_webhook),
            Hooks("flutterwave", ("/v4",), lambda h, b: wire_v4.verify(h, b, WHISPERED), wire_v4.read_webhook),
            Hooks("paystack", ("/paystack",), lambda h, b: paystack.verify(h, b, WHISPERED), paystack.read_webhook),
        ]
        deliveries = Deliveries(
            "github", ("/webhook-app",), partial(_of_github),
            lambda h, raw: github.read(h.get("X-GitHub-Event", ""), raw, "bounty") or None, taken,
        )  # fmt: skip
        routes = [
            *api.routes(front.desk, front.settings, front.metrics, hooks),
            *api.pages(front.desk, front.settings),
            *deliveries.routes(gate, front.metrics),
        ]
        places = tuple((one.method, one.path) for one in routes if not one.path.endswith("/live"))
        signed = tuple(one for one in places if one[1] in SIGNED)
        mutator = Mutator(random.Random(seed), places + signed * 8, tuple(tokens))
        async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
            host, port = address.removeprefix("http://").split(":")
            ticking = asyncio.create_task(_tick(outcome))
            listener = _Errors(outcome)
            logging.getLogger().addHandler(listener)
            try:
                with capture_logs() as lines:
                    await asyncio.to_thread(
                        _send_all, outcome, mutator.request, partial(send, host, int(port)), requests
                    )
            finally:
                ticking.cancel()
                logging.getLogger().removeHandler(listener)
            outcome.errors += [str(one) for one in lines if one["log_level"] == "error" or "exc_info" in one]
    return outcome


def _of_github(headers: Mapping[str, str], body: bytes) -> bool:
    return github.genuine(headers, body, WHISPERED)


def _send_all(outcome: Outcome, write: Callable[[], bytes], give: Callable[[bytes], int], requests: int) -> None:
    for _ in range(requests):
        outcome.sending = request = write()
        status = give(request)
        outcome.statuses[status] += 1
        if status >= 500:
            outcome.faults.append(repr(request[:600]))


def main() -> None:
    """Run it from the command line."""
    words = argparse.ArgumentParser()
    words.add_argument("--requests", type=int, default=20_000)
    words.add_argument("--seed", type=int, default=1)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(mutate(load({}, data=Path(folder)), asked.requests, asked.seed))
    for status, times in sorted(outcome.statuses.items()):
        print(f"{status or 'closed'}: {times}")
    print(f"5xx: {len(outcome.faults)}, errors in the log: {len(outcome.errors)}")
    print(f"longest hold of the event loop: {outcome.longest_hold_s * 1000:.0f} ms, during {outcome.held_by[:200]!r}")
    for line in [*outcome.faults[:5], *outcome.errors[:5]]:
        print(line)


if __name__ == "__main__":
    main()
