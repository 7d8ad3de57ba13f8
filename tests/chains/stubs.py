"""A chain in memory, and nodes of it without a socket: honest ones, slow ones, and liars.

Blocks are hashed as real ones are, receipts have their root in the header, so that what a liar makes up can be as
consistent as a private fork is. A node has a view of its own: it lags behind a reorg, and is ahead of others.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from adapters.addresses import checksummed
from adapters.ethereum import pay_many, roots, transactions
from adapters.ethereum.contracts import artifact
from machines.core.chain import Address
from machines.transaction import calldata

GWEI = 10**9
BASE_FEE = 10 * GWEI
GAS = 21_000
BLOOM = "0x" + "00" * 256
EMPTY = "0x" + "00" * 32
FINAL_AFTER = 8
TOKEN = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
PAY_MANY = Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
NOTHING_MORE = 2**255
PAY_ETH = artifact("PayMany")["methods"]["payETH(bytes32,uint256[])"]


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction."""

    hash: str
    sender: Address
    nonce: int
    to: Address
    value: int
    data: str
    price: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block, with what the chain is like after it."""

    fields: Mapping[str, str]
    hash: str
    txs: tuple[Tx, ...]
    receipts: tuple[Mapping[str, Any], ...]
    nonces: Mapping[str, int]
    balances: Mapping[tuple[str, str], int]
    """By asset (empty for ether) and owner, in lower case."""

    @property
    def number(self) -> int:
        """Its height."""
        return int(self.fields["number"], 16)


class StubChain:
    """One branch, and what waits to be mined on it."""

    def __init__(self, owner: Address, wei: int, units: int, dice: Random) -> None:
        self._dice = dice
        balances = {("", owner.lower()): wei, (TOKEN.lower(), owner.lower()): units}
        self.blocks = [self._made((), "0x" + "00" * 32, 0, {}, balances)]
        self.waiting: dict[tuple[str, int], Tx] = {}

    def fork(self, dice: Random) -> "StubChain":
        """Give a copy that goes its own way."""
        other = StubChain.__new__(StubChain)
        other._dice, other.blocks, other.waiting = dice, list(self.blocks), dict(self.waiting)  # noqa: SLF001
        return other

    def mine(self, most: int = 50) -> None:
        """Make a block of what waits, in the order of nonces."""
        last = self.blocks[-1]
        chosen: list[Tx] = []
        counts = dict(last.nonces)
        for (sender, nonce), tx in sorted(self.waiting.items(), key=lambda item: item[0][1]):
            if nonce == counts.get(sender, 0) and len(chosen) < most:
                chosen.append(tx)
                counts[sender] = nonce + 1
        self.blocks.append(self._made(tuple(chosen), last.hash, last.number + 1, last.nonces, last.balances))
        for tx in chosen:
            del self.waiting[tx.sender.lower(), tx.nonce]

    def reorg(self, depth: int) -> None:
        """Take blocks away; what was in them waits again."""
        gone, self.blocks = self.blocks[-depth:], self.blocks[:-depth]
        for block in gone:
            for tx in block.txs:
                self.waiting.setdefault((tx.sender.lower(), tx.nonce), tx)

    def take(self, tx: Tx) -> str:
        """Let a transaction wait; an error text where that cannot be."""
        place = tx.sender.lower(), tx.nonce
        if tx.nonce < self.blocks[-1].nonces.get(place[0], 0):
            return "nonce too low"
        other = self.waiting.get(place)
        if other is not None and other.hash != tx.hash and tx.price * 10 < other.price * 11:
            return "replacement transaction underpriced"
        self.waiting[place] = tx
        return ""

    def _made(
        self,
        txs: tuple[Tx, ...],
        parent: str,
        number: int,
        nonces: Mapping[str, int],
        balances: Mapping[tuple[str, str], int],
    ) -> Block:
        after_nonces, after = dict(nonces), dict(balances)
        receipts: list[dict[str, Any]] = []
        for place, tx in enumerate(txs):
            after_nonces[tx.sender.lower()] = tx.nonce + 1
            receipts.append(_done(tx, place, number, after))
        fields = {
            "parentHash": parent,
            "sha3Uncles": EMPTY,
            "miner": "0x" + "00" * 20,
            "stateRoot": EMPTY,
            "transactionsRoot": EMPTY,
            "receiptsRoot": roots.receipts_root(receipts),
            "logsBloom": BLOOM,
            "difficulty": "0x0",
            "number": hex(number),
            "gasLimit": "0x1c9c380",
            "gasUsed": hex(GAS * len(txs)),
            "timestamp": hex(1_800_000_000 + 12 * number),
            "extraData": f"0x{self._dice.getrandbits(64):016x}",
            "mixHash": EMPTY,
            "nonce": "0x" + "00" * 8,
            "baseFeePerGas": hex(BASE_FEE),
        }
        block_hash = roots.header_hash(fields)
        told = tuple(one | {"blockHash": block_hash} for one in receipts)
        return Block(fields, block_hash, txs, told, after_nonces, after)


def _done(tx: Tx, place: int, number: int, balances: dict[tuple[str, str], int]) -> dict[str, Any]:
    """Carry a transaction out; give its receipt, which lacks its block's hash yet."""
    logs: list[dict[str, Any]] = []

    def move(asset: str, to: str, units: int) -> None:
        balances[asset, tx.sender.lower()] = balances.get((asset, tx.sender.lower()), 0) - units
        balances[asset, to.lower()] = balances.get((asset, to.lower()), 0) + units
        if asset:
            topics = [calldata.TRANSFERRED, f"0x{calldata.word(tx.sender)}", f"0x{calldata.word(Address(to))}"]
            logs.append({"address": asset, "topics": topics, "data": f"0x{units:064x}"})

    words = [tx.data[10:][start : start + 64] for start in range(0, len(tx.data) - 10, 64)]
    if tx.to == PAY_MANY:
        ether = tx.data.startswith(PAY_ETH)
        payees = words[3:] if ether else words[4:]
        for word in payees:
            move("" if ether else TOKEN.lower(), "0x" + word[24:], int(word[:24], 16))
        data = f"0x{len(payees):064x}{0:064x}"
        logs.append({"address": PAY_MANY, "topics": [pay_many.PAID, f"0x{words[0]}"], "data": data})
    elif tx.data[2:10] == calldata.TRANSFER:
        move(TOKEN.lower(), "0x" + words[0][24:], int(words[1], 16))
    else:
        move("", tx.to, tx.value)
    return {
        "transactionHash": tx.hash,
        "transactionIndex": hex(place),
        "blockNumber": hex(number),
        "type": "0x2",
        "status": "0x1",
        "cumulativeGasUsed": hex(GAS * (place + 1)),
        "gasUsed": hex(GAS),
        "effectiveGasPrice": hex(BASE_FEE),
        "contractAddress": None,
        "logsBloom": BLOOM,
        "logs": logs,
        "from": tx.sender,
        "to": tx.to,
    }


class Refused(Exception):
    """A node's error."""


class StubNode:
    """An honest node: it has a view of a chain, and may be behind it."""

    def __init__(self, chain: StubChain, chain_id: int) -> None:
        self.chain = chain
        self.chain_id = chain_id
        self.view = list(chain.blocks)
        self.gone = False
        self.delay_s = 0.0
        self.calls = 0

    def sync(self, behind: int = 0) -> None:
        """Follow the chain, up to so many blocks behind its newest."""
        blocks = self.chain.blocks
        self.view = blocks[: max(1, len(blocks) - behind)]

    async def serve(self, body: bytes) -> bytes:
        """Answer a request."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.gone:
            raise aiohttp.ClientConnectionError("gone")
        asked = json.loads(body)
        batch = asked if isinstance(asked, list) else [asked]
        said = [self._answered(call) for call in batch]
        return json.dumps(said if isinstance(asked, list) else said[0]).encode()

    def _answered(self, call: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            return answer | {"result": self.answer(call["method"], call.get("params", []))}
        except Refused as error:
            return answer | {"error": {"code": -32000, "message": str(error)}}

    def answer(self, method: str, params: Sequence[Any]) -> Any:  # noqa: ANN401  (each method has its own answer)
        """Answer one call."""
        return _METHODS[method](self, *params)

    def at(self, tag: str) -> Block | None:
        """Find a block by its height or tag."""
        match tag:
            case "latest" | "pending":
                return self.view[-1]
            case "finalized":
                return self.view[max(0, len(self.view) - 1 - FINAL_AFTER)]
            case _:
                height = int(tag, 16)
                return self.view[height] if height < len(self.view) else None

    def mined(self, tx: str) -> tuple[Block, int] | None:
        """Find a transaction in a block."""
        for block in reversed(self.view):
            for place, one in enumerate(block.txs):
                if one.hash == tx:
                    return block, place
        return None


def _block(node: StubNode, tag: str, full: bool) -> Any:  # noqa: ANN401, FBT001  (the wire's)
    block = node.at(tag)
    if block is None:
        return None
    told: list[Any] = [_tx(tx, block) if full else tx.hash for tx in block.txs]
    return {**block.fields, "hash": block.hash, "transactions": told}


def _tx(tx: Tx, block: Block | None) -> dict[str, Any]:
    return {
        "hash": tx.hash,
        "from": tx.sender,
        "to": tx.to,
        "nonce": hex(tx.nonce),
        "value": hex(tx.value),
        "input": tx.data,
        "gasPrice": hex(tx.price),
        "blockNumber": hex(block.number) if block else None,
    }


def _count(node: StubNode, address: str, tag: str) -> str:
    block = node.at(tag)
    if block is None:
        raise Refused("header not found")
    count = block.nonces.get(address.lower(), 0)
    while tag == "pending" and (address.lower(), count) in node.chain.waiting:
        count += 1
    return hex(count)


def _balance(node: StubNode, address: str, tag: str) -> str:
    block = node.at(tag)
    if block is None:
        raise Refused("header not found")
    return hex(block.balances.get(("", address.lower()), 0))


def _receipt(node: StubNode, tx: str) -> Any:  # noqa: ANN401
    found = node.mined(tx)
    return None if found is None else found[0].receipts[found[1]]


def _transaction(node: StubNode, tx: str) -> Any:  # noqa: ANN401
    found = node.mined(tx)
    if found is not None:
        return _tx(found[0].txs[found[1]], found[0])
    waiting = [one for one in node.chain.waiting.values() if one.hash == tx]
    return _tx(waiting[0], None) if waiting else None


def _receipts(node: StubNode, tag: str) -> Any:  # noqa: ANN401
    block = node.at(tag)
    return None if block is None else list(block.receipts)


def _send(node: StubNode, raw: str) -> str:
    tx = tx_of(raw)
    refused = node.chain.take(tx)
    if refused:
        raise Refused(refused)
    return tx.hash


def tx_of(raw: str) -> Tx:
    """Read signed bytes."""
    says, sender = transactions.decoded(bytes.fromhex(raw[2:]))
    hash_ = transactions.signed(bytes.fromhex(raw[2:])).hash
    return Tx(hash_, sender, says.nonce, says.to or Address(""), says.value_wei, says.data, says.fee.max_wei)


def _call(node: StubNode, message: Mapping[str, str], tag: str) -> str:
    block = node.at(tag)
    if block is None:
        raise Refused("header not found")
    data = message["data"]
    if data[2:10] == calldata.BALANCE_OF:
        return f"0x{block.balances.get((TOKEN.lower(), '0x' + data[-40:]), 0):064x}"
    return f"0x{NOTHING_MORE:064x}"


_METHODS: Mapping[str, Callable[..., Any]] = {
    "eth_chainId": lambda node: hex(node.chain_id),
    "eth_blockNumber": lambda node: hex(node.view[-1].number),
    "eth_gasPrice": lambda _: hex(BASE_FEE),
    "eth_feeHistory": lambda *_: {"baseFeePerGas": [hex(BASE_FEE)], "gasUsedRatio": [], "reward": []},
    "eth_estimateGas": lambda *_: hex(60_000),
    "eth_getCode": lambda _, address, __: "0x00" if address in {TOKEN, PAY_MANY} else "0x",
    "eth_getBlockByNumber": _block,
    "eth_getBlockReceipts": _receipts,
    "eth_getTransactionCount": _count,
    "eth_getBalance": _balance,
    "eth_getTransactionReceipt": _receipt,
    "eth_getTransactionByHash": _transaction,
    "eth_sendRawTransaction": _send,
    "eth_call": _call,
}


# ── liars ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Lie(Enum):
    """What a node may say that is not so."""

    NEWER_HEAD = auto()
    """It is a thousand blocks ahead, and all of that is final."""
    OLDER_HEAD = auto()
    """It stands where it stood long ago."""
    HIGHER_NONCE = auto()
    """The address has sent more than it has."""
    LOWER_NONCE = auto()
    """It has sent nothing."""
    FALSE_RECEIPT = auto()
    """What waits is in a block, and that deep."""
    FALSE_FAILURE = auto()
    """What was done has failed."""
    FALSE_ABSENCE = auto()
    """What is in a block is in none."""
    FALSE_HASH = auto()
    """Blocks have hashes that their headers do not have."""
    FALSE_SENDER = auto()
    """Blocks have transactions of the address that it never sent."""
    FALSE_STATE = auto()
    """The address has nothing, prices are absurd, and every call would fail."""
    TAKES_NOTHING = auto()
    """It takes bytes, and forgets them."""
    REFUSES = auto()
    """Bytes can never be mined, it says."""
    LATE = auto()
    """It answers when everybody else has long answered."""
    GOES_AWAY = auto()
    """In the middle it stops answering."""
    FIRST_TRUE = auto()
    """It tells the truth until it is believed."""
    PRIVATE_FORK = auto()
    """It is on a branch of its own, whose hashes and roots all fit."""


class Liar(StubNode):
    """A node that tells some lies, always or sometimes."""

    def __init__(self, chain: StubChain, chain_id: int, victim: Address, lies: frozenset[Lie], dice: Random) -> None:
        super().__init__(chain, chain_id)
        self.lies = lies
        self._victim = victim
        self._dice = dice
        self._share = dice.choice((1.0, 1.0, 0.5))
        self._true_for = dice.randrange(20, 200) if Lie.FIRST_TRUE in lies else 0
        self._gone_after = dice.randrange(50, 400) if Lie.GOES_AWAY in lies else NOTHING_MORE
        self._forked_at = dice.randrange(1, 12) if Lie.PRIVATE_FORK in lies else NOTHING_MORE
        self._real = chain
        if Lie.LATE in lies:
            self.delay_s = 0.02

    def sync(self, behind: int = 0) -> None:
        """Follow the chain, or the branch that it made."""
        self.gone = self.calls > self._gone_after
        if Lie.PRIVATE_FORK in self.lies and len(self._real.blocks) > self._forked_at:
            if self.chain is self._real:
                self.chain = self._real.fork(self._dice)
                self._forge()
            while len(self.chain.blocks) < len(self._real.blocks) + self._dice.randrange(3):
                self.chain.mine()
        super().sync(behind if self.chain is self._real else 0)

    def _forge(self) -> None:
        """Put transactions into the branch that take the victim's next nonces, and pay somebody else."""
        self.chain.reorg(min(3, len(self.chain.blocks) - 1))
        count = self.chain.blocks[-1].nonces.get(self._victim.lower(), 0)
        for nonce in range(count, count + self._dice.randrange(4)):
            tx = self._forged(nonce)
            self.chain.waiting[tx.sender.lower(), nonce] = tx

    def _forged(self, nonce: int) -> Tx:
        made_up = f"0x{self._dice.getrandbits(256):064x}"
        return Tx(made_up, self._victim, nonce, checksummed("0x" + "66" * 20), 1, "0x", BASE_FEE)

    def answer(self, method: str, params: Sequence[Any]) -> Any:  # noqa: ANN401
        """Answer one call, perhaps with a lie."""
        if self.calls > self._true_for and self._dice.random() < self._share:
            return self._lie(method, params)
        return super().answer(method, params)

    def _lie(self, method: str, params: Sequence[Any]) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912  (a lie a line)
        lies = self.lies
        match method:
            case "eth_blockNumber" if Lie.NEWER_HEAD in lies:
                return hex(len(self.view) + 1000)
            case "eth_blockNumber" if Lie.OLDER_HEAD in lies:
                return "0x1"
            case "eth_getBlockByNumber":
                return self._false_block(*params)
            case "eth_getTransactionCount" if Lie.HIGHER_NONCE in lies:
                return hex(int(super().answer(method, [params[0], "latest"]), 16) + self._dice.choice((1, 3, 900)))
            case "eth_getTransactionCount" if Lie.LOWER_NONCE in lies:
                return "0x0"
            case "eth_getTransactionReceipt":
                return self._false_receipt(*params)
            case "eth_getBlockReceipts" if lies & {Lie.FALSE_RECEIPT, Lie.FALSE_FAILURE}:
                return [one | {"status": "0x0"} for one in super().answer(method, params) or ()]
            case "eth_getTransactionByHash" if Lie.FALSE_ABSENCE in lies:
                return None
            case "eth_getBalance" if Lie.FALSE_STATE in lies:
                return self._dice.choice(("0x0", hex(10**40)))
            case "eth_gasPrice" if Lie.FALSE_STATE in lies:
                return hex(10**30)
            case "eth_estimateGas" | "eth_call" if Lie.FALSE_STATE in lies:
                raise Refused("execution reverted")
            case "eth_getCode" if Lie.FALSE_STATE in lies:
                return "0xfe"
            case "eth_sendRawTransaction" if Lie.TAKES_NOTHING in lies:
                return tx_of(params[0]).hash
            case "eth_sendRawTransaction" if Lie.REFUSES in lies:
                raise Refused(self._dice.choice(("invalid sender", "nonce too low", "transaction underpriced")))
            case _:
                return super().answer(method, params)

    def _false_block(self, tag: str, full: bool) -> Any:  # noqa: ANN401, FBT001
        ahead = tag in {"latest", "finalized"} or int(tag, 16) >= len(self.view)
        if Lie.OLDER_HEAD in self.lies and tag in {"latest", "finalized"}:
            tag = "0x1"
        block = super().answer("eth_getBlockByNumber", ["latest" if ahead and tag != "0x1" else tag, full])
        if Lie.NEWER_HEAD in self.lies and ahead:
            height = len(self.view) + (1000 if tag == "latest" else 900) if not tag.startswith("0x") else int(tag, 16)
            return block | {"number": hex(height), "hash": f"0x{height:064x}"}
        if ahead and tag.startswith("0x"):
            return None if tag != "0x1" else block
        if block is not None and Lie.FALSE_HASH in self.lies:
            block |= {"hash": f"0x{self._dice.getrandbits(256):064x}"}
        if block is not None and full and Lie.FALSE_SENDER in self.lies:
            at = self.at(tag)
            block["transactions"] += [_tx(self._forged(nonce), at) for nonce in range(10)]
        return block

    def _false_receipt(self, tx: str) -> Any:  # noqa: ANN401
        found = super().answer("eth_getTransactionReceipt", [tx])
        if Lie.FALSE_ABSENCE in self.lies:
            return None
        if found is not None and Lie.FALSE_FAILURE in self.lies:
            return found | {"status": "0x0", "logs": []}
        if found is None and Lie.FALSE_RECEIPT in self.lies:
            block = self.view[self._dice.randrange(len(self.view))]
            return _made_up(tx, block)
        return found


def _made_up(tx: str, block: Block) -> dict[str, Any]:
    made = Tx(tx, Address("0x" + "11" * 20), 0, Address("0x" + "22" * 20), 0, "0x", BASE_FEE)
    return _done(made, 0, block.number, {}) | {"blockHash": block.hash}


# ── a session without sockets ────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class StubSession:
    """Stands for an HTTP client's session: hands requests to nodes by the name of their host."""

    nodes: Mapping[str, StubNode]

    def request(self, _: str, url: URL, *, data: bytes, **__: object) -> "_Exchange":
        """Begin an exchange."""
        return _Exchange(self.nodes[url.host or ""], data)


@dataclass
class _Exchange:
    node: StubNode
    data: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    _body: bytes = b""

    async def __aenter__(self) -> Self:
        self._body = await self.node.serve(self.data)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    @property
    def content(self) -> Self:
        """The body, as a stream."""
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Give the body at once."""
        yield self._body
