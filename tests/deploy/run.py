"""A real run of Payflow for those who watch it: a process that serves, one that works, a gateway with bad days."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import Ends, Fate
from machines.core.clock import SystemClock
from payflow.app.installation import assemble, opened
from payflow.config import load
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import new_key
from payflow.telemetry.metrics import Metrics
from payflow.web.http import app
from tests.cli.processes import Process, environment, running, typed
from tests.waiting import wait_until

PEOPLE = (("shop", Role.PLATFORM, "shop"), ("ann", Role.PROVIDER, "shop~ann"), ("rita", Role.REVIEWER, ""))
QUICKLY = Fate(Ends.PAID, after_s=0.5)
Json = dict[str, Any]
FILES_KEY = new_key()


@dataclass
class Run:
    """Everything that runs."""

    api: Process
    worker: Process
    bank: FlutterwaveSimulator
    session: aiohttp.ClientSession
    folder: Path
    settings: dict[str, str]
    tokens: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=count)

    async def command(self, *words: str, code: int = 0, **settings: str) -> str:
        """Type a command on the installation."""
        ended, out, err = await typed(self.folder, *words, module="payflow", **(self.settings | settings))
        assert ended == code, out + err
        return out or err

    async def says(self, who: str, method: str, path: str, body: Json | None = None) -> Json:
        """Ask the API as somebody."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Idempotency-Key": f"key-{next(self._numbers)}"}
        async with self.session.request(method, self.api.address + path, json=body, headers=headers) as answer:
            told: Json = await answer.json()
            assert answer.status < 300, told
            return told

    async def ask(self, amount: str, account: str) -> str:
        """Ann asks for a payout, and Rita approves it."""
        where = {"bank_code": "044", "account_number": account}
        body = {"amount": amount, "currency": "NGN", "method": "bank", "destination": where}
        payout = str((await self.says("ann", "POST", "/api/provider/payouts", body))["id"])
        line: list[Json] = []

        async def there() -> bool:
            line[:] = (await self.says("rita", "GET", "/api/reviews"))["reviews"]
            return any(one["id"] == payout for one in line)

        await wait_until(there, f"{payout} is before the reviewers")
        seen = next(one["fingerprint"] for one in line if one["id"] == payout)
        await self.says("rita", "POST", f"/api/reviews/{payout}/approve", {"fingerprint": seen})
        return payout

    async def until(self, payout: str, status: str) -> None:
        """Wait until a payout has a status."""

        async def there() -> bool:
            told = await self.says("ann", "GET", f"/api/provider/payouts/{payout}")
            return bool(told["status"] == status)

        await wait_until(there, f"{payout} is {status}")

    async def forged_webhook(self) -> None:
        """Somebody who is not the gateway sends news."""
        async with self.session.post(self.bank.courier.url, json={}, headers={"verif-hash": "guessed"}) as answer:
            assert answer.status == 401


@asynccontextmanager
async def a_run(folder: Path) -> AsyncIterator[Run]:
    """Run Payflow as it is installed, with the gateway simulated."""
    async with a_bank() as bank, aiohttp.ClientSession() as session, begun(folder, bank, session) as run:
        yield run


@asynccontextmanager
async def a_bank() -> AsyncIterator[FlutterwaveSimulator]:
    """A gateway for which time passes."""
    async with FlutterwaveSimulator(SystemClock(), QUICKLY) as bank, AsyncExitStack() as stack:
        stack.push_async_callback(_cancelled, asyncio.create_task(_keep_time(bank)))
        yield bank


@asynccontextmanager
async def begun(
    folder: Path, bank: FlutterwaveSimulator, session: aiohttp.ClientSession, tokens: dict[str, str] | None = None
) -> AsyncIterator[Run]:
    """Start the API in one process and a worker in another."""
    async with AsyncExitStack() as stack:
        settings = {
            "FLUTTERWAVE_URL": bank.v3_url,
            "FLUTTERWAVE_SECRET_KEY": bank.keys.secret_key,
            "FLUTTERWAVE_WEBHOOK_HASH": bank.keys.secret_hash,
            "PAYFLOW_BATCH_SCHEDULE": "instant",
            "PAYFLOW_SETTLE_WINDOW_S": "1",
            "PAYFLOW_PAYOUT_CAPS": '{"all": "20000000"}',
            "PAYFLOW_API_RATE": "10000",
            "PAYFLOW_PAYOUT_MOST_OPEN": "0",
            "PAYFLOW_PAYOUT_MOST_DAILY": "0",
            "PAYFLOW_API_ADDRESS_RATE": "10000",
            "PAYFLOW_BACKUP_KEYS": FILES_KEY,
            "PAYFLOW_LOG_LEVEL": "error",
        }
        tokens = await _tokens(folder, settings) if tokens is None else tokens
        api = await stack.enter_async_context(
            running(folder, "serve", module="payflow", ENABLE_WORKERS="false", **settings)
        )
        worker = await stack.enter_async_context(
            running(folder, "worker", module="payflow", PAYFLOW_PROBE_PORT="0", **settings)
        )
        bank.courier.url = f"{api.address}/api/webhooks/flutterwave/payout_status"
        yield Run(api, worker, bank, session, folder, settings, tokens)


async def _tokens(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Make tokens, as `payflow token create` does."""
    own = load({**environment(folder, **settings), "PAYFLOW_DATA": str(folder / "data")})
    async with opened(own, assemble) as payflow:
        tokens = Tokens(payflow.store.link)
        return {name: await tokens.create(name, role, of, "test") for name, role, of in PEOPLE}


async def _keep_time(bank: FlutterwaveSimulator) -> None:
    while True:
        await bank.catch_up()
        await asyncio.sleep(0.1)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def figures_of_lanes() -> AsyncIterator[str]:
    """Serve what a process that works on lanes and a pool tells of them: there is no chain in this run."""
    metrics = Metrics()
    lanes = metrics.lanes
    for lane in ("payouts", "pool"):
        gauges = (lanes.next_nonce, lanes.in_flight, lanes.oldest_unmined, lanes.balance, lanes.waiting_money)
        for gauge in (*gauges, lanes.without_quorum, lanes.capped):
            gauge.labels(lane).set(7)
        lanes.fee_paid.labels(lane)
        lanes.bumps.labels(lane)
    lanes.node_lag.labels("a").set(0)
    lanes.node_errors.labels("a", "timeout")
    metrics.pools.waiting.labels("eth").set(0)

    async def tell(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry))

    async with app.listening(app.application([web.get("/metrics", tell)]), "127.0.0.1", 0) as address:
        yield address
