"""The rail's side of the books: posted by the commit from what a state says, and once whatever is repeated."""

import asyncio
from random import Random

import pytest

from machines.core.clock import Millis
from machines.core.errors import BadInput, KeyReused, PayflowError
from machines.core.facts import Fact, Override
from machines.core.ids import RecordId
from machines.core.rail_share import FINE, RailPart
from payflow.store import keys
from payflow.store.accounts import RailAccount
from payflow.store.ledger import PostedSums
from payflow.store.store import Store
from tests.desk import ANN, BOB, ask, faults, fund
from tests.desk import tell as tell_one
from tests.errand import Approved, Cancelled, Done, NotDone, Sent
from tests.servers import EVERY

pytestmark = pytest.mark.parametrize("kind", EVERY, indirect=True)

BANK, NAIRA = "bank", "NGN"


async def tell(store: Store, record_id: RecordId, *facts: Fact) -> None:
    """Let a record learn facts, one after the other."""
    for fact in facts:
        await tell_one(store, record_id, fact)


async def rail(store: Store, name: str = "test", asset: str = NAIRA) -> dict[str, int]:
    """What is on a rail's side, without what is zero; the whole ledger must be in order."""
    assert await faults(store) == []
    found = (await store.ledger.rails()).get((name, asset), RailAccount())
    return {part: units for part, units in found.units.items() if units}


async def test_what_is_under_way_and_what_arrived_is_on_the_rails_side(store: Store) -> None:
    await fund(store, units=100)
    record_id = await ask(store, units=30)
    await tell(store, record_id, Approved())
    assert await rail(store) == {}
    await tell(store, record_id, Sent())
    assert await rail(store) == {"in_flight": 30}
    await tell(store, record_id, Done("proof"))
    assert await rail(store) == {"settled": 30}
    posted = [one async for one in store.ledger.journal(store.records.owner_shard(ANN)) if one.owner == "rail:test"]
    assert [(one.source, one.target, one.units, one.cause) for one in posted] == [
        ("outside", "in_flight", 30, record_id),
        ("in_flight", "settled", 30, record_id),
    ]


async def test_what_failed_is_no_longer_under_way_and_what_was_paid_after_all_arrived(store: Store) -> None:
    await fund(store, units=100)
    failed, late = await ask(store, units=30, key="1"), await ask(store, units=20, key="2")
    for record_id in (failed, late):
        await tell(store, record_id, Approved(), Sent())
    await tell(store, failed, NotDone("no such account"))
    assert await rail(store) == {"in_flight": 20}
    await tell(store, late, NotDone("no such account"), Cancelled(), Done("it was there"))
    assert await rail(store) == {"settled": 20}
    await tell(store, late, Override("CANCELLED", "it came back", "rita", "olu"))
    assert await rail(store) == {}


async def test_a_line_of_a_statement_is_booked_once(store: Store) -> None:
    async def top_up(fine: int = 500 * FINE, reference: str = "T1") -> bool:
        return await store.ledger.book(BANK, NAIRA, RailPart.FUNDED, fine, reference, "top-up")

    assert sorted(await asyncio.gather(*(top_up() for _ in range(5)))) == [False] * 4 + [True]
    assert await top_up(-200 * FINE, "T2"), "what is taken out again"
    assert await store.ledger.book(BANK, NAIRA, RailPart.FEES, 26_875 * FINE // 1000, "T3", "a charge")
    with pytest.raises(KeyReused):
        await top_up(400 * FINE)
    assert await rail(store, BANK) == {"funded": 300, "fees": 26, "fees_rest": 875_000_000}
    found = (await store.ledger.rails())[BANK, NAIRA]
    assert (found.expected, found.unexplained) == (300 * FINE - 26_875 * FINE // 1000, None)


async def test_the_newest_balance_counts_and_says_what_nobody_can_explain(store: Store) -> None:
    await store.ledger.book(BANK, NAIRA, RailPart.FUNDED, 500 * FINE, "T1", "top-up")
    assert await store.ledger.book_balance(BANK, NAIRA, 0, Millis(1_000))
    assert (await store.ledger.rails())[BANK, NAIRA].unexplained == -500 * FINE
    assert await store.ledger.book_balance(BANK, NAIRA, 500 * FINE + 5, Millis(3_000))
    assert not await store.ledger.book_balance(BANK, NAIRA, 7 * FINE, Millis(2_000)), "it was read before"
    assert (await store.ledger.rails())[BANK, NAIRA].unexplained == 5
    assert await rail(store, BANK) == {"funded": 500, "wallet": 500, "wallet_rest": 5}
    for fine in (7 * FINE, 7 * FINE, 500 * FINE + 5, 7 * FINE):
        assert await store.ledger.book_balance(BANK, NAIRA, fine, Millis(3_000)), "its span was not over"
    assert await rail(store, BANK) == {"funded": 500, "wallet": 7}
    with pytest.raises(BadInput):
        await store.ledger.book(BANK, NAIRA, RailPart.WALLET, 1, "T9", "no line")
    with pytest.raises(BadInput):
        await store.ledger.book(BANK, NAIRA, RailPart.FUNDED, 5 * 10**18 * FINE, "T8", "more than there is")


async def test_a_figure_of_a_rail_that_somebody_changed_is_found_and_so_is_a_posting_that_is_gone(store: Store) -> None:
    await fund(store, units=100)
    record_id = await ask(store, units=30)
    await tell(store, record_id, Approved(), Sent(), Done("proof"))
    shard = store.records.owner_shard(ANN)
    await store.link.ask("HINCRBY", keys.rails(shard), "test NGN.settled", 5)
    assert "rail:test NGN: the account is settled 35" in " ".join(await faults(store))
    await store.link.ask("HINCRBY", keys.rails(shard), "test NGN.settled", -5)
    await store.link.ask(
        "XDEL", keys.journal(shard), (await store.link.ask("XRANGE", keys.journal(shard), "-", "+"))[-1][0]
    )
    said = " ".join(await faults(store))
    assert "owners' accounts say that 30 is paid, the rails' (settled, and fees" in said


@pytest.mark.parametrize("seed", range(4))
async def test_both_sides_agree_whatever_happens_and_after_the_postings_were_put_away(store: Store, seed: int) -> None:
    random = Random(seed)
    await fund(store, units=1_000)
    await fund(store, units=1_000, owner=BOB)
    ids = [
        await ask(store, units=random.randrange(1, 50), owner=random.choice((ANN, BOB)), key=str(n)) for n in range(20)
    ]
    facts = (Approved(), Sent(), Sent(), Done("proof"), NotDone("no"), Cancelled())
    posted = PostedSums()
    for turn in range(120):
        try:
            await tell(store, random.choice(ids), random.choice(facts))
        except PayflowError:
            continue
        if turn % 40 == 39:
            assert (await store.ledger.check(posted)).faults == []
            shard = random.randrange(store.records.shards)
            await store.archive.fold(shard, await store.archive.postings(shard, Millis(2**60)))
    report = await store.ledger.check()
    assert report.faults == []
    both = report.sides[NAIRA]
    assert both.paid == both.on_rails == report.totals[NAIRA].paid * FINE
    assert report.rails["test", NAIRA].fine(RailPart.SETTLED) == both.settled
