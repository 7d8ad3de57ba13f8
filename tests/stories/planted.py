"""Discrepancies planted into a gateway's own books, of each kind; the gateway knows nothing of whoever will look."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from random import Random

from adapters.sandbox.forger import GatewayForger
from adapters.sandbox.transfers import SimulatedTransfer, Transfers
from machines.core.clock import DAY, Millis
from machines.core.errors import NotPossible, StoreUnavailable
from machines.core.ids import Owner, derived_id
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind, FindingRecord, ProposedAct
from machines.finding.react import finding
from machines.payout.data import PayoutRecord, reference_of
from payflow.app import gateways
from payflow.app.payouts import Payouts
from payflow.desk.person import Person
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.reconciler import Reconciler, reconciler_of
from payflow.desk.reconcile.repairs import FindingRepairs
from payflow.desk.steering import Steering
from payflow.store.registers.tokens import Role
from tests.stories.town import ANN, HOME, Town
from tests.waiting import wait_until

Kind = FindingKind


@dataclass(frozen=True)
class Planted:
    """What must be found: once, with this kind and sum."""

    kind: FindingKind
    units: int
    """In kobo, whoever it favours."""


class Forger:
    """Changes what a gateway says that it did, and knows as what that must be found."""

    def __init__(self, town: Town, random: Random) -> None:
        town.forged = True
        self._installation = town.store.installation
        self._shard = town.store.records.owner_shard(ANN)
        self._random = random
        self._forger = forger = GatewayForger(town.bank.transfers, random)
        self.kinds: dict[FindingKind, Callable[[SimulatedTransfer], Decimal]] = {
            Kind.MISSING_THERE: forger.unpay,
            Kind.MISSING_HERE: self._missing_here,
            Kind.AMOUNT_DIFFERS: forger.pay_more,
            Kind.FEE_DIFFERS: forger.charge_more,
            Kind.TWICE: forger.pay_twice,
            Kind.RETURNED: forger.take_back,
            Kind.NOT_OURS: self._not_ours,
            Kind.WRONG_DESTINATION: forger.send_elsewhere,
            Kind.WRONG_CURRENCY: forger.exchange,
        }

    def plant(self, kind: FindingKind, transfer: SimulatedTransfer) -> Planted:
        """Plant one of a kind where a transfer is, and say what must be found."""
        return Planted(kind, _kobo(self.kinds[kind](transfer)))

    def balance_differs(self, transfer: SimulatedTransfer) -> Planted:
        """The history says that nothing moved where something did."""
        return Planted(Kind.BALANCE_DIFFERS, _kobo(self._forger.belittle(transfer)))

    def _missing_here(self, transfer: SimulatedTransfer) -> Decimal:
        name = derived_id("payout", self._shard, str(self._random.random()))
        return self._forger.pay(reference_of(name, 1, self._installation), transfer.order)

    def _not_ours(self, transfer: SimulatedTransfer) -> Decimal:
        return self._forger.pay(f"salary-{self._random.randrange(10**9)}", transfer.order)


def _kobo(amount: Decimal) -> int:
    return int(amount * 100)


def hide(transfers: Transfers, transfer: SimulatedTransfer) -> Planted:
    """Leave the rows of a transfer out of the history: where it was the day's first, the wallet jumps at midnight."""
    return Planted(Kind.STATEMENT_GAP, _kobo(GatewayForger(transfers, Random()).hide(transfer)))


def mend_history(transfers: Transfers) -> None:
    """Have the gateway's support put right what its history says."""
    GatewayForger(transfers, Random()).mend_history()


def plant_all(
    town: Town,
    random: Random,
    days: Sequence[Sequence[str]],
    late: Sequence[str],
    count: int,
    without: Sequence[FindingKind] = (),
) -> list[Planted]:
    """Plant so many at random over the payouts of some days, of each kind; what the bank does not finish is late.

    A day's history begins once and ends once: of gaps and balances there is one a day, and not in the day's first row,
    which alone says what the wallet held before.
    """
    forger, transfers = Forger(town, random), town.bank.transfers
    planted = [Planted(Kind.LATE, _kobo(town.transfer(payout).order.amount)) for payout in late]
    planted += [hide(transfers, town.transfer(day[0])) for day in days[1:]]
    planted += [forger.balance_differs(town.transfer(day[2])) for day in days]
    kinds = [kind for kind in forger.kinds if kind not in without]
    others = [payout for day in days for payout in (day[1], *day[3:])]
    for number, payout in enumerate(random.sample(others, count - len(planted))):
        kind = kinds[number % len(kinds)]
        planted.append(forger.plant(kind, town.transfer(payout)))
    return planted


@asynccontextmanager
async def reconciling(town: Town) -> AsyncIterator[Reconciler]:
    """Otto's reconciler, over the town's own store."""
    async with AsyncExitStack() as stack:
        setups = await gateways.open_gateways(town.settings, town.store, town.clock, stack)
        payouts = Payouts(town.settings, town.store, town.metrics, setups)
        reconciler = reconciler_of(town.store, town.metrics, setups, payouts.reconcile())
        town.store.serve([payouts.machine, finding(reconciler.acts())])
        yield reconciler


async def paid_payouts(town: Town, amounts: Sequence[int], owners: Sequence[Owner] = (ANN,)) -> list[str]:
    """People are paid some amounts in naira; gives the payouts in the order in which the bank got them."""
    payouts = await asked_payouts(town, amounts, HOME, owners)
    await town.time_passes(seconds=10)
    await _until_all(town, payouts, lambda record: record.state == "COMPLETED", "are paid")
    return sorted(payouts, key=lambda payout: town.transfer(payout).id)


async def asked_payouts(
    town: Town, amounts: Sequence[int], account: str, owners: Sequence[Owner] = (ANN,)
) -> list[str]:
    """People ask for some amounts in turn, which are with the bank then."""
    turns = list(zip(amounts, cycle(owners), strict=False))
    for owner in dict.fromkeys(whose for _, whose in turns):
        await town.earns(owner, str(sum(amount for amount, whose in turns if whose == owner)))
    async with _time_flows(town):
        payouts = await asyncio.gather(*(town.asks(owner, str(amount), account) for amount, owner in turns))
        await _until_all(town, payouts, lambda record: record.data.assessed, "are seen by the rules")
        for payout in payouts:
            if (await town.record(payout)).state == "REQUESTED":
                await town.approve(payout)
        await _until_all(town, payouts, _is_sent, "are with the gateway")
    return payouts


def _is_sent(record: PayoutRecord) -> bool:
    return record.data.current is not None and record.data.current.sent


async def _until_all(town: Town, payouts: Sequence[str], is_so: Callable[[PayoutRecord], bool], what: str) -> None:
    left = list(payouts)

    async def done() -> bool:
        try:
            records = await asyncio.gather(*map(town.record, left))
        except StoreUnavailable:
            return False  # on a machine that does much else an answer takes its time
        left[:] = [record.id for record in records if not is_so(record)]
        return not left

    await wait_until(done, f"{len(payouts)} payouts {what}", pause_s=0.05)


@asynccontextmanager
async def _time_flows(town: Town) -> AsyncIterator[None]:
    """Let time pass as fast as it does: what is put off, because so many are paid at once, has its turn."""

    async def flow() -> None:
        while True:
            await asyncio.sleep(1)
            await town.time_passes(seconds=1)

    async with asyncio.TaskGroup() as group:
        flowing = group.create_task(flow())
        yield
        flowing.cancel()


# ── found, and resolved ──────────────────────────────────────────────────────────────────────────────────────────────

RAIL = "flutterwave"
STAYS_OPEN = "0100000010"
"""The bank never finishes what goes there."""
OTTO, OLGA = Person("otto", Role.OPERATOR), Person("olga", Role.OPERATOR)


async def put_in(town: Town, rail: str) -> None:
    """Write down what was in the wallets before anybody compared."""
    for asset in town.store.records.assets:
        held = int(town.bank.transfers.history.began_with.get(asset.code, Decimal(0)).scaleb(asset.decimals))
        reference = f"opening {asset.code}"
        await town.store.ledger.book(rail, asset.code, RailPart.FUNDED, held * FINE, reference, "what was there")


def counted(found: Iterable[FindingRecord]) -> Counter[Planted]:
    """Say what was found, as it was planted."""
    return Counter(Planted(one.data.kind, one.amount.units if one.amount else 0) for one in found)


async def found_again(town: Town, reconciler: Reconciler, rail: str = RAIL) -> Counter[Planted]:
    """Compare all of it anew, and say what is open."""
    await reconciler.compare(rail, Millis(town.clock.now() - 30 * DAY))
    return counted(await reconciler.findings.all(FindingFilter()))


async def resolve_all(town: Town, reconciler: Reconciler, found: Sequence[FindingRecord]) -> None:
    """Do what is proposed for each, as the command does; what the rail alone can mend it mends when it is asked."""
    mend_history(town.bank.transfers)
    unsure = [one for one in found if one.data.kind is Kind.MISSING_THERE]
    for record in unsure:
        try:
            await resolve(town, reconciler, record)
        except NotPossible:
            continue  # that what was paid has come back is believed a day later
        raise AssertionError(f"{record.id}: one look was enough to take money back.")
    for record in found:
        if record.data.kind is Kind.LATE:
            town.bank.transfers.finish(town.transfer(record.data.record), paid=True)
    await town.time_passes(days=2)
    for record in found:
        await resolve(town, reconciler, record)


async def resolve(town: Town, reconciler: Reconciler, record: FindingRecord) -> None:
    """Do what is proposed for one."""
    if record.data.act is ProposedAct.CORRECT:
        steering = Steering(town.store, town.metrics)
        proposal = await steering.propose_posting(record.id, "the statement says so", OTTO)
        await steering.two.confirm(proposal.digest, OLGA)
    else:
        await FindingRepairs(town.store, reconciler).do(record.id, OTTO, "found out", ANN)
