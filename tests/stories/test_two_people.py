"""What takes two people: one proposes what they saw, another confirms exactly that, and nothing else counts as two."""

import asyncio

import pytest
from structlog.testing import capture_logs

from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.magic import STAYS
from machines.core.errors import BadInput, Conflict, NotAllowed, PayflowError
from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.desk.identity import PersonChange, add_person, disable_person
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.proposals import Proposal
from payflow.store.registers.tokens import Role, TokenScope
from tests.stories.banks import v4
from tests.stories.town import HOME, Town, open_town

OLU, EVE, PAM = (Person(name, Role.OPERATOR, "boss") for name in ("olu", "eve", "pam"))
RITA, ROB = (Person(name, Role.REVIEWER, "boss") for name in ("rita", "rob"))
FAILS_ONCE = "0100000008"
SHELL = Person("shell:root@desk", None)
NOBODIES = (
    SHELL,
    Person("olu", Role.OPERATOR),
    Person("OLU ", Role.OPERATOR),
    Person("second", Role.OPERATOR, "olu"),
    Person("vic", Role.VIEWER),
    Person("shop", Role.PLATFORM),
    Person("ann", Role.PROVIDER),
)


async def with_the_bank(town: Town) -> RecordId:
    """Ann's ₦2,000 are with the bank, which takes its time."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    await town.until_queued(payout)
    town.bank.transfers.otherwise = STAYS
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    return RecordId(payout)


async def wished(town: Town, payout: RecordId, to: str, person: Person = OLU) -> Proposal:
    """Somebody proposes an override of what they see now."""
    version = (await town.record(payout)).version
    return await Steering(town.store, town.metrics).propose_override(payout, to, "night", person, version)


async def test_at_three_in_the_morning_the_gateway_is_silent_and_nobody_gives_money_back_alone(town: Town) -> None:
    payout = await with_the_bank(town)
    steering = Steering(town.store, town.metrics)
    town.bank.faults.add(Fault(Kind.RESET))
    version = (await town.record(payout)).version
    with pytest.raises(BadInput, match="may have left"):
        await steering.override(payout, "CANCELLED", "panic", SHELL, version)
    with pytest.raises(NotAllowed, match="nobody here"):
        await wished(town, payout, "CANCELLED", SHELL)
    assert await steering.two.waiting() == []
    proposal = await wished(town, payout, "CANCELLED")
    for nobody in NOBODIES:
        with pytest.raises(NotAllowed):
            await steering.two.confirm(proposal.digest, nobody)
    assert (await town.record(payout)).state == "PROCESSING"
    assert await steering.two.waiting() == [proposal], "what was refused took nothing off the table"


async def test_who_made_the_token_of_the_proposer_is_no_second_person(town: Town) -> None:
    """An operator makes a token for nobody, proposes with it, and would confirm with their own."""
    payout = await with_the_bank(town)
    two = Steering(town.store, town.metrics).two
    proposal = await wished(town, payout, "CANCELLED", Person("nobody", Role.OPERATOR, "Eve"))
    (standing,) = await two.waiting()
    assert standing == proposal
    with pytest.raises(NotAllowed, match="eve made the token nobody"):
        await two.confirm(proposal.digest, EVE)
    assert (await town.record(payout)).state == "PROCESSING"
    assert "Done" in await two.confirm(proposal.digest, PAM)


async def test_another_name_of_the_proposer_is_no_second_person_and_a_disabled_ones_word_counts_no_more(
    town: Town,
) -> None:
    """Olu has an older token as well; then Olu leaves, and what they proposed waits still."""
    payout = await with_the_bank(town)
    two = Steering(town.store, town.metrics).two
    operator = PersonChange(frozenset({Role.OPERATOR}), aliases=["olu-2025"])
    await add_person(town.store, "olu", operator, SHELL)
    proposal = await wished(town, payout, "CANCELLED", Person("olu-2025", Role.OPERATOR, "boss"))
    with pytest.raises(NotAllowed, match="olu proposed it"):
        await two.confirm(proposal.digest, OLU)
    assert await two.own(proposal, OLU)
    assert not await two.may_confirm(proposal, OLU)
    assert await two.may_confirm(proposal, EVE)
    await disable_person(town.store, "olu", "left", SHELL)
    with pytest.raises(NotAllowed, match="was disabled since"):
        await two.confirm(proposal.digest, EVE)
    assert (await town.record(payout)).state == "PROCESSING"
    await two.decline(proposal.digest, EVE)
    assert "Done" in await two.confirm((await wished(town, payout, "CANCELLED", PAM)).digest, EVE)


async def test_who_made_the_person_who_proposed_is_no_second_one(town: Town) -> None:
    payout = await with_the_bank(town)
    two = Steering(town.store, town.metrics).two
    await add_person(town.store, "nobody", PersonChange(frozenset({Role.OPERATOR})), EVE)
    proposal = await wished(town, payout, "CANCELLED", Person("nobody", Role.OPERATOR, "boss"))
    with pytest.raises(NotAllowed, match="eve made the token nobody"):
        await two.confirm(proposal.digest, EVE)
    assert await two.may_confirm(proposal, PAM)


async def test_nobody_confirms_more_than_they_may(town: Town) -> None:
    payout = await with_the_bank(town)
    two = Steering(town.store, town.metrics).two
    proposal = await wished(town, payout, "CANCELLED")
    narrow = Person("eve", Role.OPERATOR, "boss", TokenScope(most={"NGN": 199_999}))
    with pytest.raises(NotAllowed, match=r"1999\.99 at most"):
        await two.confirm(proposal.digest, narrow)
    assert (await town.record(payout)).state == "PROCESSING"
    assert await two.waiting() == [proposal], "what was refused took nothing off the table"
    await two.decline(proposal.digest, narrow)
    with pytest.raises(NotAllowed, match=r"1999\.99 at most"):
        await wished(town, payout, "CANCELLED", narrow)


async def test_what_the_rail_says_now_is_not_what_was_confirmed(town: Town) -> None:
    """It was proposed while the gateway was silent; before it is confirmed the bank has paid."""
    payout = await with_the_bank(town)
    steering = Steering(town.store, town.metrics)
    proposal = await wished(town, payout, "CANCELLED")
    assert proposal.seen["proof"] == "none"
    town.bank.transfers.finish(town.transfer(payout), paid=True)
    with pytest.raises(Conflict, match=r"changed while|The rail says something else"):
        await steering.two.confirm(proposal.digest, EVE)
    await town.time_passes(seconds=60)
    await town.until(payout, "paid")
    assert town.reached(HOME) == "32,000"


async def test_of_two_who_confirm_at_once_one_does_it_and_of_two_who_propose_one_waits(town: Town) -> None:
    payout = await with_the_bank(town)
    steering = Steering(town.store, town.metrics)
    made = await asyncio.gather(
        *(wished(town, payout, to, by) for to, by in (("CANCELLED", OLU), ("FAILED", EVE), ("REJECTED", PAM))),
        return_exceptions=True,
    )
    proposed = [one for one in made if isinstance(one, Proposal)]
    assert len(proposed) == 1
    assert await steering.two.waiting() == proposed
    (proposal,) = proposed
    others = [one for one in (OLU, EVE, PAM) if one.name != proposal.by]
    ended = await asyncio.gather(
        *(steering.two.confirm(proposal.digest, one) for one in others), return_exceptions=True
    )
    assert len([one for one in ended if isinstance(one, str)]) == 1, ended
    assert all(isinstance(one, str | PayflowError) for one in ended)
    assert (await town.story_of(payout)).count("override") == 1
    assert (await town.record(payout)).state == proposal.seen["to"]


async def test_who_would_send_what_reviewers_must_approve_needs_the_reviewer(sunday_town: Town) -> None:
    """Two reviewers must say yes to ₦2,000; an operator cannot stand in for any of them, one confirms as the last."""
    town = sunday_town
    async with town.worker():
        await town.ann_earns("20000")
        payout = RecordId(await town.ann_asks("2000"))
        await town.review_of(payout)
        steering = Steering(town.store, town.metrics)
        for to in ("PROCESSING", "APPROVED", "FAILED"):
            record = await town.record(payout)
            with pytest.raises(BadInput):
                await steering.override(payout, to, "hurry", OLU, record.version)
        proposal = await wished(town, payout, "APPROVED")
        assert proposal.role == Role.REVIEWER
        with pytest.raises(NotAllowed, match="a reviewer"):
            await steering.two.confirm(proposal.digest, EVE)
        assert "Done" in await steering.two.confirm(proposal.digest, RITA)
        await town.time_passes(minutes=10)
        await town.until_queued(payout)
        await town.time_passes(hours=2)
        await town.until_sent(payout)
        await town.time_passes(seconds=10)
        await town.until(payout, "paid")
    assert town.reached(HOME) == "2,000"
    assert [one.by for one in (await town.record(payout)).data.approvals] == ["rita"]


async def test_what_two_people_said_has_failed_and_is_still_paid_is_not_given_back_by_one(settings: Settings) -> None:
    """Nothing could prove that nothing was paid: the wish ends, people are told once, and nothing is sent once more."""
    with capture_logs() as log:
        async with open_town(settings, batch_schedule="instant") as town, town.worker():
            await town.ann_earns("5000")
            payout = RecordId(await town.ann_asks("1000", FAILS_ONCE))
            await town.approve(payout)
            await town.until_sent(payout)
            await town.time_passes(seconds=10)
            await town.until_over(payout)
            await town.retry(payout)
            await town.until_sent(payout, 2)
            await town.time_passes(seconds=10)
            await town.until(payout, "paid")
            proposal = await wished(town, payout, "FAILED")
            await Steering(town.store, town.metrics).two.confirm(proposal.digest, EVE)
            assert (await town.record(payout)).state == "FAILED"
            await town.release(payout, "she says that it never came")
            record = await town.until_in(payout, "COMPLETED")
            assert record.data.wish is None
            await town.time_passes(hours=7)
            record = await town.until_looked(payout)
            assert (record.state, len(record.data.attempts)) == ("COMPLETED", 2)
            assert await town.ann_has() == ("4,000", "0", "1,000")
            await town.until_all_is_told()
    alarms = [line["why"] for line in log if line.get("action") == "alarm"]
    assert [why for why in alarms if "it cannot be given back" in why] == alarms[:1]


async def test_what_an_operator_calls_failed_while_nobody_knows_its_name_is_found_paid(settings: Settings) -> None:
    """Over v4 a transfer whose answer was lost cannot be asked for; where its webhook is lost too, its list has it."""
    async with open_town(settings, v4, batch_schedule="instant") as town, town.worker():
        town.bank.courier.on = False
        town.bank.faults.add(Fault(Kind.RESET, created=True, where="POST /v4/direct-transfers"))
        await town.ann_earns("5000")
        payout = RecordId(await town.ann_asks("1000"))
        await town.approve(payout)
        record = await town.until_in(payout, "UNCONFIRMED")
        await Steering(town.store, town.metrics).override(payout, "FAILED", "never arrived", OLU, record.version)
        assert (await town.record(payout)).state == "FAILED"
        await town.time_passes(hours=8)
        await town.until_in(payout, "COMPLETED")
        assert len(town.transfers_of(payout)) == 1
