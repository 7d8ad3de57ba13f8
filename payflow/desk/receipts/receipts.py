"""Proof of payment for whoever was paid: one file that anybody can check, without this installation and for ever."""

import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from machines.core.chain import TxHash
from machines.core.errors import BadInput, NotFound, NotPossible, StepError
from machines.core.ids import RecordId, parse_id
from machines.core.ports import Evidence, PaymentKey
from machines.core.record import Record
from machines.pool.data import WEI, shannon_of
from machines.transaction.data import PaymentRecord
from machines.transaction.ports import Lane, LaneBooks
from payflow.desk.archive import find, folder_of
from payflow.desk.receipts import content, signing
from payflow.desk.receipts.content import CHAIN, OnChain, ReceiptSource
from payflow.desk.records import lane_of
from payflow.shown import WEI_DIGITS, iso
from payflow.store.codec import HistoryEvent
from payflow.store.macs import Forged
from payflow.store.receipt_keys import key_id
from payflow.store.store import Store

if TYPE_CHECKING:
    from payflow.desk.lanes import Lanes
    from payflow.desk.pool.room import PoolRooms

PLACE = "/api/receipts"
"""Where a receipt's state now is asked for, by whoever has it."""


class Receipts:
    """Makes them from what is known now; nothing of them is stored."""

    def __init__(self, store: Store, lanes: "Lanes | None" = None, pools: "PoolRooms | None" = None) -> None:
        self._store = store
        self._lanes = lanes
        self._pools = pools

    async def file(self, record_id: RecordId, *, staff: bool) -> bytes:
        """Make a receipt as JSON."""
        body = await self._body(record_id, staff=staff)
        return signing.signed(body, self._store.receipt_keys)

    async def page(self, record_id: RecordId, *, staff: bool) -> bytes:
        """Make the same as a page that prints."""
        from payflow.desk.receipts import page  # noqa: PLC0415  (draws; few ask for one)

        body = await self._body(record_id, staff=staff)
        return signing.in_page(page.written(body), body, self._store.receipt_keys)

    def keys(self) -> Mapping[str, Any]:
        """List the keys that receipts of this installation are signed with, the newest first."""
        known = self._store.receipt_keys.known
        return {
            "installation": self._store.installation,
            "keys": [{"key": key_id(one), "ed25519": one.hex()} for one in known],
        }

    async def state(self, record_id: str, code: str) -> Mapping[str, str]:
        """Say what holds now of a receipt, to whoever has it and so knows its code."""
        if not hmac.compare_digest(code.encode(), self._code(record_id).encode()):
            raise NotFound("There is no such receipt.")
        try:
            seen = await self._seen(RecordId(record_id), proof=False)
        except (NotPossible, StepError) as error:  # which lane, which node and what is wrong there is told to nobody
            raise NotPossible("It cannot be said now: ask again later, or ask who paid.") from error
        return {"id": record_id, "says": content.says(seen), "at": iso(await self._store.records.now())}

    # ── what it is made of ───────────────────────────────────────────────────────────────────────────────────────────

    async def _body(self, record_id: RecordId, *, staff: bool) -> dict[str, Any]:
        seen, now = await self._seen(record_id), await self._store.records.now()
        url = self._store.settings.public_url
        status = f"{url}{PLACE}/{record_id}/{self._code(record_id)}" if url else ""
        body = content.body(seen, self._store.installation, status, now, staff=staff)
        if seen.chain is not None:
            _refuse_unproven(body)
        return body

    def _code(self, record_id: str) -> str:
        return self._store.seals.fingerprint("receipt", record_id)

    async def _seen(self, record_id: RecordId, *, proof: bool = True) -> ReceiptSource:
        record, events, head = await self._read(record_id)
        lifecycle = self._store.records.machines[record.machine].lifecycle
        evidence, on, unseen = evidence_of(record), None, False
        if evidence is not None and evidence.source == CHAIN and content.needs_proof(record):
            on = await self._on_chain(record, evidence, proof=proof)
            unseen = on is None
        return ReceiptSource(record, lifecycle, events, head, evidence, on, unseen)

    async def _read(self, record_id: RecordId) -> tuple[Record[Any], Sequence[HistoryEvent], bytes]:
        """Read a record with its whole history, wherever it is; what is not as Payflow wrote it has no receipt."""
        store = self._store
        try:
            machine, _ = parse_id(record_id)
        except BadInput as error:
            raise NotFound(f"There is no record {record_id[:60]}.") from error
        if machine not in content.kinds():
            raise NotPossible(f"{record_id} pays nobody: {', '.join(content.kinds())} have receipts.")
        try:
            stored = await store.records.read(record_id)
        except NotFound:
            return await self._archived(record_id)
        except Forged as error:
            raise _no_receipt(record_id, str(error)) from error
        fault = "" if store.records.trusts(stored) else "its newest commit is not signed"
        fault = fault or await store.integrity.history_fault(record_id)
        if fault:
            raise _no_receipt(record_id, fault)
        return stored.record, await store.records.history(record_id), stored.chain

    async def _archived(self, record_id: RecordId) -> tuple[Record[Any], Sequence[HistoryEvent], bytes]:
        found, stub = (
            await find(self._store, record_id, folder_of(self._store)),
            await self._store.archive.stub(record_id),
        )
        if found is None or stub is None:
            raise NotFound(f"There is no record {record_id}.")
        if found.fault:
            raise _no_receipt(record_id, found.fault)
        return found.record, found.events, stub.hash

    # ── the chain ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _on_chain(self, record: Record[Any], evidence: Evidence, *, proof: bool) -> OnChain | None:
        """Show a payment in its chain; None where the nodes do not show it now, or not deep enough."""
        from adapters.ethereum.node import Nodes  # noqa: PLC0415  (two seconds, only where a chain is used)

        lane, books = await self._lane(record)
        found, head = await lane.chain.receipt(TxHash(evidence.reference)), await lane.chain.head()
        if found is None or not found.ok or found.block > lane.policy.settled_up_to(head):
            return None
        shown = await lane.chain.inclusion(found) if proof and isinstance(lane.chain, Nodes) else None
        pays = await _pays(record, evidence, lane, books)
        return OnChain(lane.chain.chain_id, found.block, head.number - found.block + 1, pays, shown)

    async def _lane(self, record: Record[Any]) -> tuple[Lane, LaneBooks]:
        if record.machine == "pool" and self._pools is not None:
            room = self._pools.rooms.get(record.data.coin)
            if room is not None:
                return await room.paying()
        name = lane_of(record, {}, self._store.settings.bounty_lane)
        lane = self._lanes.lanes.get(name) if self._lanes else None
        if lane is None or self._lanes is None:
            where = "PAYFLOW_POOLS" if record.machine == "pool" else f"PAYFLOW_LANES with the lane {name}"
            raise NotPossible(f"This process has no node to ask about {record.id}: give it {where}.")
        return lane, self._lanes.books


def _refuse_unproven(body: Mapping[str, Any]) -> None:
    """Sign nothing that whoever checks it would not believe."""
    from payflow.desk.receipts.checking import prove  # noqa: PLC0415  (only where a chain is used)

    try:
        prove(body)
    except signing.NoReceipt as error:
        raise _no_receipt(body["id"], str(error)) from error


def _no_receipt(record_id: RecordId, fault: str) -> NotPossible:
    return NotPossible(f"{record_id} has no receipt: {fault.rstrip('.')}. `payflow verify` says more.")


def evidence_of(record: Record[Any]) -> Evidence | None:
    """Give what the rail itself showed of its end; a person's word for it is none."""
    data = record.data
    if record.machine == "bounty":
        return Evidence(CHAIN, data.payout_hash, data.payout_receipt) if data.payout_receipt else None
    found: Evidence | None = data.evidence
    return found if found is not None and {"block", "status"} & dict(found.details).keys() else None


async def _pays(record: Record[Any], evidence: Evidence, lane: Lane, books: LaneBooks) -> Mapping[str, str]:
    """Say what in the transaction pays, so that whoever reads its bytes can check it."""
    data, details = record.data, dict(evidence.details)
    if record.machine == "bounty":
        return {"how": "wallet", "wallet": data.contract_address, "executed": data.confirm_hash}
    payment = record if record.machine == "payment" else await _payment_of(record, lane, books)
    if payment is None:  # a pool's, that something else sent
        wei = shannon_of(record) * WEI - int(data.charge_wei)
        return {"how": "plain", "to": data.to, "units": str(wei), "decimals": str(WEI_DIGITS)}
    paid = payment.data
    pays = {"how": "plain", "to": str(paid.to or ""), "units": paid.value_wei}
    if paid.token is None:
        pays["decimals"] = str(WEI_DIGITS)
    else:
        # What the settings call a token may have changed since; its contract and its units have not.
        pays |= {"how": "token", "token": paid.token}
        decimals = [one.decimals for one in lane.tokens.values() if one.address == paid.token]
        pays |= {"decimals": str(decimals[0])} if decimals else {}
    if details.get("batch"):
        carried = await books.transaction(lane.name, paid.nonce)
        contract = str(carried.data.to if carried else "")
        pays |= {"how": "batch", "contract": contract, "batch": details["batch"], "place": details["place"]}
    return pays


async def _payment_of(record: Record[Any], lane: Lane, books: LaneBooks) -> PaymentRecord | None:
    key = record.data.paid_by if record.machine == "payout" else record.id
    return await books.payment(lane.name, PaymentKey(key))
