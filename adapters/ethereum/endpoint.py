"""One node: a URL, what it was caught at, and the batches in which it is asked.

Calls asked for in the same turn of the event loop leave as one request. Before a node is asked for anything, and again
after each failure, it is asked for its chain id: one that answers for another chain is not believed.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from adapters.ethereum import envelope, refusals, wire
from adapters.ethereum.envelope import Raw, RpcCall, RpcFault, Said, Unreadable
from adapters.http import BrokenOff, HttpLimits, HttpReply, NoReply, Overlong, Unreached, exchange, split_login
from machines.core.batcher import Batcher
from machines.core.clock import SECOND, Clock, Millis
from machines.core.errors import Retryable

_NOT_HANDED_ON = frozenset({400, 401, 402, 403, 404, 405, 410, 413, 415, 421, 451})
"""Statuses of a server that did not even hand the request to a node."""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """How long a node may take, how much it may bring, and how it is asked."""

    connect_s: float = 5.0
    exchange_s: float = 15.0
    body_bytes: int = 32 * 1024 * 1024
    batch: int = 100
    in_flight: int = 4
    rest_s: float = 15.0
    """How long a node that failed is asked last."""
    lag_blocks: int = 2
    """How far behind the best a node may be and still be believed about the present."""
    rounds: int = 2
    """How often a read goes over all nodes."""
    pause_s: float = 0.2
    grace_s: float = 0.25
    """How long the last nodes are waited for when enough of the others have answered."""
    taken_back_s: float = 600.0
    """How long the nodes must stay behind what they told before, until it counts as never told."""


class NodeFailed(Exception):
    """A node did not answer, and it is not known whether it did what it was asked."""

    kind = "lost"
    taken = True
    """Whether it may have done it nevertheless."""

    def __init__(self, words: str, after_s: float | None = None) -> None:
        super().__init__(words)
        self.after_s = after_s


class NeverLeft(NodeFailed):
    """Nothing reached the node, or it was turned away at the door."""

    kind = "unreachable"
    taken = False


class Busy(NeverLeft):
    """The node was asked too often, and did nothing."""

    kind = "busy"


class WrongChain(NeverLeft):
    """The node answers for another chain."""

    kind = "wrong_chain"


@dataclass(slots=True)
class NodeStatistics:
    """What one node was asked, and how it did; read by the metrics."""

    name: str
    calls: int = 0
    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    height: int = 0
    lag_blocks: int = 0
    refused: bool = False
    """Whether it answers for another chain."""
    forked: bool = False
    """Whether it is on another branch than the others, deeper than a reorg goes."""


class NodeEndpoint:
    """Asks one node."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, name: str, chain_id: int, clock: Clock, limits: NodeLimits
    ) -> None:
        self.figures = NodeStatistics(name)
        self._session = session
        self._url, self._headers = split_login(url)
        self._chain_id = chain_id
        self._clock = clock
        self._limits = limits
        self._http = HttpLimits(connect_s=limits.connect_s, body_bytes=limits.body_bytes)
        self._batcher: Batcher[RpcCall, Said] = Batcher(
            self._exchange, most=limits.batch, in_flight=limits.in_flight, alone=lambda call: call.alone
        )
        self._verified = False
        self._verifying = asyncio.Lock()
        self._refused_until = Millis(0)
        self._rests_until = Millis(0)

    @property
    def name(self) -> str:
        """Its host and port: never what a log must not have."""
        return self.figures.name

    @property
    def rests(self) -> bool:
        """Whether it failed lately."""
        return self._clock.now() < self._rests_until

    def ask(self, call: RpcCall) -> asyncio.Future[Said]:
        """Put a call into the next request; its future raises `NodeFailed`."""
        return self._batcher.ask(call)

    async def close(self) -> None:
        """Give up what is under way, and what waits."""
        await self._batcher.close()

    def failed(self, kind: str) -> None:
        """Ask it last for a while, and for its chain before anything else."""
        self.figures.errors[kind] += 1
        self._rests_until = Millis(self._clock.now() + int(self._limits.rest_s * SECOND))
        self._verified = False

    async def _exchange(self, calls: list[RpcCall]) -> Sequence[Said]:
        try:
            await self._verify()
            return await self._said(calls)
        except NodeFailed as error:
            self.failed(error.kind)
            # What still waits would meet the same: it is told at once, and knows that it never left.
            self._batcher.fail_waiting(error if not error.taken else NeverLeft(str(error)))
            raise

    async def _verify(self) -> None:
        failures = self.figures.errors.total()
        async with self._verifying:
            if self._verified:
                return
            if self._clock.now() < self._refused_until:
                raise WrongChain(f"{self.name} answers for another chain than {self._chain_id}")
            if self.figures.errors.total() != failures:
                raise NeverLeft(f"{self.name} has just failed")  # whoever waited here would wait for the same again
            try:
                [said] = await self._said([wire.CHAIN_ID])
                if isinstance(said, RpcFault):
                    raise NeverLeft(f"{self.name} does not tell its chain: {said.words}")
                self.believe(said)
            except NodeFailed as error:
                raise (NeverLeft(str(error)) if error.taken else error) from error
            self._verified = True

    def believe(self, answer: Raw) -> None:
        """Check what a node told about its chain: `WrongChain` when it is another."""
        try:
            chain = wire.number(answer)
        except Unreadable as error:
            raise NeverLeft(f"{self.name} does not tell its chain: {error}") from error
        self.figures.refused = chain != self._chain_id
        if self.figures.refused:
            self._refused_until = Millis(self._clock.now() + int(self._limits.rest_s * SECOND))
            self._verified = False
            raise WrongChain(f"{self.name} answers for chain {chain} and not for {self._chain_id}")
        self._refused_until = Millis(0)

    async def _said(self, calls: Sequence[RpcCall]) -> Sequence[Said]:
        """Ask; a batch that a node will not take as one is asked for call by call."""
        try:
            said = await self._post(calls)
        except Overlong as error:
            if len(calls) == 1:
                raise NodeFailed(f"{self.name} sent what cannot be used: {error}") from error
            said = RpcFault(0, str(error))
        except Unreadable as error:
            raise NodeFailed(f"{self.name} sent what cannot be used: {error}") from error
        if not isinstance(said, RpcFault):
            return said
        if refusals.busy(said) and not refusals.too_many(said):
            raise Busy(f"{self.name}: {said.words}")
        self.figures.errors["batch_refused"] += 1
        self._batcher.most = max(1, len(calls) // 4)
        return [one for call in calls for one in await self._said([call])]

    async def _post(self, calls: Sequence[RpcCall]) -> list[Said] | RpcFault:
        self.figures.requests += 1
        self.figures.calls += len(calls)
        try:
            reply = await exchange(
                self._session,
                "POST",
                self._url,
                headers=self._headers,
                total_s=self._limits.exchange_s,
                limits=self._http,
                body=envelope.request(calls),
                clock=self._clock,
            )
        except Unreached as error:
            raise NeverLeft(f"{self.name} cannot be reached: {error}") from error
        except Overlong:
            raise
        except BrokenOff as error:
            raise NodeFailed(f"{self.name} broke off: {error}") from error
        return self._read(reply, len(calls))

    def _read(self, reply: HttpReply, count: int) -> list[Said] | RpcFault:
        """Read a reply. Some nodes put their errors under a status of 400 or 500; others mean it."""
        status, body = reply.status, reply.body
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Busy(f"{self.name} was asked too often", reply.retry_after_s)
        if status == HTTPStatus.OK:
            return envelope.answers(body, count)
        try:
            said = envelope.answers(body, count)
        except Unreadable:
            said = []
        if said:
            return said
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and count > 1:
            return RpcFault(status, "the batch is too large")
        if status in _NOT_HANDED_ON:
            raise NeverLeft(f"{self.name} turned us away with HTTP {status}")
        raise NodeFailed(f"{self.name} answered HTTP {status}")


async def chain_of(session: aiohttp.ClientSession, url: str, limits: NodeLimits) -> int:
    """Ask a node which chain it is on; `Retryable` where it does not say."""
    place, headers = split_login(url)
    body = envelope.request([wire.CHAIN_ID])
    try:
        reply = await exchange(session, "POST", place, headers=headers, total_s=limits.exchange_s, body=body)
        said = envelope.answer(reply.body)
        if not isinstance(said, RpcFault):
            return wire.number(said)
    except (NoReply, Unreadable) as error:
        raise Retryable(f"{names([url])[0]}: {error}") from error
    raise Retryable(f"{names([url])[0]}: {said.words}")


def names(urls: Sequence[str]) -> list[str]:
    """Name nodes by host and port; the path of a URL is often its secret."""
    used: Counter[str] = Counter()
    found = []
    for url in urls:
        parsed = split_login(url)[0]
        name = f"{parsed.host}:{parsed.port}"
        used[name] += 1
        found.append(name if used[name] == 1 else f"{name}#{used[name]}")
    return found
