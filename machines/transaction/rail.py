"""A rail that pays through a lane: it opens payments, create-if-absent, and reads what became of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from machines.core.chain import NO_DATA, Address
from machines.core.decision import New
from machines.core.errors import BadAmount, BadInput, Contradiction, KeyReused, Rejected
from machines.core.money import ETH, Money
from machines.core.ports import Evidence, Failed, Payment, Pending, Settled, Status, Unsent
from machines.transaction import calldata
from machines.transaction import lifecycle as s
from machines.transaction.data import LaneRecord, PaymentData, PaymentRecord, owner_of_lane
from machines.transaction.permit import with_permit
from machines.transaction.ports import Lane, LaneBooks

WEI_PER_GWEI = 10**9

# Nodes take transactions of up to 128 KiB. No chain has more than 10^30 wei.
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2}){0,120000}")
_WEI = re.compile(r"[0-9]{1,30}")
LOOK_AGAIN_S = 5.0
"""A look at a lane asks only our own store."""


@dataclass(frozen=True, slots=True)
class LaneRail:
    """Pays over one lane. Nothing leaves here: the lane signs and sends, on its own time."""

    lane: Lane
    books: LaneBooks
    checksummed: Callable[[str], Address]
    """Reads an address, refusing one that is none or is mistyped."""

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> None:
        """Queue a payment, with the permit of who saw that it is approved; the same key is the same one, for ever."""
        try:
            data = self.order(payment)
        except BadInput as problem:
            raise Rejected(str(problem)) from problem
        record_id = self.books.payment_id(self.lane.name, payment.key)
        new = New(
            record_id,
            "payment",
            owner_of_lane(self.lane.name),
            None,
            with_permit(self.books.permits, record_id, data),
            fingerprint=_fingerprint(data),
            due_in_s=None,
        )
        try:
            await self.books.queue(self.lane, new)
        except KeyReused as error:
            raise Contradiction(f"{payment.key} asked for something else before.", rail=self.lane.name) from error

    async def status(self, payment: Payment) -> Status:
        """Say what became of a payment."""
        record = await self.books.payment(self.lane.name, payment.key)
        if record is None:
            return Unsent()
        if _fingerprint(record.data) != _fingerprint(self.order(payment)):
            raise Contradiction(f"{payment.key} is a payment of another amount or recipient.", rail=self.lane.name)
        return status_of(record, await self.books.lane(self.lane.name) if record.state == s.QUEUED else None)

    def order(self, payment: Payment) -> PaymentData:
        """Read what is to be done on the chain."""
        if payment.to.kind == "call":
            return self._call(payment)
        if payment.to.kind != "ethereum":
            raise BadInput(f"A lane pays addresses, not {payment.to.kind!r}.")
        to = self.checksummed(payment.to["address"])
        if not payment.amount.units:
            raise BadAmount("A payment of nothing is none.")
        if payment.amount.asset == ETH:
            return PaymentData(payment.key, to, str(payment.amount.units * WEI_PER_GWEI), batchable=True)
        return self._token_order(payment, to)

    def _call(self, payment: Payment) -> PaymentData:
        to, data, value = payment.to["to"], payment.to["data"], payment.to["value_wei"]
        if not _DATA.fullmatch(data) or not _WEI.fullmatch(value) or payment.amount != Money(0, ETH):
            raise BadInput("A call needs data in hex, not too much of it, and a value in wei.")
        if not to and data == NO_DATA:
            raise BadInput("A contract needs code to be made of.")
        return PaymentData(payment.key, self.checksummed(to) if to else None, value, data.lower())

    def _token_order(self, payment: Payment, to: Address) -> PaymentData:
        asset = payment.amount.asset
        token = self.lane.tokens.get(asset.code)
        if token is None:
            known = ", ".join(("ETH", *self.lane.tokens))
            raise BadInput(f"The lane {self.lane.name} does not pay {asset.code}; it pays {known}.")
        if token.decimals < asset.decimals:
            raise BadInput(f"{asset.code} has {token.decimals} decimals on the chain, the books keep {asset.decimals}.")
        units = payment.amount.units * 10 ** (token.decimals - asset.decimals)
        return PaymentData(payment.key, to, str(units), token=token.address, batchable=True)


def status_of(record: PaymentRecord, lane: LaneRecord | None) -> Status:
    """Read what a payment's record proves; while it is queued, what the lane itself waits for."""
    data = record.data
    match record.state:
        case s.QUEUED:
            return Pending(_reason(lane), None, LOOK_AGAIN_S)
        case s.SENDING:
            return Pending("", Evidence("ethereum", data.hash, (("nonce", str(data.nonce)),)), LOOK_AGAIN_S)
        case s.SETTLED if data.evidence is not None:
            return Settled(data.evidence)
        case s.SHORT:
            return Pending(f"a person: {data.reason}", data.evidence)
        case s.FAILED:
            return Failed(data.reason, data.retryable, data.evidence, data.cause)
        case _:
            return Pending("a person")


def _reason(lane: LaneRecord | None) -> str:
    if lane is not None and lane.state == s.HALTED:
        return f"a person, because the lane {lane.data.name} stopped"
    return lane.data.waits_for if lane is not None and lane.data.waits_for else "the lane"


def _fingerprint(data: PaymentData) -> str:
    return "|".join(calldata.effect(data))
