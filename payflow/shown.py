"""How times, amounts and names are written, on a page and in a terminal, and for machines."""

from datetime import UTC, datetime

from machines.core.clock import DAY, HOUR, MINUTE, SECOND
from machines.core.errors import BadAmount
from machines.core.money import Assets, Money
from machines.core.rail_share import FINE

USUAL = 2
"""Decimals that are always written."""

WEI_DIGITS = 18

_SIZES = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))


def span(millis: int) -> str:
    """Write a duration as people say it."""
    for size, name in _SIZES:
        if millis >= size:
            return f"{millis // size} {name}"
    return "less than 1 s"


def utc(at: int) -> str:
    """Write a time for people, in UTC as in the logs."""
    return _moment(at).strftime("%Y-%m-%d %H:%M:%S")


def iso(at: int) -> str:
    """Write a time for machines."""
    return _moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def amount(money: Money | None) -> str:
    """Write an amount with its asset, to the last decimal."""
    return "" if money is None else str(money)


def amount_json(money: Money | None) -> dict[str, str] | None:
    """Write an amount for machines: as text, because numbers in JSON are not exact."""
    return None if money is None else {"asset": money.asset.code, "amount": money.decimal}


def ether(wei: int) -> str:
    """Write what an address has, to the last wei."""
    digits = str(wei).rjust(WEI_DIGITS + 1, "0")
    return f"{digits[:-WEI_DIGITS]}.{digits[-WEI_DIGITS:].rstrip('0') or '0'}"


def grouped(money: Money | None) -> str:
    """Write an amount with its asset, its thousands apart."""
    return "" if money is None else f"{money.asset.code}\N{NO-BREAK SPACE}{thousands(_short(money.decimal))}"


def _short(text: str) -> str:
    """Leave zeros out beyond the second decimal, of which ether has many."""
    whole, point, fraction = text.partition(".")
    return f"{whole}{point}{fraction[:USUAL]}{fraction[USUAL:].rstrip('0')}"


def exact(units: int, asset: str, assets: Assets) -> str:
    """Write units in the asset's usual unit, to the last decimal; what can be no amount is shown as it is kept."""
    money = _money(units, asset, assets)
    return money.decimal if money else f"{units} units"


def decimal(units: int, asset: str, assets: Assets) -> str:
    """Write units in the asset's usual unit as people read it."""
    money = _money(units, asset, assets)
    return thousands(_short(money.decimal)) if money else f"{units} units"


def fine(parts: int, asset: str, assets: Assets) -> str:
    """Write what is counted in parts of a ledger unit, to the last of them; it may be less than nothing."""
    whole, rest = divmod(abs(parts), FINE)
    text, sign = decimal(whole, asset, assets), "-" if parts < 0 else ""
    if not rest:
        return f"{sign}{text}"
    money = _money(whole, asset, assets)
    if money is None:
        return f"{sign}{whole}.{rest:09d} units"
    point = "" if "." in money.decimal else "."
    return f"{sign}{thousands(money.decimal)}{point}{rest:09d}".rstrip("0")


def _money(units: int, asset: str, assets: Assets) -> Money | None:
    try:
        return Money(units, assets[asset])
    except BadAmount:
        return None


def thousands(text: str) -> str:
    """Set the thousands of a decimal apart."""
    whole, point, fraction = text.partition(".")
    return f"{int(whole):,}{point}{fraction}"


def plain(name: str) -> str:
    """Write a name of the code, such as `waiting_for`, as words."""
    return name.replace("_", " ").strip()


def harmless(text: str) -> str:
    """Write what somebody said so that it is no formula to a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / SECOND, UTC)
