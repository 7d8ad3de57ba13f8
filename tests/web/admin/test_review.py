"""The page of the reviewers: what they see, what a yes is bound to, and who cannot give one."""

import pytest

from machines.payout.risk import ProviderHistory
from payflow.store.registers.tokens import Role
from tests.web.admin.visitor import Visitor
from tests.web.api.front import BOUNCES, GOOD, Front, asking


async def open_case(front: Front, amount: str = "400", **more: str) -> str:
    made = await front.requested(amount, **more)
    await front.in_review(made["id"])
    return str(made["id"])


async def decide(visitor: Visitor, payout_id: str, word: str, **fields: str) -> int:
    given = {"back": "/admin/review", "seen": visitor.field("seen"), **fields}
    return await visitor.send(f"records/{payout_id}/do/{word}", **given)


async def test_the_old_address_leads_to_the_page(visitor: Visitor) -> None:
    assert await visitor.get("/review") == 303
    assert visitor.headers["Location"] == "/admin/review"


async def test_a_reviewer_sees_why_and_what_is_known_of_the_provider_and_approves_what_she_saw(
    visitor: Visitor, flagged: Front
) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("rita")
    text = await visitor.see("review")
    for word in (payout_id, "What the rules found", "the provider is not verified", "ann so far", "0 paid", "by shop"):
        assert word in text
    assert await decide(visitor, payout_id, "approve") == 200
    assert f"Done: approve {payout_id}" in visitor.text
    await flagged.until(payout_id, "COMPLETED")


async def test_a_reviewer_rejects_with_a_reason_and_not_without(visitor: Visitor, flagged: Front) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("rita")
    await visitor.see("review")
    page = visitor.page
    assert await decide(visitor, payout_id, "reject", reason=" ") == 409
    assert "Say why" in visitor.text
    visitor.page = page
    assert await decide(visitor, payout_id, "reject", reason="not ours") == 200
    assert (await flagged.record(payout_id)).state == "REJECTED"


async def test_the_page_says_why_who_asked_cannot_approve_and_why_an_old_sight_is_void(
    visitor: Visitor, flagged: Front
) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("ann")
    assert "another person must" in await visitor.see("review")
    assert "/do/approve" not in visitor.page
    assert await visitor.send(f"records/{payout_id}/do/approve", seen=visitor.field("seen")) == 409
    assert "another person must" in visitor.text
    other = await Visitor(flagged).come("rita")
    await other.see("review")
    assert await decide(other, payout_id, "approve", seen="0" * 24) == 409
    assert "changed since you looked" in other.text
    assert (await flagged.record(payout_id)).state == "REQUESTED"


async def test_two_who_decide_at_once_get_one_decision_and_one_refusal(visitor: Visitor, flagged: Front) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("rita")
    await visitor.see("review")
    other = await Visitor(flagged).come("rob")
    await other.see("review")
    assert await decide(visitor, payout_id, "reject", reason="not ours") == 200
    assert await decide(other, payout_id, "approve") == 409
    assert (await flagged.record(payout_id)).state == "REJECTED"


async def test_what_failed_for_good_is_shown_without_buttons_that_would_be_refused(
    visitor: Visitor, flagged: Front
) -> None:
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = (await flagged.ann("POST", "/api/payouts", asking("100", BOUNCES))).body
    await flagged.until(made["id"], "FAILED")
    await visitor.come("rita")
    assert "It is not tried again by itself." in await visitor.see("review")
    assert "/do/" not in visitor.page


async def test_another_destination_of_a_failed_payout_is_shown_beside_the_old_one(
    visitor: Visitor, flagged: Front
) -> None:
    flagged.known.standing_of_all = ProviderHistory(verified=True, successes=9)
    made = (await flagged.ann("POST", "/api/payouts", asking("100", BOUNCES))).body
    await flagged.until(made["id"], "FAILED")
    there = {"destination": {"bank_code": "058", "account_number": GOOD}}
    assert (await flagged.ann("POST", f"/api/payouts/{made['id']}/destination", there)).status == 200
    await visitor.come("rita")
    text = await visitor.see("review")
    assert "another destination" in text
    assert "058 ••••0031 (bank), until now 044 ••••0040" in text
    assert await decide(visitor, made["id"], "approve") == 200
    await flagged.until(made["id"], "COMPLETED")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_a_reviewer_is_offered_a_decision(visitor: Visitor, flagged: Front, role: Role) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("somebody", role)
    assert payout_id in await visitor.see("review")
    assert "/do/" not in visitor.page


async def test_what_a_provider_writes_is_text_and_never_markup(visitor: Visitor, flagged: Front) -> None:
    payout_id = await open_case(flagged, note="<script>alert(1)</script>")
    await visitor.come("rita")
    for path in ("review", f"records/{payout_id}"):
        await visitor.see(path)
        assert "<script>alert" not in visitor.page
        assert "&lt;script&gt;" in visitor.page


async def test_a_decision_stands_in_the_audit_log_and_so_does_one_that_was_refused(
    visitor: Visitor, flagged: Front
) -> None:
    payout_id = await open_case(flagged)
    await visitor.come("rita")
    await visitor.see("review")
    assert await decide(visitor, payout_id, "approve") == 200
    refused = await flagged.reviewer("POST", f"/api/reviews/{payout_id}/approve", {"fingerprint": "00"}, name="rob")
    assert refused.status == 409
    lines = await flagged.store.audit.page(None, 10)
    assert [(line.who, line.act, line.subject) for line in lines] == [
        ("rob", "refused", payout_id),
        ("rob", "approve", payout_id),
        ("rita", "approve", payout_id),
        ("rita", "sign in", "/admin"),
    ]
    assert await flagged.store.audit.fault() == ""
