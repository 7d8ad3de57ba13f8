"""Worker processes of a test: started, killed, stopped, and listened to."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machines.core.ids import RecordId
from machines.core.lifecycle import By
from machines.core.money import NGN, Money
from payflow.config import Settings, load
from payflow.store import keys
from payflow.store.store import Store, open_store
from tests.chaos.process import OWNERS, Book, FileRail
from tests.errand import errand
from tests.waiting import PATIENCE_S, wait_until

PROJECT = Path(__file__).parents[2]
LEASE_S = 1


@dataclass(eq=False)
class Member:
    """One process."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def says(self) -> str:
        """Wait for its next line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, f"{self.name} said nothing and ended; its log:\n{self.log.read_text()[-3000:]}"
        return line.decode().strip()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process.returncode is None, f"{self.name} ended by itself; its log:\n{self.log.read_text()[-3000:]}"
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill it at once."""
        self.signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> dict[str, float]:
        """Ask a worker to stop, and hear what it has done."""
        self.signal(signal.SIGTERM)
        done: dict[str, float] = json.loads(await self.says())
        async with asyncio.timeout(PATIENCE_S):
            assert await self.process.wait() == 0
        return done


@dataclass
class Fleet:
    """The processes of a test, and the store that they share with it."""

    folder: Path
    store: Store
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rail, self._told = Book(self.folder / "rail"), Book(self.folder / "rail.told")

    @property
    def rail(self) -> Book:
        """A line for each submit, as of now."""
        return self._rail.read()

    @property
    def told(self) -> Book:
        """A line for each message that was delivered, as of now."""
        return self._told.read()

    async def start(self, name: str, role: str = "worker", *options: Any, pollers: str = "") -> Member:
        """Start a process."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chaos.process", role, str(self.folder / "rail"), *map(str, options)),
                cwd=PROJECT,
                env=os.environ | environment(self.folder) | {"PAYFLOW_WORKER": name, "PAYFLOW_POLLERS": pollers},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        member = Member(name, process, log)
        self.members.append(member)
        return member

    async def worker(self, name: str, *options: Any, pollers: str = "") -> Member:
        """Start a worker and wait until it works."""
        member = await self.start(name, "worker", *options, pollers=pollers)
        assert await member.says() == "ready"
        return member

    async def state(self, record_id: RecordId) -> str:
        """Say where a record is."""
        return await self.field(record_id, "state")

    async def field(self, record_id: RecordId, name: str) -> str:
        """Read a raw field of a record."""
        value = await self.store.link.ask("HGET", keys.record(record_id), name)
        return bytes(value or b"").decode()

    async def crowds(self) -> Counter[str]:
        """Count the records by state."""
        return Counter({crowd.state: crowd.count for crowd in await self.store.listing.counts_by_state()})

    async def until(self, record_id: RecordId, state: str) -> None:
        """Wait until a record is somewhere."""

        async def there() -> bool:
            return await self.state(record_id) == state

        await wait_until(there, f"{record_id} is {state}", PATIENCE_S)

    async def until_settled(self) -> None:
        """Wait until no poller has anything left to do, and every message is delivered."""

        async def settled() -> bool:
            crowds = await self.crowds()
            return not (crowds["ASKED"] + crowds["READY"] + crowds["SENDING"] or await self.store.outbox.waiting())

        await wait_until(settled, "all records are at rest", PATIENCE_S)

    async def check(self) -> None:
        """Prove that the books balance, that all is whole, and that nothing was paid twice or in vain."""
        books = await self.store.ledger.check()
        assert books.conserved, books.faults
        assert [fault async for fault in self.store.integrity.verify()] == []
        assert [key for key, times in self.rail.keys.items() if times > 1] == []
        assert await self.store.pauses.all() == {}, "the sequence guard raised a false alarm"

    async def check_final_or_due(self) -> None:
        """Prove that whoever has a poller is due, at the latest when the lease of a dead worker has run out."""
        latest = await self.store.records.now() + LEASE_S * 1000 + 60_000
        for state in (state for state in MACHINE.lifecycle.states.values() if state.by is By.POLLER):
            for shard in range(self.store.records.shards):
                there = {
                    record_id
                    async for record_id, _ in self.store.link.members(keys.members(shard, "errand", state.name))
                }
                due = dict([one async for one in self.store.link.members(keys.due(shard, "errand", state.name))])
                assert there == due.keys()
                assert all(score <= latest for score in due.values())


MACHINE = errand(FileRail(Book(Path(os.devnull)), "test"))


def environment(folder: Path) -> dict[str, str]:
    """Give the settings that all processes share."""
    return {"PAYFLOW_DATA": str(folder / "data"), "PAYFLOW_LEASE_S": str(LEASE_S), "PAYFLOW_SHARDS": "4"}


def settings_of(folder: Path) -> Settings:
    """Give the same settings to the test itself."""
    return load(environment(folder))


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    """Open the store for the test, and end all its processes with it."""
    async with open_store(settings_of(folder)) as store:
        store.serve([MACHINE])
        fleet = Fleet(folder, store)
        for owner in OWNERS:
            await store.records.fund(owner, Money(10**12, NGN), f"funds of {owner}")
        try:
            yield fleet
        finally:
            for member in fleet.members:
                if member.process.returncode is None:
                    member.process.kill()
                await member.process.communicate()
