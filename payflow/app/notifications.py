"""Who delivers the outbox: people by mail, push or chat, platforms by signed webhooks, batches by their index."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp

from adapters.notify.handlers import to_people, to_platforms
from adapters.notify.people import People
from adapters.notify.platforms import Hook, Platforms
from adapters.public import LOOPBACK, Network, public_connector
from machines.core.clock import SECOND, Clock
from machines.core.errors import BadSettings
from machines.core.ids import Owner
from payflow.config import Settings
from payflow.engine.dispatcher import Handler
from payflow.store.registers.batches import Batches
from payflow.store.registers.review_digest import ReviewDigest
from payflow.store.store import Store


async def open_handlers(settings: Settings, store: Store, clock: Clock, stack: AsyncExitStack) -> Mapping[str, Handler]:
    """Open what delivers each kind of message."""
    connector = public_connector(networks_of(settings))
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    hooks = {name: _hook(name, given) for name, given in settings.platform_webhooks.items()}
    platforms = Platforms(session, clock, hooks, loopback=settings.webhooks_to_loopback)
    mail = settings.mail.get_secret_value() if settings.mail else ""

    async def contacts(owner: str) -> Sequence[str]:
        return (await store.profiles.read(Owner(owner))).notify

    def opened(owner: str, named: str) -> Sequence[str]:
        return store.profiles.opened_contacts(Owner(owner), named)

    async def platform_of(owner: str) -> str:
        return (await store.profiles.read(Owner(owner))).platform

    every_ms = int(settings.review_digest_s * SECOND)
    digest = ReviewDigest(store.link, every_ms) if every_ms else None
    return {
        "notify": to_people(People(mail), contacts, settings.reviewers, digest, opened),
        "webhook": to_platforms(platforms, platform_of),
        "batch": Batches(store.link, store.records).deliver,
    }


def networks_of(settings: Settings) -> tuple[Network, ...]:
    """Name the networks that webhooks may go to though they are not public."""
    return (*settings.webhook_networks, *(LOOPBACK if settings.webhooks_to_loopback else ()))


def _hook(name: str, given: Mapping[str, str]) -> Hook:
    if set(given) != {"url", "secret"}:
        raise BadSettings(f"PAYFLOW_PLATFORM_WEBHOOKS: {name} needs a url and a secret, and nothing else.")
    return Hook(given["url"], given["secret"])
