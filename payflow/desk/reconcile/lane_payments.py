"""What our books say of one lane, to whoever holds them against its chain: each payment, and what each nonce cost."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from machines.core.clock import Millis
from machines.core.errors import NotFound, NotPossible
from machines.core.ids import Owner, RecordId
from machines.core.lifecycle import RailPosition
from machines.core.money import ETH, Asset, Money
from machines.core.ports import RailStatement, StatementLine
from machines.core.rail_share import FINE
from machines.core.record import Record
from machines.finding.data import Finding
from machines.finding.matching import OurPayment
from machines.payout.data import record_of
from machines.transaction import lifecycle as s
from machines.transaction.data import PaymentRecord, TransactionRecord, owner_of_lane
from machines.transaction.ports import Lane, LaneToken
from payflow.desk.lanes import Lanes, StoreBooks
from payflow.desk.reconcile.comparison import Word
from payflow.desk.reconcile.reconciler import ComparedRail
from payflow.desk.records import revived
from payflow.store.store import Store

WEI_PER_GWEI = 10**9
MOST_LATE = 1_000
NOBODY = RecordId("")
_PAYMENT, _PAYOUT = "payment", "payout"


def compared_lanes(store: Store, lanes: Lanes) -> dict[str, ComparedRail]:
    """Compare lanes with their chains."""
    found = {}
    for name, lane in lanes.lanes.items():
        paid = LanePayments(store, lanes.books, name, lane.tokens)
        found[name] = ComparedRail(statement_of(lane), paid, paid)
    return found


def statement_of(lane: Lane) -> RailStatement | None:
    """Give what a lane's chain says of its address; None where it is no real chain."""
    from adapters.ethereum.node import Nodes  # noqa: PLC0415  (half a second, only where a chain is used)
    from adapters.ethereum.pay_many import PayManyContract  # noqa: PLC0415  (as above)
    from adapters.ethereum.statement import AddressStatement, HeldToken  # noqa: PLC0415  (as above)

    if not isinstance(lane.chain, Nodes):
        return None
    tokens = {code: HeldToken(one.address, one.decimals) for code, one in lane.tokens.items()}
    batches = lane.pay_many if isinstance(lane.pay_many, PayManyContract) else None
    return AddressStatement(lane.chain, lane.signer.address, tokens, batches, lane.policy.proven_up_to)


class LanePayments:
    """The payments and transactions of a lane.

    A line names a nonce of the lane's address, and a place in what it paid: the transaction that we made for the nonce
    says which payment that is. A line that is only gas, or a call that moved nothing, is of the transaction itself.
    """

    def __init__(
        self, store: Store, books: StoreBooks, name: str, tokens: Mapping[str, LaneToken] = MappingProxyType({})
    ) -> None:
        self._store = store
        self._books = books
        self._name = name
        self._tokens = {one.address: (code, one.decimals) for code, one in tokens.items()}

    async def ours(self, lines: Sequence[StatementLine]) -> Mapping[str, RecordId]:
        """Name the records that lines are of; a nonce that somebody else used is none of ours."""
        places = {line.id: _place(line.reference) for line in lines}
        named = {name: self._books.transaction_id(self._name, place[0]) for name, place in places.items() if place}
        carriers: Mapping[RecordId, TransactionRecord] = await self._read(list(dict.fromkeys(named.values())))
        found = {}
        for line in lines:
            place, carrier = places[line.id], carriers.get(named.get(line.id, NOBODY))
            if place is None or carrier is None or line.handle not in {one.hash for one in carrier.data.attempts}:
                continue
            if place[1] is None:
                found[line.id] = carrier.id
            elif place[1] < len(carrier.data.members):
                found[line.id] = carrier.data.members[place[1]]
        return found

    async def payments(self, records: Sequence[RecordId]) -> Mapping[RecordId, OurPayment]:
        """Say what some payments and transactions are, archived ones too."""
        return await self._of(await self._read(records))

    async def paid_between(self, since: Millis, until: Millis) -> AsyncIterator[Sequence[OurPayment]]:
        """Walk over the payments that left between two times, as far as a line shows them: calls may move nothing."""
        for state in (s.SETTLED, s.SHORT):
            async for page in self._store.listing.came_between(_PAYMENT, state, since, until):
                here = {one.record.id: one.record for one in page if one.record.owner == owner_of_lane(self._name)}
                found = await self._of(here)
                yield [ours for ours in found.values() if ours.amount.units]

    async def late(self, before: Millis) -> Sequence[OurPayment]:
        """List what has been signed, and is not buried, since before a time."""
        owner = owner_of_lane(self._name)
        signed = await self._store.listing.of_owner(_PAYMENT, s.SENDING, owner, MOST_LATE)
        found = await self._of({one.record.id: one.record for one in signed if one.record.since < before})
        return list(found.values())

    # ── what is done about it ────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, _rail: str, record: RecordId, who: str) -> Sequence[Finding]:
        """Have the transaction that carries a payment looked at now, as a worker does; archived ones come back."""
        found = await revived(self._store, record, "its chain is asked about it once more", who)
        carrier = found.data.transaction if found.machine == _PAYMENT else found.id
        if carrier:
            await revived(self._store, carrier, "its chain is asked about it once more", who)
            await self._store.records.poke(carrier)
        return []

    async def adopt(self, _rail: str, record: RecordId, _since: Millis, _word: Word) -> Sequence[Finding]:
        """Have the lane look: what it paid, it proves itself."""
        try:
            return await self.ask("", record, _word.who)
        except NotFound:
            raise NotPossible(
                f"Our books have forgotten {record}, and a chain names no payee of ours: see what it paid with "
                f"`payflow lane show {self._name}`, settle that, and waive this."
            ) from None

    async def learn_fee(self, record: RecordId, fee: str, who: str) -> None:
        """Learn nothing: what it cost a payment proves itself."""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, records: Sequence[RecordId]) -> Mapping[RecordId, Record[Any]]:
        found = {one.record.id: one.record for one in await self._store.records.readable(records)}
        for name in records:
            left = None if name in found else await self._store.archive.as_left(name)
            found |= {} if left is None else {name: left}
        return found

    async def _of(self, records: Mapping[RecordId, Record[Any]]) -> dict[RecordId, OurPayment]:
        payments = [one for one in records.values() if one.machine == _PAYMENT]
        nonces = {one.id: self._books.transaction_id(self._name, one.data.nonce) for one in payments}
        payers = {one.id: payer for one in payments if (payer := record_of(one.data.key)).startswith(f"{_PAYOUT}-")}
        carriers, owners = await asyncio.gather(
            self._read(list(dict.fromkeys(nonces.values()))), self._read(list(dict.fromkeys(payers.values())))
        )
        found = {}
        for record in records.values():
            if record.machine == _PAYMENT:
                paid_for, carrier = owners.get(payers.get(record.id, NOBODY)), carriers.get(nonces[record.id])
                if ours := self._payment(record, carrier, paid_for.owner if paid_for else Owner("")):
                    found[record.id] = ours
            else:
                found[record.id] = _transaction(record)
        return found

    def _payment(self, record: PaymentRecord, carrier: TransactionRecord | None, owner: Owner) -> OurPayment | None:
        data = record.data
        held = self._held(data.token)
        if held is None:
            return None  # a token that no setting names any more
        asset, of_unit = held
        amount = Money(int(data.value_wei) // of_unit, asset)
        gas = _gas(carrier) if carrier and carrier.data.hash == data.hash and data.token is None else (None, 0)
        evidence = data.evidence.reference if data.evidence else ""
        return OurPayment(
            record.id, owner, (str(data.key),), tuple({data.hash, evidence} - {""}), amount, gas[0],
            self._store.seals.account(str(data.to or ""), asset),
            paid=s.PAYMENT.state(record.state).at_rail is RailPosition.SETTLED,
            open=record.state in (s.QUEUED, s.SENDING),
            at=record.since,
            fee_rest=gas[1],
        )  # fmt: skip

    def _held(self, token: str | None) -> tuple[Asset, int] | None:
        """Give the asset, and how many units of the chain are one of the ledger's."""
        if token is None:
            return ETH, WEI_PER_GWEI
        code, decimals = self._tokens.get(token, ("", 0))  # type: ignore[call-overload]
        known = [one for one in self._store.records.assets if one.code == code]
        return (known[0], 10 ** (decimals - known[0].decimals)) if known else None


def _transaction(record: TransactionRecord) -> OurPayment:
    """Say of a transaction what it cost: all that is compared of it."""
    fee, rest = _gas(record)
    done = s.TRANSACTION.state(record.state).at_rail is not None
    return OurPayment(
        record.id, Owner(""), (), tuple(one.hash for one in record.data.attempts), Money(0, ETH), fee, "",
        paid=done, open=not done, at=record.since, fee_rest=rest,
    )  # fmt: skip


def _gas(record: TransactionRecord) -> tuple[int | None, int]:
    """Give what a transaction cost in gwei, rounded up, and by how much; nothing while that is not proven."""
    if not record.data.fee_wei:
        return None, 0
    fee = -(-int(record.data.fee_wei) // WEI_PER_GWEI)
    return fee, (int(record.data.fee_wei) - fee * WEI_PER_GWEI) * FINE // WEI_PER_GWEI


def _place(reference: str) -> tuple[int, int | None] | None:
    """Read which nonce a line names, and which place in what it paid; None where it names none."""
    nonce, colon, place = reference.partition(":")
    if not colon or not nonce.isdecimal():
        return None
    return int(nonce), int(place) if place.isdecimal() else None
