"""While a webhook's secret is changed, deliveries that show the old one and the new one are both taken."""

import hmac

import aiohttp
import pytest

from machines.core.clock import SystemClock
from payflow.app.gateways import setups
from payflow.config import load
from tests.desk import UNLIMITED

NEW, OLD = "the new secret of the webhook", "the old secret of the webhook"
OLD_KEY, NEW_KEY = "sk_live_" + "o" * 40, "sk_live_" + "n" * 40
FLUTTERWAVE = {"FLUTTERWAVE_SECRET_KEY": "FLWSECK-1", "FLUTTERWAVE_WEBHOOK_HASH": f"{NEW},{OLD}"}


@pytest.mark.parametrize(
    ("shown", "genuine"), [(NEW, True), (OLD, True), (f"{NEW},{OLD}", False), ("", False), ("another secret", False)]
)
async def test_flutterwave_may_show_either_secret_and_nothing_else(shown: str, *, genuine: bool) -> None:
    async with aiohttp.ClientSession() as session:
        hooks = setups(load(FLUTTERWAVE), UNLIMITED, SystemClock(), session)["flutterwave"].hooks
    assert hooks is not None
    assert hooks.genuine({"verif-hash": shown}, b"{}") is genuine


@pytest.mark.parametrize(("key", "genuine"), [(NEW_KEY, True), (OLD_KEY, True), ("", False), (OLD_KEY + "x", False)])
async def test_paystack_may_sign_with_either_key(key: str, *, genuine: bool) -> None:
    settings = load({"PAYSTACK_SECRET_KEY": f"{NEW_KEY},{OLD_KEY}"})
    async with aiohttp.ClientSession() as session:
        hooks = setups(settings, UNLIMITED, SystemClock(), session)["paystack"].hooks
    assert hooks is not None
    signature = hmac.digest(key.encode(), b"{}", "sha512").hex()
    assert hooks.genuine({"x-paystack-signature": signature}, b"{}") is genuine
