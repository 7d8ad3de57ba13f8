"""What the bot's lane sends for a bounty makes its wallet or agrees to its payment, whatever somebody wrote into it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from machines.bounty import lifecycle as s
from machines.bounty.data import BountyData
from machines.core.decision import Decision
from machines.core.facts import Nothing
from machines.core.ids import RecordId
from machines.core.wallets import ContractCall, Creation
from machines.transaction.calldata import approval, balance_of, word
from payflow.app.bounties import wallets_of
from payflow.config import Settings
from tests.bounties import BOT, DEPLOYER, Fair, Kind, open_fair
from tests.chain import stranger
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


async def _is_set_aside(fair: Fair, record_id: RecordId) -> None:
    async with fair.worker():

        async def parked() -> bool:
            await fair.look(record_id)
            return "What it would send" in (await fair.store.records.read(record_id)).record.parked

        await wait_until(parked, "it is set aside")
    chain = fair.lanes.lanes["bot"].chain
    assert int(await chain.call(fair.token, balance_of(THIEF)), 16) == 0
    assert int(await chain.call(fair.token, balance_of(BOT.address)), 16) == UNITS


@pytest.mark.parametrize("data", [f"0xa9059cbb{word(THIEF)}{word(UNITS)}", approval(THIEF)])
async def test_what_makes_no_wallet_is_not_sent(fair: Fair, kind: Kind, data: str) -> None:
    issue = await fair.labelled_issue()
    record_id = fair.id_of(issue)
    made = Creation(kind, (BOT.address,), 1, ContractCall(fair.token, data), "")
    before = (await fair.record(issue)).data
    await _written(fair, record_id, replace(before, creation=made, swept_at=10**14))
    await _is_set_aside(fair, record_id)


async def test_a_wallet_without_the_bot_is_not_made(fair: Fair) -> None:
    issue = await fair.labelled_issue()
    record_id = fair.id_of(issue)
    made = await wallets_of(fair.settings, fair.lanes.lanes["bot"]).creation((THIEF,), 1, record_id)
    before = (await fair.record(issue)).data
    await _written(fair, record_id, replace(before, creation=made, swept_at=10**14))
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
        await _is_set_aside(fair, record_id)
        await fair.store.records.unpark(await fair.store.records.read(record_id), "once more", "olu")
