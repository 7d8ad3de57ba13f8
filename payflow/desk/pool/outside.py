"""What the pool's address has sent without Payflow: matched with the miners before any of them is paid.

A machine that was restored from a snapshot has forgotten, in the store and in the pool's Redis alike, what it paid
afterwards; the chain has not. Up to where all was accounted for is noted in the pool's own books, so that it goes back
with them. Nonces that our store knows are ours; only others are looked for in the blocks.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from adapters.open_ethereum_pool.books import PoolBooks
from machines.core.chain import Seen, TxHash, known_head
from machines.core.errors import Retryable
from machines.core.ports import PaymentKey
from machines.pool.data import WEI
from machines.pool.evidence import BEFORE_S, MARGIN_S, MOST_BLOCKS
from machines.pool.ports import Trail
from machines.transaction import lifecycle as ts
from machines.transaction.ports import Lane
from payflow.desk.lanes import StoreBooks


@dataclass(frozen=True, slots=True)
class Stray:
    """A transaction of the pool's address to a miner that neither the books nor our store account for."""

    login: str
    seen: Seen

    @property
    def says(self) -> str:
        """Tell of it, and what to do."""
        seen = self.seen
        what = f"{seen.value_wei // WEI} Shannon" if (seen.to or "").lower() == self.login else "perhaps something"
        return (
            f"{seen.hash} paid {what} to {self.login} from the pool's address, and neither the pool's books nor "
            "Payflow know of it: were both restored from a backup? `payflow pool rebook` books it, or says that it was "
            "something else"
        )


_NOT_MINED = (ts.SIGNED, ts.SENT)


def key_of(tx: TxHash) -> PaymentKey:
    """Name in the books what was paid without a record of ours."""
    return PaymentKey(f"tx:{tx}")


class Outside:
    """The transactions of one pool's address that are not Payflow's."""

    def __init__(self, books: PoolBooks, trail: Trail, lane: Lane, lanes: StoreBooks) -> None:
        self._books = books
        self._trail = trail
        self._lane = lane
        self._lanes = lanes
        self._seen_to = -1
        """All nonces below were looked at by this process, and are over."""
        self._found: Sequence[Stray] = ()
        """What was strange about them."""
        self._looking = asyncio.Lock()

    async def fault(self, login: str) -> str:
        """Say which transaction may have paid a miner already what he is owed; empty where there is none."""
        return next((one.says for one in await self.strays() if one.login == login), "")

    async def strays(self) -> Sequence[Stray]:
        """List them, the oldest first."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> Sequence[Stray]:
        chain, sender = self._lane.chain, self._lane.signer.address
        head = await known_head(chain)
        latest = await chain.nonce(sender, head.number)
        if self._seen_to >= 0 and await self._all_ours(self._seen_to, latest):
            accounted = [await self._is_accounted_for(one.login, one.seen) for one in self._found]
            self._found = [one for one, is_known in zip(self._found, accounted, strict=True) if not is_known]
            self._seen_to = await self._over_up_to(latest)
            return self._found
        mark = await self._books.accounted_for()
        block, nonce = mark or (await self._first_block(head.number), 0)
        if mark and await self._all_ours(nonce, latest):
            found: list[Stray] = []
        else:
            sent = await self._trail.sent(sender, min(block, head.number) + 1, head.number)
            found = await self._unknown([one for one in sent if one.nonce >= nonce])
        self._seen_to, self._found = await self._over_up_to(latest), found
        proven = self._lane.policy.proven_up_to(head)
        if not found and proven >= 0 and (mark is None or proven > block):
            with suppress(Retryable):  # no node keeps a state that old: then the next look begins where this one did
                await self._books.account_for(proven, await chain.nonce(sender, proven))
        return found

    async def _first_block(self, head: int) -> int:
        """Say after which block to look, where nobody ever looked: a backup is no older than its newest booking."""
        newest_s = await self._books.newest_booking()
        since_s = await self._books.now() - BEFORE_S if newest_s is None else newest_s - MARGIN_S
        return max(await self._trail.block_before(since_s), head - MOST_BLOCKS)

    async def _all_ours(self, first: int, end: int) -> bool:
        for nonce in range(first, end):
            if not await self._is_ours(nonce, None):
                return False
        return True

    async def _over_up_to(self, end: int) -> int:
        """Give the first nonce that another transaction may still take from ours."""
        return min([end, *(one.data.nonce for one in await self._lanes.unsettled(self._lane.name))])

    async def _is_ours(self, nonce: int, tx: TxHash | None) -> bool:
        found = await self._lanes.transaction(self._lane.name, nonce)
        if found is None:
            return await self._lanes.is_archived(self._lane.name, nonce)
        hashes = [one.hash for one in found.data.attempts]
        if tx is None and found.state in _NOT_MINED:  # the chain has used it up, and our store has not seen by what
            return any([await self._lane.chain.receipt(one) is not None for one in hashes])
        return found.state != ts.DISPLACED and (tx is None or tx in hashes)

    async def _unknown(self, sent: Sequence[Seen]) -> list[Stray]:
        logins: set[str] | None = None
        found: list[Stray] = []
        for seen in sent:
            if await self._is_ours(seen.nonce, seen.hash):
                continue
            if seen.value_wei and seen.data in ("", "0x"):
                to = {(seen.to or "").lower()}
                named = to if await self._books.is_miner((seen.to or "").lower()) else set()
            else:
                logins = set(await self._books.logins()) if logins is None else logins
                digits = f"{(seen.to or '').lower()}{seen.data.lower()}"
                named = {login for login in logins if login[2:] in digits}
            found += [Stray(one, seen) for one in sorted(named) if not await self._is_accounted_for(one, seen)]
        receipts = [await self._lane.chain.receipt(one.seen.hash) for one in found]
        return [one for one, receipt in zip(found, receipts, strict=True) if receipt is None or receipt.ok]

    async def _is_accounted_for(self, login: str, seen: Seen) -> bool:
        if any(one.tx == seen.hash for one in await self._books.bookings(login)):
            return True
        return bool((await self._books.steps([key_of(seen.hash)]))[0])
