"""Proof that a block holds a transaction and that it was carried out, which needs nothing but the block's header. Pure.

The header hashes to the block's hash and has the roots of two tries: of the transactions and of their receipts, each by
place. The nodes between a root and a place prove what is there. Chains with kinds of transactions of their own cannot
be written down here as they hash them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from adapters.addresses import checksummed
from adapters.ethereum import roots
from adapters.ethereum.transactions import Undecodable, decoded
from machines.core.chain import Address, Log, TxHash, Unsigned

_TRANSACTIONS_ROOT, _RECEIPTS_ROOT, _NUMBER = 4, 5, 8
"""Where a header has them."""
_LEAST_FIELDS = 15
_BRANCH, _SHORT = 17, 2
_HASH_BYTES = 32
_DEEPEST = 64

_TIPPED = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList")
_SIGNED = ("v", "r", "s")
_FIELDS: Mapping[int, tuple[str, ...]] = {
    0: ("nonce", "gasPrice", "gas", "to", "value", "input", *_SIGNED),
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList", *_SIGNED),
    2: (*_TIPPED, *_SIGNED),
    3: (*_TIPPED, "maxFeePerBlobGas", "blobVersionedHashes", *_SIGNED),
    4: (*_TIPPED, "authorizationList", *_SIGNED),
}
"""What is hashed of each kind of transaction, by its names in JSON-RPC."""


class NotIncluded(Exception):
    """It is no proof: what it says is not under the header's roots."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What proves that a block holds a transaction and its receipt; all of it as hex."""

    block_hash: str
    header: str
    place: int
    transaction: tuple[str, ...]
    """The nodes from the root of the transactions to this one."""
    receipt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Included:
    """What a proof proves."""

    block: int
    hash: TxHash
    says: Unsigned
    sender: Address
    ok: bool
    """Whether it was carried out, and not thrown back."""
    logs: tuple[Log, ...]


def inclusion(block: bytes, receipts: bytes, block_hash: str, tx: TxHash) -> Inclusion | None:
    """Make the proof from a block with its transactions and receipts; None where they prove nothing."""
    try:
        fields, listed = msgspec.json.decode(block), msgspec.json.decode(receipts, type=list[dict[str, Any]])
        transactions = [_transaction(one) for one in fields["transactions"]]
        place = [one["hash"].lower() for one in fields["transactions"]].index(tx)
        proof = Inclusion(
            block_hash,
            "0x" + roots.header_bytes(fields).hex(),
            place,
            _hex(roots.path_to(place, transactions)),
            _hex(roots.path_to(place, [roots.receipt_bytes(one) for one in listed])),
        )
        return proof if included(proof).hash == tx else None
    except (msgspec.MsgspecError, NotIncluded, KeyError, ValueError, TypeError, AttributeError, IndexError):
        return None


def included(proof: Inclusion) -> Included:
    """Say what a proof proves; raises `NotIncluded` where it proves nothing."""
    try:
        header = _bytes(proof.header)
        if _keccak(header) != _bytes(proof.block_hash):
            raise NotIncluded("the header does not hash to the block's hash")
        fields = rlp.decode(header)
        if len(fields) < _LEAST_FIELDS:
            raise NotIncluded("that is no header")
        raw = _value(fields[_TRANSACTIONS_ROOT], proof.place, proof.transaction)
        says, sender = decoded(raw)
        ok, logs = _outcome(_value(fields[_RECEIPTS_ROOT], proof.place, proof.receipt))
        block = int.from_bytes(fields[_NUMBER], "big")
        return Included(block, TxHash("0x" + _keccak(raw).hex()), says, sender, ok, logs)
    except (rlp.DecodingError, Undecodable, ValueError, TypeError, IndexError, OverflowError) as error:
        raise NotIncluded(f"it cannot be read: {error}") from error


def _value(root: bytes, place: int, nodes: Sequence[str]) -> bytes:
    """Follow the nodes from a root to the value at a place."""
    key, waiting = roots.nibbles(rlp.encode(place)), [_bytes(one) for one in nodes][::-1]
    expected: Any = root
    for _ in range(_DEEPEST):
        node = expected
        if isinstance(expected, bytes):
            encoded = waiting.pop() if waiting else b""
            if len(expected) != _HASH_BYTES or _keccak(encoded) != expected:
                raise NotIncluded("a node is not the one that the node before names")
            node = rlp.decode(encoded)
        if len(node) == _BRANCH:
            expected, key = node[key[0]], key[1:]
            continue
        if len(node) != _SHORT:
            raise NotIncluded("that is no node of a trie")
        path, leaf = _read_path(node[0])
        if key[: len(path)] != path:
            raise NotIncluded("the nodes lead to another place")
        key, expected = key[len(path) :], node[1]
        if leaf:
            if key or waiting:
                raise NotIncluded("the nodes lead to another place")
            return bytes(expected)
    raise NotIncluded("the nodes lead nowhere")


def _read_path(encoded: bytes) -> tuple[bytes, bool]:
    halves = roots.nibbles(encoded)
    return halves[1:] if halves[0] & 1 else halves[2:], bool(halves[0] & 2)


def _outcome(raw: bytes) -> tuple[bool, tuple[Log, ...]]:
    status, _, _, logs = rlp.decode(raw[1:] if raw[0] < 0x80 else raw)  # noqa: PLR2004  (a kind stands before a list)
    return status == b"\x01", tuple(
        Log(checksummed("0x" + address.hex()), tuple("0x" + one.hex() for one in topics), "0x" + data.hex())
        for address, topics, data in logs
    )


def _transaction(fields: Mapping[str, Any]) -> bytes:
    kind = int(fields.get("type") or "0x0", 16)
    if kind not in _FIELDS:
        raise ValueError("a kind of transaction that has a form of its own")
    encoded = bytes(rlp.encode([_field(name, fields.get(name)) for name in _FIELDS[kind]]))
    return bytes([kind]) + encoded if kind else encoded


def _field(name: str, value: Any) -> Any:  # noqa: ANN401  (JSON)
    match name:
        case "to" | "input":
            return _bytes(value or "0x")
        case "accessList":
            return [[_bytes(one["address"]), [_bytes(key) for key in one["storageKeys"]]] for one in value]
        case "blobVersionedHashes":
            return [_bytes(one) for one in value]
        case "authorizationList":
            names = ("chainId", "address", "nonce", "yParity", "r", "s")
            return [
                [_bytes(one[key]) if key == "address" else roots.number(one[key]) for key in names] for one in value
            ]
        case _:
            return roots.number(value)


def _hex(nodes: Sequence[bytes]) -> tuple[str, ...]:
    return tuple("0x" + one.hex() for one in nodes)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _keccak(data: bytes) -> bytes:
    return bytes(keccak(data))
