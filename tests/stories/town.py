"""Payflow at work, with all that is around it: a provider, her platform, reviewers, the bank behind Flutterwave.

Nothing here is faked but the world outside: the store, the workers, the API, the rail, the mail and the webhooks are
those that ship; the gateway is the simulator, a real server that the real rail talks to. Time stands still until a
story lets it pass.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any

import aiohttp
from standardwebhooks import Webhook

from adapters.sandbox.gateway import SimulatedGateway
from adapters.sandbox.magic import Ends, Fate, name_of
from adapters.sandbox.mail import MailSink
from adapters.sandbox.transfers import SimulatedTransfer
from machines.core.clock import FixedClock, SystemClock
from machines.core.ids import Owner, RecordId, called, in_room
from machines.core.methods import PayMethod
from machines.core.money import NGN
from machines.core.ports import Rail
from machines.payout.data import PayoutRecord, reference_of
from payflow.app import gateways, notifications
from payflow.app.installation import assets_of
from payflow.app.payouts import Payouts
from payflow.config import Settings, load
from payflow.desk.payout_files.files import PayoutFiles
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store import keys
from payflow.store.accounts import LedgerAccount
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import new_key
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics
from payflow.web.http import app
from tests.adapters.notify.shop import Shop, open_shop
from tests.stories.banks import Choice, paid_to, v3
from tests.waiting import wait_until

ANN = in_room("shop", "ann")
ANNS_MAIL, REVIEWERS_MAIL = "ann@example.com", "reviewers@example.com"
HOME, ELSEWHERE = "0123456789", "0123456780"
BOUNCES = Fate(Ends.FAILED, message="DISBURSE FAILED: A fatal error occured while proccesing your request.")
SIGNS = "whsec_" + base64.b64encode(b"what the shop and we both know...").decode()

Json = dict[str, Any]


@dataclass
class Town:
    """Everybody, and what they can do."""

    clock: FixedClock
    settings: Settings
    store: Store
    bank: SimulatedGateway
    letters: MailSink
    shop: Shop
    address: str
    session: aiohttp.ClientSession
    metrics: Metrics
    files: PayoutFiles
    clicked: set[str] = field(default_factory=set)
    """What somebody had the bank pay once more, in its dashboard: that is not our doing."""
    forged: bool = False
    """Whether somebody changed what the bank says that it did, so that its book proves nothing of ours."""
    _tokens: dict[str, str] = field(default_factory=dict)
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _numbers: Any = field(default_factory=count)

    # ── Ann, who provides something ──────────────────────────────────────────────────────────────────────────────────

    async def ann_earns(self, amount: str, currency: str = "NGN") -> None:
        """The shop credits what Ann earned there."""
        await self.earns(ANN, amount, currency)

    async def ann_asks(self, amount: str, account: str = HOME, *, name: str = "", expect: int = 201) -> str:
        """Ann asks for a payout to her account, under the name that her bank has; gives its id."""
        where = {"bank_code": "044", "account_number": account, "account_name": name or name_of(account)}
        body = {"amount": amount, "currency": "NGN", "method": "bank", "destination": where}
        key = f"ann-{next(self._numbers)}"
        answer = await self._says("ann", "POST", "/api/provider/payouts", body, expect=expect, key=key)
        return str(answer.get("id", ""))

    async def ann_asks_by(self, row: PayMethod, amount: str, where: Json, *, expect: int = 201) -> Json:
        """Ann asks for a payout in any currency, by any method."""
        body = {"amount": amount, "currency": row.currency, "method": row.method, "destination": where}
        key = f"ann-{next(self._numbers)}"
        return await self._says("ann", "POST", "/api/provider/payouts", body, expect=expect, key=key)

    async def ann_sees(self, payout: str) -> Json:
        """What Ann reads about a payout."""
        return await self._says("ann", "GET", f"/api/provider/payouts/{payout}")

    async def ann_corrects(self, payout: str, account: str) -> None:
        """Ann names another account for a payout that failed."""
        body = {"destination": {"bank_code": "044", "account_number": account}}
        await self._says("ann", "POST", f"/api/provider/payouts/{payout}/destination", body)

    async def ann_cancels(self, payout: str, *, expect: int = 200) -> None:
        """Ann does not want it any more."""
        await self._says("ann", "POST", f"/api/provider/payouts/{payout}/cancel", {"reason": "no"}, expect=expect)

    async def ann_has(self) -> tuple[str, str, str]:
        """Ann's money: what is available, what is held, what was paid out to her."""
        account = await self.account()
        return _naira(account.available), _naira(account.held), _naira(account.paid)

    async def account(self) -> LedgerAccount:
        """Ann's account in the books."""
        return (await self.store.ledger.account(ANN)).get("NGN", LedgerAccount())

    async def anns_earnings(self) -> list[tuple[str, str]]:
        """What Ann earned, each with where it is."""
        return [(_naira(one.units), one.status) for one in await self.store.earnings.of(ANN, "NGN")]

    def ann_was_told(self) -> list[str]:
        """The subjects of the mails to Ann, oldest first."""
        return [mail.subject for mail in self.letters.to(ANNS_MAIL)]

    async def ann_is_an_old_customer(self) -> None:
        """Ann is verified, and three payouts of ₦10,000 to her account went well, some weeks ago."""
        await self.ann_earns("30000")
        for _ in range(3):
            payout = await self.ann_asks("10000")
            await self.approve(payout)
            await self.until_queued(payout)
            await self.time_passes(hours=2)
            await self.until_sent(payout)
            await self.time_passes(seconds=10)
            await self.until(payout, "paid")
        await self.time_passes(days=30)
        await self.until_all_is_told()
        self.letters.mails.clear()
        self.shop.heard.clear()

    # ── the shop, for anybody who provides something there ───────────────────────────────────────────────────────────

    async def joins(self, owner: Owner, *letters: str) -> None:
        """The shop brings somebody whom it has verified."""
        await self._says("shop", "PUT", f"/api/providers/{called(owner)}", {"verified": True, "notify": letters})

    async def earns(self, owner: Owner, amount: str, currency: str = "NGN") -> None:
        """The shop credits what somebody earned there."""
        body = {"id": f"order-{next(self._numbers)}", "owner": called(owner), "amount": amount, "currency": currency}
        await self._says("shop", "POST", "/api/earnings", body, expect=201)

    async def asks(self, owner: Owner, amount: str, account: str = HOME) -> str:
        """The shop asks for a payout to somebody's account; gives its id."""
        where = {"bank_code": "044", "account_number": account, "account_name": name_of(account)}
        body = {"owner": called(owner), "amount": amount, "currency": "NGN", "method": "bank", "destination": where}
        key = f"{owner}-{next(self._numbers)}"
        answer = await self._says("shop", "POST", "/api/provider/payouts", body, expect=201, key=key)
        return str(answer["id"])

    # ── people who work at the payments desk ─────────────────────────────────────────────────────────────────────────

    async def review_of(self, payout: str) -> Json:
        """What reviewers see of a payout, as soon as it is before them."""
        found: list[Json] = []

        async def there() -> bool:
            line = (await self._says("rita", "GET", "/api/reviews"))["reviews"]
            found[:] = [one for one in line if one["id"] == payout]
            return bool(found)

        await wait_until(there, f"{payout} is before the reviewers")
        return found[0]

    async def approve(self, payout: str, by: str = "rita") -> None:
        """A reviewer looks, and says yes."""
        seen = await self.review_of(payout)
        body = {"fingerprint": seen["fingerprint"]}
        await self._says(by, "POST", f"/api/reviews/{payout}/approve", body)

    async def refuses_approval(self, payout: str, fingerprint: str) -> None:
        """A reviewer says yes to something else than what is before them."""
        await self._says("rita", "POST", f"/api/reviews/{payout}/approve", {"fingerprint": fingerprint}, expect=409)

    async def reject(self, payout: str, reason: str) -> None:
        """A reviewer says no."""
        await self.review_of(payout)
        await self._says("rita", "POST", f"/api/reviews/{payout}/reject", {"reason": reason})

    async def release(self, payout: str, reason: str, *, expect: int = 200) -> None:
        """An operator gives the money of a failed payout back."""
        await self._says("otto", "POST", f"/api/payouts/{payout}/release", {"reason": reason}, expect=expect)

    async def retry(self, payout: str) -> None:
        """An operator says: once more."""
        await self._says("otto", "POST", f"/api/payouts/{payout}/retry")

    def reviewers_were_told(self) -> list[str]:
        """The subjects of the mails to the reviewers, oldest first."""
        return [mail.subject for mail in self.letters.to(REVIEWERS_MAIL)]

    def shop_heard(self) -> list[str]:
        """The news that the shop heard, each one's signature checked."""
        return [Webhook(SIGNS).verify(heard.raw, heard.headers)["type"] for heard in self.shop.heard]

    # ── the bank ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def sent(self) -> int:
        """How often we asked the gateway to pay something."""
        return self.bank.server.calls.count("POST /v3/transfers")

    def reference(self, payout: str, attempt: int = 1) -> str:
        """What an attempt of ours is called at the gateway."""
        return reference_of(RecordId(payout), attempt, self.store.installation)

    def transfer(self, payout: str, attempt: int = 1) -> SimulatedTransfer:
        """The gateway's transfer for an attempt of ours."""
        found = self.bank.transfers.by_reference(self.reference(payout, attempt))
        assert found is not None, f"the gateway has no attempt {attempt} of {payout}"
        return found

    def transfers_of(self, payout: str) -> list[SimulatedTransfer]:
        """Every transfer that the gateway has for a payout, whoever started it."""
        return [each for each in self.bank.transfers.all if each.reference.startswith(payout)]

    def reached(self, account: str = HOME) -> str:
        """How much money the gateway really brought to an account, less what came back."""
        return f"{paid_to(self.bank.book, account):,}"

    async def gateway_says_again(self, number: int) -> None:
        """The gateway delivers an old webhook once more."""
        delivery = self.bank.courier.deliveries[number]
        async with self.session.post(self.bank.courier.url, data=delivery.body, headers=delivery.headers) as answer:
            assert answer.status == 200, await answer.text()

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def time_passes(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let time pass; what is due by then happens."""
        self.clock.advance(seconds + 60 * minutes + 3600 * hours + 86_400 * days)
        await self.bank.catch_up()
        await self.store.link.ask("PUBLISH", keys.WAKE_CHANNEL, "the clock")

    async def until(self, payout: str, status: str) -> PayoutRecord:
        """Wait until Ann reads that her payout has a status."""

        async def there() -> bool:
            return bool((await self.ann_sees(payout))["status"] == status)

        await wait_until(there, f"{payout} is {status}")
        return await self.record(payout)

    async def until_queued(self, payout: str) -> PayoutRecord:
        """Wait until an approved payout knows which batch it waits for."""

        async def there() -> bool:
            record = await self.record(payout)
            return record.state == "APPROVED" and record.data.opens_at > 0

        await wait_until(there, f"{payout} waits for its batch")
        return await self.record(payout)

    async def until_sent(self, payout: str, attempt: int = 1) -> PayoutRecord:
        """Wait until an attempt is with the gateway."""
        reference = self.reference(payout, attempt)

        async def there() -> bool:
            current = (await self.record(payout)).data.current
            return current is not None and current.reference == reference and current.sent

        await wait_until(there, f"attempt {attempt} of {payout} is sent")
        return await self.record(payout)

    async def until_with_gateway(self, payout: str) -> PayoutRecord:
        """Wait until the newest attempt of a payout is with the gateway, whichever it is."""

        async def there() -> bool:
            current = (await self.record(payout)).data.current
            return current is not None and current.sent

        await wait_until(there, f"{payout} is with the gateway")
        return await self.record(payout)

    async def until_in(self, payout: str, state: str) -> PayoutRecord:
        """Wait until a payout is in a state of the machine, which says more than Ann reads."""

        async def there() -> bool:
            return (await self.record(payout)).state == state

        await wait_until(there, f"{payout} is {state}")
        return await self.record(payout)

    async def until_looked(self, payout: str) -> PayoutRecord:
        """Wait until a worker has looked at a payout once more, whatever came of it."""
        before = (await self.store.listing.outlook(await self.record(payout))).at
        (answer,) = await self.store.records.poke(RecordId(payout))
        assert answer != "asleep", f"nobody looks at {payout}"

        async def there() -> bool:
            outlook = await self.store.listing.outlook(await self.record(payout))
            later = outlook.at is None or before is None or outlook.at > self.clock.now()
            return later and not outlook.leased

        await wait_until(there, f"somebody looked at {payout}")
        return await self.record(payout)

    async def until_over(self, payout: str) -> PayoutRecord:
        """Wait until the newest attempt of a payout is known to have failed."""

        async def there() -> bool:
            current = (await self.record(payout)).data.current
            return current is not None and bool(current.failed)

        await wait_until(there, f"the attempt of {payout} failed")
        return await self.record(payout)

    async def until_paused(self, scope: str) -> None:
        """Wait until sends are paused."""

        async def there() -> bool:
            return scope in await self.store.pauses.all()

        await wait_until(there, f"{scope} is paused")

    async def until_all_is_told(self) -> None:
        """Wait until every message has been delivered."""

        async def quiet() -> bool:
            return not await self.store.outbox.waiting()

        await wait_until(quiet, "everybody has been told everything")

    async def until_shop_refused(self, times: int) -> None:
        """Wait until the last refusal of so many is written down, or nobody tries any more: else time passes before."""

        async def done() -> bool:
            if await self.store.outbox.undelivered():
                return True
            message = f"{self.shop.heard[-1].headers['webhook-id']}@shop.settings" if self.shop.heard else ""
            if not message:
                return False
            shard = self.store.records.shard_of(RecordId(message.partition("/")[0]))
            return int(await self.store.link.ask("HGET", keys.messages(shard), f"{message}#tries") or 0) >= times

        await wait_until(done, f"the shop has refused {times} times")

    async def until_told(self, subject: str) -> None:
        """Wait until Ann has got a mail."""
        await wait_until(
            lambda: subject in self.ann_was_told(), f"Ann is told: {subject}; not only {self.ann_was_told()}"
        )

    async def record(self, payout: str) -> PayoutRecord:
        """A payout as the store has it."""
        record: PayoutRecord = (await self.store.records.read(RecordId(payout))).record
        return record

    async def story_of(self, payout: str) -> list[str]:
        """The moves of a payout, oldest first."""
        return [event.trigger for event in await self.store.records.history(RecordId(payout)) if event.trigger]

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def worker(self, around: Callable[[Rail], Rail] = lambda rail: rail) -> AsyncIterator[Metrics]:
        """Let a worker work for as long as the block runs, with connections of its own, as another process has."""
        async with AsyncExitStack() as stack:
            store, metrics = await stack.enter_async_context(open_books(self.settings, self.clock)), Metrics()
            setups = await gateways.open_gateways(self.settings, store, self.clock, stack)
            setups = {name: replace(setup, rail=around(setup.rail)) for name, setup in setups.items()}
            payouts = Payouts(self.settings, store, metrics, setups)
            store.serve(payouts.machines)
            deliver = await notifications.open_handlers(self.settings, store, SystemClock(), stack)
            worker = Worker(store, self.settings, metrics, Dispatcher(store.outbox, metrics, deliver, store.pauses))
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.run())
                try:
                    yield metrics
                finally:
                    worker.stop()

    # ── the end of every story ───────────────────────────────────────────────────────────────────────────────────────

    async def books_are_true(self) -> None:
        """Nothing was lost or made, every record is whole, we had nothing paid twice, our books are the gateway's."""
        books = await self.store.ledger.check()
        assert books.conserved, books.faults
        assert [fault async for fault in self.store.integrity.verify()] == []
        if self.forged:
            return
        asked = {entry.asked for entry in self.bank.book} - self.clicked
        assert [one for one in asked if self.bank.book.times_paid(one) > 1] == []
        paid = await self.account()
        latest: list[PayoutRecord] = [one.record for one in await self.store.listing.owned_by(ANN, 500)]
        naira = [one for one in latest if one.amount is not None and one.amount.asset == NGN]
        gone = [(one.amount, one.data.send_units) for one in naira if one.state == "COMPLETED"]
        fees = sum(amount.units - units for amount, units in gone if amount is not None)
        assert Decimal(paid.paid - fees) / 100 == self.bank.book.total("NGN")

    async def _says(
        self, who: str, method: str, path: str, body: Json | None = None, *, expect: int = 200, key: str = ""
    ) -> Json:
        headers = {"Authorization": f"Bearer {await self._token(who)}"} | ({"Idempotency-Key": key} if key else {})
        async with self.session.request(method, self.address + path, json=body, headers=headers) as answer:
            told: Json = await answer.json()
            assert answer.status == expect, told
            return told

    async def _token(self, who: str) -> str:
        roles: Mapping[str, tuple[Role, str]] = {
            "ann": (Role.PROVIDER, ANN),
            "shop": (Role.PLATFORM, "shop"),
            "otto": (Role.OPERATOR, ""),
        }
        async with self._one_by_one:
            if who not in self._tokens:
                role, of = roles.get(who, (Role.REVIEWER, ""))
                self._tokens[who] = await Tokens(self.store.link).create(who, role, of, "test")
        return self._tokens[who]


def open_books(settings: Settings, clock: FixedClock) -> AbstractAsyncContextManager[Store]:
    """Open the store with books in all that may be paid."""
    return open_store(settings, assets=assets_of(settings), clock=clock)


@asynccontextmanager
async def open_town(settings: Settings, choice: Choice = v3, **changes: Any) -> AsyncIterator[Town]:
    """Open the town in the morning of a batch; in the evening the books must be true."""
    async with AsyncExitStack() as stack:
        clock = FixedClock()
        chosen = choice(clock)
        bank = await stack.enter_async_context(chosen.gateway)
        letters = await stack.enter_async_context(MailSink())
        shop = await stack.enter_async_context(open_shop())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        settings = load({}, **(settings.model_dump() | _usual(letters, shop) | chosen.settings() | changes))
        store, metrics = await stack.enter_async_context(open_books(settings, clock)), Metrics()
        payouts = Payouts(settings, store, metrics, await gateways.open_gateways(settings, store, clock, stack))
        store.serve(payouts.machines)
        routes = app.application(payouts.routes())
        address = await stack.enter_async_context(app.listening(routes, "127.0.0.1", 0))
        bank.courier.url = address + chosen.hook
        town = Town(clock, settings, store, bank, letters, shop, address, session, metrics, PayoutFiles(payouts.desk))
        await town.joins(ANN, f"mailto:{ANNS_MAIL}")
        yield town
        await town.books_are_true()


def _usual(letters: MailSink, shop: Shop) -> Json:
    return {
        "seal_keys": new_key(),
        "mail": letters.url,
        "reviewers": (f"mailto:{REVIEWERS_MAIL}",),
        "review_digest_s": 0,
        "two_people_from": "none",
        "payout_most_open": 0,
        "payout_most_daily": 0,
        "platform_webhooks": {"shop": {"url": shop.url, "secret": SIGNS}},
        "webhooks_to_loopback": True,
        "api_rate": 100_000.0,
        "gateway_calls": 10_000.0,
        "api_address_rate": 100_000.0,
    }


def _naira(units: int) -> str:
    return f"{units // 100:,}" if units % 100 == 0 else f"{Decimal(units) / 100:,.2f}"
