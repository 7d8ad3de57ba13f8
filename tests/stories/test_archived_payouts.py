"""A payout that was archived is not forgotten: what its bank sends back afterwards is credited and told."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.sandbox.transfers import TransferState
from machines.core.clock import DAY, Millis
from machines.core.errors import NotFound
from machines.core.ids import RecordId, parse_id
from payflow.app import gateways
from payflow.app.payouts import Payouts
from payflow.config import Settings
from payflow.desk.archive import archive, find
from payflow.desk.reconcile.comparison import Comparison, compare
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.store import open_store
from payflow.telemetry.metrics import Metrics
from tests.deploy.test_setback import OTTO, nobody_watches
from tests.servers import Kind
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import Town, open_town


@pytest.fixture(params=[v4, paystack, v3], ids=lambda choice: choice.__name__)
async def town(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Town]:
    """A town whose bank is each of the gateways."""
    choice: Choice = request.param
    async with open_town(settings, choice) as town:
        yield town


pytestmark = pytest.mark.parametrize("kind", [Kind.VALKEY], indirect=True)


async def paid(town: Town) -> str:
    """Ann is paid ₦2,000, and everybody has been told everything."""
    await town.ann_is_an_old_customer()
    await town.ann_earns("2000")
    payout = await town.ann_asks("2000")
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=60)
    await town.until(payout, "paid")
    await town.until_all_is_told()
    return payout


async def put_away(town: Town, folder: Path) -> int:
    """Archive all that may be archived by now."""
    town.clock.advance(1)
    return (await archive(town.store, folder, Millis(town.clock.now()), "olu")).records


async def archived(town: Town, payout: str, folder: Path) -> None:
    """Let so much time pass that it is archived."""
    await town.time_passes(days=100)
    await nobody_watches(town, payout)
    assert await put_away(town, folder) > 0
    with pytest.raises(NotFound):
        await town.record(payout)


async def test_a_payout_whose_bank_may_still_send_it_back_is_not_archived(town: Town, tmp_path: Path) -> None:
    async with town.worker():
        payout = await paid(town)
        await town.time_passes(days=30)
        await put_away(town, tmp_path / "archive")
        assert (await town.record(payout)).state == "COMPLETED"


async def test_what_comes_back_after_the_archive_is_credited_and_told_once(town: Town, tmp_path: Path) -> None:
    async with town.worker():
        payout = await paid(town)
        transfer = town.transfer(payout)
        await archived(town, payout, tmp_path / "archive")
        assert await town.ann_has() == ("0", "0", "32,000")
        told = len(town.bank.courier.deliveries)
        town.bank.transfers.reverse(transfer)
        await town.time_passes(hours=1)
        if len(town.bank.courier.deliveries) == told:  # v3 tells nobody of it: who compares its list finds it
            await compare_with_the_list(town)
        await town.until(payout, "returned")
        assert await town.ann_has() == ("2,000", "0", "30,000")
        await town.until_told("Your payout of ₦2,000.00 came back")
        for number in range(told, len(town.bank.courier.deliveries)):
            await town.gateway_says_again(number)
        await town.time_passes(days=1)
        await town.until_looked(payout)
        assert await town.ann_has() == ("2,000", "0", "30,000")
        assert [fault async for fault in town.store.integrity.verify()] == []


async def test_a_payout_that_came_out_of_the_archive_is_archived_again_with_its_whole_story(
    town: Town, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    async with town.worker():
        payout = await paid(town)
        await archived(town, payout, folder)
        assert await town.store.archive.bring_back(RecordId(payout), "olu", "asked about it")
        assert not await town.store.archive.bring_back(RecordId(payout), "olu", "asked about it")
        assert (await town.record(payout)).state == "COMPLETED"
        history = await town.store.records.history(RecordId(payout))
        assert [event.fact for event in history] == ["Created", "BroughtBack"]
        assert history[-1].why.endswith(": asked about it")
        assert [fault async for fault in town.store.integrity.verify()] == []
        await nobody_watches(town, payout)
        await put_away(town, folder)
        found = await find(town.store, RecordId(payout), folder)
        assert found is not None
        assert (found.record.state, found.fault, len(found.events)) == ("COMPLETED", "", 2)
        left = await town.store.archive.as_left(RecordId(payout))
        assert left is not None
        assert left.data == found.record.data


async def test_a_payout_that_is_being_looked_at_is_not_archived(town: Town, tmp_path: Path) -> None:
    async with town.worker():
        payout = await paid(town)
        await archived(town, payout, tmp_path / "archive")
    await town.store.archive.bring_back(RecordId(payout), "olu", "asked about it")
    await put_away(town, tmp_path / "archive")
    assert (await town.record(payout)).state == "COMPLETED", "it is due"
    kept = await town.store.archive.read(RecordId(payout))
    assert kept is not None
    assert not await town.store.archive.remove(kept, "a file", Millis(town.clock.now()))


async def test_what_an_older_version_archived_is_named_when_it_comes_back_and_hides_nothing_else(
    town: Town, tmp_path: Path
) -> None:
    """It kept too little of it to bring it back: a person settles it, and all others are compared as well."""
    async with town.worker():
        payout = RecordId(await paid(town))
        await archived(town, payout, tmp_path / "archive")
        tomb = await town.store.archive.stub(payout)
        assert tomb is not None
        old = encode(replace(tomb, data=b"", hash=b""))
        await town.store.link.ask("HSET", keys.tombs(parse_id(payout)[1]), payout, old)
    transfer = town.transfer(payout)
    listed, transfer.state = transfer.state, TransferState.NEW
    outcome = await compare_with_the_list(town)
    transfer.state = listed
    (found,) = [finding for finding in outcome.findings if finding.open]
    assert found.subject == payout
    assert "older version" in found.says
    assert len(outcome.findings) > 1


async def compare_with_the_list(town: Town) -> Comparison:
    """Otto compares what the gateway lists with our books, as he does after a store was set back."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(town.settings, clock=town.clock))
        setups = await gateways.open_gateways(town.settings, store, town.clock, stack)
        payouts = Payouts(town.settings, store, Metrics(), setups)
        store.serve([payouts.machine])
        since = Millis(town.clock.now() - 200 * DAY)
        return await compare(store, [payouts.reconcile()], since, OTTO)


async def test_a_months_statement_has_what_was_archived_since_as_it_had_before(town: Town, tmp_path: Path) -> None:
    async with town.worker():
        payout = await paid(town)
        month = (await town.ann_sees(payout))["created_at"][:7]
        before = await statement(town, month)
        assert sorted(line.split(",")[3] for line in before.splitlines() if payout in line) == ["paid", "requested"]
        await archived(town, payout, tmp_path / "archive")
        for file in (tmp_path / "archive").iterdir():
            file.unlink()  # the archive is elsewhere
        assert await statement(town, month) == before


async def statement(town: Town, month: str) -> str:
    """What Ann downloads."""
    headers = {"Authorization": f"Bearer {await town._token('ann')}"}  # noqa: SLF001  (a table is no JSON)
    place = f"{town.address}/api/provider/statement?month={month}"
    async with town.session.get(place, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()
