"""Grouping, calldata, policy and the search for suspects, at their limits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.chain import Address, ChainHead, Log
from machines.core.clock import SECOND, Millis
from machines.transaction import calldata
from machines.transaction import lifecycle as s
from machines.transaction.calldata import suspects
from machines.transaction.grouping import batch_id, bundles, joins, waits_for_company
from machines.transaction.policy import NOTHING, LanePolicy
from tests.machines.transaction.scenes import ADA, GWEI, NOW, TOKEN, US, hash_of, payment, receipt, seen

POLICY = LanePolicy(batch_size=4, batch_from=3)


# ── policy ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def head(number: int, finalized: int | None) -> ChainHead:
    return ChainHead(number, hash_of(number), 0, None, finalized)


@pytest.mark.parametrize(
    ("asked", "finalized", "settled", "proven"),
    [
        (False, None, 89, 89),
        (False, 60, 89, 60),
        (False, 100, 89, 89),
        (True, 60, 60, 60),
        (True, 100, 100, 89),
        (True, None, NOTHING, NOTHING),
        (True, 0, 0, 0),
    ],
)
def test_what_counts_and_what_proves(*, asked: bool, finalized: int | None, settled: int, proven: int) -> None:
    policy = LanePolicy(depth=12, finalized=asked)
    at = head(100, finalized)
    assert (policy.settled_up_to(at), policy.proven_up_to(at)) == (settled, proven)


@given(number=st.integers(0, 10**8), finalized=st.none() | st.integers(0, 10**8), depth=st.integers(1, 10_000))
def test_proof_never_asks_for_less_than_success(number: int, finalized: int | None, depth: int) -> None:
    for asked in (False, True):
        policy = LanePolicy(depth=depth, finalized=asked)
        assert policy.proven_up_to(head(number, finalized)) <= policy.settled_up_to(head(number, finalized))


# ── grouping ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(
    kinds=st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([0, 1, 2]), st.booleans()), max_size=25),
    size=st.integers(1, 6),
)
def test_each_payment_is_in_one_bundle_and_bundles_are_small_enough(
    kinds: list[tuple[bool, bool, int, bool]], size: int
) -> None:
    queued = [
        payment(
            number, token=TOKEN if token else None, batchable=batchable, most_together=most, to=ADA if there else US
        )
        for number, (token, batchable, most, there) in enumerate(kinds)
    ]
    policy = replace(POLICY, batch_size=size)
    found = bundles(queued, {ADA}, policy)
    flat = [one.id for bundle in found for one in bundle.payments]
    assert sorted(flat) == sorted(one.id for one in queued)
    for bundle in found:
        assert len(bundle.payments) <= size
        assert len({one.data.token for one in bundle.payments}) == 1
        if not bundle.alone:
            assert all(joins(one, policy) for one in bundle.payments)
            assert all(len(bundle.payments) <= (one.data.most_together or size) for one in bundle.payments)
            assert bundle.token is not None or all(one.data.to == ADA for one in bundle.payments)
    firsts = [bundle.payments[0].id for bundle in found]
    order = [one.id for one in queued]
    assert firsts == sorted(firsts, key=order.index), "the oldest first"


def test_fewer_than_pay_together_are_paid_alone() -> None:
    assert [len(one.payments) for one in bundles([payment(1), payment(2)], {ADA}, POLICY)] == [1, 1]
    assert [len(one.payments) for one in bundles([payment(n) for n in range(3)], {ADA}, POLICY)] == [3]


def test_an_amount_that_does_not_fit_into_a_batch_is_paid_alone() -> None:
    assert joins(payment(value_wei=str(2**96 - 1)), POLICY)
    assert not joins(payment(value_wei=str(2**96)), POLICY)


@pytest.mark.parametrize(("waited_s", "left_s"), [(0, 5), (4, 1), (5, 0), (60, 0)])
def test_payments_wait_for_company_no_longer_than_they_may(waited_s: int, left_s: float) -> None:
    policy = replace(POLICY, batch_wait_s=5)
    now = Millis(NOW + waited_s * SECOND)
    assert waits_for_company([payment(1), payment(2)], policy, now) == left_s
    assert waits_for_company([payment(n) for n in range(4)], policy, now) == 0
    assert waits_for_company([payment(1), payment(2, batchable=False)], policy, now) == 0
    assert waits_for_company([], policy, now) == 0


def test_a_batch_has_an_id_of_its_own_for_each_nonce_and_list() -> None:
    ids = {
        batch_id("one", 1, ["a", "b"]),
        batch_id("one", 2, ["a", "b"]),
        batch_id("one", 1, ["a"]),
        batch_id("x", 1, []),
    }
    assert len(ids) == 4


# ── calldata ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def packed(units: int, to: Address) -> str:
    return f"{units:024x}{to[2:].lower()}"


def test_a_transaction_does_what_a_payment_asks_for_only_when_all_of_it_is_the_same() -> None:
    plain, token = payment().data, payment(token=TOKEN).data
    assert calldata.does(seen(to=ADA, wei=GWEI), plain)
    assert calldata.does(seen(to=Address(ADA.lower()), wei=GWEI), plain)
    assert not calldata.does(seen(to=ADA, wei=GWEI - 1), plain)
    assert not calldata.does(seen(to=US, wei=GWEI), plain)
    assert not calldata.does(seen(to=ADA, wei=GWEI, data="0x00"), plain)
    assert calldata.does(seen(to=TOKEN, wei=0, data=calldata.asked(token)[2]), token)
    assert not calldata.does(seen(to=TOKEN, wei=0, data=calldata.asked(replace(token, value_wei="1"))[2]), token)


def test_a_creation_is_done_by_the_same_creation_only() -> None:
    made = payment(to=None, data="0x6001", value_wei="0").data
    assert calldata.does(seen(to=None, wei=0, data="0x6001"), made)
    assert not calldata.does(seen(to=ADA, wei=0, data="0x6001"), made)


def transfer(to: Address, units: int, token: Address = TOKEN, *, sender: Address = US) -> Log:
    return Log(token, (calldata.TRANSFERRED, f"0x{calldata.word(sender)}", f"0x{calldata.word(to)}"), f"0x{units:064x}")


@pytest.mark.parametrize(
    ("logs", "came"),
    [
        ((transfer(ADA, GWEI),), GWEI),
        ((transfer(ADA, GWEI - 10),), GWEI - 10),  # a token that keeps a fee
        ((transfer(ADA, GWEI), transfer(US, 10, sender=ADA)), GWEI - 10),  # and one that takes it back
        ((transfer(ADA, GWEI), transfer(ADA, 5, sender=ADA)), GWEI),
        ((transfer(ADA, GWEI), transfer(ADA, GWEI)), 2 * GWEI),
        ((transfer(ADA, 0),), 0),
        ((transfer(US, GWEI),), 0),
        ((transfer(ADA, GWEI, ADA),), 0),
        ((Log(TOKEN, (calldata.TRANSFERRED,), f"0x{GWEI:064x}"),), 0),
        ((Log(TOKEN, (), ""),), 0),
    ],
)
def test_what_came_to_somebody_is_what_the_tokens_own_events_say(*, logs: tuple[Log, ...], came: int) -> None:
    assert calldata.came_to(receipt(hash_of(1), logs=logs), TOKEN, ADA) == came


def test_a_batch_from_outside_is_suspected_of_each_payment_that_it_names() -> None:
    calldata = "0xdb47795b" + "00" * 32 + packed(GWEI, ADA) + packed(2 * GWEI, US)
    batch = seen(to=TOKEN, wei=3 * GWEI, data=calldata)
    named, dearer, elsewhere = payment(1), payment(2, value_wei=str(3 * GWEI)), payment(3, to=TOKEN)
    found = suspects([batch], [named, dearer, elsewhere])
    assert [one.payment for one in found] == [named.id]


def test_a_call_through_another_contract_is_found_wherever_its_words_begin() -> None:
    inner = calldata.asked(payment(token=TOKEN).data)[2][2:]
    nested = seen(to=US, wei=0, data="0x12345678" + TOKEN[2:].lower().rjust(64, "0") + inner)
    assert suspects([nested], [payment(token=TOKEN)])
    assert not suspects([seen(to=US, wei=0, data="0x12345678" + inner)], [payment(token=TOKEN)]), "no token is named"


def test_of_payments_alike_one_transaction_is_suspected_of_one() -> None:
    twins = [payment(number) for number in range(3)]
    plain = seen(to=ADA, wei=GWEI)
    assert len(suspects([plain], twins)) == 1
    assert len(suspects([plain, seen(hash_of(98), to=ADA, wei=GWEI)], twins)) == 2
    batch = seen(to=TOKEN, wei=2 * GWEI, data="0x" + packed(GWEI, ADA) * 2)
    assert len(suspects([batch], twins)) == 2


def test_a_call_is_suspected_only_of_itself() -> None:
    call = payment(data="0x12345678", value_wei="0", batchable=False)
    assert suspects([seen(to=ADA, wei=0, data="0x12345678")], [call])
    assert not suspects([seen(to=ADA, wei=0, data="0x1234567800")], [call])
    assert call.state == s.QUEUED
