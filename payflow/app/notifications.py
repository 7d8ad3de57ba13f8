"""Who delivers the outbox: people by mail, push or chat, platforms by signed webhooks, batches by their index."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp

from adapters.notify.handlers import to_people
from adapters.notify.people import People
from adapters.notify.platforms import WebhookSender
from adapters.public import public_connector
from machines.core.clock import SECOND, Clock
from machines.core.ids import Owner
from payflow.config import Settings
from payflow.desk.webhooks.deliveries import PlatformDeliveries
from payflow.desk.webhooks.endpoints import fixed_endpoints, networks_of
from payflow.engine.dispatcher import Handler
from payflow.store.registers.batches import Batches
from payflow.store.registers.review_digest import ReviewDigest
from payflow.store.store import Store


async def open_handlers(settings: Settings, store: Store, clock: Clock, stack: AsyncExitStack) -> Mapping[str, Handler]:
    """Open what delivers each kind of message."""
    connector = public_connector(networks_of(settings))
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, auto_decompress=False))
    platforms = PlatformDeliveries(store, fixed_endpoints(settings), WebhookSender(session, clock).send)
    mail = settings.mail.get_secret_value() if settings.mail else ""

    async def contacts(owner: str) -> Sequence[str]:
        return (await store.profiles.read(Owner(owner))).notify

    def opened(owner: str, named: str) -> Sequence[str]:
        return store.profiles.opened_contacts(Owner(owner), named)

    every_ms = int(settings.review_digest_s * SECOND)
    digest = ReviewDigest(store.link, every_ms) if every_ms else None
    return {
        "notify": to_people(People(mail), contacts, settings.reviewers, digest, opened),
        "webhook": platforms.spread,
        "delivery": platforms.deliver,
        "batch": Batches(store.link, store.records).deliver,
    }
