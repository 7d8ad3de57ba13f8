"""What a gateway may say or do that nobody asked for; it knows nothing of whoever compares its books with theirs.

Each method changes the gateway's own books in one place, and gives the sum by which they are wrong then.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from random import Random

from adapters.sandbox.magic import PAYS
from adapters.sandbox.transfers import Order, SimulatedTransfer, Transfers, TransferState
from machines.core.clock import DAY, FixedClock, Millis

ELSEWHERE = "0987654321"
FAILED = "DISBURSE FAILED: Transfer failed"


class GatewayForger:
    """Changes what a gateway says that it did."""

    def __init__(self, transfers: Transfers, random: Random) -> None:
        self._transfers = transfers
        self._random = random

    def unpay(self, transfer: SimulatedTransfer) -> Decimal:
        """Have it as if what was paid never was."""
        self._transfers.history.forget(transfer.reference)
        transfer.state, transfer.message = TransferState.FAILED, FAILED
        return transfer.order.amount

    def pay(self, reference: str, like: Order) -> Decimal:
        """Pay what nobody asked for, or nobody remembers."""
        amount = Decimal(self._random.randrange(1_000, 4_999)) + Decimal("0.37")
        order = Order(reference, like.bank, like.account, amount, like.currency)
        self._transfers.finish(self._transfers.place(order, chosen=PAYS), paid=True)
        return amount

    def pay_more(self, transfer: SimulatedTransfer) -> Decimal:
        """Have it that more was paid than was asked for."""
        off = Decimal(self._random.randrange(1, 999))
        transfer.order = replace(transfer.order, amount=transfer.order.amount + off)
        self._transfers.history.of(transfer.reference)[0].amount -= off
        return off

    def charge_more(self, transfer: SimulatedTransfer) -> Decimal:
        """Have it that the transfer cost more than it says itself."""
        off = Decimal(self._random.randrange(1, 50))
        self._transfers.history.of(transfer.reference)[1].amount -= off
        return off

    def pay_twice(self, transfer: SimulatedTransfer) -> Decimal:
        """Have somebody at the gateway pay it once more."""
        order = replace(transfer.order, reference=f"{transfer.reference}_RETRY_1")
        again = self._transfers.place(order, transfer, PAYS)
        transfer.retries.append(again)
        self._transfers.finish(again, paid=True)
        return order.amount

    def take_back(self, transfer: SimulatedTransfer) -> Decimal:
        """Have the bank send it back."""
        self._transfers.reverse(transfer)
        return transfer.order.amount

    def belittle(self, transfer: SimulatedTransfer) -> Decimal:
        """Have the history say that nothing moved where something did."""
        self._transfers.history.of(transfer.reference)[0].says = Decimal(0)
        return transfer.order.amount

    def send_elsewhere(self, transfer: SimulatedTransfer) -> Decimal:
        """Have it that another account was paid."""
        transfer.order = replace(transfer.order, account=ELSEWHERE)
        return transfer.order.amount

    def exchange(self, transfer: SimulatedTransfer) -> Decimal:
        """Have it that it was paid in another currency."""
        transfer.order = replace(transfer.order, currency="KES")
        for move in self._transfers.history.of(transfer.reference):
            move.currency = "KES"
        return transfer.order.amount

    def hide(self, transfer: SimulatedTransfer) -> Decimal:
        """Leave its rows out of the history: where it was the day's first, the wallet jumps at midnight."""
        moves = self._transfers.history.of(transfer.reference)
        for move in moves:
            move.shown = False
        return -sum((move.amount for move in moves), Decimal(0))

    def a_day_ago(self, do: Callable[[], Decimal], now: Millis) -> Decimal:
        """Do something else as if it had been done a day ago, before anything of today."""
        agenda = self._transfers.agenda
        clock, agenda.clock = agenda.clock, FixedClock(Millis(now - DAY))
        try:
            return do()
        finally:
            agenda.clock = clock

    def mend_history(self) -> None:
        """Have the gateway's support put right what its history says."""
        for move in self._transfers.history.moves:
            move.shown, move.says = True, None
