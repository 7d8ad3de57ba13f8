"""The contract of a rail: the same key pays at most once, and nothing is said about money without proof.

One suite for every rail, through its real client, against the simulator of the world that it pays into.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from machines.core.errors import Contradiction, Deferred, OutcomeUnknown, RailClosed, Rejected, Retryable
from machines.core.money import Money
from machines.core.ports import Cause, Failed, Payment, Pending, Reversed, Settled, Status, Unsent
from tests.contracts.worlds import WORLDS, Break, Who, World

MOST_ROUNDS = 30


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with WORLDS[request.param]() as made:
        yield made


async def hand_over(world: World, payment: Payment) -> str | None:
    """Prepare and submit, as a machine does."""
    return await world.rail.submit(await world.rail.prepare(payment))


async def submit(world: World, payment: Payment) -> Payment:
    """Submit, and remember what the rail calls it, as a record does."""
    return replace(payment, handle=await hand_over(world, payment) or payment.handle)


async def lose(world: World, payment: Payment, *hows: Break) -> None:
    """Submit while answers get lost: a rail that sends by itself must say that it does not know what came of it."""
    for how in hows:
        world.break_next(how)
    if world.can.hands_over_at_once:
        with pytest.raises(OutcomeUnknown):
            await hand_over(world, payment)
    else:
        await hand_over(world, payment)
    await world.until_broken()


async def pursue(world: World, payment: Payment) -> Status:
    """Do what a machine does: look, submit what is not found, look again, until there is an outcome."""
    status: Status = Unsent()
    for _ in range(MOST_ROUNDS):
        try:
            status = await world.rail.status(payment)
            if isinstance(status, Unsent):
                payment = await submit(world, payment)
        except (OutcomeUnknown, Retryable):
            pass
        if isinstance(status, Settled | Failed | Reversed):
            return status
        await world.pass_time(5)
    return status


# --- at most once ----------------------------------------------------------------------------------------------------


async def test_a_payment_is_paid_once_and_the_rail_proves_it(world: World) -> None:
    payment = await submit(world, world.payment())
    assert isinstance(await world.rail.status(payment), Pending)
    await world.pass_time(10)
    status = await world.rail.status(payment)
    assert isinstance(status, Settled)
    assert await world.proves(status.evidence, payment)
    assert await world.paid(payment) == [payment.amount.decimal]


@pytest.mark.parametrize("how", Break)
async def test_a_lost_answer_leaves_the_outcome_unknown_and_the_key_pays_once(world: World, how: Break) -> None:
    payment = world.payment()
    await lose(world, payment, how)
    assert not isinstance(await world.rail.status(payment), Failed)
    assert isinstance(await pursue(world, payment), Settled)
    await world.pass_time(3600)
    assert await world.paid(payment) == [payment.amount.decimal]


@pytest.mark.parametrize("how", Break)
async def test_a_submission_is_never_repeated_by_the_rail_itself(world: World, how: Break) -> None:
    await lose(world, world.payment(), how)
    assert world.submissions() == 1


async def test_answers_lost_again_and_again_still_pay_once(world: World) -> None:
    payment = world.payment()
    for how in Break:
        world.break_next(how)
    assert isinstance(await pursue(world, payment), Settled)
    await world.pass_time(3600)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_a_key_submitted_again_and_again_pays_once(world: World) -> None:
    payment = world.payment()
    for _ in range(4):
        payment = await submit(world, payment)
        await world.pass_time(2)
    await world.pass_time(3600)
    assert isinstance(await world.rail.status(await submit(world, payment)), Settled)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_the_same_key_submitted_at_the_same_time_pays_once(world: World) -> None:
    payment = world.payment()
    handles = await asyncio.gather(*(hand_over(world, payment) for _ in range(8)))
    assert len(set(handles)) == 1
    assert isinstance(await pursue(world, payment), Settled)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_a_payment_that_a_look_cannot_find_yet_is_paid_once(world: World) -> None:
    payment = world.payment(Who.IS_HIDDEN)
    await lose(world, payment, Break.RESET_ACCEPTED)
    assert isinstance(await world.rail.status(payment), Unsent if world.can.hides else Pending)
    assert isinstance(await pursue(world, payment), Settled)
    await world.pass_time(3600)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_what_landed_is_never_called_surely_not_done_because_a_look_at_it_failed(world: World) -> None:
    payment = await submit(world, world.payment())
    await world.pass_time(60)
    world.break_looks(2)
    with contextlib.suppress(OutcomeUnknown):  # and nothing else: a `Retryable` would say that nothing left
        await hand_over(world, payment)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_two_keys_are_two_payments(world: World) -> None:
    first, second = world.payment(), world.payment()
    assert isinstance(await pursue(world, first), Settled)
    assert isinstance(await pursue(world, second), Settled)
    assert await world.paid(first) == await world.paid(second) == [first.amount.decimal]


@pytest.mark.parametrize("place", range(6))
async def test_what_arrives_is_exactly_what_was_asked_for(world: World, place: int) -> None:
    payment = world.payment(amount=world.amounts[place])
    assert isinstance(await pursue(world, payment), Settled)
    assert await world.paid(payment) == [payment.amount.decimal]


# --- proof -----------------------------------------------------------------------------------------------------------


async def test_a_key_that_was_never_submitted_is_unsent_and_a_look_sends_nothing(world: World) -> None:
    payment = world.payment()
    for _ in range(3):
        assert isinstance(await world.rail.status(payment), Unsent)
        await world.pass_time(600)
    assert world.submissions() == 0
    assert await world.paid(payment) == []


async def test_a_failure_is_said_only_when_it_is_proven(world: World) -> None:
    payment = await submit(world, world.payment(Who.FAILS))
    assert isinstance(await world.rail.status(payment), Pending)
    await world.pass_time(10)
    status = await world.rail.status(payment)
    assert isinstance(status, Failed)
    assert status.reason
    assert status.evidence is not None
    assert await world.proves(status.evidence, payment, paid=False)
    assert await world.paid(payment) == []


async def test_looks_that_fail_say_nothing_about_the_payment(world: World) -> None:
    payment = await submit(world, world.payment(Who.FAILS))
    if world.can.asks_at_once:
        await world.pass_time(10)
    world.break_looks(2)
    if world.can.asks_at_once:
        with pytest.raises((Retryable, OutcomeUnknown)):
            await world.rail.status(payment)
    else:
        await world.pass_time(60)
    assert isinstance(await world.rail.status(payment), Failed)


async def test_a_look_is_repeated_by_the_rail_itself(world: World) -> None:
    payment = await submit(world, world.payment())
    await world.pass_time(10)
    world.break_looks(1)
    assert isinstance(await world.rail.status(payment), Settled)


async def test_a_payment_that_nothing_is_heard_of_stays_pending_for_ever(world: World) -> None:
    payment = await submit(world, world.payment(Who.STAYS))
    await world.pass_time(30 * 86_400)
    assert isinstance(await world.rail.status(payment), Pending)


async def test_a_success_that_is_undone_is_reversed_and_not_failed(world: World) -> None:
    payment = await submit(world, world.payment(Who.GIVES_BACK))
    await world.pass_time(10)
    assert isinstance(await world.rail.status(payment), Settled)
    await world.pass_time(86_400)
    status = await world.rail.status(payment)
    if not world.can.gives_back:
        assert isinstance(status, Settled), "what is final stays"
        assert await world.paid(payment) == [payment.amount.decimal]
        return
    assert isinstance(status, Reversed)
    assert sum(map(Decimal, await world.paid(payment))) == 0


async def test_the_same_outcome_has_the_same_evidence_whenever_it_is_looked_at(world: World) -> None:
    payment = await submit(world, world.payment())
    await world.pass_time(10)
    first = await world.rail.status(payment)
    await world.pass_time(86_400)
    assert await world.rail.status(payment) == first


# --- what a submission may be refused with ---------------------------------------------------------------------------


async def test_a_destination_that_is_refused_is_rejected_with_a_reason_and_not_paid(world: World) -> None:
    payment = world.payment(Who.IS_REFUSED)
    with pytest.raises(Rejected, match=r"\w"):
        await hand_over(world, payment)
    assert isinstance(await world.rail.status(payment), Unsent)
    assert await world.paid(payment) == []


async def test_a_rail_that_refuses_us_is_closed_and_pays_when_it_opens_again(world: World) -> None:
    payment = world.payment()
    world.shut(closed=True)
    if world.can.hands_over_at_once:
        with pytest.raises(RailClosed):
            await hand_over(world, payment)
    else:
        await hand_over(world, payment)
        await world.until_closed()
    assert await world.paid(payment) == []
    world.shut(closed=False)
    await world.reopened()
    assert isinstance(await pursue(world, payment), Settled)


async def test_an_empty_wallet_holds_that_payment_and_is_told_apart_from_a_bad_destination(world: World) -> None:
    payment = world.payment(Who.FINDS_US_SHORT)
    try:
        payment = await submit(world, payment)
    except Deferred:
        assert isinstance(await pursue(world, world.payment()), Settled), "others go on"
        return
    await world.pass_time(60)
    status = await world.rail.status(payment)
    if world.can.waits_for_money:
        assert isinstance(status, Pending)
        assert await world.paid(payment) == []
        await world.fill_wallet()
        assert isinstance(await pursue(world, payment), Settled)
        return
    assert isinstance(status, Failed)
    assert status.cause is Cause.WALLET


async def test_a_rail_that_asks_for_patience_is_tried_later_with_the_same_key(world: World) -> None:
    payment = world.payment(Who.IS_SLOWED_DOWN)
    if world.can.hands_over_at_once:
        with pytest.raises(Retryable) as refused:
            await hand_over(world, payment)
        assert not isinstance(refused.value, RailClosed)
        assert refused.value.after_s == 3
    else:
        await lose(world, payment)
    assert isinstance(await pursue(world, payment), Settled)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_approval_at_the_rail_is_waiting_and_neither_success_nor_failure(world: World) -> None:
    payment = await submit(world, world.payment(Who.NEEDS_APPROVAL))
    await world.pass_time(86_400)
    status = await world.rail.status(payment)
    if not world.can.asks_for_approval:
        assert isinstance(status, Settled), "nobody has to approve a transaction that is signed"
        return
    assert isinstance(status, Pending)
    assert await world.paid(payment) == []


# --- contradictions --------------------------------------------------------------------------------------------------


async def test_a_key_that_the_rail_knows_with_another_amount_is_a_contradiction(world: World) -> None:
    payment = await submit(world, world.payment())
    other = replace(payment, amount=Money(payment.amount.units + 1, payment.amount.asset))
    with pytest.raises(Contradiction):
        await hand_over(world, other)
    with pytest.raises(Contradiction):
        await world.rail.status(other)
    await world.pass_time(60)
    assert await world.paid(payment) == [payment.amount.decimal]


async def test_a_key_that_the_rail_knows_with_another_destination_is_a_contradiction(world: World) -> None:
    payment = await submit(world, world.payment())
    other = world.other_destination(payment)
    with pytest.raises(Contradiction):
        await hand_over(world, other)
    with pytest.raises(Contradiction):
        await world.rail.status(other)
    await world.pass_time(60)
    assert await world.paid(payment) == [payment.amount.decimal]
