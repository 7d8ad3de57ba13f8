"""What a chain proves about a payment that another payer left in the middle; the ports are faked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import pytest

from machines.core.chain import Address, Chain, Head, Receipt, Seen, TxHash
from machines.pool.evidence import MARGIN_S, Case, Outcome, Verdict, check, judge

POOL, MINER, OTHER = Address("0xPool"), Address("0x" + "Ab" * 20), Address("0xOther")
WEI = 600 * 10**9
AT = 1_000_000
BLOCK_S = 10


def tx(name: str) -> TxHash:
    """A hash with a name."""
    return TxHash(f"0x{name}")


@dataclass
class World:
    """A chain of ten-second blocks, of which the newest are not certain; and what the pool's address sent."""

    height: int = 100
    sent_by_pool: list[Seen] = field(default_factory=list)
    failed: set[TxHash] = field(default_factory=set)
    waiting: int = 0

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

    async def head(self) -> Head:
        return Head(self.height, "0x", AT + (self.height - 30) * BLOCK_S, None, None)

    async def nonce(self, _: Address, block: int | Literal["latest", "pending"] = "latest") -> int:
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
        return [one for one in self.sent_by_pool if one.block is not None and first <= one.block <= last]

    async def block_before(self, second: int) -> int:
        return max(0, 30 + (second - 1 - AT) // BLOCK_S)

    def settled_up_to(self, head: Head) -> int:
        return head.number - 11

    def proven_up_to(self, head: Head) -> int:
        return head.number - 20


LATE = 30 + MARGIN_S // BLOCK_S + 1


async def judged(world: World, **changes: object) -> Verdict:
    """Judge the payment that was taken off in block 30."""
    case = Case(POOL, MINER, 600, AT, **changes)  # type: ignore[arg-type]
    return await judge(cast("Chain", world), world, case, world)


async def test_a_payment_in_a_certain_block_is_paid() -> None:
    world = World()
    world.sends("a", 31)
    verdict = await judged(world)
    assert verdict.outcome is Outcome.PAID
    assert verdict.evidence is not None
    assert verdict.evidence.reference == tx("a")


@pytest.mark.parametrize(("block", "failed"), [(90, False), (85, True), (95, True)])
async def test_a_block_that_is_not_certain_proves_nothing(block: int, failed: bool) -> None:  # noqa: FBT001
    world = World(failed={tx("a")} if failed else set())
    world.sends("a", block)
    assert (await judged(world)).outcome is Outcome.UNKNOWN


async def test_a_failed_payment_in_a_final_block_is_unpaid() -> None:
    world = World(failed={tx("a")})
    world.sends("a", 40)
    assert (await judged(world)).outcome is Outcome.UNPAID


async def test_a_payment_that_is_booked_for_another_one_is_not_taken_for_this_one() -> None:
    world = World()
    world.sends("a", 31)
    assert (await judged(world, booked=frozenset({"0xa"}))).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("changes", [{"to": OTHER}, {"wei": WEI - 1}, {"wei": 0}])
async def test_what_went_elsewhere_or_over_another_sum_is_not_this_payment(changes: dict[str, object]) -> None:
    world = World()
    world.sends("a", 31, **changes)  # type: ignore[arg-type]
    verdict = await judged(world)
    assert (verdict.outcome, verdict.fill) == (Outcome.UNKNOWN, True)


def naming(shannon: int) -> str:
    """The data of a batch that pays the miner."""
    return f"0x12345678{shannon * 10**9:024x}{MINER[2:].lower()}"


@pytest.mark.parametrize("changes", [{}, {"nonce": 0}, {"charge_wei": 10**9}])
async def test_a_batch_that_names_the_miner_and_the_amount_may_have_paid_it(changes: dict[str, object]) -> None:
    world = World(height=200)
    world.sends("batch", LATE + 1, to=OTHER, wei=5 * WEI, data=naming(599 if "charge_wei" in changes else 600))
    verdict = await judged(world, **changes)
    assert verdict.outcome is Outcome.UNKNOWN
    assert tx("batch") in verdict.why
    world.failed.add(tx("batch"))
    assert (await judged(world, **changes)).outcome is Outcome.UNPAID


async def test_a_batch_over_another_amount_or_booked_for_another_payment_is_not_this_one() -> None:
    world = World(height=200)
    world.sends("batch", LATE + 1, to=OTHER, wei=5 * WEI, data=naming(700))
    assert (await judged(world)).outcome is Outcome.UNPAID
    world = World(height=200)
    world.sends("batch", LATE + 1, to=OTHER, wei=5 * WEI, data=naming(600))
    assert (await judged(world, booked=frozenset({tx("batch")}))).outcome is Outcome.UNPAID


async def test_nothing_at_all_proves_nothing() -> None:
    verdict = await judged(World())
    assert (verdict.outcome, verdict.fill) == (Outcome.UNKNOWN, True)


async def test_a_young_row_is_waited_for() -> None:
    verdict = await judged(World(height=LATE - 2))
    assert (verdict.outcome, verdict.fill) == (Outcome.UNKNOWN, False)
    assert "younger than 10 minutes" in verdict.why


async def test_a_transaction_that_waits_proves_nothing() -> None:
    world = World(waiting=1)
    world.sends("b", LATE, to=OTHER)
    verdict = await judged(world)
    assert (verdict.outcome, verdict.fill) == (Outcome.UNKNOWN, False)


async def test_a_nonce_used_up_well_after_the_row_proves_that_it_is_dead() -> None:
    world = World(height=LATE + 20)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world)).outcome is Outcome.UNPAID


async def test_a_nonce_used_up_at_about_the_time_of_the_row_proves_nothing() -> None:
    world = World(height=LATE + 20)
    world.sends("b", LATE - 2, to=OTHER)
    assert (await judged(world)).outcome is Outcome.UNKNOWN


async def test_of_two_open_rows_both_nonces_must_be_used_up() -> None:
    world = World(height=LATE + 30)
    world.sends("b", LATE, to=OTHER)
    assert (await judged(world, rows=2)).outcome is Outcome.UNKNOWN
    world.sends("c", LATE + 1, to=OTHER)
    assert (await judged(world, rows=2)).outcome is Outcome.UNPAID


@pytest.mark.parametrize(("nonce", "outcome"), [(0, Outcome.UNPAID), (1, Outcome.UNKNOWN), (2, Outcome.UNKNOWN)])
async def test_a_recorded_nonce_must_be_used_up_for_good(nonce: int, outcome: Outcome) -> None:
    world = World()
    world.sends("b", 31, to=OTHER)
    world.sends("c", 95, to=OTHER)  # not final
    assert (await judged(world, nonce=nonce)).outcome is outcome


async def test_a_recorded_hash_that_waits_is_waited_for() -> None:
    world = World()
    world.sends("a", None)
    verdict = await judged(world, tx=tx("a"))
    assert (verdict.outcome, verdict.fill) == (Outcome.UNKNOWN, False)


async def test_a_recorded_hash_that_no_node_knows_leaves_the_search_by_effect() -> None:
    world = World()
    world.sends("a", 31)
    assert (await judged(world, tx=tx("lost"))).outcome is Outcome.PAID


async def test_a_row_from_long_ago_is_left_to_a_person() -> None:
    assert "mark-paid" in (await judged(World(height=1_000_000))).why


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"to": OTHER}, "it went to"), ({"wei": 5}, "it carried"), ({}, "")],
)
async def test_a_named_transaction_is_checked_in_every_part(changes: dict[str, object], words: str) -> None:
    world = World()
    world.sends("a", 31, **changes)  # type: ignore[arg-type]
    verdict = await check(cast("Chain", world), Case(POOL, MINER, 600, AT), tx("a"), world)
    assert (verdict.outcome is Outcome.PAID) == (not words)
    assert words in verdict.why


async def test_what_the_friends_fork_keeps_back_is_still_this_payment() -> None:
    world = World()
    world.sends("a", 31, wei=WEI - 5)
    assert (await judged(world, charge_wei=5)).outcome is Outcome.PAID
