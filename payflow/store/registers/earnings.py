"""What owners earned, and which of it was paid out.

An owner's earnings stand in the order in which they came. Nothing is written to them when a payout moves: the first
units of the line are those that the account has PAID, the next those that it has HELD, the rest are AVAILABLE. So
earnings are paid first in first out, split to the unit, however many there are, at no cost in a commit.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

from machines.core.clock import Millis
from machines.core.errors import BadInput, KeyReused, NotFound
from machines.core.ids import Owner
from machines.core.money import Money
from payflow.store import keys
from payflow.store.ledger import Ledger
from payflow.store.link import Link
from payflow.store.records import OverRecords, Records


@dataclass(frozen=True, slots=True)
class Earning:
    """One earning, and where each unit of it is."""

    id: str
    """The platform and its own id, as `platform/id`."""
    asset: str
    units: int
    at: Millis
    clawed_back: int = 0
    paid_out: int = 0
    allocated: int = 0

    @property
    def available(self) -> int:
        """What nobody has asked for yet."""
        return self.units - self.clawed_back - self.paid_out - self.allocated

    @property
    def status(self) -> Literal["AVAILABLE", "ALLOCATED", "PAID_OUT", "CLAWED_BACK"]:
        """Where the earning is as a whole: as far as its least settled unit."""
        if self.available:
            return "AVAILABLE"
        if self.allocated:
            return "ALLOCATED"
        return "PAID_OUT" if self.paid_out else "CLAWED_BACK"


@dataclass(frozen=True, slots=True)
class EarningsEntry:
    """One line of an owner's earnings: something that he earned, or that was taken back of it."""

    id: str
    """The platform and its own id, as `platform/id`."""
    asset: str
    units: int
    at: Millis
    taken_back: bool


class Earnings(OverRecords):
    """The earnings of all owners."""

    def __init__(self, link: Link, records: Records, ledger: Ledger) -> None:
        super().__init__(link, records)
        self._ledger = ledger

    async def credit(self, platform: str, external_id: str, owner: Owner, amount: Money) -> bool:
        """Book an earning; False when it was booked before. Its id is unique for the platform, whoever the owner is."""
        place = keys.earned(platform, external_id)
        print_ = f"{owner} {amount.asset.code} {amount.units}"
        await self._link.ask("SET", place, print_, "NX")
        if (await self._link.ask("GET", place)).decode() != print_:
            raise KeyReused(f"The earning {external_id} of {platform} is known with another owner or amount.")
        name = f"{platform}/{external_id}"
        return await self._records.fund(owner, amount, name, earning=name)

    async def knows(self, platform: str, external_id: str) -> bool:
        """Tell whether an earning was taken in before, booked or about to be."""
        return bool(await self._link.ask("EXISTS", keys.earned(platform, external_id)))

    async def claw_back(
        self, platform: str, external_id: str, amount: Money | None, reference: str
    ) -> tuple[Owner, Money]:
        """Take an earning back, whole or in part; what is gone already is owed."""
        known = await self._link.ask("GET", keys.earned(platform, external_id))
        if known is None:
            raise NotFound(f"{platform} never credited an earning {external_id}.")
        owner_name, code, units = known.decode().split(" ")
        owner, whole = Owner(owner_name), Money(int(units), self._records.assets[code])
        amount = amount or whole
        if not amount <= whole:
            raise BadInput(f"{amount} is more than the earning {external_id}, which was {whole}.")
        name = f"{platform}/{external_id}"
        where = f"clawback/{name}/{reference}"
        try:
            await self._records.fund(owner, amount, where, out=True, earning=name, most=whole)
        except BadInput as error:
            raise BadInput(f"Of the earning {external_id} less than {amount} is left to take back.") from error
        return owner, amount

    async def of(self, owner: Owner, asset: str) -> list[Earning]:
        """List an owner's earnings in one asset, oldest first, each with where its units are."""
        account = (await self._ledger.account(owner)).get(asset)
        paid, held = (account.paid, account.held) if account else (0, 0)
        earned: dict[str, Earning] = {}
        async for entry in self.entries(owner):
            if not entry.taken_back:
                earned[entry.id] = Earning(entry.id, entry.asset, entry.units, entry.at)
            elif entry.id in earned:
                clawed_back = earned[entry.id].clawed_back + entry.units
                earned[entry.id] = replace(earned[entry.id], clawed_back=clawed_back)
        placed = []
        for earning in earned.values():
            if earning.asset != asset:
                continue
            left = earning.units - earning.clawed_back
            paid_out = min(left, paid)
            allocated = min(left - paid_out, held)
            paid, held = paid - paid_out, held - allocated
            placed.append(replace(earning, paid_out=paid_out, allocated=allocated))
        return placed

    async def entries(self, owner: Owner) -> AsyncIterator[EarningsEntry]:
        """Walk over what was earned and what was taken back, as it came."""
        async for _, fields in self._link.entries(keys.earnings(self._records.owner_shard(owner), owner)):
            way, asset, units, at, name = next(iter(fields.values())).decode().split(" ", 4)
            yield EarningsEntry(name, asset, int(units), Millis(int(at)), taken_back=way == "out")
