"""What machines that watch Payflow are told: alive, ready or why not, and figures that are true."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from machines.core.clock import Millis
from payflow.config import Settings
from payflow.desk import readiness
from payflow.desk.readiness import Readiness
from payflow.store.store import Store
from payflow.telemetry.health import Check
from payflow.telemetry.metrics import Metrics
from payflow.web.http import app, probes
from payflow.web.http.probes import Probes
from tests.desk import ask, claim_one, fund, messages, opened, settings_for, stay, tell
from tests.errand import Approved, Sent
from tests.servers import SINGLE, Farm, Kind, Server, flush


@dataclass
class Site:
    """A process with a port."""

    address: str
    store: Store
    readiness: Readiness
    metrics: Metrics

    async def get(self, path: str) -> tuple[int, str]:
        """Ask it."""
        async with aiohttp.ClientSession() as session, session.get(self.address + path) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """Ask whether it is ready; gives the findings by name."""
        status, text = await self.get("/readyz")
        told = json.loads(text)
        assert told["ready"] == (status == 200)
        return status, {check["name"]: (check["level"], check["finding"]) for check in told["checks"]}

    async def figures(self) -> dict[str, float]:
        """Read the metrics."""
        status, text = await self.get("/metrics")
        assert status == 200
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


@asynccontextmanager
async def site(store: Store, *more: web.RouteDef) -> AsyncIterator[Site]:
    """Serve the probes of a store."""
    metrics, ready = Metrics(), Readiness(store)
    routes = Probes(store, metrics, ready).routes()
    async with app.listening(app.application(routes, more), "127.0.0.1", 0) as address:
        yield Site(address, store, ready, metrics)


@pytest.fixture
async def here(store: Store) -> AsyncIterator[Site]:
    """The probes of the empty store."""
    async with site(store) as here:
        yield here


@asynccontextmanager
async def site_on(server: Server, folder: Path, **more: str) -> AsyncIterator[Site]:
    """The probes of a store on a server that the test may mistreat."""
    async with opened(settings_for(server, folder, **more)) as store, site(store) as served:
        yield served


# --- alive


async def test_it_is_alive(here: Site) -> None:
    assert await here.get("/healthz") == (200, '{"alive": true}')


async def test_it_is_alive_while_the_store_is_not(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        server.kill()
        assert (await here.get("/healthz"))[0] == 200


# --- ready


@pytest.mark.parametrize("kind", [*SINGLE, Kind.CLUSTER], indirect=True)
async def test_it_is_ready_on_every_store_that_is_supported(here: Site) -> None:
    status, checks = await here.ready()
    assert status == 200, checks
    assert list(checks) == [
        "store",
        "durability",
        "replicas",
        "scripts",
        "permits",
        "sequence",
        "one person",
        "asked outside",
    ]


async def test_it_is_not_ready_while_the_store_is_away_and_ready_when_it_is_back(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        server.kill()
        status, checks = await here.ready()
        assert (status, list(checks)) == (503, ["store"])
        assert checks["store"][1].endswith("see that it runs and that the settings lead to it.")
        server.start()
        assert (await here.ready())[0] == 200


async def test_it_says_so_when_the_store_does_not_answer_in_time(
    own: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "ANSWER_S", 0.2)
    server = own.server()
    async with site_on(server, tmp_path) as here:
        server.freeze()
        status, checks = await here.ready()
        server.thaw()
        assert status == 503
        assert "did not answer within" in checks["store"][1]
        assert (await here.ready())[0] == 200


@pytest.mark.parametrize(
    ("setting", "value", "finding"),
    [
        ("appendonly", "no", "The store keeps no append-only file: set `appendonly yes`."),
        ("maxmemory-policy", "volatile-lru", "The store may drop records (volatile-lru): set `maxmemory-policy"),
    ],
)
async def test_a_store_that_may_lose_records_is_not_ready(
    own: Farm, tmp_path: Path, setting: str, value: str, finding: str
) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        server.ask("CONFIG", "SET", setting, value)
        status, checks = await here.ready()
        assert (status, checks["durability"][0]) == (503, "fail")
        assert checks["durability"][1].startswith(finding)
        assert (await here.figures())["payflow_store_durable"] == 0


async def test_a_weak_disk_that_was_accepted_is_ready_with_a_warning(own: Farm, tmp_path: Path) -> None:
    server = own.server(Kind.VALKEY, "--appendonly", "no")
    async with site_on(server, tmp_path, PAYFLOW_ACCEPT_WEAK_DURABILITY="true") as here:
        status, checks = await here.ready()
        assert (status, checks["durability"][0]) == (200, "warn")


async def test_a_replica_that_is_missed_is_not_ready(own: Farm, tmp_path: Path) -> None:
    async with site_on(own.server(), tmp_path, PAYFLOW_REPLICAS="1") as here:
        status, checks = await here.ready()
        assert (status, checks["replicas"][0]) == (503, "fail")


async def test_a_server_that_forgot_our_scripts_gets_them_again(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        server.ask("SCRIPT", "FLUSH")
        assert (await here.ready())[0] == 200


async def test_a_store_that_lost_writes_is_not_ready(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        await fund(here.store)
        flush(server)
        server.restart()
        status, checks = await here.ready()
        assert (status, checks["sequence"][0]) == (503, "fail")
        assert checks["sequence"][1].startswith("The store lost writes that it had acknowledged (shard:")
        assert checks["sequence"][1].endswith("run `payflow reconcile`.")
        assert any(value for name, value in (await here.figures()).items() if "sequence_alarm" in name)


async def test_a_shard_that_another_process_closed_is_not_ready(here: Site) -> None:
    await here.store.pauses.pause("shard:02", "sequence guard", "writes are gone", await here.store.records.now())
    status, checks = await here.ready()
    assert status == 503
    assert "(shard:02: writes are gone)" in checks["sequence"][1]
    assert (await here.figures())['payflow_sequence_alarm{shard="02"}'] == 1


async def test_a_port_that_anybody_may_reach_says_yes_or_no_and_nothing_of_hosts_or_money(
    own: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "BARE_S", 0.0)
    server = own.server()
    async with opened(settings_for(server, tmp_path)) as store:
        ready = Readiness(store)
        routes = Probes(store, Metrics(), ready).public_routes()
        async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
            here = Site(address, store, ready, Metrics())
            assert await here.get("/healthz") == (200, '{"alive": true}')
            assert (await here.get("/metrics"))[0] == 404
            assert await here.get("/readyz") == (200, '{"ready": true}')
            server.kill()
            assert await here.get("/readyz") == (503, '{"ready": false}')
            server.start()
            assert await here.get("/readyz") == (200, '{"ready": true}')
            ready.stopping = True
            assert await here.get("/readyz") == (503, '{"ready": false}')


async def test_a_bare_answer_asks_the_store_no_oftener_for_a_hundred_who_ask(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "BARE_S", 3600.0)
    ready, asked = Readiness(store), 0

    async def counted() -> list[Check]:
        nonlocal asked
        asked += 1
        return []

    monkeypatch.setattr(ready, "checks", counted)
    routes = Probes(store, Metrics(), ready).public_routes()
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        here = Site(address, store, ready, Metrics())
        answers = await asyncio.gather(*(here.get("/readyz") for _ in range(20)))
        assert set(answers) == {(200, '{"ready": true}')}
        assert asked == 1
        ready.stopping = True
        assert (await here.get("/readyz"))[0] == 503, "that it stops needs no asking"


async def test_a_process_that_stops_is_not_ready(here: Site) -> None:
    here.readiness.stopping = True
    assert await here.ready() == (
        503,
        {"process": ("fail", "This process is stopping: send requests to another one.")},
    )


# --- figures


async def test_the_figures_are_read_from_the_store_at_each_scrape(here: Site, settings: Settings) -> None:
    store, clock = here.store, here.store.records._clock  # noqa: SLF001  (the fixture's clock)
    assert clock is not None
    await fund(store)
    first = await ask(store, key="1")
    await tell(store, first, Approved())
    await ask(store, key="2")
    clock.advance(5)  # type: ignore[attr-defined]
    figures = await here.figures()
    where = 'machine="errand",state="ASKED"'
    assert figures[f"payflow_records{{{where}}}"] == 1
    assert figures[f"payflow_records_due{{{where}}}"] == 1
    assert figures[f"payflow_oldest_record_age_seconds{{{where}}}"] == 5
    assert figures[f"payflow_due_lag_seconds{{{where}}}"] == 5
    assert figures['payflow_records{machine="errand",state="READY"}'] == 1
    assert figures['payflow_records{machine="errand",state="DONE"}'] == 0
    assert figures["payflow_store_up"] == figures["payflow_store_durable"] == 1


async def test_what_waits_for_a_person_is_counted(here: Site) -> None:
    store = here.store
    await fund(store)
    await ask(store)
    await store.records.park(await claim_one(store), "a bug", "test")
    await store.pauses.pause("rail:test", "ola", "it is odd", Millis(1))
    figures = await here.figures()
    assert figures["payflow_records_parked"] == 1
    assert figures['payflow_paused{scope="rail:test"}'] == 1
    assert figures["payflow_outbox_messages"] == 1, "the alarm"


async def test_the_outbox_lags_while_nobody_delivers(here: Site) -> None:
    store = here.store
    await fund(store)
    record_id = await ask(store)
    stored = await store.records.read(record_id)
    await store.records.commit(stored, stay(messages=messages("told")), Sent(), "test")
    store.records._clock.advance(7)  # type: ignore[union-attr]  # noqa: SLF001
    figures = await here.figures()
    assert (figures["payflow_outbox_messages"], figures["payflow_outbox_lag_seconds"]) == (1, 7)


async def test_without_the_store_the_figures_say_so_and_nothing_that_is_old(own: Farm, tmp_path: Path) -> None:
    server = own.server()
    async with site_on(server, tmp_path) as here:
        assert "payflow_records_parked" in await here.figures()
        server.kill()
        figures = await here.figures()
        assert figures["payflow_store_up"] == 0
        assert not [name for name in figures if name.startswith(("payflow_records", "payflow_store_durable"))]


def promtool(text: str) -> "subprocess.CompletedProcess[str]":
    """Let Prometheus's own tool look at the figures."""
    return subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on this machine")
async def test_promtool_finds_nothing_to_complain_about(here: Site) -> None:
    await fund(here.store)
    await ask(here.store)
    metrics = here.metrics
    metrics.moved("errand", "ASKED", "READY")
    metrics.looked("errand", "ASKED", 0.01)
    metrics.committed(3, 0.002)
    metrics.worker_seen.set(1)
    await here.store.pauses.pause("rail:test", "ola", "it is odd", Millis(1))
    _, text = await here.get("/metrics")
    checked = await asyncio.to_thread(promtool, text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert len(re.findall(r"^# HELP payflow_\w+ .+\.$", text, re.MULTILINE)) == text.count("# HELP")


# --- the door


async def raw(address: str, request: bytes) -> bytes:
    """Speak to a port without manners."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer: bytes = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"this is no http\r\n\r\n",
    ],
)
async def test_no_answer_tells_what_it_runs_on(
    here: Site, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(here.address, request_bytes)
    assert caplog.records == [], "whoever speaks no HTTP does not fill our log"
    assert answer.startswith(b"HTTP/1.")
    assert b"aiohttp" not in answer
    assert b"Python" not in answer


async def test_errors_have_one_shape(here: Site) -> None:
    status, text = await here.get("/nowhere")
    assert (status, json.loads(text)["error"]["code"]) == (404, "not_found")


async def test_a_body_that_is_too_large_is_refused(store: Store) -> None:
    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(1 + app.MOST_BODY_BYTES // 1024):
            yield b"x" * 1024

    async with site(store, web.post("/read", read)) as here, aiohttp.ClientSession() as session:
        for body in (b"x" * (app.MOST_BODY_BYTES + 1), drops()):
            async with session.post(here.address + "/read", data=body) as response:
                assert response.status == 413
        async with session.post(here.address + "/read", data=b"x" * app.MOST_BODY_BYTES) as response:
            assert response.status == 200


async def test_a_bug_is_logged_and_tells_nothing_to_the_caller(store: Store) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise ZeroDivisionError("secret")

    with capture_logs() as logs:
        async with site(store, web.get("/broken", broken)) as here:
            status, text = await here.get("/broken")
    assert status == 500
    assert "secret" not in text
    assert [line["action"] for line in logs] == ["request_failed"]
