"""What a node answers over JSON-RPC, from the chain in this process: `python -m adapters.sandbox.chain.rpc FILE`.

It prints where it listens.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import rlp  # type: ignore[import-untyped]
from aiohttp import web
from eth.abc import BlockAPI, LogAPI, SignedTransactionAPI
from eth_typing import Address
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak
from eth_utils.hexadecimal import decode_hex, encode_hex

from adapters.sandbox.chain.evm import CHAIN_ID, FINAL_AFTER, TIP_WEI, Evm, EvmRefused

Json = dict[str, Any]

MOST_BLOCKS = 1024
MOST_BYTES = 8 * 1024 * 1024
_TYPED = 0x7F
"""Up to here the first byte of a transaction is its type."""
UNKNOWN_METHOD, BAD_PARAMS, NO_REQUEST = -32601, -32602, -32600


class Rpc:
    """Answers requests, alone or many at once."""

    def __init__(self, evm: Evm) -> None:
        self._evm = evm
        self._methods: dict[str, Callable[..., Any]] = {
            "eth_chainId": lambda: hex(CHAIN_ID),
            "net_version": lambda: str(CHAIN_ID),
            "net_peerCount": lambda: "0x0",
            "web3_clientVersion": lambda: "payflow-sandbox/py-evm",
            "eth_syncing": lambda: False,
            "eth_accounts": lambda: list(evm.signers),
            "eth_blockNumber": lambda: hex(evm.height),
            "eth_getBlockByNumber": lambda at, full=False: self._block(evm.block(self._at(at)), full=full),
            "eth_getBlockByHash": lambda name, full=False: self._block(
                evm.block(evm.number_of(decode_hex(name))), full=full
            ),
            "eth_getTransactionCount": lambda who, at="latest": hex(
                evm.state(self._at(at)).get_nonce(to_canonical_address(who))
            ),
            "eth_getBalance": lambda who, at="latest": hex(
                evm.state(self._at(at)).get_balance(to_canonical_address(who))
            ),
            "eth_getCode": lambda who, at="latest": encode_hex(
                evm.state(self._at(at)).get_code(to_canonical_address(who))
            ),
            "eth_gasPrice": lambda: hex(evm.next_base_fee_wei + TIP_WEI),
            "eth_maxPriorityFeePerGas": lambda: hex(TIP_WEI),
            "eth_feeHistory": self._fee_history,
            "eth_estimateGas": lambda call, _at="latest": hex(evm.estimate(*_call(call))),
            "eth_call": lambda call, at="latest": encode_hex(evm.call(*_call(call), self._at(at))),
            "eth_sendRawTransaction": lambda raw: encode_hex(evm.send(decode_hex(raw))),
            "eth_sendTransaction": self._send,
            "personal_sign": lambda text, who, _word="": self._sign(who, text),
            "eth_sign": self._sign,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "evm_mine": self._mine,
        }

    def answer(self, asked: object) -> object:
        """Answer what was asked: one request, or a list of them."""
        if isinstance(asked, list):
            return [self._one(each) for each in asked]
        return self._one(asked)

    def _one(self, asked: object) -> Json:
        if not isinstance(asked, dict):
            return _failed(None, NO_REQUEST, "invalid request")
        number, name, params = asked.get("id"), str(asked.get("method")), asked.get("params") or []
        method = self._methods.get(name)
        if method is None:
            return _failed(number, UNKNOWN_METHOD, f"the method {name} does not exist/is not available")
        try:
            return {"jsonrpc": "2.0", "id": number, "result": method(*params)}
        except EvmRefused as refusal:
            return _failed(number, refusal.code, str(refusal), refusal.data)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            return _failed(number, BAD_PARAMS, f"invalid params: {error}")

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _at(self, tag: object) -> int:
        match tag:
            case "latest" | "pending" | None:  # every transaction is mined at once, so nothing is ever pending
                return self._evm.height
            case "finalized" | "safe":
                return max(0, self._evm.height - FINAL_AFTER)
            case "earliest":
                return 0
            case _:
                return int(str(tag), 16)

    def _block(self, block: BlockAPI | None, *, full: bool) -> Json | None:
        if block is None:
            return None
        header = block.header
        return {
            "number": hex(header.block_number),
            "hash": encode_hex(header.hash),
            "parentHash": encode_hex(header.parent_hash),
            "timestamp": hex(header.timestamp),
            "gasLimit": hex(header.gas_limit),
            "gasUsed": hex(header.gas_used),
            "baseFeePerGas": hex(header.base_fee_per_gas or 0),
            "miner": to_checksum_address(header.coinbase),
            "stateRoot": encode_hex(header.state_root),
            "transactions": [
                self._shown(block, place) if full else encode_hex(tx.hash)
                for place, tx in enumerate(block.transactions)
            ],
        }

    def _fee_history(self, count: str | int, newest: object, _percentiles: object = ()) -> Json:
        last = self._at(newest)
        first = max(0, last - min(_number(count), MOST_BLOCKS) + 1)
        headers = [found for at in range(first, last + 1) if (found := self._evm.header(at)) is not None]
        bases = [hex(header.base_fee_per_gas or 0) for header in headers]
        following = self._evm.header(last + 1)
        return {
            "oldestBlock": hex(first),
            "baseFeePerGas": [
                *bases,
                hex((following.base_fee_per_gas or 0) if following else self._evm.next_base_fee_wei),
            ],
            "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
            "reward": [[hex(TIP_WEI if header.gas_used else 0)] for header in headers],
        }

    def _mine(self, *_: object) -> str:
        self._evm.mine()
        return "0x0"

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, wanted: Json) -> str:
        sender, to, data, value = _call(wanted)
        gas = _number(wanted["gas"]) if "gas" in wanted else self._evm.estimate(sender, to, data, value) * 3 // 2
        return encode_hex(self._evm.send_for(str(wanted["from"]), to, data, value, gas))

    def _sign(self, who: str, text: str) -> str:
        from eth_account import Account  # noqa: PLC0415  (slow to import, and seldom asked for)
        from eth_account.messages import encode_defunct  # noqa: PLC0415  (as above)

        key = self._evm.signers.get(who.lower())
        if key is None:
            raise EvmRefused("No Signer available")
        return encode_hex(Account.sign_message(encode_defunct(hexstr=text), key).signature)

    def _transaction(self, tx_hash: str) -> Json | None:
        found = self._found(tx_hash)
        return None if found is None else self._shown(*found)

    def _found(self, tx_hash: str) -> tuple[BlockAPI, int] | None:
        place = self._evm.place_of(decode_hex(tx_hash))
        block = self._evm.block(place[0]) if place else None
        return None if place is None or block is None else (block, place[1])

    def _shown(self, block: BlockAPI, place: int) -> Json:
        tx = block.transactions[place]
        return {
            "hash": encode_hex(tx.hash),
            "type": hex(_type(tx)),
            "from": to_checksum_address(tx.sender),
            "to": to_checksum_address(tx.to) if tx.to else None,
            "nonce": hex(tx.nonce),
            "value": hex(tx.value),
            "input": encode_hex(tx.data),
            "gas": hex(tx.gas),
            "gasPrice": hex(_price(block, tx)),
            "blockNumber": hex(block.number),
            "blockHash": encode_hex(block.hash),
            "transactionIndex": hex(place),
        }

    def _receipt(self, tx_hash: str) -> Json | None:
        found = self._found(tx_hash)
        if found is None:
            return None
        block, place = found
        tx, receipts = block.transactions[place], self._evm.receipts(block)
        before = receipts[place - 1].gas_used if place else 0
        made = None if tx.to else to_checksum_address(bytes(keccak(rlp.encode([tx.sender, tx.nonce])))[12:])
        return {
            "transactionHash": encode_hex(tx.hash),
            "transactionIndex": hex(place),
            "type": hex(_type(tx)),
            "from": to_checksum_address(tx.sender),
            "to": to_checksum_address(tx.to) if tx.to else None,
            "blockNumber": hex(block.number),
            "blockHash": encode_hex(block.hash),
            "status": "0x1" if receipts[place].state_root == b"\x01" else "0x0",
            "gasUsed": hex(receipts[place].gas_used - before),
            "cumulativeGasUsed": hex(receipts[place].gas_used),
            "effectiveGasPrice": hex(_price(block, tx)),
            "contractAddress": made,
            "logs": [_log(block, place, tx, log, at) for at, log in enumerate(receipts[place].logs)],
        }

    def _logs(self, wanted: Json) -> list[Json]:
        first, last = self._at(wanted.get("fromBlock")), self._at(wanted.get("toBlock"))
        given = wanted.get("address", [])
        addresses = {str(one).lower() for one in (given if isinstance(given, list) else [given])}
        topics = wanted.get("topics") or []
        return [log for at in range(first, last + 1) for log in self._logs_of(at) if _fits(log, addresses, topics)]

    def _logs_of(self, at: int) -> list[Json]:
        block = self._evm.block(at)
        if block is None or not block.transactions:
            return []
        return [
            _log(block, place, block.transactions[place], log, number)
            for place, receipt in enumerate(self._evm.receipts(block))
            for number, log in enumerate(receipt.logs)
        ]


def _fits(log: Json, addresses: set[str], topics: list[Any]) -> bool:
    if addresses and log["address"].lower() not in addresses:
        return False
    if len(topics) > len(log["topics"]):
        return False
    pairs = zip(topics, log["topics"], strict=False)
    return all(wanted is None or has in (wanted if isinstance(wanted, list) else [wanted]) for wanted, has in pairs)


def _log(block: BlockAPI, place: int, tx: SignedTransactionAPI, log: LogAPI, number: int) -> Json:
    return {
        "address": to_checksum_address(log.address),
        "topics": [encode_hex(topic.to_bytes(32, "big")) for topic in log.topics],
        "data": encode_hex(log.data),
        "blockNumber": hex(block.number),
        "blockHash": encode_hex(block.hash),
        "transactionHash": encode_hex(tx.hash),
        "transactionIndex": hex(place),
        "logIndex": hex(number),
        "removed": False,
    }


def _type(tx: SignedTransactionAPI) -> int:
    first = tx.encode()[0]
    return int(first) if first <= _TYPED else 0


def _price(block: BlockAPI, tx: SignedTransactionAPI) -> int:
    return int(min(tx.max_fee_per_gas, (block.header.base_fee_per_gas or 0) + tx.max_priority_fee_per_gas))


def _call(wanted: Json) -> tuple[Address, bytes, bytes, int]:
    sender = to_canonical_address(str(wanted.get("from") or "0x" + "00" * 20))
    data = decode_hex(str(wanted.get("data") or wanted.get("input") or "0x"))
    return sender, decode_hex(str(wanted.get("to") or "0x")), data, _number(wanted.get("value") or 0)


def _number(given: str | int) -> int:
    return given if isinstance(given, int) else int(given, 16)


def _failed(number: object, code: int, words: str, data: str = "") -> Json:
    error = {"code": code, "message": words} | ({"data": data} if data else {})
    return {"jsonrpc": "2.0", "id": number, "error": error}


async def serve(path: Path) -> None:
    """Serve until a signal comes."""
    evm = Evm(path)
    rpc = Rpc(evm)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            asked = json.loads(await request.content.read(MOST_BYTES))
        except ValueError:
            return web.json_response({"error": "This is no JSON."}, status=HTTPStatus.BAD_REQUEST)
        return web.json_response(rpc.answer(asked))

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"Listening on {':'.join(map(str, runner.addresses[0][:2]))}", flush=True)  # noqa: T201  (whoever started us reads it)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()
    evm.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
