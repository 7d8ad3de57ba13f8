"""A second verifier of receipts, written from their description alone: it shares no code with Payflow.

Only the standard library and cryptography; `python tests/verifier.py FILE [PUBLIC KEY IN HEX]` says what holds.
"""

import hashlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OPENS, CLOSES = b'<script type="application/json" id="receipt">', b"</script>"
TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
MASK = 2**64 - 1


class Bad(Exception):
    """It does not hold."""


def need(holds: object, why: str) -> None:
    if not holds:
        raise Bad(why)


def _rounds() -> list[int]:
    state, found = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            if state & 1:
                constant |= 1 << ((1 << j) - 1)
            state = state << 1 ^ (0x171 if state & 0x80 else 0)
        found.append(constant)
    return found


ROUNDS = _rounds()


def _turn(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK if by else word


def _permute(a: list[int]) -> list[int]:
    for constant in ROUNDS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        a = [a[i] ^ c[(i + 4) % 5] ^ _turn(c[(i + 1) % 5], 1) for i in range(25)]
        b, x, y, word = a[:], 1, 0, a[1]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            b[x + 5 * y], word = _turn(word, (t + 1) * (t + 2) // 2 % 64), a[x + 5 * y]
        a = [b[i] ^ (~b[i - i % 5 + (i + 1) % 5] & MASK & b[i - i % 5 + (i + 2) % 5]) for i in range(25)]
        a[0] ^= constant
    return a


def keccak(data: bytes) -> bytes:
    padded = bytearray(data) + b"\1"
    padded += bytes(-len(padded) % 136)
    padded[-1] |= 0x80
    a = [0] * 25
    for at in range(0, len(padded), 136):
        for i in range(17):
            a[i] ^= int.from_bytes(padded[at + 8 * i : at + 8 * i + 8], "little")
        a = _permute(a)
    return b"".join(word.to_bytes(8, "little") for word in a[:4])


def unrlp(data: bytes) -> Any:  # noqa: ANN401
    item, rest = _item(data)
    need(not rest, "bytes are left over")
    return item


def _item(data: bytes) -> tuple[Any, bytes]:
    need(data, "nothing to read")
    head = data[0]
    if head < 0x80:
        return data[:1], data[1:]
    short, listed = (0x80, False) if head < 0xC0 else (0xC0, True)
    size, at = head - short, 1
    if size > 55:
        at = size - 54
        size = int.from_bytes(data[1:at], "big")
    content, rest = data[at : at + size], data[at + size :]
    need(len(content) == size, "too short")
    if not listed:
        return content, rest
    items: list[Any] = []
    while content:
        one, content = _item(content)
        items.append(one)
    return items, rest


def rlp_number(number: int) -> bytes:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return raw if len(raw) == 1 and raw[0] < 0x80 else bytes([0x80 + len(raw)]) + raw


def halves(data: bytes) -> list[int]:
    return [half for byte in data for half in (byte >> 4, byte & 15)]


def value_at(root: bytes, name: bytes, nodes: list[bytes]) -> bytes:
    key, nodes = halves(name), [*nodes]
    link: Any = root
    while True:
        node = link
        if isinstance(link, bytes):
            need(nodes and keccak(nodes[0]) == link, "a node is not the one that was named")
            node = unrlp(nodes.pop(0))
        if len(node) == 17:
            link, key = node[key[0]], key[1:]
            continue
        path = halves(node[0])
        leaf, path = path[0] & 2, path[1:] if path[0] & 1 else path[2:]
        need(key[: len(path)] == path, "another place")
        key, link = key[len(path) :], node[1]
        if leaf:
            need(not key and not nodes, "another place")
            return bytes(link)


def on_chain(body: Any) -> None:  # noqa: ANN401
    chain, proof, pays = body["chain"], body["chain"]["proof"], body["chain"]["pays"]
    header = bytes.fromhex(proof["header"][2:])
    need("0x" + keccak(header).hex() == proof["block_hash"], "the header is another block's")
    fields = unrlp(header)
    nodes = [[bytes.fromhex(node[2:]) for node in proof[name]] for name in ("transaction", "receipt")]
    raw, outcome = (value_at(fields[4 + i], rlp_number(proof["place"]), nodes[i]) for i in (0, 1))
    need("0x" + keccak(raw).hex() == body["evidence"]["reference"], "another transaction")
    need(int.from_bytes(fields[8], "big") == chain["block"], "another block")
    if raw[0] == 2:
        parts = unrlp(raw[1:])
        chain_id, to, value, data = int.from_bytes(parts[0], "big"), parts[5], parts[6], parts[7]
    else:
        parts = unrlp(raw)
        chain_id, to, value, data = (int.from_bytes(parts[6], "big") - 35) // 2, parts[3], parts[4], parts[5]
    status, _, _, logs = unrlp(outcome if outcome[0] >= 0xC0 else outcome[1:])
    need(status == b"\1" and chain_id == chain["chain_id"], "it was thrown back, or is of another chain")
    said = [(log[0].hex(), [topic.hex() for topic in log[1]], log[2].hex()) for log in logs]
    payee, units = pays.get("to", "")[2:].lower(), int(pays.get("units", "0"))
    came = sum(
        int(moved, 16)
        for who, topics, moved in said
        if who == pays.get("token", "")[2:].lower() and topics[0] == TRANSFER and topics[2][24:] == payee
    )
    if pays["how"] == "plain":
        need(to.hex() == payee and int.from_bytes(value, "big") == units, "it pays something else")
    elif pays["how"] == "token":
        need(came >= units, "fewer came")
    elif pays["how"] == "batch":
        at = 4 + 32 * (int(pays["place"]) + (4 if "token" in pays else 3))
        line = (units << 160 | int(payee, 16)).to_bytes(32, "big")
        need(to.hex() == pays["contract"][2:].lower() and data[at : at + 32] == line, "it pays something else")
        ours = [(topics, told) for who, topics, told in said if who == to.hex()]
        paid, failed = (keccak(name + b"(bytes32,uint256,uint256)").hex() for name in (b"Paid", b"Failed"))
        need([one for one in ours if one[0][0] == paid], "the batch was not paid")
        places = [int(told[:64], 16) for topics, told in ours if topics[0] == failed]
        need(int(pays["place"]) not in places and came >= (units if "token" in pays else 0), "this payee was not paid")
    else:
        need(pays["how"] == "wallet", "nobody knows how it pays")
        names = [keccak(name).hex() for name in (b"ExecutionSuccess(bytes32,uint256)", b"Execution(uint256)")]
        wallet, executed = pays["wallet"][2:].lower(), pays["executed"].removeprefix("0x")
        need(any(w == wallet and t[0] in names and executed in "".join(t[1:]) + d for w, t, d in said), "not executed")
    shown = body["to"].lower().split("\u2022")
    need("to" not in pays or pays["to"].lower().startswith(shown[0]), "another payee")
    need("to" not in pays or pays["to"].lower().endswith(shown[-1]), "another payee")
    if "arrives" in body and "decimals" in pays:
        need(Decimal(body["arrives"]["amount"]) * 10 ** int(pays["decimals"]) == units, "another amount")


def verify(content: bytes, public: str = "") -> Any:  # noqa: ANN401
    before, opens, rest = content.partition(OPENS)
    body_of, _, after = rest.partition(CLOSES) if opens else (content, b"", b"")
    file = json.loads(body_of)
    need(canonical(file) == body_of, "it was written anew")
    body, key = file["body"], bytes.fromhex(file["public"])
    need(not public or public == file["public"], "another key")
    need(file["key"] == hashlib.sha256(key).hexdigest()[:16], "another key's name")
    signed = b"payflow receipt 1\n" + canonical(body)
    Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(file["signature"]), signed)
    if opens:
        need(hashlib.sha256(before + OPENS + CLOSES + after).hexdigest() == body["page"], "another page")
    if "proof" in body.get("chain", {}):
        on_chain(body)
    return body


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c").encode()


if __name__ == "__main__":
    sys.stdout.write(verify(Path(sys.argv[1]).read_bytes(), *sys.argv[2:])["says"] + "\n")
