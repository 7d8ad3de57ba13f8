"""Pool: who is due, what is pending and what the chain proves about it, who holds the lock, what the last runs did."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from machines.core.clock import Millis
from machines.core.errors import NotFound
from machines.core.money import ETH, Money
from machines.pool import lifecycle as s
from machines.pool.data import PoolRecord, shannon_of
from machines.pool.evidence import ChainOutcome
from payflow.desk.person import OPERATES
from payflow.desk.pool.resolving import evidence_digest
from payflow.desk.pool.room import PoolRoom
from payflow.web.http.auth import Form, Visit, see
from payflow.web.pages.admin.cached import CachedValue
from payflow.web.pages.admin.frame import FormDone, Frame, Page
from payflow.web.pages.admin.story import ether

FRESH_S, WITHIN_S, PATIENCE_S = 2.0, 20.0, 3.0
SHOWN = 100
RUNS = 15
LATEST = 500
"""So many of the newest payments are read to tell of runs."""

_RUN = re.compile(r"[0-9]{1,15}")


@dataclass(slots=True)
class Ran:
    """What became of one run."""

    run: str
    at: Millis | None
    """None for what a person had paid again or taken over."""
    records: list[PoolRecord] = field(default_factory=list)

    @property
    def states(self) -> list[tuple[str, int]]:
        """Where its payments are."""
        return Counter(str(one.state) for one in self.records).most_common()

    @property
    def paid(self) -> int:
        """What arrived, in Shannon."""
        return sum(shannon_of(one) for one in self.records if one.state == s.PAID)

    @property
    def fee(self) -> str:
        """What the network took, in ether; a batch is counted once."""
        proofs = [one.data.evidence for one in self.records if one.data.evidence is not None]
        by_tx = {one.reference: dict(one.details).get("fee_wei", "0") for one in proofs}
        return ether(str(sum(int(fee) for fee in by_tx.values() if fee.isdecimal())))


class PoolPages:
    """The pages of all pools."""

    def __init__(self, frame: Frame, pools: Sequence[PoolRoom]) -> None:
        self._frame = frame
        self._pools = {pool.coin: pool for pool in pools}
        self._sheets = {pool.coin: CachedValue(pool.sheet, fresh_s=FRESH_S, within_s=WITHIN_S) for pool in pools}

    def routes(self) -> list[web.RouteDef]:
        shows = self._frame.shows
        return [
            shows("/pool", self.first),
            shows("/pool/{coin}", self.show),
            shows("/pool/{coin}/runs/{run}", self.run),
            shows("/pool/{coin}/resolve", self.ask, OPERATES),
            self._frame.does("/pool/{coin}/resolve", self.resolve, OPERATES, proven=True),
        ]

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def first(self, _: Visit) -> web.StreamResponse:
        """Lead to the first pool."""
        return see(self._place(next(iter(self._pools.values()))))

    async def show(self, visit: Visit) -> web.StreamResponse:
        pool = self._pool(visit)
        cached = self._sheets[pool.coin]
        sheet = await cached.get(visit.request.app, PATIENCE_S)
        return await self._frame.page(
            visit, "pool.html", title=f"Pool {pool.coin}", here="pool", pool=pool, coins=list(self._pools),
            sheet=sheet, seen_at=cached.at, error=cached.error, shown=SHOWN,
            runs=runs_of(await self._newest(pool.coin))[:RUNS], eth=_eth, ether=ether, Outcome=ChainOutcome,
        )  # fmt: skip

    async def run(self, visit: Visit) -> web.StreamResponse:
        """List the payments of one run."""
        pool, name = self._pool(visit), visit.request.match_info["run"]
        found = next((one for one in runs_of(await self._newest(pool.coin)) if one.run == name), None)
        if found is None:
            raise NotFound(f"No run {name[:60]} is among the newest {LATEST} payments.")
        return await self._frame.page(
            visit, "pool_run.html", title=f"Pool {pool.coin}: a run", here="pool", pool=pool, ran=found, eth=_eth
        )

    async def _newest(self, coin: str) -> list[PoolRecord]:
        states = [("pool", state) for state in self._frame.store.records.machines["pool"].lifecycle.states]
        places = await self._frame.store.listing.in_states(states, None, LATEST, oldest_first=False)
        # Some were archived since they were listed.
        found = [one.record for one in await self._frame.store.records.readable(place.id for place in places)]
        return [one for one in found if one.data.coin == coin]

    # ── resolve ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, visit: Visit) -> web.StreamResponse:
        """Show what resolving would do now, and ask whether it is meant."""
        pool = self._pool(visit)
        lock, rows = await pool.rows()
        return await self._frame.page(
            visit, "pool_resolve.html", title=f"Resolve pool {pool.coin}", here="pool", pool=pool, lock=lock,
            rows=rows, seen=evidence_digest(lock, rows), Outcome=ChainOutcome,
        )  # fmt: skip

    async def resolve(self, visit: Visit, form: Form) -> FormDone:
        """Do what was shown, if it is still what the evidence says."""
        pool = self._pool(visit)
        said = await pool.resolve(visit.caller.who, str(form.get("reason", "")), str(form.get("seen", "")))
        return FormDone(" ".join(said), self._place(pool))

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pool(self, visit: Visit) -> PoolRoom:
        coin = visit.request.match_info["coin"]
        if coin not in self._pools:
            raise NotFound(f"There is no pool for the coin {coin[:40]}.")
        return self._pools[coin]

    def _place(self, pool: PoolRoom) -> str:
        return f"{self._frame.place}/pool/{pool.coin}"


def page(pools: Sequence[PoolRoom]) -> Page:
    """Give the page, for the navigation."""
    return Page("pool", "Pool", lambda frame: PoolPages(frame, pools).routes())


def runs_of(records: Iterable[PoolRecord]) -> list[Ran]:
    """Sort payments by the run that found them due, the newest run first."""
    runs: dict[str, Ran] = {}
    for record in records:
        name = record.data.run
        at = Millis(int(name)) if _RUN.fullmatch(name) else None
        runs.setdefault(name, Ran(name, at)).records.append(record)
    return sorted(runs.values(), key=lambda ran: ran.at or max(one.created_at for one in ran.records), reverse=True)


def _eth(shannon: int) -> Money:
    return Money(shannon, ETH)
