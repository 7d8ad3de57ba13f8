"""What the bot's lane sends for a bounty makes its wallet or agrees to its payment, whatever somebody wrote into it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.sandbox.github.town import Issue
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyData
from machines.core.chain import Address
from machines.core.decision import Decision
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from machines.core.wallets import ContractCall, Creation
from machines.transaction.calldata import approval, balance_of, word
from payflow.app.bounties import wallets_of
from payflow.config import Settings
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from tests.bounties import ANN, BOT, DEPLOYER, MIA, Fair, Kind, open_fair
from tests.chain import FIFTH, stranger
from tests.waiting import wait_until

THIEF = stranger()
UNITS = 7_000_000


@pytest.fixture(params=["safe", "multisig"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of wallet in turn."""
    return "safe" if request.param == "safe" else "multisig"


@pytest.fixture
async def fair(settings: Settings, kind: Kind, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties; the bot's address holds tokens of others."""
    async with open_fair(settings, kind, tmp_path) as fair:
        await fair.hands.send(DEPLOYER, ContractCall(fair.token, f"0xa9059cbb{word(BOT.address)}{word(UNITS)}"))
        yield fair


async def _written(fair: Fair, record_id: RecordId, data: BountyData) -> None:
    """Write it as who has the store, and the keys with which records are signed, would."""
    stored = await fair.store.records.read(record_id)
    await fair.store.records.commit(stored, Decision(data=data, again_s=0, why="by hand"), Nothing(), "mallory")


async def _is_set_aside(fair: Fair, record_id: RecordId, why: str = "What it would send") -> None:
    async with fair.worker():

        async def parked() -> bool:
            await fair.look(record_id)
            return bool((await fair.store.records.read(record_id)).record.parked)

        await wait_until(parked, "it is set aside")
    assert why in (await fair.store.records.read(record_id)).record.parked
    chain = fair.lanes.lanes["bot"].chain
    assert int(await chain.call(fair.token, balance_of(THIEF)), 16) == 0
    assert int(await chain.call(fair.token, balance_of(BOT.address)), 16) == UNITS


@pytest.mark.parametrize("data", [f"0xa9059cbb{word(THIEF)}{word(UNITS)}", approval(THIEF)])
async def test_what_makes_no_wallet_is_not_sent(fair: Fair, kind: Kind, data: str) -> None:
    issue = await fair.labelled_issue()
    record_id = fair.id_of(issue)
    made = Creation(kind, (BOT.address,), 1, ContractCall(fair.token, data), "")
    before = (await fair.record(issue)).data
    await _written(fair, record_id, replace(before, creation=made, creation_seal="permit.00", swept_at=10**14))
    await _is_set_aside(fair, record_id)


async def test_a_wallet_that_no_worker_planned_is_planned_anew(fair: Fair, kind: Kind) -> None:
    """An older version planned it, or somebody wrote it without a seal: nothing of it was sent."""
    issue = await fair.labelled_issue()
    made = Creation(kind, (BOT.address,), 1, ContractCall(fair.token, approval(THIEF)), "")
    await _written(fair, fair.id_of(issue), replace((await fair.record(issue)).data, creation=made, swept_at=10**14))
    async with fair.worker():
        record = await fair.until(issue, s.OPEN)
    assert record.data.creation is not None
    assert MIA.address in record.data.creation.owners
    assert record.data.wallet_seal
    assert int(await fair.lanes.lanes["bot"].chain.call(fair.token, balance_of(THIEF)), 16) == 0


async def test_a_wallet_without_the_bot_is_not_made(fair: Fair) -> None:
    issue = await fair.labelled_issue()
    record_id = fair.id_of(issue)
    made = await wallets_of(fair.settings, fair.lanes.lanes["bot"]).creation((THIEF,), 1, record_id)
    before = (await fair.record(issue)).data
    await _written(fair, record_id, replace(before, creation=made, creation_seal="permit.00", swept_at=10**14))
    await _is_set_aside(fair, record_id)


async def test_what_agrees_to_no_payment_is_not_sent(fair: Fair) -> None:
    async with fair.worker():
        issue = await fair.confirmable_issue()
    record_id = fair.id_of(issue)
    data = (await fair.record(issue)).data
    assert data.current is not None
    thief = ContractCall(fair.token, approval(THIEF))
    proposal = replace(data.current.proposal, approval=thief, number=2)
    for wallet in (data.contract_address, fair.token):
        changed = replace(data.current, proposal=replace(proposal, wallet=wallet), execute_hash="", confirm_hash="")
        stored = await fair.store.records.read(record_id)
        decision = Decision(
            trigger="override",
            to=s.EXECUTED,
            data=replace(data, attempts=(changed,), confirm_hash=""),
            again_s=0,
            why="x",
        )
        await fair.store.records.commit(stored, decision, Nothing(), "mallory")
        await _is_set_aside(fair, record_id, "No worker decided this payment")
        await fair.store.records.unpark(await fair.store.records.read(record_id), "once more", "olu")


async def _won(fair: Fair) -> tuple[Issue, BountyData]:
    """A bounty that Ann has won, and for which no worker has decided anything yet."""
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.proves("ann", ANN)
        await fair.until(issue, that=lambda one: bool(one.data.holdings))
    await fair.merge(await fair.pull_for(issue), issue)
    record = await fair.record(issue)
    assert record.state == s.MERGED
    return issue, record.data


async def _bot_agreed_to_nothing(fair: Fair, sent: int) -> None:
    assert len(await fair.sent_by_bot()) == sent
    assert await fair.chain.balance(THIEF) == 0


@pytest.mark.parametrize("seal", ["its own", "none"])
async def test_a_payment_to_somebody_else_is_agreed_to_by_nobody(fair: Fair, seal: str) -> None:
    """All of it fits together, as who knows how wallets work would write it."""
    issue, _ = await _won(fair)
    record_id, wallets = fair.id_of(issue), wallets_of(fair.settings, fair.lanes.lanes["bot"])
    async with fair.worker():
        data = (await fair.until(issue, s.CONFIRMABLE)).data
    sent = len(await fair.sent_by_bot())
    assert data.current is not None
    held = await wallets.holdings(Address(data.contract_address))
    elsewhere = await wallets.propose(Address(data.contract_address), Address(THIEF), held, 1)
    elsewhere = replace(elsewhere, number=2)
    attempt = replace(data.current, proposal=elsewhere, execute_hash="", confirm_hash="")
    attempt = attempt if seal == "its own" else replace(attempt, seal="")
    retracted = replace(data.current, retracted=True, withdrawn=True)
    changed = replace(data, attempts=(retracted, attempt), confirm_hash="", payout_address=THIEF)
    stored = await fair.store.records.read(record_id)
    decision = Decision(trigger="override", to=s.EXECUTED, data=changed, again_s=0, why="by hand")
    await fair.store.records.commit(stored, decision, Nothing(), "mallory")
    await _is_set_aside(fair, record_id, "No worker decided this payment")
    await _bot_agreed_to_nothing(fair, sent)


async def test_who_wins_is_what_the_forge_shows_whatever_was_written(fair: Fair) -> None:
    issue, data = await _won(fair)
    record_id, eve = fair.id_of(issue), fair.github.town.person("eve").id
    await fair.proves("eve", FIFTH)
    sent = len(await fair.sent_by_bot())
    claim = replace(data.claims[0], id=4711, author_id=eve, author="eve")
    for changes in (
        {"winner_id": eve, "winner_login": "eve"},
        {"winner_id": eve, "winner_login": "eve", "winner_pull": 4711, "claims": (claim,), "known_merges": (4711,)},
        {"place": replace(data.place, name="eve/mine")},
        {"winner_seal": "permit.00", "winner_id": eve},
    ):
        await _written(fair, record_id, replace(data, **changes))
        await _is_set_aside(fair, record_id, "The forge does not show")
        await fair.store.records.unpark(await fair.store.records.read(record_id), "once more", "olu")
    await _written(fair, record_id, replace(data, place=replace(data.place, repository=data.place.repository + 1)))
    await _is_set_aside(fair, record_id, "made for this issue")
    await _bot_agreed_to_nothing(fair, sent)


async def test_a_wallet_pays_for_the_bounty_that_it_was_made_for_alone(fair: Fair) -> None:
    async with fair.worker():
        rich = await fair.labelled_issue("another one")
        other = (await fair.until(rich, s.OPEN)).data
        await fair.funds(rich, 5)
    issue, data = await _won(fair)
    sent = len(await fair.sent_by_bot())
    for seal in (data.wallet_seal, other.wallet_seal, ""):
        taken = replace(data, contract_address=other.contract_address, creation=other.creation, wallet_seal=seal)
        await _written(fair, fair.id_of(issue), taken)
        await _is_set_aside(fair, fair.id_of(issue), "made for this issue")
        record = await fair.store.records.read(fair.id_of(issue))
        await fair.store.records.unpark(record, "once more", "olu")
    await _bot_agreed_to_nothing(fair, sent)


async def test_what_an_older_version_made_is_paid_or_taken_over_by_two(fair: Fair, kind: Kind) -> None:
    """A Safe's address says what it was made for; where another kind's is was seen by nobody who could seal it."""
    issue, data = await _won(fair)
    record_id = fair.id_of(issue)
    await _written(fair, record_id, replace(data, wallet_seal="", creation_seal=""))
    if kind == "multisig":
        await _is_set_aside(fair, record_id, "permit adopt")
        desk = Steering(fair.store, fair.metrics)
        olga, omar = (Person(name, Role.OPERATOR) for name in ("olga", "omar"))
        proposal = await desk.propose_adoption(record_id, "it was made before", olga)
        assert "1 sealed" in await desk.two.confirm(proposal.digest, omar)
    async with fair.worker():
        record = await fair.until(issue, s.CONFIRMABLE)
    assert record.data.payout_address == ANN.address
