"""The rail over Paystack: a recipient, then a transfer under our reference, which is also how it is found again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from adapters.http import GatewayClient
from adapters.paystack import wire
from machines.core.clock import DAY, SECOND, Millis
from machines.core.errors import OutcomeUnknown, Retryable
from machines.core.money import Assets, Money
from machines.core.ports import Destination, Payment, PaymentKey, Status, Trace, Unsent

# A list that is longer is asked for in parts.
MOST_PAGES = 10_000
PROBE = PaymentKey("payflow-probe-of-the-door")
"""A reference that no payment has: to ask for it costs one look, and is refused as long as payments are."""


class Paystack:
    """Pays over Paystack. Only a status that the gateway calls conclusive is an outcome."""

    name = wire.RAIL

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def prepare(self, payment: Payment) -> Payment:
        """Ask for the recipient."""
        return replace(payment, prepared=wire.read_recipient(await self._client.read(wire.recipient(payment))))

    async def submit(self, payment: Payment) -> str | None:
        """Ask for the transfer; adopt the one that an earlier call left under the reference."""
        queued = wire.read_transfer(await self._client.send(wire.transfer(payment)), payment)
        if queued is None:
            queued = await self._adopt(payment)
        return queued.transfer_code if queued else None

    async def status(self, payment: Payment) -> Status:
        """Look the reference up."""
        found = await self._find(payment)
        return wire.verdict(found) if found else Unsent()

    async def balances(self) -> list[Money]:
        """Tell what is left to pay from, in each currency."""
        return wire.read_balances(await self._client.read(wire.balance()))

    async def banks(self, currency: str) -> list[tuple[str, str]]:
        """List the banks of a currency's country."""
        return wire.read_banks(await self._client.read(wire.banks(currency)))

    async def account_name(self, to: Destination, _: str) -> str:
        """Tell whose account it is; `Rejected` when there is no such account."""
        return wire.read_holder(await self._client.read(wire.resolve(to)))

    async def probe(self) -> None:
        """Ask something cheap behind the same door; `RailClosed` while nobody of ours may pass."""
        wire.read_probe(await self._client.read(wire.by_reference(PROBE)))

    async def _adopt(self, payment: Payment) -> wire.PaystackTransfer | None:
        try:
            return await self._find(payment)
        except Retryable as error:
            # Not `Retryable` as a whole: something landed, only the look at it failed.
            raise OutcomeUnknown(f"{payment.key} exists at Paystack; it could not be read: {error}") from error

    async def _find(self, payment: Payment) -> wire.PaystackTransfer | None:
        found = wire.read_by_reference(await self._client.read(wire.by_reference(payment.key)), payment)
        if found is None and payment.handle:
            # The look-up may lag. What its code shows counts only under our own reference.
            found = wire.read_by_code(await self._client.read(wire.by_code(payment.handle)), payment)
        return found

    async def done_since(self, since: Millis, ours: Callable[[PaymentKey], bool], assets: Assets) -> list[Trace]:
        """List every transfer of ours since a time."""
        day = datetime.fromtimestamp((since - DAY) / SECOND, UTC).date().isoformat()  # whatever zone the gateway is in
        families: dict[str, dict[str, wire.PaystackTransfer]] = {}
        page, pages = 1, 1
        while page <= pages:
            items, pages = wire.read_page(await self._client.read(wire.listed_since(day, page)))
            for item in items:
                if ours(PaymentKey(str(item.get("reference")))):
                    transfer = wire.read_listed(item)
                    families.setdefault(transfer.reference, {})[transfer.transfer_code] = transfer
            page += 1
            if page > MOST_PAGES:
                raise OutcomeUnknown(f"Paystack lists more than {MOST_PAGES} pages: choose a later time.")
        return [wire.trace(list(family.values()), assets) for family in families.values()]
