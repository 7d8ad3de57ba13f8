"""What differs between our books and the gateway's is found once, named, and goes by the one act that is proposed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from adapters.sandbox.transfers import SimulatedTransfer, TransferState
from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import BadInput
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from payflow.config import Settings
from payflow.desk.daily_limits import wrong_figures
from payflow.desk.reconcile.checks import compared
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.desk.reconcile.wallet_opening import open_wallets, wallet_openings
from payflow.store import keys
from payflow.store.accounts import RailAccount, RailKey
from payflow.store.ledger import RAILS_OPENED, PostedSums
from payflow.telemetry.health import Level
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.planted import (
    OTTO,
    RAIL,
    STAYS_OPEN,
    Forger,
    asked_payouts,
    counted,
    found_again,
    hide,
    mend_history,
    paid_payouts,
    plant_all,
    put_in,
    reconciling,
    resolve_all,
)
from tests.stories.town import ANN, Town, open_town

SEED = 20270115
OF_A_WALLET = (FindingKind.BALANCE_DIFFERS, FindingKind.STATEMENT_GAP)
"""What is found where a statement has balances."""


@pytest.mark.parametrize(
    ("choice", "rail", "without"),
    [
        (v3, "flutterwave", ()),
        # There what is paid once more keeps its reference, and every transfer is in the currency of its balance.
        (paystack, "paystack", (FindingKind.TWICE, FindingKind.WRONG_CURRENCY)),
        # Its list has no wallet, and so no other fee than the transfer's own.
        (v4, "flutterwave", (FindingKind.FEE_DIFFERS, *OF_A_WALLET)),
    ],
)
async def test_each_kind_is_found_once_with_its_sum_and_nothing_else_and_goes_by_its_act(
    settings: Settings, choice: Choice, rail: str, without: Sequence[FindingKind]
) -> None:
    """In small; `python -m tests.stories.reconciled` does it with ten thousand payouts."""
    random = Random(SEED)
    async with open_town(settings, choice, batch_schedule="instant") as town, reconciling(town) as reconciler:
        town.clock.at += 20 * HOUR - town.clock.at % DAY
        assert (await reconciler.compare(rail)).found == ()
        await put_in(town, rail)
        amounts = random.sample(range(1_000, 4_999), 15)
        async with town.worker():
            first = await paid_payouts(town, amounts[:4])
            await town.time_passes(hours=9)
            second = await paid_payouts(town, amounts[4:14])
            late = await asked_payouts(town, amounts[14:], STAYS_OPEN)
        count = 13 - len(set(without) - set(OF_A_WALLET))
        planted = plant_all(town, random, [first, second], late, count, without)
        planted = [one for one in planted if one.kind not in without]
        assert {one.kind for one in planted} == set(FindingKind) - set(without)
        await town.time_passes(days=2)
        found = (await reconciler.compare(rail)).found
        assert counted(found) == Counter(planted)
        assert await found_again(town, reconciler, rail) == Counter(planted)
        await resolve_all(town, reconciler, found)
        assert await found_again(town, reconciler, rail) == Counter()
        posted = PostedSums()
        await town.store.ledger.check(posted)
        wrong = [one async for one in wrong_figures(town.store, posted, put_right=False)]
        assert wrong == [], "what two people post counts against no platform's limit"
        rails = await town.store.ledger.rails()
        account = rails[rail, "NGN"]
        beyond = {place: one.unexplained for place, one in rails.items() if one.unexplained}
        assert beyond == {}, "what each line did is on the rail's side, as far as the gateway says what it holds"
        held = town.bank.transfers.history.rows("NGN")[-1].after
        if FindingKind.BALANCE_DIFFERS not in without:
            assert account.fine(RailPart.WALLET) // FINE == int(held * 100), "the ledger says what the wallet holds"


async def test_nothing_is_missing_before_the_rails_own_time_has_gone_by(settings: Settings) -> None:
    """A payment that no list shows yet is looked for until then, and found as soon as it is there."""
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            (payout,) = await paid_payouts(town, [1_234])
        town.bank.transfers.hidden.add(town.reference(payout))
        hide(town.bank.transfers, town.transfer(payout))
        await town.time_passes(hours=23)
        assert (await reconciler.compare(RAIL)).found == ()
        await town.time_passes(hours=2)
        (record,) = (await reconciler.compare(RAIL)).found
        assert (record.data.kind, record.data.record) == (FindingKind.MISSING_THERE, payout)
        assert await reconciler.explained(record.data) == ""
        assert f"owner:{ANN}" in await town.store.pauses.all(), "what is concerned stops, and is stopped by the books"
        town.bank.transfers.hidden.clear()
        mend_history(town.bank.transfers)
        assert (await reconciler.compare(RAIL)).found == ()
        assert "says it too" in await reconciler.explained(record.data)


async def test_what_is_wrong_with_a_days_history_is_asked_of_that_day_whenever_somebody_gets_to_it(
    settings: Settings,
) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            _, one = await paid_payouts(town, [1_111, 2_222])
            await town.time_passes(days=3)
            two, _ = await paid_payouts(town, [3_333, 4_444])
        Forger(town, Random(SEED)).balance_differs(town.transfer(one))
        hide(town.bank.transfers, town.transfer(two))
        await town.time_passes(days=2)
        found = (await reconciler.compare(RAIL)).found
        assert {record.data.kind for record in found} == {FindingKind.BALANCE_DIFFERS, FindingKind.STATEMENT_GAP}
        await town.time_passes(days=60)
        mend_history(town.bank.transfers)
        town.bank.server.calls.clear()
        for record in found:
            await FindingRepairs(town.store, reconciler).do(record.id, OTTO)
        asked = town.bank.server.calls.count("GET /v3/wallet/statement")
        assert asked <= 12, f"{asked} days were read, for three that are wrong"
        assert await found_again(town, reconciler) == Counter()


async def test_what_a_bank_does_not_finish_is_late_and_no_longer_when_it_does(settings: Settings) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        async with town.worker():
            (payout,) = await asked_payouts(town, [2_000], STAYS_OPEN)
        await town.time_passes(hours=25)
        (record,) = (await reconciler.compare(RAIL)).found
        assert (record.data.kind, record.data.record) == (FindingKind.LATE, payout)
        town.bank.transfers.finish(town.transfer(payout), paid=True)
        await FindingRepairs(town.store, reconciler).do(record.id, OTTO)
        assert (await reconciler.findings.read(record.id)).state == "RESOLVED"
        assert (await town.record(payout)).state == "COMPLETED"


async def test_a_waived_finding_stays_waived_and_one_that_comes_back_is_open_again(settings: Settings) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        await reconciler.compare(RAIL)
        async with town.worker():
            one, two = await paid_payouts(town, [1_111, 2_222])
        forger = Forger(town, Random(SEED))
        for payout in (one, two):
            forger.plant(FindingKind.MISSING_THERE, town.transfer(payout))
        await town.time_passes(hours=25)
        by_record = {record.data.record: record for record in (await reconciler.compare(RAIL)).found}
        await reconciler.findings.waive(by_record[one].id, "Ann has the bank's letter", OTTO)
        await reconciler.findings.explained(by_record[two].id, "it seemed so", "a look")
        await reconciler.compare(RAIL, Millis(town.clock.now() - 3 * DAY))
        assert (await reconciler.findings.read(by_record[one].id)).state == "WAIVED"
        assert (await reconciler.findings.read(by_record[two].id)).state == "OPEN"
        with pytest.raises(BadInput, match="--reason"):
            await reconciler.findings.waive(by_record[two].id, " ", OTTO)


def unexplained(town: Town, rails: dict[RailKey, RailAccount]) -> int | None:
    """What the wallet has beyond what our books say, in parts of a kobo."""
    return rails[town.settings.payout_rail, "NGN"].unexplained


EACH_HISTORY = pytest.mark.parametrize("choice", [v3, paystack], ids=lambda choice: choice.__name__)


@EACH_HISTORY
async def test_what_the_rail_takes_later_is_found_and_booked_to_the_last_bit(
    settings: Settings, choice: Choice
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, reconciling(town) as reconciler:
        rail = town.settings.payout_rail
        town.clock.at += 2 * HOUR - town.clock.at % DAY
        await reconciler.compare(rail)
        async with town.worker():
            payout, other = await paid_payouts(town, [1_234, 4_321])
        await town.time_passes(days=2)
        assert (await reconciler.compare(rail)).found == ()
        await open_wallets(town.store, await wallet_openings(town.store, reconciler))
        assert unexplained(town, await town.store.ledger.rails()) == 0
        late = Decimal("1.505") if choice is v3 else Decimal("1.50")
        town.bank.transfers.charge_late(town.transfer(payout), late)
        await town.time_passes(days=2)
        for _ in range(2):
            await reconciler.compare(rail)
            (record,) = await reconciler.findings.all(FindingFilter())
            assert (record.data.kind, record.data.record) == (FindingKind.FEE_DIFFERS, payout)
            assert record.data.fine == int(late * 100 * FINE)
        (record,) = await reconciler.findings.all(FindingFilter())
        assert unexplained(town, await town.store.ledger.rails()) == -int(late * 100 * FINE)
        await FindingRepairs(town.store, reconciler).do(record.id, OTTO, "their letter of May")
        assert unexplained(town, await town.store.ledger.rails()) == 0
        town.bank.transfers.charge_late(town.transfer(other), Decimal(5_000))
        await town.time_passes(days=2)
        await reconciler.compare(rail)
        assert await reconciler.findings.all(FindingFilter(kind=FindingKind.FEE_DIFFERS)) == [], "that is no fee"


async def test_a_fee_that_only_the_statement_names_is_learned_by_the_payout_and_posted_once(
    settings: Settings,
) -> None:
    """The gateway's own object says nothing of it, when the payout is paid and for ever; then it does."""
    async with open_town(settings, v3, batch_schedule="instant") as town, reconciling(town) as reconciler:
        town.clock.at += 2 * HOUR - town.clock.at % DAY
        await reconciler.compare(RAIL)
        named: list[SimulatedTransfer] = []
        place = town.bank.transfers.place

        def without_fee(*order: Any, **more: Any) -> SimulatedTransfer:
            named.append(place(*order, **more))
            named[-1].shows_fee = False
            return named[-1]

        town.bank.transfers.place = without_fee  # type: ignore[method-assign]
        async with town.worker():
            (payout,) = await paid_payouts(town, [1_234])
            assert (await town.record(payout)).data.charged == ()
            await town.time_passes(days=2)
            assert (await reconciler.compare(RAIL)).found == ()
            learned = (await town.record(payout)).data.charged
            assert [Decimal(fee) for _, fee in learned] == [named[0].fee]
            await open_wallets(town.store, await wallet_openings(town.store, reconciler))
            named[0].shows_fee = True
            await town.time_passes(days=2)
            await reconciler.compare(RAIL, Millis(town.clock.now() - 9 * DAY))
        assert (await town.record(payout)).data.charged == learned
        assert unexplained(town, await town.store.ledger.rails()) == 0
        books = await town.store.ledger.check()
        assert books.faults == []
        assert await reconciler.findings.all(FindingFilter()) == []


@EACH_HISTORY
async def test_a_wallet_that_is_opened_late_leaves_what_is_not_ours_unexplained(
    settings: Settings, choice: Choice
) -> None:
    async with open_town(settings, choice, batch_schedule="instant") as town, reconciling(town) as reconciler:
        rail = town.settings.payout_rail
        town.clock.at += 2 * HOUR - town.clock.at % DAY
        async with town.worker():
            await paid_payouts(town, [1_111, 2_222])
            await town.time_passes(days=5)
            await reconciler.compare(rail)
            payouts = await paid_payouts(town, [3_333, 4_444])
        forger = Forger(town, Random(SEED))
        taken = forger.plant(FindingKind.NOT_OURS, town.transfer(payouts[0]))
        forger.plant(FindingKind.RETURNED, town.transfer(payouts[1]))
        await town.time_passes(days=2)
        await reconciler.compare(rail)
        (wallet,) = await wallet_openings(town.store, reconciler)
        await open_wallets(town.store, [wallet])
        began = town.bank.transfers.history.began_with["NGN"]
        assert wallet.fine == int(began * 100 * FINE), "what was there before anybody was paid"
        fee = town.bank.transfers.all[-1].fee
        back = int(town.transfer(payouts[1]).order.amount * 100 * FINE)
        expected = back - taken.units * FINE - int(fee * 100 * FINE)
        assert unexplained(town, await town.store.ledger.rails()) == expected
        for record in await reconciler.findings.all(FindingFilter()):
            await FindingRepairs(town.store, reconciler).do(record.id, OTTO, "salaries of May")
        assert unexplained(town, await town.store.ledger.rails()) == 0


@EACH_HISTORY
async def test_what_a_rail_says_otherwise_under_the_same_id_or_lists_no_more_is_found(
    settings: Settings, choice: Choice
) -> None:
    """The gateway changes its mind after its lines were read, and compared: nothing differed then."""
    async with open_town(settings, choice, batch_schedule="instant") as town, reconciling(town) as reconciler:
        rail, transfers = town.settings.payout_rail, town.bank.transfers
        town.clock.at += 2 * HOUR - town.clock.at % DAY
        await reconciler.compare(rail)
        async with town.worker():
            dearer, gone, reopened, same = await paid_payouts(town, [1_111, 2_222, 3_333, 4_444])
        forger = Forger(town, Random(SEED))
        nobodys = forger.plant(FindingKind.NOT_OURS, town.transfer(same))
        stranger = transfers.all[-1]
        await town.time_passes(hours=30)
        (record,) = (await reconciler.compare(rail)).found
        await FindingRepairs(town.store, reconciler).do(record.id, OTTO, "salaries of May")
        assert await reconciler.findings.all(FindingFilter()) == []

        for transfer in (town.transfer(dearer), stranger):
            transfer.order = replace(transfer.order, amount=transfer.order.amount + 7)
            transfers.history.of(transfer.reference)[0].amount -= 7
        transfers.hidden.add(town.reference(gone))
        transfers.history.forget(town.reference(gone))
        town.transfer(reopened).state = TransferState.PENDING
        for _ in range(2):
            await reconciler.compare(rail)
            found = await reconciler.findings.all(FindingFilter(rail))
            assert Counter((one.data.kind, one.data.record, one.data.units) for one in found) == Counter(
                {
                    (FindingKind.AMOUNT_DIFFERS, dearer, -700): 1,
                    (FindingKind.AMOUNT_DIFFERS, "", -700): 1,
                    (FindingKind.MISSING_THERE, gone, -222_200): 1,
                    (FindingKind.LATE, reopened, 0): 1,
                }
            )
            for one in found:
                assert await reconciler.explained(one.data) == ""
        found = await reconciler.findings.all(FindingFilter(rail))
        (of_nobody,) = [one for one in found if one.data.kind is FindingKind.AMOUNT_DIFFERS and not one.data.record]
        await FindingRepairs(town.store, reconciler).do(of_nobody.id, OTTO, "they mended a mistake of theirs")
        account = (await town.store.ledger.rails())[rail, "NGN"]
        assert -account.fine(RailPart.FUNDED) == (nobodys.units + 700) * FINE

        transfers.hidden.clear()
        town.transfer(reopened).state = TransferState.PAID
        await reconciler.compare(rail)
        left = await reconciler.findings.all(FindingFilter(rail))
        explained = {one.data.record: await reconciler.explained(one.data) for one in left}
        assert {record for record, why in explained.items() if why} == {gone, reopened}


async def test_the_doctor_tells_of_a_wallet_that_nobody_opened_and_of_a_statement_that_is_not_read(
    settings: Settings,
) -> None:
    async with open_town(settings, v3, batch_schedule="instant") as town, reconciling(town) as reconciler:
        every_s = 3600.0

        async def found() -> dict[str, tuple[Level, str]]:
            checks = await compared(town.store, reconciler, every_s)
            return {one.name: (one.level, one.finding) for one in checks}

        level, says = (await found())["statements"]
        assert (level, "flutterwave, never" in says) == (Level.WARN, True)
        async with town.worker():
            await paid_payouts(town, [1_111])
        await town.time_passes(days=2)
        await reconciler.compare(RAIL)
        first = await found()
        assert first["statements"][0] is Level.OK
        assert (first["both sides"][0], "flutterwave NGN" in first["both sides"][1]) == (Level.WARN, True)
        await open_wallets(town.store, await wallet_openings(town.store, reconciler))
        assert (await found())["both sides"][0] is Level.OK
        town.clock.at = Millis(town.clock.at + 3 * HOUR)
        level, says = (await found())["statements"]
        assert (level, "flutterwave, for 3" in says) == (Level.WARN, True)
        reconciler.rails = {RAIL: reconciler.rails[RAIL]._replace(statement=None)}
        level, says = (await found())["statements"]
        assert (level, "finding import" in says) == (Level.WARN, True)
        await town.store.link.ask("HDEL", keys.META, RAILS_OPENED)
        assert "payflow ledger --open" in (await found())["both sides"][1]
