"""The chain that tests run on is real, does as it is told, and is gone afterwards."""

from pathlib import Path

import pytest

import tests.chain as harness
from tests.chain import ACCOUNTS, LANE, Anvil, anvil, binary, stranger


async def test_it_is_gone_afterwards() -> None:
    async with anvil() as chain:
        process = chain.process
        assert process is not None
        folder = chain.folder
    assert process.poll() is not None
    assert not folder.exists()


async def test_its_accounts_are_those_whose_keys_we_know(chain: Anvil) -> None:
    there = await chain.rpc("eth_accounts")
    assert [account.address.lower() for account in ACCOUNTS] == [one.lower() for one in there[: len(ACCOUNTS)]]


async def test_a_reorg_takes_transactions_away(chain: Anvil) -> None:
    tx = await chain.send(LANE, stranger())
    await chain.mine(3)
    await chain.reorg(3)
    assert await chain.height() == 3
    assert await chain.rpc("eth_getTransactionReceipt", tx) is None
    assert await chain.nonce(LANE.address) == 0


async def test_a_waiting_transaction_can_be_lost(chain: Anvil) -> None:
    tx = await chain.send(LANE, stranger())
    assert await chain.waiting() == [tx]
    await chain.drop(tx)
    assert await chain.waiting() == []


def test_without_the_program_tests_fail_and_say_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "PACKAGES", tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match=r"make \.tools/npm/\.ready"):
        binary()
