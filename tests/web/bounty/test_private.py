"""A private repository's bounty is nobody else's business: it is answered as one that there is none of."""

from typing import Any

import pytest

from adapters.github.client import GitHub
from machines.bounty import lifecycle as s
from machines.bounty.comment import qr_path
from machines.core.forge import ForgeAccount, Place
from payflow.store.registers.tokens import Role, Tokens
from payflow.web.http.endpoints import ANYBODY
from tests.bounties import ANN, MIA, Fair, signed
from tests.chain import OTHER

UNKNOWN = 999_999_999_999
HASH = "0x" + "ab" * 32
# What is asked of one bounty or one repository: path, and body. `{}` is the issue's or repository's number.
ASKED: dict[tuple[str, str], dict[str, Any] | None] = {
    ("GET", "/api/user/bounty/{}"): None,
    ("GET", f"/api/user/bounty/{{}}/confirmation?owner={MIA.address}"): None,
    ("POST", "/api/user/bounty/{}/payout"): {"payout-hash": HASH, "number": 1},
    ("POST", "/api/user/bounty/{}/agree"): {"about": "anything"},
    ("GET", f"/api/user/bounty/{{}}/refund-proof?from={ANN.address}&to={ANN.address}"): None,
    ("POST", "/api/user/bounty/{}/refund-address"): {
        "from": ANN.address, "to": ANN.address, "message": "m", "signature": "0x",
    },
    ("POST", "/api/user/revoke"): {"issue-id": "{}", "address": ANN.address},
    ("POST", "/api/user/remove-bot-confirmation"): {"issue-id": "{}"},
    ("GET", f"/api/user/proof?address={ANN.address}&repository={{}}"): None,
    ("POST", "/api/user/repository/{}/owner"): {"address": ANN.address, "message": "m", "signature": "0x"},
}  # fmt: skip


async def hidden(fair: Fair) -> None:
    """GitHub tells that the repository is private."""
    fair.home.private = True
    await fair.at_github(fair.github.rename, fair.home, "acme/secret-acquisition")


async def asked(fair: Fair, who: str, method: str, path: str, body: dict[str, Any] | None, number: int) -> Any:  # noqa: ANN401
    """What somebody is answered about an issue or a repository of this number."""
    headers = {"Authorization": f"Bearer {await fair.token_of(who)}"}
    sent = None if body is None else {key: number if one == "{}" else one for key, one in body.items()}
    address = fair.address + path.format(number)
    async with fair.session.request(method, address, json=sent, headers=headers) as answer:
        return answer.status, await answer.json()


def test_every_endpoint_of_one_bounty_is_tried(fair: Fair) -> None:
    own = {
        ("GET", "/api/user"),
        ("POST", "/api/user"),
        ("GET", "/api/user/bounties"),
        ("GET", "/api/user/repositories"),
    }
    own |= {("GET", "/api/user/enabled-repositories")}
    own |= {("POST", f"/api/user/{one}-address") for one in ("release", "withdraw")}
    known = {(one.method, one.path) for one in fair.bounties.endpoints() if one.roles is not ANYBODY} - own
    assert {(method, path.partition("?")[0].replace("{}", "{id}")) for method, path in ASKED} == known


@pytest.mark.parametrize("outside", ["GitHub answers", "GitHub is away", "the app was taken away"])
@pytest.mark.parametrize("who", ["eve", "shopkeeper"])
async def test_whose_business_it_is_not_cannot_tell_it_from_one_that_there_is_none_of(
    fair: Fair, who: str, outside: str
) -> None:
    """Neither by status nor by a word, nor while GitHub cannot be asked, which asking often brings about."""
    issue = await fair.labelled_issue("a hole in the wall")
    await hidden(fair)
    if who == "shopkeeper":
        fair.tokens[who] = await Tokens(fair.store.link).create(who, Role.PROVIDER, who, "test")
    if outside == "GitHub is away":
        fair.github.api.remaining = 0
    if outside == "the app was taken away":
        fair.github.api.suspended.add(fair.home.installation)
    for (method, path), body in ASKED.items():
        number = fair.home.id if "repository" in path else issue.id
        about = await asked(fair, who, method, path, body, number)
        assert about == await asked(fair, who, method, path, body, UNKNOWN), path
        assert about[0] == 404 or (who, about[0]) == ("shopkeeper", 403), path


async def test_who_takes_part_is_told_what_they_may_not_do(fair: Fair) -> None:
    """Ann claims it, Mia maintains it; of a public one anybody is told."""
    issue = await fair.labelled_issue()
    await fair.pull_for(issue)
    await fair.says("eve", "POST", "/api/user/revoke", {"issue-id": issue.id, "address": ANN.address}, expect=403)
    await hidden(fair)
    body = {"issue-id": issue.id, "address": ANN.address}
    told = await fair.says("ann", "POST", "/api/user/revoke", body, expect=403)
    assert "Only who maintains acme/secret-acquisition" in told["error"]["message"]
    path = f"/api/user/bounty/{issue.id}/refund-proof?from={ANN.address}&to={ANN.address}"
    words = (await fair.says("ann", "GET", path))["message"]
    body = {"from": ANN.address, "to": ANN.address, "message": words, "signature": signed(ANN, words)}
    await fair.says("ann", "POST", f"/api/user/bounty/{issue.id}/refund-address", body, expect=409)
    await fair.proves("mia", OTHER, owner=True)
    fair.github.api.remaining = 0
    told = await fair.says("mia", "POST", "/api/user/remove-bot-confirmation", {"issue-id": issue.id}, expect=503)
    assert told["error"]["code"] == "forge_unavailable"


async def test_the_picture_of_a_private_one_s_address_is_at_its_own_place_alone(fair: Fair) -> None:
    """GitHub fetches it for the comment without any token; the numbers in it can be counted, its digest cannot."""
    async with fair.worker():
        record = await fair.until(await fair.labelled_issue(), s.OPEN)
        await hidden(fair)
        record = await fair.until(
            next(iter(fair.home.issues.values())), that=lambda one: one.data.place.name == fair.home.name
        )
    place, (before, digest) = qr_path(record), qr_path(record).rsplit(".", 2)[0].rsplit("/", 1)
    for path, status in (
        (place, 200),
        (f"{before}/{digest}.0000000000000000/qr.png", 404),
        (f"{before}/{digest}/qr.png", 404),
        (place.replace("acme/secret-acquisition", "a/b"), 404),
        (f"/qr/a/b/bounty/1/{record.data.issue_id}/qr.png", 404),
    ):
        async with fair.session.get(fair.address + path) as answer:
            assert answer.status == status, path


async def test_a_stranger_who_asks_often_uses_up_nothing_of_what_github_allows_us(
    fair: Fair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an account that anybody can make would stop the bounties of all; of maintainers it is asked each time."""
    issue, asked = await fair.labelled_issue(), 0
    truly = GitHub.maintains

    async def counted(github: GitHub, place: Place, person: int) -> ForgeAccount | None:
        nonlocal asked
        asked += 1
        return await truly(github, place, person)

    monkeypatch.setattr(GitHub, "maintains", counted)
    body = {"issue-id": issue.id}
    for _ in range(20):
        await fair.says("eve", "POST", "/api/user/remove-bot-confirmation", body, expect=403)
        await fair.says("eve", "GET", f"/api/user/bounty/{issue.id}", expect=404)
    assert asked == 1
    for _ in range(3):
        await fair.says("mia", "GET", f"/api/user/bounty/{issue.id}")
    assert asked == 4
    fair.home.roles.clear()
    await fair.says("mia", "GET", f"/api/user/bounty/{issue.id}", expect=404)
