"""Lanes after the store was set back: what their addresses have sent, and the store does not know."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from adapters.addresses import typed
from machines.core.chain import Seen
from machines.core.clock import Millis
from machines.core.errors import BadInput, PayflowError
from machines.core.money import Money
from machines.core.ports import Payment, PaymentKey
from machines.finding.data import Finding, FindingKind
from machines.payout.data import PayoutRecord, record_of
from machines.transaction import calldata
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, PaymentData
from machines.transaction.ports import Lane
from machines.transaction.rail import LaneRail
from payflow.desk.lanes import StoreBooks
from payflow.desk.reconcile.comparison import Word
from payflow.store.store import Store

KNOWN_IN_A_ROW = 20
"""So many nonces in a row that the store knows, newest first, and older ones are taken for known."""
MOST_NONCES = 1000
PAYOUT = "payout"
OPEN_PAYOUTS = 10_000


class LanesReconcile:
    """Compares lanes with their chains, nonce by nonce. Time plays no part: a nonce is used once, for ever."""

    def __init__(self, store: Store, lanes: Mapping[str, Lane], books: StoreBooks) -> None:
        self._store = store
        self._lanes = lanes
        self._books = books

    async def reconcile(self, _since: Millis, _word: Word) -> Sequence[Finding]:
        """Name every transaction that a lane's address has sent and the store does not know."""
        findings: list[Finding] = []
        for lane in self._lanes.values():
            try:
                findings += await self._compare(lane)
            except PayflowError as error:
                why = f"Its chain could not be asked: {error}"
                findings.append(_open(lane, FindingKind.STATEMENT_GAP, f"lane:{lane.name}", why, "Try again later."))
        return findings

    async def _compare(self, lane: Lane) -> list[Finding]:
        address = lane.signer.address
        head, used, coming = await asyncio.gather(
            lane.chain.head(), lane.chain.nonce(address), lane.chain.nonce(address, "pending")
        )
        record = await self._books.lane(lane.name)
        findings = [_halted(lane)] if record is not None and record.state == s.HALTED else []
        forgotten = await self._forgotten(lane, used)
        if coming > used and await self._books.transaction(lane.name, coming - 1) is None:
            findings.append(_under_way(lane, coming - 1))
        if len(forgotten) == MOST_NONCES or (len(forgotten) == used > 0 and not _knows(record)):
            return [*findings, _stranger(lane, len(forgotten))]
        for nonce in forgotten:
            seen = await lane.chain.sent_by(address, nonce, head.number)
            findings.append(await self._lost_nonce(lane, nonce, seen))
        return findings

    async def _forgotten(self, lane: Lane, used: int) -> list[int]:
        """List nonces of which the store knows no transaction, oldest first."""
        found, known = [], 0
        for nonce in range(used - 1, max(-1, used - 1 - MOST_NONCES), -1):
            if await self._books.transaction(lane.name, nonce) is None:
                found.append(nonce)
                known = 0
            else:
                known += 1
            if known == KNOWN_IN_A_ROW:
                break
        return found[::-1]

    async def _lost_nonce(self, lane: Lane, nonce: int, seen: Seen | None) -> Finding:
        if seen is None:
            what = f"nonce {nonce} is used, and no node shows by what."
            advice = "Ask a node that has all blocks, then try again."
            return _open(lane, FindingKind.STATEMENT_GAP, f"{lane.name}/{nonce}", what, advice)
        does = f"{seen.value_wei} wei to {seen.to or 'a new contract'}" + (" with a call" if len(seen.data) > 2 else "")  # noqa: PLR2004  (longer than 0x)
        says = f"nonce {nonce}, block {seen.block}: {does}, {seen.hash}. The store has forgotten it."
        likely = await self._likely(lane, seen)
        whose = f" It may have paid {', '.join(likely)}: settle those first." if likely else ""
        return _open(
            lane,
            FindingKind.MISSING_HERE,
            f"{lane.name}/{nonce}",
            says,
            f"Find out what it paid, see that it is not paid again, then --dismiss {lane.name}/{nonce}.{whose}",
        )

    async def _likely(self, lane: Lane, seen: Seen) -> list[str]:
        """Name payments that are open here and would pay the same to the same address."""
        queued = await self._books.queued(lane.name, OPEN_PAYOUTS)
        traces = calldata.traces(seen)
        found = [one.data.key for one in queued if calldata.may_do(seen, traces, one.data)]
        known = {record_of(key) for key in found}
        payouts = [(one, self._order(lane, one)) for one in await self._payouts(lane) if one.id not in known]
        return [*found, *(one.id for one, order in payouts if order and calldata.may_do(seen, traces, order))]

    async def _payouts(self, lane: Lane) -> list[PayoutRecord]:
        machine = self._store.records.machines.get(PAYOUT)
        if machine is None:
            return []
        states = [state.name for state in machine.lifecycle.states.values() if not state.final]
        found = await asyncio.gather(*(self._store.listing.in_state(PAYOUT, name, OPEN_PAYOUTS) for name in states))
        return [one.record for part in found for one in part if one.record.data.rail == lane.name]

    def _order(self, lane: Lane, payout: PayoutRecord) -> PaymentData | None:
        """Say what the lane would be asked to do; None where it would refuse to."""
        if payout.amount is None:
            return None
        to, amount = (
            self._store.seals.open(payout.data.sealed, payout.id),
            Money(payout.data.send_units, payout.amount.asset),
        )
        with suppress(BadInput):
            return LaneRail(lane, self._books, typed).order(Payment(PaymentKey(payout.id), to, amount))
        return None


def _knows(record: LaneRecord | None) -> bool:
    """Whether the store had a lane before it was set back, so that what it lacks is only what came later."""
    return record is not None and record.data.next_nonce > 0


def _open(lane: Lane, kind: FindingKind, subject: str, says: str, advice: str) -> Finding:
    return Finding(lane.name, kind, subject, says, advised=advice)


def _halted(lane: Lane) -> Finding:
    return _open(
        lane,
        FindingKind.MISSING_HERE,
        f"lane:{lane.name}",
        "It stopped: transactions from outside may have paid payments that wait in it.",
        f"Look with `payflow lane show {lane.name}`, then `payflow lane adopt {lane.name}`.",
    )


def _under_way(lane: Lane, nonce: int) -> Finding:
    return _open(
        lane,
        FindingKind.MISSING_HERE,
        f"{lane.name}/{nonce}",
        f"A transaction at nonce {nonce} waits for its block, and the store has forgotten it.",
        "Wait until it is mined, then try again.",
    )


def _stranger(lane: Lane, count: int) -> Finding:
    return _open(
        lane,
        FindingKind.NOT_OURS,
        f"lane:{lane.name}",
        f"Its address {lane.signer.address} has sent {count} transactions or more of which the store knows none.",
        f"See in a block explorer which of them paid what is still open here, and settle that; then --dismiss "
        f"lane:{lane.name}.",
    )
