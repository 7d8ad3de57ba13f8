"""What the sandbox plays: each scenario is a few stories at once, told as they go."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.sandbox.chain import accounts
from adapters.sandbox.chain.accounts import CONTRIBUTOR, FUNDER, MAINTAINER, WEI
from adapters.sandbox.faults import Fault, Kind
from machines.bounty import lifecycle as b
from machines.bounty.data import BountyRecord, bounty_id
from machines.core.errors import NotFound
from machines.core.ids import RecordId
from machines.core.ports import PaymentKey
from machines.payout import lifecycle as p
from machines.payout.data import PayoutRecord
from machines.pool import lifecycle as m
from machines.transaction import lifecycle as t
from machines.transaction.data import PaymentRecord, TransactionRecord, payment_id
from payflow.desk.platforms import find_owner
from payflow.sandbox import people
from payflow.sandbox.discrepancies import discrepancies
from payflow.sandbox.people import PAYS, Cast
from payflow.sandbox.pool import MINERS, THRESHOLD_SHANNON
from payflow.sandbox.stage import Teller
from payflow.sandbox.tokens import MAINTAINER as MIA
from payflow.sandbox.tokens import WINNER

GITHUB_TICK_S = 1.1
"""GitHub writes seconds: what people do there must be so far apart to be told apart."""
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


async def provider_payout(cast: Cast) -> None:
    """Bayo is paid to his bank."""
    teller = Teller(cast.world.stage, "Provider payout", "₦12,500.00 to Bayo's bank account")
    await cast.joins("bayo", verified=True)
    await cast.earns("bayo", "12500")
    payout = await cast.asks("bayo", "12500", PAYS)
    teller.say("requested", "He is new, so a person must look. Rob does, and approves.")
    await cast.approves("rob", payout)
    await cast.until(payout, p.COMPLETED, seen=lambda record: teller.follow(record.state, _bank_story(record)))
    teller.done("paid", f"The bank confirmed {payout}; Bayo has a mail.")


async def waiting_payout(cast: Cast) -> None:
    """Chioma's payout waits for the person who runs this."""
    teller = Teller(cast.world.stage, "Payout in review", "₦75,000.00 to Chioma's bank account")
    payout = await _from_before(cast)
    if payout is None:
        await cast.joins("chioma", verified=True)
        await cast.earns("chioma", "75000")
        payout = await cast.asks("chioma", "75000", PAYS)
    teller.waits("requested", "It waits for you: click Rita's link above, and approve it.")
    record = await cast.until(payout, p.APPROVED, p.PROCESSING, p.COMPLETED, p.REJECTED, p.CANCELLED)
    if record.state in (p.REJECTED, p.CANCELLED):
        teller.done(record.state.lower(), "The money is hers again, and she was told why.")
        return
    await cast.until(payout, p.COMPLETED, seen=lambda record: teller.follow(record.state, _bank_story(record)))
    teller.done("paid", f"You approved {payout}, and the bank confirmed it.")


async def _from_before(cast: Cast) -> RecordId | None:
    """Find the payout that an earlier sandbox left waiting."""
    found = [one.record for one in await cast.store.listing.owned_by(await find_owner(cast.store, "chioma"))]
    return next((record.id for record in found if (record.machine, record.state) == ("payout", p.REQUESTED)), None)


def _bank_story(record: PayoutRecord) -> str:
    return {
        p.APPROVED: "It goes with the next batch.",
        p.PROCESSING: "Sent to the simulated Flutterwave, whose bank takes five seconds.",
        p.UNCONFIRMED: "The gateway gave no answer: it may have left, so Payflow looks before it does anything.",
        p.FAILED: f"Proven not paid: {record.data.reason}",
    }.get(record.state, record.data.reason)


async def pool_run(cast: Cast) -> None:
    """The pool finds a block, and pays its miners."""
    due = {login: shannon for login, shannon in MINERS.items() if shannon > THRESHOLD_SHANNON}
    teller = Teller(cast.world.stage, "Pool run", f"{len(due)} miners of the pool, in ETH")
    before = {login: await cast.world.chain.balance(login) for login in due}
    height = await cast.world.pool.find_block()
    teller.say("due", f"The pool found block {height:,}: {len(due)} miners reached the threshold. The next run pays.")
    while True:
        found = {
            state: await cast.store.listing.in_state("pool", state) for state in (m.DUE, m.DEBITED, m.SENT, m.HALTED)
        }
        under_way = {state: len(records) for state, records in found.items() if records}
        if under_way:
            said = ", ".join(f"{number} {state.lower()}" for state, number in under_way.items())
            teller.say("paying", f"{said}: locked in the pool's own books, signed, buried by blocks.")
        if m.HALTED in under_way:
            teller.waits("halted", "Chain and books contradict each other: `payflow pool pending` says more.")
        now = {login: await cast.world.chain.balance(login) for login in due}
        if not under_way and all(now[login] > before[login] for login in due):
            break
        await asyncio.sleep(people.GLANCE_S)
    paid = sum(now[login] - before[login] for login in due)
    teller.done("paid", f"{paid / WEI:g} ETH reached {len(due)} miners; the pool's books say so too.")


async def bounty(cast: Cast) -> None:
    """An issue is labelled, funded, solved and paid."""
    teller = Teller(cast.world.stage, "Bounty", f"0.5 ETH for an issue of {cast.home.name}")
    await prove_owner(cast)
    github, home = cast.world.github, cast.home
    issue = github.open_issue(home, "It should also work on Sundays", "bounty")
    about = f"#{issue.number}"
    teller.say("labelled", f"Mia labelled {about}: the bot makes its wallet.")
    record_id = bounty_id(home.id, issue.id, cast.store.records.shards)
    await _exists(cast, record_id)

    def tell(record: BountyRecord) -> None:
        teller.follow(
            record.state,
            {
                b.OPENING: f"Mia labelled {about}: the bot makes its wallet.",
                b.MERGED: "Gus's pull request was merged: the bot looks what the wallet holds.",
                b.EXECUTED: "The payment is fixed; the bot's approval is on its way.",
                b.CONFIRMABLE: "The bot approved. Mia confirms with her own wallet.",
                b.CONFIRMING: f"Mia confirmed in {record.data.payout_hash[:SHORT]}…; blocks bury it.",
            }.get(record.state, record.data.trouble or record.data.waiting_for),
        )

    record = await cast.until(record_id, b.OPEN, seen=tell, hurry=True)
    wallet = record.data.contract_address
    teller.say("open", f"{about} has the wallet {wallet}; somebody puts 0.5 ETH in.")
    await cast.world.chain.send(FUNDER.address, wallet, WEI // 2)
    await cast.says(WINNER, "POST", "/api/user", await _proof(cast, WINNER, CONTRIBUTOR))
    pull = github.open_pull(home, WINNER, "Make it work on Sundays", f"Closes #{issue.number}")
    await asyncio.sleep(GITHUB_TICK_S)
    github.merge(home, pull, issue)
    record = await cast.until(record_id, b.CONFIRMABLE, seen=tell, hurry=True)
    await confirm(cast, issue.id)
    record = await cast.until(record_id, b.PAID, seen=tell, hurry=True)
    teller.done("paid", f"The wallet paid Gus 0.5 ETH in {record.data.payout_hash[:SHORT]}…; the issue says so.")


async def prove_owner(cast: Cast) -> None:
    """Mia proves the address that she will own wallets with."""
    # Its delivery may have to come first.
    while not await cast.store.listing.in_state("repository", b.ENABLED):  # noqa: ASYNC110  (the store has no event)
        await asyncio.sleep(people.GLANCE_S)
    body = await _proof(cast, MIA, MAINTAINER, f"&repository={cast.home.id}")
    await cast.says(MIA, "POST", f"/api/user/repository/{cast.home.id}/owner", body)


async def _proof(cast: Cast, who: str, account: accounts.RichAccount, purpose: str = "") -> dict[str, str]:
    """Somebody signs the words that prove an address."""
    message = (await cast.says(who, "GET", f"/api/user/proof?address={account.address}{purpose}"))["message"]
    signature = Account.sign_message(encode_defunct(text=message), account.key).signature
    return {"address": account.address, "message": message, "signature": "0x" + bytes(signature).hex()}


async def _exists(cast: Cast, record_id: RecordId) -> None:
    while True:
        try:
            await cast.record(record_id)
        except NotFound:
            await asyncio.sleep(people.GLANCE_S)
        else:
            return


async def confirm(cast: Cast, issue: int) -> None:
    """Mia confirms what the bot has approved, with her own wallet, and tells."""
    path = f"/api/user/bounty/{issue}"
    call = await cast.says(MIA, "GET", f"{path}/confirmation?owner={MAINTAINER.address}")
    tx = await cast.world.chain.send(MAINTAINER.address, str(call["to"]), data=str(call["data"]))
    await cast.says(MIA, "POST", f"{path}/payout", {"payout-hash": tx, "number": call["number"]})


# ── what goes wrong, what Payflow does then, and what it never does ───────────────────────────────────────────────────


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


# ── by name ──────────────────────────────────────────────────────────────────────────────────────────────────────────

Story = Callable[[Cast], Awaitable[None]]


SCENARIOS: Mapping[str, tuple[Story, ...]] = {
    "default": (provider_payout, waiting_payout, pool_run, bounty),
    "none": (),
    "gateway-outage": (gateway_outage,),
    "fraud-spike": (fraud_spike,),
    "discrepancies": (discrepancies,),
    "reorg": (reorg,),
    "stuck-nonce": (stuck_nonce,),
}
"""The stories of each, which are played all at once."""


async def play(name: str, cast: Cast) -> None:
    """Play a scenario to its end. A story that breaks off says so, and the others go on."""
    await asyncio.gather(*(_tell(story, cast) for story in SCENARIOS[name]))


async def _tell(story: Story, cast: Cast) -> None:
    try:
        await story(cast)
    except Exception as error:  # noqa: BLE001  (whatever it was, the person who watches must see it)
        said = str(error) or type(error).__name__
        Teller(cast.world.stage, story.__name__, (story.__doc__ or "").strip()).broke(f"It broke off: {said}")
