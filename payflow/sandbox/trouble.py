"""The scenarios in which something goes wrong: what Payflow does then, and what it never does."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from adapters.sandbox.faults import Fault, Kind
from machines.core.errors import NotFound
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.payout import lifecycle as p
from machines.payout.data import PayoutRecord
from machines.transaction import lifecycle as t
from machines.transaction.data import PaymentRecord, TransactionRecord, payment_id
from payflow.sandbox import people
from payflow.sandbox.people import Cast
from payflow.sandbox.stage import Teller

LANE = "ethereum"
OUTAGE_S = 8.0
PAID_DURING_OUTAGE = 2
EVERYTHING = "* /v3/*"
BURIED = 3
"""So many blocks carry or bury the payment when they are dropped."""
DEPTH = 6
"""Of the lane where a reorganisation is played: so many blocks must bury a payment."""
GWEI = 10**9
MINE = {"address": "0x00000000000000000000000000000000DeaDBeef"}
SHORT = 12


async def gateway_outage(cast: Cast) -> None:
    """The gateway is down while five people are to be paid; two transfers land although nobody says so."""
    teller = Teller(cast.world.stage, "Gateway outage", "₦5,000.00 to each of five providers")
    payouts = []
    for name in ("fade", "gozie", "halima", "ifeanyi", "jide"):
        await cast.joins(name, verified=True)
        await cast.earns(name, "5000")
        payouts.append(await cast.asks(name, "5000", people.PAYS))
    await _assessed(cast, payouts)  # a gateway that is down would not say whose accounts these are
    cast.world.bank.faults.add(
        Fault(Kind.UNAVAILABLE, created=True, times=PAID_DURING_OUTAGE),
        Fault(Kind.UNAVAILABLE, times=10**6, where=EVERYTHING),
    )
    await asyncio.gather(*(cast.approves("rob", payout) for payout in payouts))
    teller.say("outage", f"Every answer is 503 for {OUTAGE_S:g} s. Two transfers land, and nobody says so.")
    await asyncio.sleep(OUTAGE_S)
    states = sorted({(await cast.record(payout)).state.lower() for payout in payouts})
    cast.world.bank.faults.clear()
    teller.say("back", f"It answers again. Meanwhile they were {', '.join(states)}: none counts as failed.")
    await asyncio.gather(*(cast.until(payout, p.COMPLETED, hurry=True) for payout in payouts))
    twice = [entry.asked for entry in cast.world.bank.book if cast.world.bank.book.times_paid(entry.asked) > 1]
    if twice:
        teller.broke(f"{twice[0]} was paid twice.")
        return
    teller.done("paid", "All five are paid, each exactly once: what had landed was found by its reference.")


async def _assessed(cast: Cast, payouts: Sequence[RecordId]) -> list[PayoutRecord]:
    """Wait until the rules have seen each request."""
    while True:
        records = [await cast.record(payout) for payout in payouts]
        if all(record.data.assessed for record in records if record.state == p.REQUESTED):
            return records
        await asyncio.sleep(people.GLANCE_S)


async def fraud_spike(cast: Cast) -> None:
    """Eight accounts that nobody knows ask for all they have, to one bank account."""
    teller = Teller(cast.world.stage, "Fraud spike", "₦45,000.00 for each of eight new accounts")
    where = {"bank_code": "058", "account_number": "0100000010"}
    payouts = []
    for number in range(1, 9):
        name = f"new-{cast.started}-{number}"
        await cast.joins(name, verified=False)
        await cast.earns(name, "45000")
        payouts.append(await cast.asks(name, "45000", where))
    teller.say("asked", f"{len(payouts)} requests within seconds, all to the same account.")
    records = await _assessed(cast, payouts)
    waiting = [record for record in records if record.state == p.REQUESTED]
    teller.waits(
        "in review", f"The rules stopped all {len(waiting)}: nothing left. Decide at {cast.world.address}/admin."
    )
    while waiting:
        await asyncio.sleep(people.GLANCE_S)
        records = [await cast.record(payout) for payout in payouts]
        waiting = [record for record in records if record.state == p.REQUESTED]
        if len(waiting) < len(records):
            teller.waits("in review", f"{len(waiting)} of {len(records)} still wait for you.")
    rejected = sum(record.state == p.REJECTED for record in records)
    teller.done("decided", f"You said no to {rejected} and yes to {len(records) - rejected}.")


# ── on anvil ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _paid_in_ether(cast: Cast) -> RecordId:
    await cast.joins("dayo", verified=True)
    await cast.earns("dayo", "0.25", "ETH")
    payout = await cast.asks("dayo", "0.25", MINE, "ETH")
    await cast.approves("rob", payout)
    return payout


async def _transaction(cast: Cast, payout: RecordId, *states: str) -> TransactionRecord:
    """Find the transaction that pays a payout, once it is in one of these states."""
    shards = cast.store.records.shards
    while True:
        paying: PayoutRecord = await cast.record(payout)
        if paying.data.current is not None:
            key = PaymentKey(paying.data.current.reference)
            with suppress(NotFound):
                payment: PaymentRecord = await cast.record(payment_id(LANE, key, shards))
                if payment.data.transaction is not None:
                    found: TransactionRecord = await cast.record(payment.data.transaction)
                    if found.state in states:
                        return found
        await asyncio.sleep(people.GLANCE_S / 5)


async def reorg(cast: Cast) -> None:
    """The chain drops the blocks that carry a payment; the same bytes go out again."""
    teller = Teller(cast.world.stage, "Reorganisation", "0.25 ETH to Dayo's address")
    payout = await _paid_in_ether(cast)
    teller.say("signed", "Rob approved it; the lane signs nonce, amount and price, and sends the bytes.")
    mined = await _transaction(cast, payout, t.MINED)
    first = mined.data.hash
    cast.world.chain.ticking = False
    teller.say("mined", f"{first[:SHORT]}… is in block {mined.data.block}; {DEPTH} blocks must bury it.")
    await cast.world.chain.mine(BURIED - 1)
    height = int(await cast.world.chain.ask("eth_blockNumber"), 16)
    dropped = height - mined.data.block + 1
    await cast.world.chain.ask("anvil_reorg", dropped, [])
    lost = await cast.world.chain.ask("eth_getTransactionReceipt", first) is None
    teller.say(
        "reorganised", f"The chain dropped {dropped} blocks, {'the payment with them' if lost else 'and kept it'}."
    )
    cast.world.chain.ticking = True
    cast.world.chain.wake()

    def tell(record: TransactionRecord) -> None:
        if record.state in (t.SIGNED, t.SENT):
            teller.say("sent", f"The same bytes, {first[:SHORT]}…, on their way into the chain again.")

    final = await cast.until(mined.id, t.FINAL, seen=tell, hurry=True)
    await cast.until(payout, p.COMPLETED, hurry=True)
    same = "the same hash" if final.data.hash == first else "another hash of the same nonce"
    teller.done("paid", f"Buried in block {final.data.block} under {same}: paid once.")


async def stuck_nonce(cast: Cast) -> None:
    """Gas becomes dear while a payment waits; the lane offers more for the same nonce until it is mined."""
    teller = Teller(cast.world.stage, "Stuck nonce", "0.25 ETH to Dayo's address")
    await cast.world.chain.ask("evm_setAutomine", False)  # noqa: FBT003  (the wire's)
    cast.world.chain.ticking = False
    payout = await _paid_in_ether(cast)
    sent = await _transaction(cast, payout, t.SENT)
    await cast.world.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(sent.data.newest.fee.max_wei * 3))
    cast.world.chain.ticking = True
    cast.world.chain.wake()

    def tell(record: TransactionRecord) -> None:
        offers = " → ".join(f"{one.fee.max_wei / GWEI:.2f}" for one in record.data.attempts)
        teller.say(
            record.state.lower(), f"Gas costs three times more now. Nonce {record.data.nonce} offers {offers} gwei."
        )

    tell(sent)
    final: TransactionRecord = await cast.until(sent.id, t.FINAL, seen=tell, hurry=True)
    await cast.world.chain.ask("evm_setAutomine", True)  # noqa: FBT003  (as above)
    await cast.until(payout, p.COMPLETED, hurry=True)
    teller.done(
        "paid", f"Attempt {len(final.data.attempts)} of nonce {final.data.nonce} was mined; the others never can be."
    )
