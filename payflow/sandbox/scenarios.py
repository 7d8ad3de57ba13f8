"""What the sandbox plays: each scenario is a few stories at once, told as they go."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.sandbox.chain import accounts
from adapters.sandbox.chain.accounts import CONTRIBUTOR, FUNDER, MAINTAINER, WEI
from machines.bounty import lifecycle as b
from machines.bounty.data import BountyRecord, bounty_id
from machines.core.errors import NotFound
from machines.core.ids import Owner, RecordId
from machines.payout import lifecycle as p
from machines.payout.data import PayoutRecord
from machines.pool import lifecycle as m
from payflow.sandbox import people
from payflow.sandbox.people import PAYS, Cast
from payflow.sandbox.pool import MINERS, THRESHOLD_SHANNON
from payflow.sandbox.stage import Teller
from payflow.sandbox.tokens import MAINTAINER as MIA
from payflow.sandbox.tokens import WINNER
from payflow.sandbox.trouble import SHORT, fraud_spike, gateway_outage, reorg, stuck_nonce

GITHUB_TICK_S = 1.1
"""GitHub writes seconds: what people do there must be so far apart to be told apart."""


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
    found = [one.record for one in await cast.store.listing.owned_by(Owner("chioma"))]
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


# ── by name ──────────────────────────────────────────────────────────────────────────────────────────────────────────

Story = Callable[[Cast], Awaitable[None]]


SCENARIOS: Mapping[str, tuple[Story, ...]] = {
    "default": (provider_payout, waiting_payout, pool_run, bounty),
    "none": (),
    "gateway-outage": (gateway_outage,),
    "fraud-spike": (fraud_spike,),
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
