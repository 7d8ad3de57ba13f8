"""Receipts of what a lane paid: the block's header proves them to whoever has no node."""

import json
from collections.abc import AsyncIterator

import pytest

from machines.core.chain import Address
from machines.core.clock import FixedClock
from machines.core.ports import Payment
from machines.transaction import lifecycle as s
from payflow.config import Settings
from payflow.desk.receipts.checking import check
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.receipts.signing import NoReceipt, signed
from tests.chain import LANE, Anvil
from tests.chains.batches import existing, made_contract
from tests.chains.test_tokens import NORMAL, UNITS, made_token, opened
from tests.lanes import USD, Station
from tests.verifier import Bad, keccak, unrlp, value_at, verify


@pytest.fixture
async def station(settings: Settings, chain: Anvil, clock: FixedClock) -> AsyncIterator[Station]:
    """A lane with a token, and the contract that pays many."""
    token, contract = await made_token(chain, NORMAL), await made_contract(chain)
    async with opened(settings, chain, clock, token, contract) as station:
        yield station


async def _receipt(station: Station, payment: Payment) -> bytes:
    record = await station.record(payment)
    return await Receipts(station.store, station.lanes).file(record.id, staff=True)


async def _settled(station: Station, *payments: Payment) -> None:
    async with station.worker():
        await station.pay(*payments)
        await station.until_settled(payments)


def _refused(station: Station, body: dict[str, object]) -> None:
    """Even the installation itself, which has the key, cannot say that the chain paid something else."""
    file = signed(body, station.store.receipt_keys)
    with pytest.raises(NoReceipt):
        check(file)
    with pytest.raises(Bad):
        verify(file)


async def test_a_plain_payment_is_proven_by_the_header(station: Station) -> None:
    payment, other = station.payment("p-1"), station.payment("p-2")
    await _settled(station, payment, other)
    file = await _receipt(station, payment)
    body = verify(file)
    assert check(file).body == body
    assert (body["says"], body["chain"]["pays"]["how"]) == ("PAID", "plain")
    others = json.loads(await _receipt(station, other))["body"]["chain"]
    chain = body["chain"]
    for changed in (
        {**chain, "pays": {**chain["pays"], "units": "1"}},
        {**chain, "pays": {**chain["pays"], "to": others["pays"]["to"]}},
        {**chain, "proof": others["proof"]},
        {**chain, "proof": {**chain["proof"], "receipt": others["proof"]["receipt"], "place": 7}},
        {**chain, "chain_id": 1},
        {**chain, "block": chain["block"] + 1},
    ):
        _refused(station, {**body, "chain": changed})
    _refused(station, {**body, "to": others["pays"]["to"]})


async def test_each_of_a_batch_is_proven_and_one_that_was_thrown_back_is_not(station: Station, chain: Anvil) -> None:
    addresses = await existing(chain, 5)
    await chain.set_code(addresses[2], "0x60006000fd")
    station.set_policy(batch_wait_s=5, batch_size=5)
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(addresses)]
    async with station.worker():
        await station.pay(*payments)
        await station.until_settled([one for one in payments if one is not payments[2]])
        await station.until_all([payments[2]], s.FAILED)
    body = verify(await _receipt(station, payments[3]))
    check(await _receipt(station, payments[3]))
    pays, place = body["chain"]["pays"], (await station.record(payments[2])).data.place
    assert pays["how"] == "batch"
    _refused(station, {**body, "chain": {**body["chain"], "pays": {**pays, "place": str(place)}}})
    thrown = {**pays, "place": str(place), "to": addresses[2]}
    _refused(station, {**body, "chain": {**body["chain"], "pays": thrown}})
    assert verify(await _receipt(station, payments[2]))["says"] == "NOT PAID"


async def test_tokens_are_proven_alone_and_in_a_batch(station: Station, chain: Anvil) -> None:
    first, *more = await existing(chain, 5)
    alone = station.payment("t-1", first, UNITS, USD)
    await _settled(station, alone)
    many = [station.payment(f"m-{number}", to, UNITS, USD) for number, to in enumerate(more)]
    station.set_policy(batch_wait_s=5, batch_size=4)
    await _settled(station, *many)
    for payment, how in ((alone, "token"), (many[1], "batch")):
        file = await _receipt(station, payment)
        body, found = verify(file), check(file)
        assert found.body == body
        pays = body["chain"]["pays"]
        assert (pays["how"], pays["units"], pays["decimals"]) == (how, str(UNITS), "6")
        _refused(station, {**body, "chain": {**body["chain"], "pays": {**pays, "units": str(UNITS + 1)}}})


async def test_a_payment_that_the_chain_took_back_is_not_called_paid(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    await _settled(station, payment)
    assert verify(await _receipt(station, payment))["says"] == "PAID"
    block = json.loads(await _receipt(station, payment))["body"]["chain"]["block"]
    await chain.reorg(await chain.height() - block + 2)
    body = verify(await _receipt(station, payment))
    assert body["says"] == "NOT SEEN DEEP IN THE CHAIN NOW"
    assert "chain" not in body


async def test_a_batch_contract_of_somebody_else_proves_nothing(station: Station, chain: Anvil) -> None:
    payments = [station.payment(f"p-{number}", to) for number, to in enumerate(await existing(chain, 4))]
    station.set_policy(batch_wait_s=5, batch_size=4)
    await _settled(station, *payments)
    body = verify(await _receipt(station, payments[0]))
    pays = {**body["chain"]["pays"], "contract": Address("0x" + "11" * 20)}
    _refused(station, {**body, "chain": {**body["chain"], "pays": pays}})


async def test_the_second_verifier_reads_a_nodes_own_proof(station: Station, chain: Anvil) -> None:
    payment = station.payment("p-1")
    await _settled(station, payment)
    for address in (LANE.address, payment.to["address"]):
        shown = await chain.rpc("eth_getProof", address, [], "latest")
        root = bytes.fromhex((await chain.rpc("eth_getBlockByNumber", "latest", *[False]))["stateRoot"][2:])
        nodes = [bytes.fromhex(node[2:]) for node in shown["accountProof"]]
        nonce, balance, _, code = unrlp(value_at(root, keccak(bytes.fromhex(address[2:])), nodes))
        assert int.from_bytes(nonce, "big") == await chain.nonce(Address(address))
        assert int.from_bytes(balance, "big") == await chain.balance(Address(address))
        assert code == keccak(b"")
        with pytest.raises(Bad):
            value_at(root, keccak(b"somebody else"), nodes)
