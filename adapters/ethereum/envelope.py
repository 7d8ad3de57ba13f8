"""JSON-RPC: many questions in one request, and which answer belongs to which."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

_NULL = b"null"
_ENCODER = msgspec.json.Encoder()
_LONGEST_WORDS = 300


class Unreadable(Exception):
    """The bytes are not what was expected."""


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One question to a node."""

    method: str
    params: tuple[object, ...] = ()
    alone: bool = False
    """Its answer may be large: it shares a request with nothing."""


@dataclass(frozen=True, slots=True)
class RpcFault:
    """A node's word that it did not do what it was asked."""

    code: int
    words: str
    data: str = ""


Raw = msgspec.Raw
"""A result whose shape is not looked at yet."""

Said = Raw | RpcFault
"""What a node said to one call."""


class _Error(msgspec.Struct):
    code: int | float | str | None = 0
    message: str | None = ""
    data: msgspec.Raw = msgspec.Raw(_NULL)


class _Envelope(msgspec.Struct):
    id: int | float | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | str | None = None


_MANY = msgspec.json.Decoder(list[_Envelope])
_ONE = msgspec.json.Decoder(_Envelope)


def request(calls: Sequence[RpcCall]) -> bytes:
    """Write one call as an object and several as a batch; each is numbered by its place."""
    bodies = [{"jsonrpc": "2.0", "id": n, "method": c.method, "params": c.params} for n, c in enumerate(calls)]
    return _ENCODER.encode(bodies if len(bodies) > 1 else bodies[0])


def answers(body: bytes, count: int) -> list[Said] | RpcFault:
    """Read what came back: an answer for each call in its order, or the one fault with which all were turned away."""
    try:
        if count == 1 or body.lstrip()[:1] != b"[":
            envelope = _ONE.decode(body)
            return [_only(envelope)] if count == 1 else _turned_away(envelope)
        envelopes = _MANY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"not JSON-RPC: {str(error)[:_LONGEST_WORDS]}") from error
    by_place = {envelope.id: envelope for envelope in envelopes}
    if len(envelopes) == 1 and count > 1 and envelopes[0].error is not None:
        return _turned_away(envelopes[0])  # some nodes put the refusal of a whole batch into a list
    if any(place not in by_place for place in range(count)):
        raise Unreadable("the batch came back without some of its answers")
    return [_said(by_place[place]) for place in range(count)]


def answer(body: bytes) -> Said:
    """Read what came back to one call."""
    said = answers(body, 1)
    return said if isinstance(said, RpcFault) else said[0]


def _only(envelope: _Envelope) -> Said:
    said = _said(envelope)
    if not isinstance(said, RpcFault) and envelope.id not in {0, "0"}:
        raise Unreadable("an answer to another question")  # a fault may lack the number: its node could not read ours
    return said


def _turned_away(envelope: _Envelope) -> RpcFault:
    said = _said(envelope)
    if isinstance(said, RpcFault):
        return said
    raise Unreadable("one answer to many questions")


def _said(envelope: _Envelope) -> Said:
    error = envelope.error
    if error is None:
        if not bytes(envelope.result):
            raise Unreadable("neither a result nor an error")
        return envelope.result
    if isinstance(error, str):
        return RpcFault(0, plain(error))
    code = int(error.code) if isinstance(error.code, int | float) else 0
    data = bytes(error.data)
    words = plain(error.message or "")
    return RpcFault(code, words, "" if data == _NULL else plain(data.decode("utf-8", "replace").strip('"')))


def plain(words: str) -> str:
    """Make a node's words fit for a history or a log: one line, bounded."""
    return " ".join(words.split())[:_LONGEST_WORDS]
