"""The second verifier of receipts is one: short enough to be read, and with nothing of Payflow in it."""

import ast
import sys
from pathlib import Path

from tests import verifier

SOURCE = Path(verifier.__file__)
MOST_LINES = 200


def test_the_second_verifier_shares_nothing_with_the_first() -> None:
    text = SOURCE.read_text("utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    named = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    assert named - set(sys.stdlib_module_names) == {"cryptography"}
