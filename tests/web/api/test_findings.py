"""Findings over the API: listed, shown and worked on as on the page, by operators; a posting takes two people."""

from collections.abc import AsyncIterator

import pytest

from machines.core.clock import HOUR, Millis
from machines.core.ids import Owner
from machines.core.rail_share import FINE, RailPart
from machines.finding.react import finding
from payflow.desk.reconcile.findings import Findings
from payflow.desk.reconcile.reconciler import ComparedRail, Reconciler
from payflow.web import routes as api
from payflow.web.api.findings import FindingsApi
from payflow.web.http import app
from tests.cli.test_findings import OTHER, PAYOUT, Bank
from tests.web.api.front import Front, Json

PLACE = "/api/findings"


@pytest.fixture
async def reconciled(front: Front) -> AsyncIterator[Front]:
    """The API of an installation whose bank paid one of two payouts short, and a salary; the other it does not list."""
    bank, store = Bank(), front.store
    reconciler = Reconciler(store, Findings(store, front.metrics), {"bank": ComparedRail(bank, bank, bank)})
    store.serve([*store.records.machines.values(), finding(reconciler.acts())])
    now = await store.records.now()
    bank.is_paid(PAYOUT, now, line="77", units=4_900)
    bank.is_paid(OTHER, now)
    bank.says("99", "salary", Millis(now - 4 * HOUR), 77_700)
    await reconciler.compare("bank", Millis(now - 5 * HOUR))
    room = FindingsApi(store, reconciler, front.metrics)
    routes = api.routes(front.desk, front.settings, front.metrics, also=room.endpoints())
    async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
        front.address = address
        yield front


async def of_kind(front: Front, kind: str) -> Json:
    (found,) = (await front.operator("GET", f"{PLACE}?kind={kind.replace(' ', '+')}")).body["findings"]
    told: Json = found
    return told


async def test_they_are_listed_shown_and_told_by_rail(reconciled: Front) -> None:
    listed = (await reconciled.reviewer("GET", PLACE)).body
    assert {one["kind"] for one in listed["findings"]} == {"amount differs", "missing there", "not ours"}
    assert not listed["more"]
    assert (await reconciled.reviewer("GET", f"{PLACE}?limit=1")).body["more"]
    assert (await reconciled.reviewer("GET", f"{PLACE}?kind=worse")).status == 400
    short = await of_kind(reconciled, "amount differs")
    assert (short["amount"], short["currency"], short["proposed"], short["record"]) == (
        "1.00",
        "NGN",
        "correct",
        PAYOUT,
    )
    shown = (await reconciled.reviewer("GET", f"{PLACE}/{short['id']}")).body
    assert "NGN 49.00" in shown["line"]
    assert shown["events"]
    (rail,) = (await reconciled.reviewer("GET", "/api/reconciliation")).body["rails"]
    assert (rail["rail"], rail["asked"], rail["lines"], rail["open"]) == ("bank", True, 2, 3)
    assert rail["read"] >= rail["compared"]


async def test_what_is_proposed_is_done_with_a_reason_and_a_posting_only_by_two(reconciled: Front) -> None:
    salary, short = await of_kind(reconciled, "not ours"), await of_kind(reconciled, "amount differs")
    without = await reconciled.operator("POST", f"{PLACE}/{salary['id']}/resolve", {})
    assert (without.status, "--reason" in without.raw.decode()) == (400, True)
    done = await reconciled.operator("POST", f"{PLACE}/{salary['id']}/resolve", {"reason": "salaries of May"})
    assert (done.status, done.body["finding"]["state"]) == (200, "RESOLVED")
    account = (await reconciled.store.ledger.rails())["bank", "NGN"]
    assert account.fine(RailPart.FUNDED) == -77_700 * FINE
    again = await reconciled.operator("POST", f"{PLACE}/{salary['id']}/resolve", {"reason": "once more"})
    assert again.status == 409
    assert (await reconciled.store.ledger.rails())["bank", "NGN"].fine(RailPart.FUNDED) == -77_700 * FINE
    proposed = await reconciled.operator("POST", f"{PLACE}/{short['id']}/resolve", {"reason": "the bank's letter"})
    assert "another operator" in proposed.body["said"]
    assert proposed.body["finding"]["state"] == "OPEN"
    assert await reconciled.store.ledger.account(Owner("ann")) == {}, "nothing is posted by one person"


async def test_it_is_taken_up_waived_and_matched_and_by_nobody_else(reconciled: Front) -> None:
    gone, salary = await of_kind(reconciled, "missing there"), await of_kind(reconciled, "not ours")
    for who in (reconciled.reviewer, reconciled.shop, reconciled.ann):
        assert (await who("POST", f"{PLACE}/{gone['id']}/take", {})).status == 403
    taken = await reconciled.operator("POST", f"{PLACE}/{gone['id']}/take", {})
    assert taken.body["finding"]["taken_by"]
    assert (await reconciled.operator("POST", f"{PLACE}/{gone['id']}/waive", {"reason": " "})).status == 400
    waived = await reconciled.operator("POST", f"{PLACE}/{gone['id']}/waive", {"reason": "the bank's letter"})
    assert waived.body["finding"]["state"] == "WAIVED"
    wrong = await reconciled.operator("POST", f"{PLACE}/{salary['id']}/match", {"record": "somebody"})
    assert wrong.status == 400
    matched = await reconciled.operator("POST", f"{PLACE}/{salary['id']}/match", {"record": OTHER})
    assert matched.status == 200, matched.raw
    assert (await reconciled.operator("GET", f"{PLACE}/payout-00-none")).status == 404
