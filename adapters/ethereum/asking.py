"""How several nodes are asked as one: in order of their health, and all of them where no single one may decide."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from adapters.ethereum import refusals, wire
from adapters.ethereum.endpoint import Busy, NodeEndpoint, NodeFailed, NodeLimits, WrongChain
from adapters.ethereum.envelope import Raw, RpcCall, RpcFault, Unreadable
from adapters.ethereum.refusals import Means
from adapters.ethereum.wire import Header
from machines.core.chain import ChainHead
from machines.core.clock import SECOND, Millis
from machines.core.errors import NoQuorum, RailClosed, Rejected, Retryable, StepError

T = TypeVar("T")
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Agreed(Generic[T]):
    """What enough nodes say, and which."""

    value: T
    by: frozenset[str]


@dataclass(slots=True)
class Quorum:
    """How many nodes of a chain must say the same before it counts.

    What cannot be undone follows only from what *enough* nodes say alike: a majority, unless the settings say
    otherwise. Who does not answer agrees to nothing. What is merely planned with (a price, a balance) is the highest
    value that enough nodes have reached, so that no single one can raise it, nor lower it while the others answer.

                            alike: agreed()             reached: reached()
        5 5 900             5                           5
        5 5 -               5                           5
        5 - -               nothing, unless trusted     5
        5 900               nothing, unless trusted     5
    """

    nodes: int
    needed: int = 0
    """How many must agree; a majority where none is given."""
    trusted: str = field(default="", init=False)
    """The node whose word counts alone for a time, because people said so."""

    def __post_init__(self) -> None:
        self.needed = self.needed or self.nodes // 2 + 1

    @property
    def alone(self) -> bool:
        """Whether there is one node, whose word counts."""
        return self.nodes == 1

    def agreed(self, said: Sequence[tuple[str, V]]) -> Agreed[V] | None:
        """Find what enough nodes say alike; else what the trusted one says."""
        groups: dict[V, list[str]] = {}
        for name, value in said:
            groups.setdefault(value, []).append(name)
        most = max(groups, key=lambda value: len(groups[value]), default=None)
        # Where fewer than half are needed, two groups may both be enough, and then neither is believed.
        rivals = sum(len(names) >= self.needed for names in groups.values())
        if most is not None and rivals == 1:
            return Agreed(most, frozenset(groups[most]))
        trusted = [value for value, names in groups.items() if self.trusted in names]
        return Agreed(trusted[0], frozenset(groups[trusted[0]])) if trusted and not rivals else None

    def reached(self, values: Sequence[T], rank: Callable[[T], Any]) -> T:
        """Give the highest value that enough of those who answered have reached."""
        return sorted(values, key=rank, reverse=True)[min(self.needed, len(values)) - 1]


REMEMBERED = 256
"""How many blocks' hashes are remembered."""


class NoNode(Retryable):
    """No node can be asked."""


class TooMuch(Retryable):
    """A node wants to be asked for less at once."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A node's word that no other node would say anything else; nodes that refuse alike agree."""

    kind: type[StepError]
    words: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Refusal) and other.kind is self.kind

    def __hash__(self) -> int:
        return hash(self.kind)


class Heights:
    """Remembers the newest heads that were told, and their hashes: enough to tell a node that lags from a reorg.

    A lower head proves less, never more, so what was told can always be taken back: at once where another block stands
    in its place or whose word counts has changed, and after a while where the nodes simply stay behind it.
    """

    def __init__(self, taken_back_s: float) -> None:
        self.newest: ChainHead | None = None
        self._hashes: OrderedDict[int, str] = OrderedDict()
        self._final: int | None = None
        self._patience = Millis(int(taken_back_s * SECOND))
        self._behind_since: Millis | None = None

    def tell(self, header: Header, finalized: int | None, now: Millis) -> ChainHead:
        """Tell the newest head, or once more the one before where this one is behind it."""
        if self._stays_behind(header.number, finalized, now):
            self.forget()
        newest = self.newest
        if self._final is not None:
            finalized = max(finalized or 0, self._final)  # what cannot go away does not
        self._final = finalized
        if newest is not None and header.number < newest.number:
            header = Header(newest.number, newest.hash, newest.timestamp_s, newest.base_fee_wei)
        if finalized is not None:
            finalized = min(finalized, header.number)
        self.newest = ChainHead(header.number, header.hash, header.timestamp_s, header.base_fee_wei, finalized)
        self._hashes[header.number] = header.hash
        self._hashes.move_to_end(header.number)
        while len(self._hashes) > REMEMBERED:
            self._hashes.popitem(last=False)
        return self.newest

    def _stays_behind(self, number: int, finalized: int | None, now: Millis) -> bool:
        lower = self.newest is not None and number < self.newest.number
        if not lower and (self._final is None or (finalized or 0) >= self._final):
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return now - self._behind_since >= self._patience

    def newest_known(self, up_to: int) -> int | None:
        """Find the newest height up to this one whose hash is remembered."""
        return max((number for number in self._hashes if number <= up_to), default=None)

    def replaced(self, header: Header) -> bool:
        """Whether another block stands now where one is remembered."""
        return self._hashes.get(header.number, header.hash) != header.hash

    def reorganized(self) -> None:
        """A reorg took away what was told; what is final stays."""
        self.newest = None
        self._hashes.clear()

    def forget(self) -> None:
        """Nothing that was told counts any more."""
        self.reorganized()
        self._final = self._behind_since = None


class Asking:
    """Asks nodes, and gives up in the words of the house."""

    def __init__(
        self, ends: Sequence[NodeEndpoint], heights: Heights, limits: NodeLimits, rail: str, quorum: Quorum
    ) -> None:
        self.ends = ends
        self.quorum = quorum
        self._heights = heights
        self._limits = limits
        self._rail = rail

    def order(self) -> list[NodeEndpoint]:
        """Whoever failed or lags is asked last."""
        return sorted(
            self.ends, key=lambda end: (end.figures.refused, end.figures.forked, end.rests, end.figures.lag_blocks)
        )

    async def one(
        self,
        calls: Sequence[RpcCall],
        read: Callable[..., T],
        *,
        fresh: bool = False,
        extra: RpcCall | None = None,
        rounds: int | None = None,
    ) -> T:
        """Ask one node after the other, until one gives results to all calls that can be read.

        `fresh` questions are about the present: the node must have reached the best block that we know of. `beside` is
        a question that a node may refuse: its result is left out then.
        """
        again = AsyncRetrying(
            stop=stop_after_attempt(rounds or self._limits.rounds),
            wait=wait_random_exponential(multiplier=self._limits.pause_s, max=2.0),
            retry=retry_if_exception_type(NoNode),
            reraise=True,
        )

        async def results(end: NodeEndpoint) -> T:
            return read(*await self._results(end, calls, extra, fresh=fresh))

        return await again(self._round, results)

    async def agreed(
        self, calls: Sequence[RpcCall], read: Callable[..., V], *, fresh: bool = False, rounds: int | None = None
    ) -> V:
        """Give what enough nodes answer alike; `NoQuorum` where they do not. With one node, give its word."""
        if self.quorum.alone:
            return await self.one(calls, read, fresh=fresh, rounds=rounds)
        said, failures = await self._said(calls, read, None, fresh=fresh, enough=self.quorum.agreed)
        found = self.quorum.agreed(said)
        if found is None:
            if len(failures) == len(self.ends):
                self.give_up(failures)
            for _, value in said:
                if isinstance(value, _Refusal) and value.kind is TooMuch:
                    raise TooMuch(value.words)  # asked for less, it may agree with the others
            raise NoQuorum(f"{self.quorum.needed} nodes must say the same, and do not: {_words(said, failures)}.")
        return _accepted(found.value)

    async def reached(
        self,
        calls: Sequence[RpcCall],
        read: Callable[..., V],
        rank: Callable[[V], Any],
        *,
        extra: RpcCall | None = None,
    ) -> V:
        """Give the highest of what enough nodes have reached: for what is planned with, never for proof."""
        if self.quorum.alone:
            return await self.one(calls, read, fresh=True, extra=extra)

        def order(value: V | _Refusal) -> tuple[bool, Any]:
            refused = isinstance(value, _Refusal)
            return refused, 0 if isinstance(value, _Refusal) else rank(value)

        def enough(said: Sequence[tuple[str, V | _Refusal]]) -> bool:
            return len(said) >= self.quorum.needed

        said, failures = await self._said(calls, read, extra, fresh=True, enough=enough, grace_s=self._limits.grace_s)
        if not said:
            self.give_up(failures)
        return _accepted(self.quorum.reached([value for _, value in said], order))

    async def _said(
        self,
        calls: Sequence[RpcCall],
        read: Callable[..., V],
        extra: RpcCall | None,
        *,
        fresh: bool,
        enough: Callable[[Sequence[tuple[str, V | _Refusal]]], object],
        grace_s: float = 0.0,
    ) -> tuple[list[tuple[str, V | _Refusal]], list[NodeFailed]]:
        async def spoken(end: NodeEndpoint) -> V | _Refusal:
            try:
                return read(*await self._results(end, calls, extra, fresh=fresh))
            except (Rejected, Retryable) as error:
                return _Refusal(type(error), str(error))

        answers = await self.until(spoken, lambda found: enough(_named(found)), grace_s)
        return _named(answers), [said for _, said in answers if isinstance(said, NodeFailed)]

    async def until(
        self,
        look: Callable[[NodeEndpoint], Awaitable[T]],
        enough: Callable[[Sequence[tuple[NodeEndpoint, T | NodeFailed]]], object],
        grace_s: float = 0.0,
    ) -> list[tuple[NodeEndpoint, T | NodeFailed]]:
        """Ask all nodes at once until the answers are enough, and wait a little longer for the others.

        Whoever failed lately is asked only where the others are not enough.
        """
        found: list[tuple[NodeEndpoint, T | NodeFailed]] = []
        awake = [end for end in self.ends if not end.rests]
        for group in (awake, [end for end in self.ends if end not in awake]):
            waiting = {asyncio.ensure_future(_tried(end, look)): end for end in group}
            try:
                while waiting:
                    limit = grace_s if enough(found) else None
                    if limit == 0:
                        break
                    done, _ = await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
                    if not done:
                        break
                    found += [(waiting.pop(task), task.result()) for task in done]
            finally:
                for task in waiting:
                    task.cancel()
            if enough(found):
                break
        return found

    async def each(
        self, ends: Sequence[NodeEndpoint], look: Callable[[NodeEndpoint], Awaitable[T]]
    ) -> list[T | NodeFailed]:
        """Ask several nodes at once; what fails is part of the answer."""
        return await asyncio.gather(*(_tried(end, look) for end in ends))

    def give_up(self, failures: Sequence[NodeFailed]) -> NoReturn:
        """Say that no node could be asked, and when it may be tried again."""
        words = "; ".join(dict.fromkeys(str(failure) for failure in failures))
        waits = [failure.after_s for failure in failures if failure.after_s is not None]
        after_s = min(waits, default=None)
        if failures and all(isinstance(failure, WrongChain) for failure in failures):
            raise RailClosed(f"Every node answers for another chain: {words}.", rail=self._rail, after_s=after_s)
        raise NoNode(f"No node can be asked: {words}.", after_s=after_s)

    async def _round(self, results: Callable[[NodeEndpoint], Awaitable[T]]) -> T:
        failures: list[NodeFailed] = []
        for end in self.order():
            found = await _tried(end, results)
            if not isinstance(found, NodeFailed):
                return found
            failures.append(found)
        return self.give_up(failures)

    async def _results(
        self, end: NodeEndpoint, calls: Sequence[RpcCall], extra: RpcCall | None, *, fresh: bool
    ) -> list[Raw]:
        height = [wire.HEIGHT] if fresh else []  # asked first, so that what follows is at least as new
        optional = [] if extra is None else [extra]
        said = await asyncio.gather(*(end.ask(call) for call in [*height, *calls, *optional]))
        results: list[Raw] = []
        for place, one in enumerate(said):
            if not isinstance(one, RpcFault):
                results.append(one)
            elif place < len(height) + len(calls):
                raise failure(end, one)
        if fresh:
            self._reached(end, wire.number(results.pop(0)))
        return results

    def _reached(self, end: NodeEndpoint, height: int) -> None:
        newest = self._heights.newest
        behind = 0 if newest is None else newest.number - height
        end.figures.lag_blocks = max(0, behind)
        if behind > self._limits.lag_blocks:
            raise NodeFailed(f"{end.name} is {behind} blocks behind")


def _named(
    answers: Sequence[tuple[NodeEndpoint, V | _Refusal | NodeFailed]],
) -> list[tuple[str, V | _Refusal]]:
    return [(end.name, said) for end, said in answers if not isinstance(said, NodeFailed)]


def _accepted(value: V | _Refusal) -> V:
    if isinstance(value, _Refusal):
        raise value.kind(value.words)
    return value


def _words(said: Sequence[tuple[str, object]], failures: Sequence[NodeFailed]) -> str:
    """Say who said something else or nothing; what they said may be long, and is left out."""
    names = ", ".join(name for name, _ in said)
    return "; ".join([*([f"{names} differ, or are too few"] if names else []), *map(str, failures)])


async def _tried(end: NodeEndpoint, look: Callable[[NodeEndpoint], Awaitable[T]]) -> T | NodeFailed:
    try:
        return await look(end)
    except NodeFailed as error:
        return error
    except Unreadable as error:
        end.failed("unreadable")
        return NodeFailed(f"{end.name}: {error}")


def failure(end: NodeEndpoint, fault: RpcFault) -> NodeFailed:
    """Say what a node's error to a question means; raises where no other node would say anything else."""
    words = f"{end.name}: {fault.words or 'an error without words'} ({fault.code})"
    match refusals.means(fault):
        case Means.FAILS:
            raise Rejected(f"The call would fail. {words}")
        case Means.NO_FUNDS:
            raise Retryable(f"The account cannot pay for it now. {words}")
        case Means.TOO_MUCH:
            raise TooMuch(words)
        case Means.BUSY:
            end.failed(Busy.kind)
            return Busy(words)
        case Means.NO_STATE | Means.TROUBLE:
            end.figures.errors["error"] += 1
            return NodeFailed(words)
