"""The old system took a nonce before it asked what a call costs: one refusal, and all later ones waited for ever."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.bounty import lifecycle as s
from payflow.config import Settings
from tests.bounties import ANN, BOT, Fair, open_fair
from tests.wallets import REFUSES


@pytest.fixture
async def fair(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties from MultiSigWallets."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


async def test_a_call_that_no_node_estimates_takes_no_nonce(fair: Fair) -> None:
    """What comes after it is sent at once, with the chain's next number; and so is it, once a person decides anew."""
    async with fair.worker():
        stuck = await fair.labelled_issue("stuck")
        await fair.proves("ann", ANN)
        record = await fair.until(stuck, s.OPEN)
        await fair.funds(stuck)
        wallet = record.data.contract_address
        whole = await fair.chain.rpc("eth_getCode", wallet, "latest")
        await fair.chain.set_code(wallet, REFUSES)
        await fair.merge(await fair.pull_for(stuck), stuck)
        record = await fair.until(stuck, s.CONTESTED)
        assert "could not approve the payment" in record.data.trouble
        assert await fair.chain.nonce(BOT.address) == 1, "nothing of it was sent"

        other = await fair.labelled_issue("other")
        await fair.until(other, s.OPEN)
        assert await fair.chain.nonce(BOT.address) == 2

        await fair.chain.set_code(wallet, whole)
        desk = fair.bounties.desk
        await desk.decide(str(stuck.id), "olu", record.data.winner_pull)
        await fair.until(stuck, s.CONFIRMABLE)
        await fair.confirms(stuck)
        await fair.until(stuck, s.PAID)
    assert [receipt.ok for receipt in await fair.sent_by_bot()] == [True, True, True]
    assert (await fair.chain.rpc("txpool_status"))["queued"] == "0x0", "nothing waits behind a gap"
