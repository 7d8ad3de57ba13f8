"""The mark of a send: written before anything leaves, taken off by whoever says what came of it, and by nobody else."""

from dataclasses import replace

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import keep
from machines.core.errors import Conflict, OutcomeUnknown, Retryable
from machines.core.facts import Fact, Nothing
from machines.core.ids import RecordId
from machines.core.ports import Step
from machines.core.record import Record, Sending
from payflow.store.stored import Stored
from tests.engine.office import LEASE_MS, Office
from tests.errand import Done, ErrandData


async def sending(office: Office, record_id: RecordId) -> Sending:
    return (await office.store.records.read(record_id)).record.sending


def sends(office: Office, error: Exception | None = None) -> None:
    """Let a look ask for leave to send, and then go on or break."""

    async def act(_: Record[ErrandData], step: Step) -> Fact:
        await step.may_send("rail:test")
        if error is not None:
            raise error
        return Done("receipt")

    office.acts["SENDING"] = act


async def begun(office: Office) -> Stored:
    """Lease a record and mark it as sending, as the act right before its send does."""
    stored = await office.claim("SENDING")
    await office.store.may_send(stored, LEASE_MS, "rail:test")
    return stored


async def test_it_stands_on_the_record_before_anything_leaves_and_for_whoever_reads_it(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    stored = await begun(still_office)
    assert stored.record.sending is Sending.NO
    assert await sending(still_office, record_id) is Sending.UNDER_WAY


async def test_whoever_comes_after_a_crash_is_told_that_something_may_have_left(
    still_office: Office, clock: FixedClock
) -> None:
    await still_office.one_in("SENDING")
    await begun(still_office)
    clock.advance(11)
    assert (await still_office.claim("SENDING")).record.sending is Sending.LOST


async def test_a_look_that_says_what_came_of_it_takes_it_off(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    sends(still_office)
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await sending(still_office, record_id) is Sending.NO


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (Retryable("slow down"), Sending.NO),
        (OutcomeUnknown("a time-out"), Sending.NO),  # the fact of it is written
        (RuntimeError("a bug after the send"), Sending.LOST),
    ],
)
async def test_an_error_takes_it_off_only_where_it_says_what_left(
    still_office: Office, error: Exception, left: Sending
) -> None:
    record_id = await still_office.one_in("SENDING")
    sends(still_office, error)
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await sending(still_office, record_id) is left


async def test_a_worker_that_is_stopped_in_the_middle_of_a_send_leaves_it(still_office: Office) -> None:
    record_id = await still_office.one_in("SENDING")
    await still_office.steps().hand_back(await begun(still_office))
    assert await sending(still_office, record_id) is Sending.LOST


async def test_a_later_look_that_sent_nothing_says_nothing_of_an_earlier_send(
    still_office: Office, clock: FixedClock
) -> None:
    record_id = await still_office.one_in("SENDING")
    await begun(still_office)
    clock.advance(11)

    async def cannot_ask(_: Record[ErrandData], __: Step) -> Fact:
        raise Retryable("503")

    still_office.acts["SENDING"] = cannot_ask
    await still_office.steps().look(await still_office.claim("SENDING"))
    assert await sending(still_office, record_id) is Sending.LOST


async def test_a_decision_that_stands_on_nothing_having_left_is_not_written_once_something_may_have(
    still_office: Office,
) -> None:
    record_id = await still_office.one_in("SENDING")
    records = still_office.store.records
    seen = await records.read(record_id)
    decision = replace(keep("nothing left"), unsent=True)
    after = await records.commit(seen, decision, Nothing(), "ann")
    seen = await records.read(record_id)
    assert seen.record.version == after.version
    await begun(still_office)
    with pytest.raises(Conflict):
        await records.commit(seen, decision, Nothing(), "ann")
    await records.commit(seen, keep("seen"), Nothing(), "ann")
