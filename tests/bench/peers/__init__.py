"""What a user would pick instead, in an environment of its own: arq needs an older redis-py than Payflow does."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from payflow.store.embedded import embedded

HERE = Path(__file__).parent
PROJECT = Path(__file__).parents[3]
HOME = PROJECT / ".venv-bench"
NAMES = ("arq", "dramatiq")


class _NoPeers(Exception):
    """The peers cannot be run here."""


@dataclass(frozen=True, slots=True)
class Outing:
    """How one peer did."""

    steps_a_second: float
    cpu_us_a_step: float
    rss_mb: float


async def absent() -> str:
    """Say why there are no peers to measure; empty when they are ready."""
    try:
        await _prepare()
    except (_NoPeers, OSError) as error:
        return f"peers not measured: {error}"
    return ""


async def _prepare() -> None:
    """Make the peers' environment, unless it is there."""
    wanted = HERE / "requirements.txt"
    stamp = HOME / "installed.txt"
    if stamp.exists() and stamp.read_text("utf-8") == wanted.read_text("utf-8"):
        return
    uv = shutil.which("uv") or shutil.which("uv", path=str(PROJECT / ".tools" / "bin"))
    if uv is None:
        raise _NoPeers("uv is neither on the PATH nor in .tools/bin")
    await _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME))
    await _run(uv, "pip", "install", "--quiet", "--python", str(_python()), "-r", str(wanted))
    shutil.copy(wanted, stamp)


async def outing(name: str, chains: int) -> Outing:
    """Let a peer do so many chains of four steps on a Valkey of its own, synced every second."""
    async with _server() as url:
        await _told(name, "load", url, chains)
        told = await _told(name, "work", url, chains)
    steps = 4 * chains
    return Outing(
        steps_a_second=steps / told["seconds"],
        cpu_us_a_step=told["cpu_s"] / steps * 1e6,
        rss_mb=told["rss_kb"] / 1024,
    )


async def enqueued_a_second(name: str, jobs: int) -> float:
    """Measure how fast one process of a peer enqueues."""
    async with _server() as url:
        return jobs / (await _told(name, "load", url, jobs))["seconds"]


async def start_to_first_job_s(name: str) -> float:
    """Measure a peer's worker from the start of its process to its first job."""
    async with _server() as url:
        await _told(name, "load", url, 1)
        began = time.monotonic()
        return (await _told(name, "work", url, 1))["began"] - began


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="payflow-bench-peer-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield (await stack.enter_async_context(embedded(folder, fsync="everysec"))).url


async def _told(name: str, verb: str, url: str, chains: int) -> dict[str, float]:
    script = HERE / f"{name}_side.py"
    told: dict[str, float] = json.loads(await _run(str(_python()), str(script), verb, url, str(chains)))
    return told


async def _run(*words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, env=_environment())
    output, _ = await process.communicate()
    if process.returncode:
        raise _NoPeers(f"{_shown(words)} failed; what it says stands above")
    return output


def _environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}, "UV_SYSTEM_CERTS": "true"}


def _shown(words: Sequence[str]) -> str:
    return " ".join([Path(words[0]).name, *words[1:3]])


def _python() -> Path:
    return HOME / "bin" / "python"
