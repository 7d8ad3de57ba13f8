"""What can be paid here, and by which rail: the rails' tables put together, as the settings say."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from machines.core.clock import Millis
from machines.core.currencies import CURRENCIES
from machines.core.errors import BadInput, BadSettings, Retryable, StepError
from machines.core.methods import BANK, HOLDER, MOBILE_MONEY, WALLET, PayMethod
from machines.core.money import Assets
from machines.core.ports import Destination
from payflow.config import Settings
from payflow.desk.gateways import Gateway
from payflow.desk.names import HolderCache, name_score
from payflow.store.seals import Seals

LANE = "ethereum"
"""The lane that pays providers."""
SETTING = "PAYFLOW_PAYOUT_RAILS"
ENQUIRY_S = 3.0
BANKS_S, SILENT_S = 86_400.0, 60.0
_THROUGH_GATEWAYS = frozenset({BANK, MOBILE_MONEY, WALLET})
_KEY = re.compile(r"(?:(?P<platform>[^~ ]+)~)?(?P<currency>[A-Z][A-Z0-9]{1,11})(?: (?P<method>[a-z_]+))?")


@dataclass(frozen=True, slots=True)
class PayRoute:
    """A row, and the rail that pays it."""

    rail: str
    row: PayMethod


@dataclass(frozen=True, slots=True)
class _Banks:
    banks: Sequence[tuple[str, str]] | None
    """None where the gateway did not answer."""
    until: float


@dataclass(frozen=True, slots=True)
class AccountHolder:
    """Whose an account is, as far as anybody says."""

    resolves: bool
    """Whether its rail can be asked at all."""
    holder: str = ""
    score: int | None = None
    """How far the holder's name fits the one that was given, of 100."""


class MethodTable:
    """Knows which rail pays a currency by a method, for whom."""

    def __init__(self, gateways: Mapping[str, Gateway], settings: Settings, assets: Assets, seals: Seals) -> None:
        self._gateways = gateways
        self._holders = HolderCache(seals)
        self._banks: dict[tuple[str, str], _Banks] = {}
        # A token that an operator called like a currency is not what gateways mean by it.
        self._foreign = {code for code, one in CURRENCIES.items() if one.asset not in set(assets)}
        # The rail that the settings name comes first; what it does not pay, another one may.
        order = [settings.payout_rail, *(name for name in gateways if name != settings.payout_rail)]
        rows = [PayRoute(rail, row) for rail in order if rail in gateways for row in gateways[rail].methods]
        self._all = [route for route in rows if self._pays(route)]
        self._chosen = {self._read(key, rail): rail for key, rail in settings.payout_rails.items()}
        self.by_platform = any(platform for platform, _, _ in self._chosen)
        """Whether any platform has a rail of its own."""

    def routes(self, platform: str = "") -> Iterator[PayRoute]:
        """Give how each currency is paid by each method."""
        for currency, method in dict.fromkeys((one.row.currency, one.row.method) for one in self._all):
            yield self.route(currency, method, platform)

    def route(self, currency: str, method: str, platform: str = "") -> PayRoute:
        """Find how a currency is paid by a method, or say what is paid instead."""
        found = [one for one in self._all if (one.row.currency, one.row.method) == (currency, method)]
        if found:
            rail = self._rail(platform, currency, method)
            return next((one for one in found if one.rail == rail), found[0])
        if method not in self.methods():
            raise BadInput(f"{method!r} is no way to be paid here: use {' or '.join(self.methods()) or 'nothing yet'}.")
        others = " or ".join(self.methods(currency))
        raise BadInput(f"{currency} cannot be paid by {method}" + (f": use {others}." if others else " here."))

    def methods(self, currency: str = "") -> list[str]:
        """List the ways to be paid, in a currency or in any."""
        return list(dict.fromkeys(one.row.method for one in self._all if currency in ("", one.row.currency)))

    async def banks(self, currency: str, platform: str = "") -> Sequence[tuple[str, str]]:
        """List the banks that are paid in a currency, each code with its name."""
        rail, now = self.route(currency, BANK, platform).rail, time.monotonic()
        known = self._banks.get((rail, currency))
        if known is None or now >= known.until:
            known = self._banks[rail, currency] = await self._listed(rail, currency, now)
        if known.banks is None:
            raise Retryable("The gateway does not say which banks there are: ask again in a minute.")
        return known.banks

    async def holder(self, route: PayRoute, to: Destination, now: Millis) -> AccountHolder:
        """Ask whose an account is; raises `Rejected` where there is none, `Retryable` where nobody answers in time."""
        route.row.check(to)
        gateway = self._gateways[route.rail]
        gateway.check(to)
        if not route.row.resolves:
            return AccountHolder(resolves=False)
        try:
            async with asyncio.timeout(ENQUIRY_S):
                found = await self._holders.ask(gateway.resolve, to, route.row.currency, now)
        except TimeoutError:
            raise Retryable("Whose account it is was not said in time.") from None
        named = dict(to.fields).get(HOLDER, "")
        return AccountHolder(resolves=True, holder=found, score=name_score(found, named) if found and named else None)

    async def _listed(self, rail: str, currency: str, now: float) -> "_Banks":
        """Ask a gateway; what does not answer is left alone for a minute, or each page would wait for it."""
        try:
            async with asyncio.timeout(ENQUIRY_S):
                return _Banks(await self._gateways[rail].banks(currency), now + BANKS_S)
        except (TimeoutError, StepError):
            return _Banks(None, now + SILENT_S)

    def _rail(self, platform: str, currency: str, method: str) -> str:
        """Give the rail that the settings choose, by the most that they say of it; empty where they say nothing."""
        of = [(name, currency, way) for name in (platform, "") for way in (method, "")]
        return next((self._chosen[key] for key in of if key in self._chosen), "")

    def _pays(self, route: PayRoute) -> bool:
        if route.row.method in _THROUGH_GATEWAYS:
            return route.row.currency not in self._foreign
        return route.rail == LANE

    def _read(self, key: str, rail: str) -> tuple[str, str, str]:
        """Read whom and what a choice of the settings is about; one that chooses nothing is refused."""
        found = _KEY.fullmatch(key)
        if found is None:
            raise BadSettings(f"{SETTING}: {key!r} is none: write `GHS bank`, `GHS`, or `shop~GHS` for one platform.")
        platform, currency, method = found["platform"] or "", found["currency"], found["method"] or ""
        if rail not in self._gateways:
            raise BadSettings(f"{SETTING}: {key} is to go through {rail!r}, which is not set up here.")
        if not any(
            one.rail == rail and one.row.currency == currency and method in ("", one.row.method) for one in self._all
        ):
            raise BadSettings(f"{SETTING}: {rail} does not pay {currency}{f' by {method}' if method else ''}.")
        return platform, currency, method
