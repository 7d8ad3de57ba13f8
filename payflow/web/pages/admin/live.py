"""Tells open pages that something changed; each then fetches itself again. One look at the store serves them all."""

import asyncio
from collections import Counter
from contextlib import suppress
from time import monotonic

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from machines.core.errors import PayflowError
from payflow.store.store import Store
from payflow.web.http.app import STOPPING
from payflow.web.http.auth import PageSessions, Visit
from payflow.web.http.problems import TOO_MANY, Problem

LOOK_EVERY_S = 1.0
# Ages on a page grow though nothing changes.
TELL_AT_LEAST_EVERY_S = 20.0
ASK_AGAIN_EVERY_S = 5.0
MOST_LISTENERS = 100
MOST_OF_ONE = 25
"""Pages of one person: nobody takes the lines of all others, with however many sessions."""


class Live:
    """The line to all open pages of this process."""

    def __init__(self, store: Store, sessions: PageSessions) -> None:
        self._store = store
        self._sessions = sessions
        self._listeners: Counter[str] = Counter()
        self._looking = asyncio.Lock()
        self._seen = ("", 0.0)

    async def stream(self, visit: Visit) -> web.StreamResponse:
        """Speak to one page until it goes, its session ends, or we stop."""
        who = visit.caller.name
        if self._listeners[who] >= MOST_OF_ONE or self._listeners.total() >= MOST_LISTENERS:
            raise Problem(TOO_MANY, "Too many pages are open: this one is not live. Reload it to see news.")
        self._listeners[who] += 1
        try:
            async with sse_response(visit.request) as page:
                with suppress(ConnectionError, PayflowError, Problem):
                    await self._speak(visit, page)
            return page
        finally:
            self._listeners[who] -= 1

    async def _speak(self, visit: Visit, page: EventSourceResponse) -> None:
        stopping = visit.request.app[STOPPING]
        sent, sent_at, asked_at = "", monotonic(), monotonic()
        # A page that was left is heard of when something is sent to it, which may be long: its place would stay taken.
        while not stopping.is_set() and visit.request.transport is not None:
            pulse, now = await self._pulse(), monotonic()
            if now - asked_at >= ASK_AGAIN_EVERY_S:
                await self._sessions.visit(visit.request)  # a session that is over hears nothing more
                asked_at = now
            if pulse != sent or now - sent_at >= TELL_AT_LEAST_EVERY_S:
                await page.send(pulse, event="changed")
                sent, sent_at = pulse, now
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stopping.wait()

    async def _pulse(self) -> str:
        async with self._looking:
            pulse, at = self._seen
            if monotonic() - at >= LOOK_EVERY_S / 2:
                self._seen = pulse, _ = await self._store.listing.pulse(), monotonic()
            return pulse
