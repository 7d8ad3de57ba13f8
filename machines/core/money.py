"""Money is a whole number of an asset's smallest ledger unit. There is no float and no rounding."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from machines.core.errors import BadAmount

# Every amount and every balance stays inside a signed 64-bit number, with room to add two of them.
MAX_UNITS = 10**18 - 1
MOST_DECIMALS = 9

_DECIMAL = re.compile(r"(?P<whole>[0-9]{1,18})(?:\.(?P<fraction>[0-9]{1,18}))?")
_CODE = re.compile(r"[A-Z][A-Z0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class Asset:
    """What is paid, and how many decimals its ledger unit has."""

    code: str
    decimals: int

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise BadAmount(f"{self.code!r} is no asset code: 2 to 12 capital letters and digits, a letter first.")
        if not 0 <= self.decimals <= MOST_DECIMALS:
            raise BadAmount(f"{self.code} cannot have {self.decimals} decimals: 0 to {MOST_DECIMALS} fit the ledger.")


NGN = Asset("NGN", 2)
ETH = Asset("ETH", 9)


@dataclass(frozen=True, slots=True)
class Money:
    """A number of ledger units of one asset, never negative."""

    units: int
    asset: Asset

    def __post_init__(self) -> None:
        if type(self.units) is not int:
            raise BadAmount(f"{self.units!r} is not a whole number of units.")
        if not 0 <= self.units <= MAX_UNITS:
            raise BadAmount(f"{self.units} {self.asset.code} units are outside 0 to {MAX_UNITS}.")

    @classmethod
    def parse(cls, text: str, asset: Asset) -> "Money":
        """Read a plain decimal such as `1250.50`, refusing more precision than the asset has."""
        match = _DECIMAL.fullmatch(text)
        if match is None:
            raise BadAmount(f"{text[:40]!r} is not an amount: write digits, with a point before decimals.")
        fraction = match["fraction"] or ""
        fits, excess = fraction[: asset.decimals], fraction[asset.decimals :]
        if excess.strip("0"):
            raise BadAmount(f"{text} is too precise: {asset.code} has {asset.decimals} decimals.")
        return cls(int(match["whole"] + fits.ljust(asset.decimals, "0")), asset)

    @property
    def decimal(self) -> str:
        """The amount in the asset's usual unit, with all its decimals."""
        if not self.asset.decimals:
            return str(self.units)
        digits = str(self.units).rjust(self.asset.decimals + 1, "0")
        return f"{digits[: -self.asset.decimals]}.{digits[-self.asset.decimals :]}"

    def __str__(self) -> str:
        return f"{self.asset.code} {self.decimal}"

    def _same_asset(self, other: "Money") -> None:
        if self.asset != other.asset:
            raise BadAmount(f"{self.asset.code} and {other.asset.code} cannot be put together.")

    def __add__(self, other: "Money") -> "Money":
        self._same_asset(other)
        return Money(self.units + other.units, self.asset)

    def __sub__(self, other: "Money") -> "Money":
        self._same_asset(other)
        return Money(self.units - other.units, self.asset)

    def __le__(self, other: "Money") -> bool:
        self._same_asset(other)
        return self.units <= other.units

    def __lt__(self, other: "Money") -> bool:
        self._same_asset(other)
        return self.units < other.units


class Assets:
    """The assets that this installation keeps books in, each declared once."""

    def __init__(self, assets: Iterable[Asset] = (NGN, ETH)) -> None:
        self._by_code: dict[str, Asset] = {}
        for asset in assets:
            if self._by_code.setdefault(asset.code, asset) != asset:
                raise BadAmount(f"{asset.code} is declared twice with different decimals.")

    def __getitem__(self, code: str) -> Asset:
        try:
            return self._by_code[code]
        except KeyError:
            known = ", ".join(sorted(self._by_code))
            raise BadAmount(f"{code[:12]!r} is not an asset here: use one of {known}.") from None

    def __iter__(self) -> Iterator[Asset]:
        return iter(self._by_code.values())
