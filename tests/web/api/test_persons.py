"""Two names of one person are one person; whoever was disabled is nobody; and a token may open less than its role."""

from typing import Any

import pytest

from machines.core.clock import DAY, FixedClock
from machines.core.errors import NotAllowed
from machines.core.money import NGN
from payflow.config import Settings
from payflow.desk.identity import PersonChange, add_person, change_person, disable_person
from payflow.desk.person import Person
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role, Tokens, TokenScope
from tests.web.admin.visitor import Visitor
from tests.web.api.front import ANN, BOUNCES, SHOP, SHOPS, Answer, Front, asking, ngn, open_front

BOSS = Person("boss", Role.OPERATOR)
REVIEWER = PersonChange(frozenset({Role.REVIEWER}))
EARNING = {"id": "bonus", "owner": ANN, "amount": "100.01", "currency": "NGN"}


async def before_two(front: Front, amount: str = "1000") -> tuple[str, dict[str, Any]]:
    """A payout that two must approve; gives the path of a yes, and its body."""
    await front.earn("5000")
    made = await front.requested(amount)
    review = await front.in_review(made["id"])
    return f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}


@pytest.mark.parametrize("alias_first", [True, False])
async def test_two_tokens_of_one_person_are_not_two_reviewers(settings: Settings, *, alias_first: bool) -> None:
    """The second name is an older token's, or one that was made for the person; it is known before or in between."""
    async with open_front(settings, two_people_from="1000") as front, front.working():
        path, body = await before_two(front)
        if alias_first:
            await add_person(front.store, "rita", PersonChange(REVIEWER.roles, aliases=["rita-2025"]), BOSS)
        assert (await front.reviewer("POST", path, body, name="rita-2025")).body["status"] == "requested"
        if not alias_first:
            await add_person(front.store, "rita", PersonChange(REVIEWER.roles, aliases=["RITA-2025"]), BOSS)
        tokens = Tokens(front.store.link)
        for secret in (
            await front.token(Role.REVIEWER, name="rita"),
            await tokens.create("laptop", Role.REVIEWER, "", "boss", person="rita"),
        ):
            again = await front.call("POST", path, body, token=secret)
            assert (again.status, again.code) == (409, "not_possible")
            assert "another" in again.body["error"]["message"] or "second" in again.body["error"]["message"]
        assert (await front.reviewer("POST", path, body, name="raul")).body["status"] == "approved"


@pytest.mark.parametrize("way", ["token", "person", "made the first"])
async def test_whom_a_reviewer_made_alone_is_no_second_reviewer(settings: Settings, way: str) -> None:
    """Olu reviews as well as operates, and makes a second reviewer up: with a token, as a person, or beforehand."""
    async with open_front(settings, two_people_from="1000") as front, front.working():
        path, body = await before_two(front)
        olu = Person("olu", Role.OPERATOR)
        if way == "person":
            await add_person(front.store, "puppet", REVIEWER, olu)
        maker = "boss" if way == "person" else "olu"
        puppet = await Tokens(front.store.link).create("puppet", Role.REVIEWER, "", maker)
        if way == "made the first":
            await add_person(front.store, "puppet", REVIEWER, olu)
            assert (await front.call("POST", path, body, token=puppet)).body["status"] == "requested"
            refused = await front.reviewer("POST", path, body, name="olu")
        else:
            assert (await front.reviewer("POST", path, body, name="olu")).body["status"] == "requested"
            refused = await front.call("POST", path, body, token=puppet)
        assert (refused.status, refused.code) == (409, "not_possible")
        assert "one made the other" in refused.body["error"]["message"]
        assert (await front.reviewer("POST", path, body, name="raul")).body["status"] == "approved"


async def test_a_person_who_asked_for_it_does_not_approve_it_under_another_name(flagged: Front) -> None:
    made = await flagged.requested("400")
    review = await flagged.in_review(made["id"])
    await add_person(flagged.store, "rita", PersonChange(REVIEWER.roles, aliases=[ANN]), BOSS)
    refused = await flagged.reviewer(
        "POST", f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}
    )
    assert (refused.status, refused.code) == (409, "not_possible")
    assert f"same person as {ANN}" in refused.body["error"]["message"]


async def test_whoever_it_is_for_does_not_approve_what_their_platform_asks_for_either(flagged: Front) -> None:
    """It is said when they say yes, and not found to count for nothing each time that it is to leave."""
    made = (await flagged.shop("POST", "/api/payouts", asking("400") | {"owner": ANN})).body
    review = await flagged.in_review(made["id"])
    await add_person(flagged.store, "rita", PersonChange(REVIEWER.roles, aliases=[ANN]), BOSS)
    path, body = f"/api/reviews/{made['id']}/approve", {"fingerprint": review["fingerprint"]}
    refused = await flagged.reviewer("POST", path, body)
    assert (refused.status, refused.code) == (409, "not_possible")
    assert f"same person as {ANN}" in refused.body["error"]["message"]
    assert (await flagged.reviewer("POST", path, body, name="raul")).body["status"] != "requested"


async def test_nobody_approves_more_than_the_limit_of_the_person_or_of_the_token(settings: Settings) -> None:
    async with open_front(settings, two_people_from="100000") as front, front.working():
        front.known.standing_of_all = type(front.known.standing_of_all)()
        path, body = await before_two(front, "1000")
        await add_person(front.store, "rita", PersonChange(REVIEWER.roles, {NGN: ngn("999.99")}), BOSS)
        refused = await front.reviewer("POST", path, body)
        assert (refused.status, refused.code) == (403, "forbidden")
        assert "NGN 999.99 at most" in refused.body["error"]["message"]
        await change_person(front.store, "rita", PersonChange(limits={NGN: ngn("1000")}), BOSS)
        narrow = await Tokens(front.store.link).create(
            "phone", Role.REVIEWER, "", "boss", person="rita", scope=TokenScope(most={"NGN": 99_999})
        )
        assert (await front.call("POST", path, body, token=narrow)).status == 403
        assert (await front.reviewer("POST", path, body)).body["status"] == "approved"


async def test_whoever_is_disabled_opens_nothing_from_that_moment_with_no_token_and_no_session(front: Front) -> None:
    await add_person(front.store, "rita", PersonChange(REVIEWER.roles, aliases=["rita-2025"]), BOSS)
    visitor = Visitor(front)
    await visitor.sign_in(await front.token(Role.REVIEWER, name="rita-2025"))
    assert await visitor.get("review") == 200
    assert (await front.reviewer("GET", "/api/reviews")).status == 200
    await disable_person(front.store, "Rita", "left", BOSS)
    assert await visitor.get("review") == 303
    for name in ("rita", "rita-2025"):
        assert (await front.reviewer("GET", "/api/reviews", name=name)).code == "unauthenticated"


async def test_a_token_for_what_its_person_may_not_do_opens_nothing(front: Front) -> None:
    await add_person(front.store, "eve", PersonChange(frozenset({Role.VIEWER})), BOSS)
    tokens = Tokens(front.store.link)
    for role, person, status in ((Role.OPERATOR, "eve", 401), (Role.VIEWER, "eve", 200), (Role.VIEWER, "gone", 401)):
        secret = await tokens.create(f"{person}-{role}", role, "", "boss", person=person)
        assert (await front.call("GET", "/api/reviews", token=secret)).status == status


async def test_an_expired_token_opens_nothing(front: Front) -> None:
    long_ago = Tokens(front.store.link, FixedClock(1_000_000_000_000))
    secret = await long_ago.create("old", Role.REVIEWER, "", "boss", lasts_ms=90 * DAY)
    refused = await front.call("GET", "/api/reviews", token=secret)
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert "expired" in refused.body["error"]["message"]
    visitor = Visitor(front)
    assert await visitor.sign_in(secret) == 401


async def scoped(front: Front, role: Role, of: str, scope: TokenScope) -> str:
    return await Tokens(front.store.link).create(f"{role}-scoped", role, of, "boss", scope=scope)


async def test_a_token_that_reads_only_changes_nothing_by_program_or_page(front: Front) -> None:
    await front.earn("1000")
    secret = await scoped(front, Role.PROVIDER, SHOPS[ANN], TokenScope(reads_only=True))
    assert (await front.call("GET", "/api/provider/balance", token=secret)).status == 200
    for method, path, body in (
        ("POST", "/api/payouts", asking("100")),
        ("PUT", "/api/provider/profile", {"notify": []}),
    ):
        refused = await front.call(method, path, body, token=secret)
        assert (refused.status, refused.code) == (403, "forbidden")
        assert "only reads" in refused.body["error"]["message"]
    visitor = Visitor(front, "/portal")
    await visitor.sign_in(secret)
    assert await visitor.get() == 200
    assert await visitor.post("payouts", csrf=visitor.field("csrf"), amount="100") == 403
    assert await visitor.post("sign-out", csrf=visitor.field("csrf")) == 303, "who only looks may leave"
    assert (await front.money())["held"] == "0.00"


@pytest.mark.parametrize(("networks", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 403)])
async def test_a_token_for_some_networks_opens_nothing_from_elsewhere(front: Front, networks: str, status: int) -> None:
    secret = await scoped(front, Role.REVIEWER, "", TokenScope(networks=(networks,)))
    assert (await front.call("GET", "/api/reviews", token=secret)).status == status
    visitor = Visitor(front)
    assert await visitor.sign_in(secret) == (303 if status == 200 else 403)


async def test_nobody_outside_a_network_says_that_they_are_in_it(settings: Settings) -> None:
    async with open_front(settings, trusted_proxies="127.0.0.0/8") as front:
        secret = await scoped(front, Role.REVIEWER, "", TokenScope(networks=("10.0.0.0/8",)))
        for forwarded, status in (("10.1.1.1", 200), ("10.1.1.1, 6.6.6.6", 403), ("6.6.6.6, 10.1.1.1", 200)):
            answer = await front.call("GET", "/api/reviews", token=secret, X_Forwarded_For=forwarded)
            assert answer.status == status


async def test_a_machine_asks_and_credits_no_more_at_once_than_its_token_may(front: Front) -> None:
    def refused(answer: Answer) -> bool:
        return (answer.status, answer.code) == (403, "forbidden")

    await front.earn("5000")
    scope = TokenScope(most={"NGN": 10_000})
    shop, ann = await scoped(front, Role.PLATFORM, SHOP, scope), await scoped(front, Role.PROVIDER, SHOPS[ANN], scope)
    assert refused(await front.call("POST", "/api/earnings", EARNING, token=shop))
    for amount in ("100.01", None):
        assert refused(await front.call("POST", "/api/payouts", asking(amount), token=ann))
        assert refused(await front.call("POST", "/api/payouts", asking(amount) | {"owner": ANN}, token=shop))
    (line,) = (await front.call("POST", "/api/earnings/batch", {"earnings": [EARNING]}, token=shop)).body["results"]
    assert line["error"]["code"] == "forbidden"
    assert (await front.call("POST", "/api/payouts", asking("100"), token=ann)).status == 201
    assert (await front.call("POST", "/api/earnings", EARNING | {"amount": "100"}, token=shop)).status == 201


async def test_no_operator_gives_back_or_overrides_alone_what_is_above_their_limit(open_for_business: Front) -> None:
    front = open_for_business
    await front.earn("1000")
    made = await front.requested("500.01", account=BOUNCES)
    failed = await front.until(made["id"], "FAILED")
    await add_person(front.store, "opal", PersonChange(frozenset({Role.OPERATOR}), {NGN: ngn("500")}), BOSS)
    secret = await Tokens(front.store.link).create("opals", Role.OPERATOR, "", "boss", person="opal")
    refused = await front.call("POST", f"/api/payouts/{made['id']}/release", {"reason": "no"}, token=secret)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert "opal may do this with NGN 500.00 at most" in refused.body["error"]["message"]
    opal = Person("opal", Role.OPERATOR, "boss", TokenScope(most={"NGN": 50_000}))
    steering = Steering(front.store, front.metrics)
    with pytest.raises(NotAllowed, match="at most"):
        await steering.override(failed.id, "CANCELLED", "no", opal, (await front.record(made["id"])).version)
    assert (await front.record(made["id"])).state == "FAILED"
    # Whoever may do so much does it alone as before.
    await change_person(front.store, "opal", PersonChange(limits={NGN: ngn("501")}), BOSS)
    assert (
        await front.call("POST", f"/api/payouts/{made['id']}/release", {"reason": "no"}, token=secret)
    ).status == 200
