"""The sandbox as a newcomer meets it: everything answers, payments reach their ends, and nothing of it stays behind."""

import asyncio
import signal
from pathlib import Path

import pytest

from adapters.sandbox.chain.chain import Kind
from payflow.app.sandbox_pool import MINERS, THRESHOLD_SHANNON
from tests.sandbox.running import Json, Sandbox, sandbox

BOTH = pytest.mark.parametrize("kind", [Kind.ANVIL, Kind.EVM])
GWEI = 10**9


async def answers(one: Sandbox) -> None:
    """Every part of the world answers where the sandbox says that it is."""
    world = one.world
    for place in ("/readyz", "/admin", "/portal", "/bounties", "/api/openapi.json", "/metrics"):
        status, told = await one.ask(place)
        assert status == 200, f"{place}: {told}"
    assert (await one.ask(f"{world['flutterwave']}/_sandbox"))[0] == 200
    assert (await one.ask(world["mails"]))[0] == 200
    assert (await one.ask(f"{world['github']}/app/installations"))[0] == 401
    assert await one.rpc("eth_chainId") == hex(31337)
    assert await ping(world["pool"]["redis"]) == b"+PONG\r\n"
    assert Path(world["pool"]["config"]).exists()
    host, port = world["mail"].removeprefix("mailto://").partition("?")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"220")
    writer.close()


async def ping(endpoint: str) -> bytes:
    """Ask a Redis whether it is there."""
    host, port = endpoint.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PING\r\n")
    answer = await reader.readline()
    writer.close()
    return answer


async def payouts(one: Sandbox, who: str) -> list[Json]:
    """What somebody sees of his payouts."""
    found: list[Json] = (await one.ask("/api/provider/payouts", who=who))[1]["payouts"]
    return found


async def approve_what_waits(one: Sandbox) -> None:
    """Do what the sandbox asks of the person who runs it."""
    found: list[Json] = []

    async def waits() -> bool:
        line = (await one.ask("/api/reviews", who="rita"))[1]["reviews"]
        found[:] = [review for review in line if review["owner"] == "chioma"]
        return bool(found)

    await one.until(waits, "Chioma's payout waits for a person")
    body = {"fingerprint": found[0]["fingerprint"]}
    assert (await one.ask(f"/api/reviews/{found[0]['id']}/approve", who="rita", body=body))[0] == 200


async def until_all_is_paid(one: Sandbox) -> None:
    """The three payments, and the one that a person approved, reach their end."""

    async def providers() -> bool:
        return all([[payout["status"] for payout in await payouts(one, who)] == ["paid"] for who in ("bayo", "chioma")])

    async def miners() -> bool:
        got = [int(await one.rpc("eth_getBalance", login, "latest"), 16) for login in MINERS]
        return got == [shannon * GWEI if shannon > THRESHOLD_SHANNON else 0 for shannon in MINERS.values()]

    async def bounty() -> bool:
        found = (await one.ask("/api/user/bounties", who="mia"))[1]["bounties"]
        return [each["state"] for each in found] == ["paid"]

    await one.until(miners, "the miners have their money")
    await one.until(providers, "Bayo and Chioma are paid")
    await one.until(bounty, "the bounty is paid")


@BOTH
async def test_all_that_it_plays_reaches_its_end_and_is_there_at_the_next_start(tmp_path: Path, kind: Kind) -> None:
    async with sandbox(tmp_path, kind=kind) as one:
        assert one.took_s < 10
        assert one.world["chain"]["node"] == kind
        await answers(one)
        await approve_what_waits(one)
        await until_all_is_paid(one)
        tokens = one.world["people"]
        height = int(await one.rpc("eth_blockNumber"), 16)
        assert await one.end() == 0
        await one.until_nothing_is_left()
    async with sandbox(tmp_path, "--scenario", "none") as again:
        assert again.world["people"] == tokens
        assert again.world["told"] == []
        assert int(await again.rpc("eth_blockNumber"), 16) >= height
        await answers(again)
        await until_all_is_paid(again)
        assert await again.end(signal.SIGTERM) == 0
        await again.until_nothing_is_left()


@BOTH
async def test_a_killed_one_leaves_nothing_and_goes_on_where_it_was(tmp_path: Path, kind: Kind) -> None:
    async with sandbox(tmp_path, kind=kind) as one:
        await approve_what_waits(one)
        await one.end(signal.SIGKILL)
        await one.until_nothing_is_left()
    async with sandbox(tmp_path, "--scenario", "none") as again:

        async def paid() -> bool:
            return [payout["status"] for payout in await payouts(again, "chioma")] == ["paid"]

        await again.until(paid, "what was approved before the kill is paid")
        await again.end(signal.SIGKILL)
        await again.until_nothing_is_left()
    assert "Traceback" not in (tmp_path / "err").read_text()


async def test_its_line_of_json_has_what_scripts_need(tmp_path: Path) -> None:
    async with sandbox(tmp_path, "--scenario", "none", "--fresh") as one:
        world = one.world
        assert set(world["tokens"]) == {"platform", "provider", "reviewer", "operator", "viewer"}
        for name, held in world["people"].items():
            assert (await one.ask("/api/provider/payouts?owner=ann", who=name))[0] != 401
            assert held["role"] in world["tokens"]
        assert world["secrets"] == {"flutterwave": "sandbox-secret-hash", "github": "sandbox webhook secret"}
        assert world["data"] == str(tmp_path / "data/sandbox")
        assert world["scenario"] == "none"
        for address in world["chain"]["addresses"].values():
            assert int(await one.rpc("eth_getBalance", address, "latest"), 16) > 0
        bare = await one.ask("/api/webhooks/flutterwave/payout_status", body={"event": "transfer.completed"})
        assert bare[0] == 401
        # What it plays with stays in its folder, and is for its owner alone.
        secret = [path for path in (tmp_path / "data/sandbox/keys").iterdir() if path.stat().st_mode & 0o077]
        assert secret == []


async def test_two_at_once_take_ports_that_are_free(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with sandbox(tmp_path / "a", "--scenario", "none") as a, sandbox(tmp_path / "b", "--scenario", "none") as b:
        for one in (a, b):
            await answers(one)
        assert a.world["payflow"] != b.world["payflow"]


async def test_commands_in_another_terminal_work_on_it(tmp_path: Path) -> None:
    async with sandbox(tmp_path, "--scenario", "none") as one:
        typed = (
            f"set -a; . {one.world['settings_file']}; set +a; . {one.world['tokens_file']};"
            'payflow() { "$PYTHON" -m payflow "$@"; };'
            'payflow pool due; payflow lane ls; payflow bounty ls; payflow ledger; test -n "$RITA"'
        )
        process = await asyncio.create_subprocess_exec(
            "bash", "-euc", typed, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, env=_shell(tmp_path)
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert "Conserved" in out.decode()


def _shell(folder: Path) -> dict[str, str]:
    import sys  # noqa: PLC0415

    from tests.cli.processes import environment  # noqa: PLC0415

    kept = environment(folder)
    return {name: kept[name] for name in ("PATH", "HOME", "PYTHONPATH", "USER")} | {"PYTHON": sys.executable}
