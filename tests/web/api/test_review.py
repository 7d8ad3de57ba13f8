"""Four eyes: who asked does not approve, nobody approves twice, and a yes counts only for what was seen."""

import asyncio

from machines.core.ids import RecordId
from payflow.config import Settings
from payflow.store.registers.tokens import Role, Tokens
from tests.web.api.front import ANN, BOUNCES, GOOD, SHOPS, Front, asking, open_front


async def test_what_the_rules_flag_waits_for_people_with_all_that_they_found(flagged: Front) -> None:
    made = await flagged.requested("400", note="August")
    review = await flagged.in_review(made["id"])
    assert [finding["code"] for finding in review["findings"]] == ["unverified", "new"]
    assert (review["amount"], review["destination"], review["note"]) == ("400.00", "044 ••••0031", "August")
    assert (review["asked_by"], review["approvals"], review["approvals_needed"]) == (SHOPS[ANN], [], 1)
    assert review["status"] == "requested"


async def test_a_reviewers_yes_to_what_he_saw_lets_it_be_paid(flagged: Front) -> None:
    made = await flagged.requested("400")
    review = await flagged.in_review(made["id"])
    yes = await flagged.reviewer("POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]})
    assert (yes.status, yes.body["status"]) == (200, "approved")
    await flagged.until(made["id"], "COMPLETED")
    history = await flagged.store.records.history((await flagged.record(made["id"])).id)
    assert next(event for event in history if event.trigger == "approve").who == "rita"
    assert (await flagged.reviewer("GET", "/api/reviews")).body == {"reviews": [], "more": False}


async def test_a_no_gives_the_money_back_and_the_provider_reads_why(flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    no = await flagged.reviewer("POST", f"/api/reviews/{made['id']}/reject", {"reason": "we do not know you yet"})
    assert (no.status, no.body["status"]) == (200, "rejected")
    seen = (await flagged.ann("GET", f"/api/payouts/{made['id']}")).body
    assert (seen["status"], seen["reason"]) == ("rejected", "we do not know you yet")
    assert (await flagged.money())["availableBalance"] == "1000.00"


async def test_nobody_approves_what_he_asked_for_himself_whatever_his_token_is_for(flagged: Front) -> None:
    made = await flagged.requested("400")
    review = await flagged.in_review(made["id"])
    path, body = f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}
    as_provider = await flagged.ann("POST", path, body)
    assert (as_provider.status, as_provider.code) == (403, "forbidden")
    for name in (ANN, ANN.upper()):
        await flagged.token(Role.REVIEWER, name=name)
        as_reviewer = await flagged.reviewer("POST", path, body, name=name)
        assert (as_reviewer.status, as_reviewer.code) == (409, "not_possible")
        assert "another person must" in as_reviewer.body["error"]["message"]
        await Tokens(flagged.store.link).revoke(name, "test")
    assert (await flagged.record(made["id"])).state == "REQUESTED"


async def test_a_large_amount_takes_two_people_and_one_person_twice_is_not_two(settings: Settings) -> None:
    async with open_front(settings, two_people_from="1000") as front, front.working():
        await front.earn("5000")
        made = await front.requested("1000")
        review = await front.in_review(made["id"])
        assert review["approvals_needed"] == 2
        path, body = f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}
        first = await front.reviewer("POST", path, body)
        assert (first.body["status"], [one["by"] for one in first.body["approvals"]]) == ("requested", ["rita"])
        again = await front.reviewer("POST", path, body)
        assert (again.status, again.code) == (409, "not_possible")
        assert "approved" in again.body["error"]["message"]
        second = await front.reviewer("POST", path, body, name="raul")
        assert second.body["status"] == "approved"
        await front.until(made["id"], "COMPLETED")


async def test_a_yes_to_something_else_than_what_is_there_is_refused(flagged: Front) -> None:
    made = await flagged.requested("400")
    await flagged.in_review(made["id"])
    stale = await flagged.reviewer("POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": "0" * 24})
    assert (stale.status, stale.code) == (409, "not_possible")
    assert "changed since you looked" in stale.body["error"]["message"]


async def test_a_yes_to_the_old_destination_is_void_once_the_provider_names_another(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    seen = await front.in_review(made["id"])
    there = {"destination": {"bank_code": "058", "account_number": GOOD}}
    assert (await front.ann("POST", f"/api/payouts/{made['id']}/destination", there)).status == 200
    path = f"/api/reviews/{made['id']}/approve"
    stale = await front.reviewer("POST", path, {"fingerprint": seen["fingerprint"]})
    assert (stale.status, stale.code) == (409, "not_possible")
    fresh = await front.in_review(made["id"])
    assert fresh["fingerprint"] != seen["fingerprint"]
    assert (await front.reviewer("POST", path, {"fingerprint": fresh["fingerprint"]})).status == 200


async def test_of_a_yes_and_a_no_at_the_same_time_one_counts_and_the_other_hears_of_it(flagged: Front) -> None:
    made = await flagged.requested("400")
    review = await flagged.in_review(made["id"])
    yes, no = await asyncio.gather(
        flagged.reviewer("POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}),
        flagged.reviewer("POST", f"/api/reviews/{made['id']}/reject", {"reason": "no"}, name="raul"),
    )
    assert sorted((yes.status, no.status)) == [200, 409]


async def test_a_payout_that_failed_for_good_waits_for_people_who_try_again_or_give_back(
    open_for_business: Front,
) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    review = await front.in_review(made["id"])
    assert (review["status"], review["reason_code"], review["rail_says"]) == (
        "failed",
        "unknown",
        "the account is closed",
    )
    again = await front.operator("POST", f"/api/payouts/{made['id']}/retry")
    assert (again.status, again.body["status"]) == (200, "processing")
    await front.until(made["id"], "FAILED")
    assert sorted(front.rail.submits.values()) == [1, 1]
    back = await front.operator("POST", f"/api/payouts/{made['id']}/release", {"reason": "the account is closed"})
    assert (back.status, back.body["status"]) == (200, "cancelled")
    assert (await front.money())["availableBalance"] == "1000.00"


async def test_what_is_not_proven_unpaid_is_not_given_back(open_for_business: Front) -> None:
    front = open_for_business
    made = await front.requested("100", account=BOUNCES)
    await front.until(made["id"], "FAILED")
    reference = (await front.record(made["id"])).data.attempts[0].reference
    shown = front.rail.known.pop(reference)  # the gateway shows it no more, which proves nothing
    taken = await front.operator("POST", f"/api/payouts/{made['id']}/release", {"reason": "enough"})
    assert (taken.status, taken.body["reason"]) == (200, "cancelling: waits for proof that nothing was paid")
    assert (await front.money())["held"] == "100.00"
    front.rail.known[reference] = shown
    await front.store.records.poke(RecordId(made["id"]))
    await front.until(made["id"], "CANCELLED", patient=True)
    assert (await front.money())["held"] == "0.00"


async def test_only_what_failed_can_be_tried_again_or_given_back(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    for step, body in (("retry", None), ("release", {"reason": "enough"})):
        refused = await front.operator("POST", f"/api/payouts/{made['id']}/{step}", body)
        assert (refused.status, refused.code) == (409, "not_possible")


async def test_the_line_before_the_reviewers_is_as_long_as_they_ask_for(flagged: Front) -> None:
    made = [(await flagged.requested("100"))["id"] for _ in range(3)]
    for payout_id in made:
        await flagged.in_review(payout_id)
    told = (await flagged.reviewer("GET", "/api/reviews?limit=2")).body
    assert (len(told["reviews"]), told["more"]) == (2, True)
    assert (await flagged.ann("GET", "/api/reviews")).code == "forbidden"


async def test_what_the_rules_have_not_seen_yet_is_not_before_the_reviewers(front: Front) -> None:
    await front.earn("1000")
    made = await front.requested("100")
    assert (await front.reviewer("GET", "/api/reviews")).body["reviews"] == []
    early = await front.reviewer("POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": "0" * 24})
    assert early.code == "not_possible"
    assert asking("100")["amount"] == "100"
