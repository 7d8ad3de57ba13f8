"""Somebody writes into the store what two people then would post: nothing of it is proposed, or confirmed."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
from pydantic import SecretStr

from machines.core.clock import DAY, Millis
from machines.core.errors import NotPossible, PayflowError
from machines.core.money import NGN, Money
from machines.core.ports import LineKind, StatementBalance, StatementLine, StatementPart
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from payflow.config import Settings
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.desk.reseal import reseal
from payflow.desk.steering import Steering
from payflow.store import keys
from payflow.store.accounts import RailAccount
from payflow.store.codec import encode
from payflow.store.registers.statements import StatementMark
from payflow.store.seals import new_key
from payflow.store.store import open_store
from tests.stories.planted import OLGA, OTTO, RAIL, Forger, paid_payouts, reconciling
from tests.stories.town import ANN, Town, open_town

SEED = 20270115


async def available(town: Town) -> int:
    return (await town.store.ledger.account(ANN))["NGN"].available


async def test_a_line_that_somebody_wrote_by_hand_is_none(settings: Settings) -> None:
    """It says that Ann got one naira of two thousand: the rest would be posted to her."""
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (payout,) = await paid_payouts(town, [2_000])
        paid = town.reference(payout)
        line = StatementLine("999", LineKind.PAYMENT, Money(100, NGN), out=True, at=town.clock.now(), reference=paid)
        row = encode([line.kind, "NGN", 100, True, line.at, paid])
        for written in (row, b"\0" + row):
            await town.store.link.ask("HSET", keys.lines(RAIL), "999", written)
            await town.store.link.ask("ZADD", keys.unmatched(RAIL), line.at, "999")
            await town.time_passes(hours=25)
            assert (await reconciler.compare(RAIL)).found == ()


async def test_what_was_found_is_posted_only_as_it_was_found(settings: Settings) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (payout,) = await paid_payouts(town, [2_000])
        Forger(town, Random(SEED)).plant(FindingKind.WRONG_DESTINATION, town.transfer(payout))
        await town.time_passes(hours=25)
        (found,) = (await reconciler.compare(RAIL)).found
        assert found.data.kind is FindingKind.WRONG_DESTINATION
        steering, link, before = Steering(town.store, town.metrics), town.store.link, await available(town)
        (row, line) = await link.ask("HMGET", keys.record(found.id), "units", "mac"), found.data.line
        kept = await link.ask("HGET", keys.lines(RAIL), line)
        # More is to be posted than was found, and that nobody signed it is as an older version would have left it.
        await link.ask("HSET", keys.record(found.id), "units", 90_000_000)
        for mac in (row[1], None):
            if mac is None:
                await link.ask("HDEL", keys.record(found.id), "mac")
            with pytest.raises(PayflowError):
                await steering.propose_posting(found.id, "the statement says so", OTTO)
        await link.ask("HSET", keys.record(found.id), "units", row[0], "mac", row[1])
        proposal = await steering.propose_posting(found.id, "the statement says so", OTTO)
        assert f"{RAIL} says so." in steering.two.says(proposal)
        await link.ask("HSET", keys.lines(RAIL), line, kept[:-1] + b"\x01")
        with pytest.raises(NotPossible, match="not what Payflow wrote"):
            await steering.two.confirm(proposal.digest, OLGA)
        assert await available(town) == before


async def test_what_the_rail_says_counts_in_place_of_what_a_file_said_first(settings: Settings) -> None:
    """Whoever takes in a file that says all is well cannot keep what the rail itself says from being looked at."""
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (payout,) = await paid_payouts(town, [2_000])
        transfer, paid = town.transfer(payout), town.reference(payout)
        Forger(town, Random(SEED)).plant(FindingKind.AMOUNT_DIFFERS, transfer)
        lied = StatementLine(
            str(transfer.id), LineKind.PAYMENT, Money(200_000, NGN), out=True, at=town.clock.now(), reference=paid
        )
        await town.time_passes(hours=25)
        taken_in = await reconciler.take_in_file(RAIL, [StatementPart(lied.at, (lied,), {})], "march.csv")
        assert (taken_in.lines, taken_in.found) == (1, ())
        found = (await reconciler.compare(RAIL)).found
        assert [one.data.kind for one in found] == [FindingKind.AMOUNT_DIFFERS]


@pytest.mark.parametrize(("units", "fee"), [(100_000_000, 0), (100, 100_000_000)])
async def test_much_that_only_a_file_says_is_booked_by_two(settings: Settings, units: int, fee: int) -> None:
    """Somebody who operates brings a file that says that a million was put into the wallet, or taken for a transfer."""
    async with open_town(settings, two_people_from="1000000") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        lines = [
            StatementLine(name, LineKind.OTHER, Money(amount, NGN), out=False, at=town.clock.now(), fee=charged)
            for name, amount, charged in (("much", units, fee), ("little", 100, 0))
        ]
        await town.time_passes(hours=25)
        taken_in = await reconciler.take_in_file(RAIL, [StatementPart(lines[0].at, tuple(lines), {})], "march.csv")
        found = {one.data.line: one for one in taken_in.found}
        repairs, steering = FindingRepairs(town.store, reconciler), Steering(town.store, town.metrics)
        await repairs.do(found["little"].id, OTTO, "small change")
        with pytest.raises(NotPossible, match="takes two people"):
            await repairs.do(found["much"].id, OTTO, "the bank says so")
        booked = await on_rail(town)
        proposal = await steering.propose_posting(found["much"].id, "the bank says so", OTTO)
        assert "the file march.csv says so." in steering.two.says(proposal)
        with pytest.raises(PayflowError):
            await steering.two.confirm(proposal.digest, OTTO)
        assert await on_rail(town) == booked
        await steering.two.confirm(proposal.digest, OLGA)
        assert (await on_rail(town)).fine(RailPart.FUNDED) == (units + 100) * FINE
        assert (await on_rail(town)).fine(RailPart.FEES) == fee * FINE


async def on_rail(town: Town) -> RailAccount:
    return (await town.store.ledger.check()).rails[RAIL, "NGN"]


# ── somebody hides what differs ──────────────────────────────────────────────────────────────────────────────────────


async def says_it_was_read(town: Town, payout: str) -> None:
    far = town.clock.now() + 30 * DAY
    await town.store.link.ask("HSET", keys.STATEMENTS, RAIL, f"{far} {far} {far}")


async def says_nothing_was_read(town: Town, payout: str) -> None:
    await town.store.link.ask("HDEL", keys.STATEMENTS, RAIL)


async def says_a_line_is_about_it(town: Town, payout: str) -> None:
    (first, *_) = [one.line.id for one in await town.store.statements.newest(RAIL, 9)]
    await town.store.link.ask("HSET", keys.matched(RAIL), payout, encode([first]))


Hide = Callable[[Town, str], Awaitable[None]]


@pytest.mark.parametrize(
    ("kind", "hide"),
    [
        (FindingKind.AMOUNT_DIFFERS, says_it_was_read),
        (FindingKind.MISSING_THERE, says_it_was_read),
        (FindingKind.AMOUNT_DIFFERS, says_nothing_was_read),
        (FindingKind.MISSING_THERE, says_nothing_was_read),
        (FindingKind.MISSING_THERE, says_a_line_is_about_it),
    ],
)
async def test_no_difference_is_hidden_by_what_somebody_wrote_of_the_statement(
    settings: Settings, kind: FindingKind, hide: Hide
) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (first,) = await paid_payouts(town, [2_000])
            await town.time_passes(hours=30)
            assert (await reconciler.compare(RAIL)).found == ()
            (second,) = await paid_payouts(town, [3_000])
        Forger(town, Random(SEED)).plant(kind, town.transfer(second))
        await town.time_passes(hours=60)
        await hide(town, second)
        found = (await reconciler.compare(RAIL)).found
        assert [(one.data.kind, one.data.record) for one in found] == [(kind, second)]
        assert first != second


async def test_a_line_that_somebody_had_passed_over_is_looked_at_again(settings: Settings) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (payout,) = await paid_payouts(town, [2_000])
        Forger(town, Random(SEED)).plant(FindingKind.NOT_OURS, town.transfer(payout))
        await town.time_passes(minutes=5)
        assert (await reconciler.compare(RAIL)).found == ()
        waiting = await town.store.statements.waiting(RAIL, 0, 9)
        assert waiting
        await town.store.link.ask("DEL", keys.unmatched(RAIL))
        await town.time_passes(hours=25)
        found = (await reconciler.compare(RAIL)).found
        assert [one.data.kind for one in found] == [FindingKind.NOT_OURS]
        # What was found is not found again, whatever became of it.
        await town.time_passes(hours=2)
        assert (await reconciler.compare(RAIL)).found == ()


async def test_a_wallet_that_does_not_add_up_is_not_explained_by_a_balance_that_somebody_wrote(
    settings: Settings,
) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town):
        register, at = town.store.statements, town.clock.now()
        await register.keep_balances(RAIL, at, {"NGN": StatementBalance(100, 50, -40)})
        kept = await register.balance(RAIL, "NGN", at)
        assert kept == StatementBalance(100, 50, -40)
        await town.store.link.ask("HSET", keys.statement(RAIL), f"NGN {at}", encode(StatementBalance(100, 60, -40)))
        assert await register.balance(RAIL, "NGN", at) is None


async def test_what_an_older_key_signed_of_a_statement_is_signed_anew(settings: Settings) -> None:
    at, old, newest = Millis(1_800_000_000_000), new_key(), new_key()
    settings = settings.model_copy(update={"fingerprint_key": SecretStr("00" * 32)})
    mark, balance = StatementMark(at, at, at), StatementBalance(100, 50, -50)
    line = StatementLine("7", LineKind.PAYMENT, Money(200, NGN), out=True, at=at, reference="one")
    async with open_store(settings.model_copy(update={"seal_keys": SecretStr(old)})) as store:
        await store.statements.take_in(RAIL, [line])
        await store.statements.keep_balances(RAIL, at, {"NGN": balance})
        await store.statements.advance(RAIL, mark)
    async with open_store(settings.model_copy(update={"seal_keys": SecretStr(f"{newest},{old}")})) as store:
        report = await reseal(store, "otto")
        assert report.done, report.left
    async with open_store(settings.model_copy(update={"seal_keys": SecretStr(newest)})) as store:
        assert await store.statements.mark(RAIL) == mark
        assert await store.statements.balance(RAIL, "NGN", at) == balance
        (found,) = await store.statements.newest(RAIL, 9)
        assert found.line == line
