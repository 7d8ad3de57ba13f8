"""Signed webhooks, as a platform that uses the standardwebhooks library hears them."""

import base64
import json

import aiohttp
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.notify import platforms as module
from adapters.notify.handlers import to_platforms
from adapters.notify.platforms import Hook, Platforms
from machines.core.clock import FixedClock, SystemClock
from machines.core.errors import BadSettings, Retryable
from tests.adapters.notify.news import MESSAGES, Letter, message
from tests.adapters.notify.shop import Shop

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()


def platforms(session: aiohttp.ClientSession, shop: Shop, clock: FixedClock | SystemClock | None = None) -> Platforms:
    return Platforms(session, clock or SystemClock(), {"shop": Hook(shop.url, SECRET)}, loopback=True)


async def platform_of(owner: str) -> str:
    return {"ann": "shop", "bob": "rival"}.get(owner, "")


async def test_a_platform_verifies_what_it_hears_with_the_library(session: aiohttp.ClientSession, shop: Shop) -> None:
    await to_platforms(platforms(session, shop), platform_of)(Letter(message("completed")))
    (heard,) = shop.heard
    news = Webhook(SECRET).verify(heard.raw, heard.headers)
    assert news == {
        "type": "payout.completed",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "payout": "payout-01-abcdefgh23456777",
            "owner": "ann",
            "destination": "044 ••••0031",
            "amount": "1250.50",
            "arrives": "1250.50",
            "currency": "NGN",
            "reference": "payout-01-abcdefgh23456777-1",
        },
    }
    assert heard.headers["webhook-id"] == "payout-01-abcdefgh23456777/4/1"
    assert heard.headers["content-type"] == "application/json"


async def test_another_secret_another_body_or_another_id_is_found_out(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    await to_platforms(platforms(session, shop), platform_of)(Letter(message("completed")))
    (heard,) = shop.heard
    other = "whsec_" + base64.b64encode(b"another secret of some bytes ...").decode()
    for secret, raw, headers in (
        (other, heard.raw, heard.headers),
        (SECRET, heard.raw.replace(b"1250.50", b"9250.50"), heard.headers),
        (SECRET, heard.raw, heard.headers | {"webhook-id": "another"}),
        (SECRET, heard.raw, heard.headers | {"webhook-timestamp": str(int(heard.headers["webhook-timestamp"]) + 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(raw, headers)


async def test_a_repeated_delivery_has_the_same_id_and_a_time_of_its_own(
    session: aiohttp.ClientSession, shop: Shop, clock: FixedClock
) -> None:
    deliver = to_platforms(platforms(session, shop, clock), platform_of)
    await deliver(Letter(message("completed")))
    clock.advance(3600)
    await deliver(Letter(message("completed")))
    first, second = (heard.headers for heard in shop.heard)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert shop.heard[0].raw == shop.heard[1].raw


async def test_every_message_that_the_machine_writes_can_be_delivered(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    deliver = to_platforms(platforms(session, shop), platform_of)
    for body in MESSAGES:
        await deliver(Letter(body))
    kinds = {json.loads(heard.raw)["type"] for heard in shop.heard}
    assert {"payout.completed", "payout.failed", "provider.profile_changed"} <= kinds


async def test_what_steers_the_delivery_is_not_told(session: aiohttp.ClientSession, shop: Shop) -> None:
    body = message("profile_changed", platform="shop", to="mailto:ann@example.com", owner="stranger")
    await to_platforms(platforms(session, shop), platform_of)(Letter(body))
    assert json.loads(shop.heard[0].raw)["data"] == {"owner": "stranger", "changed": "where your money goes"}


async def test_a_platform_hears_of_its_own_providers_only(session: aiohttp.ClientSession, shop: Shop) -> None:
    deliver = to_platforms(platforms(session, shop), platform_of)
    await deliver(Letter(message("completed", owner="bob")))
    await deliver(Letter(message("completed", owner="nobody's")))
    assert shop.heard == []


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_2xx_is_an_acknowledgement(session: aiohttp.ClientSession, shop: Shop, status: int) -> None:
    shop.status, shop.answer = status, b""
    await platforms(session, shop).deliver("shop", "1", {})


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_whatever_is_no_2xx_is_a_failure_and_a_redirect_is_not_followed(
    session: aiohttp.ClientSession, shop: Shop, status: int
) -> None:
    shop.status = status
    with pytest.raises(Retryable, match=f"HTTP {status}"):
        await platforms(session, shop).deliver("shop", "1", {})
    assert len(shop.heard) == 1


async def test_an_answer_without_end_is_not_read(session: aiohttp.ClientSession, shop: Shop) -> None:
    shop.answer = b"x" * 20_000_000
    await platforms(session, shop).deliver("shop", "1", {})


async def test_a_platform_that_is_gone_or_asleep_is_a_failure(
    session: aiohttp.ClientSession, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Platforms(session, SystemClock(), {"shop": Hook("http://127.0.0.1:9/", SECRET)}, loopback=True)
    with pytest.raises(Retryable, match="cannot be reached"):
        await gone.deliver("shop", "1", {})
    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.000001))
    with pytest.raises(Retryable, match="cannot be reached"):
        await platforms(session, shop).deliver("shop", "1", {})


@pytest.mark.parametrize(
    ("url", "loopback", "fine"),
    [
        ("https://shop.example/hooks", False, True),
        ("http://shop.example/hooks", False, False),
        ("http://shop.example/hooks", True, False),
        ("http://127.0.0.1:8000/", False, False),
        ("http://127.0.0.1:8000/", True, True),
        ("http://[::1]:8000/", True, True),
        ("http://localhost:8000/", True, True),
        ("ftp://shop.example/", True, False),
        ("https://", False, False),
        ("shop.example", False, False),
    ],
)
async def test_a_platform_must_listen_on_https(
    session: aiohttp.ClientSession, url: str, *, loopback: bool, fine: bool
) -> None:
    hooks = {"shop": Hook(url, SECRET)}
    if fine:
        assert Platforms(session, SystemClock(), hooks, loopback=loopback).listens("shop")
        return
    with pytest.raises(BadSettings, match="shop must listen on an https"):
        Platforms(session, SystemClock(), hooks, loopback=loopback)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!", "whsec_ÄÖÜ"])
async def test_a_secret_that_signs_nothing_is_refused_at_the_start(session: aiohttp.ClientSession, secret: str) -> None:
    with pytest.raises(BadSettings, match="the secret of shop is none") as refused:
        Platforms(session, SystemClock(), {"shop": Hook("https://shop.example", secret)})
    assert not secret or secret not in str(refused.value).replace("whsec_ and", "")


def test_a_hook_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Hook("https://shop.example", SECRET))


async def test_while_a_secret_is_changed_both_sign_so_that_the_old_and_the_new_verify(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    new = "whsec_" + base64.b64encode(b"the next secret of many bytes ...").decode()
    both = Platforms(session, SystemClock(), {"shop": Hook(shop.url, f"{new},{SECRET}")}, loopback=True)
    await to_platforms(both, platform_of)(Letter(message("completed")))
    (heard,) = shop.heard
    for secret in (new, SECRET):
        Webhook(secret).verify(heard.raw, heard.headers)
    with pytest.raises(BadSettings):
        Platforms(session, SystemClock(), {"shop": Hook(shop.url, f"{new},")}, loopback=True)
