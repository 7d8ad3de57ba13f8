"""Writes the artifact of the batch contract anew: `python -m adapters.ethereum.contracts.compile`. It takes vyper."""

import hashlib
import json
from pathlib import Path

SOURCE = Path(__file__).with_name("PayMany.vy")
ARTIFACT = Path(__file__).with_name("PayMany.json")

EVM_VERSION = "london"
"""The oldest that the compiler knows. Ethereum Classic, which has all of it but the fee market, runs it too."""


def artifact() -> str:
    """Compile the source, and write what came of it as the file has it."""
    from vyper import __version__, compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (for authors only)

    source = SOURCE.read_text("utf-8")
    made = compile_code(source, contract_path=SOURCE.name, output_formats=["abi", "bytecode", "method_identifiers"])
    parts = {
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "compiler": f"vyper {__version__}",
        "evm_version": EVM_VERSION,
        "methods": made["method_identifiers"],
        "abi": made["abi"],
        "bytecode": made["bytecode"],
    }
    return json.dumps(parts, indent=1) + "\n"


if __name__ == "__main__":
    ARTIFACT.write_text(artifact(), "utf-8")
