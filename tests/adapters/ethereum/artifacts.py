"""Writes the artifacts of our own contracts anew: `python -m tests.adapters.ethereum.artifacts`. It takes vyper."""

import hashlib
import json
from pathlib import Path

from adapters.ethereum import contracts

FOLDER = Path(contracts.__file__).parent

EVM_VERSIONS = {"PayMany": "london", "MultiSigWallet": "paris"}
"""London is the oldest that the compiler knows; Ethereum Classic has all of it but the fee market, and runs it too."""


def compiled(name: str) -> str:
    """Compile a source, and write what came of it as the file has it."""
    from vyper import __version__, compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (for authors only)
    from vyper.compiler.settings import Settings  # type: ignore[import-untyped]  # noqa: PLC0415  (as above)

    source = (FOLDER / f"{name}.vy").read_text("utf-8")
    version = EVM_VERSIONS[name]
    made = compile_code(
        source,
        contract_path=f"{name}.vy",
        output_formats=["abi", "bytecode", "method_identifiers"],
        settings=Settings(evm_version=version),
    )
    parts = {
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "compiler": f"vyper {__version__}",
        "evm_version": version,
        "methods": made["method_identifiers"],
        "abi": made["abi"],
        "bytecode": made["bytecode"],
    }
    return json.dumps(parts, indent=1) + "\n"


if __name__ == "__main__":
    for contract in EVM_VERSIONS:
        (FOLDER / f"{contract}.json").write_text(compiled(contract), "utf-8")
