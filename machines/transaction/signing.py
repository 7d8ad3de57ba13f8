"""The look at a lane: what to sign next, in nonce order, as far as money, room and the chain's state allow."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from machines.core.chain import NO_DATA, Address, Fee, Head, Seen, Unsigned
from machines.core.clock import Millis
from machines.core.decision import Claim, New
from machines.core.errors import RailClosed, Rejected
from machines.core.facts import Fact, Nothing
from machines.core.ports import Cause, Step
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction import orders
from machines.transaction.data import (
    Attempt,
    LaneRecord,
    PaymentRecord,
    Suspect,
    TransactionData,
    TransactionRecord,
    owner_of_lane,
)
from machines.transaction.fees import offered
from machines.transaction.grouping import Bundle, bundles, joins, waits_for_company
from machines.transaction.policy import LanePolicy
from machines.transaction.ports import Books, Lane, View

PLAIN_GAS = 21_000
APPROVE_GAS = 100_000
MOST_LOOKED_UP = 50
MOST_QUEUED = 1000

UNKNOWN_NONCE = -1


@dataclass(frozen=True, slots=True)
class Planned:
    """A transaction as it is to be signed."""

    to: Address | None
    value_wei: int
    data: str
    gas: int
    bundle: Bundle | None = None
    batch: str = ""
    token: Address | None = None
    token_units: int = 0


class LaneLooks:
    """Signs for each lane."""

    def __init__(self, lanes: Mapping[str, Lane], books: Books) -> None:
        self._lanes = lanes
        self._books = books

    async def look(self, record: LaneRecord, step: Step) -> Fact:
        """See what the chain knows of our nonces; sign what is queued where both agree."""
        lane = self._lanes.get(record.data.name)
        if lane is None:
            return Nothing()
        _same_address(lane, record)
        address = record.data.address
        head, latest, pending = await asyncio.gather(
            lane.chain.head(), lane.chain.nonce(address), lane.chain.nonce(address, "pending")
        )
        unsettled = await self._books.unsettled(lane.name)
        if record.data.next_nonce == UNKNOWN_NONCE:
            return f.Looked(latest) if latest >= pending else _waits(record, "transactions from outside are under way")
        if latest > record.data.next_nonce:
            return await self._outside(lane, record, head)
        if pending > record.data.next_nonce:
            return _waits(record, "a transaction from outside is under way at our next nonce")
        missing = await self._missing(lane, record, latest, unsettled)
        free_from = _start_of_tail(missing, record.data.next_nonce)
        if pending <= free_from < record.data.next_nonce:
            # Nothing of ours, and nothing that a node knows, was ever at these nonces: they are free.
            return f.Looked(free_from)
        return await self._sign(lane, record, step, unsettled, missing)

    # ── nonces that do not agree ─────────────────────────────────────────────────────────────────────────────────────

    async def _outside(self, lane: Lane, record: LaneRecord, head: Head) -> Fact:
        """Find who used the nonces that we did not, once that is proven; nothing is signed before."""
        proof = lane.policy.proven_up_to(head)
        first = record.data.next_nonce
        used = await lane.chain.nonce(record.data.address, max(proof, 0))
        last = min(used, first + MOST_LOOKED_UP)
        if last <= first:
            return _waits(record, "transactions from outside must be final first")
        seen: list[Seen] = []
        for nonce in range(first, last):
            one = await lane.chain.sent_by(record.data.address, nonce, max(proof, 0))
            if one is None:
                return Nothing()
            seen.append(one)
        queued = await self._books.queued(lane.name, MOST_QUEUED)
        return f.FoundOutside(last, tuple(seen), _suspects(seen, queued))

    async def _missing(
        self, lane: Lane, record: LaneRecord, latest: int, unsettled: Sequence[TransactionRecord]
    ) -> list[int]:
        """List nonces that the chain waits for and that no record of ours holds."""
        held = {transaction.data.nonce for transaction in unsettled}
        open_ones = [nonce for nonce in range(latest, record.data.next_nonce) if nonce not in held]
        found = await asyncio.gather(*(self._books.transaction(lane.name, nonce) for nonce in open_ones))
        return [nonce for nonce, transaction in zip(open_ones, found, strict=True) if transaction is None]

    # ── signing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _sign(
        self,
        lane: Lane,
        record: LaneRecord,
        step: Step,
        unsettled: Sequence[TransactionRecord],
        missing: Sequence[int],
    ) -> Fact:
        waiting = [one for one in unsettled if one.state in {s.SIGNED, s.SENT}]
        room = min(lane.policy.in_flight - len(waiting), lane.policy.at_once)
        balance = await lane.chain.balance(record.data.address)
        if lane.watch is not None:
            lane.watch.looked(_view(record, waiting, balance, step.now))
        if room <= 0 and not missing:
            return Nothing()
        queued = await self._books.queued(lane.name, max(room, 1) * max(1, lane.policy.batch_size))
        queued = [payment for payment in queued if not _suspected(record, payment)]
        company_s = waits_for_company(queued, lane.policy, step.now) if lane.pay_many else 0.0
        if not missing and (not queued or company_s):
            return f.Looked(record.data.next_nonce, again_s=company_s or None) if _changes(record, "") else Nothing()
        market = await lane.chain.market(lane.policy.fees.percentile)
        fee = offered(market, lane.policy.fees)
        purse = _Purse(lane, record.data.address, balance - _committed(waiting), fee, waiting)
        plan = _Plan(lane, record, purse, fee, step.now)
        await plan.fill(missing)
        if queued and not company_s:
            await plan.pay(queued, room)
        await step.may_send(*lane.scopes)
        signed = await plan.signed(self._books)
        more = bool(signed) and not purse.lacks
        if not signed and not plan.unpayable and not _changes(record, purse.lacks):
            return Nothing()
        return f.Looked(plan.next_nonce, signed, tuple(plan.unpayable), purse.lacks, more)


class _Purse:
    """What a lane can still spend in this look."""

    def __init__(
        self, lane: Lane, address: Address, free_wei: int, fee: Fee, waiting: Sequence[TransactionRecord]
    ) -> None:
        self._lane = lane
        self._address = address
        self._free_wei = free_wei
        self._fee = fee
        self._waiting = waiting
        self._tokens: dict[Address, int] = {}
        self.lacks = ""
        """What the first payment that had to wait was short of."""

    async def affords(self, value_wei: int, gas: int, token: Address | None = None, units: int = 0) -> bool:
        """Say whether there is enough for this, its gas included, and set it aside."""
        cost = value_wei + gas * self._fee.max_wei
        if cost > self._free_wei:
            self.lacks = self.lacks or f"{cost - self._free_wei} wei more are needed at {self._address}"
            return False
        if token is not None:
            left = await self._units(token)
            if units > left:
                self.lacks = self.lacks or f"{units - left} units more of the token {token} are needed"
                return False
            self._tokens[token] = left - units
        self._free_wei -= cost
        return True

    async def _units(self, token: Address) -> int:
        if token not in self._tokens:
            answer = await self._lane.chain.call(token, orders.balance_of(self._address))
            under_way = sum(int(one.data.token_units) for one in self._waiting if one.data.token == token)
            self._tokens[token] = orders.number(answer) - under_way
        return self._tokens[token]

    async def may_pull(self, token: Address, spender: Address) -> bool:
        """Say whether a contract may pull a token from the lane."""
        answer = await self._lane.chain.call(token, orders.allowance(self._address, spender))
        return orders.number(answer) > orders.PLENTY

    def approving(self, token: Address) -> bool:
        """Say whether the permission to pull is under way."""
        return any(one.data.to == token and one.data.data[2:10] == orders.APPROVE for one in self._waiting)


class _Plan:
    """The transactions of one look."""

    def __init__(self, lane: Lane, record: LaneRecord, purse: _Purse, fee: Fee, now: Millis) -> None:
        self._lane = lane
        self._record = record
        self._purse = purse
        self._fee = fee
        self._now = now
        self._planned: list[tuple[int, Planned]] = []
        self.next_nonce = record.data.next_nonce
        self.unpayable: list[f.Unpayable] = []

    async def fill(self, missing: Sequence[int]) -> None:
        """Use up nonces that the chain waits for and that nobody holds."""
        for nonce in missing:
            if await self._purse.affords(0, PLAIN_GAS):
                self._planned.append((nonce, Planned(self._record.data.address, 0, NO_DATA, PLAIN_GAS)))

    async def pay(self, queued: Sequence[PaymentRecord], room: int) -> None:
        """Plan for queued payments, the oldest first, until money or room ends."""
        existing = await self._existing(queued)
        for bundle in bundles(queued, existing, self._policy)[: max(room, 0)]:
            if self._purse.lacks:
                break
            planned = await self._batch(bundle) if not bundle.alone else await self._single(bundle)
            if planned is not None:
                self._planned.append((self.next_nonce, planned))
                self.next_nonce += 1

    @property
    def _policy(self) -> LanePolicy:
        return self._lane.policy if self._lane.pay_many else replace(self._lane.policy, batch_size=1)

    async def _existing(self, queued: Sequence[PaymentRecord]) -> set[Address]:
        """Find which recipients exist: a batch pays 25,000 gas more for each that does not."""
        if self._lane.pay_many is None:
            return set()
        policy = self._lane.policy
        wanted = {one.data.to for one in queued if joins(one, policy) and one.data.token is None and one.data.to}
        if len(wanted) < policy.batch_from:
            return set()
        order = sorted(wanted)
        known = await asyncio.gather(*(self._lane.chain.known(address) for address in order))
        return {address for address, exists in zip(order, known, strict=True) if exists}

    async def _single(self, bundle: Bundle) -> Planned | None:
        payment = bundle.payments[0]
        to, value_wei, data = orders.asked(payment.data)
        units = int(payment.data.value_wei) if payment.data.token else 0
        if not await self._purse.affords(value_wei, 0, payment.data.token, units):
            return None
        try:
            gas = await self._gas(to, value_wei, data)
        except Rejected as refusal:
            self.unpayable.append(f.Unpayable(payment, str(refusal), Cause.DESTINATION))
            return None
        if not await self._purse.affords(0, gas):
            return None
        return Planned(to, value_wei, data, gas, bundle, "", payment.data.token, units)

    async def _gas(self, to: Address | None, value_wei: int, data: str) -> int:
        if self._lane.policy.gas_limit is not None and data == NO_DATA:
            return self._lane.policy.gas_limit
        if to is not None and data == NO_DATA and await self._lane.chain.code(to) == NO_DATA:
            return PLAIN_GAS
        needed = await self._lane.chain.estimate(self._record.data.address, to, value_wei, data)
        return needed + needed // 4

    async def _batch(self, bundle: Bundle) -> Planned | None:
        contract = self._lane.pay_many
        if contract is None:
            raise ValueError("Only a lane with a contract makes batches.")
        if bundle.token and not await self._purse.may_pull(bundle.token, contract.address):
            return await self._permission(bundle.token, contract.address)
        payees = orders.payees_of(bundle.payments)
        batch = batch_id(self._lane.name, self.next_nonce, [payment.id for payment in bundle.payments])
        value_wei, data, gas = contract.pay(batch, payees, bundle.token)
        units = sum(one.units_wei for one in payees) if bundle.token else 0
        if not await self._purse.affords(value_wei, gas, bundle.token, units):
            return None
        return Planned(contract.address, value_wei, data, gas, bundle, batch, bundle.token, units)

    async def _permission(self, token: Address, spender: Address) -> Planned | None:
        """Allow the contract, once, to pull a token; batches of it wait until that is mined."""
        asked_for = any(planned.to == token and planned.bundle is None for _, planned in self._planned)
        if asked_for or self._purse.approving(token) or not await self._purse.affords(0, APPROVE_GAS):
            return None
        return Planned(token, 0, orders.approval(spender), APPROVE_GAS)

    async def signed(self, books: Books) -> tuple[f.Signing, ...]:
        """Sign all that was planned."""
        made = []
        for nonce, planned in self._planned:
            unsigned = Unsigned(
                self._lane.chain.chain_id, nonce, planned.to, planned.value_wei, planned.data, planned.gas, self._fee
            )
            done = await self._lane.signer.sign(unsigned)
            attempt = Attempt(done.hash, done.raw, self._fee, empty=planned.bundle is None and planned.data == NO_DATA)
            made.append(self._signing(books, nonce, planned, attempt))
        return tuple(made)

    def _signing(self, books: Books, nonce: int, planned: Planned, attempt: Attempt) -> f.Signing:
        members = planned.bundle.payments if planned.bundle else ()
        record = self._record.data
        data = TransactionData(
            lane=self._lane.name,
            nonce=nonce,
            to=planned.to,
            value_wei=str(planned.value_wei),
            data=planned.data,
            gas=planned.gas,
            attempts=(attempt,),
            members=tuple(payment.id for payment in members),
            batch=planned.batch,
            token=planned.token,
            token_units=str(planned.token_units),
        )
        new = New(
            books.transaction_id(self._lane.name, nonce),
            "transaction",
            owner_of_lane(self._lane.name),
            None,
            data,
            fingerprint=attempt.hash,
            claims=(Claim(f"nonce:{record.chain_id}:{record.address}", str(nonce)),),
        )
        return f.Signing(new, members)


def _view(record: LaneRecord, waiting: Sequence[TransactionRecord], balance_wei: int, now: int) -> View:
    oldest = min((one.created_at for one in waiting), default=None)
    data = record.data
    return View(data.name, now, data.next_nonce, len(waiting), oldest, balance_wei, data.waits_for)


# ── small things ─────────────────────────────────────────────────────────────────────────────────────────────────────


def batch_id(lane: str, nonce: int, members: Sequence[str]) -> str:
    """Make the 32 bytes that the contract accepts once."""
    return "0x" + hashlib.sha256(":".join((lane, str(nonce), *members)).encode()).hexdigest()


def _same_address(lane: Lane, record: LaneRecord) -> None:
    data = record.data
    if (data.chain_id, data.address) != (lane.chain.chain_id, lane.signer.address):
        raise RailClosed(
            f"The lane {lane.name} was made for {data.address} on chain {data.chain_id}; its settings now say "
            f"{lane.signer.address} on chain {lane.chain.chain_id}. Give the new address a lane of another name.",
            rail=lane.name,
        )


def _start_of_tail(missing: Sequence[int], end: int) -> int:
    """Give the first of the numbers that lead up to the end without a break."""
    while end - 1 in missing:
        end -= 1
    return end


def _committed(waiting: Sequence[TransactionRecord]) -> int:
    """Say how many wei at most the transactions cost that are not mined yet."""
    return sum(int(one.data.value_wei) + one.data.gas * one.data.newest.fee.max_wei for one in waiting)


def _suspects(seen: Sequence[Seen], queued: Sequence[PaymentRecord]) -> tuple[Suspect, ...]:
    return tuple(
        Suspect(one.hash, one.nonce, payment.id) for one in seen for payment in queued if orders.does(one, payment.data)
    )


def _suspected(record: LaneRecord, payment: PaymentRecord) -> bool:
    return any(suspect.payment == payment.id for suspect in record.data.suspects)


def _changes(record: LaneRecord, waits_for: str) -> bool:
    return record.data.waits_for != waits_for


def _waits(record: LaneRecord, waits_for: str) -> Fact:
    return f.Looked(record.data.next_nonce, waits_for=waits_for) if _changes(record, waits_for) else Nothing()
