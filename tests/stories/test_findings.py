"""What differs between our books and the gateway's is found once, named, and goes by the one act that is proposed."""

from collections import Counter
from collections.abc import Iterable
from random import Random

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.errors import BadInput, NotPossible
from machines.finding.data import FindingKind, FindingRecord, ProposedAct
from payflow.config import Settings
from payflow.desk.person import Person
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from tests.stories.planted import Forger, Planted, hide, mend_history, paid_payouts, reconciling
from tests.stories.town import ANN, Town, open_town

SEED = 20270115
RAIL = "flutterwave"
OTTO, OLGA = Person("otto", Role.OPERATOR), Person("olga", Role.OPERATOR)


def counted(found: Iterable[FindingRecord]) -> Counter[Planted]:
    return Counter(Planted(one.data.kind, one.amount.units if one.amount else 0) for one in found)


async def resolve(town: Town, reconciler: Reconciler, record: FindingRecord) -> None:
    """Do what is proposed, as the command does."""
    if record.data.act is ProposedAct.CORRECT:
        steering = Steering(town.store, town.metrics)
        proposal = await steering.propose_posting(record.id, "the statement says so", OTTO)
        await steering.two.confirm(proposal.digest, OLGA)
    else:
        await FindingRepairs(town.store, reconciler).do(record.id, OTTO, "found out", ANN)


async def test_each_kind_is_found_once_with_its_sum_and_nothing_else_and_goes_by_its_act(settings: Settings) -> None:
    random = Random(SEED)
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        town.clock.at += 20 * HOUR - town.clock.at % DAY
        assert (await reconciler.compare(RAIL)).found == ()
        amounts = random.sample(range(1_000, 4_999), 14)
        async with town.worker():
            first = await paid_payouts(town, amounts[:3])
            await town.time_passes(hours=9)
            second = await paid_payouts(town, amounts[3:])
        forger = Forger(town, random)
        planted = [hide(town.bank.transfers, town.transfer(second[0]))]
        planted += [
            forger.plant(kind, town.transfer(payout))
            for kind, payout in zip(forger.kinds, [*first[1:], *second[1:]], strict=False)
        ]
        assert len(planted) == len(FindingKind) - 1
        await town.time_passes(days=2)
        found = (await reconciler.compare(RAIL)).found
        assert counted(found) == Counter(planted)
        assert await found_again(town, reconciler) == Counter(planted)
        mend_history(town.bank.transfers)
        for record in found:
            if record.data.kind is FindingKind.MISSING_THERE:
                with pytest.raises(NotPossible, match="still differ"):  # a return is believed after a day
                    await resolve(town, reconciler, record)
                await town.time_passes(days=2)
            await resolve(town, reconciler, record)
        assert await found_again(town, reconciler) == Counter()


async def found_again(town: Town, reconciler: Reconciler) -> Counter[Planted]:
    """Compare all of it anew, and say what is open."""
    await reconciler.compare(RAIL, Millis(town.clock.now() - 9 * DAY))
    return counted(await reconciler.findings.all(FindingFilter()))


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


async def test_what_a_bank_does_not_finish_is_late_and_no_longer_when_it_does(settings: Settings) -> None:
    async with open_town(settings, batch_schedule="instant") as town, reconciling(town) as reconciler:
        async with town.worker():
            await town.ann_earns("2000")
            payout = await town.ann_asks("2000", "0100000010")
            await town.approve(payout)
            await town.until_with_gateway(payout)
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
