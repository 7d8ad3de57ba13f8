"""A gateway whose books differ from ours in every way there is, for whoever wants to see what is done about it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from adapters.sandbox.forger import GatewayForger
from adapters.sandbox.transfers import Order, SimulatedTransfer
from machines.core.clock import MINUTE, SECOND, Millis
from machines.core.ids import derived_id
from machines.core.money import NGN, Assets
from machines.core.ports import RailStatement, StatementPart
from machines.core.rail_share import FINE, RailPart
from machines.finding.data import FindingKind
from machines.payout import lifecycle as p
from machines.payout.data import reference_of
from payflow.desk.platforms import find_owner
from payflow.desk.reconcile.findings import FindingFilter
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.sandbox.people import GLANCE_S, PAYS, Cast
from payflow.sandbox.stage import Teller

RAIL = "flutterwave"
STAYS_OPEN = {"bank_code": "044", "account_number": "0100000010"}
"""The bank never finishes what goes there."""
FORGOTTEN = "musa"
PATIENCE_MS = Millis(6 * SECOND)


@dataclass(frozen=True, slots=True)
class HastyStatement:
    """A statement whose bank takes seconds, and not a day."""

    of: RailStatement

    @property
    def patience_ms(self) -> Millis:
        return PATIENCE_MS

    @property
    def overlap_ms(self) -> Millis:
        return self.of.overlap_ms

    def parts(self, since: Millis, until: Millis, assets: Assets) -> AsyncIterator[StatementPart]:
        return self.of.parts(since, until, assets)


async def discrepancies(cast: Cast) -> None:
    """The gateway's books differ from ours in twelve ways, and each goes by its act."""
    teller = Teller(cast.world.stage, "Discrepancies", "what the gateway says, against our books")
    reconciler = _hasty(cast)
    await _write_down_opening(cast)
    since = Millis(await cast.store.records.now() - MINUTE)
    forger = GatewayForger(cast.world.bank.transfers, Random(cast.started))  # noqa: S311  (sums to play with)
    cast.world.bank.courier.on = False  # nobody tells us what is changed there
    late = await _plant(cast, forger, teller)
    cast.world.bank.courier.on = True
    teller.say("planted", "The gateway's books were changed in twelve places. Now they are compared with ours.")
    await asyncio.sleep(PATIENCE_MS / SECOND)
    await reconciler.compare(RAIL, since)
    # From here on its support answers, and the bank goes on.
    forger.mend_history()
    cast.world.bank.transfers.finish(late, paid=True)
    await _until_resolved(cast, reconciler, teller)
    await reconciler.compare(RAIL, since)
    left = await reconciler.findings.all(FindingFilter())
    books = await cast.store.ledger.check()
    beyond = [code for (rail, code), one in books.rails.items() if rail == RAIL and one.unexplained]
    if left or beyond or not books.conserved:
        unlike = "" if books.conserved else " Our own books do not balance."
        teller.broke(f"{len(left)} are found again; unexplained is something in {beyond or 'no currency'}.{unlike}")
    else:
        teller.done("resolved", "Compared once more, nothing differs: `payflow ledger` shows both sides.")


def _hasty(cast: Cast) -> Reconciler:
    """Compare as Payflow does, but for the time that it lets the gateway have."""
    usual = cast.world.reconciler
    rail = usual.rails[RAIL] if usual else None
    if usual is None or rail is None or rail.statement is None:
        raise RuntimeError("This sandbox compares nothing.")
    return Reconciler(cast.store, usual.findings, {RAIL: rail._replace(statement=HastyStatement(rail.statement))})


async def _write_down_opening(cast: Cast) -> None:
    """Write down what the wallets held before anybody was paid."""
    for asset in cast.store.records.assets:
        held = int(cast.world.bank.transfers.history.began_with.get(asset.code, Decimal(0)).scaleb(asset.decimals))
        reference = f"opening {asset.code}"
        await cast.store.ledger.book(RAIL, asset.code, RailPart.FUNDED, held * FINE, reference, "what was put in")


async def _plant(cast: Cast, forger: GatewayForger, teller: Teller) -> SimulatedTransfer:
    """Have ten people paid, and change what the gateway says of it; gives what its bank does not finish."""
    transfers, installation = cast.world.bank.transfers, cast.store.installation
    changes: Mapping[str, Callable[[SimulatedTransfer], Decimal]] = {
        "ada": forger.hide,  # the first one of the day
        "bola": forger.unpay,
        "chidi": forger.pay_more,
        "dele": forger.charge_more,
        "efe": forger.pay_twice,
        "funmi": forger.take_back,
        "gbenga": forger.belittle,
        "hauwa": forger.send_elsewhere,
        "ike": forger.exchange,
    }
    like = Order("", PAYS["bank_code"], PAYS["account_number"], Decimal(0), NGN.code)
    forger.a_day_ago(lambda: forger.pay(f"salary-{cast.started}", like), await cast.store.records.now())
    await cast.joins(FORGOTTEN, verified=True)
    await cast.earns(FORGOTTEN, "5000")
    teller.say("paying", f"{len(changes) + 1} people are paid, one after the other at first.")
    payouts = {}
    for name in (*changes, "juwon"):
        await cast.joins(name, verified=True)
        await cast.earns(name, "2500")
        payouts[name] = await cast.asks(name, "2500", STAYS_OPEN if name == "juwon" else PAYS)
        await cast.approves("rob", payouts[name])
        if name == "ada":
            await cast.until(payouts[name], p.COMPLETED, hurry=True)

    def transfer(name: str) -> SimulatedTransfer:
        found = transfers.by_reference(reference_of(payouts[name], 1, installation))
        if found is None:
            raise RuntimeError(f"The gateway has nothing of {payouts[name]}.")
        return found

    for name in changes:
        await cast.until(payouts[name], p.COMPLETED, hurry=True)
    while transfers.by_reference(reference_of(payouts["juwon"], 1, installation)) is None:  # noqa: ASYNC110  (no event)
        await asyncio.sleep(GLANCE_S)
    for name, change in changes.items():
        change(transfer(name))
    owner = await find_owner(cast.store, FORGOTTEN)
    forgotten = derived_id("payout", cast.store.records.owner_shard(owner), str(cast.started))
    forger.pay(reference_of(forgotten, 1, installation), like)
    return transfer("juwon")


async def _until_resolved(cast: Cast, reconciler: Reconciler, teller: Teller) -> None:
    place = f"{cast.world.address}/admin/reconciliation"
    says = f"Do at {place} what is proposed, as olu; olga confirms postings. What nobody remembers is {FORGOTTEN}'s."
    while found := await reconciler.findings.all(FindingFilter()):
        kinds = len({one.data.kind for one in found})
        teller.waits(f"{len(found)} open", f"{len(found)} differences of {kinds} of {len(FindingKind)} kinds. {says}")
        await asyncio.sleep(GLANCE_S)
