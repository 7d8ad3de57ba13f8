"""The sandbox as a newcomer meets it: everything answers, payments reach their ends, and nothing of it stays behind."""

import asyncio
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from adapters.sandbox.chain.chain import ChainKind
from payflow.sandbox.pool import MINERS, THRESHOLD_SHANNON
from payflow.store.registers.tokens import Role
from tests.cli.processes import environment
from tests.sandbox.running import Json, Sandbox, sandbox
from tests.web.admin.visitor import Visitor

BOTH = pytest.mark.parametrize("kind", [ChainKind.ANVIL, ChainKind.EVM])
GWEI = 10**9
UP_WITHIN_CPU_S = 5.0
"""It is up in 10 s; what else the machine does meanwhile is not its fault, so its own work is measured."""


async def answers(one: Sandbox) -> None:
    """Every part of the world answers where the sandbox says that it is."""
    world = one.world
    for place in ("/readyz", "/admin", "/portal", "/bounties", "/api/openapi.json", "/metrics"):
        status, told = await one.ask(place)
        assert status == 200, f"{place}: {told}"
    assert (await one.ask(f"{world['flutterwave']}/_sandbox"))[0] == 200
    assert (await one.ask(world["mails"]))[0] == 200
    assert (await one.ask(f"{world['github']}/_sandbox"))[0] == 200
    assert (await one.ask("/_wallet/provider.js"))[0] == 200
    assert (await one.ask(f"{world['github']}/app/installations"))[0] == 401
    assert await one.rpc("eth_chainId") == hex(31337)
    assert await ping(world["pool"]["redis"]) == b"+PONG\r\n"
    assert world["pool"]["config"] == str(one.folder / "data/sandbox/payouts.json")
    host, port = world["mail"].removeprefix("mailto://").partition("?")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert (await reader.readline()).startswith(b"220")
    writer.close()


async def shows_the_pool(one: Sandbox) -> None:
    """An operator signs in to the dashboard, and sees lanes and the pool."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        place = one.world["admin"]
        signed_in = {"token": one.world["people"]["olu"]["token"]}
        async with browser.post(f"{place}/sign-in", data=signed_in, headers={"Origin": one.world["payflow"]}) as page:
            assert page.status == 200
            assert "ethereum" in await page.text()
        async with browser.get(f"{place}/pool") as page:
            assert page.status == 200
            assert one.world["chain"]["addresses"]["pool lane"] in await page.text()


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
        found[:] = [review for review in line if review["owner"] == "shop~chioma"]
        return bool(found)

    await one.until(waits, "Chioma's payout waits for a person")
    body = {"fingerprint": found[0]["fingerprint"]}
    assert (await one.ask(f"/api/reviews/{found[0]['id']}/approve", who="rita", body=body))[0] == 200


@dataclass(frozen=True, slots=True)
class SandboxPages:
    """The pages of one that runs."""

    address: str
    session: aiohttp.ClientSession

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Nobody types a token here."""
        raise NotImplementedError


async def click_a_link_and_approve(one: Sandbox) -> None:
    """Do it as a newcomer would: by nothing but what the sandbox prints."""
    visitor = Visitor(SandboxPages(one.world["payflow"], one.session))
    link = urlsplit(one.world["sign_in"]["rita"])
    assert link.hostname == "localhost"
    assert await visitor.get(f"{link.path}?{link.query}") == 200
    assert await visitor.press("Sign in as rita") == 200

    async def waits() -> bool:
        return await visitor.get("review") == 200 and "75,000.00" in visitor.page

    await one.until(waits, "Chioma's payout waits on the page where the link leads")
    assert await visitor.press("Approve") == 200
    assert "Done: approve" in visitor.text


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


async def says_what_scripts_need(one: Sandbox) -> None:
    """The line of JSON has addresses, tokens by role and by name, secrets and places."""
    world = one.world
    assert set(world["tokens"]) == {"platform", "provider", "reviewer", "operator", "viewer"}
    assert {held["role"] for held in world["people"].values()} == set(world["tokens"])
    assert (await one.ask("/api/reviews", who="vic"))[0] == 200
    assert world["secrets"] == {"flutterwave": "sandbox-secret-hash", "github": "sandbox webhook secret"}
    assert world["data"] == str(one.folder / "data/sandbox")
    for address in world["chain"]["addresses"].values():
        assert int(await one.rpc("eth_getBalance", address, "latest"), 16) > 0
    keys = (one.folder / "data/sandbox/keys").iterdir()
    assert [path for path in keys if path.stat().st_mode & 0o077] == [], "keys are for their owner alone"


@BOTH
async def test_all_that_it_plays_reaches_its_end_and_is_there_at_the_next_start(
    tmp_path: Path, kind: ChainKind
) -> None:
    async with sandbox(tmp_path, kind=kind) as one:
        assert one.cpu_s < UP_WITHIN_CPU_S, f"it took {one.took_s:.1f} s in all"
        assert one.world["chain"]["node"] == kind
        await answers(one)
        await says_what_scripts_need(one)
        await shows_the_pool(one)
        await click_a_link_and_approve(one)
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
        await again.end(signal.SIGKILL)
        await again.until_nothing_is_left()
    assert "Traceback" not in (tmp_path / "err").read_text()


async def test_one_that_is_killed_halfway_goes_on_where_it_was(tmp_path: Path) -> None:
    async with sandbox(tmp_path) as one:
        await approve_what_waits(one)
        await one.end(signal.SIGKILL)
    # At once: what the killed one left is cleaned up meanwhile, and waited for.
    async with sandbox(tmp_path, "--scenario", "none") as again:

        async def paid() -> bool:
            return [payout["status"] for payout in await payouts(again, "chioma")] == ["paid"]

        await again.until(paid, "what was approved before the kill is paid")
        assert await again.end(signal.SIGTERM) == 0
        await again.until_nothing_is_left()
    assert "Traceback" not in (tmp_path / "err").read_text()


async def test_two_at_once_take_free_ports_and_commands_beside_them_find_theirs(tmp_path: Path) -> None:
    async with sandbox(tmp_path / "a", "--scenario", "none") as a, sandbox(tmp_path / "b", "--scenario", "none") as b:
        await asyncio.gather(answers(a), answers(b))
        assert a.world["payflow"] != b.world["payflow"]
        typed = f"""
            set -a; . {b.world["settings_file"]}; set +a; . {b.world["tokens_file"]}
            test "$VIC" = {b.world["people"]["vic"]["token"]}
            {sys.executable} -m payflow lane ls
            {sys.executable} -m payflow pool due
            {sys.executable} -m payflow bounty ls
        """
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", typed), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, env=bare(tmp_path)
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in out.decode()


def bare(folder: Path) -> dict[str, str]:
    """An environment in which nothing of Payflow is set."""
    return {name: value for name, value in environment(folder).items() if not name.startswith("PAYFLOW_")}
