"""The API as its callers meet it: a real store, the payout machine, a worker, real HTTP. Only the rail is small."""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp

from adapters.flutterwave.methods import V3
from machines.core.clock import FixedClock
from machines.core.errors import BadInput, Rejected, Retryable
from machines.core.facts import Reading
from machines.core.ids import RecordId, in_room
from machines.core.money import NGN, Money
from machines.core.ports import Act, Destination, Evidence, Failed, Notice, Payment, Pending, Settled, Status, Unsent
from machines.payout.acts import PayoutActs
from machines.payout.data import PayoutData, PayoutRecord
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from machines.payout.risk import ProviderHistory, Thresholds
from payflow.config import Settings, load
from payflow.desk.batches import Schedule
from payflow.desk.gateways import FirstLook, Gateway, Hooks
from payflow.desk.payout_files.made import file_machines
from payflow.desk.payouts import Desk
from payflow.desk.requests import two_people_from
from payflow.engine.dispatcher import Dispatcher, Handler
from payflow.engine.worker import Worker
from payflow.store.outbox import Post
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import new_key
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics
from payflow.web import routes as api
from payflow.web.http import app
from tests.machines.payout.world import Unlimited
from tests.waiting import wait_until

ANN, BOB = "ann", "bob"
SHOP, RIVAL = "shop", "rival"
SHOPS = {ANN: in_room(SHOP, ANN), BOB: in_room(SHOP, BOB)}
"""Whom the shop calls so."""
COIN = "etc"
"""Of a mining pool of this installation."""
# Accounts that the small rail knows, by their last digits.
GOOD, BOUNCES, WAITS, NOBODYS, MUTE = "0690000031", "0690000040", "0690000050", "0690000060", "0690000070"
SECRET = "whispered"
SEAL_KEY = new_key()
HOOK = "/api/webhooks/flutterwave/payout_status"

Json = dict[str, Any]


class SmallRail:
    """A gateway in a dictionary: pays at once, unless the account says otherwise, and counts what it paid."""

    def __init__(self) -> None:
        self.submits: Counter[str] = Counter()
        self.known: dict[str, Payment] = {}
        self.looks: Counter[str] = Counter()
        self.settled: set[str] = set()
        self.told = Gateway(resolve=self.resolve, fee=self.fee, methods=V3)

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take a payment."""
        self.submits[payment.key] += 1
        self.known[payment.key] = payment
        return f"trf_{payment.key}"

    async def status(self, payment: Payment) -> Status:
        """Say what became of a payment."""
        self.looks[payment.key] += 1
        if payment.key not in self.known:
            return Unsent()
        account = self.known[payment.key].to["account_number"]
        if account == BOUNCES:
            return Failed("the account is closed", retryable=False)
        if account == WAITS and payment.key not in self.settled:
            return Pending()
        return Settled(Evidence("small rail", payment.key))

    async def resolve(self, destination: Destination, currency: str) -> str:
        """Say whose account it is."""
        account = dict(destination.fields).get("account_number")
        if account == NOBODYS:
            raise Rejected("There is no such account.")
        if account == MUTE:
            raise Retryable("10.0.0.7 did not answer.")
        return "ANN A."

    async def fee(self, amount: Money, destination: Destination) -> Money:
        """Say what a transfer costs."""
        return Money(10_75, amount.asset)


class Known:
    """Says of every provider what a test wants."""

    def __init__(self) -> None:
        self.standing_of_all = ProviderHistory(verified=True, successes=9)

    async def history(self, record: PayoutRecord, limits: Thresholds) -> ProviderHistory:
        """Say it."""
        return self.standing_of_all


def genuine(headers: Mapping[str, str], body: bytes) -> bool:
    """Tell a delivery of the small gateway."""
    return hmac.compare_digest(headers.get("verif-hash", ""), SECRET)


def signed(_body: bytes) -> Mapping[str, str]:
    """Give what its deliveries show."""
    return {"verif-hash": SECRET}


def read(body: bytes) -> Notice | None:
    """Read a delivery of the small gateway."""
    try:
        said = json.loads(body)
        if said["event"] != "transfer.completed":
            return None
        reference, status = str(said["data"]["reference"]), str(said["data"]["status"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput("The webhook is not the gateway's JSON.") from error
    return Notice((reference,), "1", status, f"{reference}:{status}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    raw: bytes
    headers: Mapping[str, str]

    @property
    def body(self) -> Any:  # noqa: ANN401  (a test knows what it asked for)
        """The answer, read."""
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The reason code of a refusal."""
        error = self.body["error"]
        assert set(error) <= {"code", "message", "field"}
        assert error["message"]
        return str(error["code"])

    @property
    def field(self) -> str:
        """The field that a refusal names."""
        return str(self.body["error"].get("field", ""))


@dataclass
class Front:
    """The API and who stands before it."""

    store: Store
    desk: Desk
    settings: Settings
    metrics: Metrics
    rail: SmallRail
    known: Known
    hooks: list[Hooks]
    address: str
    session: aiohttp.ClientSession
    told: list[Post] = field(default_factory=list)
    """What was delivered."""
    _tokens: dict[str, str] = field(default_factory=dict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    _numbers: Any = field(default_factory=count)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody, made when he is first named."""
        name = name or (f"{role}-{of}" if of else role)
        of = SHOPS.get(of, of) if role is Role.PROVIDER else of
        async with self._making:
            if name not in self._tokens:
                self._tokens[name] = await Tokens(self.store.link).create(name, role, of, "test")
            return self._tokens[name]

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Send one request, as anybody."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.address + path, data=data, headers=sent) as response:
            return Answer(response.status, await response.read(), dict(response.headers))

    async def ann(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request as the provider Ann."""
        return await self.call(method, path, body, token=await self.token(Role.PROVIDER, ANN), **more)

    async def bob(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request as the provider Bob."""
        return await self.call(method, path, body, token=await self.token(Role.PROVIDER, BOB), **more)

    async def shop(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request as the platform that brought Ann."""
        return await self.call(method, path, body, token=await self.token(Role.PLATFORM, SHOP), **more)

    async def rival(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request as another platform."""
        return await self.call(method, path, body, token=await self.token(Role.PLATFORM, RIVAL), **more)

    async def reviewer(self, method: str, path: str, body: object = None, name: str = "rita", **more: Any) -> Answer:
        """Send a request as a reviewer."""
        return await self.call(method, path, body, token=await self.token(Role.REVIEWER, name=name), **more)

    async def operator(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """Send a request as an operator."""
        return await self.call(method, path, body, token=await self.token(Role.OPERATOR, name="otto"), **more)

    async def deliver(self, event: Json | bytes, *, secret: str = SECRET, **more: Any) -> Answer:
        """Send a webhook."""
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        return await self.call("POST", HOOK, raw=raw, verif_hash=secret, **more)

    # ── everyday things ──────────────────────────────────────────────────────────────────────────────────────────────

    async def earn(self, amount: str = "1000", owner: str = ANN) -> None:
        """Let a provider earn something."""
        body = {"id": f"income-{next(self._numbers)}", "owner": owner, "amount": amount, "currency": "NGN"}
        answer = await self.shop("POST", "/api/earnings", body)
        assert answer.status == 201, answer.body

    async def requested(self, amount: str | None = "500", **more: Any) -> Json:
        """Let Ann ask for a payout, and give what she is answered."""
        answer = await self.ann("POST", "/api/payouts", asking(amount, **more))
        assert answer.status == 201, answer.body
        return dict(answer.body)

    async def record(self, payout_id: str) -> PayoutRecord:
        """Read a payout as the store has it."""
        return (await self.store.records.read(RecordId(payout_id))).record

    async def until(self, payout_id: str, *states: str, patient: bool = False) -> PayoutRecord:
        """Wait until a payout is in one of these states; have it looked at meanwhile, unless the test is patient."""

        async def there() -> bool:
            if not patient:
                await self.store.records.poke(RecordId(payout_id))
            return (await self.record(payout_id)).state in states

        await wait_until(there, f"{payout_id} is {' or '.join(states)}")
        return await self.record(payout_id)

    async def in_review(self, payout_id: str) -> Json:
        """Wait until a payout is before the reviewers, and give what they see."""
        found: list[Json] = []

        async def there() -> bool:
            reviews = (await self.reviewer("GET", "/api/reviews?limit=500")).body["reviews"]
            found[:] = [one for one in reviews if one["id"] == payout_id]
            return bool(found)

        await wait_until(there, f"{payout_id} is before the reviewers")
        return found[0]

    async def money(self, owner: str = ANN) -> dict[str, str]:
        """Read a provider's money in naira, as the API tells it."""
        answer = await self.shop("GET", f"/api/provider/balance?owner={owner}")
        assert answer.status == 200, answer.body
        (naira,) = (one for one in answer.body["balances"] if one.pop("currency") == "NGN")
        return dict(naira)

    async def check(self) -> None:
        """Prove that the books balance, that every record is whole, and that nothing was paid twice."""
        books = await self.store.ledger.check()
        assert books.conserved, books.faults
        assert [fault async for fault in self.store.integrity.verify()] == []
        assert [key for key, times in self.rail.submits.items() if times > 1] == []

    def count(self, name: str, **labels: str) -> float:
        """Read a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    # ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def working(self, **more: Handler) -> AsyncIterator[None]:
        """Let a worker work for as long as the block runs; what it tells is heard here, or as is said."""
        handlers = dict.fromkeys(("notify", "webhook", "batch"), self._hear) | more
        worker = Worker(self.store, self.settings, self.metrics, Dispatcher(self.store.outbox, self.metrics, handlers))
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await running

    async def _hear(self, post: Post) -> None:
        self.told.append(post)


def asking(amount: object = "500", account: str = GOOD, **more: object) -> Json:
    """Write a request for a payout."""
    where = {"bank_code": "044", "account_number": account}
    return {"amount": amount, "currency": "NGN", "method": "bank", "destination": where} | more


def ngn(text: str) -> Money:
    """So much naira."""
    return Money.parse(text, NGN)


@asynccontextmanager
async def open_front(settings: Settings, *, clock: FixedClock | None = None, **changes: Any) -> AsyncIterator[Front]:
    """Open the API; what it leaves behind must be sound."""
    usual: dict[str, Any] = {
        "batch_schedule": "instant",
        "seal_keys": SEAL_KEY,
        "api_rate": 5e3,
        "api_address_rate": 5e3,
    }
    settings = load({}, **(settings.model_dump() | usual | changes))
    rail, known, schedule = SmallRail(), Known(), Schedule(settings.batch_schedule)
    thresholds = Thresholds(most_an_hour=1000, most_a_day=1000, most_units_an_hour=10**15, most_units_a_day=10**15)
    acts: dict[str, Act[PayoutData]] = {}

    async def prove(record: PayoutRecord) -> Reading:
        return await looks.prove(record)

    machine = payout(PayoutPolicy(settings.retry_after_s), acts, prove)
    hooks = Hooks("flutterwave", (HOOK, "/api/payout_status"), genuine, signed, read)
    async with open_store(settings, clock=clock, coins=[COIN]) as store, aiohttp.ClientSession() as session:
        store.serve([machine, *file_machines(store)])
        most = two_people_from(settings, store) if settings.two_people_from else None
        borne = settings.payout_fee_bearer == "provider"
        looks = PayoutActs(
            {"flutterwave": rail},
            known,
            schedule,
            store.seals,
            store.permit_keys,
            thresholds,
            Unlimited(),
            FirstLook({"flutterwave": rail.told}, store.seals, borne_by_provider=borne),
            most,
        )
        acts.update(looks.acts())
        metrics = Metrics()
        desk = Desk(store, settings, metrics, {"flutterwave": rail.told}, schedule)
        routes = [*api.routes(desk, settings, metrics, [hooks]), *api.pages(desk, settings)]
        async with app.listening(app.application(routes), "127.0.0.1", 0) as address:
            front = Front(store, desk, settings, metrics, rail, known, [hooks], address, session)
            yield front
            await front.check()
