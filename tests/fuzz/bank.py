"""A bank that does what gateways do, and knows the truth: what was really paid."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from machines.core.clock import MINUTE, SECOND, FixedClock, Millis
from machines.core.errors import OutcomeUnknown, Rejected, Retryable
from machines.core.money import Assets, Money
from machines.core.ports import (
    Cause,
    Destination,
    Evidence,
    Failed,
    Payment,
    PaymentKey,
    Pending,
    Settled,
    Status,
    Trace,
    Unsent,
)


@dataclass(slots=True)
class Transfer:
    """One transfer at the bank."""

    units: int
    account: str
    visible_at: int
    ends_at: int
    ending: str
    """`paid`, `failed` or `wallet`."""
    counted: bool = False


class Bank:
    """Accepts, delays, fails, hides and forgets to answer, as its dice say. The same reference is never paid twice."""

    def __init__(self, dice: Random, clock: FixedClock, trouble: float) -> None:
        self._dice = dice
        self._clock = clock
        self._trouble = trouble
        self.transfers: dict[str, Transfer] = {}
        self.paid: Counter[str] = Counter()

    async def submit(self, payment: Payment) -> str | None:
        """Take a payment, or not, and say so, or not."""
        self._settle()
        known = self.transfers.get(payment.key)
        if known is not None:
            return None  # "already exists": it landed before
        fate = self._dice.random()
        if fate < self._trouble / 4:
            raise Rejected("the account does not exist")
        if fate < self._trouble / 2:
            raise Retryable("503 before anything happened", after_s=3)
        if fate < self._trouble * 3 / 4:
            raise OutcomeUnknown("time-out before anything happened")
        self._accept(payment)
        if self._dice.random() < self._trouble:
            raise OutcomeUnknown("time-out after it was accepted")
        return f"trf-{len(self.transfers)}"

    async def status(self, payment: Payment) -> Status:
        """Say what became of a payment, as far as the bank shows it yet."""
        self._settle()
        if self._dice.random() < self._trouble / 3:
            raise (OutcomeUnknown if self._dice.random() < 0.5 else Retryable)("the look-up failed")
        transfer = self.transfers.get(payment.key)
        if transfer is None or self._clock.now() < transfer.visible_at:
            return Unsent()
        if self._clock.now() < transfer.ends_at:
            return Pending()
        if transfer.ending == "paid":
            return Settled(Evidence("bank", payment.key))
        cause = Cause.WALLET if transfer.ending == "wallet" else Cause.UNKNOWN
        return Failed(f"ended as {transfer.ending}", retryable=True, cause=cause)

    async def done_since(self, since: Millis, ours: Callable[[PaymentKey], bool], assets: Assets) -> list[Trace]:
        """List what the bank has, whenever it was."""
        found = [PaymentKey(key) for key in self.transfers if ours(PaymentKey(key))]
        to, amount = Destination("bank", ()), Money(0, next(iter(assets)))
        return [Trace(key, "", amount, to, await self.status(Payment(key, to, amount))) for key in found]

    def click_retry(self, reference: str) -> bool:
        """Somebody clicks Retry on a failed transfer in the bank's own dashboard."""
        self._settle()
        transfer = self.transfers.get(reference)
        if transfer is None or transfer.ending == "paid" or self._clock.now() < transfer.ends_at:
            return False
        transfer.ending, transfer.ends_at = "paid", self._clock.now() + self._dice.randrange(5 * MINUTE)
        return True

    def finish(self) -> None:
        """Let everything under way come to its end."""
        for transfer in self.transfers.values():
            transfer.ends_at = min(transfer.ends_at, self._clock.now())
        self._settle()

    def _accept(self, payment: Payment) -> None:
        now, dice = self._clock.now(), self._dice
        ending = dice.choices(
            ("paid", "failed", "wallet"), (1 - self._trouble, self._trouble * 0.7, self._trouble * 0.3)
        )[0]
        lag = dice.randrange(90 * SECOND) if dice.random() < self._trouble else 0
        self.transfers[payment.key] = Transfer(
            payment.amount.units, payment.to["account"], now + lag, now + lag + dice.randrange(1, 10 * MINUTE), ending
        )

    def _settle(self) -> None:
        for reference, transfer in self.transfers.items():
            if transfer.ending == "paid" and not transfer.counted and transfer.ends_at <= self._clock.now():
                transfer.counted = True
                self.paid[reference] += 1
