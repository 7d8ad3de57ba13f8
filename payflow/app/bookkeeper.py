"""Walks over the books every now and then, one worker of the whole installation at a time."""

import anyio
import structlog

from machines.core.errors import PayflowError
from payflow.store import verdicts
from payflow.store.store import Store
from payflow.store.verdicts import Verdict

TURN = "books"
LONGEST_NAP_S = 60.0

log = structlog.get_logger()


async def keep_books_checked(store: Store, every_s: float) -> None:
    """Check the books as often as the settings say, whichever worker's turn it is, until cancelled."""
    while True:
        try:
            await check_in_turn(store, every_s)
        except PayflowError as error:
            log.warning("The books could not be checked.", action="books", error=str(error))
        except Exception:  # an account that cannot be read must not stop the worker, which knows nothing of it
            log.exception("The books could not be checked.", action="books")
        await anyio.sleep(min(every_s, LONGEST_NAP_S))


async def check_in_turn(store: Store, every_s: float) -> Verdict | None:
    """Walk over the books if nobody did so lately, keep what was found, and say it."""
    granted, _ = await store.records.permits(TURN, 1 / every_s, 1)
    if granted < 1:
        return None
    begun = await store.records.now()
    books = await store.ledger.check()
    verdict = Verdict(begun, books.conserved)
    await verdicts.remember(store.link, verdict)
    if not books.conserved:
        log.error(
            "The books are not true: something was lost or made.", action="not_conserved", faults=books.faults[:20]
        )
    return verdict
