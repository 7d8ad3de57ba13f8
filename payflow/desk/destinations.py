"""What the parts of a destination look like, wherever they are typed: in a request, on a page, at a terminal."""

import re
from collections.abc import Mapping

from machines.core.errors import BadInput
from machines.core.ports import Destination

# One line that looks like what it is: no control characters, no line ends, nothing that turns the direction of writing.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
SEEN = f"^{_UNSEEN}"
SOMETHING = rf"^[{SEEN}]*[^\s{_UNSEEN}][{SEEN}]*$"
LONGEST_LINE = 100

PARTS: Mapping[str, str] = {
    "bank_code": r"^[A-Za-z0-9_-]{2,20}$",
    "account_number": r"^[A-Za-z0-9+]{4,34}$",
    "account_name": SOMETHING,
    "branch_code": r"^[A-Za-z0-9_-]{1,20}$",
    "address": r"^0x[0-9a-fA-F]{40}$",
}
"""A pattern for each, in their order."""


def with_account(before: Destination, account: str, bank: str = "", name: str = "") -> Destination:
    """Put another account, wallet or address in the place of one; a branch stays only as long as its bank does."""
    if before.kind == "ethereum":
        return _checked(before.kind, {"address": account})
    fields = dict(before.fields)
    parts = {"bank_code": bank or fields.get("bank_code", ""), "account_number": account}
    if name:
        parts["account_name"] = name
    if "branch_code" in fields and parts["bank_code"] == fields.get("bank_code"):
        parts["branch_code"] = fields["branch_code"]
    return _checked(before.kind, parts)


def _checked(kind: str, parts: Mapping[str, str]) -> Destination:
    faults = [name for name, text in parts.items() if len(text) > LONGEST_LINE or not re.fullmatch(PARTS[name], text)]
    if faults:
        raise BadInput(f"This is no destination: no {' and no '.join(faults)} looks like that.")
    return Destination(kind, tuple(parts.items()))
