"""Several nodes of one chain, as the one `Chain` that machines read and write.

Where there are several, no single one decides: head, finality, what stands at a block, receipts and absence are what
enough of them say alike, and a receipt is compared with the root in its block's header where that can be written down.
What is planned with (a balance, a price, a nonce to come) is the highest that enough have reached. Signed bytes go to
all. One node alone is believed; about the present only if it has reached the best block that we know of.
"""

import asyncio
import statistics
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiohttp

from adapters.addresses import keccak_hex
from adapters.ethereum import refusals, roots, wire
from adapters.ethereum.asking import Agreed, Asking, Heights, NoNode, Quorum, TooMuch, V, failure
from adapters.ethereum.endpoint import Busy, NeverLeft, NodeEndpoint, NodeFailed, NodeLimits, NodeStatistics, names
from adapters.ethereum.envelope import Raw, RpcCall, RpcFault, Unreadable
from adapters.ethereum.inclusion import Inclusion, inclusion
from adapters.ethereum.search import find_sent
from adapters.ethereum.wire import NO_PRICE, BlockOf, Header
from machines.core.chain import (
    NO_DATA,
    Address,
    ChainHead,
    Log,
    Market,
    NodeAnswer,
    NodeReply,
    Receipt,
    Seen,
    TxHash,
    known_head,
)
from machines.core.clock import SECOND, Clock, Millis, SystemClock
from machines.core.errors import BadSettings, NoQuorum, OutcomeUnknown, RailClosed, Retryable

RAIL = "ethereum"
HISTORY_BLOCKS = 10
REORG_BLOCKS = 12
NO_HEAD = ChainHead(0, "", 0, None, None)
"""Where the chain stands before enough nodes have said so: nothing is buried in it."""
PROVEN_BLOCKS = 32
"""For how many blocks proven receipts are remembered."""
LOOKED_LATELY_S = 120.0
BLOCKS_TOGETHER = 20

BEST_FIRST = (
    NodeReply.ACCEPTED,
    NodeReply.NONCE_USED,
    NodeReply.TOO_CHEAP,
    NodeReply.NONCE_GAP,
    NodeReply.NO_FUNDS,
    NodeReply.REFUSED,
)
"""Which reply counts when nodes differ."""


class Nodes:
    """A chain, seen through all the nodes that we have."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        chain_id: int,
        clock: Clock | None = None,
        limits: NodeLimits | None = None,
        rail: str = RAIL,
        *,
        quorum: int = 0,
        reorg_blocks: int = REORG_BLOCKS,
    ) -> None:
        if not urls:
            raise BadSettings("A lane needs the URL of at least one node.")
        if quorum > len(urls):
            raise BadSettings(f"{quorum} nodes cannot agree where there are {len(urls)}.")
        self._clock, limits = clock or SystemClock(), limits or NodeLimits()
        pairs = zip(urls, names(urls), strict=True)
        self._ends = [NodeEndpoint(session, url, name, chain_id, self._clock, limits) for url, name in pairs]
        self.chain_id = chain_id
        self._rail = rail
        self._reorg_blocks = reorg_blocks
        self._limits = limits
        self._heights = Heights(limits.taken_back_s)
        self.quorum = Quorum(len(self._ends), quorum)
        self._ask = Asking(self._ends, self._heights, limits, rail, self.quorum)
        self._late: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[ChainHead] | None = None
        self._looked_at, self._agrees = Millis(0), True
        self._agreed_at = self._clock.now()
        self._proven: OrderedDict[str, dict[TxHash, Receipt]] = OrderedDict()
        self._proving: dict[str, asyncio.Lock] = {}
        self.trusted: Callable[[], Awaitable[str]] | None = None
        """Tells which node's word counts alone for now, by its name; empty for none."""

    @property
    def without_quorum(self) -> bool:
        """Whether too few nodes agreed on a head when they were last asked, lately."""
        lately = self._clock.now() - self._looked_at <= LOOKED_LATELY_S * SECOND
        return lately and not self._agrees

    def figures(self) -> list[NodeStatistics]:
        """Tell what each node was asked and how it did."""
        return [end.figures for end in self._ends]

    async def close(self) -> None:
        """Give up what is under way; the session stays open."""
        late = [*self._late, *([self._looking] if self._looking else [])]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, *(end.close() for end in self._ends), return_exceptions=True)

    async def provable(self) -> bool:
        """Say whether any node shows what it takes to compare receipts with the headers of this chain's blocks."""
        head = await self.head()
        for end in self._ask.order():
            try:
                if await _committed(end, head.number, head.hash) is not None:
                    return True
            except NodeFailed:
                continue
        return False

    # ── what is true now ─────────────────────────────────────────────────────────────────────────────────────────────

    async def head(self) -> ChainHead:
        """Say where the chain stands: the best of all nodes, and never behind what was told before.

        Who asks while somebody looks shares the look: a hundred transactions need not ask a hundred times.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_now())
        return await asyncio.shield(self._looking)

    async def _look_now(self) -> ChainHead:
        await self._hear_trust()
        looks, failures, silent = await self._looks()
        if self.quorum.alone:
            best = looks[0] if looks else None
        else:
            best = await self._agreed_look(looks)
        if best is None and silent:  # whoever takes longer may be the one that decides
            late = await self._ask.each(silent, _look)
            looks += [look for look in late if isinstance(look, _Look)]
            failures += [look for look in late if isinstance(look, NodeFailed)]
            best = await self._agreed_look(looks)
        self._looked_at, self._agrees = self._clock.now(), best is not None
        if self._agrees:
            self._agreed_at = self._looked_at
        if not looks:
            self._ask.give_up(failures)
        if best is None:
            await self._see_no_fork(looks)
            return self._heights.newest or NO_HEAD
        newest = self._heights.newest
        if newest is not None and best.header.number < newest.number and await self._went_away(best):
            self._heights.reorganized()
        head = self._heights.tell(best.header, best.finalized, self._clock.now())
        for look in looks:
            look.end.figures.height = look.header.number
            look.end.figures.lag_blocks = max(0, head.number - look.header.number)
        return head

    async def _looks(self) -> "tuple[list[_Look], list[NodeFailed], list[NodeEndpoint]]":
        """Ask all nodes for the newest block; give what they said, what failed, and who has not answered yet."""

        def enough(asked: "Sequence[tuple[NodeEndpoint, _Look | NodeFailed]]") -> bool:
            return sum(isinstance(look, _Look) for _, look in asked) >= self.quorum.needed

        asked = await self._ask.until(_look, enough, self._limits.grace_s)
        looks = [look for _, look in asked if isinstance(look, _Look)]
        failures = [look for _, look in asked if isinstance(look, NodeFailed)]
        answered = {end for end, _ in asked}
        return looks, failures, [end for end in self._ends if end not in answered]

    async def _hear_trust(self) -> None:
        """Learn whose word counts alone; what was told on the word of another node than now counts no more."""
        if self.trusted is None or self.quorum.alone:
            return
        trusted = await self.trusted()
        if trusted != self.quorum.trusted:
            self.quorum.trusted = trusted
            self._heights.forget()

    async def _agreed_look(self, looks: "Sequence[_Look]") -> "_Look | None":
        """Find the highest block on which enough nodes agree; None where there is none. Ahead is no disagreement."""
        for height in _downwards(self._top(looks), self._reorg_blocks) if looks else ():
            headers = await self._headers(height, looks)
            found = self.quorum.agreed(headers)
            if found is not None:
                await self._note_forks(found, headers, looks)
                return self._described(found, looks)
        return None

    def _top(self, looks: "Sequence[_Look]") -> int:
        """Give the highest block that enough nodes have reached, or the trusted one alone."""
        trusted = [look.header.number for look in looks if look.end.name == self.quorum.trusted]
        return max([self.quorum.reached([look.header.number for look in looks], int), *trusted])

    async def _see_no_fork(self, looks: "Sequence[_Look]") -> None:
        """Raise `RailClosed` where nodes are on different branches deeper than a reorg goes.

        At once where not even those who are behind or silent could make enough of them agree, else after a while.
        """
        deep = self._top(looks) - self._reorg_blocks
        headers = await self._headers(deep, _deeper_than(looks, deep + self._reorg_blocks)) if deep >= 0 else []
        sizes = Counter(header.hash for _, header in headers)
        if len(sizes) < 2:  # noqa: PLR2004  (they do not differ)
            return
        may_agree = max(sizes.values()) + len(self._ends) - len(headers) >= self.quorum.needed
        if may_agree and self._clock.now() - self._agreed_at < self._limits.taken_back_s * SECOND:
            return
        names_ = ", ".join(f"{name} has {header.hash}" for name, header in headers)
        raise RailClosed(
            f"The nodes differ in block {deep}, {self._reorg_blocks} blocks back, and too few are of one mind: "
            f"{names_}. Find out which is right; see `payflow lane trust`.",
            rail=self._rail,
        )

    async def _headers(self, height: int, looks: "Sequence[_Look]") -> list[tuple[str, Header]]:
        """Ask whoever has reached a height for the block there."""
        known = [(look.end.name, look.header) for look in looks if look.header.number == height]
        ahead = [look.end for look in looks if look.header.number > height]
        asked = await self._ask.each(ahead, lambda end: _header_at(end, height))
        said = zip(ahead, asked, strict=True)
        return known + [(end.name, header) for end, header in said if isinstance(header, Header)]

    def _described(self, found: Agreed[Header], looks: "Sequence[_Look]") -> "_Look":
        """Give the agreed head, and the newest final block that enough of those who agree have reached."""
        agreeing = [look for look in looks if look.end.name in found.by]
        final = sorted((look.finalized for look in agreeing if look.finalized is not None), reverse=True)
        word = min(self.quorum.needed, len(agreeing))
        return _Look(agreeing[0].end, found.value, final[word - 1] if len(final) >= word else None)

    async def _note_forks(
        self, found: Agreed[Header], headers: Sequence[tuple[str, Header]], looks: "Sequence[_Look]"
    ) -> None:
        """Tell a node that has not followed a reorg yet from one that is on another branch for good."""
        odd = {name for name, _ in headers} - found.by
        deep = found.value.number - self._reorg_blocks
        if odd and deep >= 0:
            old = dict(await self._headers(deep, _deeper_than(looks, found.value.number)))
            right = {header.hash for name, header in old.items() if name in found.by}
            odd = {name for name in odd if name in old and old[name].hash not in right}
        for look in looks:
            forked = look.end.name in odd
            if forked and not look.end.figures.forked:
                look.end.figures.errors["forked"] += 1
            look.end.figures.forked = forked

    async def _went_away(self, best: "_Look") -> bool:
        """What is told now is behind what was: say whether a reorg took blocks away, or the nodes merely lack them."""
        known = self._heights.newest_known(best.header.number)
        if known is None:
            return False
        try:
            header = await self._ask.agreed([wire.block_header(known)], wire.header, rounds=1)
        except Retryable:
            return False
        return header is not None and self._heights.replaced(header)

    async def nonce(self, address: Address, block: int | Literal["latest", "pending"] = "latest") -> int:
        """Count what an address has sent up to a block. About a block enough nodes agree, or `NoQuorum` is raised."""
        return await self._at(block, wire.nonce(address, block), wire.number, int)

    async def balance(self, address: Address, block: int | Literal["latest"] = "latest") -> int:
        """Say how many wei an address has. About a block enough nodes must agree."""
        return await self._at(block, wire.balance(address, block), wire.number, int)

    async def market(self, percentile: int) -> Market:
        """Say what gas costs now: the next block's base fee, and the usual tip of the last blocks."""
        history = wire.fee_history(HISTORY_BLOCKS, percentile)
        calls = [wire.GAS_PRICE, wire.block_header("latest")]
        return await self._ask.reached(calls, _market, _dearness, extra=history)

    async def code(self, address: Address, block: int | Literal["latest"] = "latest") -> str:
        """Give an address's code, `0x` for an account without. About a block enough nodes must agree."""
        return await self._at(block, wire.code(address, block), wire.text, str)

    async def known(self, address: Address) -> bool:
        """Say whether an account exists: it has code, money or a nonce."""
        calls = [wire.balance(address), wire.nonce(address, "latest"), wire.code(address)]
        return await self._ask.reached(calls, _exists, bool)

    async def estimate(self, sender: Address, to: Address | None, value_wei: int, data: str) -> int:
        """Say how much gas a call takes; `Rejected` where it would fail."""
        return await self._ask.reached([wire.estimate(sender, to, value_wei, data)], wire.number, int)

    async def call(self, to: Address, data: str, block: int | Literal["latest"] = "latest") -> str:
        """Read from a contract; `Rejected` where the call fails. About a block enough nodes must agree."""
        return await self._at(block, wire.call(to, data, block), wire.text, str)

    async def _at(self, block: int | str, call: RpcCall, read: Callable[[Raw], V], rank: Callable[[V], Any]) -> V:
        """Ask about a block, on which enough must agree, or about now, where the highest counts that enough reached."""
        if isinstance(block, int):
            return await self._ask.agreed([call], read)
        return await self._ask.reached([call], read, rank)

    async def logs(
        self, address: Address, topics: Sequence[str | None], first: int, last: int
    ) -> list[tuple[TxHash, Log]]:
        """List events of a contract between two blocks; a node that wants less at once is asked for half, and half."""

        def read(height: Raw, raw: Raw) -> tuple[tuple[TxHash, Log], ...]:
            if wire.number(height) < last:
                raise NodeFailed(f"a node has not reached block {last}")  # and would leave its events out silently
            return tuple(wire.events(raw))

        try:
            calls = [wire.HEIGHT, wire.logs(address, topics, first, last)]
            return list(await self._ask.agreed(calls, read, fresh=True))
        except TooMuch:
            if first >= last:
                raise
        middle = (first + last) // 2
        older = await self.logs(address, topics, first, middle)
        return older + await self.logs(address, topics, middle + 1, last)

    # ── what happened ────────────────────────────────────────────────────────────────────────────────────────────────

    async def receipt(self, tx: TxHash) -> Receipt | None:
        """Find the receipt that enough nodes show alike. None proves nothing: they may lag, or not agree yet."""
        found = await self._now(wire.receipt(tx), wire.found_receipt)
        if found is None or (not self.quorum.alone and not await self._stands(found)):
            return None
        if found.gas_price_wei != NO_PRICE:
            return found
        price = await self._now(wire.transaction(tx), wire.gas_price)
        return None if price is None else replace(found, gas_price_wei=price)

    async def _stands(self, found: Receipt) -> bool:
        """See that the header of its block commits to a receipt; where no node shows what that takes, enough agree."""
        async with self._proving.setdefault(found.block_hash, asyncio.Lock()):
            known = self._proven.get(found.block_hash)
            if known is None or (known and not _alike(known.get(found.hash), found)):
                known = self._proven[found.block_hash] = await self._prove(found)
                while len(self._proven) > PROVEN_BLOCKS:
                    self._proving.pop(self._proven.popitem(last=False)[0], None)
        return not known or _alike(known.get(found.hash), found)

    async def _prove(self, found: Receipt) -> dict[TxHash, Receipt]:
        """Get the receipts of a block to which its header commits; none where no node shows what that takes."""
        other: dict[TxHash, Receipt] = {}
        failures: list[NodeFailed] = []
        for end in self._ask.order():
            try:
                proven = await _committed(end, found.block, found.block_hash)
            except NodeFailed as error:
                failures.append(error)
                continue
            # Whose a receipt is no header says: a node that gives it to another transaction is passed over.
            if proven is not None and _alike(proven.get(found.hash), found):
                return proven
            other = proven or other
        if len(failures) == len(self._ends):
            self._ask.give_up(failures)
        return other

    async def inclusion(self, found: Receipt) -> Inclusion | None:
        """Give what proves a receipt, and what it is of, to whoever has no node; None where no node shows it."""
        for end in self._ask.order():
            try:
                block, receipts = await asyncio.gather(
                    end.ask(wire.full_block(found.block)), end.ask(wire.block_receipts(found.block))
                )
            except NodeFailed:
                continue
            if not isinstance(block, RpcFault) and not isinstance(receipts, RpcFault):
                proof = await asyncio.to_thread(inclusion, bytes(block), bytes(receipts), found.block_hash, found.hash)
                if proof is not None:
                    return proof
        return None

    async def transaction(self, tx: TxHash) -> Seen | None:
        """Find a transaction that enough nodes show alike, mined or waiting. None proves nothing."""
        return await self._now(wire.transaction(tx), wire.seen)

    async def _now(self, call: RpcCall, read: Callable[[Any], V]) -> V | None:
        """Ask once what enough nodes show alike; None where they do not agree yet."""
        try:
            return await self._ask.agreed([call], read, rounds=1)
        except NoQuorum:
            return None

    async def sent_by(self, sender: Address, nonce: int, block: int) -> Seen | None:
        """Find the transaction that used up a nonce, in blocks up to this one; None where the nonce was free then."""

        async def count(at: int) -> int | None:
            try:
                return await self._ask.agreed([wire.nonce(sender, at)], wire.number, rounds=1)
            except (NoNode, NoQuorum):
                return None

        async def look(at: int) -> Seen | None:
            return await self._ask.agreed([wire.full_block(at)], lambda raw: wire.sent(raw, sender, nonce))

        return await find_sent(count, look, nonce, block)

    async def sent(self, sender: Address, first: int, last: int) -> list[Seen]:
        """List what an address sent in some blocks, oldest first."""
        found: list[Seen] = []
        for start in range(first, last + 1, BLOCKS_TOGETHER):
            heights = range(start, min(start + BLOCKS_TOGETHER, last + 1))
            calls = [wire.full_block(at, alone=False) for at in heights]
            found += await self._ask.agreed(
                calls, lambda *raw: tuple(seen for one in raw for seen in wire.all_sent(one, sender))
            )
        return found

    async def state(self, address: Address, block: int) -> "AccountState | None":
        """Say what an account was at a block, as enough nodes agree; None where none keeps that any more."""

        def read(nonce: Raw, balance: Raw) -> AccountState:
            return AccountState(wire.number(nonce), wire.number(balance))

        try:
            return await self._ask.agreed([wire.nonce(address, block), wire.balance(address, block)], read, rounds=1)
        except (NoNode, NoQuorum):
            return None

    async def blocks_of(self, address: Address, heights: Sequence[int]) -> list[BlockOf]:
        """Read blocks, with what an address sent in each and got."""
        found: list[BlockOf] = []
        for start in range(0, len(heights), BLOCKS_TOGETHER):
            calls = [wire.full_block(at, alone=False) for at in heights[start : start + BLOCKS_TOGETHER]]
            found += await self._ask.agreed(calls, lambda *raw: tuple(wire.block_of(one, address) for one in raw))
        return found

    async def block_before(self, second: int) -> int:
        """Find the newest block that is older than a time."""
        low, high = 0, (await known_head(self)).number
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if await self.time_of(middle) < second else (low, middle - 1)
        return low

    async def time_of(self, block: int) -> int:
        """Say in which second a block was made."""
        header = await self._ask.agreed([wire.block_header(block)], wire.header)
        if header is None:
            raise Retryable(f"The nodes lack block {block}: they lag, or have pruned it.")
        return header.timestamp_s

    async def hash_of(self, block: int) -> str | None:
        """Give the hash of a block; None where the nodes do not have it yet."""
        header = await self._ask.agreed([wire.block_header(block)], wire.header)
        return None if header is None else header.hash

    async def peers(self) -> int:
        """Count the peers of a node."""
        return await self._ask.one([wire.PEERS], wire.number)

    # ── what leaves ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def broadcast(self, raw: str) -> NodeAnswer:
        """Hand the same bytes to every node; the best reply counts. `OutcomeUnknown` when no node gave one."""
        call, tx = wire.send(raw), keccak_hex(bytes.fromhex(raw.removeprefix("0x")))
        waiting = {asyncio.ensure_future(_hand_over(end, call, tx)) for end in self._ends}
        self._late |= waiting
        for task in waiting:
            task.add_done_callback(self._late.discard)
        answers: list[NodeAnswer] = []
        failures: list[NodeFailed] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for said in (task.result() for task in done):
                if not isinstance(said, NodeAnswer):
                    failures.append(said)
                elif said.reply is NodeReply.ACCEPTED:
                    return said  # the others get the same bytes while we go on
                else:
                    answers.append(said)
        return self._best(answers, failures)

    def _best(self, answers: Sequence[NodeAnswer], failures: Sequence[NodeFailed]) -> NodeAnswer:
        lost = [one for one in failures if one.taken]
        refused = sum(answer.reply is NodeReply.REFUSED for answer in answers)
        best = min(answers, key=lambda answer: BEST_FIRST.index(answer.reply), default=None)
        # That it can never be mined is believed of enough nodes, and only when no other may have taken it.
        if best is not None and (best.reply is not NodeReply.REFUSED or (not lost and refused >= self.quorum.needed)):
            return best
        if lost or best is not None:
            why = str(lost[0]) if lost else f"too few refuse it: {best.words if best else ''}"
            raise OutcomeUnknown(f"It is not known whether a node took the transaction: {why}.")
        return self._ask.give_up(failures)


@dataclass(frozen=True, slots=True)
class AccountState:
    """What an account was at a block."""

    nonce: int
    balance_wei: int


@dataclass(frozen=True, slots=True)
class _Look:
    """What one node says of the newest block."""

    end: NodeEndpoint
    header: Header
    finalized: int | None


async def _look(end: NodeEndpoint) -> _Look:
    chain, newest, final = await asyncio.gather(
        end.ask(wire.CHAIN_ID), end.ask(wire.block_header("latest")), end.ask(wire.block_header("finalized"))
    )
    if isinstance(chain, RpcFault):
        raise failure(end, chain)
    if isinstance(newest, RpcFault):
        raise failure(end, newest)
    if isinstance(final, RpcFault) and not refusals.knows_no_tag(final):
        raise failure(end, final)  # which is no word on whether the chain has finality
    end.believe(chain)
    header = wire.header(newest)
    if header is None:
        raise Unreadable("the newest block is null")
    finalized = None if isinstance(final, RpcFault) else wire.header(final)
    return _Look(end, header, None if finalized is None else finalized.number)


def _deeper_than(looks: "Sequence[_Look]", height: int) -> "list[_Look]":
    """Leave out nodes that are behind a height: the branch that they are on may be one that they are about to leave."""
    return [look for look in looks if look.header.number >= height]


def _alike(shown: Receipt | None, found: Receipt) -> bool:
    """Whether two receipts are one. What was paid for gas is in no root."""
    return shown is not None and replace(shown, gas_price_wei=found.gas_price_wei) == found


def _downwards(top: int, most: int) -> list[int]:
    """Name heights below one, closer together at first: most branches are short."""
    steps = [0, *(1 << power for power in range(most.bit_length()) if 1 << power < most), most]
    return [top - step for step in dict.fromkeys(steps) if step <= top]


async def _committed(end: NodeEndpoint, block: int, block_hash: str) -> dict[TxHash, Receipt] | None:
    """Give a block's receipts as a node shows them, if the block's header commits to them. Off the loop: it is slow."""
    header, receipts = await asyncio.gather(end.ask(wire.block_header(block)), end.ask(wire.block_receipts(block)))
    if isinstance(header, RpcFault) or isinstance(receipts, RpcFault):
        return None
    return await asyncio.to_thread(roots.proven, bytes(header), bytes(receipts), block_hash)


async def _header_at(end: NodeEndpoint, height: int) -> Header | None:
    said = await end.ask(wire.block_header(height))
    if isinstance(said, RpcFault):
        raise failure(end, said)
    return wire.header(said)


def _dearness(market: Market) -> tuple[int, int, int]:
    return (-1 if market.base_fee_wei is None else market.base_fee_wei, market.gas_price_wei, market.tip_wei)


def _market(price: Raw, newest: Raw, history: Raw | None = None) -> Market:
    header = wire.header(newest)
    if header is None:
        raise Unreadable("the newest block is null")
    if header.base_fee_wei is None:
        return Market(None, 0, wire.number(price))
    fees = wire.Fees(None, ()) if history is None else wire.fees(history)
    tip = int(statistics.median(fees.tips_wei)) if fees.tips_wei else 0
    base = header.base_fee_wei if fees.next_base_fee_wei is None else fees.next_base_fee_wei
    return Market(base, tip, wire.number(price))


def _exists(balance: Raw, nonce: Raw, code: Raw) -> bool:
    return wire.number(balance) > 0 or wire.number(nonce) > 0 or wire.text(code) != NO_DATA


async def _hand_over(end: NodeEndpoint, call: RpcCall, tx: str) -> NodeAnswer | NodeFailed:
    try:
        said = await end.ask(call)
    except NodeFailed as error:
        return error
    if not isinstance(said, RpcFault):
        if bytes(said).strip(b' "').lower() == tx.encode():
            return NodeAnswer(NodeReply.ACCEPTED)
        end.failed("unreadable")
        return NodeFailed(f"{end.name} named another hash")
    words = f"{end.name}: {said.words} ({said.code})"
    reply = refusals.reply(said)
    if reply is not None:
        return NodeAnswer(reply, words)
    if refusals.not_taken(said):
        kind = Busy if refusals.busy(said) else NeverLeft
        end.failed(kind.kind)
        return kind(words)
    end.failed("unknown_words")
    return NodeFailed(words)
