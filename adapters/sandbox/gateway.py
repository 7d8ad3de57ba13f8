"""What every simulated gateway is made of; each adds its own faces and the way it writes webhooks."""

from collections.abc import Mapping
from decimal import Decimal

from adapters.sandbox.control import Control
from adapters.sandbox.faults import Fault, Target
from adapters.sandbox.magic import STAYS, Fate, fate
from adapters.sandbox.server import Route, ServedAnswer, ServedCall, Server
from adapters.sandbox.simulator import Simulator
from adapters.sandbox.transfers import Book, Transfers
from machines.core.clock import Clock

PLENTY: Mapping[str, Decimal] = {
    currency: Decimal(10**12)
    for currency in (
        "NGN", "KES", "GHS", "USD", "UGX", "TZS", "RWF", "ZMW", "ZAR", "XAF", "XOF", "EUR", "GBP",
    )
}  # fmt: skip


class SimulatedGateway(Simulator):
    """A simulated gateway: `transfers` is its inside and its dashboard, `book` the truth about whom it paid."""

    def __init__(self, clock: Clock, otherwise: Fate = STAYS, wallets: Mapping[str, Decimal] = PLENTY) -> None:
        super().__init__(clock)
        self.transfers = Transfers(self.agenda, wallets, otherwise)
        self.control = Control(self.transfers, self.faults, self.courier)
        self._met: set[str] = set()
        self.faults.by_destination = self._magic_fault
        self.server = Server(
            self.agenda, self.faults, [*self.control.routes(), *self.faces()], self.unavailable, self._before_answer
        )

    def faces(self) -> list[Route]:
        """List what its APIs answer."""
        raise NotImplementedError

    def unavailable(self, call: ServedCall) -> ServedAnswer:
        """Say that something went wrong inside, as this gateway says it."""
        raise NotImplementedError

    def destination(self, call: ServedCall) -> str:
        """Find the account that a request wants paid."""
        raise NotImplementedError

    @property
    def book(self) -> Book:
        """What really reached somebody."""
        return self.transfers.book

    async def _before_answer(self) -> None:
        if self.transfers.hurried:
            self.transfers.hurried = False
            await self.catch_up()

    def _magic_fault(self, target: Target) -> Fault | None:
        """Let a magic account spoil the first answer about each reference."""
        if not (isinstance(target, ServedCall) and target.pays) or target.reference in self._met:
            return None
        fault = fate(target.reference, self.destination(target), STAYS).fault
        if fault is not None:
            self._met.add(target.reference)
        return fault
