"""What gateways tell us without being asked. A webhook decides nothing: it makes the payout be looked at now."""

from collections.abc import Iterable

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.ports import Notice
from machines.payout import facts as f
from machines.payout.data import PayoutRecord, record_of
from payflow.desk.gateways import Hooks
from payflow.engine.step import take_in
from payflow.store.registers.inbox import Inbox
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.http import problems
from payflow.web.http.auth import Gate
from payflow.web.http.endpoints import received
from payflow.web.http.problems import Problem, answer_to

log = structlog.get_logger()


class Webhooks:
    """The room of the gateways."""

    def __init__(self, store: Store, gate: Gate, metrics: Metrics, hooks: Iterable[Hooks]) -> None:
        self._notices = Notices(store, metrics)
        self._gate = gate
        self._metrics = metrics
        self._hooks = tuple(hooks)

    def routes(self) -> list[web.RouteDef]:
        """List where deliveries arrive."""
        return [web.route("POST", path, self._taking(hooks)) for hooks in self._hooks for path in hooks.paths]

    def _taking(self, hooks: Hooks) -> Handler:
        async def take(request: web.Request) -> web.StreamResponse:
            try:
                outcome = await self._take(hooks, request)
            except Exception as error:  # noqa: BLE001  (whatever it was, the gateway gets an answer and the log the rest)
                return answer_to(error, request.path)
            self._metrics.webhooks.labels(hooks.source, outcome).inc()
            return web.json_response({"received": True})

        return take

    async def _take(self, hooks: Hooks, request: web.Request) -> str:
        """Take in one delivery, and say what became of it."""
        raw = await received(request)
        if not hooks.genuine(request.headers, raw):
            # Only who cannot prove himself is slowed down: a gateway with much to tell must not be.
            self._metrics.webhooks.labels(hooks.source, "forged").inc()
            log.warning("A webhook was forged, or its secret changed.", action="webhook_forged", source=hooks.source)
            await self._gate.slow_down(request)
            raise Problem(problems.FORGED, "This delivery does not prove that it comes from the gateway.")
        try:
            notice = hooks.read(raw)
        except BadInput:
            self._metrics.webhooks.labels(hooks.source, "unread").inc()
            raise
        return "other" if notice is None else await self._notices.take(hooks, notice)


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
