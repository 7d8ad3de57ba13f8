"""The sandbox's chain as the sandbox sees it: one that is found and started, asked things, and never left behind.

It mines each transaction at once, and empty blocks by the second for a while after the last one: enough to bury
anything, and a chain that nobody uses does not grow for ever.
"""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

from adapters.sandbox.leashed import Leashed
from adapters.sandbox.simulator import Running

BLOCK_S = 1.0
QUIET_BLOCKS = 30
"""So many empty blocks follow a transaction."""
PATIENCE_S = 20.0
_PROJECT = Path(__file__).parents[3]
_KIND = "kind"


class ChainKind(StrEnum):
    """Which node it is."""

    ANVIL = "anvil"
    EVM = "evm"


class NoChain(Exception):
    """There is nothing on this machine that a chain can be run with."""


class ChainRefused(Exception):
    """The chain did not do what was asked."""


def anvil() -> Path | None:
    """Find anvil: on the PATH, or where a checkout keeps its tools."""
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    return next(iter(sorted(_PROJECT.glob(".tools/npm/node_modules/@foundry-rs/anvil-*/bin/anvil"))), None)


def found(wanted: ChainKind | None = None) -> ChainKind | None:
    """Say which chain can be run here; the one that is wanted, or the best."""
    if wanted in (ChainKind.ANVIL, None) and anvil() is not None:
        return ChainKind.ANVIL
    if wanted in (ChainKind.EVM, None) and find_spec("eth") is not None:
        return ChainKind.EVM
    return None


def saved_kind(folder: Path) -> ChainKind | None:
    """Say which kind of chain a folder keeps; None where it keeps none."""
    with suppress(OSError, ValueError):
        return ChainKind((folder / _KIND).read_text("utf-8"))
    return None


class SandboxChain(Running):
    """A chain of its own process, on a free port, kept in a folder."""

    def __init__(self, folder: Path, kind: ChainKind, *, keep: Sequence[int] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _KIND).write_text(kind, "utf-8")
        self.kind = kind
        self.url = ""
        self.ticking = True
        """Whether empty blocks follow by themselves."""
        self._quiet = 0
        self._program = Leashed(_command(kind, folder), folder / "log", keep=keep, more={"NO_COLOR": "1"})
        self._session: aiohttp.ClientSession | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait until it answers, and let blocks follow."""
        self.url = "http://" + await self._program.said(r"Listening on (127\.0\.0\.1:\d+)")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """End it; what it knows is kept."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        await self._program.stop()

    async def ask(self, method: str, *params: object) -> Any:  # noqa: ANN401  (each method has its own answer)
        """Ask it something."""
        if self._session is None:
            raise RuntimeError("The chain is not open.")
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._session.post(self.url, json=body) as response:
            answer = await response.json(content_type=None)
        if "error" in answer:
            raise ChainRefused(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    async def send(self, sender: str, to: str, wei: int = 0, data: str = "0x") -> str:
        """Let one of the rich accounts send something, and wait until it is mined; gives the hash."""
        call = {"from": sender, "to": to, "value": hex(wei), "data": data}
        tx = str(await self.ask("eth_sendTransaction", call))
        self.wake()
        async with asyncio.timeout(PATIENCE_S):
            while await self.ask("eth_getTransactionReceipt", tx) is None:  # noqa: ASYNC110  (a node sets no event)
                await asyncio.sleep(BLOCK_S / 20)
        return tx

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks."""
        for _ in range(blocks):
            await self.ask("evm_mine")

    async def balance(self, address: str) -> int:
        """Say what an account has, in wei."""
        return int(await self.ask("eth_getBalance", address, "latest"), 16)

    @property
    def quiet(self) -> bool:
        """Whether no block follows by itself until something happens."""
        return self._quiet >= QUIET_BLOCKS

    def wake(self) -> None:
        """Let empty blocks follow again, as after a transaction."""
        self._quiet = 0

    async def _tick(self) -> None:
        height = -1
        while True:
            await asyncio.sleep(BLOCK_S)
            with suppress(aiohttp.ClientError, TimeoutError, ChainRefused):
                now = int(await self.ask("eth_blockNumber"), 16)
                self._quiet = self._quiet + 1 if now == height else 0  # somebody else's block carries something
                if self.ticking and not self.quiet:
                    await self.mine()
                    now += 1
                height = now


def _command(kind: ChainKind, folder: Path) -> list[str]:
    if kind is ChainKind.EVM:
        return [sys.executable, "-m", "adapters.sandbox.chain.rpc", str(folder / "chain.sqlite")]
    program = anvil()
    if program is None:
        raise NoChain("There is no anvil on this machine: `make .tools/npm/.ready` fetches one, which takes npm.")
    # What blocks knew is kept too, so that a lane can be asked about older ones after a restart.
    state = str(folder / "chain.json")
    with_history = ("--state", state, "--state-interval", "5", "--preserve-historical-states")
    return [str(program), "--port", "0", "--chain-id", "31337", *with_history]
