"""Who may do what: a token opens what its role may do, and what is not his does not exist for its holder."""

import asyncio
from collections.abc import Iterable

import pytest

from machines.core.clock import HOUR, FixedClock
from machines.core.errors import BadInput, Conflict, NotFound, StoreUnavailable
from payflow.config import Settings
from payflow.desk import readiness
from payflow.store.records import Records
from payflow.store.registers.tokens import Role, Tokens
from payflow.web import routes
from tests.web.api.front import ANN, BOB, SHOP, Answer, Front, asking, open_front

BALANCE = "/api/provider/balance"
BOUND = {Role.PROVIDER: ANN, Role.PLATFORM: SHOP}


async def test_without_a_token_nothing_opens_and_the_answer_says_how_to_ask(front: Front) -> None:
    refused = await front.call("GET", BALANCE)
    assert (refused.status, refused.code) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "shown",
    ["Bearer", "Bearer ", "Bearer x", "Basic YW5uOmFubg==", "payflow_" + "a" * 43, "Bearer payflow_" + "a" * 43,
     "Bearer payflow_" + "a" * 5000, "Bearer payflow_é"],
    ids=lambda shown: shown[:20] + str(len(shown)),
)  # fmt: skip
async def test_what_is_no_token_of_ours_opens_nothing(front: Front, shown: str) -> None:
    assert (await front.call("GET", BALANCE, Authorization=shown)).code == "unauthenticated"


async def test_a_token_opens_nothing_from_the_moment_in_which_it_is_revoked(front: Front) -> None:
    assert (await front.ann("GET", BALANCE)).status == 200
    await Tokens(front.store.link).revoke(f"provider-{ANN}", "otto")
    assert (await front.ann("GET", BALANCE)).code == "unauthenticated"


async def test_the_store_knows_tokens_only_by_their_hashes(front: Front, logged: list[dict[str, object]]) -> None:
    secret = await front.token(Role.PROVIDER, ANN)
    await front.ann("GET", BALANCE)
    client = front.store.link.client
    async for key in client.scan_iter():
        assert secret.encode() not in key + await client.dump(key)
    assert secret not in str(logged)


async def every_role(front: Front) -> Iterable[tuple[Role, str]]:
    return [(role, await front.token(role, BOUND.get(role, ""), role)) for role in Role]


async def test_every_place_lets_in_the_roles_that_the_document_names_and_no_other(front: Front) -> None:
    tokens = await every_role(front)
    for endpoint in routes.endpoints(front.desk):
        for role, token in tokens:
            path = endpoint.path.replace("{id}", "payout-00-aaaaaaaaaaaaaaaa").replace("{owner}", ANN)
            body = {"nonsense": 1} if endpoint.method != "GET" else None
            answer = await front.call(endpoint.method, path, body, token=token)
            forbidden = answer.status == 403 and answer.code == "forbidden"
            assert forbidden == (role not in endpoint.roles), (endpoint.method, path, role, answer.status)


async def test_a_viewer_sees_and_changes_nothing(front: Front) -> None:
    places = [one for one in routes.endpoints(front.desk) if Role.VIEWER in one.roles]
    assert places
    assert {one.method for one in places} == {"GET"}


async def test_a_provider_cannot_ask_for_anothers_money(front: Front) -> None:
    await front.earn("1000")
    refused = await front.bob("POST", "/api/payouts", asking("100") | {"owner": ANN})
    assert (refused.status, refused.code, refused.field) == (403, "foreign_owner", "owner")
    assert (await front.money())["held"] == "0.00"
    assert (await front.ann("POST", "/api/payouts", asking("100") | {"owner": ANN})).status == 201


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def statuses(asked: Iterable[object]) -> list[int]:
    answers: list[Answer] = await asyncio.gather(*asked)  # type: ignore[call-overload]
    for answer in answers:
        assert answer.status != 429 or (answer.code == "too_many_requests" and int(answer.headers["Retry-After"]) >= 1)
    return sorted(answer.status for answer in answers)


async def test_a_token_is_slowed_down_and_another_one_is_not(settings: Settings) -> None:
    async with open_front(settings, api_rate=5.0) as front:
        await front.token(Role.PROVIDER, ANN)
        found = await statuses([front.ann("GET", BALANCE) for _ in range(20)])
        assert 5 <= found.count(200) <= 10
        assert found.count(429) == 20 - found.count(200)
        assert (await front.bob("GET", BALANCE)).status == 200


async def test_an_address_that_guesses_tokens_is_slowed_down(settings: Settings) -> None:
    async with open_front(settings, api_address_rate=5.0) as front:
        guesses = [front.call("GET", BALANCE, token="payflow_" + f"{n:043d}") for n in range(20)]
        found = await statuses(guesses)
        assert set(found) == {401, 429}
        assert found.count(401) <= 10


async def test_strangers_shut_out_nobody_who_has_a_token_and_comes_from_their_address(settings: Settings) -> None:
    async with open_front(settings, api_address_rate=1.0) as front:
        await front.token(Role.PROVIDER, ANN)
        found = await statuses([front.call("GET", BALANCE) for _ in range(20)])
        assert found.count(429) >= 10
        assert await statuses([front.ann("GET", BALANCE) for _ in range(20)]) == [200] * 20


async def test_a_refusal_costs_the_store_nothing_until_the_time_that_it_named(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def none_left(_: Records, name: str, *__: object) -> tuple[int, int]:
        asked.append(name)
        return 0, 600_000

    monkeypatch.setattr(Records, "rate_tokens", none_left)
    found = [await front.call("GET", BALANCE) for _ in range(5)]
    assert [one.status for one in found] == [429] * 5
    assert found[-1].headers["Retry-After"] == "600"
    assert asked == ["address:127.0.0.1"]


async def test_rates_are_counted_over_all_processes_together(settings: Settings) -> None:
    async with open_front(settings, api_rate=5.0) as first, open_front(settings, api_rate=5.0) as second:
        token = await first.token(Role.PROVIDER, ANN)
        asked = [front.call("GET", BALANCE, token=token) for front in (first, second) for _ in range(15)]
        assert (await statuses(asked)).count(200) <= 10


@pytest.mark.parametrize(
    ("proxies", "forwarded", "counted_as"),
    [
        ("", "1.2.3.4", "127.0.0.1"),
        ("127.0.0.0/8", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.0/8", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("127.0.0.0/8,10.0.0.0/8", "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4"),
        ("127.0.0.0/8", "nonsense", "127.0.0.1"),
        ("127.0.0.0/8", "", "127.0.0.1"),
        ("127.0.0.0/8", "2001:db8::1:2:3:4", "2001:db8::"),
        ("127.0.0.0/8", "::ffff:1.2.3.4", "1.2.3.4"),
    ],
)
async def test_the_address_is_the_last_one_that_a_proxy_of_ours_wrote(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, proxies: str, forwarded: str, counted_as: str
) -> None:
    seen: list[str] = []
    permits = Records.rate_tokens

    async def watched(self: Records, name: str, rate: float, wanted: int) -> tuple[int, int]:
        seen.append(name)
        return await permits(self, name, rate, wanted)

    monkeypatch.setattr(Records, "rate_tokens", watched)
    async with open_front(settings, trusted_proxies=proxies) as front:
        await front.call("GET", BALANCE, X_Forwarded_For=forwarded)
        assert seen == [f"address:{counted_as}"]


@pytest.mark.parametrize(("proxies", "lines"), [("", 1), ("127.0.0.0/8", 0)])
async def test_a_proxy_that_nobody_named_is_told_of_once(
    settings: Settings, logged: list[dict[str, object]], proxies: str, lines: int
) -> None:
    async with open_front(settings, trusted_proxies=proxies) as front:
        for number in range(3):
            await front.call("GET", BALANCE, X_Forwarded_For=f"1.2.3.{number}")
        told = await readiness.proxies(front.store)
    assert [line.get("action") for line in logged].count("unnamed_proxy") == lines
    said = "Requests come through 127.0.0.1, and all of them share one rate: name the network of your proxy"
    assert (told.level, told.finding.startswith(said)) == (("warn", True) if lines else ("ok", False))


async def test_whoever_only_says_to_be_a_proxy_is_not_told_of_by_the_doctor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header can be sent by anybody; from a public address it is no evidence of a proxy of ours."""
    monkeypatch.setattr("aiohttp.web.Request.remote", "8.8.8.8")
    async with open_front(settings) as front:
        await front.call("GET", BALANCE, X_Forwarded_For="1.2.3.4")
        assert (await readiness.proxies(front.store)).level == "ok"


async def test_without_the_store_nobody_is_let_in_and_nothing_is_told_of_the_store(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await front.token(Role.PROVIDER, ANN)

    async def fails(*_: object) -> tuple[int, int]:
        raise StoreUnavailable("The store at 10.0.0.9:6379 did not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(Records, "rate_tokens", fails)
        refused = await front.call("GET", BALANCE, token=token)
    assert (refused.status, refused.code) == (503, "store_unavailable")
    assert "Retry-After" in refused.headers
    assert b"10.0.0.9" not in refused.raw


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_name_belongs_to_one_token_at_a_time_whatever_its_capitals(front: Front) -> None:
    tokens = Tokens(front.store.link)
    first = await tokens.create("kim", Role.REVIEWER, "", "otto")
    with pytest.raises(Conflict, match="in use"):
        await tokens.create("Kim", Role.OPERATOR, "", "otto")
    assert (await tokens.find(first)) is not None
    await tokens.revoke("KIM", "otto")
    with pytest.raises(NotFound):
        await tokens.revoke("kim", "otto")
    second = await tokens.create("kim", Role.REVIEWER, "", "otto")
    assert (await tokens.find(first)) is None
    assert (await tokens.find(second)) is not None
    assert [(one.revoked_by, one.made_by) for one in await tokens.all() if one.name == "kim"].count(("", "otto")) == 1


@pytest.mark.parametrize(
    ("name", "role", "of"),
    [
        ("", Role.VIEWER, ""),
        ("a b", Role.VIEWER, ""),
        ("x" * 65, Role.VIEWER, ""),
        ("x", Role.VIEWER, ANN),
        ("x", Role.PROVIDER, ""),
        ("x", Role.PROVIDER, "no owner"),
        ("x", Role.PLATFORM, ""),
        ("x", Role.PLATFORM, "a:b"),
        ("x", Role.PLATFORM, "a/b"),
    ],
)
async def test_a_token_that_would_be_bound_to_the_wrong_thing_is_not_made(
    front: Front, name: str, role: Role, of: str
) -> None:
    with pytest.raises(BadInput):
        await Tokens(front.store.link).create(name, role, of, "otto")
    assert await Tokens(front.store.link).all() == []


async def test_the_last_use_is_known_to_the_hour_and_not_written_at_each_request(front: Front) -> None:
    clock = FixedClock()
    tokens = Tokens(front.store.link, clock)
    secret = await tokens.create("kim", Role.REVIEWER, "", "otto")
    used = []
    for _ in range(5):
        await tokens.find(secret)
        used.append((await tokens.all())[0].used_at)
        clock.at += HOUR // 2
    assert used == [used[0], used[0], used[0] + HOUR, used[0] + HOUR, used[0] + 2 * HOUR]  # type: ignore[operator]


async def test_two_owners_with_tokens_of_their_own_see_their_own(front: Front) -> None:
    await front.earn("10")
    await front.earn("20", owner=BOB)
    assert (await front.ann("GET", BALANCE)).body["owner"] == ANN
    assert (await front.bob("GET", BALANCE)).body["owner"] == BOB
