"""The books: walked over by one worker at a time; false ones stop sends, and two people put them right.

An account, the journal and the records say the same of an owner's money. Where one of account and journal does not,
the other one, agreeing with itself and with the records, says what is right. Where both agree with themselves, a person
says which is believed; where neither does, no single posting is right, and somebody must find out what happened first.
"""

from collections.abc import AsyncIterator
from typing import Literal

import anyio
import structlog

from machines.core.clock import SECOND, Millis
from machines.core.errors import BadInput, Conflict, PayflowError
from machines.core.ids import Owner, is_id, parse_id
from payflow.desk.daily_limits import count_anew, wrong_figures
from payflow.desk.dual_control import Verb
from payflow.desk.person import Person
from payflow.store import keys
from payflow.store.accounts import AnyDifference
from payflow.store.integrity import IntegrityFault
from payflow.store.ledger import CORRECTED, LedgerCheck, LedgerReport, PostedSums
from payflow.store.pauses import BOOKS, EVERYTHING
from payflow.store.rail_side import RAIL
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store

TURN = "books"
MOST_TURNS = 20
FEW = 3
"""So many accounts may be false before it is no longer a matter of their owners."""
MOST_FROZEN = 100
WRITTEN_DOWN_EVERY = 10
"""After so many turns of ours what was posted is written down outside."""
MOST_COMPARED = 5_000
"""Of what was written down outside so many lines are compared a turn."""

log = structlog.get_logger()


async def faults_of(store: Store) -> AsyncIterator[IntegrityFault]:
    """Walk over the audit log, every history and every index, and name what was changed, cut or forgotten."""
    broken = await store.audit.fault()
    if broken:
        yield IntegrityFault("the audit log", broken)
    async for place in store.rows.faults():
        yield IntegrityFault(place, "it is not what Payflow wrote: somebody changed it beside Payflow")
    async for place, why in store.records.heads.faults(store.link):
        yield IntegrityFault(place, why)
    async for fault in store.integrity.verify():
        yield fault
    posted = PostedSums()
    for shard in range(store.records.shards):
        await store.ledger.walk(shard, posted)
    async for wrong in wrong_figures(store, posted, put_right=False):
        yield IntegrityFault(wrong.found.place, wrong.found.text)


class Bookkeeper:
    """Reads all accounts and what was posted since its last walk; the whole journal anew after a while."""

    def __init__(self, store: Store, every_s: float, whole_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._whole_s = whole_s
        self._posted = PostedSums()
        self._turns = 0
        self._begun_anew = self._walked_at = Millis(0)

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
        begun = await self._store.records.now()
        # Whose turn it is stands in the store, where anybody who writes to it may say that it is nobody's.
        self._walked_at = self._walked_at or begun
        if granted < 1 and begun < self._walked_at + MOST_TURNS * self._every_s * SECOND:
            return None
        self._walked_at = begun
        if begun >= self._begun_anew + self._whole_s * SECOND:
            self._posted, self._begun_anew = PostedSums(), begun
        books, verdict = await check(self._store, self._posted)
        if not books.conserved:
            await freeze(self._store, books)
        self._turns += 1
        if self._turns % WRITTEN_DOWN_EVERY == 1:
            await self._store.write_down_books(self._posted)
        if not self._store.guard.alarms:  # else it is known to be set back, and closed until it was reconciled
            await stop_on_false_list(self._store)
            await stop_what_was_set_back(self._store)
        await count_anew(self._store, self._posted)
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
    why = {owner: f"the books are false: {said}" for owner, said in books.forged.items()}
    why |= {one.owner: f"the books are false: {one.said()[0]}" for one in books.differences}
    beyond = (
        books.unreadable
        or books.uneven
        or [fault for one in books.differences if one.journal_is_false for fault in one.said()]
    )
    if beyond or len(why) > FEW:
        for machine in store.records.machines.values():
            if machine.money:
                said = beyond[0] if beyond else f"{len(why)} accounts are false, {min(why)} among them"
                await store.pauses.pause(f"machine:{machine.name}", BOOKS, f"the books are false: {said}", now)
    for owner in sorted(why)[:MOST_FROZEN]:
        await store.pauses.pause(scope_of(owner), BOOKS, why[owner], now)


def scope_of(account: Owner) -> str:
    """Say what is paused where an account is false: its owner's payouts, or the rail."""
    return account if account.startswith(RAIL) else f"owner:{account}"


async def stop_on_false_list(store: Store) -> None:
    """Stop everything where the list of rows itself was changed: what else was put back cannot be told then.

    A single row that is not as listed counts for nothing by itself.
    """
    false = [place async for place in store.rows.unlisted() if place.startswith(keys.rows(""))]
    if false:
        why = f"{false[0]}: look at `payflow permit ls`"
        await store.pauses.pause(EVERYTHING, BOOKS, why, await store.records.now())


async def stop_what_was_set_back(store: Store) -> None:
    """Stop the machine of a record that is behind what was written down of it outside; some thousands are compared."""
    now = await store.records.now()
    async for place, why in store.records.heads.faults(store.link, MOST_COMPARED):
        log.error("A record was set back, or taken away.", action="set_back", record=place, why=why)
        scope = f"machine:{parse_id(place)[0]}" if is_id(place) else EVERYTHING
        await store.pauses.pause(scope, BOOKS, f"{place}: {why}", now)


# ── put right by two people ───────────────────────────────────────────────────────────────────────────────────────────


CORRECTION = "ledger correction"
Believed = Literal["journal", "account"]


def correction(store: Store) -> Verb:
    """Give what a second person confirms."""

    async def do(proposal: Proposal, second: Person) -> str:
        owner, asset = _account(proposal.subject)
        believe: Believed = "journal" if proposal.seen["believe"] == "journal" else "account"
        found = await store.ledger.difference(owner, asset)
        if found is None or planned(found, believe) != proposal.seen:
            raise Conflict(f"The books of {owner} are not as they were when this was proposed: look again.")
        cause = f"{CORRECTED}{proposal.by} and {second.name}: {proposal.reason}"
        if not await store.ledger.correct(
            found, becomes=proposal.seen["becomes"], posting=proposal.seen["posting"], cause=cause
        ):
            raise Conflict(f"The account of {owner} moved a moment ago: look again, and propose it anew.")
        return f"Done: the books of {owner} agree in {asset}. `payflow resume {scope_of(owner)}` lets payouts go on."

    return Verb(CORRECTION, _correction_says, do)


def _correction_says(proposal: Proposal) -> list[str]:
    """Say what would be written."""
    owner, asset = _account(proposal.subject)
    seen = proposal.seen
    views = f"the account says {seen['account']}, the journal {seen['journal']}, the records hold {seen['holding']}"
    found = [f"{owner} in {asset} (available held paid funded owed): {views}."]
    if seen["posting"]:
        return [*found, f"The account is believed. The journal gets the posting that it lacks: {seen['posting']}."]
    return [*found, f"The journal is believed. The account becomes {seen['becomes']}."]


async def correction_of(store: Store, owner: Owner, asset: str, believe: Believed | None) -> tuple[str, dict[str, str]]:
    """Work out the correction of an account: what it is about, and what a second person must find as it was."""
    if asset not in {one.code for one in store.records.assets}:
        raise BadInput(f"There is no asset {asset[:20]!r}.")
    found = await store.ledger.difference(owner, asset)
    if found is None:
        raise BadInput(f"The books of {owner} agree in {asset}: there is nothing to correct.")
    return f"{owner}/{asset}", planned(found, believe)


def planned(found: AnyDifference, believe: Believed | None) -> dict[str, str]:
    """Say which figures or which posting would make the books agree."""
    believe = believe or _which(found)
    if not (found.journal_agrees if believe == "journal" else found.account_agrees):
        raise BadInput(
            f"The {believe} of {found.owner} disagrees with itself or with the records, so it cannot be believed: "
            f"{' '.join(found.said())}"
        )
    posting = found.missing_posting() if believe == "account" else ""
    if posting is None:
        raise BadInput(
            f"No single posting makes the journal of {found.owner} say what the account says: find out what happened "
            "first, with `payflow export` and the last backup."
        )
    right = found.journal if believe == "journal" else found.account
    if right.overdrawn:
        raise BadInput(
            f"{found.owner} would have less than nothing: {right}. What was asked for beyond what is theirs is still "
            "held: cancel it first, then correct what is left."
        )
    return {
        "believe": believe,
        "account": found.account.figures,
        "journal": found.journal.figures,
        "holding": str(found.holding),
        "becomes": right.figures,
        "posting": posting,
    }


def _which(found: AnyDifference) -> Believed:
    if found.journal_agrees == found.account_agrees:
        both = "Both" if found.journal_agrees else "Neither"
        raise BadInput(
            f"{both} of account and journal of {found.owner} agree with themselves and with the records: "
            f"{' '.join(found.said())} Find out which is right, then add --believe account or --believe journal."
        )
    return "journal" if found.journal_agrees else "account"


def _account(subject: str) -> tuple[Owner, str]:
    owner, _, asset = subject.rpartition("/")
    return Owner(owner), asset
