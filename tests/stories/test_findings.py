"""What differs between our books and the gateway's is found once, named, and goes by the one act that is proposed."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import BadInput
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from payflow.config import Settings
from payflow.desk.daily_limits import wrong_figures
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.store.ledger import PostedSums
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
from tests.stories.town import ANN, open_town

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
