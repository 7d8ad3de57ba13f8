"""`payflow pool` as an operator types it, with nothing but the pool's own file: no other setting, an embedded store."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from payflow.cli import pools
from tests.adapters.open_ethereum_pool.mine import Mine, mine_of, payouts_json, write_config
from tests.chain import GWEI, LANE, OTHER, Anvil, anvil
from tests.cli.processes import environment, typed
from tests.servers import Farm, Server
from tests.stories.pool_world import lanes_json, pool_redis
from tests.waiting import PATIENCE_S, wait_until

ANN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"
AMOUNT = 600_000_000


@dataclass
class Shell:
    """A shell in the folder with the pool's file."""

    folder: Path
    redis: Server
    chain: Anvil
    mine: Mine

    def configure(self, **changes: Any) -> None:
        """Write payouts.json."""
        daemon = changes.pop("daemon", self.chain.url)
        given = {"payflow": {"confirmations": 1}} | changes
        content = payouts_json(self.redis, daemon, LANE.address, **given)
        write_config(self.folder / "payouts.json", content)

    async def type(self, *words: str, **environment: str) -> tuple[int, str]:
        """Type a command; gives the exit code and what is read."""
        code, out, err = await typed(self.folder, *words, module="payflow", **environment)
        return code, out + err


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain whose node signs for its accounts."""
    async with anvil(slots_in_an_epoch=1) as chain:
        yield chain


@pytest.fixture
def redis(own: Farm) -> Server:
    """The pool's Redis."""
    return pool_redis(own)


@pytest.fixture
def mine(redis: Server) -> Iterator[Mine]:
    """A pool that owes Ann something."""
    with mine_of(redis) as mine:
        mine.earn(ANN, AMOUNT)
        yield mine


@pytest.fixture
def shell(tmp_path: Path, redis: Server, chain: Anvil, mine: Mine) -> Shell:
    """A shell."""
    shell = Shell(tmp_path, redis, chain, mine)
    shell.configure()
    return shell


@asynccontextmanager
async def node_without(method: str, chain: Anvil) -> AsyncIterator[str]:
    """Serve a node that lacks a method."""

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        calls = body if isinstance(body, list) else [body]
        if any(call["method"] == method for call in calls):
            error = {"code": -32601, "message": f"the method {method} does not exist/is not available"}
            answers = [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]
            return web.json_response(answers if isinstance(body, list) else answers[0])
        async with aiohttp.ClientSession() as session, session.post(chain.url, json=body) as response:
            return web.json_response(await response.json())

    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_the_file_alone_is_enough_to_pay(shell: Shell, chain: Anvil) -> None:
    shell.configure(autoGas=False, bgsave=True)
    code, said = await shell.type("init")
    assert code == 0, said
    code, said = await shell.type("pool", "due")
    assert (code, f"{AMOUNT} Shannon to 1 payees" in said) == (0, True), said
    code, said = await shell.type("pool", "run", "payouts.json", "--once", "--json")
    assert code == 0, said
    for line in (
        "Set payouts interval to 2h0m0s",
        f"Locked payment for {ANN}, {AMOUNT} Shannon",
        f"Paid total {AMOUNT} Shannon to 1 of 1 payees",
        "Saving backend state to disk: Background saving started",
    ):
        assert line in said
    tx = shell.mine.history()[0].partition(":")[0]
    sent = await chain.rpc("eth_getTransactionByHash", tx)
    assert (int(sent["gasPrice"], 16), int(sent["gas"], 16), sent["type"]) == (50 * GWEI, 21_000, "0x0")
    assert await chain.balance(ANN) == AMOUNT * GWEI
    code, said = await shell.type("pool", "audit")
    assert (code, "Every sum agrees with its rows." in said) == (0, True)
    code, said = await shell.type("doctor")
    assert "The store has every write" in said
    assert "pool Redis" in said


async def test_the_maintenance_mode_is_asked_for_in_the_old_way(shell: Shell, chain: Anvil) -> None:
    block = await chain.rpc("eth_getBlockByNumber", "latest", False)  # noqa: FBT003  (without its transactions)
    shell.mine.debit(ANN, AMOUNT, int(block["timestamp"], 16))
    tx = await chain.send(LANE, ANN, AMOUNT * GWEI)
    before = shell.mine.everything()
    code, said = await shell.type("pool", "run", "payouts.json", "--dry-run", RESOLVE_PAYOUT="True")
    assert (code, "This was a dry run: nothing was changed" in said) == (0, True), said
    assert shell.mine.everything() == before
    code, said = await shell.type("pool", "run", "payouts.json", RESOLVE_PAYOUT="1")
    assert code == 0
    assert "Running with env RESOLVE_PAYOUT=1, now trying to resolve locked payouts" in said
    assert "Now you have to restart payouts module with RESOLVE_PAYOUT=0 for normal run" in said
    assert shell.mine.history() == [f"{tx}:{ANN}:{AMOUNT}"]


async def test_resolving_asks_why_as_the_page_does_and_the_audit_log_keeps_it(shell: Shell, chain: Anvil) -> None:
    assert (await shell.type("init"))[0] == 0
    code, said = await shell.type("pool", "resolve")
    assert (code, "This needs a reason" in said) == (1, True), said
    code, said = await shell.type("pool", "resolve", "--dry-run")
    assert (code, "No pending payments to resolve" in said) == (0, True), said
    code, said = await shell.type("pool", "resolve", "--reason", "the old module died")
    assert (code, "Payouts unlocked" in said) == (0, True), said


@pytest.mark.parametrize(
    ("text", "yes"),
    [(one, True) for one in ("1", "t", "T", "TRUE", "true", "True")]
    + [(one, False) for one in ("", "0", "yes", "tRUE", "2", "false")],
)
def test_only_what_go_takes_for_true_is_true(monkeypatch: pytest.MonkeyPatch, text: str, *, yes: bool) -> None:
    monkeypatch.setenv("RESOLVE_PAYOUT", text)
    assert pools.must_resolve() is yes


async def test_a_node_that_signs_nothing_is_named_and_the_books_are_untouched(shell: Shell, chain: Anvil) -> None:
    before = shell.mine.everything()
    async with node_without("eth_signTransaction", chain) as url:
        shell.configure(daemon=url)
        _, said = await shell.type("pool", "run", "--once")
    assert "eth_signTransaction" in said
    assert "Traceback" not in said
    assert shell.mine.everything() == before


async def test_another_chain_than_the_lane_is_for_is_named(shell: Shell, chain: Anvil) -> None:
    before = shell.mine.everything()
    lanes = lanes_json(chain, shell.folder).replace(f'"chain_id": {chain.chain_id}', '"chain_id": 5')
    _, said = await shell.type("pool", "run", "--once", PAYFLOW_LANES=lanes, PAYFLOW_DEVELOPMENT="true")
    assert "chain" in said.lower()
    assert "Traceback" not in said
    assert shell.mine.everything() == before


async def test_a_lane_that_signs_for_another_address_is_refused(shell: Shell, chain: Anvil) -> None:
    shell.configure(payflow={"lane": "beside"})
    raw = {"PAYFLOW_LANES": lanes_json(chain, shell.folder), "PAYFLOW_DEVELOPMENT": "true"}
    code, said = await shell.type("pool", "run", "--once", **raw)
    assert code == 2
    assert f"payouts.address is {LANE.address}, and the lane beside signs for {OTHER.address}" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is no JSON"), ('{"coin": "eth", "payouts": {"enabled": true, "interval": "x"}}', "payouts.")],
)
async def test_a_file_that_cannot_be_used_is_one_clear_sentence(shell: Shell, content: str, words: str) -> None:
    (shell.folder / "payouts.json").write_text(content, "utf-8")
    code, said = await shell.type("pool", "run", "--once")
    assert code == 2
    assert words in said
    assert "Traceback" not in said


async def test_a_redis_that_is_not_there_waits_and_says_so(shell: Shell, redis: Server) -> None:
    redis.kill()
    code, said = await shell.type("pool", "run", "--once", "--json")
    assert "Can't establish connection to backend" in said
    assert "Traceback" not in said
    (outcome,) = json.loads(next(line for line in said.splitlines() if line.startswith("[")))
    assert (outcome["paid"], code) == (0, 1)
    assert "does not answer" in outcome["waits"]


async def test_a_service_waits_for_a_node_that_is_not_there_yet(shell: Shell, chain: Anvil) -> None:
    shell.configure(daemon="http://127.0.0.1:1")
    code, said = await shell.type("pool", "run", "payouts.json", "--once")
    assert (code, "does not say which chain" in said) == (1, True)

    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payflow", "pool", "run", "payouts.json"),
        cwd=shell.folder,
        env=environment(shell.folder),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert service.stderr is not None
    async with asyncio.timeout(4 * PATIENCE_S):  # a process starts twice
        while b"trying again in 5 seconds" not in (line := await service.stderr.readline()):
            assert line
        shell.configure()

        async def paid() -> bool:
            return await chain.balance(ANN) == AMOUNT * GWEI

        await wait_until(paid, "the service pays once its node is there")
        service.terminate()
        await service.communicate()
    assert service.returncode == 0


async def test_what_was_no_payment_is_proposed_at_one_desk_and_confirmed_at_another(shell: Shell, chain: Anvil) -> None:
    gift = await chain.send(LANE, ANN, 5 * GWEI, gas=hex(21_000))
    assert (await shell.type("init"))[0] == 0
    tokens = {}
    for name in ("olu", "eve"):
        _, said = await shell.type("token", "create", name, "--role", "operator", "--json")
        tokens[name] = json.loads(said)["token"]
    code, said = await shell.type("pool", "run", "--once")
    assert (code, gift in said) == (1, True), said
    rebook = ("pool", "rebook", "--other", gift, "--yes")
    code, said = await shell.type(*rebook, "--reason", "a gift")
    assert (code, "nobody here" in said) == (1, True), said
    code, said = await shell.type(*rebook, PAYFLOW_TOKEN=tokens["olu"])
    assert (code, "needs a reason" in said) == (1, True), said
    code, said = await shell.type(*rebook, "--reason", "a gift", PAYFLOW_TOKEN=tokens["olu"])
    assert (code, "paid twice" in said) == (0, True), said
    assert (await shell.type("pool", "run", "--once"))[0] == 1
    assert await chain.balance(ANN) == 5 * GWEI
    _, said = await shell.type("proposals", "--json")
    (proposal,) = json.loads(said)
    code, said = await shell.type("confirm", proposal["proposal"], "--yes", PAYFLOW_TOKEN=tokens["olu"])
    assert (code, "must be another one" in said) == (1, True), said
    code, said = await shell.type("confirm", proposal["proposal"], "--yes", PAYFLOW_TOKEN=tokens["eve"])
    assert (code, "counts as something else" in said) == (0, True), said
    code, said = await shell.type("pool", "run", "--once")
    assert code == 0, said
    assert await chain.balance(ANN) == (AMOUNT + 5) * GWEI


async def test_a_paused_rail_ends_a_single_run_with_its_reason(shell: Shell, chain: Anvil) -> None:
    code, said = await shell.type("pool", "run", "--once")
    assert code == 0, said
    shell.mine.earn(ANN, AMOUNT, height=2)
    code, said = await shell.type("pause", "rail:pool-eth", "--why", "the signer is being looked at")
    assert code == 0, said
    code, said = await shell.type("pool", "run", "--once")
    assert (code, "rail:pool-eth is paused by" in said) == (1, True), said
    assert shell.mine.sums(ANN) == (AMOUNT, 0, AMOUNT)
    code, said = await shell.type("resume", "rail:pool-eth", "--why", "looked at")
    assert code == 0, said
    code, said = await shell.type("pool", "run", "--once")
    assert code == 0, said
    assert await chain.balance(ANN) == 2 * AMOUNT * GWEI


async def test_the_lane_commands_know_the_lane_of_a_pool_without_any_other_setting(shell: Shell, chain: Anvil) -> None:
    code, said = await shell.type("pool", "run", "--once")
    assert code == 0, said
    code, said = await shell.type("lane", "ls", "--json")
    assert code == 0, said
    (lane,) = json.loads(next(line for line in said.splitlines() if line.startswith("[")))
    assert (lane["lane"], lane["address"], lane["next_nonce"]) == ("pool-eth", LANE.address, 1)
    code, said = await shell.type("lane", "show", "pool-eth")
    assert code == 0, said
    for act in ("bump", "cancel"):
        _, said = await shell.type("lane", act, "pool-eth", "0")
        assert "Say why" in said
        _, said = await shell.type("lane", act, "pool-eth", "0", "--reason", "a look")
        assert "its nonce is used up already" in said
    _, said = await shell.type("lane", "adopt", "pool-eth", "--reason", "a look", "--yes")
    assert "has no suspects" in said


async def test_the_doctor_tells_a_node_of_another_chain_and_a_signer_that_signs_nothing(
    shell: Shell, chain: Anvil
) -> None:
    code, said = await shell.type("doctor")
    assert "Its node and the lane pool-eth are on the chain" in said
    assert f"It signs for {LANE.address}" in said
    async with anvil(chain_id=61) as other:
        shell.configure(daemon=other.url)
        code, said = await shell.type("doctor", PAYFLOW_LANES=lanes_json(chain, shell.folder))
    assert code
    assert "payouts.daemon is on the chain 61" in said
    async with node_without("eth_signTransaction", chain) as url:
        shell.configure(daemon=url)
        code, said = await shell.type("doctor")
    assert code
    assert "eth_signTransaction" in said
