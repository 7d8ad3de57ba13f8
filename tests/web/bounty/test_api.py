"""What programs may ask, and what GitHub may tell: the surface that others know, and everything that is refused."""

import io
import json
from typing import Any

import jsonschema
import pytest

from machines.bounty import lifecycle as s
from machines.core.errors import NotFound
from machines.core.forge import ForgeIssue, IssueNews, Place
from payflow.web.api.openapi import document
from tests.bounties import ANN, MIA, Fair
from tests.chain import OTHER


async def deliver(fair: Fair, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    """Post something to the place of the deliveries."""
    async with fair.session.post(fair.address + "/webhook-app", data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.json()


def labelled(fair: Fair) -> bytes:
    """A delivery that would make a bounty."""
    home = fair.home
    issue = {
        "id": 9_000_000_000_001,
        "number": 12,
        "title": "t",
        "state": "open",
        "labels": [{"name": "bounty"}],
        "updated_at": "2026-11-20T14:00:00Z",
    }

    told = {
        "action": "labeled",
        "issue": issue,
        "repository": {"id": home.id, "full_name": home.name, "default_branch": "main"},
        "installation": {"id": home.installation},
    }
    return json.dumps(told).encode()


def described(fair: Fair) -> dict[str, Any]:
    """The document of an API that serves bounties alone."""
    return document(fair.bounties.endpoints(), [fair.bounties.deliveries()])


async def bounties(fair: Fair) -> int:
    """How many bounties there are."""
    return len(await fair.bounties.desk.bounties())


async def test_a_signed_delivery_makes_a_bounty_once(fair: Fair) -> None:
    """Replayed, under the same id or another one, it makes nothing more."""
    body = labelled(fair)
    for delivery in ("one", "one", "two"):
        assert (await deliver(fair, body, fair.github.signed("issues", body, delivery)))[0] == 200
    assert await bounties(fair) == 1


@pytest.mark.parametrize("fault", ["unsigned", "wrongly signed", "altered", "only the old signature"])
async def test_a_delivery_that_proves_nothing_is_refused(fair: Fair, fault: str) -> None:
    body = labelled(fair)
    headers = fair.github.signed("issues", body, "one")
    if fault == "unsigned":
        headers = {"X-GitHub-Event": "issues"}
    elif fault == "wrongly signed":
        headers["X-Hub-Signature-256"] = headers["X-Hub-Signature-256"][:-1] + "x"
    elif fault == "altered":
        body = body.replace(b'"number": 12', b'"number": 13')
    else:
        del headers["X-Hub-Signature-256"]
    status, told = await deliver(fair, body, headers)
    assert (status, told["error"]["code"]) == (401, "forged")
    assert await bounties(fair) == 0


async def test_a_delivery_that_cannot_be_read_is_refused(fair: Fair) -> None:
    """Truncated, huge, or of another shape; one that is of no interest is taken."""
    whole = labelled(fair)
    for body in (whole[:-30], b"", b"[]", b"{"):
        status, _ = await deliver(fair, body, fair.github.signed("issues", body, "one"))
        assert status == 400
    huge = b'{"action":"' + b"x" * (1024 * 1024 + 1) + b'"}'
    assert (await deliver(fair, huge, fair.github.signed("issues", huge, "one")))[0] == 413
    large = json.dumps({"action": "labeled", "padding": "x" * 500_000}).encode()
    assert (await deliver(fair, large, fair.github.signed("star", large, "one")))[0] == 200
    assert await bounties(fair) == 0


async def test_a_disabled_repository_makes_no_bounties(fair: Fair) -> None:
    """Until the app is installed again."""
    await fair.at_github(fair.github.uninstall, fair.home)
    issue = await fair.labelled_issue()
    with pytest.raises(NotFound):
        await fair.record(issue)


async def test_a_repository_has_a_bound(fair: Fair) -> None:
    """Labels are cheap, wallets are not."""
    desk = fair.bounties.desk
    object.__setattr__(desk.world, "most_open", 2)
    told = [
        await desk.take(
            IssueNews(
                Place(fair.home.installation, fair.home.id, fair.home.name, number),
                ForgeIssue(100 + number, number, "t", open=True, labelled=True, updated_at=1),
            )
        )
        for number in (1, 2, 3)
    ]
    assert told == ["opened", "opened", "too_many"]


async def test_who_asks(fair: Fair) -> None:
    """A token says who; without one nothing concerns anybody."""
    async with fair.session.get(fair.address + "/api/user") as answer:
        assert answer.status == 401
    told = await fair.says("ann", "GET", "/api/user")
    assert (told["id"], told["address"]) == (fair.github.town.person("ann").id, None)
    assert (await fair.says("olu", "GET", "/api/user"))["id"] is None
    await fair.says("olu", "POST", "/api/user", {"address": ANN.address}, expect=403)


async def test_what_concerns_whom(fair: Fair) -> None:
    """Maintainers their repositories', people who work here all, everybody else nothing; open ones are public."""
    issue = await fair.labelled_issue()
    assert [one["issue-id"] for one in (await fair.says("mia", "GET", "/api/user/bounties"))["bounties"]] == [issue.id]
    assert len((await fair.says("vic", "GET", "/api/user/bounties"))["bounties"]) == 1
    assert (await fair.says("ann", "GET", "/api/user/bounties"))["bounties"] == []
    await fair.says("ann", "GET", f"/api/user/bounty/{issue.id}", expect=404)
    for nobody in ("123", "9" * 19, "9" * 5_000, "²"):
        await fair.says("mia", "GET", f"/api/user/bounty/{nobody}", expect=404)
    await fair.says("mia", "GET", f"/api/user/bounty/{fair.id_of(issue)}")
    async with fair.session.get(fair.address + "/api/open-bounties") as answer:
        assert (answer.status, await answer.json()) == (200, {"bounties": []}), "it has no wallet yet"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/user/bounty/{}/payout", {}, 400),
        ("/api/user/bounty/{}/payout", {"payout-hash": 5}, 400),
        ("/api/user/bounty/{}/payout", {"payout-hash": "0x12"}, 400),
        ("/api/user/bounty/{}/payout", {"payout-hash": "0x" + "ab" * 32, "number": "1"}, 400),
        ("/api/user/bounty/{}/payout", {"payout-hash": "0x" + "ab" * 32}, 409),
        ("/api/user/revoke", {"issue-id": 0, "address": MIA.address}, 400),
        ("/api/user/revoke", {"issue-id": "{}"}, 400),
        ("/api/user/revoke", {"issue-id": 123456, "address": MIA.address}, 404),
        ("/api/user/remove-bot-confirmation", {"issue-id": "x" * 9999}, 400),
        ("/api/user", {"address": ["0x"]}, 400),
        ("/api/user/repository/x/owner", {"address": MIA.address, "message": "x", "signature": "0x"}, 400),
        ("/api/user/repository/77/owner", {"address": MIA.address, "message": "x", "signature": "0x"}, 404),
    ],
)
async def test_what_is_no_request(fair: Fair, path: str, body: dict[str, Any], status: int) -> None:
    """Each wrong field is named, and nothing is done."""
    issue = await fair.labelled_issue()
    told = await fair.says("mia", "POST", path.format(issue.id), body, expect=status)
    assert told["error"]["message"]


async def test_an_installation_that_was_taken_away_hides_no_other_repository(fair: Fair) -> None:
    """Nobody told us of it; what others maintain is shown all the same."""
    issue = await fair.labelled_issue()
    gone = fair.github.install("other/place", mia="admin")
    await fair.github.catch_up()
    fair.github.api.suspended.add(gone.installation)
    told = await fair.says("mia", "GET", "/api/user/bounties")
    assert [one["issue-id"] for one in told["bounties"]] == [issue.id]


async def test_ids_of_64_bits(fair: Fair) -> None:
    """The largest that there is goes through signature, store and API unchanged."""
    body = labelled(fair).replace(b"9000000000001", str(2**63 - 1).encode())
    assert (await deliver(fair, body, fair.github.signed("issues", body, "one")))[0] == 200
    told = await fair.says("mia", "GET", f"/api/user/bounty/{2**63 - 1}")
    assert told["issue-id"] == 2**63 - 1


async def test_the_document_of_the_api_names_every_place_of_bounties_and_no_other(fair: Fair) -> None:
    """Where bounties are not set up it names none."""
    routes = fair.bounties.routes()
    served = {(one.method, one.path) for one in routes if one.path.startswith(("/api/", "/webhook"))}
    alone = set(document(())["paths"])
    told = described(fair)["paths"]
    mine = {path: methods for path, methods in told.items() if path not in alone}
    assert {(method.upper(), path) for path, methods in mine.items() for method in methods} == served
    names = [one["operationId"] for methods in told.values() for one in methods.values()]
    assert len(set(names)) == len(names)


async def test_what_is_answered_is_what_the_document_says(fair: Fair) -> None:
    """Every answer that a bounty in each of its states gives fits the schema."""
    issue = await fair.labelled_issue()
    async with fair.worker():
        await fair.until(issue, s.OPEN)
        await fair.pull_for(issue)
    told = described(fair)
    for path, query in (
        ("/api/open-bounties", ""),
        ("/api/activity-feed", ""),
        ("/api/top-hunters", ""),
        ("/api/user/bounties", ""),
        ("/api/user/repositories", ""),
        ("/api/user/enabled-repositories", ""),
        ("/api/user/bounty/{id}", ""),
        ("/api/user", ""),
        ("/api/user/proof", f"?address={MIA.address}&repository={fair.home.id}"),
    ):
        answer = await fair.says("mia", "GET", path.replace("{id}", str(issue.id)) + query)
        schema = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, {**schema, "components": told["components"]})
    feed = await fair.says("mia", "GET", "/api/activity-feed")
    assert [(one["type"], one["user-login"]) for one in feed["activity"]] == [("open-claim", "ann")]


async def test_what_is_private_is_told_to_nobody(fair: Fair) -> None:
    """A title alone may tell too much."""
    await fair.labelled_issue("a hole in the wall")
    assert "hole" not in str(await fair.says("ann", "GET", "/api/open-bounties")), "it has no wallet yet"
    async with fair.worker():
        (issue,) = fair.home.issues.values()
        await fair.until(issue, s.OPEN)
    await fair.pull_for(issue)
    for private in (False, True):
        fair.home.private = private
        await fair.at_github(fair.github.rename, fair.home, f"acme/private-{private}".lower())
        for path in ("/api/open-bounties", "/api/activity-feed"):
            assert ("hole" in str(await fair.says("ann", "GET", path))) is not private
    assert "hole" in str(await fair.says("mia", "GET", "/api/user/bounties"))


async def test_an_issue_whose_repository_nobody_told_of_yet_is_as_private_as_its_delivery_says(fair: Fair) -> None:
    """The delivery of the installation may be lost: until the next sweep the issue's own must be enough."""
    desk = fair.bounties.desk
    for number, private in ((9_001, True), (9_002, False)):
        place = Place(fair.home.installation, number, f"acme/secret-{number}", 1)
        issue = ForgeIssue(number, 1, "embargoed", open=True, labelled=True, updated_at=1)
        assert await desk.take(IssueNews(place, issue, private=private)) == "opened"
    assert [one.data.place.repository for one in await desk.public()] == [9_002]


async def test_a_private_repository_beyond_the_end_of_a_list_is_private_all_the_same(
    fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What anybody may see is decided by the repository's own record."""
    fair.home.private = True
    await fair.at_github(fair.github.rename, fair.home, "acme/hidden")
    await fair.labelled_issue("a hole in the wall")
    desk = fair.bounties.desk
    assert await desk.bounties()

    async def none_listed() -> list[object]:
        return []

    monkeypatch.setattr("payflow.desk.bounties.finding.BountyFinder.repositories", lambda _: none_listed())
    assert await desk.public() == []


async def test_a_cookie_alone_changes_nothing(fair: Fair) -> None:
    """Another site can make a browser send the cookie, and not the word that only our page knows."""
    async with fair.session.post(
        fair.address + "/bounties/sign-in", data={"token": await fair.token_of("ann")}, allow_redirects=False
    ) as answer:
        cookie = answer.cookies["payflow_bounties"]
    assert (cookie["samesite"], bool(cookie["httponly"])) == ("Strict", True)
    headers = {"Cookie": f"payflow_bounties={cookie.value}"}
    body = {"address": OTHER.address}
    async with fair.session.post(fair.address + "/api/user", json=body, headers=headers) as answer:
        assert answer.status == 403
    async with fair.session.get(fair.address + "/api/user", headers=headers) as answer:
        assert (await answer.json())["address"] is None
