"""The store was set back, and the rail shows attempts that the record has forgotten."""

import pytest

from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Evidence, Failed, PaymentKey, Pending, Reversed, Settled, Status, Trace
from machines.payout import facts as f
from machines.payout import lifecycle as s
from machines.payout.data import Attempt, parts_of, record_of, reference_of
from machines.payout.rediscovery import FORGOTTEN, installation_of, merged, number_of, recreated
from tests.machines.payout.scenes import ID, ONE, TWO, after, attempt, decide, failed, paid, payout

RECEIPT = Evidence("flutterwave", reference_of(ID, 2))


def told(*attempts: Attempt) -> f.Rediscovered:
    """What the rail has."""
    return f.Rediscovered(attempts, "otto")


@pytest.mark.parametrize(
    ("state", "known", "reached"),
    [
        (s.REQUESTED, (), ["APPROVED", "PROCESSING", "PROCESSING"]),
        (s.APPROVED, (), ["PROCESSING", "PROCESSING"]),
        (s.FAILED, (failed(),), ["PROCESSING", "PROCESSING"]),
        (s.PROCESSING, ONE, ["PROCESSING"]),
        (s.UNCONFIRMED, ONE, ["UNCONFIRMED"]),
    ],
)
def test_a_payout_goes_where_its_attempts_show_that_it_was(
    state: str, known: tuple[Attempt, ...], reached: list[str]
) -> None:
    found = attempt(len(known) + 1) if state not in (s.PROCESSING, s.UNCONFIRMED) else attempt()
    record = payout(state, attempts=known)
    states = []
    for _ in reached:
        record = after(record, told(*known, found))
        states.append(record.state)
    assert states == reached
    assert record.data.current == found
    # Whatever came of it, the payout's own rules take it from there.
    assert after(record, paid(found.reference)).state == s.COMPLETED


def test_attempts_that_all_failed_move_nothing_and_are_never_numbered_again() -> None:
    record = after(payout(s.APPROVED), told(failed(), failed(2)))
    assert record.state == s.APPROVED
    sent = after(record, f.Boarded("20270115-080000-batch"))
    assert sent.data.current is not None
    assert sent.data.current.reference == reference_of(ID, 3)


def test_a_number_that_nobody_knows_is_filled() -> None:
    """Attempt 1 was refused on the spot: neither the rail nor the store that was set back knows it."""
    data = merged(ID, payout(s.APPROVED).data, (attempt(2),))
    assert [one.reference for one in data.attempts] == [reference_of(ID, 1), reference_of(ID, 2)]
    assert data.attempts[0].failed == FORGOTTEN
    assert data.attempts[0].refused


def test_what_is_known_already_changes_nothing() -> None:
    assert not decide(payout(s.PROCESSING, attempts=TWO), told(*TWO)).recorded
    assert not decide(payout(s.COMPLETED, attempts=ONE), told(*ONE)).recorded
    # A retry that waits for its time is not hurried by an attempt that is known to have failed.
    assert not decide(payout(s.FAILED, attempts=(failed(),)), told(failed())).recorded


def test_a_finished_payout_only_remembers() -> None:
    for state in (s.COMPLETED, s.CANCELLED, s.REJECTED, s.REVERSED, s.CONTRADICTED):
        record = after(payout(state), told(attempt()))
        assert record.state == state
        assert record.data.attempts == (attempt(),)


def trace(number: int, status: Status) -> tuple[Trace, Attempt]:
    """What the rail lists of an attempt, and what we make of it."""
    key = PaymentKey(reference_of(ID, number))
    found = Trace(key, f"handle {number}", Money(2_000, NGN), Destination("bank", ()), status)
    return found, Attempt(key, f"sealed {number}", sent=True, place=f"place {number}")


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ([Settled(RECEIPT)], s.COMPLETED),
        ([Failed("no", retryable=True), Settled(RECEIPT)], s.COMPLETED),
        ([Settled(RECEIPT), Pending()], s.COMPLETED),
        ([Pending("approval")], s.PROCESSING),
        ([Reversed(RECEIPT)], s.REVERSED),
    ],
)
def test_a_payout_of_which_nothing_is_left_is_made_again(statuses: list[Status], state: str) -> None:
    found = [trace(number, status) for number, status in enumerate(statuses, 1)]
    reached, new = recreated(RecordId(ID), Owner("ann"), "flutterwave", found, "••••6789")
    assert reached == state
    assert new.amount == Money(2_000, NGN)
    assert [one.reference for one in new.data.attempts] == [one.key for one, _ in found]
    assert [(one.sealed, one.place) for one in new.data.attempts] == [(one.sealed, one.place) for _, one in found]
    assert (new.data.sealed, new.data.place) == (new.data.attempts[-1].sealed, new.data.attempts[-1].place)
    assert bool(new.data.paid_by) == (state == s.COMPLETED)
    assert [bool(one.failed) for one in new.data.attempts] == [isinstance(one, Failed | Reversed) for one in statuses]


@pytest.mark.parametrize("installation", ["", "k3vq"])
def test_a_reference_says_which_payout_installation_and_attempt_it_names(installation: str) -> None:
    for number in (1, 12, 2345):
        reference = reference_of(ID, number, installation)
        assert parts_of(reference) == (ID, installation, number)
        assert (record_of(reference), number_of(reference)) == (ID, number)
        assert installation_of(reference) == installation
        assert len(reference) <= 42


def test_references_of_two_installations_of_one_payout_are_both_kept_and_none_is_used_again() -> None:
    ours, older = reference_of(ID, 1, "k3vq"), reference_of(ID, 1)
    before = payout(s.PROCESSING, installation="k3vq", attempts=(Attempt(ours, "sealed account", sent=True),))
    data = merged(ID, before.data, (Attempt(older, "sealed account", sent=True, failed="no"),))
    assert [one.reference for one in data.attempts] == [older, ours]
    again = data.with_attempt(ours, failed="no").next_attempt(ID, 1)
    assert again.attempts[-1].reference == reference_of(ID, 3, "k3vq")
