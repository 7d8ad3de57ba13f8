"""What README.md shows, done as it is printed, on the sandbox."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def walk_through() -> str:
    """Read the commands that README.md tells a newcomer to type."""
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    (commands,) = (block for block in blocks if "tokens.env" in block)
    return str(commands)


def test_the_payment_of_the_readme_is_paid_as_printed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    environ = {**os.environ, "PAYFLOW_DATA": str(data), "PAYFLOW_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "payflow", "sandbox", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            world = json.loads(sandbox.stdout.readline())
            typed = walk_through().replace("http://localhost:8080", world["payflow"])
            typed = typed.replace("data/sandbox", world["data"]).replace(
                ".venv/bin/payflow", f"{sys.executable} -m payflow"
            )
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", typed], cwd=PROJECT, capture_output=True, text=True, check=False
            )
        finally:
            sandbox.send_signal(signal.SIGINT)
    assert done.returncode == 0, done.stderr
    assert '"status":"paid"' in done.stdout
    assert '"paid":"12500.50"' in done.stdout
    assert '"subject":"₦12,500.50 was paid to you"' in done.stdout
    assert "the hash chain is whole" in done.stdout
    assert "Conserved" in done.stdout
    assert sandbox.returncode == 0
