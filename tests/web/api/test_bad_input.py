"""Whatever is sent, in every field of every place: a clear refusal with a reason code, and nothing held or moved."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from machines.core.money import NGN
from payflow.desk.person import Person
from payflow.desk.platforms import grant
from payflow.store.registers.tokens import Role
from payflow.web.http.app import MOST_BODY_BYTES
from tests.web.api.front import ANN, GOOD, SHOP, Front, asking

Refused = tuple[int, str]

BAD: Refused = (400, "bad_field")
MISSING: Refused = (400, "missing_field")
UNKNOWN: Refused = (400, "unknown_field")
AMOUNT: Refused = (400, "bad_amount")
NO_JSON: Refused = (400, "bad_json")
NO_CURRENCY: Refused = (400, "unknown_currency")
NOT_THERE = "(left out)"

WRONG_TYPES: tuple[object, ...] = (True, [], {}, 7, 0.5)
WRONG_TEXTS = (*WRONG_TYPES, "", " ", "\x00", "\ud800", "a\nb", "\u202eabc")
LONG = "x" * 5000


@dataclass(frozen=True)
class Place:
    """A place with a body that it would take."""

    role: Role
    method: str
    path: str
    body: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.role} {self.method} {self.path}"


NOBODY = "payout-00-aaaaaaaaaaaaaaaa"
EARNING = {"id": "o1", "owner": ANN, "amount": "10", "currency": "NGN"}
WHERE = {"bank_code": "044", "account_number": GOOD}
ASK = Place(Role.PROVIDER, "POST", "/api/provider/payouts", asking("100"))
ASK_TOO = Place(Role.PROVIDER, "POST", "/api/payouts", asking("100"))
ASK_FOR = Place(Role.PLATFORM, "POST", "/api/payouts", asking("100") | {"owner": ANN})
CREDIT = Place(Role.PLATFORM, "POST", "/api/earnings", EARNING)
BATCH = Place(Role.PLATFORM, "POST", "/api/earnings/batch", {"earnings": [EARNING]})
CLAWBACK = Place(Role.PLATFORM, "POST", "/api/earnings/income-0/clawback", {"reference": "r1"})
PROFILE = Place(Role.PROVIDER, "PUT", "/api/provider/profile", {"method": "bank", "destination": WHERE})
BRING = Place(Role.PLATFORM, "PUT", f"/api/providers/{ANN}", {"verified": True})
APPROVE = Place(Role.REVIEWER, "POST", f"/api/reviews/{NOBODY}/approve", {"fingerprint": "00"})
REJECT = Place(Role.REVIEWER, "POST", f"/api/reviews/{NOBODY}/reject", {"reason": "no"})
CANCEL = Place(Role.PROVIDER, "POST", f"/api/payouts/{NOBODY}/cancel", {"reason": "no"})
CORRECT = Place(Role.PROVIDER, "POST", f"/api/payouts/{NOBODY}/destination", {"destination": WHERE})
RELEASE = Place(Role.OPERATOR, "POST", f"/api/payouts/{NOBODY}/release", {"reason": "no"})
EVERY = (
    ASK, ASK_TOO, ASK_FOR, CREDIT, BATCH, CLAWBACK, PROFILE, BRING, APPROVE, REJECT, CANCEL, CORRECT, RELEASE,
)  # fmt: skip

BAD_AMOUNTS: tuple[object, ...] = (
    *(
        "",
        " ",
        "x",
        "-1",
        "+1",
        "1e3",
        "1,000",
        "1_000",
        "0",
        "0.00",
        ".5",
        "5.",
        "0x10",
        "\u0661",
        "½",
        "1" * 19,
        LONG,
    ),
    *("NaN", "Infinity", "-Infinity", True, [], {}, -1, 0, 0.0, -0.5, 1e300),
)
TOO_PRECISE = ("10.001", "10.0000000001", 10.001)
TOO_LARGE = ("9" * 18, "999999999999999999.99")

FIELDS: list[tuple[Place, str, Refused, tuple[object, ...]]] = [
    *((place, "amount", AMOUNT, BAD_AMOUNTS) for place in (ASK, ASK_FOR, CREDIT)),
    *((place, "amount", AMOUNT, TOO_PRECISE) for place in (ASK, CREDIT)),
    *((place, "amount", AMOUNT, TOO_LARGE) for place in (ASK, CREDIT)),
    *((place, "amount", MISSING, (NOT_THERE,)) for place in (ASK, CREDIT)),
    (CREDIT, "amount", AMOUNT, (None, "all")),
    (CLAWBACK, "amount", AMOUNT, BAD_AMOUNTS),
    (CLAWBACK, "amount", BAD, ("5",)),
    *((place, "currency", BAD, (*WRONG_TEXTS, None, "ngn", "N", "NGN ", LONG)) for place in (ASK, CREDIT)),
    *((place, "currency", NO_CURRENCY, ("XYZ", "USD")) for place in (ASK, CREDIT)),
    *((place, "currency", MISSING, (NOT_THERE,)) for place in (ASK, CREDIT)),
    (ASK, "method", BAD, (*WRONG_TEXTS, None, "cash", "BANK", LONG)),
    (ASK, "method", MISSING, (NOT_THERE,)),
    (ASK, "destination", BAD, (True, [], 7, "044", {"address": "0x"}, {"address": "0x" + "5" * 40})),
    (ASK, "destination.bank_code", BAD, (*WRONG_TEXTS, "0", "044 ", "../..", LONG)),
    (ASK, "destination.account_number", BAD, (*WRONG_TEXTS, None, "069", "0690 000031", LONG)),
    (ASK, "destination.account_name", BAD, (*WRONG_TEXTS, LONG)),
    (ASK, "destination.branch_code", BAD, (*WRONG_TEXTS, LONG)),
    (ASK, "destination.iban", UNKNOWN, ("x",)),
    (ASK, "destination.bank_code", MISSING, (NOT_THERE, None)),
    (ASK, "destination.account_number", MISSING, (NOT_THERE,)),
    (ASK, "note", BAD, (*WRONG_TYPES, None, "\x00", "\ud800", "a\nb", "\u202eabc", "x" * 141)),
    *((place, "owner", BAD, (*WRONG_TEXTS, ".ann", "an n", "x" * 129)) for place in (ASK, ASK_FOR, CREDIT)),
    (ASK, "owner", (403, "foreign_owner"), ("bob",)),
    (ASK_FOR, "owner", (404, "not_found"), ("bob",)),
    (ASK_FOR, "owner", MISSING, (NOT_THERE, None)),
    (CREDIT, "owner", MISSING, (NOT_THERE,)),
    (CREDIT, "id", BAD, (*WRONG_TEXTS, None, "a/b", "a b", "-a", "x" * 129)),
    (CREDIT, "id", MISSING, (NOT_THERE,)),
    (BATCH, "earnings", BAD, (True, {}, 7, "x", None, [], [7], [None])),
    (BATCH, "earnings", UNKNOWN, ([EARNING | {"x": 1}],)),
    (BATCH, "earnings", MISSING, (NOT_THERE, [{}])),
    (BATCH, "earnings", AMOUNT, ([EARNING | {"amount": "NaN"}],)),
    (CLAWBACK, "reference", BAD, (*WRONG_TEXTS, None, "a/b", "x" * 129)),
    (CLAWBACK, "reference", MISSING, (NOT_THERE,)),
    (PROFILE, "notify", BAD, (True, {}, 7, "mailto:a@b.c", [7], [None], ["x"], ["mailto:a@b.c"] * 6, [LONG])),
    (PROFILE, "method", BAD, (*WRONG_TEXTS, "cash", NOT_THERE, None, "ethereum")),
    (PROFILE, "version", BAD, (True, [], "1", 1.5, -1, 10**12)),
    (PROFILE, "version", (409, "conflict"), (7,)),
    (PROFILE, "owner", UNKNOWN, ("bob",)),
    (BRING, "verified", BAD, (1, "true", [], {})),
    (APPROVE, "fingerprint", BAD, (*WRONG_TEXTS, None, "xyz", "0" * 65)),
    (APPROVE, "fingerprint", MISSING, (NOT_THERE,)),
    *((place, "reason", BAD, (*WRONG_TEXTS, "x" * 501)) for place in (REJECT, CANCEL, RELEASE)),
    *((place, "reason", MISSING, (NOT_THERE,)) for place in (REJECT, RELEASE)),
    (CORRECT, "destination", BAD, (True, [], 7, "044", None)),
    (CORRECT, "destination", MISSING, (NOT_THERE,)),
    *((place, "surprise", UNKNOWN, (1,)) for place in EVERY),
]
QUERIES: list[tuple[str, Refused]] = [
    *((f"/api/payouts?limit={bad}", BAD) for bad in ("0", "101", "-1", "x", "1.5", "", "1e1", "9" * 30)),
    *((f"/api/payouts?status={bad}", BAD) for bad in ("", "PAID", "x", "%00")),
    *((f"/api/payouts?{name}={bad}", BAD) for name in ("from", "to") for bad in ("", "x", "2026-13-01", "1", "%00")),
    *((f"/api/payouts?cursor={bad}", BAD) for bad in ("x", "%00", "é", "MTIz", "x" * 300)),
    *((f"/api/provider/earnings?cursor={bad}", BAD) for bad in ("x", "LTE=", "x" * 50)),
    *((f"/api/provider/earnings?limit={bad}", BAD) for bad in ("0", "501")),
    ("/api/provider/earnings?currency=XYZ", NO_CURRENCY),
    ("/api/provider/earnings?currency=ngn", BAD),
    ("/api/provider/statement", MISSING),
    *((f"/api/provider/statement?month={bad}", BAD) for bad in ("", "2026", "2026-13", "2026-00", "1999-01", "%00")),
    ("/api/payouts?limit=1&limit=2", BAD),
    ("/api/payouts?surprise=1", UNKNOWN),
    ("/api/provider/balance?owner=bob", (403, "foreign_owner")),
    ("/api/provider/balance?owner=", BAD),
]
BODIES: list[tuple[bytes, Refused]] = [
    (b"{", NO_JSON),
    (b"\t", NO_JSON),
    (b"\xff\xfe{}", NO_JSON),
    (b"\xef\xbb\xbf{}", NO_JSON),
    (b"[" * 60_000, NO_JSON),
    (b'{"a":' * 10_000, NO_JSON),
    (b"[]", BAD),
    (b"null", BAD),
    (b'"x"', BAD),
    (b"7", BAD),
]


async def send(front: Front, place: Place, body: dict[str, Any]) -> Any:  # noqa: ANN401
    token = await front.token(place.role, {Role.PROVIDER: ANN, Role.PLATFORM: SHOP}.get(place.role, ""))
    # Not by `json.dumps` of a float that became something else: what stands in the table is what is sent.
    return await front.call(place.method, place.path, raw=json.dumps(body).encode(), token=token)


def spoiled(body: dict[str, Any], field: str, bad: object) -> dict[str, Any]:
    """Put something bad into a field, which may lie deeper."""
    name, _, deeper = field.partition(".")
    if deeper:
        return body | {name: spoiled(body[name], deeper, bad)}
    return {key: value for key, value in body.items() if key != name} | ({} if bad is NOT_THERE else {name: bad})


def named(number: int) -> str:
    place, field, (_, code), _ = FIELDS[number]
    return f"{place} {field} {code} {number}"


@pytest.mark.parametrize("number", range(len(FIELDS)), ids=named)
async def test_a_bad_field_is_refused_by_its_name_and_nothing_happens(front: Front, number: int) -> None:
    place, field, refused, values = FIELDS[number]
    await front.earn("1000")
    before = await front.money()
    for bad in values:
        answer = await send(front, place, spoiled(place.body, field, bad))
        assert (answer.status, answer.code) == refused, (bad, answer.body)
        assert not answer.field or answer.field.split(".")[0] in (field.split(".")[0], "destination"), (
            bad,
            answer.body,
        )
    assert await front.money() == before


@pytest.mark.parametrize("number", range(len(QUERIES)), ids=lambda number: f"{number} {QUERIES[number][0][:60]}")
async def test_a_bad_query_is_refused(front: Front, number: int) -> None:
    path, refused = QUERIES[number]
    answer = await front.ann("GET", path)
    assert (answer.status, answer.code) == refused, answer.body


@pytest.mark.parametrize("place", EVERY, ids=repr)
async def test_a_bad_body_is_refused_everywhere(front: Front, place: Place) -> None:
    token = await front.token(place.role, {Role.PROVIDER: ANN, Role.PLATFORM: SHOP}.get(place.role, ""))
    for raw, refused in BODIES:
        answer = await front.call(place.method, place.path, raw=raw, token=token)
        assert (answer.status, answer.code) == refused, (raw[:20], answer.body)


@pytest.mark.parametrize(
    ("written", "refused"),
    [
        *((word, NO_JSON) for word in ("NaN", "Infinity", "-Infinity", "01", ".5", "+1", "0x10")),
        *(
            (word, AMOUNT)
            for word in ("1e400", "-1e400", "1e-400", "1E2", "100.001", "-0", "9" * 4000, "0." + "1" * 4000)
        ),
    ],
)
@pytest.mark.parametrize("place", [ASK, CREDIT], ids=repr)
async def test_a_number_that_no_amount_can_be_is_refused_digit_by_digit(
    front: Front, place: Place, written: str, refused: Refused
) -> None:
    await front.earn("1000")
    body = json.dumps(place.body | {"amount": "HERE"}).replace('"HERE"', written).encode()
    token = await front.token(place.role, {Role.PROVIDER: ANN, Role.PLATFORM: SHOP}[place.role])
    answer = await front.call(place.method, place.path, raw=body, token=token)
    assert (answer.status, answer.code) == refused
    assert await front.money() == {"availableBalance": "1000.00", "held": "0.00", "paid": "0.00", "owed": "0.00"}


async def test_an_amount_written_as_a_number_loses_no_digit(front: Front) -> None:
    # As a float this would be 4503599627370497.5 and then something else.
    body = json.dumps(EARNING | {"amount": "HERE"}).replace('"HERE"', "4503599627370497.51").encode()
    token = await front.token(Role.PLATFORM, SHOP)
    await grant(front.store, SHOP, {NGN: None}, {}, Person("otto", Role.OPERATOR))
    answer = await front.call("POST", "/api/earnings", raw=body, token=token)
    assert answer.body["amount"] == "4503599627370497.51"


async def test_a_field_that_is_given_twice_is_refused(front: Front) -> None:
    await front.earn("1000")
    raw = json.dumps(asking("100")).encode()[:-1] + b', "amount": "900"}'
    answer = await front.ann("POST", "/api/payouts", raw=raw)
    assert (answer.status, answer.code) == NO_JSON
    assert (await front.money())["held"] == "0.00"


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256], ids=repr)
async def test_a_key_that_cannot_be_kept_is_refused(front: Front, key: str) -> None:
    await front.earn("1000")
    answer = await front.ann("POST", "/api/payouts", asking("100"), Idempotency_Key=key)
    assert (answer.status, answer.code, answer.field) == (*BAD, "Idempotency-Key")
    assert (await front.money())["held"] == "0.00"


async def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(front: Front) -> None:
    raw = b'{"note": "' + b"x" * MOST_BODY_BYTES + b'"}'
    said = await front.ann("POST", "/api/payouts", raw=raw)
    assert (said.status, said.code) == (413, "too_large")

    async def in_pieces() -> Any:  # noqa: ANN401
        for start in range(0, len(raw), 1000):
            yield raw[start : start + 1000]

    token = await front.token(Role.PROVIDER, ANN)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with front.session.post(f"{front.address}/api/payouts", data=in_pieces(), headers=headers) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/xml"},
        {"Content_Encoding": "gzip"},
    ],
    ids=repr,
)
async def test_what_is_no_plain_json_is_refused_by_its_header(front: Front, headers: dict[str, str]) -> None:
    answer = await front.ann("POST", "/api/payouts", raw=json.dumps(asking("100")).encode(), **headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


async def test_a_place_that_is_not_there_and_a_method_that_does_not_fit_are_told_in_the_same_shape(
    front: Front,
) -> None:
    assert (await front.ann("GET", "/api/nowhere")).code == "not_found"
    for method in ("DELETE", "PATCH", "PUT"):
        answer = await front.ann(method, "/api/payouts", {})
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET,HEAD,POST"


async def test_a_body_that_never_ends_is_not_waited_for(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payflow.web.http.endpoints.BODY_WITHIN_S", 0.1)
    released = asyncio.Event()

    async def slowly() -> Any:  # noqa: ANN401
        yield b"{"
        await released.wait()

    token = await front.token(Role.PROVIDER, ANN)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with front.session.post(f"{front.address}/api/payouts", data=slowly(), headers=headers) as response:
        assert response.status == 408
        assert (await response.json())["error"]["code"] == "too_slow"
        released.set()


async def test_what_we_did_not_foresee_is_told_to_the_log_and_not_to_the_caller(
    front: Front, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, object]]
) -> None:
    async def breaks(*_: object) -> None:
        raise ZeroDivisionError("secret: swordfish")

    await front.token(Role.PROVIDER, ANN)
    with monkeypatch.context() as patched:
        patched.setattr(type(front.desk), "request", breaks)
        answer = await front.ann("POST", "/api/payouts", asking("100"))
    assert (answer.status, answer.code) == (500, "internal")
    assert b"swordfish" not in answer.raw
    assert [line["action"] for line in logged if line["log_level"] == "error"] == ["request_failed"]
    assert front.count("payflow_requests_total", place="POST /api/payouts", status="500") == 1
