"""Each row of the gateways' tables, lived through from the request to the receipt, exact to the last unit.

Asked for over HTTP, paid by the gateway, told by its webhook, found in its statement. The stories are made of the
tables: no row is without its own.
"""

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest

from adapters.flutterwave.methods import V3, V4
from adapters.paystack.methods import METHODS
from adapters.sandbox.magic import name_of
from machines.core.clock import DAY, Millis
from machines.core.currencies import CURRENCIES
from machines.core.methods import ACCOUNT, HOLDER, PayMethod
from machines.core.money import Money
from machines.core.ports import LineKind, StatementLine
from payflow.app import gateways
from payflow.config import Settings
from tests.stories.banks import Choice, paystack, v3, v4
from tests.stories.town import ANN, HOME, Town, open_town

GATEWAYS: Mapping[str, tuple[Choice, tuple[PayMethod, ...]]] = {
    "v3": (v3, V3),
    "v4": (v4, V4),
    "paystack": (paystack, METHODS),
}
STORIES = [
    pytest.param(choice, [row for row in rows if row.method == method], id=f"{name} {method}")
    for name, (choice, rows) in GATEWAYS.items()
    for method in dict.fromkeys(row.method for row in rows)
]


def where(row: PayMethod) -> dict[str, str]:
    """A destination of a row; the accounts that its examples show stay pending for ever at the simulator."""
    fields = {field.name: field.example for field in row.fields}
    fields |= {ACCOUNT: HOME} if fields[ACCOUNT].startswith("069") else {}
    # Under a name that the bank does not have it would take two people.
    return fields | ({HOLDER: name_of(fields[ACCOUNT])} if row.resolves else {})


@pytest.mark.parametrize(("choice", "rows"), STORIES)
async def test_a_row_is_lived_through_to_the_last_unit(
    settings: Settings, choice: Choice, rows: list[PayMethod]
) -> None:
    async with open_town(settings, choice) as town, town.worker():
        asked: dict[str, tuple[PayMethod, Money]] = {}
        for row in rows:
            one = CURRENCIES[row.currency]
            amount = Money(3 * one.units(one.minimum) + 1, one.asset)
            await town.ann_earns(amount.decimal, row.currency)
            asked[(await town.ann_asks_by(row, amount.decimal, where(row)))["id"]] = (row, amount)
        for payout in asked:
            await town.approve(payout)
            await town.until_queued(payout)
        await town.time_passes(hours=2)
        for payout in asked:
            await town.until_sent(payout)
        await town.time_passes(seconds=10)
        lines = await _statement(town)
        for payout, (row, amount) in asked.items():
            record = await town.until(payout, "paid")
            assert record.amount == amount, row.name
            await _reached(town, payout, row, amount)
            assert {one.amount for one in lines.get(town.reference(payout), [])} <= {amount}, row.name
            assert lines is NONE or len(lines[town.reference(payout)]) == 1, row.name
            await _on_a_receipt(town, payout, amount)
        assert [one.answers for one in town.bank.courier.deliveries] == [[200]] * len(rows)
        account = await town.store.ledger.account(ANN)
        for row, amount in asked.values():
            assert account[row.currency].paid == amount.units, row.name
            assert town.bank.book.total(row.currency) == Decimal(amount.decimal), row.name


async def _reached(town: Town, payout: str, row: PayMethod, amount: Money) -> None:
    """The gateway was told all that the row names, and nothing of it was changed on the way."""
    order = town.transfer(payout).order
    said = where(row)
    assert (order.kind, order.account, order.amount) == (row.method, said[ACCOUNT], Decimal(amount.decimal)), row.name
    told = json.dumps([order.name, order.bank, order.meta], default=str)
    extra = {"branch_code", "bank_code", "account_name", ACCOUNT}
    assert [text for name, text in said.items() if name not in extra and text not in told] == [], row.name


NONE: Mapping[str, list[StatementLine]] = {}
"""Of a gateway without a statement."""


async def _statement(town: Town) -> Mapping[str, list[StatementLine]]:
    """Read the gateway's statement: what it says that it paid, by our references."""
    found: dict[str, list[StatementLine]] = {}
    async with AsyncExitStack() as stack:
        setups = await gateways.open_gateways(town.settings, town.store, town.clock, stack)
        statement = setups[town.settings.payout_rail].statement
        if statement is None:
            return NONE
        now = town.clock.now()
        seen: set[str] = set()
        async for part in statement.parts(Millis(now - DAY), now, town.store.records.assets):
            for line in part.lines:
                if line.kind is LineKind.PAYMENT and line.id not in seen:
                    seen.add(line.id)
                    found.setdefault(line.reference, []).append(line)
    return found


async def _on_a_receipt(town: Town, payout: str, amount: Money) -> None:
    headers = {"Authorization": f"Bearer {await town._token('ann')}"}  # noqa: SLF001  (the town's own people)
    async with town.session.get(f"{town.address}/api/payouts/{payout}/receipt", headers=headers) as answer:
        body: dict[str, Any] = json.loads(await answer.read())
    said = json.dumps(body)
    assert "PAID" in said
    assert json.dumps({"asset": amount.asset.code, "amount": amount.decimal}, sort_keys=True)[1:-1] in json.dumps(
        body, sort_keys=True
    )


NEEDED = [(row, field) for row in V3 for field in row.fields if field.needed]


async def test_a_destination_that_lacks_something_holds_nothing(settings: Settings) -> None:
    """Each needed field of each row, left out; the words are the row's, and no money is held."""
    async with open_town(settings, v3) as town:
        for code, one in CURRENCIES.items():
            await town.ann_earns(one.minimum, code)
        for row, field in NEEDED:
            lacking = {name: text for name, text in where(row).items() if name != field.name}
            said = await town.ann_asks_by(row, CURRENCIES[row.currency].minimum, lacking, expect=400)
            assert said["error"]["field"] == f"destination.{field.name}", row.name
            assert said["error"]["code"] == "missing_field", row.name
        assert {account.held for account in (await town.store.ledger.account(ANN)).values()} == {0}
