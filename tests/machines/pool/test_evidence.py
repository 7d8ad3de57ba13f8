"""What a chain proves about a payment that another payer left in the middle; the ports are faked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import pytest

from machines.core.chain import Address, Chain, ChainHead, Receipt, Seen, TxHash
from machines.core.errors import Retryable
from machines.pool.evidence import BEFORE_S, MARGIN_S, ChainOutcome, InHistory, UnprovenPayment, Verdict, check, judge

POOL, MINER, OTHER = Address("0xPool"), Address("0x" + "Ab" * 20), Address("0xOther")
GWEI = 10**9
WEI = 600 * GWEI
AT = 1_000_000
BLOCK_S = 10
ROW = 10_000
"""The block of the row's time."""


def tx(name: str) -> TxHash:
    """A hash with a name."""
    return TxHash(f"0x{name}")


@dataclass
class World:
    """A chain of ten-second blocks, of which the newest are not certain; and what the pool's address sent."""

    height: int = ROW + 70
    sent_by_pool: list[Seen] = field(default_factory=list)
    failed: set[TxHash] = field(default_factory=set)
    waiting: int = 0
    hidden: set[TxHash] = field(default_factory=set)
    """What the pool's own node does not show."""
    is_pruned: bool = False
    """Whether the lane's nodes have forgotten old states."""

    def sends(
        self,
        name: str,
        block: int | None,
        *,
        to: Address = MINER,
        wei: int = WEI,
        nonce: int | None = None,
        data: str = "0x",
    ) -> None:
        """Let the pool's address send something."""
        number = len(self.sent_by_pool) if nonce is None else nonce
        self.sent_by_pool.append(Seen(tx(name), POOL, number, to, wei, data, block))

    async def head(self) -> ChainHead:
        return ChainHead(self.height, "0x", AT + (self.height - ROW) * BLOCK_S, None, None)

    async def nonce(self, _: Address, block: int | Literal["latest", "pending"] = "latest") -> int:
        if isinstance(block, int):
            if self.is_pruned and block < self.height:
                raise Retryable("missing trie node")
            return sum(one.block is not None and one.block <= block for one in self.sent_by_pool)
        mined = sum(one.block is not None for one in self.sent_by_pool)
        return mined + (self.waiting if block == "pending" else 0)

    async def transaction(self, wanted: TxHash) -> Seen | None:
        return next((one for one in self.sent_by_pool if one.hash == wanted), None)

    async def receipt(self, wanted: TxHash) -> Receipt | None:
        seen = await self.transaction(wanted)
        if seen is None or seen.block is None:
            return None
        return Receipt(wanted, seen.block, "0xb", wanted not in self.failed, 21_000, 1)

    async def sent(self, _: Address, first: int, last: int) -> Sequence[Seen]:
        shown = [one for one in self.sent_by_pool if one.block is not None and first <= one.block <= last]
        return [one for one in shown if one.hash not in self.hidden]

    async def block_before(self, second: int) -> int:
        return max(0, ROW + (second - 1 - AT) // BLOCK_S)

    async def time_of(self, block: int) -> int:
        return AT + (block - ROW) * BLOCK_S

    def settled_up_to(self, head: ChainHead) -> int:
        return head.number - 11

    def proven_up_to(self, head: ChainHead) -> int:
        return head.number - 20


LATE = ROW + MARGIN_S // BLOCK_S + 1


async def judged(world: World, **changes: object) -> Verdict:
    """Judge the payment that was taken off in the row's block."""
    case = UnprovenPayment(POOL, MINER, 600, AT, **changes)  # type: ignore[arg-type]
    return await judge(cast("Chain", world), world, case, world)


async def test_a_payment_in_a_certain_block_is_paid() -> None:
    world = World()
    world.sends("a", ROW + 1)
    verdict = await judged(world)
    assert verdict.outcome is ChainOutcome.PAID
    assert verdict.evidence is not None
    assert verdict.evidence.reference == tx("a")


@pytest.mark.parametrize(("block", "failed"), [(ROW + 60, False), (ROW + 55, True), (ROW + 65, True)])
async def test_a_block_that_is_not_certain_proves_nothing(block: int, failed: bool) -> None:  # noqa: FBT001
    world = World(failed={tx("a")} if failed else set())
    world.sends("a", block)
    assert (await judged(world)).outcome is ChainOutcome.UNKNOWN


async def test_a_failed_payment_in_a_final_block_is_unpaid() -> None:
    world = World(failed={tx("a")})
    world.sends("a", ROW + 10)
    assert (await judged(world)).outcome is ChainOutcome.UNPAID


def booked(name: str, shannon: int, at_s: int = AT, charge_wei: int = 0) -> dict[str, object]:
    """A history with one payment."""
    return {"history": (InHistory(tx(name), shannon, at_s, charge_wei),)}


async def test_a_transaction_that_is_booked_over_this_very_amount_is_this_payment() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1)
    world.sends("b", LATE, to=OTHER)
    for at_s in (AT, AT + 1, AT + 999_999):
        verdict = await judged(world, **booked("a", 600, at_s))
        assert verdict.outcome is ChainOutcome.PAID
        assert verdict.evidence is not None
        assert verdict.evidence.reference == tx("a")


async def test_what_was_booked_before_the_row_was_written_may_be_for_an_earlier_payment() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW - 5)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world, **booked("a", 600, AT - 1))
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)


async def test_what_is_booked_over_another_amount_and_carried_it_accounts_for_itself() -> None:
    for value_wei, charge_wei in ((700 * GWEI, 0), (700 * GWEI - 5, 5)):
        world = World(height=LATE + 30)
        world.sends("a", ROW + 1, wei=value_wei)
        world.sends("b", LATE, to=OTHER)
        assert (await judged(world, **booked("a", 700, charge_wei=charge_wei))).outcome is ChainOutcome.UNPAID


@pytest.mark.parametrize("value_wei", [WEI, WEI - 1, 5])
async def test_what_is_booked_over_an_amount_that_it_did_not_carry_may_be_this_payment(value_wei: int) -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1, wei=value_wei)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world, **booked("a", 700))
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)


@pytest.mark.parametrize("value_wei", [WEI - 1, WEI // 2, WEI + 1, 5])
async def test_whatever_else_went_to_the_miner_and_is_accounted_for_by_nothing_may_be_this_payment(
    value_wei: int,
) -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1, wei=value_wei)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world)
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)
    assert tx("a") in verdict.why


async def test_a_charge_that_the_file_does_not_name_any_more_may_have_been_kept_back() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1, wei=WEI - 5)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, charge_wei=7, most_charge_wei=9)).outcome is ChainOutcome.UNKNOWN
    named = await check(
        cast("Chain", world), UnprovenPayment(POOL, MINER, 600, AT, 7, most_charge_wei=9), tx("a"), world
    )
    assert named.outcome is ChainOutcome.PAID
    assert named.evidence is not None
    assert dict(named.evidence.details)["charge_wei"] == "5"


async def test_two_transactions_over_this_amount_leave_it_open_which_one_was_it() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1)
    world.sends("c", ROW + 2)
    verdict = await judged(world, **booked("a", 600))
    assert verdict.outcome is ChainOutcome.UNKNOWN
    assert tx("c") in verdict.why


async def test_one_transaction_for_two_rows_that_it_may_be_leaves_both_open() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, charge_wei=GWEI, others=frozenset({601}))).outcome is ChainOutcome.UNKNOWN
    assert (await judged(world, charge_wei=GWEI, others=frozenset({700}))).outcome is ChainOutcome.PAID


async def test_what_carried_the_amount_of_another_row_of_the_miner_is_that_row() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1, wei=700 * GWEI)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, others=frozenset({700}))).outcome is ChainOutcome.UNPAID


async def test_what_a_record_of_ours_accounts_for_is_no_other_payment() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, ours=frozenset({tx("a")}), **booked("a", 600))).outcome is ChainOutcome.UNPAID


async def test_a_booked_hash_that_no_block_shows_may_be_mistyped() -> None:
    world = World(height=LATE + 30)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world, **booked("typo", 600))
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)


async def test_a_clock_that_was_fast_when_the_row_was_written_hides_nothing() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW - (BEFORE_S - 60) // BLOCK_S)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world)).outcome is ChainOutcome.PAID


@pytest.mark.parametrize(("ahead_s", "words"), [(-MARGIN_S - 1, "behind the chain"), (BEFORE_S + 1, "seconds old")])
async def test_clocks_that_are_apart_prove_nothing(ahead_s: int, words: str) -> None:
    world = World(height=LATE + 30)
    world.sends("b", LATE, to=OTHER)
    now_s = (await world.head()).timestamp_s
    verdict = await judged(world, clock_s=now_s + ahead_s)
    assert (verdict.outcome, words in verdict.why) == (ChainOutcome.UNKNOWN, True)
    assert (await judged(world, clock_s=now_s)).outcome is ChainOutcome.UNPAID


async def test_a_node_that_leaves_out_what_others_count_proves_nothing() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW + 1)
    world.sends("b", LATE, to=OTHER)
    for name in "ab":
        world.hidden = {tx(name)}
        assert "does not show all" in (await judged(world)).why
    world.is_pruned = True
    world.sends("c", LATE + 1, to=OTHER)
    for name in "bc":
        world.hidden = {tx(name)}
        assert "does not show all" in (await judged(world)).why


async def test_of_two_tries_the_one_that_failed_does_not_hide_the_one_that_paid() -> None:
    world = World(failed={tx("a")}, height=LATE + 40)
    world.sends("a", ROW + 1)
    world.sends("c", ROW + 2)
    assert (await judged(world)).outcome is ChainOutcome.PAID
    assert (await judged(world, tx=tx("a"))).outcome is ChainOutcome.PAID


async def test_a_noted_hash_that_was_booked_for_an_earlier_payment_is_not_this_one() -> None:
    world = World(height=LATE + 30)
    world.sends("a", ROW - 10)
    assert (await judged(world, tx=tx("a"), **booked("a", 600, AT - 100))).outcome is ChainOutcome.UNKNOWN
    assert (await judged(world, tx=tx("a"), **booked("a", 600, AT))).outcome is ChainOutcome.PAID


async def test_what_went_elsewhere_is_not_this_payment() -> None:
    world = World()
    world.sends("a", ROW + 1, to=OTHER)
    world.sends("c", ROW + 2, wei=0)
    verdict = await judged(world)
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, True)
    assert "--fill" in verdict.why


def naming(shannon: int) -> str:
    """The data of a batch that pays the miner."""
    return f"0x12345678{shannon * 10**9:024x}{MINER[2:].lower()}"


@pytest.mark.parametrize("shannon", [600, 599, 700])
async def test_a_batch_that_names_the_miner_may_have_paid_it(shannon: int) -> None:
    world = World(height=ROW + 170)
    world.sends("batch", LATE + 1, to=OTHER, wei=5 * WEI, data=naming(shannon))
    for changes in ({}, {"nonce": 0}, {"charge_wei": 10**9}):
        verdict = await judged(world, **changes)
        assert verdict.outcome is ChainOutcome.UNKNOWN
        assert tx("batch") in verdict.why
    world.failed.add(tx("batch"))
    assert (await judged(world)).outcome is ChainOutcome.UNPAID


async def test_a_batch_that_is_booked_for_another_payment_or_is_ours_is_not_this_one() -> None:
    world = World(height=ROW + 170)
    world.sends("batch", LATE + 1, to=OTHER, wei=5 * WEI, data=naming(700))
    assert (await judged(world, **booked("batch", 700))).outcome is ChainOutcome.UNPAID
    assert (await judged(world, ours=frozenset({tx("batch")}))).outcome is ChainOutcome.UNPAID
    assert (await judged(world, **booked("batch", 600))).outcome is ChainOutcome.UNKNOWN


async def test_nothing_at_all_proves_nothing() -> None:
    verdict = await judged(World())
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, True)


async def test_a_young_row_is_waited_for() -> None:
    verdict = await judged(World(height=LATE - 2))
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)
    assert "younger than 10 minutes" in verdict.why


async def test_a_transaction_that_waits_proves_nothing() -> None:
    world = World(waiting=1)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world)
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)


async def test_a_nonce_used_up_well_after_the_row_proves_that_it_is_dead() -> None:
    world = World(height=LATE + 20)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world)).outcome is ChainOutcome.UNPAID


async def test_a_nonce_used_up_at_about_the_time_of_the_row_proves_nothing() -> None:
    world = World(height=LATE + 20)
    world.sends("b", LATE - 2, to=OTHER)
    assert (await judged(world)).outcome is ChainOutcome.UNKNOWN


async def test_of_two_open_rows_both_nonces_must_be_used_up() -> None:
    world = World(height=LATE + 30)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, rows=2)).outcome is ChainOutcome.UNKNOWN
    world.sends("c", LATE + 1, to=OTHER)
    assert (await judged(world, rows=2)).outcome is ChainOutcome.UNPAID


@pytest.mark.parametrize(
    ("nonce", "outcome"), [(0, ChainOutcome.UNPAID), (1, ChainOutcome.UNKNOWN), (2, ChainOutcome.UNKNOWN)]
)
async def test_a_recorded_nonce_must_be_used_up_for_good(nonce: int, outcome: ChainOutcome) -> None:
    world = World()
    world.sends("b", ROW + 1, to=OTHER)
    world.sends("c", ROW + 65, to=OTHER)  # not final
    assert (await judged(world, nonce=nonce)).outcome is outcome


async def test_a_recorded_hash_that_waits_is_waited_for() -> None:
    world = World()
    world.sends("a", None)
    verdict = await judged(world, tx=tx("a"))
    assert (verdict.outcome, verdict.fill) == (ChainOutcome.UNKNOWN, False)


async def test_a_recorded_hash_that_no_node_knows_leaves_the_search_by_effect() -> None:
    world = World()
    world.sends("a", ROW + 1)
    assert (await judged(world, tx=tx("lost"))).outcome is ChainOutcome.PAID


async def test_a_row_from_long_ago_is_left_to_a_person() -> None:
    assert "mark-paid" in (await judged(World(height=1_000_000))).why


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"to": OTHER}, "it went to"), ({"wei": 5}, "it carried"), ({"wei": WEI - 1}, "it carried"), ({}, "")],
)
async def test_a_named_transaction_is_checked_in_every_part(changes: dict[str, object], words: str) -> None:
    world = World()
    world.sends("a", ROW + 1, **changes)  # type: ignore[arg-type]
    verdict = await check(cast("Chain", world), UnprovenPayment(POOL, MINER, 600, AT), tx("a"), world)
    assert (verdict.outcome is ChainOutcome.PAID) == (not words)
    assert words in verdict.why


async def test_what_the_friends_fork_keeps_back_is_still_this_payment() -> None:
    world = World()
    world.sends("a", ROW + 1, wei=WEI - 5)
    assert (await judged(world, charge_wei=5)).outcome is ChainOutcome.PAID
