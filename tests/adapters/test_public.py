"""Where a customer may send us: to public addresses, however they are written, and whatever a name leads to next."""

import base64
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from adapters.notify.platforms import WebhookAnswer, WebhookSender
from adapters.public import LOOPBACK, is_public, public_connector
from machines.core.clock import SystemClock
from payflow.config import load
from payflow.desk.webhooks.endpoints import networks_of

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
OURS, THEIRS = "127.0.0.1", "127.0.0.2"
"""Of two addresses of this machine the second one plays a public one."""


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("100.63.255.255", True),
        ("172.32.0.1", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("0.0.0.0", False),  # noqa: S104  (nobody listens there)
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.0.0.170", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("203.0.113.7", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::808:808", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_what_everybody_can_reach(address: str, *, public: bool) -> None:
    assert is_public(ip_address(address)) is public


class Rebinding(AbstractResolver):
    """A name whose answer changes with every question."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for one in answer
        ]

    async def close(self) -> None:
        """Have nothing to close."""


@asynccontextmanager
async def listening(address: str, port: int = 0, status: int = 200) -> AsyncIterator[tuple[int, list[str]]]:
    """Listen on one address; gives the port, and what came."""
    heard: list[str] = []

    async def hear(request: web.BaseRequest) -> web.Response:
        heard.append(request.path)
        return web.Response(status=status, headers={"Location": f"http://{OURS}:{port}/secret"})

    runner = web.ServerRunner(web.Server(hear), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield runner.addresses[0][1], heard
    finally:
        await runner.cleanup()


async def send(session: aiohttp.ClientSession, url: str) -> WebhookAnswer:
    return await WebhookSender(session, SystemClock()).send(url, [SECRET], "1", {})


@pytest.mark.parametrize(
    "answers", [[[THEIRS], [OURS]], [[OURS], [THEIRS]], [[OURS, THEIRS]], [[THEIRS, OURS]], [["::ffff:127.0.0.1"]]]
)
async def test_a_name_that_leads_elsewhere_at_the_second_question_leads_to_nothing_of_ours(
    answers: list[list[str]],
) -> None:
    """Each connection asks once, and goes to the address that was judged."""
    resolver = Rebinding(*answers)
    connector = public_connector([ip_network(f"{THEIRS}/32")], resolver)
    async with listening(OURS) as (port, secrets), listening(THEIRS, port, status=500) as (_, heard):
        async with aiohttp.ClientSession(connector=connector) as session:
            for number in range(1, 4):
                assert not (await send(session, f"http://shop.example:{port}/hooks")).received
                assert resolver.asked <= number
        assert secrets == []
        assert bool(heard) is any(THEIRS in one for one in answers)


@pytest.mark.parametrize("host", [OURS, "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "localhost"])
async def test_an_address_that_is_written_out_is_judged_as_well(host: str) -> None:
    async with listening(OURS) as (port, secrets):
        async with aiohttp.ClientSession(connector=public_connector()) as session:
            answer = await send(session, f"http://{host}:{port}/hooks")
            assert (answer.status, "cannot be reached" in answer.words) == (0, True)
        assert secrets == []


async def test_whoever_is_refused_is_told_what_to_set_where_the_address_is_theirs() -> None:
    async with listening(OURS) as (port, heard):
        async with aiohttp.ClientSession(connector=public_connector()) as session:
            said = "127.0.0.1 is no public address: if it is yours, name its network in PAYFLOW_WEBHOOK_NETWORKS"
            assert said in (await send(session, f"http://{OURS}:{port}/hooks")).words
        async with aiohttp.ClientSession(connector=public_connector([ip_network("127.0.0.0/8")])) as session:
            assert (await send(session, f"http://{OURS}:{port}/hooks")).received
        assert heard == ["/hooks"]


async def test_a_public_address_that_sends_us_on_is_not_followed() -> None:
    async with listening(OURS) as (port, secrets), listening(THEIRS, port, status=307) as (_, heard):
        connector = public_connector([ip_network(f"{THEIRS}/32")], Rebinding([THEIRS]))
        async with aiohttp.ClientSession(connector=connector) as session:
            assert (await send(session, f"http://shop.example:{port}/hooks")).status == 307
        assert (heard, secrets) == (["/hooks"], [])


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        ({}, ()),
        ({"PAYFLOW_WEBHOOKS_TO_LOOPBACK": "true"}, LOOPBACK),
        ({"PAYFLOW_WEBHOOK_NETWORKS": "10.1.2.0/24"}, (ip_network("10.1.2.0/24"),)),
    ],
)
def test_only_networks_that_the_settings_name_are_added(given: dict[str, str], networks: tuple[Any, ...]) -> None:
    assert networks_of(load(given)) == networks
