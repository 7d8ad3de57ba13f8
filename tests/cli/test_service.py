"""The service as an operator runs it: processes of their own on one embedded store."""

import asyncio
import json
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from machines.core.errors import BadSettings
from machines.core.ids import RecordId
from payflow.app.installation import Payflow, opened
from payflow.app.service import serve
from payflow.config import load
from tests import service
from tests.cli.processes import Process, environment, running, typed
from tests.desk import ANN, ask, fund
from tests.servers import free_port
from tests.waiting import wait_until


@asynccontextmanager
async def at_the_store(folder: Path) -> AsyncIterator[Payflow]:
    """Open the store that the processes use."""
    settings = load({name: value for name, value in environment(folder).items() if name.startswith("PAYFLOW")})
    settings = settings.model_copy(update={"data": folder / "data"})
    async with opened(settings, service.parts) as payflow:
        yield payflow


async def make(payflow: Payflow, count: int, units: int = 100, key: str = "") -> list[RecordId]:
    """Ask for errands."""
    await fund(payflow.store, units=10**9)
    return [await ask(payflow.store, ANN, units, f"{key}{number}") for number in range(count)]


async def counts(payflow: Payflow) -> dict[str, int]:
    """Count the records in each state."""
    return {crowd.state: crowd.count for crowd in await payflow.store.listing.counts_by_state() if crowd.count}


async def metric(process: Process, name: str) -> dict[str, float]:
    """Read a gauge by state."""
    _, text = await process.get("/metrics")
    return {
        state: float(value) for state, value in re.findall(rf'^{name}{{.*state="(\w+)".*}} (.+)$', text, re.MULTILINE)
    }


# --- what ships


async def test_a_file_with_secrets_that_everybody_may_read_is_said_when_it_starts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PAYFLOW_API_RATE=50\n")
    (tmp_path / ".env").chmod(0o644)
    async with running(tmp_path, "serve", module="payflow") as payflow:
        assert [line["file"] for line in payflow.logged() if line.get("action") == "open_file"] == [".env"]


async def test_as_it_ships_it_starts_in_an_empty_home_and_is_ready(tmp_path: Path) -> None:
    async with running(tmp_path, "serve", module="payflow") as payflow:
        assert (await payflow.get("/healthz"))[0] == 200
        status, text = await payflow.get("/readyz")
        assert (status, json.loads(text)["ready"]) == (200, True)
        status, text = await payflow.get("/metrics")
        assert status == 200
        assert "payflow_store_up 1.0" in text


async def test_help_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code, out, err = await typed(tmp_path, "--help", module="payflow")
    assert (code, err) == (0, "")
    assert "serve" in out
    heavy = "import sys, payflow.cli; assert not {'aiohttp', 'redis', 'pydantic', 'rich'} & set(sys.modules)"
    helped = (
        "import sys; from payflow.cli.commands import cli; cli(['--help'], standalone_mode=False);"
        "assert not {'payflow.app', 'payflow.store', 'payflow.cli.terminal', 'redis', 'pydantic'} & set(sys.modules)"
    )
    for program in (heavy, helped):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=environment(tmp_path), stdout=asyncio.subprocess.DEVNULL
        )
        assert await process.wait() == 0


# --- several processes


async def test_two_workers_and_an_api_share_one_store_and_all_agree(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(running(tmp_path, "serve", ENABLE_WORKERS="false"))
        for _ in range(2):
            await stack.enter_async_context(running(tmp_path, "worker"))
        payflow = await stack.enter_async_context(at_the_store(tmp_path))
        await make(payflow, 60)
        waiting = await make(payflow, 7, service.NEVER_SETTLES, "waits")
        await make(payflow, 5, service.BOUNCES, "bounces")

        async def all_settled() -> bool:
            return await counts(payflow) == {"DONE": 60, "SENDING": 7, "FAILED": 5}

        await wait_until(all_settled, "60 are done, 5 bounced, 7 never settle and are looked at for ever")
        code, out, _ = await typed(tmp_path, "ls", "--json")
        assert code == 0
        listed = {crowd["state"]: crowd["count"] for crowd in json.loads(out)["states"]}
        assert await metric(api, "payflow_records") == listed == dict.fromkeys(listed, 0) | await counts(payflow)
        history = await payflow.store.records.history(waiting[0])
        assert {event.who for event in history} != {"test"}
    assert not (tmp_path / "data" / "server.sock").exists(), "the last one out stopped the store"


async def test_each_record_is_paid_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(running(tmp_path, "worker"))
        payflow = await stack.enter_async_context(at_the_store(tmp_path))
        ids = await make(payflow, 100)

        async def all_done() -> bool:
            return await counts(payflow) == {"DONE": 100}

        await wait_until(all_done, "100 are done")
    assert sorted((tmp_path / "data" / "rail").read_text().split()) == sorted(ids)


async def test_an_operator_steers_while_the_service_runs(tmp_path: Path) -> None:
    async with running(tmp_path, "serve") as running_service, at_the_store(tmp_path) as payflow:
        (record_id,) = await make(payflow, 1, service.BOUNCES)

        async def failed() -> bool:
            return await counts(payflow) == {"FAILED": 1}

        await wait_until(failed, "it bounced")
        words = ("override", record_id, "CANCELLED", "--reason", "the bank called", "--yes")
        code, _, err = await typed(tmp_path, *words)
        assert (code, err) == (0, "")
        assert await metric(running_service, "payflow_records") == {
            state: float(state == "CANCELLED") for state in payflow.parts.machines[0].lifecycle.states
        }
        _, figures = await running_service.get("/metrics")
        commits = re.search(r"^payflow_commit_seconds_count (\S+)$", figures, re.MULTILINE)
        assert commits is not None
        assert float(commits[1]) >= 3, "it took three to bring it there"
        account = (await payflow.store.ledger.account(ANN))["NGN"]
        assert (account.held, account.available) == (0, 10**9)
        code, out, _ = await typed(tmp_path, "ledger", "--json")
        assert (code, json.loads(out)["conserved"]) == (0, True)


async def test_tail_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    async with running(tmp_path, "worker"), at_the_store(tmp_path) as payflow:
        tail = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.service", "tail", "--json"),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=asyncio.subprocess.PIPE,
        )
        assert tail.stdout is not None
        reading, numbers = asyncio.create_task(tail.stdout.readline()), count()

        async def told() -> bool:
            # It tells of what happens from when it listens on; how long it takes to begin depends on the machine.
            await make(payflow, 1, key=f"{next(numbers)} ")
            return bool((await asyncio.wait({reading}, timeout=0.2))[0])

        await wait_until(told, "it tells of an errand")
        tail.send_signal(signal.SIGINT)
        assert json.loads(await reading)["id"].startswith("errand-")
        await tail.stdout.read()
        assert await tail.wait() == 130


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_a_signal_stops_it_in_good_order(tmp_path: Path, command: str, number: signal.Signals) -> None:
    async with running(tmp_path, command) as process:
        process.signal(number)
        assert await process.end() == 0
    assert [line["action"] for line in process.logged()][-2:] == ["stopping", "stopped"]
    assert not (tmp_path / "data" / "server.sock").exists()


async def test_the_second_signal_ends_it_on_the_spot_and_the_work_is_not_lost(tmp_path: Path) -> None:
    async with at_the_store(tmp_path) as payflow:
        async with running(tmp_path, "serve", PAYFLOW_GRACE_S="600") as process:
            (record_id,) = await make(payflow, 1, service.HANGS)

            async def at_work() -> bool:
                stored = await payflow.store.records.read(record_id)
                return (await payflow.store.listing.outlook(stored.record)).leased and stored.record.state == "SENDING"

            await wait_until(at_work, "a look hangs")
            process.signal(signal.SIGTERM)
            await wait_until(lambda: "stopping" in process.log.read_text(), "it stops")
            assert (await process.get("/readyz"))[0] == 503
            assert (await process.get("/healthz"))[0] == 200
            process.signal(signal.SIGTERM)
            assert await process.end() == 128 + signal.SIGTERM
        async with running(tmp_path, "worker"):
            await wait_until(at_work, "another worker has it, when the lease has run out")


@pytest.mark.parametrize("name", ["PAYFLOW_PROBE_PORT", "PAYFLOW_WORKER_PORT"])
async def test_a_worker_has_a_port_only_when_it_is_given_one(tmp_path: Path, name: str) -> None:
    """The second name is the one that installations were made with."""
    async with running(tmp_path, "worker") as without, running(tmp_path, "worker", **{name: "0"}) as with_one:
        assert without.address == ""
        assert (await with_one.get("/readyz"))[0] == 200
        assert "payflow_worker_last_claim_timestamp_seconds" in (await with_one.get("/metrics"))[1]


async def test_metrics_and_findings_leave_the_port_of_the_api_for_one_of_their_own(tmp_path: Path) -> None:
    """The port of the API has no more of them than yes or no."""
    port = free_port()
    async with running(tmp_path, "serve", PAYFLOW_PROBE_PORT=str(port)) as process:
        assert await process.get("/readyz") == (200, '{"ready": true}')
        assert (await process.get("/healthz"))[0] == 200
        status, text = await process.get("/metrics")
        assert (status, json.loads(text)["error"]["code"]) == (404, "not_found")
        process.address = f"http://127.0.0.1:{port}"
        assert (await process.get("/healthz"))[0] == 200
        assert "checks" in (await process.get("/readyz"))[1]
        assert "payflow_store_up 1.0" in (await process.get("/metrics"))[1]
        assert (await process.get("/api/provider/balance"))[0] == 404, "of the API there is nothing on it"


async def test_the_former_name_of_the_workers_port_gives_the_api_none(tmp_path: Path) -> None:
    """On a machine where one file of settings serves both, the second process would find it taken."""
    async with running(tmp_path, "serve", PAYFLOW_WORKER_PORT=str(free_port())) as process:
        assert (await process.get("/metrics"))[0] == 200


async def test_an_api_without_workers_says_nothing_of_a_worker(tmp_path: Path) -> None:
    async with running(tmp_path, "serve", ENABLE_WORKERS="false") as api, at_the_store(tmp_path) as payflow:
        await make(payflow, 1)
        assert "worker_last_claim" not in (await api.get("/metrics"))[1]
        assert (await metric(api, "payflow_records_due"))["ASKED"] == 1


async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = await typed(tmp_path, "serve", PAYFLOW_PORT=str(port))
    assert (code, out) == (2, "")
    assert err.startswith(f"payflow: Payflow cannot listen on 127.0.0.1:{port} (")
    assert "Traceback" not in err


# --- the health line


async def test_the_health_line_tells_of_store_worker_and_queues(tmp_path: Path) -> None:
    async with running(tmp_path, "serve", PAYFLOW_HEALTH_LINE_S="1") as process, at_the_store(tmp_path) as payflow:
        await make(payflow, 3, service.NEVER_SETTLES)

        def told() -> bool:
            return any(line["action"] == "health" and line["moves"] for line in process.logged())

        await wait_until(told, "a health line counts moves")
    line = next(line for line in process.logged() if line["action"] == "health" and line["moves"])
    assert line["store_connections"] >= 2
    assert (line["moves"], line["errors"]) == (6, 0)
    assert line["looks"] >= 6
    assert line["queues"] == {"errand.SENDING": {"count": 3, "due": 0}}
    assert line["event"].startswith("3 records are open, 0 due; ")


async def test_an_api_without_workers_does_not_start_with_the_keys_of_permits(tmp_path: Path) -> None:
    keys = {"PAYFLOW_APPROVAL_KEYS": "made up for approvals alone", "PAYFLOW_PERMIT_KEYS": "made up for permits alone"}
    settings = load({"PAYFLOW_DATA": str(tmp_path / "data"), "ENABLE_WORKERS": "false", **keys})
    with pytest.raises(BadSettings, match="take it out of the settings of this process"):
        await serve(settings, service.parts, lambda _, __: None)
    assert not (tmp_path / "data").exists(), "nothing was opened"


async def test_a_worker_does_not_start_with_the_keys_of_approvals_alone(tmp_path: Path) -> None:
    keys = {"PAYFLOW_APPROVAL_KEYS": "made up for approvals alone"}
    settings = load({"PAYFLOW_DATA": str(tmp_path / "data"), **keys})
    with pytest.raises(BadSettings, match="Give it both lists"):
        await serve(settings, service.parts, lambda _, __: None)
