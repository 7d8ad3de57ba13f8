"""Files of payouts over HTTP: sent byte for byte, approved, and given back as a result for each row."""

import csv
import io
from typing import Any

import pytest

from machines.core.ids import in_room
from machines.core.money import NGN, Money
from payflow.store.registers.tokens import Role
from payflow.web.http import endpoints
from tests.waiting import wait_until
from tests.web.api.front import ANN, Front

PAYER = in_room("shop", ANN)

HEAD = "amount,currency,bank_code,account_number,note,reference"
FILE = f"{HEAD}\n100,NGN,044,0690000031,May,a-1\n200,NGN,044,0690000032,=1+1,a-2\n100,NGN,044,no account,May,=a-3\n"


async def sent(front: Front, body: str | bytes = FILE, who: Role = Role.PROVIDER, **query: str) -> tuple[int, Any]:
    """Send a file."""
    token = await front.token(who, ANN if who is Role.PROVIDER else "", name="" if who is Role.PROVIDER else f"a-{who}")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    url = f"{front.address}/api/payout-files"
    async with front.session.post(url, data=body, headers=headers, params={"name": "may.csv", **query}) as answer:
        return answer.status, await answer.json()


async def asked(
    front: Front, who: Role, method: str, path: str, body: object = None, name: str = ""
) -> tuple[int, Any]:
    token = await front.token(who, ANN if who is Role.PROVIDER else "", name=name)
    headers = {"Authorization": f"Bearer {token}"}
    async with front.session.request(method, front.address + path, json=body, headers=headers) as answer:
        return answer.status, await (answer.json() if answer.content_type == "application/json" else answer.text())


async def test_a_file_comes_in_and_a_result_for_each_row_goes_out(front: Front) -> None:
    await front.store.records.fund(PAYER, Money(300_00, NGN), "prefunded")
    status, file = await sent(front)
    assert status == 200, file
    assert (file["state"], file["rows"], file["red"], file["payable"]) == ("checked", 3, 1, 2)
    assert file["sums"][0]["amount"] == "300.00"
    assert file["red_rows"] == [{"row": 4, "cell": "account_number", "why": file["red_rows"][0]["why"]}]
    assert (await sent(front))[1]["id"] == file["id"]
    place, seen = f"/api/payout-files/{file['id']}", {"fingerprint": file["fingerprint"]}
    assert (await asked(front, Role.PROVIDER, "POST", f"{place}/approve", seen))[0] == 403
    assert (await asked(front, Role.REVIEWER, "POST", f"{place}/approve", {"fingerprint": "0" * 64}))[0] == 409
    status, after = await asked(front, Role.REVIEWER, "POST", f"{place}/approve", seen)
    assert status == 200, after
    assert (status, after["state"], len(after["approved_by"])) == (200, "making", 1)

    async def done() -> bool:
        shown = await asked(front, Role.PROVIDER, "GET", place)
        return bool(shown[1]["made"] == 2)

    async with front.working():
        await wait_until(done, "its rows are payouts")
    status, table = await asked(front, Role.PROVIDER, "GET", f"{place}/results")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(one["row"], one["reference"]) for one in rows] == [("2", "a-1"), ("3", "a-2"), ("4", "'=a-3")]
    assert rows[0]["payout"].startswith("payout-")
    assert rows[2]["status"] == "refused"
    assert "0690000032" not in table


async def test_another_ones_file_does_not_exist(front: Front) -> None:
    _, file = await sent(front)
    token = await front.token(Role.PROVIDER, "shop~eve", name="eve")
    url = f"{front.address}/api/payout-files/{file['id']}"
    async with front.session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "bad_input"), (b"PK\x03\x04", "bad_input"), (b"a,b\n1,2\n", "bad_input"), (b"\xff\xfe1", "bad_input")],
)
async def test_what_is_no_file_is_refused_in_words(front: Front, body: bytes, code: str) -> None:
    status, said = await sent(front, body)
    assert (status, said["error"]["code"]) == (400, code)
    assert len(said["error"]["message"]) > 10


async def test_a_file_that_is_too_large_is_not_taken_in(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_BYTES", 1000)
    status, said = await sent(front, FILE + "x" * 1000)
    assert (status, said["error"]["code"]) == (413, "too_large")


async def test_who_looks_only_sends_nothing(front: Front) -> None:
    assert (await sent(front, who=Role.VIEWER, owner=ANN))[0] == 403
    assert (await sent(front, who=Role.REVIEWER, owner=ANN))[0] == 403
