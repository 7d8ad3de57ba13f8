"""The pages of files: sent by an operator, approved by a reviewer, red where it must be."""

import aiohttp

from machines.core.ids import in_room
from machines.core.money import NGN, Money
from payflow.store.registers.tokens import Role
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, Front

PAYER = in_room("shop", ANN)

ROWS = "amount,currency,bank_code,account_number,note\n100,NGN,044,0690000031,May\n100,NGN,044,31 00,May\n"


async def sends(visitor: Visitor, csrf: str, content: str = ROWS, name: str = "may.csv") -> int:
    """Send the form with the file as a browser does."""
    form = aiohttp.FormData()
    form.add_field("csrf", csrf)
    form.add_field("owner", PAYER)
    form.add_field("columns", "")
    form.add_field("file", content.encode(), filename=name, content_type="text/csv")
    url, headers = f"{visitor.front.address}/admin/files/upload", {"Cookie": visitor.cookie}
    async with visitor.front.session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
        visitor.page, visitor.headers = await answer.text(), dict(answer.headers)
        return answer.status


async def test_a_file_is_sent_seen_and_approved_by_another(visitor: Visitor, flagged: Front) -> None:
    await flagged.store.records.fund(PAYER, Money(300_00, NGN), "prefunded")
    await visitor.come("uma", Role.OPERATOR)
    await visitor.see("files")
    assert await sends(visitor, visitor.field("csrf")) == 303
    place = visitor.headers["Location"]
    said = await visitor.see(place)
    assert "2 rows were checked; 1 are red" in said
    assert "may.csv" in said
    assert "account_number" in said
    assert 'formaction="' not in visitor.page
    assert "A reviewer does it" in said
    await visitor.come("rita", Role.REVIEWER)
    await visitor.see(place)
    assert await visitor.press("Leave them out", rows="9999") == 409
    await visitor.see(place)
    assert await visitor.press(">Approve<") == 200
    assert "its rows become payouts" in visitor.text or "Every row is a payout" in visitor.text
    assert await visitor.get(f"{place}/results.csv") == 200
    assert visitor.headers["Content-Type"].startswith("text/csv")


async def test_a_form_from_elsewhere_sends_no_file(visitor: Visitor) -> None:
    await visitor.come("uma", Role.OPERATOR)
    assert await sends(visitor, "made up") == 403
    assert await sends(visitor, "") == 403
    await visitor.see("files")
    assert await sends(visitor, visitor.field("csrf"), "no,such\n1,2\n") in (400, 409)
    assert "No heading of the file is known" in visitor.text
    await visitor.see("files")
    assert "No file was sent yet" in visitor.text
