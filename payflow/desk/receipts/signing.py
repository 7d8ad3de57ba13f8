"""A receipt as a file: what is signed, byte by byte, and the one way to write it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from machines.core.errors import BadInput
from payflow.store.receipt_keys import ReceiptKeys, key_id

OPENS, CLOSES = b'<script type="application/json" id="receipt">', b"</script>"
"""Where a page has the receipt."""
MOST_BYTES = 4 * 1024 * 1024


class NoReceipt(BadInput):
    """The file is no receipt, or is not what was signed."""


def canonical(content: Mapping[str, Any]) -> bytes:
    """Write JSON in the one way that is signed; `<` is escaped, so that it can stand in a page."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").encode()


def signed(body: Mapping[str, Any], keys: ReceiptKeys) -> bytes:
    """Sign a receipt, and write it as a file."""
    public, signature = keys.sign(canonical(body))
    return canonical({"body": body, "key": key_id(public), "public": public.hex(), "signature": signature.hex()})


def in_page(page: bytes, body: Mapping[str, Any], keys: ReceiptKeys) -> bytes:
    """Put a receipt into its page, which it names by its hash: neither can be changed."""
    before, after = _apart(page)
    return before + signed({**body, "page": page_hash(page)}, keys) + after


def page_hash(page: bytes) -> str:
    """Hash a page without the receipt in it."""
    return hashlib.sha256(b"".join(_apart(page))).hexdigest()


def receipt_in(page: bytes) -> bytes:
    """Take the receipt out of its page."""
    before, after = _apart(page)
    return page[len(before) : len(page) - len(after)]


def _apart(page: bytes) -> tuple[bytes, bytes]:
    if page.count(OPENS) != 1:
        raise NoReceipt("There is no receipt in this page, or more than one.")
    begins = page.index(OPENS) + len(OPENS)
    ends = page.find(CLOSES, begins)
    if ends < 0:
        raise NoReceipt("The receipt in this page has no end.")
    return page[:begins], page[ends:]
