"""Mutated requests against the whole installation: `python -m tests.web.mutate --requests 20000 --seed 1`.

All that an installation can serve is there, bounties too: GitHub's deliveries are taken in, from a simulated GitHub.
Bytes are sent as they are over a socket, by a process of its own. Counted are answers by status, lines of the log that
are errors, and how long the event loop computed between two of its ticks: the longest hold, in time of its thread, so
that it does not tell of what else the machine does. It is told and not asserted: a faster machine has a shorter one.
"""

import argparse
import asyncio
import hmac
import json
import logging
import random
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path
from time import monotonic, thread_time
from typing import Any

from structlog.testing import capture_logs

from payflow.config import Settings, load
from payflow.telemetry.health import freeze_what_is_loaded
from tests.web.api.front import asking
from tests.web.test_matrix import PRIVATE, house, lines

TICK_S = 0.001
ANSWER_S = 0.5
"""So long the sender waits: a request that says it is longer than it is is answered only when its time is up."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ROOM = 65_536
MOST_HOLDS = 5
SLOW_S = 0.03
"""Requests that took longer are remembered: one of them may be what held the loop."""

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
FLUTTERWAVE, PAYSTACK, GITHUB = (
    "/api/webhooks/flutterwave/payout_status", "/api/webhooks/paystack/payout_status", "/webhook-app"
)  # fmt: skip
TRANSFER = {
    "event": "transfer.completed", "type": "transfer.disburse",
    "data": {"id": 7, "reference": "pf-1", "status": "SUCCESSFUL", "transfer_code": "TRF_1"},
    "id": "wbk_1", "timestamp": 1,
}  # fmt: skip
TOLD: dict[str, object] = {
    "id": 5, "number": 7, "title": "t", "state": "open", "updated_at": "2026-01-01T00:00:00Z",
    "labels": [{"name": "bounty"}],
}  # fmt: skip
ISSUE: dict[str, object] = {
    "action": "labeled",
    "issue": TOLD,
    "repository": {"id": 6, "full_name": "acme/widgets", "default_branch": "main", "private": False},
    "installation": {"id": 77},
}
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
    holds: list[tuple[float, float, str]] = field(default_factory=list)
    """The longest holds: how long each was, when it ended, and what was being answered then."""


@dataclass(frozen=True)
class Mutator:
    """Writes requests."""

    dice: random.Random
    places: tuple[tuple[str, str], ...]
    """Methods and paths of the application's own routes."""
    tokens: tuple[str, ...]
    secrets: Mapping[str, str]
    """By which a delivery to a path is signed."""
    issue: Mapping[str, object]
    """What GitHub tells."""

    def request(self) -> bytes:
        """Write the next one."""
        method, path = self.dice.choice(self.places)
        headers: list[bytes] = []
        if path in self.secrets and self.dice.random() < 0.8:
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
        secret = self.secrets[path].encode()
        if path == GITHUB:
            body = self._json(self.issue)
            signature = b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()
            event = self.dice.choice((b"issues", b"pull_request", b"repository", b"installation", b"\xff"))
            return body, [*self._shown(b"X-Hub-Signature-256: ", signature), b"X-GitHub-Event: " + event]
        body = self._json(TRANSFER)
        if path == FLUTTERWAVE:
            return body, self._shown(b"verif-hash: ", secret)
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


def _is_error(line: Mapping[str, object]) -> bool:
    return line["log_level"] == "error" or "exc_info" in line


async def _tick(outcome: Outcome, said: list[MutableMapping[str, Any]]) -> None:
    while True:
        # What heaps up here would be looked through by the garbage collector, and held against the service.
        said[:] = filter(_is_error, said)
        before = thread_time()
        await asyncio.sleep(TICK_S)
        held_s = thread_time() - before
        outcome.holds = nlargest(MOST_HOLDS, [*outcome.holds, (held_s, monotonic(), "")])


async def mutate(settings: Settings, folder: Path, requests: int, seed: int) -> Outcome:
    """Send so many requests, one after the other."""
    outcome = Outcome()
    async with house(settings, folder) as (home, _):
        places = [(method, home.path(place)) for method, place, _ in lines() if not place.endswith("/live")]
        secrets = {FLUTTERWAVE: "a" * 32, PAYSTACK: "sk_live_" + "b" * 32, GITHUB: home.names["github"]}
        of_home = {"id": int(home.names["home"]), "full_name": PRIVATE, "default_branch": "main", "private": True}
        told = ISSUE | {"repository": of_home, "issue": TOLD | {"id": int(home.names["issue"])}}
        signed = [one for one in places if one[1] in secrets]
        words = {
            "address": home.address.removeprefix("http://"), "requests": requests, "seed": seed,
            "places": [*places, *signed * 20], "tokens": [*home.secrets.values()], "secrets": secrets, "issue": told,
        }  # fmt: skip
        listener = _Errors(outcome)
        logging.getLogger().addHandler(listener)
        try:
            with capture_logs() as said:
                freeze_what_is_loaded()
                ticking = asyncio.create_task(_tick(outcome, said))
                sender = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.web.mutate", "--send", stdin=PIPE, stdout=PIPE
                )
                answer, _ = await sender.communicate(json.dumps(words).encode())
                ticking.cancel()
        finally:
            logging.getLogger().removeHandler(listener)
        outcome.errors += map(str, filter(_is_error, said))
    sent = json.loads(answer)
    outcome.statuses = Counter({int(status): times for status, times in sent["statuses"].items()})
    outcome.faults = sent["faults"]
    # Both processes read the same clock.
    for place, (held_s, until, _) in enumerate(outcome.holds):
        during = [what for begun, ended, what in sent["slow"] if begun <= until <= ended + SLOW_S]
        outcome.holds[place] = (held_s, until, " ".join(during[:1]))
    return outcome


def _send_all() -> None:
    """Be the process that sends: what is to be sent stands in the input, what came of it in the output."""
    words = json.load(sys.stdin)
    host, _, port = words["address"].partition(":")
    places = tuple((method, path) for method, path in words["places"])
    dice = random.Random(words["seed"])
    mutator = Mutator(dice, places, tuple(words["tokens"]), words["secrets"], words["issue"])
    statuses: Counter[int] = Counter()
    faults: list[str] = []
    slow: list[tuple[float, float, str]] = []
    for _ in range(words["requests"]):
        request, begun = mutator.request(), monotonic()
        status = send(host, int(port), request)
        statuses[status] += 1
        if status >= 500:
            faults.append(repr(request[:600]))
        if monotonic() > begun + SLOW_S:
            slow.append((begun, monotonic(), repr(request[:300])))
    json.dump({"statuses": statuses, "faults": faults, "slow": slow}, sys.stdout)


def main() -> None:
    """Run it from the command line."""
    words = argparse.ArgumentParser()
    words.add_argument("--requests", type=int, default=20_000)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--send", action="store_true")
    asked = words.parse_args()
    if asked.send:
        _send_all()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outcome = asyncio.run(mutate(load({}, data=folder / "data"), folder, asked.requests, asked.seed))
    for status, times in sorted(outcome.statuses.items()):
        print(f"{status or 'closed'}: {times}")
    print(f"5xx: {len(outcome.faults)}, errors in the log: {len(outcome.errors)}")
    for held_s, _, during in outcome.holds:
        print(f"a hold of the event loop: {held_s * 1000:.0f} ms, during {during}")
    for line in [*outcome.faults[:5], *outcome.errors[:5]]:
        print(line)


if __name__ == "__main__":
    main()
