"""Who delivers the outbox: people by mail, push or chat, platforms by signed webhooks, batches by their index."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import aiohttp

from adapters.notify.handlers import to_people, to_platforms
from adapters.notify.people import People
from adapters.notify.platforms import Hook, Platforms
from machines.core.clock import Clock
from machines.core.errors import BadSettings, StoreUnavailable
from machines.core.ids import Owner
from payflow.config import Settings
from payflow.engine.dispatcher import Handler
from payflow.store.outbox import Post
from payflow.store.registers.batches import Batches
from payflow.store.registers.profiles import Profile
from payflow.store.store import Store


class Telling:
    """The handlers are known before the store is open; they read profiles once it is."""

    def __init__(self, settings: Settings, platforms: Platforms) -> None:
        mail = settings.mail.get_secret_value() if settings.mail else ""
        self._store: Store | None = None
        self.handlers: Mapping[str, Handler] = {
            "notify": to_people(People(mail), self._contacts, settings.reviewers),
            "webhook": to_platforms(platforms, self._platform_of),
            "batch": self._board,
        }

    def open(self, store: Store) -> None:
        """Bind the handlers to the store."""
        self._store = store

    async def _profile(self, owner: str) -> Profile:
        return await self._opened.profiles.read(Owner(owner))

    async def _contacts(self, owner: str) -> Sequence[str]:
        return (await self._profile(owner)).notify

    async def _platform_of(self, owner: str) -> str:
        return (await self._profile(owner)).platform

    async def _board(self, post: Post) -> None:
        await Batches(self._opened.link, self._opened.records).deliver(post)

    @property
    def _opened(self) -> Store:
        if self._store is None:
            raise StoreUnavailable("The store is not open yet.")
        return self._store


async def open_telling(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Telling:
    """Open what tells the world."""
    session = await stack.enter_async_context(aiohttp.ClientSession())
    hooks = {name: _hook(name, given) for name, given in settings.platform_webhooks.items()}
    return Telling(settings, Platforms(session, clock, hooks, loopback=settings.webhooks_to_loopback))


def _hook(name: str, given: Mapping[str, str]) -> Hook:
    if set(given) != {"url", "secret"}:
        raise BadSettings(f"PAYFLOW_PLATFORM_WEBHOOKS: {name} needs a url and a secret, and nothing else.")
    return Hook(given["url"], given["secret"])
