"""A gateway that is set up: what is asked of it before it pays, what its wallet covers, how its webhooks count."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import structlog

from machines.core.clock import DAY, HOUR, SECOND, Millis
from machines.core.errors import BadInput, Conflict, NotFound, PayflowError, RailClosed, Rejected, Retryable
from machines.core.ids import Owner, RecordId
from machines.core.methods import PayMethod
from machines.core.money import Money
from machines.core.ports import Destination, Lists, Notice, Rail, RailStatement
from machines.payout import facts as f
from machines.payout.data import PayoutRecord, record_of
from machines.payout.facts import Enquired
from payflow.desk import trial
from payflow.desk.names import USUAL_NAMES, HolderCache, NameRules, name_score
from payflow.desk.records import revived
from payflow.engine.step import take_in
from payflow.store.registers.inbox import Inbox
from payflow.store.registers.shortfalls import Waiting
from payflow.store.seals import Seals
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

PROBE_S = 60.0
PROBER = "payflow"
GIVES_UP_AFTER_MS = HOUR
"""After so long people are asked without the gateway's word, which they are told."""
Probe = Callable[[], Awaitable[None]]
"""Asks something cheap behind the same credentials; raises `RailClosed` while nobody of ours may pass."""

Wallet = Callable[[], Awaitable[Sequence[Money]]]
"""Asks a rail what its wallets hold."""


async def _nobody(_: Destination, __: str) -> str:
    return ""


async def _no_banks(_: str) -> Sequence[tuple[str, str]]:
    return ()


async def _nothing(amount: Money, _: Destination) -> Money:
    return Money(0, amount.asset)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a gateway tells before any money moves; where it tells nothing, nothing is wrong, named or taken."""

    check: Callable[[Destination], object] = lambda _: None
    """Refuses what anybody can see to be wrong: nobody is asked."""
    resolve: Callable[[Destination, str], Coroutine[Any, Any, str]] = _nobody
    """Gives the name on the account, in a currency; raises `Rejected` when there is no such account."""
    fee: Callable[[Money, Destination], Coroutine[Any, Any, Money]] = _nothing
    """Says what the gateway takes for a transfer."""
    methods: tuple[PayMethod, ...] = ()
    """What it pays, by currency and method."""

    banks: Callable[[str], Coroutine[Any, Any, Sequence[tuple[str, str]]]] = _no_banks
    """Lists the banks of a currency's countries, each code with its name."""

    def row(self, currency: str, method: str) -> PayMethod | None:
        """Find how it pays a currency by a method; None where it does not."""
        return next((row for row in self.methods if (row.currency, row.method) == (currency, method)), None)


@dataclass(frozen=True, slots=True)
class Hooks:
    """How one gateway's webhooks are told from forged ones, and read."""

    source: str
    paths: tuple[str, ...]
    """Where they arrive."""
    genuine: Callable[[Mapping[str, str], bytes], bool]
    """Compares in constant time what a delivery shows with what the gateway alone can know."""
    signed: Callable[[bytes], Mapping[str, str]]
    """Gives the headers that a genuine delivery has."""
    read: Callable[[bytes], Notice | None]
    """Gives what it speaks of, None when that is no transfer; raises `BadInput` for what cannot be read."""


@dataclass(frozen=True, slots=True)
class GatewaySetup:
    """One gateway that is set up."""

    rail: Rail
    gateway: Gateway
    hooks: Hooks | None = None
    """None where no secret for webhooks is set: then payouts are finished by polling."""
    lists: Lists | None = None
    """What tells all that was done, after the store lost writes; None where nobody can tell."""
    statement: RailStatement | None = None
    """Says what the rail did, whoever asked it to; None where it has no such list."""
    wallet: Wallet | None = None
    """Tells what is left to pay from; None where the gateway does not say."""
    probe: Probe | None = None
    """Asks whether we are let in; None where only people open what closed itself."""
    watching: Rail | None = None
    """The same rail for what is over, whose calls have a share of their own; None where it counts no calls."""
    asking: Rail | None = None
    """The same rail for a person who waits for the answer; None as above."""


# ── before it pays ────────────────────────────────────────────────────────────────────────────────────────────────────


def print_of(
    seals: Seals, amount: Money, destination: Destination, arrives: Money | None = None, holder: str = ""
) -> str:
    """Name all that a reviewer sees and says yes to: amount, destination, what arrives there, and whose it is."""
    seen = (str(arrives), holder) if arrives else ()
    return seals.fingerprint(str(amount), destination.kind, repr(destination.fields), *seen)


async def _no_name(_: Owner) -> str:
    return ""


class FirstLook:
    """Asks the gateways, over what is sealed in a record."""

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        seals: Seals,
        *,
        borne_by_provider: bool,
        names: NameRules = USUAL_NAMES,
        usual_name: Callable[[Owner], Awaitable[str]] = _no_name,
    ) -> None:
        self._gateways = gateways
        self._seals = seals
        self._borne = borne_by_provider
        self._names = names
        self._usual_name = usual_name
        self._holders = HolderCache(seals)

    async def ask(self, record: PayoutRecord, now: Millis) -> Enquired | None:
        """Say whose account it is and what arrives.

        Without a fee what arrives could not be fixed: where the provider bears it, the request waits for it.
        """
        gateway, amount = self._gateways.get(record.data.rail), record.amount
        if gateway is None or amount is None:
            return None
        destination = self._seals.open(record.data.sealed, record.id)
        row = gateway.row(amount.asset.code, record.data.method)
        patient = now - record.created_at < GIVES_UP_AFTER_MS
        holder, fee, given_up = "", Money(0, amount.asset), False
        try:
            if row is not None and row.resolves:
                holder = await self._holders.ask(gateway.resolve, destination, amount.asset.code, now)
        except Retryable as error:
            if patient:
                raise
            given_up = True
            log.warning("Nobody can say whose account it is.", action="enquiry", record=record.id, error=str(error))
        try:
            fee = await gateway.fee(amount, destination)
        except Retryable:
            if patient or self._borne:
                raise
        if self._borne and amount <= fee:
            raise Rejected(f"The fee of {fee} would eat up {amount}.")
        arrives = amount - fee if self._borne else amount
        named = dict(destination.fields).get("account_name", "")
        usual = await self._usual_name(record.owner) if holder else ""
        score = name_score(holder, named) if holder and named else None
        return Enquired(
            holder,
            fee.units,
            arrives.units,
            print_of(self._seals, amount, destination, arrives, holder),
            given_up,
            other_name=score is not None and score < self._names.review_below,
            name_score=score,
            own_score=name_score(holder, usual) if holder and usual else None,
            held=score is not None and score < self._names.hold_below,
        )


# ── what it tells ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Notices:
    """Takes in what genuine deliveries speak of."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    async def take(self, hooks: Hooks, notice: Notice) -> str:
        """Take in one notice, and say what became of it."""
        inbox = Inbox(self._store.link, hooks.source)
        if await inbox.knows(notice):
            return "again"
        # Only what was poked is remembered: were it the other way round, a crash between the two would lose the news.
        outcome = await self._poke(hooks, notice)
        await inbox.keep(notice)
        return outcome

    async def _poke(self, hooks: Hooks, notice: Notice) -> str:
        """Have the payout looked at, whatever the delivery says of it."""
        for reference in notice.references:
            try:
                await self._name(reference, hooks, notice)
                (found,) = await self._store.records.poke(record_of(reference))
            except (BadInput, NotFound):
                continue
            if found == "missing":
                continue
            if found == "asleep":
                return await self._wake(reference, hooks, notice)
            return "taken"
        if await trial.hear(self._store, notice):
            return "trial"
        self._note("A webhook speaks of a transfer that is not ours.", "unknown", hooks, notice)
        return "unknown"

    async def _name(self, reference: str, hooks: Hooks, notice: Notice) -> None:
        """Keep what the gateway calls the transfer: some cannot be asked by our reference, nor after a retry of it."""
        name, why = record_of(reference), f"a webhook speaks of {reference}"
        if not _lacks(await revived(self._store, name, why, hooks.source), reference, notice.handle):
            return
        try:
            named = f.Named(reference, (notice.handle,))
            await take_in(self._store.records, self._metrics, name, named, hooks.source)
        except Conflict:
            # Very many deliveries of one transfer at once: it is enough that one of them was kept.
            if _lacks(await revived(self._store, name, why, hooks.source), reference, notice.handle):
                raise

    async def _wake(self, reference: str, hooks: Hooks, notice: Notice) -> str:
        """Have a payout looked at once more that nobody looks at any more: a bank may send money back after weeks."""
        stored = await self._store.records.read(record_of(reference))
        if stored.record.parked:
            # A person was told why; that the gateway speaks of it once more answers nothing that they must find out.
            self._note("A webhook speaks of a payout that was set aside for a person.", "parked", hooks, notice)
            return "parked"
        try:
            await self._store.records.unpark(stored, "a webhook speaks of it", hooks.source)
        except BadInput:
            self._note("A webhook speaks of a payout that nobody looks at.", "asleep", hooks, notice)
            return "asleep"
        return "taken"

    def _note(self, sentence: str, what: str, hooks: Hooks, notice: Notice) -> None:
        log.warning(
            sentence,
            action=f"webhook_{what}",
            source=hooks.source,
            references=[reference[:64] for reference in notice.references[:4]],
            said=notice.said[:40],
        )


def _lacks(record: PayoutRecord, reference: str, handle: str) -> bool:
    """Whether a payout has the attempt, and not yet this name of it."""
    return bool(handle) and any(
        handle not in (one.handle, *one.named) for one in record.data.attempts if one.reference == reference
    )


# ── when it has closed itself ─────────────────────────────────────────────────────────────────────────────────────────


async def keep_closed_rails_probed(store: Store, probes: Mapping[str, Probe]) -> None:
    """Probe what closed itself about once a minute, until cancelled."""
    while True:
        try:
            await probe_closed_rails(store, probes)
        except PayflowError as error:
            log.warning("Closed rails could not be probed.", action="probe", error=str(error))
        except Exception:  # an adapter that fails in an unforeseen way must not stop the worker
            log.exception("Closed rails could not be probed.", action="probe")
        await anyio.sleep(PROBE_S / 4)


async def probe_closed_rails(store: Store, probes: Mapping[str, Probe]) -> None:
    """Ask each rail whose own code closed it, in its turn. What people, contradictions or lost writes closed stays."""
    for scope, pause in (await store.pauses.all()).items():
        kind, _, rail = scope.partition(":")
        if kind != "rail" or not pause.code or rail not in probes:
            continue
        granted, _ = await store.records.rate_tokens(f"probe:{rail}", 1 / PROBE_S, 1)
        if granted:
            await _probe(store, rail, probes[rail])


async def _probe(store: Store, rail: str, probe: Probe) -> None:
    try:
        await probe()
    except RailClosed:
        return
    except PayflowError as error:
        log.info("A probe of a closed rail told nothing.", action="probe", rail=rail, error=str(error))
        return
    async with store.audit.doing(PROBER, "resume", f"rail:{rail}", "it lets a probe in again"):
        await store.pauses.reopen(f"rail:{rail}")
    log.warning("A rail that had closed itself is open again.", action="rail_opened", rail=rail)


ASKED_AGAIN_MS = 30 * SECOND
RESERVED_AFTER_MS = DAY
"""After so long the wallet's money is kept for a payout that it is too low for, until it has come together."""


@dataclass(slots=True)
class _Held:
    """What a wallet holds, less what has left since it was asked."""

    units: int | None
    at: Millis


class WalletQueue:
    """The payouts that wait for money. While none waits nothing is asked, and everything may leave."""

    def __init__(self, store: Store, wallets: Mapping[str, Wallet]) -> None:
        self._shortfalls = store.shortfalls
        self._wallets = wallets
        self._held: dict[tuple[str, str], _Held] = {}

    async def covers(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell whether the wallet has money for a payout, after all older ones that it has money for as well."""
        return await self._covers(record, now) is not None

    async def take(self, record: PayoutRecord, now: Millis) -> bool:
        """Tell the same, and count it as gone where it has."""
        held = await self._covers(record, now)
        if held is not None and held.units is not None:
            held.units -= _waiting(record, now).units
        return held is not None

    async def _covers(self, record: PayoutRecord, now: Millis) -> _Held | None:
        """Give what is held where it is enough; None where a payout has to wait, which is written down."""
        mine = _waiting(record, now)
        queue = [one for one in await self._shortfalls.waiting(now) if (one.rail, one.asset) == (mine.rail, mine.asset)]
        if not queue:
            return _Held(None, now)
        held = await self._ask(mine.rail, mine.asset, now)
        if held.units is None:
            return held  # it does not say: the gateway's own answer decides, ever more seldom asked for
        others = [one for one in queue if one.payout != mine.payout]
        if mine.payout in fitting([*others, mine], held.units, now):
            return held
        await self._shortfalls.wait(mine)
        return None

    async def was_short(self, record: PayoutRecord, now: Millis) -> None:
        """Keep in mind that the rail had too little for a payout."""
        await self._shortfalls.wait(_waiting(record, now))
        self._held.pop((record.data.rail, _asset(record)), None)

    async def left(self, record: PayoutRecord) -> None:
        """Keep in mind that a payout has left."""
        if record.data.deferred_since:
            await self._shortfalls.leave([record.id])

    async def _ask(self, rail: str, asset: str, now: Millis) -> _Held:
        known = self._held.get((rail, asset))
        if known is None or now - known.at >= ASKED_AGAIN_MS:
            known = _Held(await self._read(rail, asset, now), now)
            self._held[rail, asset] = known
        return known

    async def _read(self, rail: str, asset: str, now: Millis) -> int | None:
        wallet = self._wallets.get(rail)
        try:
            held = [one for one in await wallet() if one.asset.code == asset] if wallet else []
        except RailClosed:
            raise
        except PayflowError as error:
            log.info("A wallet does not say what it holds.", action="wallet", rail=rail, error=str(error))
            return None
        for one in held:
            await self._shortfalls.remember(rail, one, now)
        return held[0].units if held else None


def fitting(queue: Iterable[Waiting], held: int, now: Millis) -> set[RecordId]:
    """Choose who may leave: the oldest first among what fits, with what is kept back for those who waited for long."""
    chosen, left = set(), held
    for one in sorted(queue, key=lambda one: (one.asked_at, one.payout)):
        if one.units <= left:
            chosen.add(one.payout)
            left -= one.units
        elif now - one.since >= RESERVED_AFTER_MS:
            left -= one.units
    return chosen


def _waiting(record: PayoutRecord, now: Millis) -> Waiting:
    data = record.data
    since = Millis(data.deferred_since or now)
    units = data.send_units + data.fee_units
    return Waiting(record.id, data.rail, _asset(record), units, record.created_at, since, now)


def _asset(record: PayoutRecord) -> str:
    return record.amount.asset.code if record.amount else ""
