"""How small and how large a payout may be, in each currency that bounds are set for."""

from collections.abc import Mapping

from machines.core.errors import BadAmount, BadSettings, ShortBalance
from machines.core.money import NGN, Assets, Money
from payflow.config import Settings


class Bounds:
    """The least and the largest amount; a currency without a bound may have any amount."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        self._least = _read("PAYFLOW_PAYOUT_MINIMUM", settings.payout_minimum, assets)
        self._most = _read("PAYFLOW_PAYOUT_MAXIMUM", settings.payout_maximum, assets)

    def check(self, amount: Money) -> Money:
        """Let an amount through that may be asked for."""
        least, most = (bounds.get(amount.asset.code) for bounds in (self._least, self._most))
        if least and amount < least:
            raise BadAmount(f"{amount} is less than the smallest payout, {least}.")
        if most and most < amount:
            raise BadAmount(f"{amount} is more than the largest payout, {most}.")
        if not amount.units:
            raise ShortBalance(f"There is no {amount.asset.code} to ask for.")
        return amount


def _read(name: str, text: str, assets: Assets) -> Mapping[str, Money]:
    """Read amounts such as `100, 0.01 ETH`: each with its currency, naira where none is named."""
    found: dict[str, Money] = {}
    for part in text.split(","):
        number, _, code = part.strip().partition(" ")
        try:
            bound = Money.parse(number, assets[code.strip() or NGN.code])
        except BadAmount as error:
            raise BadSettings(f"{name}: {error}") from error
        found[bound.asset.code] = bound
    return found
