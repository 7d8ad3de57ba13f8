"""The gateway of a run: the sandbox's simulator without a socket, as unkind as the run's conditions say.

Its book is the truth about what was paid. The clients of the adapters speak to it over a `DirectSession`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any, Self

import aiohttp
from yarl import URL

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.courier import Courier, WebhookDelivery
from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import Ends, Fate, FatedRefusal, Webhook
from adapters.sandbox.paystack.simulator import PaystackSimulator
from adapters.sandbox.server import PROXY_PAGE, ServedAnswer, ServedCall
from adapters.sandbox.transfers import NotNow, Order, SimulatedTransfer, TransferRefused, TransferState
from machines.core.clock import DAY, HOUR, MINUTE, SECOND, FixedClock, Millis
from payflow.simulation.conditions import Conditions, Story

REASONS = (
    "DISBURSE FAILED: Insufficient funds in customer wallet",
    "DISBURSE FAILED: wallet currently restricted. please contact administrator",
    "DISBURSE FAILED: you have exceeded your daily limit/frequency for this product",
    "DISBURSE FAILED: A fatal error occured while proccesing your request.",
    "Account resolve failed",
)
SEND_PATHS = ("/v3/transfers", "/v4/direct-transfers", "/transfer")

# What goes wrong with a call, as parts of `Conditions.trouble`; the rest of it goes well.
NEVER_LEFT, TOO_MANY, LOST, LATE, ANSWER_LOST = 0.1, 0.2, 0.35, 0.45, 0.8
LATEST_MS = 10 * MINUTE
"""How late a request may still be taken in whose caller has given up waiting."""
FAILING = 0.6
"""How much of `Conditions.trouble` a transfer has of failing."""
SLOW, APPROVED_BY_HAND, DECLINED = 0.05, 0.02, 0.3
USUAL_MS, LONG_MS = 10 * MINUTE, 2 * HOUR
MOST_CLICKS = 2
REPEATED_WEBHOOKS = 0.1
WEBHOOK_DELAYS_S = (0, 0, 2, 1800, 7200)
OPENING_MS = 10 * MINUTE
"""A bank that closes is closed for one such span in four."""


@dataclass(frozen=True, slots=True)
class QueuedWebhook:
    """News that has arrived."""

    transfer: SimulatedTransfer
    body: bytes
    headers: Mapping[str, str]
    true: bool
    """Whether it comes from the gateway and says what is so."""


class UnkindGateway:
    """Does what gateways do, on a bad day."""

    def __init__(self, conditions: Conditions, dice: Random, clock: FixedClock, story: Story) -> None:
        self._conditions = conditions
        self._dice = dice
        self._clock = clock
        self._story = story
        self.webhooks: list[QueuedWebhook] = []
        self.heard: dict[int, Millis] = {}
        """When Payflow first took in a true webhook about a transfer, by its number."""
        self.called: dict[int, Millis] = {}
        """When the call set out that began a transfer, which may have arrived much later."""
        self.clicked: dict[int, Millis] = {}
        """Which transfers somebody began by clicking Retry, and when."""
        self.failed_first: dict[int, Millis] = {}
        """When a transfer failed that a click began again under its own reference."""
        self._simulator: FlutterwaveSimulator | PaystackSimulator
        if conditions.api == "paystack":
            self._simulator = PaystackSimulator(clock)
        else:
            self._simulator = FlutterwaveSimulator(clock, webhooks=conditions.api)
            self._simulator.v4.habits.key_ttl_s = conditions.key_ttl_s
        self.agenda = self._simulator.agenda
        """What happens there by itself."""
        self.transfers = self._simulator.transfers
        self.transfers.foretell = self._foretell
        self.transfers.forbids = self._forbids
        feed = _Feed(self, dice, conditions, self.agenda)
        self._simulator.courier = feed
        self.transfers.on_news.insert(0, feed.about)
        self._seen_by_hand: set[int] = set()

    # ── asked ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def exchange(self, call: ServedCall) -> ServedAnswer:
        """Answer a call; raises what a session raises where it goes wrong on the way."""
        whim = self._dice.random() / self._conditions.trouble
        if whim < NEVER_LEFT:
            self._tell(call, "never left")
            raise aiohttp.ConnectionTimeoutError
        if whim < TOO_MANY:
            self._tell(call, "too many")
            return ServedAnswer(
                HTTPStatus.TOO_MANY_REQUESTS, {"status": "error", "message": "slow"}, {"Retry-After": "7"}
            )
        if whim < LOST:
            self._tell(call, "lost on its way")
            raise aiohttp.ServerDisconnectedError
        if whim < LATE and call.method == "POST" and call.path in SEND_PATHS:
            late_s = self._dice.randrange(LATEST_MS) / SECOND
            self._tell(call, f"will arrive {late_s:.0f} s late")
            self.agenda.later(late_s, partial(self._take_in, call, self._clock.now()))
            raise TimeoutError
        answer = self._take_in(call, self._clock.now())
        if whim >= ANSWER_LOST:
            return answer
        self._tell(call, "the answer is lost")
        match self._dice.randrange(3):
            case 0:
                raise aiohttp.ServerDisconnectedError
            case 1:
                raise TimeoutError
            case _:
                return ServedAnswer(HTTPStatus.BAD_GATEWAY, PROXY_PAGE.decode())

    def _take_in(self, call: ServedCall, at: Millis) -> ServedAnswer:
        known = len(self.transfers.all)
        answer = self._simulator.server.direct(call)
        self.called.update((transfer.id, at) for transfer in self.transfers.all[known:])
        self._tell(call, str(answer.status))
        for transfer in self.transfers.all:
            if transfer.needs_approval and transfer.id not in self._seen_by_hand:
                self._seen_by_hand.add(transfer.id)
                self.agenda.later(self._dice.randrange(LONG_MS) / SECOND, self._by_hand(transfer))
        return answer

    def _by_hand(self, transfer: SimulatedTransfer) -> Callable[[], None]:
        """Let somebody in the dashboard decide on a transfer that waits for them."""
        decide = self.transfers.decline if self._dice.random() < DECLINED else self.transfers.approve

        def act() -> None:
            if transfer.state is TransferState.NEW and not transfer.approved:
                decide(transfer)

        return act

    def _tell(self, call: ServedCall, what: str) -> None:
        self._story.tell("gateway", f"{call.line} {call.reference or call.query.get('from', '')}: {what}")

    # ── by itself ────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Let everything under way come to its end, however long that takes."""
        while (at := self.agenda.next_at()) is not None:
            self._clock.at = max(self._clock.at, at)
            self.agenda.run()

    def alive(self) -> bool:
        """Say whether anything may still be paid, or was: what the gateway's support sees."""
        return any(
            each.state in (TransferState.NEW, TransferState.PENDING, TransferState.PAID) for each in self.transfers.all
        )

    def click(self) -> bool:
        """Let somebody click Retry on a failed transfer in the dashboard; False when there is none that can be."""
        failed = [
            each for each in self.transfers.all if each.state is TransferState.FAILED and each.id not in self.clicked
        ]
        if not failed or len(self.clicked) >= MOST_CLICKS:
            return False
        transfer = self._dice.choice(failed)
        fate = self._foretell(transfer.order)
        try:
            if isinstance(self._simulator, PaystackSimulator):
                again, failed_at = transfer, transfer.ended_at
                self.transfers.revive(transfer, fate)
                self.failed_first[again.id] = failed_at or self._clock.now()
            else:
                again = self.transfers.retry(transfer, chosen=fate)
        except (NotNow, TransferRefused):
            return False
        self.clicked[again.id] = self._clock.now()
        self._story.tell("somebody", f"clicks Retry on {transfer.reference}: {again.reference}")
        return True

    def _foretell(self, _: Order) -> Fate:
        dice, conditions = self._dice, self._conditions
        fails = dice.random() < conditions.trouble * FAILING
        hides = dice.random() < conditions.trouble
        lies = dice.random() < conditions.webhooks_lie
        return Fate(
            Ends.FAILED if fails else Ends.PAID,
            after_s=dice.randrange(1, LONG_MS if dice.random() < SLOW else USUAL_MS) / SECOND,
            message=dice.choice(REASONS) if fails else "",
            approval=dice.random() < APPROVED_BY_HAND,
            reversed_after_s=dice.randrange(HOUR) / SECOND if dice.random() < conditions.returns else None,
            hidden_s=dice.randrange(conditions.lookup_lag_ms + 1) / SECOND if hides else 0.0,
            unlisted_s=dice.randrange(conditions.list_lag_ms + 1) / SECOND if hides else 0.0,
            spelling=conditions.spelling,
            returned_as_failure=conditions.returned_as_failure,
            webhook=dice.choice((Webhook.FORGED, Webhook.LYING, Webhook.MISNAMED)) if lies else Webhook.ONCE,
        )

    def _forbids(self, _: Order) -> FatedRefusal:
        """Refuse for what comes before the reference: a limit that one payment a day uses up, a bank that is closed."""
        now, conditions = self._clock.now(), self._conditions
        today = [each for each in self.transfers.all if each.created_at // DAY == now // DAY]
        spent = sum((each.order.amount for each in today if each.state is not TransferState.FAILED), Decimal(0))
        if conditions.limit_first and spent:
            return FatedRefusal.LIMIT
        closed = conditions.closed_first and now // OPENING_MS % 4 == 0
        return FatedRefusal.CLOSED if closed else FatedRefusal.NONE


class _Feed(Courier):
    """Brings news into this process: late, twice, in another order, or not at all."""

    def __init__(self, gateway: UnkindGateway, dice: Random, conditions: Conditions, agenda: Agenda) -> None:
        super().__init__(agenda)
        self._gateway = gateway
        self._dice = dice
        self._lost = conditions.webhooks_lost
        self._plan = agenda.later
        self._transfer: SimulatedTransfer | None = None

    def about(self, transfer: SimulatedTransfer) -> None:
        """Learn of which transfer the next piece of news is."""
        self._transfer = transfer

    def post(self, body: bytes, headers: Mapping[str, str], how: Webhook = Webhook.ONCE) -> None:
        """Send a piece of news."""
        assert self._transfer is not None  # noqa: S101
        self.deliveries.append(WebhookDelivery(len(self.deliveries), body, headers))  # v4 numbers its news by them
        webhook = QueuedWebhook(self._transfer, body, headers, how is Webhook.ONCE)
        for _ in range(2 if self._dice.random() < REPEATED_WEBHOOKS else 1):
            late_s = self._dice.choice(WEBHOOK_DELAYS_S)
            if self._dice.random() >= self._lost:
                self._plan(late_s, lambda: self._gateway.webhooks.append(webhook))


AtAwait = Callable[[str], Awaitable[None]]
"""Is awaited before and after each call, with its name."""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """An answer, as a session gives it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Self:
        """The body, as a stream."""
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Give the body at once."""
        yield self.body


@dataclass(frozen=True, slots=True)
class DirectSession:
    """Stands for an `aiohttp.ClientSession` whose every request goes to a simulated gateway in this process."""

    gateway: UnkindGateway
    at_await: AtAwait

    @asynccontextmanager
    async def request(self, method: str, url: URL, **options: Any) -> AsyncIterator[DirectResponse]:
        """Make a request."""
        query = dict(options.get("params") or ())
        headers = {name.casefold(): value for name, value in (options.get("headers") or {}).items()}
        call = ServedCall(method, url.path, headers, query, options.get("data") or b"")
        await self.at_await(f"before {call.line}")
        try:
            answer = self.gateway.exchange(call)
        finally:
            await self.at_await(f"after {call.line}")
        yield DirectResponse(answer.status, answer.headers, answer.encoded)
