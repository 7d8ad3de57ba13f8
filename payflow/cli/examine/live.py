"""What `payflow doctor --live` asks of those outside: are we let in, is it a test mode, do their webhooks arrive."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp
from yarl import URL

from adapters.flutterwave.credentials import is_test_key
from adapters.github import wire as github
from adapters.github.client import App, GitHub
from adapters.http import JSON, NoReply, exchange, skew_s
from adapters.notify.people import People
from machines.core.clock import SystemClock
from machines.core.errors import BadSettings
from payflow.app.gateways import open_gateways
from payflow.app.installation import Payflow
from payflow.config import Settings, live_secrets
from payflow.desk import outside
from payflow.desk.gateways import GatewaySetup, Hooks
from payflow.desk.outside import Outsider
from payflow.telemetry.health import Check

MOST_SKEW_S = 60.0
"""Tokens of GitHub are refused beyond this; whoever compares books by days wants less."""
DELIVERY_S = 15.0
SPEAKS_OF_NOTHING = b'{"event":"payflow.doctor","type":"payflow.doctor","data":{}}'
"""A body that no gateway sends, and that is about no transfer."""
GITHUB_HOOK = "/webhook-app"

Ask = Callable[[], Awaitable[str]]


async def examine_live(payflow: Payflow) -> Sequence[Check]:
    """Ask everybody outside whom the settings name. Nodes are asked by each `payflow doctor`."""
    settings, store = payflow.settings, payflow.store
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        setups = await open_gateways(settings, store, SystemClock(), stack)
        asked = [one for name, setup in setups.items() for one in _of_gateway(settings, session, name, setup)]
        asked += _of_github(settings, session)
        if settings.mail:
            asked.append(Outsider("mail", _mail(settings.mail.get_secret_value())))
        return await outside.ask_all(store, asked)


def _of_gateway(settings: Settings, session: aiohttp.ClientSession, name: str, setup: GatewaySetup) -> list[Outsider]:
    url, mode = {
        "flutterwave": (settings.flutterwave_url, _flutterwave_mode(settings)),
        "paystack": (settings.paystack_url, _paystack_mode(settings)),
    }[name]

    async def key() -> str:
        if setup.probe is not None:
            await setup.probe()
        held = [f"{one.asset.code} {one.decimal}" for one in await setup.wallet()] if setup.wallet else []
        return f"It lets us in, in its {mode}; its wallet holds {' and '.join(held) or 'what it does not say'}."

    found = [Outsider(name, key), Outsider(f"{name} clock", _clock(session, url))]
    if setup.hooks is None:
        return found
    return [*found, Outsider(f"{name} webhook", _webhook(settings.pages_at, session, setup.hooks))]


def _flutterwave_mode(settings: Settings) -> str:
    if settings.flutterwave_version == "v3":
        key = settings.flutterwave_secret_key
        return "test mode, which pays nobody" if key and is_test_key(key.get_secret_value()) else "live mode"
    return "test mode, which pays nobody" if "sandbox" in settings.flutterwave_url else "live mode"


def _paystack_mode(settings: Settings) -> str:
    keys = live_secrets(settings.paystack_secret_key)
    return "test mode, which pays nobody" if keys and keys[0].startswith("sk_test_") else "live mode"


def _of_github(settings: Settings, session: aiohttp.ClientSession) -> list[Outsider]:
    if not settings.github_app_id or settings.github_private_key is None:
        return []
    key = settings.github_private_key.get_secret_value()
    forge = GitHub(session, App(settings.github_app_id, key, settings.bounty_label, settings.github_url))

    async def app() -> str:
        told = await forge.app()
        if lacks := told.lacks():
            raise BadSettings(
                f"The app {told.slug} has not {', '.join(lacks)}: give it at GitHub, and accept it there."
            )
        return f"We are its app {told.slug}, with all that bounties need."

    found = [Outsider("github", app), Outsider("github clock", _clock(session, settings.github_url))]
    secrets = live_secrets(settings.github_webhook_secret)
    if not secrets:
        return found

    def signed(body: bytes) -> Mapping[str, str]:
        return {"X-GitHub-Event": "ping", **github.signed(body, secrets[0])}

    url = (settings.bounty_server or settings.pages_at) + GITHUB_HOOK
    return [*found, Outsider("github webhook", _delivered(url, session, signed))]


def _mail(url: str) -> Ask:
    async def greet() -> str:
        await People(url).greet()
        return "Our mail server takes mail from us."

    return greet


def _clock(session: aiohttp.ClientSession, url: str) -> Ask:
    async def compare() -> str:
        try:
            ahead = await skew_s(session, url)
        except NoReply as error:
            raise BadSettings(f"{url} cannot be reached: {error}.") from error
        if ahead is None:
            return "It tells no time to compare ours with."
        if abs(ahead) > MOST_SKEW_S:
            way = "ahead of" if ahead > 0 else "behind"
            raise BadSettings(f"Our clock is {abs(ahead):,.0f} s {way} its: let this machine keep time by NTP.")
        return f"Our clock is within {max(abs(ahead), 1):.0f} s of its."

    return compare


def _webhook(pages_at: str, session: aiohttp.ClientSession, hooks: Hooks) -> Ask:
    return _delivered(pages_at + hooks.paths[0], session, hooks.signed)


def _delivered(url: str, session: aiohttp.ClientSession, signed: Callable[[bytes], Mapping[str, str]]) -> Ask:
    """Deliver ourselves a webhook that speaks of nothing, the way that a gateway's takes, and then a forged one."""

    async def post(headers: Mapping[str, str]) -> int:
        sent = {**JSON, **headers}
        try:
            reply = await exchange(session, "POST", URL(url), headers=sent, total_s=DELIVERY_S, body=SPEAKS_OF_NOTHING)
        except NoReply as error:
            raise BadSettings(
                f"{url} cannot be reached from here: {error}. Does the service run, and does PAYFLOW_PUBLIC_URL say "
                "where it is found?"
            ) from error
        return reply.status

    async def deliver() -> str:
        taken = await post(signed(SPEAKS_OF_NOTHING))
        if taken != HTTPStatus.OK:
            raise BadSettings(
                f"{url} answered a delivery with our secret by HTTP {taken}: the service has another secret, or a "
                "proxy takes it away."
            )
        forged = await post(dict.fromkeys(signed(b""), "0" * 64) | {"X-GitHub-Event": "ping"})
        if forged == HTTPStatus.OK:
            raise BadSettings(f"{url} took a forged delivery: what answers there is not Payflow.")
        return f"What is signed with our secret arrives at {url}, and what is not is refused."

    return deliver
