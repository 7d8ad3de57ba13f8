"""Which queued payments go into which transaction. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from machines.core.chain import Address
from machines.core.clock import SECOND, Millis
from machines.transaction.data import PaymentRecord
from machines.transaction.policy import LanePolicy

MOST_BATCHED_UNITS = 2**96
"""An amount shares a word with its recipient's address."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Payments that share a transaction, or a payment alone."""

    payments: tuple[PaymentRecord, ...]

    @property
    def alone(self) -> bool:
        """Whether it is paid in the plain way."""
        return len(self.payments) == 1

    @property
    def token(self) -> Address | None:
        """What is paid: a token, or the chain's own money."""
        return self.payments[0].data.token


def bundles(queued: Sequence[PaymentRecord], existing: Collection[Address], policy: LanePolicy) -> list[Bundle]:
    """Put payments together where that is cheaper, and leave the order as it is otherwise.

    A plain transfer makes an account for nothing, a contract's call pays 25,000 gas for it: those are paid alone.
    """
    together: dict[tuple[Address | None, int], list[PaymentRecord]] = defaultdict(list)
    for payment in queued:
        if joins(payment, policy) and (payment.data.token is not None or payment.data.to in existing):
            together[payment.data.token, payment.data.most_together].append(payment)
    shared: dict[str, Bundle] = {}
    for (_, most), payments in together.items():
        size = min(policy.batch_size, most or policy.batch_size)
        for first in range(0, len(payments), size):
            part = payments[first : first + size]
            # What was taken apart is tried in the parts that were decided on, however small.
            if len(part) >= (2 if most else policy.batch_from):
                shared |= dict.fromkeys((payment.id for payment in part), Bundle(tuple(part)))
    return list(dict.fromkeys(shared.get(payment.id) or Bundle((payment,)) for payment in queued))


def joins(payment: PaymentRecord, policy: LanePolicy) -> bool:
    """Say whether a payment may share a transaction at all."""
    fits = int(payment.data.value_wei) < MOST_BATCHED_UNITS
    return fits and payment.data.batchable and policy.batch_size > 1 and payment.data.most_together != 1


def batch_id(lane: str, nonce: int, members: Sequence[str]) -> str:
    """Make the 32 bytes that the contract accepts once."""
    return "0x" + hashlib.sha256(":".join((lane, str(nonce), *members)).encode()).hexdigest()


def waits_for_company(queued: Sequence[PaymentRecord], policy: LanePolicy, now: Millis) -> float:
    """Say for how many seconds payments still wait for others; 0 when it is time."""
    joining = [payment for payment in queued if joins(payment, policy)]
    if not joining or len(joining) < len(queued) or len(joining) >= policy.batch_size:
        return 0.0
    waited_s = (now - min(payment.since for payment in joining)) / SECOND
    return max(0.0, policy.batch_wait_s - waited_s)
