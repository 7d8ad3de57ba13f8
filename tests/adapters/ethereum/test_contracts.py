"""Contracts: what runs is what can be read, what is asked of others is theirs, and web3 asks through our own nodes."""

import asyncio
import hashlib
import json
from typing import Any

import pytest
from web3 import Web3
from web3.exceptions import MethodUnavailable

from adapters.ethereum.contracts import artifact, topic
from adapters.ethereum.node import Nodes
from adapters.ethereum.provider import Contracts, web3_over
from machines.core.chain import Address
from machines.core.errors import Rejected, Retryable
from tests import abi
from tests.adapters.ethereum import artifacts
from tests.chain import LANE, OTHER, Anvil, stranger
from tests.wallets import SAFE, Hands, deploy_token

OTHERS = {
    "Safe": "Safe.sol/Safe.json",
    "SafeProxyFactory": "proxies/SafeProxyFactory.sol/SafeProxyFactory.json",
    "MultiSendCallOnly": "libraries/MultiSendCallOnly.sol/MultiSendCallOnly.json",
}


@pytest.mark.parametrize("contract", list(artifacts.EVM_VERSIONS))
def test_an_artifact_is_what_the_compiler_makes_of_its_source(contract: str) -> None:
    assert (artifacts.FOLDER / f"{contract}.json").read_text("utf-8") == artifacts.compiled(contract)
    source = (artifacts.FOLDER / f"{contract}.vy").read_bytes()
    assert artifact(contract)["source_sha256"] == hashlib.sha256(source).hexdigest()


@pytest.mark.parametrize("contract", list(OTHERS))
def test_what_is_asked_of_contracts_of_safe_is_in_their_own_abi(contract: str) -> None:
    theirs = {shape(one) for one in json.loads((SAFE / OTHERS[contract]).read_text("utf-8"))["abi"]}
    assert {shape(one) for one in artifact(contract)["abi"]} <= theirs


def shape(entry: dict[str, Any]) -> tuple[object, ...]:
    """Give what of a part of an ABI goes over the wire."""
    inputs = tuple((one["type"], one.get("indexed")) for one in entry.get("inputs", ()))
    outputs = tuple(one["type"] for one in entry.get("outputs", ()))
    return entry["type"], entry.get("name"), inputs, outputs, entry.get("stateMutability")


def test_an_event_has_the_name_that_its_signature_hashes_to() -> None:
    assert topic("ERC20", "Transfer") == abi.topic("Transfer(address,address,uint256)")
    assert topic("Safe", "ApproveHash") == abi.topic("ApproveHash(bytes32,address)")


# web3 over our nodes.


async def test_contract_objects_ask_through_our_nodes_in_one_request(chain: Anvil, lone: Nodes) -> None:
    await chain.rpc("evm_setAutomine", True)  # noqa: FBT003  (the wire's)
    token = await deploy_token(Hands(chain), LANE, units=7)
    contracts = Contracts(lone)
    coin = contracts.at("ERC20", token)
    block = (await lone.head()).number
    before = lone.figures()[0].requests
    held = await asyncio.gather(
        *(contracts.ask(coin.functions.balanceOf(who), block) for who in (LANE.address, OTHER.address))
    )
    assert held == [7, 0]
    assert lone.figures()[0].requests == before + 1


async def test_web3_reads_the_chain_and_sends_nothing(chain: Anvil, lone: Nodes) -> None:
    web3, lane = web3_over(lone), Web3.to_checksum_address(LANE.address)
    assert await web3.eth.chain_id == chain.chain_id
    assert await web3.eth.block_number == await chain.height()
    assert await web3.eth.get_balance(lane) == await chain.balance(lane)
    assert (await web3.eth.get_transaction_count(lane), await web3.eth.get_code(lane)) == (0, b"")
    with pytest.raises(MethodUnavailable):
        await web3.eth.send_raw_transaction(b"\\x00")
    with pytest.raises(Rejected, match="finalized"):
        await web3.eth.get_balance(lane, "finalized")


async def test_what_a_contract_refuses_and_what_is_no_answer_are_said_as_everywhere(chain: Anvil, lone: Nodes) -> None:
    contracts, nobody = Contracts(lone), stranger()
    with pytest.raises(Retryable, match="cannot be read"):
        await contracts.ask(contracts.at("ERC20", nobody).functions.balanceOf(LANE.address))
    await chain.set_code(nobody, "0x60006000fd")
    with pytest.raises(Rejected):
        await contracts.ask(contracts.at("ERC20", nobody).functions.balanceOf(LANE.address))


async def test_a_contract_that_sends_us_elsewhere_for_its_answer_is_not_followed(chain: Anvil, lone: Nodes) -> None:
    """ERC-3668: a revert that names a server would have web3 ask it."""
    lookup = abi.selector("OffchainLookup(address,string[],bytes,bytes4,bytes)")[2:]
    where = abi.encoded(
        ["address", "string[]", "bytes", "bytes4", "bytes"],
        (LANE.address, ["http://127.0.0.1:1/{sender}/{data}"], b"", b"1234", b""),
    )[2:]
    revert = bytes.fromhex(lookup + where)
    size = f"{len(revert):04x}"
    await chain.set_code(LANE.address, f"0x61{size}600c60003961{size}6000fd{revert.hex()}")
    contracts = Contracts(lone)
    with pytest.raises(Rejected):
        await contracts.ask(contracts.at("ERC20", Address(LANE.address)).functions.balanceOf(OTHER.address))
