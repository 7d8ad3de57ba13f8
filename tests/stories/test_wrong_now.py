"""One list of what is wrong: each thing is on it while it is so, with since when, how much, and what is safe to do."""

import asyncio
import re
from pathlib import Path

from adapters.sandbox.faults import Fault, Kind
from machines.core.errors import BadSettings
from payflow.desk import readiness, trouble
from payflow.desk.outside import Outsider, ask_all
from payflow.desk.trouble import Trouble, troubles
from payflow.store.ledger import LedgerCheck
from payflow.telemetry.health import Level
from tests.deploy.rules import RUNBOOKS, alerts
from tests.stories.test_asking import ENQUIRY
from tests.stories.town import Town
from tests.waiting import wait_until


async def wrong(town: Town) -> dict[str, Trouble]:
    return {one.name: one for one in await troubles(town.store)}


async def until_wrong(town: Town, name: str) -> Trouble:
    async def there() -> bool:
        return name in await wrong(town)

    await wait_until(there, f"{name} is on the list")
    return (await wrong(town))[name]


async def beats(town: Town) -> None:
    """Tell once that a worker runs."""
    telling = asyncio.create_task(readiness.keep_telling(town.store, "worker-7", works=True))

    async def told() -> bool:
        return await readiness.workers(town.store) == ["worker-7"]

    await wait_until(told, "a worker has told that it runs")
    telling.cancel()


async def test_nothing_is_wrong_in_the_morning(town: Town) -> None:
    assert await troubles(town.store) == []


async def test_a_gateway_that_does_not_answer_is_told_with_its_own_words_and_the_money(town: Town) -> None:
    town.bank.faults.add(Fault(Kind.UNAVAILABLE, where=ENQUIRY, times=1000))
    await town.ann_earns("5000")
    payout = await town.ann_asks("3000")

    async def fails() -> bool:
        return (await town.record(payout)).tries > 0

    await wait_until(fails, "looks at it have failed")
    town.clock.advance(90)
    found = await until_wrong(town, "LooksFail")
    assert (found.level, found.count, found.sums) == (Level.FAIL, 1, ("NGN\N{NO-BREAK SPACE}3,000.00",))
    assert [one.id for one in found.records] == [payout]
    assert "Flutterwave" in found.says


async def test_pauses_are_told_by_who_made_them(sunday_town: Town) -> None:
    store, now = sunday_town.store, sunday_town.clock.now()
    await store.pauses.pause("everything", "olu", "a bad feeling", now)
    found = (await wrong(sunday_town))["PausedForLong"]
    assert (found.level, found.since, found.act) == (Level.FAIL, now, "payflow resume everything --why …")
    await store.pauses.resume("everything")
    await store.pauses.pause("rail:flutterwave", "worker-1", "RailClosed: HTTP 401", now, "HTTP 401")
    assert (await wrong(sunday_town))["RailClosed"].level is Level.FAIL
    await store.pauses.resume("rail:flutterwave")
    await store.pauses.pause("rail:flutterwave", "worker-1", "Contradiction: two transfers", now)
    assert "two transfers" in (await wrong(sunday_town))["RailContradicted"].says


async def test_a_worker_that_is_gone_is_told_from_workers_that_are_behind(sunday_town: Town) -> None:
    town = sunday_town
    await town.ann_earns("5000")
    await town.ann_asks("3000")
    town.clock.advance(30)
    assert await wrong(town) == {}
    town.clock.advance(60)
    gone = (await wrong(town))["WorkerGone"]
    assert (gone.level, gone.count) == (Level.FAIL, 1)
    await beats(town)
    assert await wrong(town) == {}
    town.clock.advance(5 * 60)
    await beats(town)
    assert (await wrong(town))["WorkersBehind"].level is Level.WARN


async def test_what_was_set_aside_says_why(town: Town) -> None:
    await town.ann_earns("5000")
    payout = await town.ann_asks("3000")
    await town.until_in(payout, "REQUESTED")
    stored = await town.store.records.read((await town.record(payout)).id)
    await town.store.records.park(stored, "ZeroDivisionError: a bug", "test")
    found = (await wrong(town))["RecordsParked"]
    assert (found.level, found.count, found.records[0].error) == (Level.FAIL, 1, "ZeroDivisionError: a bug")


async def test_books_that_do_not_balance_and_books_that_nobody_looks_at(sunday_town: Town) -> None:
    town, books = sunday_town, sunday_town.store.ledger
    await books.remember(LedgerCheck(town.clock.now(), conserved=True))
    assert await wrong(town) == {}
    town.clock.advance(27 * 3600)
    assert set(await wrong(town)) == {"LedgerUnchecked"}
    await books.remember(LedgerCheck(town.clock.now(), conserved=False))
    assert set(await wrong(town)) == {"LedgerNotConserved"}
    await books.remember(LedgerCheck(town.clock.now(), conserved=True))
    assert await wrong(town) == {}


async def test_those_outside_who_were_unfit_are_named(sunday_town: Town) -> None:
    async def refuses() -> str:
        raise BadSettings("HTTP 401")

    await ask_all(sunday_town.store, [Outsider("flutterwave", refuses)])
    found = (await wrong(sunday_town))["OutsideUnfit"]
    assert (found.level, found.says) == (Level.WARN, "flutterwave: HTTP 401")


def test_each_trouble_has_its_alert_and_its_runbook() -> None:
    source = Path(trouble.__file__).read_text("utf-8")
    names = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)+)"', source))
    assert len(names) > 10
    known = set(alerts())
    assert names <= known, names - known
    assert all((RUNBOOKS / f"{name}.md").is_file() for name in names)
