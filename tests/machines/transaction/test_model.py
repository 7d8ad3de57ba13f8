"""The three tables walked at random, with the truth of a chain beside them.

1. A payment is in at most one live transaction, and names the one that carries it.
2. It leaves its nonce only when that nonce is FINAL, REVERTED or DISPLACED.
3. SETTLED comes with evidence, and with money that arrived; QUEUED and FAILED without, unless an alarm was raised.
4. It is paid at most once, unless the chain took back what was proven and a person was told.
5. What a nonce is offered for only grows, by an eighth at least, within the ceiling.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from machines.core.chain import GasFee, Market, NodeAnswer, NodeReply
from machines.core.errors import BadInput
from machines.core.facts import Fact
from machines.core.ids import RecordId
from machines.core.lifecycle import Lifecycle
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.data import SignedAttempt, Suspect
from machines.transaction.policy import FeePolicy, bumped
from machines.transaction.react_lane import lane as lane_machine
from machines.transaction.react_payment import payment as payment_machine
from tests.machines.transaction.scenes import GWEI, NOW, REACT, hash_of, lane, payment, receipt, seen, signing

LIVE = (s.SIGNED, s.SENT, s.MINED)
FEES = FeePolicy(max_fee_ceiling_wei=100 * GWEI)
LANE_REACT, PAYMENT_REACT = lane_machine({}).react, payment_machine().react
TABLES: dict[str, Lifecycle] = {table.machine: table for table in (s.LANE, s.PAYMENT, s.TRANSACTION)}

picks = st.integers(0, 10**6)


class Walk(RuleBasedStateMachine):
    """A lane, its payments and transactions, and what really happened."""

    nonces: Bundle[int] = Bundle("nonces")

    def __init__(self) -> None:
        super().__init__()
        self.lane: Record[Any] = lane()
        self.payments: dict[RecordId, Record[Any]] = {}
        self.transactions: dict[int, Record[Any]] = {}
        self.paid: Counter[RecordId] = Counter()
        self.deeds: dict[int, tuple[RecordId, ...]] = {}
        """What each nonce, as far as it is proven now, has paid."""
        self.hashes = 1000
        self.alarms = 0

    # ── what the world does ──────────────────────────────────────────────────────────────────────────────────────────

    @rule()
    def order(self) -> None:
        made = payment(len(self.payments))
        self.payments[made.id] = made

    @rule(target=nonces, most=st.integers(0, 4), pick=picks)
    def sign(self, most: int, pick: int) -> int:
        """Sign for some of what is queued, or for nobody."""
        nonce: int = self.lane.data.next_nonce
        queued = [one for one in self.payments.values() if one.state == s.QUEUED]
        start = pick % (len(queued) + 1)
        fact = f.Looked(nonce + 1, (signing(nonce, *queued[start : start + most]),))
        self._apply(self.lane, LANE_REACT, fact)
        return nonce

    @rule(nonce=nonces, reply=st.sampled_from(NodeReply))
    def send(self, nonce: int, reply: NodeReply) -> None:
        if found := self.transactions.get(nonce):
            self._learn(found, f.Broadcast(found.data.newest.hash, NodeAnswer(reply, "so it said"), 5))

    @rule(nonce=nonces, empty=st.booleans(), base=st.integers(1, 60))
    def bump(self, nonce: int, empty: bool, base: int) -> None:  # noqa: FBT001  (hypothesis gives it by name)
        found = self.transactions.get(nonce)
        if found is None:
            return
        fee = bumped([one.fee for one in found.data.attempts], Market(base * GWEI, GWEI, GWEI), FEES)
        if fee is not None:
            self.hashes += 1
            attempt = SignedAttempt(hash_of(self.hashes), "0x", fee, empty=empty or found.data.newest.empty)
            self._learn(found, f.Bumped(attempt, "late"))

    @rule(nonce=nonces, pick=picks)
    def mine(self, nonce: int, pick: int) -> None:
        if found := self.transactions.get(nonce):
            one = found.data.attempts[pick % len(found.data.attempts)]
            self._learn(found, f.Mined(one.hash, 50 + pick % 5, hash_of(pick % 5)))

    @rule(nonce=nonces, ok=st.booleans(), place=st.integers(0, 5))
    def finish(self, nonce: int, ok: bool, place: int) -> None:  # noqa: FBT001
        found = self.transactions.get(nonce)
        if found is None or found.state != s.MINED:
            return
        members = self._members(found)
        attempt = next(one for one in found.data.attempts if one.hash == found.data.hash)
        failed = frozenset({place}) if ok and not attempt.empty and place < len(members) else frozenset[int]()
        if ok and not attempt.empty:
            self._pay(nonce, [one.id for at, one in enumerate(members) if at not in failed])
        self._learn(found, f.Finished(receipt(found.data.hash, ok=ok), members, failed, "us"))

    @rule(nonce=nonces, pays=st.booleans(), suspects=st.booleans())
    def displace(self, nonce: int, pays: bool, suspects: bool) -> None:  # noqa: FBT001
        found = self.transactions.get(nonce)
        if found is None or found.state != s.SENT:
            return
        members = self._members(found)
        paid = frozenset({0}) if pays and members else frozenset[int]()
        self._pay(nonce, [members[0].id] if paid else [])
        under = tuple(Suspect(hash_of(99), nonce, one) for one in list(self.payments)[:1]) if suspects else ()
        fact = f.Displaced(seen(nonce=nonce), receipt(hash_of(99)), members, paid, self.lane, under)
        self._learn(found, fact)

    @rule(nonce=nonces, deep=st.booleans())
    def reorganise(self, nonce: int, deep: bool) -> None:  # noqa: FBT001
        found = self.transactions.get(nonce)
        if found is None or found.state not in {s.MINED, s.FINAL, s.REVERTED}:
            return
        self.alarms += found.state != s.MINED
        if not (deep and found.state != s.MINED):
            self._pay(nonce, [])
        self._learn(found, f.Unmined(self._members(found), deep=deep))

    @rule(nonce=nonces)
    def cancel(self, nonce: int) -> None:
        if found := self.transactions.get(nonce):
            self._learn(found, f.CancelAsked("ada", "wrong"))

    @rule(pick=picks)
    def withdraw(self, pick: int) -> None:
        if self.payments:
            found = list(self.payments.values())[pick % len(self.payments)]
            self._apply(found, PAYMENT_REACT, f.Withdrawn("ada", "wrong"))

    @rule()
    def adopt(self) -> None:
        self._apply(self.lane, LANE_REACT, f.Adopted("ada", "none of them paid"))

    @rule(nonce=consumes(nonces))
    def forget(self, nonce: int) -> None:
        """Let a nonce rest for good, so that others are played with."""

    # ── how it is carried out ────────────────────────────────────────────────────────────────────────────────────────

    def _members(self, found: Record[Any]) -> tuple[Record[Any], ...]:
        return tuple(self.payments[one] for one in found.data.members)

    def _pay(self, nonce: int, whom: list[RecordId]) -> None:
        self.paid.subtract(self.deeds.get(nonce, ()))
        self.deeds[nonce] = tuple(whom)
        self.paid.update(whom)

    def _learn(self, found: Record[Any], fact: Fact) -> None:
        self._apply(found, REACT, fact)

    def _apply(self, found: Record[Any], react: Any, fact: Fact) -> None:  # noqa: ANN401
        try:
            decision = react(found, fact, NOW)
        except BadInput:
            return
        for new in decision.creates:
            self.transactions[new.data.nonce] = Record(
                new.id, new.machine, s.SIGNED, 1, new.owner, None, new.data, NOW, NOW
            )
        for one, its_decision in ((found, decision), *decision.group):
            self.alarms += bool(its_decision.alarm)
            state = (
                TABLES[one.machine].target(one.state, its_decision.trigger).name if its_decision.trigger else one.state
            )
            data = one.data if its_decision.data is None else its_decision.data
            self._keep(replace(one, state=state, data=data, version=one.version + 1))

    def _keep(self, after: Record[Any]) -> None:
        if after.machine == "lane":
            self.lane = after
        elif after.machine == "payment":
            self._leaves_only_on_proof(self.payments[after.id], after)
            self.payments[after.id] = after
        else:
            self.transactions[after.data.nonce] = after

    def _leaves_only_on_proof(self, before: Record[Any], after: Record[Any]) -> None:
        if before.state == s.SENDING and after.state != s.SENDING:
            carrier = next(one for one in self.transactions.values() if one.id == before.data.transaction)
            assert carrier.state in {s.FINAL, s.REVERTED, s.DISPLACED}, (before.state, after.state, carrier.state)

    # ── what always holds ────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def in_one_live_transaction(self) -> None:
        carriers = {one.id: one for one in self.transactions.values()}
        for one in self.payments.values():
            if one.state == s.SENDING:
                carrier = carriers[one.data.transaction]
                assert carrier.state in LIVE or self.alarms
                assert one.id in carrier.data.members
            if one.state == s.QUEUED:
                assert one.data.transaction is None

    @invariant()
    def settled_with_evidence(self) -> None:
        for one in self.payments.values():
            if one.state == s.SETTLED:
                assert one.data.evidence is not None
                assert self.paid[one.id] >= 1 or self.alarms
            elif not self.alarms and one.state in {s.QUEUED, s.FAILED}:
                assert self.paid[one.id] == 0

    @invariant()
    def paid_once(self) -> None:
        if not self.alarms:
            assert all(times <= 1 for times in self.paid.values())

    @invariant()
    def offers_grow(self) -> None:
        for one in self.transactions.values():
            fees: list[GasFee] = [attempt.fee for attempt in one.data.attempts]
            for before, after in pairwise(fees):
                assert after.max_wei * 8 >= before.max_wei * 9
                assert (after.tip_wei or 0) * 8 >= (before.tip_wei or 0) * 9
                assert after.max_wei <= FEES.max_fee_ceiling_wei


Walk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_a_lane_walked_at_random_keeps_its_promises = Walk.TestCase
