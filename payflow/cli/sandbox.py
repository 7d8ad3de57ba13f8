"""Running the sandbox."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from payflow.app import service
from payflow.cli.desk import Usage, leaving, print_json
from payflow.cli.sandbox_table import Narrator
from payflow.config import load
from payflow.sandbox.play import play
from payflow.sandbox.stage import Stage
from payflow.sandbox.world import SCENARIO_NAMES, Options, World


def run(*, port: int | None, fresh: bool, scenario: str, as_json: bool) -> None:
    """Run until a signal comes."""
    stage = Stage()
    narrator = None if as_json else Narrator(stage)

    def announce(world: World) -> None:
        if narrator is None:
            print_json(told(world))
        else:
            narrator.begin(world)

    with leaving():
        if scenario not in SCENARIO_NAMES:
            raise Usage(f"There is no scenario {scenario!r}: {', '.join(SCENARIO_NAMES)}.")
        settings = load()
        folder = settings.data / "sandbox"
        changes: dict[str, object] = {"data": folder}
        if port is not None:
            changes["port"] = port
        with _log_beside(folder, apart=narrator is not None and narrator.live):
            try:
                service.run(play(settings.model_copy(update=changes), Options(fresh, scenario), stage, announce))
            finally:
                if narrator is not None:
                    narrator.end()


def told(world: World) -> dict[str, object]:
    """Write where everything is, for machines."""
    tokens: dict[str, str] = {}
    for role, token in world.people.values():
        tokens.setdefault(role, token)
    return {
        "payflow": world.payflow,
        "admin": f"{world.payflow}/admin",
        "portal": f"{world.payflow}/portal",
        "bounties": f"{world.payflow}/bounties",
        "flutterwave": world.flutterwave,
        "github": world.github,
        "mail": world.mail,
        "mails": world.mails,
        "pool": {"redis": world.pool_redis, "config": str(world.pool_config)},
        "chain": {"rpc": world.rpc, "node": world.chain, "addresses": dict(world.addresses)},
        "secrets": {"flutterwave": world.webhook_hash, "github": world.github_secret},
        "tokens": tokens,
        "people": {name: {"role": role, "token": token} for name, (role, token) in world.people.items()},
        "tokens_file": str(world.tokens_file),
        "settings_file": str(world.settings_file),
        "data": str(world.data),
        "scenario": world.scenario,
        "told": list(world.told),
    }


@contextmanager
def _log_beside(folder: Path, *, apart: bool) -> Iterator[None]:
    """Write the log into a file while a table is drawn: the two would tear each other up."""
    if not apart:
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    before = os.dup(2)
    log = os.open(folder.with_name(f"{folder.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)
