"""Reconciliation: what differs by age, one finding between its line and its record, and what is done with it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from machines.core.clock import DAY, HOUR, Millis
from machines.core.ids import Owner, RecordId
from machines.finding.react import finding
from payflow.desk.reconcile.findings import FindingFilter, Findings
from payflow.desk.reconcile.reconciler import ComparedRail, Reconciler
from payflow.store.registers.passkeys import Passkey, Passkeys
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.pages.admin import reconciliation
from payflow.web.pages.admin.frame import DashboardExtensions
from tests.cli.test_findings import OTHER, PAYOUT, Bank
from tests.web.admin.chromium import Chromium, flaws
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, Front


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
async def desk(flagged: Front, bank: Bank) -> AsyncIterator[Reconciler]:
    """A desk whose bank paid one of two payouts short, and a salary that is none of ours; the third says nothing."""
    store = flagged.store
    reconciler = Reconciler(store, Findings(store, flagged.metrics), {"bank": ComparedRail(bank, bank, bank)})
    store.serve([*store.records.machines.values(), finding(reconciler.acts())])
    now = await store.records.now()
    bank.is_paid(PAYOUT, now, line="77", units=4_900)
    bank.is_paid(OTHER, now)
    bank.known = {name: replace(ours, owner=Owner(ANN)) for name, ours in bank.known.items()}
    bank.says("99", "salary", Millis(now - 4 * HOUR), 77_700)
    await reconciler.compare("bank", Millis(now - 5 * HOUR))
    board = DashboardExtensions(pages=[reconciliation.page(reconciler, flagged.metrics)])
    routes = api.pages(flagged.desk, flagged.settings, board)
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        flagged.address = address
        yield reconciler


async def named(desk: Reconciler, kind: str) -> str:
    (one,) = await desk.findings.all(FindingFilter(kind=kind))
    return one.id


async def test_it_shows_what_differs_by_age_and_one_down_to_its_line(visitor: Visitor, desk: Reconciler) -> None:
    await visitor.come("vic", Role.VIEWER)
    text = await visitor.see("reconciliation")
    assert "amount differs severe bank 1 0 0 0 NGN 1.00" in text
    assert "its statement was read" in text
    assert "Do what is proposed" not in text
    only = await visitor.see("reconciliation?kind=not+ours&rail=bank")
    assert "Newest lines of bank" in only
    one = await visitor.see(f"reconciliation/{await named(desk, 'amount differs')}")
    assert "NGN 49.00 was paid instead of NGN 50.00" in one
    assert "77: payment of NGN 49.00 left at" in one
    assert "becomes available" in one
    assert await visitor.get("reconciliation?kind=nonsense") == 400
    assert await visitor.get("reconciliation/finding-00-aaaaaaaaaaaaaaaa") == 404
    assert await visitor.post("reconciliation/waive", id="x", csrf=visitor.field("csrf")) == 403


async def test_operators_do_what_is_proposed_and_a_posting_waits_for_a_second_one(
    visitor: Visitor, desk: Reconciler, bank: Bank
) -> None:
    await visitor.come("otto", Role.OPERATOR)
    name = await named(desk, "not ours")
    await visitor.see(f"reconciliation/{name}")
    assert await visitor.send("reconciliation/take", id=name, back=f"/admin/reconciliation/{name}") == 200
    assert "Worked on by otto" in visitor.text
    assert await visitor.send("reconciliation/resolve", id=name, reason="salaries of May") == 200
    assert "It is booked." in visitor.text
    gone = await named(desk, "missing there")
    assert await visitor.send("reconciliation/resolve", id=gone) == 200
    assert "paid no more in our books" in visitor.text
    posting = await named(desk, "amount differs")
    assert await visitor.send("reconciliation/resolve", id=posting, reason="the bank kept it") == 200
    assert "another operator confirms it" in visitor.text
    assert "It is put before a second operator already" in await visitor.see(f"reconciliation/{posting}")
    await visitor.come("olga", Role.OPERATOR)
    await visitor.see("proposals")
    assert "NGN 1.00 becomes available to" in visitor.text
    assert await visitor.press("Confirm exactly this") == 200
    assert "Nothing differs between our books" in await visitor.see("reconciliation")
    assert "RESOLVED" in await visitor.see("reconciliation?over=yes")


async def test_what_cannot_be_done_is_refused_and_looks_like_no_success(visitor: Visitor, desk: Reconciler) -> None:
    await visitor.come("otto", Role.OPERATOR)
    name = await named(desk, "not ours")
    await visitor.see(f"reconciliation/{name}")
    assert await visitor.send("reconciliation/resolve", id=name) == 409
    assert "Say what it was" in visitor.text
    assert (await desk.findings.read(RecordId(name))).state == "OPEN"


async def test_several_are_done_at_once_and_each_that_cannot_be_is_named(visitor: Visitor, desk: Reconciler) -> None:
    await visitor.come("otto", Role.OPERATOR)
    await visitor.see("reconciliation")
    booked, gone = await named(desk, "not ours"), await named(desk, "missing there")
    fields = [("csrf", visitor.field("csrf")), ("id", booked), ("id", gone)]
    assert await visitor.submit("reconciliation/resolve", fields) == 200
    assert "1 of 2 are done." in visitor.text
    assert "Say what it was" in visitor.text


async def test_a_line_is_matched_by_hand(visitor: Visitor, desk: Reconciler, bank: Bank) -> None:
    bank.says("100", "who knows", Millis(bank.known[OTHER].at - 3 * DAY))
    await desk.compare("bank")
    await visitor.come("otto", Role.OPERATOR)
    name = next(one.id for one in await desk.findings.all(FindingFilter(kind="not ours")) if one.data.line == "100")
    await visitor.see(f"reconciliation/{name}")
    assert await visitor.send("reconciliation/match", id=name, record="nonsense") == 409
    await visitor.see(f"reconciliation/{name}")
    assert await visitor.send("reconciliation/match", id=name, record=OTHER) == 200, visitor.text
    assert "Matched; the finding is RESOLVED." in visitor.text
    record = await desk.findings.read(RecordId(await named(desk, "missing there")))
    assert "100 says it too" in await desk.explained(record.data)


async def test_both_pages_can_be_used_by_everybody_wide_and_narrow(
    browser: Chromium, flagged: Front, desk: Reconciler
) -> None:
    page = await browser.signed_in("otto", Role.OPERATOR)
    for path in ("?rail=bank", f"/{await named(desk, 'amount differs')}", f"/{await named(desk, 'missing there')}"):
        await browser.see(page, f"/reconciliation{path}")
        assert await flaws(page) == []


async def test_who_has_a_passkey_shows_it_before_something_is_posted(
    visitor: Visitor, desk: Reconciler, flagged: Front
) -> None:
    """Else a cookie that was stolen from one operator would do for what is adopted, and for the first of two."""
    await visitor.come("otto", Role.OPERATOR)
    name, now = await named(desk, "amount differs"), Millis(1)
    key = Passkey("key", "otto", "his", b"key", 0, "otto", "", now, now)
    await Passkeys(flagged.store.link).add(key)
    await visitor.see(f"reconciliation/{name}")
    await visitor.send("reconciliation/resolve", id=name, reason="the statement says so")
    assert "Is it you?" in visitor.text
    await visitor.see("proposals")
    assert "finding posting" not in visitor.text
