"""Delivers a gateway's webhooks: 60 seconds for an answer, only 200 counts, three more tries half an hour apart."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.magic import Webhook

TIMEOUT_S = 60.0
RETRIES = 3
RETRY_AFTER_S = 1800.0
LATE_S = 1800.0
OVERTAKEN_AT_MOST_S = 600.0


@dataclass(slots=True, eq=False)
class WebhookDelivery:
    """One piece of news on its way."""

    number: int
    body: bytes
    headers: Mapping[str, str]
    answers: list[int] = field(default_factory=list)
    """The status of each try; 0 where nobody answered."""


class Courier:
    """Brings news to one address, if the account has one."""

    def __init__(self, agenda: Agenda) -> None:
        self.url = ""
        self.on = True
        """Whether the account has webhooks switched on."""
        self.retries = True
        """Whether the account has their retries switched on."""
        self.deliveries: list[WebhookDelivery] = []
        self._agenda = agenda
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._waiting: list[WebhookDelivery] = []

    async def open(self) -> None:
        """Get ready."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        """Drop what is still on its way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def post(self, body: bytes, headers: Mapping[str, str], how: Webhook = Webhook.ONCE) -> None:
        """Send a piece of news, as well or badly as it shall travel."""
        if not (self.url and self.on) or how is Webhook.NEVER:
            return
        delivery = WebhookDelivery(len(self.deliveries), body, headers)
        self.deliveries.append(delivery)
        if how is Webhook.OVERTAKEN:
            self._waiting.append(delivery)
            self._agenda.later(OVERTAKEN_AT_MOST_S, self._release)
            return
        copies = 2 if how is Webhook.TWICE else 1
        for _ in range(copies):
            self._agenda.later(LATE_S if how is Webhook.LATE else 0, self._starter(delivery))

    async def deliver_due(self) -> None:
        """Do all that the agenda has for now, and wait until all news of it was delivered."""
        while self._agenda.run():
            await self.idle()
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing is on its way."""
        while self._under_way:
            await asyncio.gather(*self._under_way)

    def _release(self, overtaker: WebhookDelivery | None = None) -> None:
        """Send what had to be overtaken, and was."""
        for delivery in tuple(self._waiting):
            if overtaker is None or overtaker.number > delivery.number:
                self._waiting.remove(delivery)
                self._start(delivery)

    def _starter(self, delivery: WebhookDelivery) -> Callable[[], None]:
        return lambda: self._start(delivery)

    def _start(self, delivery: WebhookDelivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _deliver(self, delivery: WebhookDelivery) -> None:
        delivery.answers.append(await self._try(delivery))
        self._release(delivery)
        acknowledged = delivery.answers[-1] == HTTPStatus.OK
        if not acknowledged and self.retries and len(delivery.answers) <= RETRIES:
            self._agenda.later(RETRY_AFTER_S, self._starter(delivery))

    async def _try(self, delivery: WebhookDelivery) -> int:
        if self._session is None:
            return 0
        headers = {"Content-Type": "application/json", **delivery.headers}
        try:
            async with self._session.post(
                self.url, data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
