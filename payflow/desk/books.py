"""Walks over the books every now and then, one worker of the whole installation at a time; false books stop sends."""

import anyio
import structlog

from machines.core.clock import SECOND, Millis
from machines.core.errors import PayflowError
from payflow.store.ledger import LedgerCheck, LedgerReport, PostedSums
from payflow.store.pauses import BOOKS
from payflow.store.store import Store

TURN = "books"
FEW = 3
"""So many accounts may be false before it is no longer a matter of their owners."""
MOST_FROZEN = 100

log = structlog.get_logger()


class Bookkeeper:
    """Reads all accounts and what was posted since its last walk; the whole journal anew after a while."""

    def __init__(self, store: Store, every_s: float, whole_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._whole_s = whole_s
        self._posted = PostedSums()
        self._begun_anew = Millis(0)

    async def run(self) -> None:
        """Check the books as often as the settings say, whichever worker's turn it is, until cancelled."""
        while True:
            try:
                await self.check_in_turn()
            except PayflowError as error:
                log.warning("The books could not be checked.", action="books", error=str(error))
            except Exception:  # whatever cannot be read must not stop the worker, which knows nothing of it
                log.exception("The books could not be checked.", action="books")
            await anyio.sleep(self._every_s)

    async def check_in_turn(self) -> LedgerCheck | None:
        """Walk over the books if nobody did so lately, keep what was found, and stop what it concerns."""
        granted, _ = await self._store.records.rate_tokens(TURN, 1 / self._every_s, 1)
        if granted < 1:
            return None
        begun = await self._store.records.now()
        if begun >= self._begun_anew + self._whole_s * SECOND:
            self._posted, self._begun_anew = PostedSums(), begun
        books, verdict = await check(self._store, self._posted)
        if not books.conserved:
            await freeze(self._store, books)
        return verdict


async def check(store: Store, posted: PostedSums | None = None) -> tuple[LedgerReport, LedgerCheck]:
    """Walk over the books, those that were not posted yet or all, and keep what was found."""
    begun = await store.records.now()
    books = await store.ledger.check(posted)
    verdict = LedgerCheck(begun, books.conserved)
    await store.ledger.remember(verdict)
    return books, verdict


async def freeze(store: Store, books: LedgerReport) -> None:
    """Stop sends: of the owners whose accounts are false; of all that is in our books where it is not theirs alone."""
    log.error("The books are not true: something was lost or made.", action="not_conserved", faults=books.faults[:20])
    now = await store.records.now()
    why = {one.owner: f"the books are false: {one.said()[0]}" for one in books.differences}
    beyond = books.unreadable or [fault for one in books.differences if one.journal_is_false for fault in one.said()]
    if beyond or len(why) > FEW:
        for machine in store.records.machines.values():
            if machine.money:
                said = beyond[0] if beyond else f"{len(why)} accounts are false, {min(why)} among them"
                await store.pauses.pause(f"machine:{machine.name}", BOOKS, f"the books are false: {said}", now)
    for owner in sorted(why)[:MOST_FROZEN]:
        await store.pauses.pause(f"owner:{owner}", BOOKS, why[owner], now)
