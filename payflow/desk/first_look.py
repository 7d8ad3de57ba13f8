"""The first look at a request: whose account it is and what arrives, asked before anybody approves it."""

from collections.abc import Mapping

import structlog

from machines.core.clock import HOUR, Millis
from machines.core.errors import Rejected, Retryable
from machines.core.money import Money
from machines.payout.data import PayoutRecord
from machines.payout.facts import Enquired
from payflow.desk.payouts import Gateway, print_of
from payflow.store.seals import Seals

GIVES_UP_AFTER_MS = HOUR
"""After so long people are asked without the gateway's word, which they are told."""

log = structlog.get_logger()


class FirstLook:
    """Asks the gateways, over what is sealed in a record."""

    def __init__(self, gateways: Mapping[str, Gateway], seals: Seals, *, borne_by_provider: bool) -> None:
        self._gateways = gateways
        self._seals = seals
        self._borne = borne_by_provider

    async def ask(self, record: PayoutRecord, now: Millis) -> Enquired | None:
        """Say whose account it is and what arrives.

        Without a fee what arrives could not be fixed: where the provider bears it, the request waits for it.
        """
        gateway, amount = self._gateways.get(record.data.rail), record.amount
        if gateway is None or amount is None:
            return None
        destination = self._seals.open(record.data.sealed)
        patient = now - record.created_at < GIVES_UP_AFTER_MS
        holder, fee, given_up = "", Money(0, amount.asset), False
        try:
            holder = await gateway.resolve(destination)
        except Retryable as error:
            if patient:
                raise
            given_up = True
            log.warning("Nobody can say whose account it is.", action="enquiry", record=record.id, error=str(error))
        try:
            fee = await gateway.fee(amount, destination)
        except Retryable:
            if patient or self._borne:
                raise
        if self._borne and amount <= fee:
            raise Rejected(f"The fee of {fee} would eat up {amount}.")
        arrives = amount - fee if self._borne else amount
        return Enquired(
            holder, fee.units, arrives.units, print_of(self._seals, amount, destination, arrives, holder), given_up
        )
