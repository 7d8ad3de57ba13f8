"""Whether our books can be held against those of rails at all: what the doctor says of it."""

from machines.core.clock import SECOND, Millis
from payflow.desk.rails import NOT_OPENED
from payflow.desk.reconcile.reconciler import Reconciler
from payflow.desk.reconcile.wallet_opening import unopened_wallets
from payflow.shown import span
from payflow.store.store import Store
from payflow.telemetry.health import Check, Level, first_of

TURNS = 2
"""So many turns may go by until a statement is late: each has a moment of its own."""


async def compared(store: Store, reconciler: Reconciler | None, every_s: float) -> list[Check]:
    """Say whether the rails' side of the books was opened, and whether each rail's statement is read."""
    opened = await store.ledger.rails_opened()
    wallets = [f"{rail} {asset}" for rail, asset, *_ in await unopened_wallets(store, reconciler)]
    before = f"What was in {', '.join(wallets)} before its statement begins is posted nowhere: `payflow ledger --open`."
    found = [
        first_of(
            "both sides",
            (not opened, Level.WARN, NOT_OPENED),
            (wallets, Level.WARN, before),
            (True, Level.OK, "Both sides of the books are compared."),
        )
    ]
    if reconciler is None:
        return found
    silent = [name for name, rail in reconciler.rails.items() if rail.statement is None]
    late = await _late(store, reconciler, await store.records.now(), every_s)
    says = (
        f"{', '.join(silent)} says nothing by itself: what it did is compared when its files are taken in, with "
        "`payflow finding import`."
    )
    why = "`payflow reconcile --since 1d` says what keeps it; workers read it every PAYFLOW_RECONCILE_S."
    return [
        *found,
        first_of(
            "statements",
            (late, Level.WARN, f"Not read for too long: {'; '.join(late)}. {why}"),
            (silent, Level.WARN, says),
            (True, Level.OK, "What every rail says it did is read, and compared with our books."),
        ),
    ]


async def _late(store: Store, reconciler: Reconciler, now: Millis, every_s: float) -> list[str]:
    marks = await store.statements.marks()
    found = []
    for name in reconciler.asked:
        mark = marks.get(name)
        if mark is None:
            found.append(f"{name}, never")
        elif now - mark.read > TURNS * every_s * SECOND:
            found.append(f"{name}, for {span(now - mark.read)}")
    return found
