"""Several nodes of one chain, as the one `Chain` that machines read and write.

Reads go to one node and fail over. A receipt or a transaction is looked for on all. Signed bytes go to all. What is
true now (a nonce, a balance, a price) is believed only from a node that has reached the best block that we know of.
"""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiohttp

from adapters.ethereum import refusals, wire
from adapters.ethereum.addresses import keccak_hex
from adapters.ethereum.asking import Asking, NoNode, TooMuch, failure
from adapters.ethereum.endpoint import Busy, Endpoint, Figures, Limits, NeverLeft, NodeFailed, names
from adapters.ethereum.envelope import Call, Fault, Raw, Unreadable
from adapters.ethereum.heights import Heights
from adapters.ethereum.search import find_sent
from adapters.ethereum.wire import NO_PRICE, Header
from machines.core.chain import NO_DATA, Address, Answer, Head, Log, Market, Receipt, Reply, Seen, TxHash
from machines.core.clock import Clock, SystemClock
from machines.core.errors import BadSettings, OutcomeUnknown

RAIL = "ethereum"
HISTORY_BLOCKS = 10

BEST_FIRST = (
    Reply.ACCEPTED,
    Reply.NONCE_USED,
    Reply.TOO_CHEAP,
    Reply.NONCE_GAP,
    Reply.NO_FUNDS,
    Reply.REFUSED,
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
        limits: Limits | None = None,
        rail: str = RAIL,
    ) -> None:
        if not urls:
            raise BadSettings("A lane needs the URL of at least one node.")
        clock, limits = clock or SystemClock(), limits or Limits()
        pairs = zip(urls, names(urls), strict=True)
        self._ends = [Endpoint(session, url, name, chain_id, clock, limits) for url, name in pairs]
        self._chain_id = chain_id
        self._heights = Heights()
        self._ask = Asking(self._ends, self._heights, limits, rail)
        self._late: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[Head] | None = None

    @property
    def chain_id(self) -> int:
        """Which chain this must be."""
        return self._chain_id

    def figures(self) -> list[Figures]:
        """Tell what each node was asked and how it did."""
        return [end.figures for end in self._ends]

    async def close(self) -> None:
        """Give up what is under way; the session stays open."""
        late = [*self._late, *([self._looking] if self._looking else [])]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, *(end.close() for end in self._ends), return_exceptions=True)

    # ── what is true now ─────────────────────────────────────────────────────────────────────────────────────────────

    async def head(self) -> Head:
        """Say where the chain stands: the best of all nodes, and never behind what was told before.

        Who asks while somebody looks shares the look: a hundred transactions need not ask a hundred times.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_now())
        return await asyncio.shield(self._looking)

    async def _look_now(self) -> Head:
        asked = await self._ask.each(self._ends, _look)
        looks = [look for look in asked if not isinstance(look, NodeFailed)]
        if not looks:
            self._ask.give_up([look for look in asked if isinstance(look, NodeFailed)])
        best = max(looks, key=lambda look: look.header.number)
        finalized = max((look.finalized for look in looks if look.finalized is not None), default=None)
        told = self._heights.told
        if told is not None and best.header.number < told.number and await self._went_away(best):
            self._heights.forget()
        head = self._heights.tell(best.header, finalized)
        for look in looks:
            look.end.figures.height = look.header.number
            look.end.figures.lag_blocks = max(0, head.number - look.header.number)
        return head

    async def _went_away(self, best: "_Look") -> bool:
        """The best node is behind what was told: say whether a reorg took blocks away, or it merely lacks them."""
        known = self._heights.newest_known(best.header.number)
        if known is None:
            return False
        try:
            said = await best.end.ask(wire.block_header(known))
            header = None if isinstance(said, Fault) else wire.header(said)
        except (NodeFailed, Unreadable):
            return False
        return header is not None and self._heights.replaced(header)

    async def nonce(self, address: Address, block: int | Literal["latest", "pending"] = "latest") -> int:
        """Count what an address has sent up to a block."""
        return await self._ask.one([wire.nonce(address, block)], wire.number, fresh=isinstance(block, str))

    async def balance(self, address: Address) -> int:
        """Say how many wei an address has."""
        return await self._ask.one([wire.balance(address)], wire.number, fresh=True)

    async def market(self, percentile: int) -> Market:
        """Say what gas costs now: the next block's base fee, and the usual tip of the last blocks."""
        history = wire.fee_history(HISTORY_BLOCKS, percentile)
        calls = [wire.GAS_PRICE, wire.block_header("latest")]
        return await self._ask.one(calls, _market, fresh=True, beside=history)

    async def code(self, address: Address) -> str:
        """Give an address's code, `0x` for an account without."""
        return await self._ask.one([wire.code(address)], wire.text, fresh=True)

    async def known(self, address: Address) -> bool:
        """Say whether an account exists: it has code, money or a nonce."""
        calls = [wire.balance(address), wire.nonce(address, "latest"), wire.code(address)]
        return await self._ask.one(calls, _exists, fresh=True)

    async def estimate(self, sender: Address, to: Address | None, value_wei: int, data: str) -> int:
        """Say how much gas a call takes; `Rejected` where it would fail."""
        return await self._ask.one([wire.estimate(sender, to, value_wei, data)], wire.number, fresh=True)

    async def call(self, to: Address, data: str, block: int | Literal["latest"] = "latest") -> str:
        """Read from a contract; `Rejected` where the call fails."""
        return await self._ask.one([wire.call(to, data, block)], wire.text, fresh=block == "latest")

    async def logs(
        self, address: Address, topics: Sequence[str | None], first: int, last: int
    ) -> list[tuple[TxHash, Log]]:
        """List events of a contract between two blocks; a node that wants less at once is asked for half, and half."""

        def read(height: Raw, raw: Raw) -> list[tuple[TxHash, Log]]:
            if wire.number(height) < last:
                raise NodeFailed(f"a node has not reached block {last}")  # and would leave its events out silently
            return wire.events(raw)

        try:
            return await self._ask.one([wire.HEIGHT, wire.logs(address, topics, first, last)], read, fresh=True)
        except TooMuch:
            if first >= last:
                raise
        middle = (first + last) // 2
        older = await self.logs(address, topics, first, middle)
        return older + await self.logs(address, topics, middle + 1, last)

    # ── what happened ────────────────────────────────────────────────────────────────────────────────────────────────

    async def receipt(self, tx: TxHash) -> Receipt | None:
        """Find a receipt on any of the nodes. None proves nothing: a node may lag."""
        best = self._ask.order()[0]
        shown = await self._ask.anywhere(wire.receipt(tx), wire.found_receipt)
        if shown is None:
            return None
        end, found = shown
        if end is not best and await self._on_a_dead_branch(best, found):
            return None
        if found.gas_price_wei != NO_PRICE:
            return found
        told = await self._ask.anywhere(wire.transaction(tx), wire.gas_price)
        return None if told is None else replace(found, gas_price_wei=told[1])

    async def _on_a_dead_branch(self, best: Endpoint, found: Receipt) -> bool:
        """Another node shows a receipt that the best one lacks: see whether the best has another block in its place."""
        try:
            said = await best.ask(wire.block_header(found.block))
            header = None if isinstance(said, Fault) else wire.header(said)
        except (NodeFailed, Unreadable):
            return False
        return header is not None and header.hash != found.block_hash

    async def transaction(self, tx: TxHash) -> Seen | None:
        """Find a transaction on any of the nodes, mined or waiting. None proves nothing."""
        shown = await self._ask.anywhere(wire.transaction(tx), wire.seen)
        return None if shown is None else shown[1]

    async def sent_by(self, sender: Address, nonce: int, block: int) -> Seen | None:
        """Find the transaction that used up a nonce, in blocks up to this one; None where the nonce was free then."""

        async def count(at: int) -> int | None:
            try:
                return await self._ask.one([wire.nonce(sender, at)], wire.number, rounds=1)
            except NoNode:
                return None

        async def look(at: int) -> Seen | None:
            return await self._ask.one([wire.full_block(at)], lambda raw: wire.sent(raw, sender, nonce))

        return await find_sent(count, look, nonce, block)

    # ── what leaves ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def broadcast(self, raw: str) -> Answer:
        """Hand the same bytes to every node; the best reply counts. `OutcomeUnknown` when no node gave one."""
        call, tx = wire.send(raw), keccak_hex(bytes.fromhex(raw.removeprefix("0x")))
        waiting = {asyncio.ensure_future(_hand_over(end, call, tx)) for end in self._ends}
        self._late |= waiting
        for task in waiting:
            task.add_done_callback(self._late.discard)
        answers: list[Answer] = []
        failures: list[NodeFailed] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for said in (task.result() for task in done):
                if not isinstance(said, Answer):
                    failures.append(said)
                elif said.reply is Reply.ACCEPTED:
                    return said  # the others get the same bytes while we go on
                else:
                    answers.append(said)
        return self._best(answers, failures)

    def _best(self, answers: Sequence[Answer], failures: Sequence[NodeFailed]) -> Answer:
        lost = [one for one in failures if one.taken]
        best = min(answers, key=lambda answer: BEST_FIRST.index(answer.reply), default=None)
        # That it can never be mined is believed only when no other node may have taken it.
        if best is not None and (best.reply is not Reply.REFUSED or not lost):
            return best
        if lost:
            raise OutcomeUnknown(f"It is not known whether a node took the transaction: {lost[0]}.")
        return self._ask.give_up(failures)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one node says of the newest block."""

    end: Endpoint
    header: Header
    finalized: int | None


async def _look(end: Endpoint) -> _Look:
    chain, newest, final = await asyncio.gather(
        end.ask(wire.CHAIN_ID), end.ask(wire.block_header("latest")), end.ask(wire.block_header("finalized"))
    )
    if isinstance(chain, Fault):
        raise failure(end, chain)
    if isinstance(newest, Fault):
        raise failure(end, newest)
    end.believe(chain)
    header = wire.header(newest)
    if header is None:
        raise Unreadable("the newest block is null")
    finalized = None if isinstance(final, Fault) else wire.header(final)
    return _Look(end, header, None if finalized is None else finalized.number)


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


async def _hand_over(end: Endpoint, call: Call, tx: str) -> Answer | NodeFailed:
    try:
        said = await end.ask(call)
    except NodeFailed as error:
        return error
    if not isinstance(said, Fault):
        if bytes(said).strip(b' "').lower() == tx.encode():
            return Answer(Reply.ACCEPTED)
        end.failed("unreadable")
        return NodeFailed(f"{end.name} named another hash")
    words = f"{end.name}: {said.words} ({said.code})"
    reply = refusals.reply(said)
    if reply is not None:
        return Answer(reply, words)
    if refusals.not_taken(said):
        kind = Busy if refusals.busy(said) else NeverLeft
        end.failed(kind.kind)
        return kind(words)
    end.failed("unknown_words")
    return NodeFailed(words)
