"""A real chain for tests: an anvil of our own, on loopback, and gone when its test ends."""

import asyncio
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import eth_account
from eth_abi.abi import encode

from adapters.ethereum.contracts import artifact
from adapters.ethereum.signers import LocalKey
from machines.core.chain import Address
from tests.servers import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / ".tools/npm/node_modules/@foundry-rs"
ETHER = 10**18
GWEI = 10**9
CHAIN_ID = 31337


@dataclass(frozen=True, slots=True)
class Account:
    """One of the accounts that every anvil makes rich; all the world knows their keys."""

    address: Address
    key: str


ACCOUNTS = tuple(
    Account(Address(address), key)
    for address, key in (
        (
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ),
        (
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        ),
        (
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        ),
        (
            "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        ),
        (
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
            "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        ),
    )
)
LANE, OTHER, THIRD, FOURTH, FIFTH = ACCOUNTS

_STRANGERS = itertools.count(1)


def account(name: str) -> Account:
    """An account of somebody's own, with nothing in it."""
    from eth_account import Account as EthAccount  # noqa: PLC0415  (as below)
    from eth_utils.crypto import keccak  # noqa: PLC0415

    key = keccak(text=name)
    return Account(Address(str(EthAccount.from_key(key).address)), "0x" + key.hex())


def stranger() -> Address:
    """An address that nobody has used, and that has no key."""
    from eth_utils.address import to_checksum_address  # noqa: PLC0415  (slow, and few tests need it)

    return Address(to_checksum_address(f"0x{'5712a46e' + '00' * 12 + f'{next(_STRANGERS):08x}'}"))


def binary() -> Path:
    """Find the program."""
    for found in sorted(PACKAGES.glob("anvil-*/bin/anvil")):
        return found
    on_path = shutil.which("anvil")
    if on_path is None:
        raise AssertionError("There is no anvil to test on a chain with: run `make .tools/npm/.ready`.")
    return Path(on_path)


class RpcError(AssertionError):
    """The chain refused what a test asked of it."""


@dataclass(eq=False)
class Anvil:
    """One chain, which mines at once, by the clock, or when it is told."""

    options: tuple[str, ...]
    folder: Path
    chain_id: int = CHAIN_ID
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _session: aiohttp.ClientSession | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start a new chain on the same port, and wait until it answers."""
        program = binary()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220  (it returns at once; stop() waits for its end)
                [program, "--port", str(self.port), "--chain-id", str(self.chain_id), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": str(self.folder), "NO_COLOR": "1"},
            )
        self._session = self._session or aiohttp.ClientSession()
        await wait_until(self.answers, "anvil answers")

    async def answers(self) -> bool:
        """Whether it answers."""
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"anvil ended: {(self.folder / 'log').read_text('utf-8', 'replace')[-600:]}")
        try:
            await self.rpc("eth_chainId")
        except (aiohttp.ClientError, OSError):
            return False
        return True

    def kill(self) -> None:
        """End it at once, with all that it knew."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def close(self) -> None:
        """Leave nothing behind."""
        self.kill()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def rpc(self, method: str, *params: Any) -> Any:  # noqa: ANN401  (whatever it answers)
        """Ask for anything."""
        assert self._session is not None, "the chain is not started"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self.url, json=body, timeout=aiohttp.ClientTimeout(20)) as response:
            answer = await response.json(content_type=None)
        if "error" in answer:
            raise RpcError(f"{method}: {answer['error']}")
        return answer["result"]

    # Blocks.

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks; the first carries what waits."""
        await self.rpc("anvil_mine", hex(blocks))

    async def automine(self, *, on: bool) -> None:
        """Mine each transaction at once, or wait for `mine`."""
        await self.rpc("evm_setAutomine", on)

    async def interval(self, seconds: int) -> None:
        """Mine by the clock; 0 stops that."""
        await self.rpc("evm_setIntervalMining", seconds)

    async def height(self) -> int:
        """The number of the newest block."""
        return int(await self.rpc("eth_blockNumber"), 16)

    async def block(self, at: int) -> Mapping[str, Any]:
        """A block, without its transactions."""
        found: Mapping[str, Any] = await self.rpc("eth_getBlockByNumber", hex(at), False)  # noqa: FBT003  (the wire's)
        return found

    async def reorg(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones; what was in them is forgotten."""
        await self.rpc("anvil_reorg", depth, [])

    async def rollback(self, depth: int) -> None:
        """Take the newest blocks away, and put none in their place."""
        await self.rpc("anvil_rollback", depth)

    async def snapshot(self) -> str:
        """Remember the state of the chain."""
        return str(await self.rpc("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """Go back to a remembered state."""
        assert await self.rpc("evm_revert", snapshot), "the snapshot is gone"

    async def next_base_fee(self, wei: int) -> None:
        """Set what the next block burns for a unit of gas."""
        await self.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))

    # Transactions and accounts.

    async def drop(self, tx: str) -> None:
        """Lose a transaction that waits."""
        await self.rpc("anvil_dropTransaction", tx)

    async def drop_all(self) -> None:
        """Lose all that waits."""
        await self.rpc("anvil_dropAllTransactions")

    async def waiting(self) -> list[str]:
        """The hashes of what waits, and could be mined or lacks an earlier one."""
        pool: Mapping[str, Mapping[str, Mapping[str, Any]]] = await self.rpc("txpool_content")
        return [tx["hash"] for part in pool.values() for by_nonce in part.values() for tx in by_nonce.values()]

    async def send(self, sender: Account, to: str, wei: int = 1, **fields: Any) -> str:
        """Let one of the known accounts send something, past everything of ours; gives the hash."""
        transaction = {"from": sender.address, "to": to, "value": hex(wei), **fields}
        return str(await self.rpc("eth_sendTransaction", transaction))

    async def set_balance(self, address: str, wei: int) -> None:
        """Make an account rich or poor."""
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def balance(self, address: str) -> int:
        """What an account has."""
        return int(await self.rpc("eth_getBalance", address, "latest"), 16)

    async def nonce(self, address: str) -> int:
        """How many transactions of an account are mined."""
        return int(await self.rpc("eth_getTransactionCount", address, "latest"), 16)

    async def set_nonce(self, address: str, nonce: int) -> None:
        """Move an account's nonce."""
        await self.rpc("anvil_setNonce", address, hex(nonce))

    async def set_code(self, address: str, code: str) -> None:
        """Put a contract anywhere."""
        await self.rpc("anvil_setCode", address, code)


@asynccontextmanager
async def anvil(  # every option is one of anvil's own
    *,
    mining: bool = True,
    block_time_s: float | None = None,
    chain_id: int = CHAIN_ID,
    hardfork: str = "",
    slots_in_an_epoch: int = 32,
    options: tuple[str, ...] = (),
) -> AsyncIterator[Anvil]:
    """Run a chain. It mines every transaction at once unless it is told not to, or given a block time."""
    chosen = [*options, "--slots-in-an-epoch", str(slots_in_an_epoch)]
    if block_time_s is not None:
        chosen += ["--block-time", f"{block_time_s:g}"]
    elif not mining:
        chosen += ["--no-mining"]
    if hardfork:
        chosen += ["--hardfork", hardfork]
    with tempfile.TemporaryDirectory(prefix="payflow-chain-") as folder:
        chain = Anvil(tuple(chosen), Path(folder), chain_id)
        try:
            await chain.start()
            yield chain
        finally:
            await asyncio.shield(chain.close())


def raw_key(key: str) -> LocalKey:
    """Sign with a key that lies open, as an account of anvil's does."""
    return LocalKey(eth_account.Account.from_key(key))


def deploy_data(lane: Address) -> str:
    """Give the data of the transaction that makes the batch contract for a lane's address."""
    return f"{artifact('PayMany')['bytecode']}{encode(['address'], [lane]).hex()}"
