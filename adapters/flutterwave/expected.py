"""What v3 is expected to answer, held against what it did: for whoever has a key and tells us."""

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.flutterwave import wire_v3
from adapters.flutterwave.codec import NotJson, decoded
from adapters.flutterwave.refusals import V3, V3_ENQUIRY, proves_v3
from adapters.flutterwave.transfer import NOT_PAID, PAID, TAKEN_BACK, UNDER_WAY
from adapters.http import HttpReply, plain

_READ = {one.name: one.required for one in msgspec.structs.fields(wire_v3.DataV3)}
_STATUSES = UNDER_WAY | {PAID, NOT_PAID, TAKEN_BACK}
_TRANSFERS = "/transfers"


def differences(path: str, reply: HttpReply) -> Iterator[str]:
    """Say what of a reply nobody here expected."""
    try:
        told = decoded(reply.body, wire_v3.EnvelopeV3)
    except NotJson:
        yield f"HTTP {reply.status} with a body that is not the gateway's JSON"
        return
    if reply.status >= 400:  # noqa: PLR2004  (what begins the refusals)
        known = any(proves_v3(reply.status, told.message, table) for table in (V3, V3_ENQUIRY))
        if not known:
            yield f"HTTP {reply.status} with a sentence that stands in no table: {plain(told.message)!r}"
        return
    if told.status != wire_v3.SUCCESS:
        yield f"HTTP {reply.status} with the status {plain(told.status)!r}"
    if path.startswith(_TRANSFERS) and not path.endswith("/fee"):
        for data in told.data if isinstance(told.data, list) else [told.data]:
            yield from _of_transfer(data)


def _of_transfer(data: Any) -> Iterator[str]:  # noqa: ANN401  (JSON)
    if not isinstance(data, dict):
        yield f"a transfer that is {type(data).__name__}"
        return
    lacking = [name for name, required in _READ.items() if required and name not in data]
    if lacking:
        yield f"a transfer without {', '.join(lacking)}"
    unknown = sorted(set(data) - set(_READ) - wire_v3.NOT_READ)
    if unknown:
        yield f"a transfer with {', '.join(map(plain, unknown))}, which its pages do not show"
    status = str(data.get("status", "")).upper()
    if status and status not in _STATUSES:
        yield f"a transfer that is {plain(status)!r}"
