"""What is asked of nodes, and how their answers read as values of `machines/core/chain.py`. No I/O.

What cannot be read raises `Unreadable`, which proves nothing. Null where there may be nothing is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from adapters.addresses import checksummed
from adapters.ethereum.envelope import RpcCall, Unreadable
from machines.core.chain import Address, Log, Receipt, Seen, TxHash

T = TypeVar("T")

Block = int | str
"""A height, or a tag such as `latest`."""

_LONGEST_WORDS = 300


# Requests.


def block(at: Block) -> str:
    """Write a height or a tag."""
    return hex(at) if isinstance(at, int) else at


CHAIN_ID = RpcCall("eth_chainId")
HEIGHT = RpcCall("eth_blockNumber")
GAS_PRICE = RpcCall("eth_gasPrice")
PEERS = RpcCall("net_peerCount")


def block_header(at: Block) -> RpcCall:
    """Ask for a block without its transactions."""
    return RpcCall("eth_getBlockByNumber", (block(at), False))


def full_block(at: int, *, alone: bool = True) -> RpcCall:
    """Ask for a block with its transactions."""
    return RpcCall("eth_getBlockByNumber", (block(at), True), alone=alone)


def nonce(address: Address, at: Block) -> RpcCall:
    """Ask how many transactions an account has sent."""
    return RpcCall("eth_getTransactionCount", (address, block(at)))


def balance(address: Address, at: Block = "latest") -> RpcCall:
    """Ask what an account has."""
    return RpcCall("eth_getBalance", (address, block(at)))


def code(address: Address, at: Block = "latest") -> RpcCall:
    """Ask for a contract's code."""
    return RpcCall("eth_getCode", (address, block(at)))


def receipt(tx: TxHash) -> RpcCall:
    """Ask for a receipt."""
    return RpcCall("eth_getTransactionReceipt", (tx,))


def block_receipts(at: int) -> RpcCall:
    """Ask for all receipts of a block."""
    return RpcCall("eth_getBlockReceipts", (block(at),), alone=True)


def transaction(tx: TxHash) -> RpcCall:
    """Ask for a transaction."""
    return RpcCall("eth_getTransactionByHash", (tx,))


def send(raw: str) -> RpcCall:
    """Hand over signed bytes."""
    return RpcCall("eth_sendRawTransaction", (raw,))


def fee_history(blocks: int, percentile: int) -> RpcCall:
    """Ask what others paid lately."""
    return RpcCall("eth_feeHistory", (hex(blocks), "latest", (percentile,)))


def estimate(sender: Address, to: Address | None, value_wei: int, data: str) -> RpcCall:
    """Ask how much gas something takes."""
    return RpcCall("eth_estimateGas", (_message(to, data) | {"from": sender, "value": hex(value_wei)},))


def call(to: Address, data: str, at: Block) -> RpcCall:
    """Ask a contract."""
    return RpcCall("eth_call", (_message(to, data), block(at)))


def logs(address: Address, topics: Sequence[str | None], first: int, last: int) -> RpcCall:
    """Ask for events."""
    wanted = {"address": address, "topics": tuple(topics), "fromBlock": hex(first), "toBlock": hex(last)}
    return RpcCall("eth_getLogs", (wanted,), alone=True)


def _message(to: Address | None, data: str) -> dict[str, object]:
    message: dict[str, object] = {"data": data}
    return message if to is None else message | {"to": to}


# Answers.


@dataclass(frozen=True, slots=True)
class Header:
    """A block, as far as it matters here."""

    number: int
    hash: str
    timestamp_s: int
    base_fee_wei: int | None


@dataclass(frozen=True, slots=True)
class BlockOf:
    """A block, with what an address sent in it and got."""

    number: int
    hash: str
    at_s: int
    transactions: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Fees:
    """What `eth_feeHistory` told."""

    next_base_fee_wei: int | None
    tips_wei: tuple[int, ...]
    """One for each block that was not empty, oldest first."""


class _Header(msgspec.Struct):
    number: str | None
    hash: str | None
    timestamp: str
    baseFeePerGas: str | None = None  # noqa: N815  (the wire's own name)


class _Transaction(msgspec.Struct, rename={"sender": "from", "data": "input", "block": "blockNumber"}):
    hash: str
    sender: str
    nonce: str
    value: str
    data: str
    to: str | None = None
    block: str | None = None
    gasPrice: str | None = None  # noqa: N815


class _FullBlock(msgspec.Struct):
    transactions: list[_Transaction]
    number: str | None = None
    hash: str | None = None
    timestamp: str = "0x0"


class _Log(msgspec.Struct):
    address: str
    topics: list[str]
    data: str
    transactionHash: str | None = None  # noqa: N815


class _Receipt(msgspec.Struct):
    transactionHash: str  # noqa: N815
    blockNumber: str | None  # noqa: N815
    blockHash: str | None  # noqa: N815
    gasUsed: str  # noqa: N815
    status: str | None = None
    effectiveGasPrice: str | None = None  # noqa: N815
    contractAddress: str | None = None  # noqa: N815
    logs: list[_Log] = []


class _Fees(msgspec.Struct):
    baseFeePerGas: list[str] | None = None  # noqa: N815
    gasUsedRatio: list[float] | None = None  # noqa: N815
    reward: list[list[str]] | None = None


_SHAPES: dict[Any, msgspec.json.Decoder[Any]] = {
    shape: msgspec.json.Decoder(shape | None)
    for shape in (str, _Header, _Transaction, _FullBlock, _Receipt, _Fees, list[_Log])
}


def _decoded(raw: msgspec.Raw, shape: type[T]) -> T | None:
    try:
        found: T | None = _SHAPES[shape].decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)[:_LONGEST_WORDS]) from error
    return found


def _int(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise Unreadable("not a hexadecimal number") from error


def _address(text: str) -> Address:
    try:
        return checksummed(text)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _present(raw: msgspec.Raw, shape: type[T], what: str) -> T:
    found = _decoded(raw, shape)
    if found is None:
        raise Unreadable(f"null where {what} was expected")
    return found


def number(raw: msgspec.Raw) -> int:
    """Read a number; null is none."""
    return _int(text(raw))


def text(raw: msgspec.Raw) -> str:
    """Read hex as it is, in lower case; null is none."""
    return _present(raw, str, "a value").lower()


def header(raw: msgspec.Raw) -> Header | None:
    """Read a block."""
    found = _decoded(raw, _Header)
    if found is None or found.number is None or found.hash is None:
        return None
    base = None if found.baseFeePerGas is None else _int(found.baseFeePerGas)
    return Header(_int(found.number), found.hash.lower(), _int(found.timestamp), base)


def seen(raw: msgspec.Raw) -> Seen | None:
    """Read a transaction."""
    found = _decoded(raw, _Transaction)
    return None if found is None else _seen(found)


def gas_price(raw: msgspec.Raw) -> int | None:
    """Read what a mined transaction paid, where its node says so."""
    found = _decoded(raw, _Transaction)
    return None if found is None or found.gasPrice is None else _int(found.gasPrice)


def sent(raw: msgspec.Raw, sender: Address, nonce_: int) -> Seen | None:
    """Find a sender's transaction in a full block."""
    for tx in _present(raw, _FullBlock, "a block").transactions:
        if _int(tx.nonce) == nonce_ and tx.sender.lower() == sender.lower():
            return _seen(tx)
    return None


def all_sent(raw: msgspec.Raw, sender: Address) -> tuple[Seen, ...]:
    """List what a sender has in a full block."""
    block = _present(raw, _FullBlock, "a block")
    return tuple(_seen(tx) for tx in block.transactions if tx.sender.lower() == sender.lower())


def block_of(raw: msgspec.Raw, address: Address) -> BlockOf:
    """Read a full block, and of its transactions those from an address or to it."""
    block, who = _present(raw, _FullBlock, "a block"), address.lower()
    if block.number is None or block.hash is None:
        raise Unreadable("a block that is not mined")
    found = (_seen(tx) for tx in block.transactions if who in (tx.sender.lower(), (tx.to or "").lower()))
    return BlockOf(_int(block.number), block.hash.lower(), _int(block.timestamp), tuple(found))


def _seen(tx: _Transaction) -> Seen:
    to = None if tx.to is None else _address(tx.to)
    mined = None if tx.block is None else _int(tx.block)
    return Seen(
        TxHash(tx.hash.lower()), _address(tx.sender), _int(tx.nonce), to, _int(tx.value), tx.data.lower(), mined
    )


NO_PRICE = -1
"""The gas price of a receipt whose node does not tell it."""


def found_receipt(raw: msgspec.Raw) -> Receipt | None:
    """Read a receipt; one that is in no block yet is none."""
    found = _decoded(raw, _Receipt)
    if found is None or found.blockNumber is None or found.blockHash is None:
        return None
    if found.status is None:
        raise Unreadable("a receipt without a status")
    price = NO_PRICE if found.effectiveGasPrice is None else _int(found.effectiveGasPrice)
    made = None if found.contractAddress is None else _address(found.contractAddress)
    return Receipt(
        TxHash(found.transactionHash.lower()),
        _int(found.blockNumber),
        found.blockHash.lower(),
        _int(found.status) == 1,
        _int(found.gasUsed),
        price,
        made,
        tuple(_log(log) for log in found.logs),
    )


def _log(log: _Log) -> Log:
    return Log(_address(log.address), tuple(topic.lower() for topic in log.topics), log.data.lower())


def events(raw: msgspec.Raw) -> list[tuple[TxHash, Log]]:
    """Read events, and which transactions made them."""
    logs = _present(raw, list[_Log], "a list of events")
    return [(TxHash((log.transactionHash or "").lower()), _log(log)) for log in logs]


def fees(raw: msgspec.Raw) -> Fees:
    """Read what others paid."""
    found = _decoded(raw, _Fees) or _Fees()
    ratios = found.gasUsedRatio or []
    rewards = found.reward or []
    tips = tuple(_int(tip[0]) for tip, used in zip(rewards, ratios, strict=False) if tip and used > 0)
    base = found.baseFeePerGas
    return Fees(_int(base[-1]) if base else None, tips)
