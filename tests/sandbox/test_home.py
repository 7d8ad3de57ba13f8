"""The folder of a sandbox: one sandbox at a time, one kind of chain, and what is kept of the simulated GitHub."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.sandbox.chain import chain
from adapters.sandbox.chain.chain import ChainKind
from adapters.sandbox.github.town import Town
from adapters.sandbox.leashed import Leashed
from machines.core.clock import FixedClock
from machines.core.errors import BadSettings, StoreUnavailable
from payflow.sandbox import home as sandbox_home
from payflow.sandbox import pool as sandbox_pool
from payflow.store.embedded import embedded
from tests.github import BusyGitHub
from tests.sandbox.running import processes
from tests.waiting import block_until


def test_a_second_sandbox_of_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_home, "PATIENCE_S", 0.1)
    folder = tmp_path / "sandbox"
    with (
        sandbox_home.claimed(folder),
        pytest.raises(StoreUnavailable, match="Another sandbox runs in"),
        sandbox_home.claimed(folder),
    ):
        pass
    with sandbox_home.claimed(folder):
        pass


def test_what_takes_anvil_is_refused_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "anvil", lambda: None)
    with pytest.raises(BadSettings, match="The scenario reorg takes anvil, which is not on this machine"):
        sandbox_home.prepared(tmp_path / "sandbox", fresh=False, anvil_for="reorg")
    kind, told = sandbox_home.prepared(tmp_path / "sandbox", fresh=False)
    assert (kind, told) == (ChainKind.EVM, [])


def test_a_folder_keeps_its_chain(tmp_path: Path) -> None:
    keep(tmp_path / "sandbox", ChainKind.EVM)
    assert sandbox_home.prepared(tmp_path / "sandbox", fresh=False) == (ChainKind.EVM, [])
    with pytest.raises(BadSettings, match="add --fresh"):
        sandbox_home.prepared(tmp_path / "sandbox", fresh=False, anvil_for="reorg")
    kind, _ = sandbox_home.prepared(tmp_path / "sandbox", fresh=True)
    assert kind is ChainKind.ANVIL
    assert list((tmp_path / "sandbox").iterdir()) == []


def test_a_folder_whose_chain_cannot_run_any_more_is_set_aside_and_nothing_of_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path / "sandbox", ChainKind.ANVIL)
    (tmp_path / "sandbox/books").write_text("precious")
    monkeypatch.setattr(chain, "anvil", lambda: None)
    kind, (told,) = sandbox_home.prepared(tmp_path / "sandbox", fresh=False)
    assert kind is ChainKind.EVM
    (aside,) = tmp_path.glob("sandbox-*")
    assert (aside / "books").read_text() == "precious"
    assert str(aside) in told
    assert "begins anew" in told


async def test_to_begin_anew_ends_a_server_that_was_left_behind_and_spares_one_that_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    async with embedded(folder) as store:
        with pytest.raises(StoreUnavailable, match="Somebody still uses the store"):
            await sandbox_home.closed(folder, fresh=True)
        assert len(processes(folder)) == 1
    users = (folder / "users.lock").open("wb")
    fcntl.flock(users, fcntl.LOCK_SH)  # so that whoever leaves is not the last, and the server stays
    async with embedded(folder) as store:
        pass
    users.close()
    os.kill(store.pid, 0)
    await sandbox_home.closed(folder, fresh=True)
    assert processes(folder) == []


def keep(folder: Path, kind: ChainKind) -> None:
    """Have a folder keep a kind of chain."""
    (folder / "chain").mkdir(parents=True)
    (folder / "chain/kind").write_text(kind)


async def test_github_is_the_same_after_a_restart(tmp_path: Path) -> None:
    github = BusyGitHub(FixedClock())
    home = github.install("acme/widgets", mia="admin")
    issue = github.open_issue(home, "It hurts", "bounty")
    pull = github.open_pull(home, "gus", "Heal it", f"Closes #{issue.number}")
    github.rename(home, "acme/gadgets")
    sandbox_home.write_town(tmp_path / "github.json", github.town)
    again = Town()
    sandbox_home.read_town(tmp_path / "github.json", again)
    assert again.people == github.town.people
    assert again.repositories == github.town.repositories
    assert again.repository("acme/widgets") == home
    assert next(again.ids) > max(issue.id, pull.id, *again.people)


def test_values_for_shells_arrive_as_they_are(tmp_path: Path) -> None:
    odd = """it's "quoted" $HOME `x` {"a": [1]}"""
    sandbox_home.write_lines(tmp_path / "env", {"PLAIN": "http://127.0.0.1:1/x", "ODD": odd})
    typed = f'. {tmp_path}/env; printf "%s\\n%s" "$PLAIN" "$ODD"'
    done = subprocess.run(["bash", "-euc", typed], capture_output=True, text=True, check=True)
    assert done.stdout == f"http://127.0.0.1:1/x\n{odd}"
    assert (tmp_path / "env").stat().st_mode & 0o077 == 0


# ── what is held on a leash ──────────────────────────────────────────────────────────────────────────────────────────

SLEEPS = "import time; print('I sleep', flush=True); time.sleep(600)"


async def test_what_is_held_ends_when_it_is_told_to(tmp_path: Path) -> None:
    held = Leashed([sys.executable, "-c", SLEEPS, str(tmp_path)], tmp_path / "log")
    assert await held.said("I (sleep)") == "sleep"
    assert len(processes(tmp_path)) == 2
    await held.stop()
    await held.stop()
    assert processes(tmp_path) == []


OWNER = """
import asyncio, sys
from pathlib import Path
from adapters.sandbox.leashed import Leashed
folder = Path(sys.argv[1])
async def main():
    held = Leashed([sys.executable, "-c", sys.argv[2], str(folder)], folder / "log")
    last = Leashed(["touch", str(folder / "touched")], folder / "last", how="then")
    await held.said("I (sleep)")
    print("ready", flush=True)
    if sys.argv[3] == "leave":
        await held.stop()
        await last.stop()
    await asyncio.sleep(600 if sys.argv[3] == "die" else 0)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["die", "leave"])
def test_what_is_held_never_outlives_its_owner_and_last_rites_are_for_the_killed(tmp_path: Path, how: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), SLEEPS, how],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"ready\n"
    if how == "die":
        owner.kill()
    owner.wait()
    owner.stdout.close()
    block_until(lambda: processes(tmp_path) == [], "nothing is left", 10)
    assert (tmp_path / "touched").exists() == (how == "die")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell a child of its parent's death")
async def test_not_even_a_killed_leash_leaves_something_behind(tmp_path: Path) -> None:
    held = Leashed([sys.executable, "-c", SLEEPS, str(tmp_path)], tmp_path / "log")
    await held.said("I (sleep)")
    os.kill(held.pid, signal.SIGKILL)
    block_until(lambda: len(processes(tmp_path)) == 0, "nothing is left", 10)
    await held.stop()


# ── the pool's Redis ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_port_that_somebody_else_took_first_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], sandbox_pool.free_port()])
        monkeypatch.setattr(sandbox_pool, "free_port", lambda: next(ports))
        with (tmp_path / "lock").open("wb") as lock:
            pool = sandbox_pool.SandboxPool(tmp_path / "pool", lock.fileno())
            try:
                await pool.open()
                assert await pool.find_block() == 19_000_001
            finally:
                await pool.close()
    assert processes(tmp_path) == []
