"""The currencies of banks and mobile money that books may be kept in: the one home of their decimals and limits.

Amounts are in the currency's usual unit. They hold where an operator sets nothing; whoever knows their own trade sets
others. What is not in this table (ether, tokens of lanes) has no limits until somebody sets some.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from machines.core.money import NGN, Asset, Money


@dataclass(frozen=True, slots=True)
class FiatCurrency:
    """One currency, and from where on somebody looks at amounts in it."""

    asset: Asset
    minimum: str
    """Of a payout."""
    maximum: str
    """Of a payout."""
    two_people_from: str
    """From here on two people approve."""
    low_risk: str
    """Up to here, and with it, rules may let an amount pass without anybody."""
    an_hour: str
    """Asked for by one provider; beyond it people look."""
    a_day: str
    """The same within a day."""
    platform_daily: str
    """What a platform without a grant may credit in a day."""
    platform_verified: str
    """How much a provider whom only their platform verified may ask for in 24 hours as a verified one."""

    def units(self, amount: str) -> int:
        """Give an amount of this table in ledger units."""
        return Money.parse(amount, self.asset).units


_TABLE = (
    # of  decimals  minimum maximum    two people low risk   an hour    a day     platform's day  and word
    (NGN, "100", "5000000", "1000000", "50000", "100000", "300000", "10000000", "250000"),
    (Asset("GHS", 2), "1", "50000", "10000", "500", "1000", "3000", "100000", "2500"),
    (Asset("KES", 2), "10", "500000", "100000", "5000", "10000", "30000", "1000000", "25000"),
    (Asset("UGX", 0), "500", "12000000", "2500000", "125000", "250000", "750000", "25000000", "625000"),
    (Asset("TZS", 2), "500", "10000000", "2000000", "100000", "200000", "600000", "20000000", "500000"),
    (Asset("RWF", 0), "100", "5000000", "1000000", "50000", "100000", "300000", "10000000", "250000"),
    (Asset("ZMW", 2), "1", "100000", "20000", "1000", "2000", "6000", "200000", "5000"),
    (Asset("ZAR", 2), "5", "60000", "12000", "600", "1200", "3600", "120000", "3000"),
    (Asset("XAF", 0), "100", "2000000", "400000", "20000", "40000", "120000", "4000000", "100000"),
    (Asset("XOF", 0), "100", "2000000", "400000", "20000", "40000", "120000", "4000000", "100000"),
    (Asset("USD", 2), "1", "3500", "700", "35", "70", "210", "7000", "175"),
    (Asset("EUR", 2), "1", "3000", "600", "30", "60", "180", "6000", "150"),
    (Asset("GBP", 2), "1", "2500", "500", "25", "50", "150", "5000", "125"),
)

CURRENCIES: Mapping[str, FiatCurrency] = {row[0].code: FiatCurrency(*row) for row in _TABLE}


def currencies(assets: Iterable[Asset]) -> list[FiatCurrency]:
    """Give the currencies in which these books are kept."""
    in_books = set(assets)
    return [one for one in CURRENCIES.values() if one.asset in in_books]


def assets_with(tokens: Iterable[Asset]) -> list[Asset]:
    """Give all that books are kept in; a token of an operator's own that is called like a currency stays what it is."""
    mine = {token.code: token for token in tokens}
    return [*(one.asset for code, one in CURRENCIES.items() if code not in mine), *mine.values()]
