"""The people of the sandbox's scenarios: they use the places that everybody uses, with tokens of their own."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp

from adapters.sandbox.github.town import SimulatedRepository
from machines.core.ids import RecordId
from payflow.sandbox.world import SandboxWorld
from payflow.store.store import Store

Json = dict[str, Any]

GLANCE_S = 0.25
LOOK_S = 1.0
"""While somebody waits for a record it is looked at this often, more than its state asks for."""

HOME = "acme/widgets"
PAYS = {"bank_code": "044", "account_number": "0100000001"}
"""An account of the bank that takes what it is paid."""


class RequestRefused(Exception):
    """Payflow refused what somebody of the scenario asked for."""


@dataclass
class Cast:
    """Everybody and everything that a scenario plays with."""

    world: SandboxWorld
    store: Store
    home: SimulatedRepository
    session: aiohttp.ClientSession
    started: int = field(default_factory=lambda: int(time.time()))
    """Tells this start's requests from those of earlier ones."""
    _numbers: Any = field(default_factory=lambda: count(1))

    async def says(self, who: str, method: str, path: str, body: Json | None = None, key: str = "") -> Json:
        """Somebody asks Payflow something."""
        headers = {"Authorization": f"Bearer {self.world.tokens[who.upper()]}"} | (
            {"Idempotency-Key": key} if key else {}
        )
        async with self.session.request(method, self.world.address + path, json=body, headers=headers) as answer:
            reply: Json = await answer.json()
            if not answer.ok:
                raise RequestRefused(f"{who} asked {method} {path}: {reply.get('detail') or reply}")
            return reply

    def number(self) -> str:
        """Give a name that no earlier start has used."""
        return f"sandbox-{self.started}-{next(self._numbers)}"

    async def earns(self, owner: str, amount: str, currency: str = "NGN") -> None:
        """The shop says what somebody earned."""
        body = {"id": self.number(), "owner": owner, "amount": amount, "currency": currency}
        await self.says("shop", "POST", "/api/earnings", body)

    async def joins(self, owner: str, *, verified: bool) -> None:
        """The shop brings somebody."""
        profile = {"verified": verified, "notify": [f"mailto:{owner}@example.com"]}
        await self.says("shop", "PUT", f"/api/providers/{owner}", profile)

    async def asks(self, owner: str, amount: str, where: Json, currency: str = "NGN") -> RecordId:
        """Somebody, or the shop for him, asks for money."""
        method = "ethereum" if "address" in where else "bank"
        body: Json = {"amount": amount, "currency": currency, "method": method, "destination": where}
        who = owner
        if owner.upper() not in self.world.tokens:
            who, body = "shop", body | {"owner": owner}
        reply = await self.says(who, "POST", "/api/provider/payouts", body, key=self.number())
        return RecordId(str(reply["id"]))

    async def approves(self, who: str, payout: RecordId) -> None:
        """A reviewer says yes to one payout, as soon as the rules have looked at it."""
        while True:
            line = (await self.says(who, "GET", "/api/reviews?limit=100"))["reviews"]
            mine = [one for one in line if one["id"] == payout]
            if mine:
                body = {"fingerprint": mine[0]["fingerprint"]}
                await self.says(who, "POST", f"/api/reviews/{payout}/approve", body)
                return
            await asyncio.sleep(GLANCE_S)

    async def record(self, record_id: RecordId) -> Any:  # noqa: ANN401  (a record of any machine)
        """Read a record."""
        return (await self.store.records.read(record_id)).record

    async def until(
        self,
        record_id: RecordId,
        *states: str,
        seen: Callable[[Any], None] = lambda _: None,
        hurry: bool = False,
    ) -> Any:  # noqa: ANN401  (as above)
        """Wait until a record is in one of these states; `seen` hears of each change on the way."""
        version, looked = -1, 0.0
        while True:
            record = await self.record(record_id)
            if record.version != version:
                version = record.version
                seen(record)
            if record.state in states:
                return record
            if hurry and time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                await self.store.records.poke(record_id)
            await asyncio.sleep(GLANCE_S)
