"""What may be asked for: how much, and to where; the same in a request, on a page and at a terminal.

And what the settings say of how it is looked at.
"""

import re
from collections.abc import Mapping
from typing import Any

from machines.core.clock import DAY, SECOND
from machines.core.currencies import CURRENCIES, currencies
from machines.core.errors import BadAmount, BadInput, BadSettings, ShortBalance
from machines.core.methods import LONGEST_LINE, SOMETHING, PayMethod
from machines.core.money import ETH, NGN, Assets, Money
from machines.core.ports import Destination
from machines.payout import lifecycle as s
from machines.payout.policy import PayoutPolicy
from machines.payout.risk import AMOUNTS, AmountLimits, Thresholds
from payflow.config import PollerSettings, Settings
from payflow.desk.names import NameRules
from payflow.store.store import Store


class Bounds:
    """The least and the largest amount; a currency without a bound may have any amount."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        # The settings' own defaults say what naira have: whoever wrote amounts without naira has no bound for them.
        others = [one for one in currencies(assets) if one.asset != NGN]
        self._least = {one.asset.code: Money.parse(one.minimum, one.asset) for one in others}
        self._least |= amounts_of("PAYFLOW_PAYOUT_MINIMUM", settings.payout_minimum, assets)
        self._most = {one.asset.code: Money.parse(one.maximum, one.asset) for one in others}
        self._most |= amounts_of("PAYFLOW_PAYOUT_MAXIMUM", settings.payout_maximum, assets)

    def of(self, code: str, row: PayMethod | None = None) -> tuple[Money | None, Money | None]:
        """Give the least and the most of one payout: what the settings say, or what the rail itself does."""
        least, most = self._least.get(code), self._most.get(code)
        if row is not None and row.minimum:
            own = Money.parse(row.minimum, CURRENCIES[code].asset)
            least = own if least is None or least < own else least
        if row is not None and row.maximum:
            own = Money.parse(row.maximum, CURRENCIES[code].asset)
            most = own if most is None or own < most else most
        return least, most

    def check(self, amount: Money, row: PayMethod | None = None) -> Money:
        """Let an amount through that may be asked for."""
        least, most = self.of(amount.asset.code, row)
        if least and amount < least:
            raise BadAmount(f"{amount} is less than the smallest payout, {least}.")
        if most and most < amount:
            raise BadAmount(f"{amount} is more than the largest payout, {most}.")
        if not amount.units:
            raise ShortBalance(f"There is no {amount.asset.code} to ask for.")
        return amount


NEVER = "none"
BAND_OF_ETHER = Money.parse("0.5", ETH)
BANDS = f"{CURRENCIES[NGN.code].two_people_from}, {BAND_OF_ETHER.decimal.rstrip('0')} {ETH.code}"
"""From which amounts on two must approve where nobody set any, in naira and ether; others have theirs in the table."""


def two_people_from(settings: Settings, store: Store) -> Mapping[str, int] | None:
    """By asset from how many units on two reviewers must approve; None for never, which older installations keep."""
    if not settings.two_people_from:
        return _bands(store.records.assets) if store.two_people_at_first else None
    if settings.two_people_from == NEVER:
        return None
    bounds = amounts_of("PAYFLOW_TWO_PEOPLE_FROM", settings.two_people_from, store.records.assets)
    return {code: bound.units for code, bound in bounds.items()}


def _bands(assets: Assets) -> Mapping[str, int]:
    """Say from which amounts on two must approve where nobody set any."""
    fiat = {one.asset.code: one.units(one.two_people_from) for one in currencies(assets)}
    return fiat | {ETH.code: BAND_OF_ETHER.units}


def payout_policy(settings: Settings) -> PayoutPolicy:
    """Say how patient the payout machine is."""
    return PayoutPolicy(
        retry_after_s=settings.retry_after_s,
        settle_window_ms=int(settings.settle_window_s * SECOND),
        watch_ms=int(settings.watch_days * DAY),
        returns_ms={rail: int(days * DAY) for rail, days in settings.returns_days.items()},
        failures_count_ms=risk_thresholds(settings).failures_within_ms,
    )


def name_rules(settings: Settings) -> NameRules:
    """Say from where on the name that a bank gives is another one."""
    return NameRules(settings.name_review_below, settings.name_hold_below)


WATCHERS = 16
WATCHED = (s.COMPLETED, s.FAILED, s.REVERSED, s.REJECTED, s.CANCELLED, s.CONTRADICTED)
"""The states in which a payout is over for now: they are looked at ever more seldom, and behind everything else."""


def payout_pollers(settings: Settings) -> dict[str, PollerSettings]:
    """Say how the pollers of payouts work, as the settings of the provider document name it.

    What it says of batches is about runs, of which each takes all that waits: `Schedule` reads it, no poller does.
    """
    sending = PollerSettings(concurrency=settings.payout_worker_concurrency, rate=settings.payout_worker_rate_limit)
    return {
        **{f"payout.{state}": PollerSettings(concurrency=WATCHERS) for state in WATCHED},
        "payout.PROCESSING": sending,
        "payout.UNCONFIRMED": sending,
    }


def risk_thresholds(settings: Settings) -> Thresholds:
    """Say from where on the rules find something."""
    known: dict[str, Any] = {name: one for name, one in settings.risk.items() if isinstance(one, int)}
    try:
        amounts = {code: AmountLimits(**one) for code, one in settings.risk.items() if not isinstance(one, int)}
        return Thresholds(**known, amounts={**AMOUNTS, **amounts})
    except TypeError as error:
        names = [name for name in Thresholds.__dataclass_fields__ if name != "amounts"]
        text = f"PAYFLOW_RISK names a threshold that does not exist: use {', '.join(names)}; or, under the code of a "
        text += f"currency, all of {', '.join(AmountLimits.__dataclass_fields__)}."
        raise BadSettings(text) from error


def amounts_of(name: str, text: str, assets: Assets) -> Mapping[str, Money]:
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


PARTS: Mapping[str, str] = {
    "bank_code": r"^[A-Za-z0-9_-]{2,20}$",
    "account_number": r"^[A-Za-z0-9+]{4,34}$",
    "account_name": SOMETHING,
    "branch_code": r"^[A-Za-z0-9_-]{1,20}$",
    "address": r"^0x[0-9a-fA-F]{40}$",
    "first_name": SOMETHING,
    "last_name": SOMETHING,
    "email": r"^[^\s@]{1,60}@[^\s@]{1,80}$",
    "phone": r"^\+?[0-9]{7,15}$",
    "street": SOMETHING,
    "street_number": r"^[A-Za-z0-9 /-]{1,10}$",
    "postal_code": r"^[A-Za-z0-9 -]{2,12}$",
    "city": SOMETHING,
    "country": r"^[A-Z]{2}$",
    "bank_name": SOMETHING,
    "swift_code": r"^[A-Z0-9]{8,11}$",
    "routing_number": r"^[A-Za-z0-9]{6,13}$",
    "account_type": r"^[a-z]{4,20}$",
    "sender_name": SOMETHING,
    "sender_country": r"^[A-Z]{2}$",
    "sender_phone": r"^\+?[0-9]{7,15}$",
}
"""A pattern for each, in their order; what a row of the rails' tables asks of it beyond that stands there."""


OF_A_BANK = frozenset({"branch_code", "routing_number", "swift_code", "bank_name"})
"""What says nothing of an account at another bank."""


def with_account(before: Destination, account: str, bank: str = "", name: str = "") -> Destination:
    """Put another account, wallet or address in the place of one; a branch stays only as long as its bank does."""
    if before.kind == "ethereum":
        return _checked(before.kind, {"address": account})
    fields = dict(before.fields)
    parts = {key: text for key, text in fields.items() if key not in OF_A_BANK} | {"account_number": account}
    if bank:
        parts["bank_code"] = bank
    if name:
        parts["account_name"] = name
    else:
        parts.pop("account_name", None)
    if "branch_code" in fields and parts.get("bank_code") == fields.get("bank_code"):
        parts["branch_code"] = fields["branch_code"]
    return _checked(before.kind, parts)


def refuse_bad_line(text: str, longest: int) -> None:
    """Raise where something is longer than it may be, or looks like something else than it is."""
    if len(text) > longest or (text and not re.fullmatch(SOMETHING, text)):
        raise BadInput(f"{text[:20]!r} is longer than {longest} characters, or has characters that nobody sees.")


def _checked(kind: str, parts: Mapping[str, str]) -> Destination:
    faults = [name for name, text in parts.items() if len(text) > LONGEST_LINE or not re.fullmatch(PARTS[name], text)]
    if faults:
        raise BadInput(f"This is no destination: no {' and no '.join(faults)} looks like that.")
    return Destination(kind, tuple(parts.items()))
