"""The dashboard on every store that Payflow may have: each page opens, and an act goes through."""

import pytest

from payflow.config import Settings
from payflow.store.registers.tokens import Role
from tests.servers import EVERY, Kind
from tests.web.admin.test_pages import busy_day
from tests.web.admin.visitor import Visitor
from tests.web.api.front import open_front


@pytest.mark.parametrize("kind", EVERY, indirect=True, ids=str)
async def test_every_page_opens_and_every_kind_of_act_goes_through_on_every_store(
    settings: Settings, kind: Kind
) -> None:
    async with open_front(settings) as front, front.working():
        await front.earn("1000")
        made = await busy_day(front)
        otto = await Visitor(front).come("otto", Role.OPERATOR)
        record = f"records/{made['under_way']}"
        for path in (
            "",
            "review",
            "records",
            "records?q=ann",
            "records.csv",
            "batches",
            "ledger",
            "outbox",
            "audit",
            "proposals",
            record,
        ):
            assert await otto.get(path) == 200, path
        await otto.see()
        assert await otto.send("resume", scope="machine:payout", reason="it is well") == 200
        await otto.see("ledger")
        assert await otto.send("ledger/check") == 200
        assert "NOT" not in otto.text
        await otto.see("audit")
        assert await otto.send("audit/check") == 200
        await otto.see(record)
        assert await otto.press("Decline") == 200
        olga = await Visitor(front).come("olga", Role.OPERATOR)
        await olga.see(f"{record}/override?to=CANCELLED")
        wanted = {"to": "CANCELLED", "reason": "lost", "version": olga.field("version")}
        assert await olga.send(f"{record}/override/propose", **wanted) == 200
        assert "override waits for a second person" in await otto.see()
        await otto.see(record)
        assert await otto.press("Confirm") == 200
        assert (await front.record(made["under_way"])).state == "CANCELLED"
        assert "waits for a second person" not in await otto.see()
        assert await front.store.audit.fault() == ""
