"""What a lane can pay now, and how: the transactions of one look, as far as its money reaches."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from machines.core.chain import NO_DATA, Address, GasFee
from machines.core.clock import Millis
from machines.core.errors import Rejected
from machines.transaction import calldata
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.caps import FEES, UNLIMITED, cost_wei, set_aside
from machines.transaction.data import ETHER, LaneRecord, PaymentRecord, TransactionData, TransactionRecord
from machines.transaction.grouping import Bundle, batch_id, bundles, joins
from machines.transaction.policy import LanePolicy
from machines.transaction.ports import Lane

PLAIN_GAS = 21_000
APPROVE_GAS = 100_000
MOST_PAYMENTS = 500
"""Payments that one look signs for: they all move in one commit, which must not keep the store from others."""


@dataclass(frozen=True, slots=True)
class PlannedTransaction:
    """A transaction as it is to be signed."""

    nonce: int
    to: Address | None
    value_wei: int
    data: str
    gas: int
    bundle: Bundle | None = None
    batch: str = ""
    token: Address | None = None
    token_units: int = 0

    @property
    def empty(self) -> bool:
        """Whether it only uses up its nonce."""
        return self.bundle is None and self.data == NO_DATA


class Shortage(NamedTuple):
    """What keeps a lane from paying."""

    words: str = ""
    """Empty where nothing does."""
    asset: str = ""
    """Which money is missing: `ETHER`, or the address of a token; empty where it is not money."""


NO_SHORTAGE = Shortage()


class Budget:
    """What a lane can still spend in this look."""

    def __init__(
        self, lane: Lane, record: LaneRecord, balance_wei: int, fee: GasFee, waiting: Sequence[TransactionRecord]
    ) -> None:
        self._lane = lane
        self._record = record
        self._address = record.data.address
        self._fee_room: int | None = None
        self.capped = False
        """Whether it is the cap on fees that all wait for."""
        self.too_dear = ""
        """What takes more gas than that cap ever allows."""
        self._free_wei = balance_wei - sum(_most_wei(one) for one in waiting)
        self._fee = fee
        self._waiting = waiting
        self._left: dict[Address, int] = {}
        self._pulled: Counter[Address] = Counter()
        self.ether = NO_SHORTAGE
        """What of the chain's own money the first payment that had to wait was short of: all others wait behind."""
        self.tokens: dict[Address, Shortage] = {}
        """What is wrong with a token: what does not need it goes on."""

    @property
    def shortage(self) -> Shortage:
        """What is missing first."""
        return self.ether if self.ether.words else next(iter(self.tokens.values()), NO_SHORTAGE)

    async def affords(self, value_wei: int, gas: int, token: Address | None = None, units: int = 0) -> bool:
        """Say whether there is enough for this, its gas included, and set it aside."""
        cost = value_wei + gas * self._fee.max_wei
        if cost > self._free_wei:
            if not self.ether.words:
                self.ether = Shortage(f"{_ether(cost - self._free_wei)} ETH more at {self._address}", ETHER)
            return False
        if token is not None:
            left = await self._units(token)
            if units > left:
                words = f"{units - left} units of the token {token} more at {self._address}"
                self.tokens.setdefault(token, Shortage(words, token))
                return False
            self._left[token] = left - units
        self._free_wei -= cost
        return True

    async def _units(self, token: Address) -> int:
        if token not in self._left:
            under_way = sum(int(one.data.token_units) for one in self._waiting if one.data.token == token)
            self._left[token] = await self._read(token, calldata.balance_of(self._address)) - under_way
        return self._left[token]

    async def may_pull(self, token: Address, spender: Address, units: int) -> bool:
        """Say whether a contract may pull so much more of a token from the lane."""
        allowed = await self._read(token, calldata.allowance(self._address, spender))
        pulled = sum(int(one.data.token_units) for one in self._waiting if one.data.token == token and one.data.batch)
        if allowed - pulled - self._pulled[token] < units:
            return False
        self._pulled[token] += units
        return True

    async def _read(self, token: Address, question: str) -> int:
        try:
            return calldata.number(await self._lane.chain.call(token, question))
        except Rejected as refusal:
            self.tokens.setdefault(token, Shortage(f"{token} does not answer as a token does: {refusal}"))
            return 0

    def may_offer(self, planned: PlannedTransaction, now: Millis) -> bool:
        """Say whether the cap on fees has room for a new nonce, and for closing it; all wait where it has not."""
        cap, policy = self._lane.policy.fee_cap, self._lane.policy
        if cap is None:
            return True
        if self._fee_room is None:
            self._fee_room = fee_room(policy, self._record, self._waiting, now)
        cost = planned.gas * self._fee.max_wei
        needed = cost + set_aside(cost, policy.fees.max_fee_ceiling_wei)
        if needed > cap.most and planned.bundle:  # no hour has room for it, and it holds up nobody else
            self.too_dear = (
                f"somebody: {planned.bundle.payments[0].id} takes more gas than its cap of {cap.says} allows"
            )
            return False
        if needed > self._fee_room:
            self.ether, self.capped = Shortage(f"room under its cap of {cap.says} for fees"), True
            return False
        self._fee_room -= needed
        return True

    def approving(self, token: Address) -> bool:
        """Say whether the permission to pull is under way."""
        return any(one.data.to == token and one.data.data[2:10] == calldata.APPROVE for one in self._waiting)


class Plan:
    """The transactions of one look."""

    def __init__(self, lane: Lane, record: LaneRecord, budget: Budget) -> None:
        self._lane = lane
        self._record = record
        self._budget = budget
        self._next_nonce = record.data.next_nonce
        self.transactions: list[PlannedTransaction] = []
        self.unpayable: list[f.UnpayablePayment] = []
        self.left = 0
        """How many bundles found no room."""

    async def fill(self, missing: Sequence[int]) -> None:
        """Use up nonces that the chain waits for and that nobody holds."""
        for nonce in missing:
            if await self._budget.affords(0, PLAIN_GAS):
                self.transactions.append(PlannedTransaction(nonce, self._record.data.address, 0, NO_DATA, PLAIN_GAS))

    async def pay(self, queued: Sequence[PaymentRecord], room: int, now: Millis) -> None:
        """Plan for queued payments, the oldest first, until money or room ends."""
        found = bundles(queued, await self._existing(queued), self._policy)
        payments = 0
        for place, bundle in enumerate(found):
            if self._budget.ether.words:
                break
            if room <= 0 or (payments and payments + len(bundle.payments) > MOST_PAYMENTS):
                self.left = len(found) - place
                break
            if bundle.token in self._budget.tokens:
                continue
            planned = await self._batch(bundle) if not bundle.alone else await self._single(bundle)
            if planned is not None and self._budget.may_offer(planned, now):
                self.transactions.append(planned)
                self._next_nonce += 1
                room -= 1
                payments += len(bundle.payments)

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
        known = await asyncio.gather(*map(self._lane.chain.known, order))
        return {address for address, exists in zip(order, known, strict=True) if exists}

    async def _single(self, bundle: Bundle) -> PlannedTransaction | None:
        payment = bundle.payments[0]
        to, value_wei, data = calldata.asked(payment.data)
        units = int(payment.data.value_wei) if payment.data.token else 0
        if not await self._budget.affords(value_wei, 0, payment.data.token, units):
            return None
        try:
            gas = await self._gas(to, value_wei, data)
        except Rejected as refusal:
            self.unpayable.append(f.UnpayablePayment(payment, str(refusal)))
            return None
        if not await self._budget.affords(0, gas):
            return None
        return PlannedTransaction(self._next_nonce, to, value_wei, data, gas, bundle, "", payment.data.token, units)

    async def _gas(self, to: Address | None, value_wei: int, data: str) -> int:
        if self._lane.policy.gas_limit is not None and data == NO_DATA:
            return self._lane.policy.gas_limit
        if to is not None and data == NO_DATA and await self._lane.chain.code(to) == NO_DATA:
            return PLAIN_GAS
        needed = await self._lane.chain.estimate(self._record.data.address, to, value_wei, data)
        return needed + needed // 4

    async def _batch(self, bundle: Bundle) -> PlannedTransaction | None:
        contract = self._lane.pay_many
        if contract is None:
            raise ValueError("Only a lane with a contract makes batches.")
        payees = calldata.payees_of(bundle.payments)
        units = sum(one.units_wei for one in payees) if bundle.token else 0
        if bundle.token and not await self._budget.may_pull(bundle.token, contract.address, units):
            return await self._permission(bundle.token, contract.address)
        batch = batch_id(self._lane.name, self._next_nonce, [payment.id for payment in bundle.payments])
        value_wei, data, gas = contract.pay(batch, payees, bundle.token)
        if not await self._budget.affords(value_wei, gas, bundle.token, units):
            return None
        return PlannedTransaction(
            self._next_nonce, contract.address, value_wei, data, gas, bundle, batch, bundle.token, units
        )

    async def _permission(self, token: Address, spender: Address) -> PlannedTransaction | None:
        """Allow the contract, once, to pull a token; batches of it wait until that is mined."""
        asked_for = any(planned.to == token and planned.bundle is None for planned in self.transactions)
        if asked_for or token in self._budget.tokens or self._budget.approving(token):
            return None
        data = calldata.approval(spender)
        try:
            # One that would revert costs gas each time that it is tried.
            await self._lane.chain.estimate(self._record.data.address, token, 0, data)
        except Rejected as refusal:
            self._budget.tokens[token] = Shortage(f"{token} does not let the contract {spender} pull: {refusal}")
            return None
        if not await self._budget.affords(0, APPROVE_GAS):
            return None
        return PlannedTransaction(self._next_nonce, token, 0, data, APPROVE_GAS)


def fee_room(
    policy: LanePolicy,
    record: LaneRecord,
    unsettled: Sequence[TransactionRecord],
    now: Millis,
    offered: TransactionData | None = None,
    cost: int = 0,
) -> int:
    """Say how much more may be offered for gas when each open nonce has what closing it takes.

    `cost` is what one of them, `offered`, costs with the offer that is thought of.
    """
    if policy.fee_cap is None:
        return UNLIMITED
    ceiling = policy.fees.max_fee_ceiling_wei
    open_ones = [one.data for one in unsettled if one.state in {s.SIGNED, s.SENT}]
    costs = (cost if offered and one.nonce == offered.nonce else cost_wei(one) for one in open_ones)
    return policy.fee_cap.left(FEES, record.data.spent, now) - sum(set_aside(one, ceiling) for one in costs)


def _ether(wei: int) -> str:
    """Write a lack, rounded up to 1, 2 or 5 and zeros: fees change with every block, and words should not."""
    power = 10 ** (len(str(wei)) - 1)
    enough = next(step * power for step in (1, 2, 5, 10) if step * power >= wei)
    digits = str(enough).rjust(19, "0")
    return f"{digits[:-18]}.{digits[-18:]}".rstrip("0").rstrip(".")


def _most_wei(transaction: TransactionRecord) -> int:
    """Say how many wei at most a transaction costs that is not mined yet."""
    data = transaction.data
    return int(data.value_wei) + data.gas * data.newest.fee.max_wei
