"""Processes to be killed: `python -m tests.chaos.process worker | api | steps`, on the store of the environment.

    worker  runs a worker with the sample machine; says `ready`; at SIGTERM stops, and says what it did as JSON
    api     makes records and takes in facts from outside, at random; says the ids as JSON
    steps   for each line of JSON on its input forks a worker that dies at its Nth call; says how it ended

The rail of all of them is one file with a line for each submit: more than one line of a key is a payment made twice.
"""

import asyncio
import json
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from machines.core.clock import Clock, Millis, SystemClock
from machines.core.decision import New
from machines.core.errors import OutcomeUnknown, PayflowError, Retryable
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId, fresh_id
from machines.core.money import NGN, Money
from machines.core.ports import Act, Evidence, Failed, Payment, Settled, Status, Step, Unsent
from machines.core.record import Record
from payflow.config import Settings, load
from payflow.engine import dispatcher
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.step import take_in
from payflow.engine.worker import Worker
from payflow.store import keys
from payflow.store.link import Link
from payflow.store.outbox import Post
from payflow.store.store import Store, open_store
from payflow.telemetry import logs
from payflow.telemetry.metrics import Metrics
from tests.errand import Approved, Cancelled, ErrandData, errand

OWNERS = [Owner(f"owner-{number}") for number in range(20)]
PAUSE_S = 0.005
KILLED = 9
REFUSED = 13
"""Of thirty amounts, the one that the rail never pays."""


@dataclass
class Book:
    """A file of lines `<key> <who>`, read on from where it was left."""

    path: Path
    keys: Counter[str] = field(default_factory=Counter)
    """How often each key stands in it."""
    who: Counter[str] = field(default_factory=Counter)
    """How many lines each wrote."""
    last: dict[str, str] = field(default_factory=dict)
    """Who wrote a key last."""
    _read: int = 0

    def read(self) -> "Book":
        """Read what is new in it."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                news = file.read()
            self._read += len(news)
            for line in news.decode().splitlines():
                key, _, who = line.partition(" ")
                self.keys[key] += 1
                self.who[who] += 1
                self.last[key] = who
        return self

    def write(self, key: str, who: str = "") -> None:
        """Write a line as one write, which no kill can cut in two and no other writer can split."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, f"{key} {who}\n".encode())
        os.close(file)


@dataclass
class FileRail:
    """Pays by writing a line, at once and for ever; the path there and back may take long and fail."""

    book: Book
    who: str
    luck: Random = field(default_factory=lambda: Random(0))
    trouble: float = 0.0
    """How often a call fails, from 0 to 1."""
    slow_s: float = 0.0
    """How long a call takes at most."""

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> None:
        """Pay; it may fail before, or after."""
        await self._travel()
        if self.luck.random() < self.trouble:
            raise Retryable("busy")
        self.book.write(payment.key, self.who)
        await self._travel()
        if self.luck.random() < self.trouble:
            raise OutcomeUnknown("the line went dead")

    async def status(self, payment: Payment) -> Status:
        """Say whether it was paid, by whomever; a few are never paid."""
        await self._travel()
        if payment.amount.units % 30 == REFUSED:
            return Failed("no such account", retryable=False)
        return Settled(Evidence("file", payment.key)) if payment.key in self.book.read().keys else Unsent()

    async def _travel(self) -> None:
        if self.slow_s:
            await asyncio.sleep(self.luck.random() * self.slow_s)


def say(words: object) -> None:
    """Tell whoever started us."""
    sys.stdout.write(f"{words if isinstance(words, str) else json.dumps(words)}\n")
    sys.stdout.flush()


# ── worker ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(
    rail: FileRail, settings: Settings, gates: "Gates", clock: Clock | None = None
) -> AsyncIterator[Store]:
    """Open the store for the sample machine."""
    machine = errand(rail)
    machine = replace(machine, acts={state: gates.before(state, act) for state, act in machine.acts.items()})
    async with open_store(settings, clock=clock) as store:
        store.serve([machine])
        yield store


@dataclass(frozen=True)
class Gates:
    """Holds a look at one place until a file is there."""

    file: Path | None = None
    place: str = ""
    """`send`: between the claim and the question whether it may send; `commit`: between the look and its commit."""

    async def pass_through(self, place: str) -> None:
        """Wait, where this is the place."""
        if self.file is None or place != self.place:
            return
        self.file.with_suffix(".reached").touch()
        while not self.file.exists():  # noqa: ASYNC110  (it is opened by another process)
            await asyncio.sleep(PAUSE_S)

    def before(self, state: str, act: Act[ErrandData]) -> Act[ErrandData]:
        """Put the gates into an act."""

        async def gated(record: Record[ErrandData], step: Step) -> Fact:
            if state == "SENDING":
                step = _GatedStep(step, self)
            fact = await act(record, step)
            if state == "READY":
                await self.pass_through("commit")
            return fact

        return gated


@dataclass(frozen=True)
class _GatedStep:
    """A step with a gate before the question whether it may send."""

    step: Step
    gates: Gates

    @property
    def now(self) -> Millis:
        return self.step.now

    async def may_send(self, *scopes: str) -> None:
        await self.gates.pass_through("send")
        await self.step.may_send(*scopes)

    async def refuse_paused(self, *scopes: str) -> None:
        await self.step.refuse_paused(*scopes)


async def work(options: Namespace) -> None:
    """Run a worker until SIGTERM."""
    settings = load()
    luck = Random(settings.worker_name)
    rail = FileRail(Book(options.rail), settings.worker_name, luck, options.trouble, options.slow_ms / 1000)
    metrics = Metrics()
    async with opened(rail, settings, Gates(options.gate, options.place)) as store:
        worker = worker_of(store, settings, metrics, options.rail)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        say("ready")
        await worker.run()
    say({"leases_lost": metrics.registry.get_sample_value("payflow_leases_lost_total", {"machine": "errand"}) or 0})


def worker_of(store: Store, settings: Settings, metrics: Metrics, rail: Path) -> Worker:
    """Make a worker that delivers messages into a file."""
    book = Book(rail.with_suffix(".told"))

    async def told(post: Post) -> None:
        book.write(post.record, settings.worker_name)

    return Worker(store, settings, metrics, Dispatcher(store.outbox, metrics, {"told": told}))


# ── api ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def serve(options: Namespace) -> None:
    """Make records, and take in facts from outside."""
    luck = Random(options.seed)
    rail = FileRail(Book(options.rail), "api")
    async with opened(rail, load(), Gates()) as store:
        ids = []
        for _ in range(options.count):
            ids.append(await make(store, luck))
            await meddle(store, luck, luck.choice(ids))
    say(ids)


async def make(store: Store, luck: Random, units: int = 0) -> RecordId:
    """Make a record for somebody."""
    owner = luck.choice(OWNERS)
    record_id = fresh_id("errand", store.records.owner_shard(owner))
    money = Money(units or luck.randrange(1, 10_000), NGN)
    await store.records.create(New(record_id, "errand", owner, money, ErrandData("chaos")), "api")
    return record_id


async def meddle(store: Store, luck: Random, record_id: RecordId) -> None:
    """Do what an owner, an operator or a webhook might do at any moment."""
    chance = luck.random()
    try:
        if chance < 0.2:
            await take_in(store.records, Metrics(), record_id, Approved("somebody"), "api")
        elif chance < 0.3:
            await take_in(store.records, Metrics(), record_id, Cancelled("somebody"), "api")
        elif chance < 0.5:
            await store.records.poke(record_id)
    except PayflowError as error:
        sys.stderr.write(f"{error}\n")


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Ahead:
    """A clock that is so far ahead of the real one, so that what was leased before has run out."""

    def __init__(self, ahead_s: int) -> None:
        self._ahead_ms = ahead_s * 1000

    def now(self) -> Millis:
        return Millis(SystemClock().now() + self._ahead_ms)


@dataclass
class Countdown:
    """Dies at the Nth call: before it, in the middle of it, or after it."""

    left: int
    moment: str
    armed: bool = False

    def around(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Count a kind of call."""

        async def counted(*parts: Any, **more: Any) -> Any:  # noqa: ANN401  (whatever the call gives)
            if not self.armed:
                return await call(*parts, **more)
            self.left -= 1
            if self.left != 0:
                return await call(*parts, **more)
            if self.moment == "before":
                os._exit(KILLED)
            running = asyncio.ensure_future(call(*parts, **more))
            if self.moment == "during":
                for _ in range(3):
                    await asyncio.sleep(0)
                os._exit(KILLED)
            await asyncio.wait([running])
            os._exit(KILLED)

        return counted


async def step(options: Namespace, plan: dict[str, Any]) -> None:
    """Bring one record to its end, or die on the way."""
    countdown = Countdown(plan["at"], plan["moment"])
    for owner, names in ((Link, ("run", "run_durably", "ask")), (FileRail, ("submit", "status"))):
        for name in names:
            setattr(owner, name, countdown.around(getattr(owner, name)))
    settings, rail = load(), FileRail(Book(options.rail), str(plan["at"]))
    async with opened(rail, settings, Gates(), Ahead(plan["ahead_s"])) as store:
        worker = worker_of(store, settings, Metrics(), options.rail)

        async def watch() -> None:
            # Past the link, so that these calls do not count.
            while await store.link.client.hget(keys.record(plan["id"]), "state") != b"DONE":  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_S)
            worker.stop()

        countdown.armed = True
        await asyncio.gather(worker.run(), watch())


def steps(options: Namespace) -> None:
    """Fork a worker for each plan, so that none pays for its start."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(step(options, json.loads(line)))
            os._exit(0)
        say(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))


def main() -> None:
    """Read the command line."""
    parser = ArgumentParser()
    parser.add_argument("role", choices=["worker", "api", "steps"])
    parser.add_argument("rail", type=Path)
    parser.add_argument("--gate", type=Path)
    parser.add_argument("--place", default="")
    parser.add_argument("--trouble", type=float, default=0.0)
    parser.add_argument("--slow-ms", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logs.configure("warning", "text")
    dispatcher.LEASE_MS = 1000  # what a killed process was delivering need not wait for a minute
    if options.role == "steps":
        steps(options)
    else:
        uvloop.run(work(options) if options.role == "worker" else serve(options))


if __name__ == "__main__":
    main()
