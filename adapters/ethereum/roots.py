"""Whether receipts are those that a block's header commits to. Pure, and slow: a block may have a thousand receipts.

A header counts because its fields hash to the block's hash; receipts count because their trie has the header's root.
Chains with fields or kinds of transactions of their own cannot be written down here as they hash them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from adapters.ethereum import wire
from adapters.ethereum.envelope import Unreadable
from machines.core.chain import Receipt, TxHash

_KINDS = range(5)
"""Kinds of transactions whose receipts all have one form: legacy, 2930, 1559, 4844, 7702."""

_FIELDS = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
)
_ADDED = (
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"),
)
"""What later forks put behind, each only after all that come before it."""
_NUMBERS = frozenset(
    {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"}
)

_NIBBLES = 16
_HASHED_FROM = 32
"""A node of a trie that is at least this long is named by its hash, a shorter one by itself."""

Node = list[Any] | bytes


def proven(header: bytes, receipts: bytes, block_hash: str) -> dict[TxHash, Receipt] | None:
    """Give a block's receipts, as one node shows them, if its header commits to them; None where it does not."""
    try:
        fields, listed = msgspec.json.decode(header), msgspec.json.decode(receipts, type=list[dict[str, Any]])
        if header_hash(fields) != block_hash or receipts_root(listed) != fields["receiptsRoot"].lower():
            return None
        found = [wire.found_receipt(raw) for raw in msgspec.json.decode(receipts, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, Unreadable, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return {one.hash: one for one in found if one is not None}


def header_hash(fields: Mapping[str, str]) -> str:
    """Hash a header, given by its names in JSON-RPC."""
    return _hex(keccak(header_bytes(fields)))


def header_bytes(fields: Mapping[str, str]) -> bytes:
    """Write a header as it is hashed."""
    return bytes(rlp.encode(_header(fields)))


def receipts_root(receipts: Sequence[Mapping[str, Any]]) -> str:
    """Give the root of the trie that has these receipts by their place."""
    pairs = _by_place([receipt_bytes(one) for one in receipts])
    return _hex(keccak(rlp.encode(_node(pairs, 0) if pairs else b"")))


def path_to(place: int, values: Sequence[bytes]) -> tuple[bytes, ...]:
    """Give the nodes between the root of a trie and one of its values: who has the root can check the value by them."""
    pairs, key, depth = _by_place(values), nibbles(rlp.encode(place)), 0
    found = [rlp.encode(_node(pairs, 0))]
    while len(pairs) > 1:
        if pairs[0][0][depth] == pairs[-1][0][depth]:
            depth = _end_alike(pairs, depth)
        else:
            pairs, depth = [pair for pair in pairs if pair[0][depth] == key[depth]], depth + 1
        encoded = rlp.encode(_node(pairs, depth))
        if len(encoded) >= _HASHED_FROM:  # a shorter one stands in the one before
            found.append(encoded)
    return tuple(found)


def _by_place(values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return sorted((nibbles(rlp.encode(place)), one) for place, one in enumerate(values))


def _node(pairs: Sequence[tuple[bytes, bytes]], depth: int) -> Node:
    """Make the node for all keys that begin alike; no key is the beginning of another."""
    first = pairs[0][0]
    if len(pairs) == 1:
        return [_path(first[depth:], leaf=True), pairs[0][1]]
    end = _end_alike(pairs, depth)
    if end > depth:
        return [_path(first[depth:end], leaf=False), _named(_node(pairs, end))]
    branches: list[list[tuple[bytes, bytes]]] = [[] for _ in range(_NIBBLES)]
    for pair in pairs:
        branches[pair[0][depth]].append(pair)
    return [*(_named(_node(branch, depth + 1)) if branch else b"" for branch in branches), b""]


def _end_alike(pairs: Sequence[tuple[bytes, bytes]], depth: int) -> int:
    """Say up to where all keys are alike."""
    first, last = pairs[0][0], pairs[-1][0]
    while first[depth] == last[depth]:
        depth += 1
    return depth


def _named(node: Node) -> Node:
    encoded = rlp.encode(node)
    return bytes(keccak(encoded)) if len(encoded) >= _HASHED_FROM else node


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    flag = 2 if leaf else 0
    odd = len(nibbles) % 2
    whole = bytes([flag + odd, *nibbles]) if odd else bytes([flag, 0, *nibbles])
    return bytes(high << 4 | low for high, low in zip(whole[::2], whole[1::2], strict=True))


def nibbles(key: bytes) -> bytes:
    """Give the halves of bytes."""
    return bytes(half for byte in key for half in (byte >> 4, byte & 15))


def _header(fields: Mapping[str, str]) -> list[bytes]:
    names = list(_FIELDS)
    for name in _ADDED:
        if fields.get(name) is None:
            break
        names.append(name)
    return [number(fields[name]) if name in _NUMBERS else _bytes(fields[name]) for name in names]


def receipt_bytes(fields: Mapping[str, Any]) -> bytes:
    """Write a receipt as it is hashed."""
    kind = int(fields.get("type") or "0x0", 16)
    if kind not in _KINDS:
        raise ValueError("a kind of transaction whose receipt has a form of its own")
    logs = [
        [_bytes(log["address"]), [_bytes(topic) for topic in log["topics"]], _bytes(log["data"])]
        for log in fields["logs"]
    ]
    parts = [number(fields["status"]), number(fields["cumulativeGasUsed"]), _bytes(fields["logsBloom"]), logs]
    return (bytes([kind]) if kind else b"") + bytes(rlp.encode(parts))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def number(text: str) -> bytes:
    """Write a number as it is hashed."""
    number = int(text, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _hex(data: bytes) -> str:
    return "0x" + bytes(data).hex()
