"""What tests of wallets need on a real chain: Safe's own contracts, tokens that keep or break their word, hands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from adapters.addresses import checksummed
from adapters.ethereum.wallets.safe import Deployment
from machines.core.chain import Address, TxHash
from machines.core.wallets import ContractCall
from tests import abi
from tests.chain import ROOT, Account, Anvil
from tests.waiting import wait_until

SAFE = ROOT / ".tools/npm/node_modules/@safe-global/safe-smart-account/build/artifacts/contracts"
REFUSES = "0x60006000fd"
"""Code that takes nothing."""

TOKEN = """
# pragma version 0.4.3
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

balanceOf: public(HashMap[address, uint256])

@deploy
def __init__(units: uint256):
    self.balanceOf[msg.sender] = units

@external
def transfer(to: address, amount: uint256) -> bool:
    {rule}
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[to] += amount
    log Transfer(sender=msg.sender, receiver=to, amount=amount)
    return True
"""
HONEST = "assert amount > 0"
LYING = "if msg.sender.is_contract: return True"
"""Says that it moved the money of a wallet, and does not."""


@dataclass(frozen=True)
class Hands:
    """Sends what somebody wants sent, as his own wallet would."""

    chain: Anvil

    async def send(self, sender: Account, call: ContractCall, wei: int = 0) -> TxHash:
        """Send and mine, whether it succeeds or fails."""
        fields: dict[str, Any] = {"from": sender.address, "data": call.data, "value": hex(wei), "gas": hex(3_000_000)}
        if call.to:
            fields["to"] = call.to
        return await self._mined(fields)

    async def make(self, bytecode: str, sender: Account) -> Address:
        """Make a contract."""
        data = {"from": sender.address, "data": bytecode, "gas": hex(9_000_000)}
        receipt: Mapping[str, Any] = await self.chain.rpc("eth_getTransactionReceipt", await self._mined(data))
        assert receipt["status"] == "0x1", "the contract was not made"
        return checksummed(receipt["contractAddress"])

    async def _mined(self, fields: Mapping[str, Any]) -> TxHash:
        """Send, and wait until it is mined: anvil answers a moment earlier."""
        tx = TxHash(await self.chain.rpc("eth_sendTransaction", fields))

        async def there() -> bool:
            return await self.chain.rpc("eth_getTransactionReceipt", tx) is not None

        await wait_until(there, "the transaction is mined")
        return tx

    async def balance(self, token: Address, holder: str) -> int:
        """What a token says that somebody has."""
        asked = {"to": token, "data": abi.call_data("balanceOf(address)", holder)}
        return int(await self.chain.rpc("eth_call", asked, "latest"), 16)


@cache
def _bytecode(artifact: Path) -> str:
    return str(json.loads(artifact.read_text("utf-8"))["bytecode"])


@cache
def token_code(rule: str = HONEST) -> str:
    """Compile a token."""
    from vyper import compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (slow, and few tests need it)
    from vyper.compiler.settings import Settings  # type: ignore[import-untyped]  # noqa: PLC0415  (as above)

    settings = Settings(evm_version="paris")
    made = compile_code(TOKEN.format(rule=rule), output_formats=["bytecode"], settings=settings)
    return str(made["bytecode"])


async def deploy_safe(hands: Hands, by: Account) -> Deployment:
    """Put Safe's contracts on the chain."""
    return Deployment(
        factory=await hands.make(_bytecode(SAFE / "proxies/SafeProxyFactory.sol/SafeProxyFactory.json"), by),
        singleton=await hands.make(_bytecode(SAFE / "Safe.sol/Safe.json"), by),
        multi_send=await hands.make(_bytecode(SAFE / "libraries/MultiSendCallOnly.sol/MultiSendCallOnly.json"), by),
    )


async def deploy_token(hands: Hands, by: Account, units: int = 10**24, rule: str = HONEST) -> Address:
    """Put a token on the chain; all of it is its maker's."""
    return await hands.make(token_code(rule) + abi.word_of(units)[2:], by)
