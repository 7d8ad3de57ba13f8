"""Browsers are told to come by https alone, where they came by it: to us, or to a proxy that we trust."""

from ipaddress import ip_network

import aiohttp
import pytest

from payflow.web.http import app

SAID = {"X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "headers", "told"),
    [
        ("127.0.0.0/8", SAID, app.HSTS),
        ("127.0.0.0/8", {}, None),
        ("127.0.0.0/8", {"X-Forwarded-Proto": "http"}, None),
        ("10.0.0.0/8", SAID, None),
        ("", SAID, None),
    ],
)
async def test_only_who_came_by_https_is_bound_to_it(trusted: str, headers: dict[str, str], told: str | None) -> None:
    proxies = [ip_network(trusted)] if trusted else []
    async with (
        app.listening(app.application(), "127.0.0.1", 0, proxies) as address,
        aiohttp.ClientSession() as session,
        session.get(address, headers=headers) as answer,
    ):
        assert answer.headers.get("Strict-Transport-Security") == told
