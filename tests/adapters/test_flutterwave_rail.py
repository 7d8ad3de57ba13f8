"""What only Flutterwave's rail has to cope with: retries clicked in the dashboard, lost ids, two versions."""

from dataclasses import replace

import pytest

from adapters.flutterwave import wire_v4
from adapters.flutterwave.rail import MOST_RETRIES, FlutterwaveV3, FlutterwaveV4
from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import Ends, Fate
from adapters.sandbox.transfers import SimulatedTransfer
from machines.core.clock import FixedClock
from machines.core.errors import Contradiction, Deferred, OutcomeUnknown, RailClosed, Retryable
from machines.core.ports import Cause, Failed, Payment, Pending, Settled, Unsent
from tests.adapters.conftest import payment

FAILS, VAGUE, PAYS = "0100000002", "0100000006", "0123456789"


async def failed(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> tuple[Payment, SimulatedTransfer]:
    """Let a payment fail, for no reason that is known."""
    sent = payment(VAGUE)
    await v3.submit(sent)
    clock.advance(10)
    await gateway.catch_up()
    transfer = gateway.transfers.by_reference(sent.key)
    assert transfer is not None
    return sent, transfer


# --- retries in the gateway's own dashboard --------------------------------------------------------------------------


async def test_a_retry_that_is_paid_pays_the_payment(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent, transfer = await failed(v3, gateway, clock)
    assert isinstance(await v3.status(sent), Failed)
    retry = gateway.transfers.retry(transfer, chosen=Fate(Ends.PAID))
    assert isinstance(await v3.status(sent), Pending)
    clock.advance(10)
    status = await v3.status(sent)
    assert isinstance(status, Settled)
    assert status.evidence.reference == f"{sent.key}_RETRY_1" == retry.reference
    assert gateway.book.times_paid(sent.key) == 1


async def test_a_payment_failed_only_when_its_last_retry_failed(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent, transfer = await failed(v3, gateway, clock)
    first = gateway.transfers.retry(transfer, chosen=Fate(Ends.FAILED, message="Account resolve failed"))
    clock.advance(10)
    status = await v3.status(sent)
    assert isinstance(status, Failed)
    assert status.cause is Cause.DESTINATION
    gateway.transfers.retry(first, chosen=Fate(Ends.PAID))  # the retry of a retry hangs on the retry
    assert isinstance(await v3.status(sent), Pending)
    clock.advance(10)
    assert isinstance(await v3.status(sent), Settled)


async def test_retries_that_cannot_be_read_leave_the_failure_unproven(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent, _ = await failed(v3, gateway, clock)
    retries = "GET /v3/transfers/*/retries"
    gateway.faults.add(Fault(Kind.UNAVAILABLE, where=retries, times=2))
    with pytest.raises(Retryable):
        await v3.status(sent)
    for kind in (Kind.TRUNCATED, Kind.EMPTY, Kind.UNTRUE):
        gateway.faults.add(Fault(kind, created=True, where=retries))
        with pytest.raises(OutcomeUnknown):
            await v3.status(sent)
    assert isinstance(await v3.status(sent), Failed)


async def test_of_two_retries_that_are_paid_each_is_told(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent, transfer = await failed(v3, gateway, clock)
    first, second = (gateway.transfers.retry(transfer, chosen=Fate(Ends.PAID)) for _ in range(2))
    clock.advance(10)
    status = await v3.status(sent)
    assert isinstance(status, Settled)
    assert (status.evidence.reference, status.repeated) == (first.reference, True)
    assert [proof.reference for proof in status.also] == [second.reference]
    assert status.over == (sent.key,)
    gateway.transfers.reverse(first)
    left = await v3.status(sent)
    assert isinstance(left, Settled)
    assert (left.evidence.reference, left.also, set(left.over)) == (second.reference, (), {sent.key, first.reference})


async def test_retries_without_end_are_not_followed_without_end(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent, transfer = await failed(v3, gateway, clock)
    for _ in range(MOST_RETRIES + 1):
        transfer = gateway.transfers.retry(transfer, chosen=Fate(Ends.FAILED, after_s=0))
        clock.advance(1)
        gateway.agenda.run()
    with pytest.raises(OutcomeUnknown):
        await v3.status(sent)


async def test_v4_told_of_a_retry_by_a_webhook_reads_it_together_with_the_original(
    v4: FlutterwaveV4, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent = payment(VAGUE)
    await v4.submit(sent)
    clock.advance(10)
    await gateway.catch_up()
    transfer = gateway.transfers.by_reference(sent.key)
    assert transfer is not None
    retry = gateway.transfers.retry(transfer, "their-own-reference", Fate(Ends.PAID))
    told = replace(sent, handle=f"trf_{retry.id}")
    assert isinstance(await v4.status(told), Pending)
    clock.advance(10)
    assert isinstance(await v4.status(told), Settled)


async def test_v4_told_of_the_retry_of_a_retry_follows_it_up_to_the_original(
    v4: FlutterwaveV4, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent = payment(VAGUE)
    await v4.submit(sent)
    clock.advance(10)
    await gateway.catch_up()
    transfer = gateway.transfers.by_reference(sent.key)
    assert transfer is not None
    first = gateway.transfers.retry(transfer, chosen=Fate(Ends.FAILED, message="no"))
    clock.advance(10)
    await gateway.catch_up()
    told = replace(sent, handle=f"trf_{first.id}")
    assert isinstance(await v4.status(told), Failed)
    second = gateway.transfers.retry(first, "their-own-reference", Fate(Ends.PAID))
    clock.advance(10)
    status = await v4.status(replace(sent, handle=f"trf_{second.id}"))
    assert isinstance(status, Settled)
    assert (status.evidence.reference, status.repeated) == ("their-own-reference", True)
    assert set(status.over) == {sent.key, first.reference}


async def test_v4_follows_the_parents_of_a_transfer_not_without_end(
    v4: FlutterwaveV4, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    sent = payment(VAGUE)
    await v4.submit(sent)
    transfer = gateway.transfers.by_reference(sent.key)
    assert transfer is not None
    for _ in range(MOST_RETRIES + 1):
        clock.advance(10)
        await gateway.catch_up()
        transfer = gateway.transfers.retry(transfer, chosen=Fate(Ends.FAILED, after_s=0))
    with pytest.raises(OutcomeUnknown):
        await v4.status(replace(sent, handle=f"trf_{transfer.id}"))


async def test_v4_does_not_believe_an_id_of_somebody_elses_transfer(v4: FlutterwaveV4) -> None:
    handle = await v4.submit(payment(amount="5"))
    assert handle
    with pytest.raises(OutcomeUnknown):
        await v4.status(payment(amount="5", handle=handle))
    with pytest.raises(OutcomeUnknown):
        await v4.status(payment(handle="trf_999/../1"))


async def test_two_transfers_with_one_reference_are_a_contradiction(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator
) -> None:
    sent = payment()
    await v3.submit(sent)
    (transfer,) = gateway.transfers.all
    gateway.transfers.under[transfer.reference].append(transfer)
    with pytest.raises(Contradiction, match="2 transfers"):
        await v3.status(sent)


async def test_an_answer_about_another_payment_is_a_contradiction(
    v4: FlutterwaveV4, gateway: FlutterwaveSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_v4, "idempotency_key", lambda _: "one-key-for-all")
    await v4.submit(payment())
    with pytest.raises(Contradiction, match="answered"):
        await v4.submit(payment())
    assert len(gateway.transfers.all) == 1


# --- lost answers ----------------------------------------------------------------------------------------------------


async def test_v3_adopts_what_an_earlier_call_left_and_names_its_id(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator
) -> None:
    sent = payment()
    gateway.faults.add(Fault(Kind.RESET, created=True))
    with pytest.raises(OutcomeUnknown):
        await v3.submit(sent)
    transfer = gateway.transfers.by_reference(sent.key)
    assert transfer is not None
    assert await v3.submit(sent) == str(transfer.id)


async def test_v3_says_unknown_when_what_landed_cannot_be_read(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator
) -> None:
    sent = payment()
    await v3.submit(sent)
    gateway.faults.add(Fault(Kind.UNAVAILABLE, where="GET /v3/transfers", times=2))
    with pytest.raises(OutcomeUnknown):
        await v3.submit(sent)
    gateway.faults.add(Fault(Kind.RATE_LIMITED, where="GET /v3/transfers"))
    with pytest.raises(OutcomeUnknown):
        await v3.submit(sent)


async def test_v3_accepts_that_what_landed_is_not_to_be_seen_yet(v3: FlutterwaveV3, clock: FixedClock) -> None:
    sent = payment("0100000042")
    await v3.submit(sent)
    assert await v3.submit(sent) is None
    assert isinstance(await v3.status(sent), Unsent)
    clock.advance(31)
    assert isinstance(await v3.status(sent), Settled)


async def test_v4_gets_the_id_back_by_submitting_once_more(v4: FlutterwaveV4, gateway: FlutterwaveSimulator) -> None:
    sent = payment()
    gateway.faults.add(Fault(Kind.CUT, created=True))
    with pytest.raises(OutcomeUnknown):
        await v4.submit(sent)
    assert isinstance(await v4.status(sent), Unsent)
    handle = await v4.submit(sent)
    assert isinstance(await v4.status(replace(sent, handle=handle or "")), Pending)
    assert len(gateway.transfers.all) == 1


async def test_v4_says_unknown_when_the_gateway_has_forgotten_the_key_but_not_the_reference(
    v4: FlutterwaveV4, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    gateway.v4.habits.key_ttl_s = 60
    sent = payment()
    await v4.submit(sent)
    clock.advance(61)
    with pytest.raises(OutcomeUnknown):
        await v4.submit(sent)
    assert len(gateway.transfers.all) == 1


# --- our side of the gateway -----------------------------------------------------------------------------------------


async def test_an_empty_wallet_is_a_failure_that_blames_the_wallet(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    gateway.transfers.wallets["NGN"] = gateway.transfers.wallets["NGN"] * 0
    sent = payment()
    await v3.submit(sent)
    clock.advance(10)
    status = await v3.status(sent)
    assert isinstance(status, Failed)
    assert (status.cause, status.retryable) == (Cause.WALLET, True)


@pytest.mark.parametrize(
    ("switch", "value"),
    [("key_revoked", True), ("address_listed", False)],
)
async def test_what_is_wrong_with_our_account_closes_the_rail(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, switch: str, value: object
) -> None:
    sent = payment()
    await v3.submit(sent)
    setattr(gateway.transfers.switches, switch, value)
    with pytest.raises(RailClosed) as closed:
        await v3.submit(payment())
    assert closed.value.rail == "flutterwave"
    assert closed.value.code, "it speaks of every payment, so that a probe can tell when it is over"
    with pytest.raises(RailClosed):
        await v3.status(sent)
    assert len(gateway.transfers.all) == 1


async def test_a_wallet_that_is_told_to_be_short_at_once_holds_that_payment(
    v3: FlutterwaveV3, v4: FlutterwaveV4, gateway: FlutterwaveSimulator
) -> None:
    gateway.transfers.switches.short_at_once = True
    gateway.transfers.wallets["NGN"] = gateway.transfers.wallets["NGN"] * 0
    for rail in (v3, v4):
        with pytest.raises(Deferred):
            await rail.submit(payment())


async def test_approval_is_waited_for_and_named(v3: FlutterwaveV3, gateway: FlutterwaveSimulator) -> None:
    gateway.transfers.switches.approval = True
    sent = payment()
    await v3.submit(sent)
    status = await v3.status(sent)
    assert isinstance(status, Pending)
    assert status.waiting_for == "approval"


async def test_v3_reversed_as_failed_is_a_failure_and_the_record_must_contradict_it(
    v3: FlutterwaveV3, gateway: FlutterwaveSimulator, clock: FixedClock
) -> None:
    gateway.v3.words.reversal = "FAILED"
    sent = payment("0100000012")
    await v3.submit(sent)
    clock.advance(6)
    assert isinstance(await v3.status(sent), Settled)
    clock.advance(100)
    assert isinstance(await v3.status(sent), Failed)
