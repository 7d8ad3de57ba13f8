"""A gateway that is set up: the rail that pays, what may be asked before, how its webhooks prove themselves and act."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.money import Money
from machines.core.ports import Lists, Notice, Rail
from machines.payout import facts as f
from machines.payout.data import PayoutRecord, record_of
from payflow.desk.payouts import Gateway
from payflow.engine.step import take_in
from payflow.store.registers.inbox import Inbox
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics

log = structlog.get_logger()

Probe = Callable[[], Awaitable[None]]
"""Asks something cheap behind the same credentials; raises `RailClosed` while nobody of ours may pass."""

Wallet = Callable[[], Awaitable[Sequence[Money]]]
"""Asks a rail what its wallets hold."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """How one gateway's webhooks are told from forged ones, and read."""

    source: str
    paths: tuple[str, ...]
    """Where they arrive."""
    genuine: Callable[[Mapping[str, str], bytes], bool]
    """Compares in constant time what a delivery shows with what the gateway alone can know."""
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
    wallet: Wallet | None = None
    """Tells what is left to pay from; None where the gateway does not say."""
    probe: Probe | None = None
    """Asks whether we are let in; None where only people open what closed itself."""
    watching: Rail | None = None
    """The same rail for what is over, whose calls have a share of their own; None where it counts no calls."""
    asking: Rail | None = None
    """The same rail for a person who waits for the answer; None as above."""


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
        self._note("A webhook speaks of a transfer that is not ours.", "unknown", hooks, notice)
        return "unknown"

    async def _name(self, reference: str, hooks: Hooks, notice: Notice) -> None:
        """Keep what the gateway calls the transfer: some cannot be asked by our reference, nor after a retry of it."""
        record = await self._found(reference, hooks)
        if not _lacks(record, reference, notice.handle):
            return
        try:
            named = f.Named(reference, (notice.handle,))
            await take_in(self._store.records, self._metrics, record.id, named, hooks.source)
        except Conflict:
            # Very many deliveries of one transfer at once: it is enough that one of them was kept.
            if _lacks(await self._found(reference, hooks), reference, notice.handle):
                raise

    async def _found(self, reference: str, hooks: Hooks) -> PayoutRecord:
        """Read a payout; one that was archived comes back, to be looked at like any other."""
        name = record_of(reference)
        try:
            return (await self._store.records.read(name)).record
        except NotFound:
            if not await self._store.archive.bring_back(name, hooks.source, f"a webhook speaks of {reference}"):
                raise
            return (await self._store.records.read(name)).record

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
