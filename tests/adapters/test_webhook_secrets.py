"""Whoever sends bytes that are no text where a webhook shows its secret has not shown it; nothing breaks on them."""

from collections.abc import Callable

import pytest

from adapters.flutterwave import wire_v3, wire_v4
from adapters.github import wire as github
from adapters.paystack import wire as paystack

BODY, SECRET = b"{}", "a secret of thirty-two letters.."

GENUINE: dict[str, Callable[[str], bool]] = {
    "verif-hash": lambda shown: wire_v3.verify({"verif-hash": shown}, SECRET),
    "flutterwave-signature": lambda shown: wire_v4.verify({"flutterwave-signature": shown}, BODY, SECRET),
    "x-paystack-signature": lambda shown: paystack.verify({"x-paystack-signature": shown}, BODY, SECRET),
    "x-hub-signature-256": lambda shown: github.genuine({"x-hub-signature-256": shown}, BODY, SECRET),
    "x-hub-signature": lambda shown: github.genuine({"x-hub-signature": shown}, BODY, SECRET, old=True),
}


@pytest.mark.parametrize("header", GENUINE)
@pytest.mark.parametrize("raw", [b"\xff", b"sha256=\xff", b"\xc3\xa9", b"\xed\xb0\x80"])
def test_bytes_that_are_no_text_prove_nothing(header: str, raw: bytes) -> None:
    assert not GENUINE[header](raw.decode(errors="surrogateescape"))
