"""What can be paid here, and by which rail: the rails' tables put together, as the settings say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from machines.core.currencies import CURRENCIES
from machines.core.errors import BadInput
from machines.core.methods import BANK, MOBILE_MONEY, WALLET, PayMethod
from machines.core.money import Assets
from payflow.config import Settings
from payflow.desk.gateways import Gateway

LANE = "ethereum"
"""The lane that pays providers."""
_THROUGH_GATEWAYS = frozenset({BANK, MOBILE_MONEY, WALLET})


@dataclass(frozen=True, slots=True)
class PayRoute:
    """A row, and the rail that pays it."""

    rail: str
    row: PayMethod


class MethodTable:
    """Knows which rail pays a currency by a method."""

    def __init__(self, gateways: Mapping[str, Gateway], settings: Settings, assets: Assets) -> None:
        # A token that an operator called like a currency is not what gateways mean by it.
        foreign = {code for code, one in CURRENCIES.items() if one.asset not in set(assets)}
        # The rail that the settings name comes first; what it does not pay, another one may.
        order = [settings.payout_rail, *(name for name in gateways if name != settings.payout_rail)]
        self._routes: dict[tuple[str, str], PayRoute] = {}
        for rail in order:
            for row in gateways[rail].methods if rail in gateways else ():
                if rail == LANE or (row.method in _THROUGH_GATEWAYS and row.currency not in foreign):
                    self._routes.setdefault((row.currency, row.method), PayRoute(rail, row))

    def __iter__(self) -> Iterator[PayRoute]:
        return iter(self._routes.values())

    def route(self, currency: str, method: str) -> PayRoute:
        """Find how a currency is paid by a method, or say what is paid instead."""
        found = self._routes.get((currency, method))
        if found is not None:
            return found
        if method not in self.methods():
            raise BadInput(f"{method!r} is no way to be paid here: use {' or '.join(self.methods()) or 'nothing yet'}.")
        others = " or ".join(self.methods(currency))
        raise BadInput(f"{currency} cannot be paid by {method}" + (f": use {others}." if others else " here."))

    def methods(self, currency: str = "") -> list[str]:
        """List the ways to be paid, in a currency or in any."""
        return list(dict.fromkeys(way for code, way in self._routes if currency in ("", code)))
