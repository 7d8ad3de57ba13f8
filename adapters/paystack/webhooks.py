"""Paystack's webhooks: signed with the secret key over the bytes as they came, read as a reason to look."""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from machines.core.errors import BadInput
from machines.core.ports import Notice

SIGNATURE_HEADER = "x-paystack-signature"
MOST_WEBHOOK_BYTES = 64 * 1024


def verify(headers: Mapping[str, str], body: bytes, secret_key: str) -> bool:
    """Tell whether a webhook is signed: hex of an HMAC-SHA512 over the bytes as they came, with the secret key."""
    shown = next((value for name, value in headers.items() if name.casefold() == SIGNATURE_HEADER), "")
    expected = hmac.digest(secret_key.encode(), body, "sha512").hex()
    return bool(secret_key) and hmac.compare_digest(shown.encode(errors="surrogateescape"), expected.encode())


class PaystackEvent(Struct):
    """A webhook."""

    event: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def read_webhook(body: bytes) -> Notice | None:
    """Read what a webhook speaks of; None when it is about no transfer. Its status is a claim, to be read back."""
    if len(body) > MOST_WEBHOOK_BYTES:
        raise BadInput(f"A webhook of more than {MOST_WEBHOOK_BYTES} bytes is none of Paystack's.")
    try:
        event = msgspec.json.decode(body, type=PaystackEvent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("The webhook is not Paystack's JSON.") from error
    if not event.event.startswith("transfer."):
        return None
    reference, handle = (str(event.data.get(part) or "") for part in ("reference", "transfer_code"))
    if not reference:
        raise BadInput("The webhook names no reference.")
    said = str(event.data.get("status") or event.event.rpartition(".")[2]).casefold()
    return Notice((reference,), handle, said, f"{event.event}:{handle or reference}:{said}")
