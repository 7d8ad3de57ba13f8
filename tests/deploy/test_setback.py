"""The store is set back: to an old backup, to nothing. The world is not, and nobody is paid twice all the same."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.sandbox.magic import PAYS, STAYS
from machines.core.clock import DAY, Millis
from machines.core.errors import BadInput, NotFound
from machines.core.ids import Owner, RecordId
from payflow.app import gateways
from payflow.app.payouts import Payouts
from payflow.desk.archive import archive, find
from payflow.desk.reconcile.comparison import Comparison, Word, compare, open_rails
from payflow.store.store import open_store
from payflow.telemetry.metrics import Metrics
from tests.desk import settings_for
from tests.servers import Farm, Server
from tests.stories.banks import v4
from tests.stories.town import ANN, BOUNCES, ELSEWHERE, HOME, Town, open_town
from tests.waiting import wait_until

OTTO = Word("otto")
FAILS = "0100000006"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log off the screen."""
    with capture_logs():
        yield


@asynccontextmanager
async def town_on(server: Server, folder: Path) -> AsyncIterator[Town]:
    """The town with a store of its own that may be mistreated, before anybody works."""
    async with open_town(settings_for(server, folder)) as town:
        yield town


def saved(server: Server, folder: Path) -> Path:
    """Save the store's files as a backup does."""
    server.stop()
    shutil.copytree(server.folder / "appendonlydir", folder)
    server.start()
    return folder


def set_back(server: Server, backup: Path | None) -> None:
    """Lose the store, and put an old one in its place; or none."""
    server.stop()
    shutil.rmtree(server.folder / "appendonlydir")
    if backup is not None:
        shutil.copytree(backup, server.folder / "appendonlydir")
    server.start()


async def reconciled(town: Town, word: Word = OTTO, *, opens: bool = True) -> Comparison:
    """Otto reconciles, with connections of his own, as the command does."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(town.settings, clock=town.clock))
        setups = await gateways.open_gateways(town.settings, store, town.clock, stack)
        payouts = Payouts(town.settings, store, Metrics(), setups)
        store.serve([payouts.machine])
        outcome = await compare(store, [payouts.reconcile()], Millis(town.clock.now() - DAY), word)
        if opens:
            await open_rails(store, outcome, word)
        return outcome


async def busy_morning(town: Town) -> tuple[str, str, str]:
    """One payout waits for its batch, one for reviewers, one has failed, when the backup is made."""
    async with town.worker():
        await town.ann_is_an_old_customer()
        await town.ann_earns("40000")
        failed = await town.ann_asks("2500")
        await town.until_queued(failed)
        town.bank.transfers.otherwise = BOUNCES
        await town.time_passes(hours=2)
        await town.until_sent(failed)
        await town.time_passes(seconds=10)
        await town.until(failed, "failed")
        town.bank.transfers.otherwise = PAYS
        queued = await town.ann_asks("2000")
        await town.until_queued(queued)
        asked = await town.ann_asks("3000", ELSEWHERE)
        await town.review_of(asked)
    return queued, asked, failed


async def more_payments(town: Town, asked: str, failed: str) -> tuple[str, str]:
    """Afterwards all of them are paid, and two more, of which the backup knows nothing: one is paid, one under way."""
    async with town.worker():
        await town.approve(asked)
        late = await town.ann_asks("1500")
        await town.until_queued(late)
        await town.time_passes(minutes=10)
        await town.until_sent(failed, attempt=2)
        await town.time_passes(hours=2)
        for payout in (asked, late):
            await town.until_sent(payout)
        await town.time_passes(seconds=10)
        for payout in (asked, late, failed):
            await town.until(payout, "paid")
        hangs = await town.ann_asks("1700")
        await town.until_queued(hangs)
        town.bank.transfers.otherwise = STAYS
        await town.time_passes(hours=2)
        await town.until_sent(hangs)
    return late, hangs


def anns_shard(town: Town) -> str:
    """What the sequence guard closes when Ann's part of the store was set back."""
    return f"shard:{town.store.records.owner_shard(ANN):02d}"


async def nothing_is_sent(town: Town) -> None:
    """Workers work, hours pass, and nothing leaves."""
    before = town.sent()
    async with town.worker():
        await town.until_paused(anns_shard(town))
        await town.time_passes(hours=3)
        await town.time_passes(hours=3)
        assert town.sent() == before


async def test_after_a_restored_backup_rails_stay_closed_until_all_is_accounted_for(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=False)
    async with town_on(server, tmp_path / "data") as town:
        queued, asked, failed = await busy_morning(town)
        backup = saved(server, tmp_path / "backup")
        late, hangs = await more_payments(town, asked, failed)
        paid = {one: town.bank.book.times_paid(town.reference(one, 1)) for one in (queued, asked, late)}
        assert paid == {queued: 1, asked: 1, late: 1}

        set_back(server, backup)
        await nothing_is_sent(town)

        # What the store knows is put right by itself. Two payouts it has forgotten: a person must say whose they were.
        outcome = await reconciled(town, opens=False)
        assert {one.subject for one in outcome.findings if one.open} == {late, hangs}
        assert all("It may be shop~ann." in one.advice for one in outcome.findings if one.open)
        with pytest.raises(BadInput, match="not settled"):
            await open_rails(town.store, outcome, OTTO)
        await nothing_is_sent(town)
        for payout in (queued, asked, failed):
            assert (await town.record(payout)).state == "COMPLETED"
        assert (await town.record(failed)).data.paid_by == town.reference(failed, 2)

        word = replace(OTTO, reason="ann's requests in the log of the API", owners={late: ANN, hangs: ANN})
        outcome = await reconciled(town, word)
        assert outcome.clear
        assert anns_shard(town) in outcome.closed
        assert (await town.record(late)).state == "COMPLETED"
        assert (await town.record(hangs)).state == "PROCESSING"

        # Open again: what was under way ends, what is new is paid, and nothing twice.
        town.bank.transfers.otherwise = PAYS
        town.bank.transfers.finish(town.transfer(hangs), paid=True)
        before = town.sent()
        async with town.worker():
            new = await town.ann_asks("1200")
            await town.until_queued(new)
            await town.time_passes(hours=2)
            await town.until_sent(new)
            await town.time_passes(seconds=10)
            for payout in (new, hangs):
                await town.until(payout, "paid")
        assert town.sent() == before + 1
        assert await town.ann_has() == ("28,100", "0", "41,900")


async def test_a_click_whose_name_was_forgotten_is_paid_and_nothing_is_given_back_meanwhile(
    own: Farm, tmp_path: Path
) -> None:
    """By all that the store still knows the transfer has failed; only the gateway's list names the retry."""
    server = own.server(tcp=False)
    async with open_town(settings_for(server, tmp_path / "data"), v4, batch_schedule="instant") as town:
        async with town.worker():
            await town.ann_earns("5000")
            payout = await town.ann_asks("1000", FAILS)
            await town.approve(payout)
            await town.until_sent(payout)
            await town.time_passes(seconds=10)
            await town.until_over(payout)
        backup = saved(server, tmp_path / "backup")
        async with town.worker():
            again = town.bank.transfers.retry(town.transfer(payout), chosen=STAYS)
            await town.ann_earns("1")  # whatever is written after the backup
        set_back(server, backup)
        async with town.worker():
            await town.until_paused(anns_shard(town))
            await town.release(payout, "she wants it back")
            await town.time_passes(hours=7)
            record = await town.until_looked(payout)
        assert (record.state, record.data.wish is None) == ("FAILED", False)
        assert (await reconciled(town)).clear
        town.bank.transfers.finish(again, paid=True)
        async with town.worker():
            await town.time_passes(hours=7)
            await town.until_in(payout, "COMPLETED")


async def test_a_wiped_store_knows_nobody_and_owes_what_was_paid(own: Farm, tmp_path: Path) -> None:
    """Not even the earnings are left. Who was paid is in the books again; what he earned must be booked again."""
    server = own.server(tcp=False)
    async with town_on(server, tmp_path / "data") as town:
        async with town.worker():
            await town.ann_is_an_old_customer()
        set_back(server, None)
        town._tokens.clear()  # noqa: SLF001  (they were in the store)
        town.clock.advance(-30 * 86_400)
        lost = await reconciled(town, opens=False)
        subjects = [one.subject for one in lost.findings if one.open]
        assert len(subjects) == 3
        await nothing_is_sent(town)

        word = replace(OTTO, reason="the bank's statement", owners=dict.fromkeys(subjects, ANN))
        assert (await reconciled(town, word)).clear
        account = await town.account()
        assert (account.available, account.paid, account.owed) == (0, 3_000_000, 3_000_000)
        await town.ann_earns("30000")
        assert (await town.account()).owed == 0


async def test_an_owner_who_cannot_have_been_it_is_refused(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=False)
    async with town_on(server, tmp_path / "data") as town:
        async with town.worker():
            await town.ann_is_an_old_customer()
        set_back(server, None)
        town.clock.advance(-30 * 86_400)
        lost = await reconciled(town, opens=False)
        other = next(
            Owner(f"owner{number}")
            for number in range(100)
            if town.store.records.owner_shard(Owner(f"owner{number}")) != town.store.records.owner_shard(ANN)
        )
        owners = {lost.findings[0].subject: other}
        with pytest.raises(BadInput, match="say whose it was"):
            await reconciled(town, Word("otto", "a guess", owners))
        subjects = [one.subject for one in lost.findings]
        await reconciled(town, Word("otto", "the bank's statement", dict.fromkeys(subjects, ANN)))


async def test_a_gateway_that_does_not_answer_keeps_the_rails_closed(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=False)
    async with town_on(server, tmp_path / "data") as town:
        await busy_morning(town)
        town.bank.transfers.switches.key_revoked = True
        outcome = await reconciled(town, opens=False)
        assert not outcome.clear
        assert "rail:flutterwave" in {one.subject for one in outcome.findings if one.open}
        town.bank.transfers.switches.key_revoked = False
        outcome = await reconciled(town, opens=False)
        assert outcome.clear
        assert outcome.closed == ()


async def nobody_watches(town: Town, payout: str) -> None:
    """Wait until a finished payout has been watched for long enough."""

    async def asleep() -> bool:
        return (await town.store.listing.outlook(await town.record(payout))).at is None

    await wait_until(asleep, f"nobody looks at {payout} any more")


async def test_a_request_that_was_archived_is_answered_as_it_was_and_pays_nothing(own: Farm, tmp_path: Path) -> None:
    server = own.server(tcp=False)
    async with town_on(server, tmp_path / "data") as town:
        async with town.worker():
            await town.ann_earns("30000")
            where = {"bank_code": "044", "account_number": HOME}
            body = {"amount": "10000", "currency": "NGN", "method": "bank", "destination": where}
            first = await town._says("ann", "POST", "/api/provider/payouts", body, expect=201, key="the-key")  # noqa: SLF001
            payout = str(first["id"])
            await town.approve(payout)
            await town.until_queued(payout)
            await town.time_passes(hours=2)
            await town.until_sent(payout)
            await town.time_passes(seconds=10)
            await town.until(payout, "paid")
            await town.until_all_is_told()
            await town.time_passes(days=91)
            await nobody_watches(town, payout)
        folder = tmp_path / "archive"
        done = await archive(town.store, folder, Millis(town.clock.now()), "olu")
        assert done.records == 1
        with pytest.raises(NotFound):
            await town.record(payout)

        again = await town._says("ann", "POST", "/api/provider/payouts", body, expect=200, key="the-key")  # noqa: SLF001
        assert again["id"] == payout
        assert again["amount"] == first["amount"]
        other = {**body, "amount": "10001"}
        await town._says("ann", "POST", "/api/provider/payouts", other, expect=422, key="the-key")  # noqa: SLF001
        async with town.worker():
            await town.time_passes(hours=4)
        assert town.bank.book.times_paid(town.reference(payout, 1)) == 1
        assert await town.ann_has() == ("20,000", "0", "10,000")
        # Nor is it taken for one that the store has forgotten.
        town.clock.advance(-91 * 86_400)
        outcome = await reconciled(town, opens=False)
        (finding,) = outcome.findings
        assert finding.says.endswith("it was COMPLETED when it was archived.")
        assert outcome.clear
        found = await find(town.store, RecordId(payout), folder)
        assert found is not None
        assert found.record.state == "COMPLETED"
        assert found.fault == ""
