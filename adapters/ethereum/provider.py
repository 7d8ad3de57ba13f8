"""web3 over our own nodes: its contract objects ask through the same batches and limits, and believe what enough say.

It only reads: what is signed leaves by `Chain.broadcast`, after its intent was written down. web3 takes a second to
import, so that this file is imported where a contract is first asked, and nowhere at the top of another.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, cast

from eth_typing import ChecksumAddress
from web3 import AsyncWeb3
from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction
from web3.exceptions import Web3Exception
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from adapters.ethereum.contracts import artifact
from machines.core.chain import NO_DATA, Address, Chain, known_head
from machines.core.errors import Rejected, Retryable

UNKNOWN_METHOD = -32601

Block = int | Literal["latest"]
Read = Callable[..., Awaitable[object]]


class ChainProvider(AsyncJSONBaseProvider):
    """Answers what contract objects ask. Errors are those of the chain, and leave web3 as they are."""

    global_ccip_read_enabled = False
    """A contract must not be able to send us to a server of its choice."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self._chain = chain
        self._reads: Mapping[str, Read] = {
            "eth_chainId": self._chain_id,
            "eth_blockNumber": self._height,
            "eth_call": lambda call, at: chain.call(call["to"], call.get("data", NO_DATA), _block(at)),
            "eth_getCode": lambda who, at: chain.code(who, _block(at)),
            "eth_getBalance": lambda who, at: chain.balance(who, _block(at)),
            "eth_getTransactionCount": lambda who, at: chain.nonce(who, _block(at)),
            "eth_estimateGas": self._gas,
        }

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:  # noqa: ANN401  (web3's own)
        """Ask the chain."""
        read = self._reads.get(method)
        if read is None:
            words = f"{method} is not asked through web3 here"
            return {"jsonrpc": "2.0", "id": 0, "error": {"code": UNKNOWN_METHOD, "message": words}}
        found = await read(*params)
        return {"jsonrpc": "2.0", "id": 0, "result": hex(found) if isinstance(found, int) else found}

    async def _chain_id(self) -> int:
        return self._chain.chain_id

    async def _height(self) -> int:
        return (await known_head(self._chain)).number

    async def _gas(self, call: Mapping[str, str], _at: str = "latest") -> int:
        to = Address(call["to"]) if "to" in call else None
        return await self._chain.estimate(
            Address(call["from"]), to, int(call.get("value", "0x0"), 16), call.get("data", NO_DATA)
        )


class Contracts:
    """Contracts on a chain, by the names of their artifacts."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._web3 = web3_over(chain)
        self._kinds: dict[str, type[AsyncContract]] = {}

    def at(self, kind: str, address: Address) -> AsyncContract:
        """Give one contract."""
        return self._kind(kind)(cast("ChecksumAddress", address))

    def made(self, kind: str, *values: object) -> str:
        """Write what makes one."""
        return str(self._kind(kind).constructor(*values).data_in_transaction)

    def _kind(self, kind: str) -> type[AsyncContract]:
        if kind not in self._kinds:
            found = artifact(kind)
            self._kinds[kind] = self._web3.eth.contract(abi=found["abi"], bytecode=found.get("bytecode"))
        return self._kinds[kind]

    async def ask(self, function: AsyncContractFunction, block: int | None = None) -> Any:  # noqa: ANN401
        """Ask a contract, as it is in a block; by default in the newest on which enough nodes agree."""
        at = (await known_head(self._chain)).number if block is None else block
        try:
            return await function.call(block_identifier=at)
        except (Web3Exception, ValueError) as error:  # an answer that is none is a node's mistake
            raise Retryable(f"A contract's answer cannot be read: {type(error).__name__}.") from error


def web3_over(chain: Chain) -> "AsyncWeb3[ChainProvider]":
    """Give web3 over a chain; names are not resolved, and nothing is filled in."""
    return AsyncWeb3(ChainProvider(chain), middleware=[])


def _block(at: str) -> Block:
    if at == "latest":
        return "latest"
    if not at.startswith("0x"):
        raise Rejected(f"Nodes are asked about a height or `latest`, not about `{at}`.")
    return int(at, 16)
