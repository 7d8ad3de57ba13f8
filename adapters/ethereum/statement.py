"""What a chain says of one address: each transaction from it and to it, its gas, and what it held before and after.

No node lists that, and nobody reads a whole chain for it. Blocks are read in stretches up to the newest one that is
proven. An account whose nonce and balance are the same at both ends of a stretch has sent nothing and got nothing, so a
stretch is halved until those that differ are short; only their blocks are read whole. That costs four questions a
stretch, some sixteen more for each block in which something happened, that block, and the receipts; and two for events
of each token. Where no node keeps the state of a stretch any more (most keep that of 128 blocks), each of its blocks is
read: then nothing is said of balances, and what a contract sent to the address is not seen.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from adapters.addresses import checksummed
from adapters.ethereum.node import AccountState, Nodes
from adapters.ethereum.pay_many import PayManyContract
from adapters.ethereum.wire import BlockOf
from adapters.statement_days import asset_of
from machines.core.chain import Address, ChainHead, Receipt, Seen, TxHash, known_head
from machines.core.clock import HOUR, SECOND, Millis
from machines.core.errors import Contradiction, Retryable
from machines.core.money import ETH, Asset, Assets, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine, StatementPart
from machines.core.rail_share import FINE

SPAN = 256
"""So many blocks are a part of the statement; each begins at a multiple of that, however often it is read."""
NARROW = 8
"""So many blocks are read rather than asked about further."""
ETHER_DECIMALS = 18
TRANSFERRED = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BALANCE_OF = "0x70a08231"
_INDEXED = 3


class HeldToken(NamedTuple):
    """A token that an address pays with."""

    contract: Address
    decimals: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held: the chain's own money, or a token."""

    asset: Asset
    decimals: int
    contract: str = ""

    def parts(self, units: int) -> tuple[int, int]:
        """Give ledger units, and what is less than one of them in parts of one."""
        whole = 10 ** (self.decimals - self.asset.decimals)
        count, rest = divmod(units, whole)
        return count, rest * FINE // whole


@dataclass(slots=True)
class _Draft:
    """A line while its transaction is read, in units of the chain."""

    id: str
    kind: LineKind
    held: _Held
    units: int
    at: Millis
    out: bool = False
    reference: str = ""
    handle: str = ""
    account: str = ""
    fee_wei: int | None = None

    @property
    def moved(self) -> int:
        """How it changes what is held."""
        return (-self.units if self.out else self.units) - (self.fee_wei or 0)

    def line(self) -> StatementLine:
        units, rest = self.held.parts(self.units)
        fee = fee_rest = None
        if self.fee_wei is not None:
            fee, fee_rest = self.held.parts(self.fee_wei)
            fee, fee_rest = (fee + 1, fee_rest - FINE) if fee_rest else (fee, 0)
        return StatementLine(
            self.id, self.kind, Money(units, self.held.asset), self.out, self.at, self.reference, self.handle, fee,
            self.account, rest=rest, fee_rest=fee_rest or 0,
        )  # fmt: skip


@dataclass(slots=True)
class _Stretch:
    """Some blocks, with what the account was before and after; None where no node keeps that."""

    blocks: Sequence[int]
    before: AccountState | None = None
    after: AccountState | None = None


@dataclass(slots=True)
class _Read:
    """What was read of one part."""

    drafts: list[_Draft] = field(default_factory=list)
    sent: set[TxHash] = field(default_factory=set)
    """What the address itself sent, of which the receipts say all."""


class AddressStatement:
    """The statement of one address."""

    patience_ms = Millis(HOUR)
    """What is paid here is proven by the blocks that are read; an hour is for nodes that differ for a while."""
    overlap_ms = Millis(0)
    """What is proven changes no more."""

    def __init__(
        self,
        nodes: Nodes,
        address: Address,
        tokens: Mapping[str, HeldToken],
        batches: PayManyContract | None,
        proven_up_to: Callable[[ChainHead], int],
    ) -> None:
        self._nodes = nodes
        self._address = address
        self._tokens = tokens
        self._batches = batches
        self._proven_up_to = proven_up_to

    async def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        """Walk over the blocks, the oldest first."""
        last = self._proven_up_to(await known_head(self._nodes))
        if last < 0:
            raise Retryable("No block is proven yet.")
        begin = min(await self._nodes.block_before(since // SECOND), last)
        for first in range(begin // SPAN * SPAN, last + 1, SPAN):
            yield await self._part(first, min(first + SPAN - 1, last), until, assets)

    async def _part(self, first: int, last: int, until: Millis, assets: Assets) -> StatementPart:
        before = max(0, first - 1)  # the first block of all carries nothing
        ether = _Held(asset_of(assets, ETH.code), ETHER_DECIMALS)
        tokens = [_Held(asset_of(assets, code), one.decimals, one.contract) for code, one in self._tokens.items()]
        begins, ends = await asyncio.gather(self._nodes.time_of(first), self._nodes.time_of(last))
        ends_at = await asyncio.gather(*(self._nodes.state(self._address, at) for at in (before, last)))
        read = _Read()
        for stretch in await self._stretches(before, last, *ends_at):
            await self._look_at(stretch, read, ether, tokens)
        for token in tokens:
            read.drafts += await self._tokens_of_others(token, first, last, read.sent)
        balances = {}
        if ends_at[0] is not None and ends_at[1] is not None:
            held = {ether: (ends_at[0].balance_wei, ends_at[1].balance_wei)}
            held |= {token: await self._token_balances(token, before, last) for token in tokens}
            balances = {one.asset.code: _balance(one, *both, read.drafts) for one, both in held.items()}
        lines = tuple(draft.line() for draft in read.drafts)
        # A chain may run ahead of our clock, or stand still.
        return StatementPart(Millis(begins * SECOND), lines, balances, Millis(min(until, ends * SECOND)))

    # ── where something happened ─────────────────────────────────────────────────────────────────────────────────────

    async def _stretches(
        self, before: int, last: int, first_state: AccountState | None, last_state: AccountState | None
    ) -> list[_Stretch]:
        """Find the blocks in which something happened; all of them where no node keeps the states in between."""
        whole = [_Stretch(range(before + 1, last + 1))]
        if first_state is None or last_state is None:
            return whole
        states = {before: first_state, last: last_state}
        found: list[_Stretch] = []
        wide = [(before, last)]
        while wide:
            differ = [(low, high) for low, high in wide if states[low] != states[high]]
            found += [
                _Stretch(range(low + 1, high + 1), states[low], states[high])
                for low, high in differ
                if high - low <= NARROW
            ]
            halves = [(low, (low + high) // 2, high) for low, high in differ if high - low > NARROW]
            asked = await asyncio.gather(*(self._nodes.state(self._address, middle) for _, middle, _ in halves))
            for (_, middle, _), state in zip(halves, asked, strict=True):
                if state is None:
                    return whole
                states[middle] = state
            wide = [pair for ends in halves for pair in itertools.pairwise(ends)]
        return sorted(found, key=lambda one: one.blocks[0])

    async def _look_at(self, stretch: _Stretch, read: _Read, ether: _Held, tokens: Sequence[_Held]) -> None:
        blocks = await self._nodes.blocks_of(self._address, stretch.blocks)
        drafts: list[_Draft] = []
        for block in blocks:
            drafts += await self._of_block(block, read, ether, tokens)
        if stretch.before is not None and stretch.after is not None:
            drafts += await self._unseen(stretch, blocks, [one for one in drafts if one.held == ether], ether)
        read.drafts += drafts

    async def _unseen(
        self, stretch: _Stretch, blocks: Sequence[BlockOf], drafts: Sequence[_Draft], ether: _Held
    ) -> list[_Draft]:
        """Find what no transaction shows: what contracts sent here, rewards, what a chain charges besides its gas."""
        if stretch.before is None or stretch.after is None:
            return []
        if stretch.after.balance_wei - stretch.before.balance_wei == sum(one.moved for one in drafts):
            return []
        heights = [stretch.blocks[0] - 1, *stretch.blocks]
        states = await asyncio.gather(*(self._nodes.state(self._address, at) for at in heights))
        found = []
        for block, (low, high) in zip(blocks, itertools.pairwise(states), strict=True):
            if low is None or high is None:
                raise Retryable("No node keeps the state of a block of which it kept it a moment ago.")
            here = [one for one in drafts if one.at == block.at_s * SECOND and one.id.startswith(_hashes_of(block))]
            beyond = high.balance_wei - low.balance_wei - sum(one.moved for one in here)
            paid = [one for one in here if one.fee_wei is not None]
            if beyond < 0 and paid:
                paid[-1].fee_wei = (paid[-1].fee_wei or 0) - beyond
            elif beyond:
                kind, out = (LineKind.OTHER, True) if beyond < 0 else (LineKind.TOP_UP, False)
                at = Millis(block.at_s * SECOND)
                found.append(_Draft(f"{block.hash}:unseen", kind, ether, abs(beyond), at, out, handle=block.hash))
        return found

    # ── what happened ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _of_block(self, block: BlockOf, read: _Read, ether: _Held, tokens: Sequence[_Held]) -> list[_Draft]:
        receipts = await asyncio.gather(*(self._receipt(seen.hash) for seen in block.transactions))
        drafts: list[_Draft] = []
        at = Millis(block.at_s * SECOND)
        for seen, receipt in zip(block.transactions, receipts, strict=True):
            if seen.sender == self._address:
                read.sent.add(seen.hash)
                drafts += self._sent(seen, receipt, at, ether, tokens)
            elif receipt.ok and seen.value_wei:
                name = f"{seen.hash}:in"
                drafts.append(_Draft(name, LineKind.TOP_UP, ether, seen.value_wei, at, handle=seen.hash))
        return drafts

    def _sent(self, seen: Seen, receipt: Receipt, at: Millis, ether: _Held, tokens: Sequence[_Held]) -> list[_Draft]:
        """Make the lines of what the address sent: one for each payee, and its gas on the first in ether."""

        def paid(place: int | str, held: _Held, units: int, to: str) -> _Draft:
            return _Draft(
                f"{seen.hash}:{place}",
                LineKind.PAYMENT,
                held,
                units,
                at,
                out=True,
                reference=f"{seen.nonce}:{place}",
                handle=seen.hash,
                account=to,
            )

        drafts = self._batch(seen, receipt, ether, tokens, paid) if receipt.ok else []
        if receipt.ok and not drafts:
            if seen.value_wei and seen.to != self._address:
                drafts.append(paid(0, ether, seen.value_wei, seen.to or ""))
            moves = [one for token in tokens for one in _transfers(receipt, token, self._address)]
            outs = itertools.count()
            for place, token, out, who, units in moves:
                name = f"{seen.hash}:log{place}"
                if out:
                    drafts.append(replace(paid(next(outs), token, units, who), id=name))
                else:
                    drafts.append(_Draft(name, LineKind.TOP_UP, token, units, at, handle=seen.hash))
        first = next((one for one in drafts if one.held == ether), None)
        if first is None:
            first = paid("", ether, 0, "")
            drafts.append(first)
        first.fee_wei = receipt.gas_used * receipt.gas_price_wei
        return drafts

    def _batch(
        self,
        seen: Seen,
        receipt: Receipt,
        ether: _Held,
        tokens: Sequence[_Held],
        paid: Callable[[int, _Held, int, str], _Draft],
    ) -> list[_Draft]:
        """Make a line for each payee of a batch who was paid; what failed is back with the address."""
        if self._batches is None or seen.to != self._batches.address:
            return []
        batch = self._batches.read(seen.data)
        if batch is None:
            return []
        held = ether if batch.token is None else next((one for one in tokens if one.contract == batch.token), None)
        if held is None:
            return []
        try:
            failed = self._batches.failed(receipt, batch.id, batch.payees)
        except Contradiction:
            return []  # the contract is another than the settings say: what moved is told by events
        return [
            paid(place, held, payee.units_wei, payee.to)
            for place, payee in enumerate(batch.payees)
            if place not in failed
        ]

    async def _receipt(self, tx: TxHash) -> Receipt:
        found = await self._nodes.receipt(tx)
        if found is None:
            raise Retryable(f"Too few nodes show the receipt of {tx} yet.")
        return found

    # ── tokens that others move ──────────────────────────────────────────────────────────────────────────────────────

    async def _tokens_of_others(self, token: _Held, first: int, last: int, sent: set[TxHash]) -> list[_Draft]:
        """Make lines of what others moved here, or took from here by leave of the address."""
        contract, word = Address(token.contract), _word(self._address)
        found = await asyncio.gather(
            self._nodes.logs(contract, [TRANSFERRED, word], first, last),
            self._nodes.logs(contract, [TRANSFERRED, None, word], first, last),
        )
        drafts = []
        for tx in dict.fromkeys(tx for part in found for tx, _ in part if tx not in sent):
            receipt = await self._receipt(tx)
            at = Millis(await self._nodes.time_of(receipt.block) * SECOND)
            drafts += [
                _Draft(
                    f"{tx}:log{place}", LineKind.OTHER if out else LineKind.TOP_UP, token, units, at, out, handle=tx,
                    account=who if out else "",
                )
                for place, _, out, who, units in _transfers(receipt, token, self._address)
            ]  # fmt: skip
        return drafts

    async def _token_balances(self, token: _Held, before: int, last: int) -> tuple[int, int]:
        data = BALANCE_OF + _word(self._address)[2:]
        asked = (self._nodes.call(Address(token.contract), data, at) for at in (before, last))
        opening, closing = await asyncio.gather(*asked)
        return _number(opening), _number(closing)


def _balance(held: _Held, opening: int, closing: int, drafts: Sequence[_Draft]) -> StatementBalance:
    moved = sum(one.moved for one in drafts if one.held == held)
    (first, first_rest), (then, then_rest) = held.parts(opening), held.parts(closing)
    return StatementBalance(first, then, held.parts(opening + moved)[0] - first, first_rest, then_rest)


def _transfers(receipt: Receipt, token: _Held, address: Address) -> list[tuple[int, _Held, bool, Address, int]]:
    """List what a token moved to an address or from it: place in the receipt, whether out, the other side, units."""
    found = []
    for place, log in enumerate(receipt.logs):
        if log.address != token.contract or len(log.topics) != _INDEXED or log.topics[0] != TRANSFERRED:
            continue
        sides = log.topics[1:]
        word, units = _word(address), _number(log.data)
        if units and sides[0] != sides[1] and word in sides:
            out = sides[0] == word
            found.append((place, token, out, checksummed("0x" + sides[out][-40:]), units))
    return found


def _hashes_of(block: BlockOf) -> tuple[str, ...]:
    return tuple(seen.hash for seen in block.transactions)


def _word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


def _number(answer: str) -> int:
    return int(answer[:66], 16) if len(answer) > 2 else 0  # noqa: PLR2004  (more than 0x)
