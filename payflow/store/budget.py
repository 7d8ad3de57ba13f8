"""One budget of calls for each rail, shared by every process and every purpose."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from machines.core.clock import SECOND
from machines.core.errors import PutOff
from machines.core.ports import CallKind
from payflow.store import keys
from payflow.store.records import Records

SHARES: Mapping[CallKind, float] = MappingProxyType(
    {CallKind.PERSON: 0.15, CallKind.SEND: 0.4, CallKind.LOOK: 0.35, CallKind.WATCH: 0.1}
)
"""What each kind of call has for itself. What it leaves unused goes to the others."""

WAITS_S: Mapping[CallKind, float] = MappingProxyType(
    # A send was allowed a moment ago, and its lease runs: it waits no longer than a connection may take.
    {CallKind.PERSON: 3.0, CallKind.SEND: 2.0, CallKind.LOOK: 20.0, CallKind.WATCH: 60.0}
)
"""How long a call waits for its turn before it is put off: nothing has left then."""

_NUMBERS = {kind: number for number, kind in enumerate(SHARES, 1)}
_SHARES = tuple(str(share) for share in SHARES.values())


class RailBudget:
    """The budget of one rail."""

    def __init__(self, records: Records, rail: str, calls_a_second: float) -> None:
        self._rail = rail
        self._key = keys.rate(f"calls-{rail}")
        self._rate = calls_a_second
        self._records = records
        # One of a kind asks the store at a time: the others wait behind it in the order in which they came.
        self._lines: dict[CallKind, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def permit(self, kind: CallKind) -> None:
        """Wait until a call may be made; raise `PutOff` when that takes too long, or while the rail rests."""
        try:
            async with asyncio.timeout(WAITS_S[kind]), self._lines[kind]:
                while wait_ms := await self._ask(kind):  # noqa: ASYNC110  (the store tells how long)
                    await asyncio.sleep(wait_ms / SECOND)
        except TimeoutError as error:
            raise PutOff(f"The budget of calls to {self._rail} is used up.", after_s=WAITS_S[kind]) from error

    async def _ask(self, kind: CallKind) -> int:
        granted, wait_ms = await self._records.call_token(self._key, self._rate, _NUMBERS[kind], _SHARES)
        if granted < 0:
            raise PutOff(f"{self._rail} asked for fewer calls.", after_s=wait_ms / SECOND)
        return 0 if granted else wait_ms

    async def rest(self, seconds: float) -> None:
        """Let nobody call for so long: the rail asked for it."""
        await self._records.call_token(self._key, self._rate, 0, (str(int(seconds * SECOND)),))
