"""Imports go down only, by contract and not by good will: whatever breaks a contract is planted, and must be found."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parents[2]
LINTER = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]

FLOORS = "Three floors: payflow, adapters, machines"
STAIRCASE = "Payflow's rooms are a staircase"
ENGINE = "Engine, store, telemetry and config know machines.core only"
ADAPTERS = "Adapters are strangers to each other and stand on adapters.statement_days, .http, .public and .addresses"
ADAPTERS_CORE = "Adapters know no machine, only machines.core"
MACHINES = "Machines are strangers to each other and stand on machines.core"
PURE = "Machines import no framework and do no I/O"
DESK = "The desk speaks to no browser and to no terminal"
CLI = "The command line imports no web"
SURFACES = "Pages and commands reach commits, pauses, proposals and books only through the desk"
LIFECYCLE = "Only machines.core.lifecycle uses transitions"
REDIS = "Only payflow.store speaks Redis, and the adapter to a pool's own Redis"

VIOLATIONS = [
    # contract, what imports, what it imports
    (FLOORS, "machines.core", "payflow.store"),
    (FLOORS, "machines.core", "adapters.github"),
    (FLOORS, "adapters.github", "payflow.store"),
    (STAIRCASE, "payflow.store", "payflow.engine"),
    (STAIRCASE, "payflow.web", "payflow.app"),
    (STAIRCASE, "payflow.desk", "payflow.web"),
    (STAIRCASE, "payflow.config", "payflow.telemetry"),
    (STAIRCASE, "payflow.attic", "json"),  # a room that is not on the staircase
    (ENGINE, "payflow.engine", "machines.payout"),
    (ENGINE, "payflow.store", "machines.transaction"),
    (ENGINE, "payflow.telemetry", "machines.pool"),
    (ENGINE, "payflow.config", "machines.bounty"),
    (ENGINE, "payflow.engine", "adapters.ethereum"),
    (ADAPTERS, "adapters.github", "adapters.ethereum"),
    (ADAPTERS, "adapters.http", "adapters.github"),
    (ADAPTERS, "adapters.http", "adapters.statement_days"),
    (ADAPTERS, "adapters.statement_days", "adapters.paystack"),
    (ADAPTERS, "adapters.addresses", "adapters.ethereum"),
    (ADAPTERS, "adapters.public", "adapters.notify"),
    (ADAPTERS, "adapters.a_new_one", "json"),  # an adapter that is not declared
    (ADAPTERS_CORE, "adapters.flutterwave", "machines.payout"),
    (ADAPTERS_CORE, "adapters.ethereum", "machines.transaction"),
    (MACHINES, "machines.payout", "machines.pool"),
    (MACHINES, "machines.core", "machines.payout"),
    (MACHINES, "machines.a_new_one", "json"),  # a machine that is not declared
    (PURE, "machines.core", "redis"),
    (PURE, "machines.payout", "pydantic"),
    (PURE, "machines.pool", "socket"),
    (DESK, "payflow.desk", "aiohttp"),
    (DESK, "payflow.desk", "jinja2"),
    (DESK, "payflow.desk", "typer"),
    (CLI, "payflow.cli", "payflow.web.http"),
    (CLI, "payflow.cli", "payflow.web.http.payloads"),
    (SURFACES, "payflow.web.api", "payflow.engine.step"),
    (SURFACES, "payflow.web.pages", "payflow.store.pauses"),
    (SURFACES, "payflow.web.pages.admin", "payflow.store.registers.proposals"),
    (SURFACES, "payflow.web.http", "payflow.store.records"),
    (SURFACES, "payflow.cli", "payflow.store.ledger"),
    (SURFACES, "payflow.cli", "payflow.store.backup"),
    (SURFACES, "payflow.cli", "adapters.open_ethereum_pool.books"),
    (LIFECYCLE, "machines.core", "transitions"),
    (LIFECYCLE, "machines.payout", "transitions"),
    (LIFECYCLE, "payflow.engine", "transitions"),
    (REDIS, "payflow.engine", "redis"),
    (REDIS, "payflow.web", "redis.asyncio"),
    (REDIS, "adapters.sandbox", "redis"),
]


READS = {
    # what of the store, and which of its methods change nothing that counts
    "archive": {"stub"},
    "audit": {"fault", "page"},
    "earnings": {"entries", "of"},
    "ledger": {"account", "last_check", "postings"},
    "outbox": {"given_up", "oldest_due", "undelivered", "waiting"},
    "pauses": {"all", "known"},
    "profiles": {"read", "refuse_reserved"},
    "records": {"history", "now", "rate_tokens", "read", "readable", "shard_of"},
    "tokens": {"all", "find", "known", "signed_in"},
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of what import-linter reads, to plant in."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for package in LINTER["root_packages"]:
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_go_down_only() -> None:
    report = lint(REPOSITORY)
    assert broken(report) == set(), report


def test_a_contract_that_names_machines_names_all_of_them() -> None:
    """One that a contract does not know could be imported where it says that none may be."""
    machines = {path.parent.name for path in (REPOSITORY / "machines").glob("*/lifecycle.py")} - {"core"}
    layers = {one["name"]: " ".join(one.get("layers", ())) for one in LINTER["contracts"]}
    named = {name: set(re.findall(rf"\b({'|'.join(machines)})\b", text)) for name, text in layers.items()}
    lacking = {name: machines - there for name, there in named.items() if there and there != machines}
    assert lacking == {}, "name each machine in the layers of these contracts of pyproject.toml, in parentheses"


@pytest.mark.parametrize(("contract", "importer", "imported"), VIOLATIONS)
def test_a_planted_violation_is_found(copy: Path, contract: str, importer: str, imported: str) -> None:
    plant(copy, importer, imported)
    report = lint(copy)
    assert contract in broken(report), report


def test_every_contract_has_a_violation_planted() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == {contract["name"] for contract in LINTER["contracts"]}


def test_pages_and_commands_write_nothing_into_the_store_themselves() -> None:
    """A contract sees no attributes: a page has the store, to read, and could write by `store.pauses`."""
    files = [path for room in ("web", "cli") for path in (REPOSITORY / "payflow" / room).rglob("*.py")]
    found = {str(path): writes(path.read_text("utf-8")) for path in files}
    assert len(found) > 50
    assert {name: calls for name, calls in found.items() if calls} == {}, "let a verb of payflow/desk write it"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("store.audit.note(who, 'sign in', place)", "store.audit.note"),
        ("self._store.pauses.pause(scope, who, why, now)", "self._store.pauses.pause"),
        ("payflow.store.records.commit(stored, decision)", "payflow.store.records.commit"),
        ("Tokens(store.link).create(name, role, of, who)", "Tokens.create"),
        ("self._records.poke(payout)", "self._records.poke"),
    ],
)
def test_a_planted_write_of_a_page_is_found(line: str, found: str) -> None:
    assert writes(f"async def page():\n    await {line}") == [found]


def test_machines_import_nothing_but_the_standard_library_and_transitions() -> None:
    graph = grimp.build_graph("machines", include_external_packages=True, cache_dir=None)
    foreign = {name for name in graph.modules if name.partition(".")[0] != "machines"}
    assert foreign - sys.stdlib_module_names <= {"transitions"}


def lint(root: Path) -> str:
    """Run lint-imports on the packages in a folder; its report is whole and agrees with its exit code."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=root,
        env=os.environ | {"COLUMNS": "200"},  # wide, so that no contract's name is wrapped
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.count(" KEPT") + len(broken(run.stdout)) == len(LINTER["contracts"]), run.stdout + run.stderr
    assert run.returncode == (1 if broken(run.stdout) else 0)
    return run.stdout


def broken(report: str) -> set[str]:
    """Name the contracts that the report calls broken."""
    return set(re.findall(r"^(.+) BROKEN", report, flags=re.MULTILINE))


def plant(root: Path, importer: str, imported: str) -> None:
    """Let one module import another; what does not exist yet is made."""
    if imported.partition(".")[0] in LINTER["root_packages"]:
        make(root, imported)
    with make(root, importer).open("a") as module:
        module.write(f"\nimport {imported}\n")


def make(root: Path, name: str) -> Path:
    """Find the file of a module, or a new one inside it if it is a package; make it, if it does not exist."""
    path = root.joinpath(*name.split("."))
    path = path / "planted.py" if path.is_dir() else path.with_suffix(".py")
    path.touch()
    return path


def writes(source: str) -> list[str]:
    """Name the calls of a source that change something in the store."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [(*_register_of(call.value), call) for call in calls if isinstance(call, ast.Attribute)]
    return [f"{place}.{call.attr}" for name, place, call in found if call.attr not in READS.get(name, {call.attr})]


def _register_of(node: ast.expr) -> tuple[str, str]:
    """Tell what of a store an expression is, and how it is written; nothing for what is of no store."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id.lower(), node.func.id
    written = ast.unparse(node)
    *before, name = written.split(".")
    ours = name in ("_records", "_tokens") or any(part.strip("_") == "store" for part in before)
    return (name.strip("_") if ours else "", written)
