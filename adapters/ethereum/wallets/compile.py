"""Writes the artifact of the wallet contract anew: `python -m adapters.ethereum.wallets.compile`. It takes vyper."""

import json
from pathlib import Path

SOURCE = Path(__file__).with_name("MultiSigWallet.vy")
ARTIFACT = Path(__file__).with_name("MultiSigWallet.json")


def compiled() -> dict[str, object]:
    """Compile the source."""
    from vyper import compile_code  # type: ignore[import-untyped]  # noqa: PLC0415  (only to change the contract)
    from vyper.compiler.settings import Settings  # type: ignore[import-untyped]  # noqa: PLC0415  (as above)

    made = compile_code(
        SOURCE.read_text("utf-8"),
        contract_path=SOURCE.name,
        output_formats=["abi", "bytecode"],
        settings=Settings(evm_version="paris"),
    )
    return {"abi": made["abi"], "bytecode": made["bytecode"]}


if __name__ == "__main__":
    ARTIFACT.write_text(json.dumps(compiled(), indent=1) + "\n", "utf-8")
