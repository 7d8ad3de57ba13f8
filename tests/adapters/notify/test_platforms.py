"""Signed webhooks, as a platform that uses the standardwebhooks library hears them."""

import base64
from ipaddress import ip_network

import aiohttp
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from adapters.notify import platforms as module
from adapters.notify.platforms import LONGEST_ANSWER, WebhookAnswer, WebhookSender, check_address, signer
from machines.core.clock import Clock, FixedClock, SystemClock
from machines.core.errors import BadInput
from tests.adapters.notify.shop import Shop

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
NEWS = {"type": "payout.completed", "data": {"amount": "1250.50", "note": "₦ für Añn"}}
ID = "payout-01-abcdefgh23456777/4/1"


async def send(
    session: aiohttp.ClientSession, url: str, *secrets: str, clock: Clock | None = None, message: str = ID
) -> WebhookAnswer:
    return await WebhookSender(session, clock or SystemClock()).send(url, secrets or [SECRET], message, NEWS)


async def test_a_platform_verifies_what_it_hears_with_the_library(session: aiohttp.ClientSession, shop: Shop) -> None:
    answer = await send(session, shop.url)
    (heard,) = shop.heard
    assert Webhook(SECRET).verify(heard.raw, heard.headers) == NEWS
    assert heard.headers["webhook-id"] == ID
    assert heard.headers["content-type"] == "application/json"
    assert (answer.status, answer.words, answer.received) == (200, "thanks", True)


async def test_another_secret_another_body_or_another_id_is_found_out(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    await send(session, shop.url)
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
    await send(session, shop.url, clock=clock)
    clock.advance(3600)
    await send(session, shop.url, clock=clock)
    first, second = (heard.headers for heard in shop.heard)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert shop.heard[0].raw == shop.heard[1].raw


async def test_while_a_secret_is_changed_both_sign_so_that_the_old_and_the_new_verify(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    new = "whsec_" + base64.b64encode(b"the next secret of many bytes ...").decode()
    await send(session, shop.url, new, SECRET)
    (heard,) = shop.heard
    for secret in (new, SECRET):
        Webhook(secret).verify(heard.raw, heard.headers)


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_2xx_is_an_acknowledgement(session: aiohttp.ClientSession, shop: Shop, status: int) -> None:
    shop.status, shop.answer = status, b""
    assert (await send(session, shop.url)).received


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_whatever_is_no_2xx_is_a_failure_and_a_redirect_is_not_followed(
    session: aiohttp.ClientSession, shop: Shop, status: int
) -> None:
    shop.status = status
    answer = await send(session, shop.url)
    assert (answer.status, answer.received, len(shop.heard)) == (status, False, 1)


async def test_of_an_answer_without_end_the_beginning_is_read_and_no_control_characters(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    shop.answer = b"\x1b[31m\xff\n" + b"x" * 20_000_000
    answer = await send(session, shop.url)
    assert answer.received
    assert answer.words.startswith(" [31m\ufffd x")
    assert len(answer.words) <= LONGEST_ANSWER


async def test_a_platform_that_is_gone_or_asleep_is_a_failure(
    session: aiohttp.ClientSession, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be reached" in (await send(session, "http://127.0.0.1:9/")).words
    monkeypatch.setattr(module, "TIMEOUT", aiohttp.ClientTimeout(total=0.000001))
    answer = await send(session, shop.url)
    assert (answer.status, "cannot be reached" in answer.words) == (0, True)


@pytest.mark.parametrize(
    ("url", "loopback", "fine"),
    [
        ("https://shop.example/hooks", False, True),
        ("https://shop.example:8443/hooks?of=payflow", False, True),
        ("http://shop.example/hooks", False, False),
        ("http://shop.example/hooks", True, False),
        ("http://127.0.0.1:8000/", False, False),
        ("https://127.0.0.1:8000/", False, False),
        ("http://127.0.0.1:8000/", True, True),
        ("http://[::1]:8000/", True, True),
        ("http://localhost:8000/", True, True),
        ("https://169.254.169.254/latest/meta-data", True, False),
        ("https://10.1.2.3/", False, False),
        ("https://10.9.2.3/", False, True),
        ("https://[::ffff:10.1.2.3]/", False, False),
        ("https://ann:secret@shop.example/", False, False),
        ("https://shop.example:99999/", False, False),
        ("https://shop.example/a b", False, False),
        ("https://shop.example/\n", False, False),
        ("https://shop.example/" + "x" * 500, False, False),
        ("ftp://shop.example/", True, False),
        ("https://", False, False),
        ("https://[", False, False),
        ("shop.example", False, False),
    ],
)
def test_a_platform_listens_on_https_and_where_everybody_may_go(url: str, *, loopback: bool, fine: bool) -> None:
    also = [ip_network("10.9.0.0/16"), *([ip_network("127.0.0.0/8"), ip_network("::1/128")] if loopback else [])]
    if fine:
        check_address(url, also, loopback=loopback)
        return
    with pytest.raises(BadInput, match="listens on an https"):
        check_address(url, also, loopback=loopback)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!", "whsec_ÄÖÜ"])
def test_a_secret_that_signs_nothing_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(BadInput, match="It is no secret") as refused:
        signer(secret)
    assert not secret or secret not in str(refused.value).replace("whsec_ and", "")
