"""A node with faults: hands JSON-RPC to a real chain and back, and does to it what a test asks for."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

import aiohttp
from aiohttp import web
from eth_hash.auto import keccak

Hook = Callable[[list[str]], Awaitable[None]]

EVERY = "*"
FOR_EVER = 10**9


class Kind(Enum):
    """What can go wrong with a call."""

    TIMEOUT_BEFORE = auto()
    """Nothing reaches the chain, and no answer comes."""
    TIMEOUT_AFTER = auto()
    """The chain does it, and no answer comes."""
    RESET_BEFORE = auto()
    """The connection breaks, and nothing reached the chain."""
    RESET_AFTER = auto()
    """The chain does it, and the connection breaks."""
    HTML_502 = auto()
    """A gateway's page; nothing reaches the chain."""
    HTML_502_AFTER = auto()
    """A gateway's page, though the chain did it."""
    TOO_MANY = auto()
    """HTTP 429 with a Retry-After; nothing reaches the chain."""
    TRUNCATED = auto()
    """The chain does it; the answer ends in the middle."""
    HUGE = auto()
    """The chain does it; the answer is `size` bytes of blanks longer."""
    ERROR = auto()
    """A JSON-RPC error with HTTP 200; the call does not reach the chain."""
    ERROR_AFTER = auto()
    """The same, though the chain did it."""
    NULL = auto()
    """A null for a result."""
    DROPPED = auto()
    """A transaction is said to be taken, and goes nowhere."""


_WHOLE = frozenset(
    {
        Kind.TIMEOUT_BEFORE,
        Kind.TIMEOUT_AFTER,
        Kind.RESET_BEFORE,
        Kind.RESET_AFTER,
        Kind.HTML_502,
        Kind.HTML_502_AFTER,
        Kind.TOO_MANY,
        Kind.TRUNCATED,
        Kind.HUGE,
    }
)
"""What happens to a whole request, and so to all that shares a batch with the call."""
_BEFORE = frozenset({Kind.TIMEOUT_BEFORE, Kind.RESET_BEFORE, Kind.HTML_502, Kind.TOO_MANY})


@dataclass
class Fault:
    """One thing that goes wrong with the next calls of a method."""

    kind: Kind
    method: str = EVERY
    times: int = 1
    words: str = "internal error"
    code: int = -32000
    retry_after_s: int = 7
    size: int = 1024


@dataclass(eq=False)
class ChainProxy:
    """Stands between a client and a chain."""

    upstream: str
    chain_id: int | None = None
    """What it claims to be; None tells the truth."""
    lag: int = 0
    """How many blocks it is behind."""
    outage: bool = False
    """Whether every connection breaks."""
    refuses_batches: bool = False
    pruned_below: int = 0
    """Below this block it has no state."""
    no_finality: bool = False
    unknown_methods: frozenset[str] = frozenset()
    lie: Callable[[str, Sequence[Any], Any], Any] | None = None
    """Makes of each true result what is said instead."""
    before: Hook | None = None
    """Is awaited with the methods of each request before anything of it is done: the place to kill somebody."""
    after: Hook | None = None
    """The same, when it is done and before the answer leaves."""
    calls: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    """All that was asked, whatever came of it."""
    batches: list[int] = field(default_factory=list)
    """How many calls each request had."""
    authorizations: list[str] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _flapping: dict[str, deque[bool]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None
    _port: int = 0
    _ends: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let nobody wait any longer, and close."""
        self._ends.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def fail(self, kind: Kind, method: str = EVERY, times: int = 1, **parts: Any) -> None:
        """Let the next calls of a method meet a fault; those of earlier orders come first."""
        self._faults.append(Fault(kind, method, times, **parts))

    def heal(self) -> None:
        """Be a good node again."""
        self._faults.clear()
        self._flapping.clear()
        self.lag, self.outage, self.chain_id, self.refuses_batches, self.pruned_below = 0, False, None, False, 0

    def flap(self, method: str, shown: str) -> None:
        """Show (+) or hide (-) the results of a method's next calls; after the last it shows them."""
        self._flapping[method] = deque(one == "+" for one in shown)

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(called == method for called, _ in self.calls)

    @property
    def spent(self) -> bool:
        """Whether all faults that were ordered have been met."""
        return all(fault.times <= 0 for fault in self._faults)

    def forget(self) -> None:
        """Count anew."""
        self.calls.clear()
        self.batches.clear()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.outage:
            return await self._reset(request)
        asked = json.loads(await request.read())
        batch = asked if isinstance(asked, list) else [asked]
        self.calls += [(call["method"], call.get("params", ())) for call in batch]
        self.batches.append(len(batch))
        if isinstance(asked, list) and self.refuses_batches:
            return web.json_response(_error(None, -32600, "batch requests are not supported"))
        await self._tell(self.before, batch)
        answer = await self._faulty(request, asked, batch)
        await self._tell(self.after, batch)
        return answer

    async def _tell(self, hook: Hook | None, batch: Sequence[dict[str, Any]]) -> None:
        if hook is not None:
            await hook([call["method"] for call in batch])

    async def _faulty(self, request: web.Request, asked: Any, batch: Sequence[dict[str, Any]]) -> web.StreamResponse:  # noqa: ANN401
        faults = [self._take(call["method"]) for call in batch]
        if self._is_good and not any(faults):
            return await self._as_it_is(asked)
        whole = next((fault for fault in faults if fault is not None and fault.kind in _WHOLE), None)
        if whole is not None and whole.kind in _BEFORE:
            return await self._break(request, whole, b"")
        answers = [await self._answer(call, fault) for call, fault in zip(batch, faults, strict=True)]
        body = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        if whole is not None:
            return await self._break(request, whole, body)
        return web.Response(body=body, content_type="application/json")

    def _take(self, method: str) -> Fault | None:
        for fault in self._faults:
            if fault.method in {EVERY, method} and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    async def _break(self, request: web.Request, fault: Fault, body: bytes) -> web.StreamResponse:
        match fault.kind:
            case Kind.TIMEOUT_BEFORE | Kind.TIMEOUT_AFTER:
                await self._ends.wait()
                return await self._reset(request)
            case Kind.HTML_502 | Kind.HTML_502_AFTER:
                page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
                return web.Response(status=502, text=page, content_type="text/html")
            case Kind.TOO_MANY:
                after = {"Retry-After": str(fault.retry_after_s)}
                return web.Response(status=429, text="slow down", headers=after)
            case Kind.TRUNCATED:
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case Kind.HUGE:
                return web.Response(body=body + b" " * fault.size, content_type="application/json")
            case _:
                return await self._reset(request)

    async def _reset(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _answer(self, call: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        ident, method = call.get("id"), call["method"]
        if method in self.unknown_methods:
            return _error(ident, -32601, f"the method {method} does not exist/is not available")
        if fault is not None and fault.kind not in _WHOLE:
            return await self._spoilt(call, fault)
        answer = await self._honest(call)
        if self.lie is not None and "result" in answer:
            answer = _result(ident, self.lie(method, call.get("params", ()), answer["result"]))
        pattern = self._flapping.get(method)
        return _result(ident, None) if pattern and not pattern.popleft() else answer

    async def _spoilt(self, call: dict[str, Any], fault: Fault) -> dict[str, Any]:
        ident = call.get("id")
        if fault.kind is Kind.DROPPED:
            return _result(ident, "0x" + bytes(keccak(bytes.fromhex(call["params"][0][2:]))).hex())
        if fault.kind is Kind.NULL:
            return _result(ident, None)
        if fault.kind is Kind.ERROR_AFTER:
            await self._honest(call)
        return _error(ident, fault.code, fault.words)

    async def _honest(self, call: dict[str, Any]) -> dict[str, Any]:
        """What the chain says, as a node says it that is behind, prunes, or is of another chain."""
        ident, method, params = call.get("id"), call["method"], list(call.get("params", ()))
        if method == "eth_chainId" and self.chain_id is not None:
            return _result(ident, hex(self.chain_id))
        if method == "eth_getBlockByNumber" and params[0] == "finalized" and self.no_finality:
            return _error(ident, -32000, "finalized block not found")
        place = _HEIGHT_AT.get(method)
        if place == 1 and params[1].startswith("0x") and int(params[1], 16) < self.pruned_below:
            return _error(ident, -32000, "missing trie node 00112233 (path ) state is not available")
        if not self.lag:
            return await self._forward(method, params, ident)
        return await self._behind(ident, method, params, place)

    async def _behind(self, ident: object, method: str, params: list[Any], place: int | None) -> dict[str, Any]:
        newest = max(0, int((await self._forward("eth_blockNumber", []))["result"], 16) - self.lag)
        if method == "eth_blockNumber":
            return _result(ident, hex(newest))
        if place is not None:
            if params[place] in {"latest", "pending"}:
                params[place] = hex(newest)
            elif params[place].startswith("0x") and int(params[place], 16) > newest:
                return _result(ident, None) if place == 0 else _error(ident, -32000, "header not found")
        answer = await self._forward(method, params, ident)
        return _hidden(answer, newest) if method in _BY_HASH else answer

    @property
    def _is_good(self) -> bool:
        told = self.chain_id is None and not self.no_finality and not self.unknown_methods and self.lie is None
        return told and not self.lag and not self.pruned_below and not any(self._flapping.values())

    async def _as_it_is(self, asked: Any) -> web.Response:  # noqa: ANN401  (one call or a list of them)
        """Hand over a whole request: the chain reads batches too, and much faster."""
        assert self._session is not None, "the proxy is not started"
        async with self._session.post(self.upstream, json=asked) as response:
            return web.Response(body=await response.read(), content_type="application/json")

    async def _forward(self, method: str, params: Sequence[Any], ident: object = 1) -> dict[str, Any]:
        assert self._session is not None, "the proxy is not started"
        body = {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}
        async with self._session.post(self.upstream, json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
        return answer


_HEIGHT_AT = {"eth_getTransactionCount": 1, "eth_getBalance": 1, "eth_call": 1, "eth_getBlockByNumber": 0}
"""Where a method's parameters name a block."""
_BY_HASH = frozenset({"eth_getTransactionReceipt", "eth_getTransactionByHash"})


def _hidden(answer: dict[str, Any], newest: int) -> dict[str, Any]:
    """What is in a block that the node has not seen is nothing to it."""
    found = answer.get("result")
    if isinstance(found, dict) and found["blockNumber"] is not None and int(found["blockNumber"], 16) > newest:
        return _result(answer["id"], None)
    return answer


def _result(ident: object, result: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "result": result}


def _error(ident: object, code: int, words: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": words}}
