"""A provider is paid in ether by the installed service, on a real chain, and operators see and steer the lane."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from payflow.desk.receipts.signing import signed
from payflow.store.receipt_keys import ReceiptKeys
from tests.chain import LANE, Anvil, anvil, stranger
from tests.cli.processes import environment, running
from tests.verifier import Bad, verify
from tests.waiting import wait_until

GWEI = 10**9

JSON = {"Content-Type": "application/json"}
Json = Any
"""What was answered; its shape is what the test is about."""


@dataclass
class House:
    """The service that runs, its folder and its settings."""

    folder: Path
    settings: Mapping[str, str]
    address: str = ""

    async def run(self, *words: str) -> Json:
        """Run a command beside the service, and read what it answers."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "payflow", *words, "--json"),
            cwd=self.folder,
            env=environment(self.folder, **self.settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode() + out.decode()
        return json.loads(out)

    async def token(self, name: str, *words: str) -> str:
        """Make a token."""
        return str((await self.run("token", "create", name, *words))["token"])

    async def approve(self, token: str) -> None:
        """Approve the one payout that waits, once the rules have looked at it."""
        found: list[Json] = []

        async def flagged() -> bool:
            found[:] = (await self.call(token, "GET", "reviews"))["reviews"]
            return bool(found)

        await wait_until(flagged, description="the payout waits for a reviewer")
        path = f"reviews/{found[0]['id']}/approve"
        await self.call(token, "POST", path, {"fingerprint": found[0]["fingerprint"]})

    async def call(self, token: str, method: str, path: str, body: object = None, **headers: str) -> Json:
        """Call the API."""
        headers |= {"Authorization": f"Bearer {token}"}
        url = f"{self.address}/api/{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            said = await answer.json()
            assert answer.status < 300, said
            return said


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    """A chain with a block a second."""
    async with anvil(block_time_s=1) as chain:
        yield chain


@pytest.fixture
async def house(chain: Anvil, tmp_path: Path) -> AsyncIterator[House]:
    """The service, set up to pay from an address on that chain."""
    key = tmp_path / "lane.key"
    key.write_text(LANE.key)
    lane = {"rpc": [chain.url], "chain_id": 31337, "key_file": str(key), "address": LANE.address, "depth": 2}
    settings = {
        "PAYFLOW_LANES": json.dumps({"ethereum": lane}),
        "PAYFLOW_DEVELOPMENT": "true",
        "PAYFLOW_BATCH_SCHEDULE": "instant",
        "PAYFLOW_API_RATE": "10000",
        "PAYFLOW_TWO_PEOPLE_FROM": "none",
        "PAYFLOW_API_ADDRESS_RATE": "10000",
    }
    async with running(tmp_path, "serve", module="payflow", **settings) as service:
        yield House(tmp_path, settings, service.address)


async def test_a_provider_is_paid_at_her_address_and_the_lane_shows_it(house: House, chain: Anvil) -> None:
    shop = await house.token("shop", "--role", "platform", "--platform", "shop")
    ann = await house.token("ann", "--role", "provider", "--owner", "ann", "--platform", "shop")
    rita = await house.token("rita", "--role", "reviewer")
    home = stranger()
    earning = {"id": "job-1", "owner": "ann", "amount": "2", "currency": "ETH"}
    await house.call(shop, "POST", "earnings", earning)

    asked = {"amount": "1.25", "currency": "ETH", "method": "ethereum", "destination": {"address": home}}
    payout = await house.call(ann, "POST", "provider/payouts", asked, **{"Idempotency-Key": "first"})
    assert payout["status"] == "requested", "ether is always looked at by a person"
    await house.approve(rita)

    async def paid() -> bool:
        return bool((await house.call(ann, "GET", f"provider/payouts/{payout['id']}"))["status"] == "paid")

    await wait_until(paid, description="the payout is paid")
    assert await chain.balance(home) == 1_250_000_000 * GWEI
    balance = await house.call(ann, "GET", "provider/balance")
    assert "0.75" in json.dumps(balance)

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {shop}"}) as session:
        deep = "[" * 30_000 + "]" * 30_000
        async with session.post(f"{house.address}/api/earnings", data=deep, headers=JSON) as answer:
            assert answer.status == 400, "nested as deep as this, a parser may overflow the stack of the process"

    made = await house.run("receipt", payout["id"])
    file = (house.folder / made["file"]).read_bytes()
    body = verify(file)
    assert (body["says"], body["chain"]["pays"]["to"], body["arrives"]["amount"]) == ("PAID", home, "1.250000000")
    (house.folder / "keys.json").write_text(json.dumps({"keys": [{"ed25519": json.loads(file)["public"]}]}))
    checked = await house.run("verify-receipt", made["file"], "--keys", "keys.json")
    assert (checked["says"], checked["key_known"], len(checked["holds"])) == ("PAID", True, 2)
    short = {**body, "arrives": {"asset": "ETH", "amount": "1.35"}}
    with pytest.raises(Bad, match="another amount"):
        verify(signed(short, ReceiptKeys(["a key that somebody else has"])))

    (lane,) = await house.run("lane", "ls")
    assert (lane["lane"], lane["state"], lane["next_nonce"], lane["queued"]) == ("ethereum", "OPEN", 1, 0)
    story = json.dumps(await house.run("show", payout["id"]))
    receipts = [block for block in await _transactions(chain) if block in story]
    assert receipts, "the transaction's hash is in the payout's story"


async def test_what_waits_can_be_seen_bumped_and_taken_back(house: House, chain: Anvil) -> None:
    await chain.interval(0)
    shop = await house.token("shop", "--role", "platform", "--platform", "shop")
    ann = await house.token("ann", "--role", "provider", "--owner", "ann", "--platform", "shop")
    rita = await house.token("rita", "--role", "reviewer")
    home = stranger()
    await house.call(shop, "POST", "earnings", {"id": "job-1", "owner": "ann", "amount": "2", "currency": "ETH"})
    asked = {"amount": "1.25", "currency": "ETH", "method": "ethereum", "destination": {"address": home}}
    payout = await house.call(ann, "POST", "provider/payouts", asked, **{"Idempotency-Key": "first"})
    await house.approve(rita)

    async def attempts(count: int) -> bool:
        shown = await house.run("lane", "show", "ethereum")
        return [len(one["hashes"]) for one in shown["transactions"]] == [count]

    await wait_until(lambda: attempts(1), description="the transaction waits")
    await house.run("lane", "bump", "ethereum", "0", "--reason", "slow")
    await wait_until(lambda: attempts(2), description="more is offered")
    await house.run("lane", "cancel", "ethereum", "0", "--reason", "wrong address")
    await wait_until(lambda: attempts(3), description="nothing takes its place")

    async def failed() -> bool:
        await chain.mine(40)
        return bool((await house.call(ann, "GET", f"provider/payouts/{payout['id']}"))["status"] != "processing")

    await wait_until(failed, description="the payout is proven unpaid")
    assert await chain.balance(home) == 0
    assert await chain.nonce(LANE.address) == 1


async def _transactions(chain: Anvil) -> list[str]:
    blocks = [await chain.rpc("eth_getBlockByNumber", hex(n), *[False]) for n in range(await chain.height() + 1)]
    return [tx for block in blocks for tx in block["transactions"]]
