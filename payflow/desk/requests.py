"""What may be asked for: how much, and to where; the same in a request, on a page and at a terminal.

And what the settings say of how it is looked at.
"""

import re
from collections.abc import Mapping
from typing import Any

from machines.core.clock import DAY, SECOND
from machines.core.errors import BadAmount, BadInput, BadSettings, ShortBalance
from machines.core.money import NGN, Assets, Money
from machines.core.ports import Destination
from machines.payout import lifecycle as s
from machines.payout.policy import PayoutPolicy
from machines.payout.risk import Thresholds
from payflow.config import PollerSettings, Settings
from payflow.store.store import Store


class Bounds:
    """The least and the largest amount; a currency without a bound may have any amount."""

    def __init__(self, settings: Settings, assets: Assets) -> None:
        self._least = amounts_of("PAYFLOW_PAYOUT_MINIMUM", settings.payout_minimum, assets)
        self._most = amounts_of("PAYFLOW_PAYOUT_MAXIMUM", settings.payout_maximum, assets)

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


NEVER = "none"
BANDS = "1000000, 0.5 ETH"
"""From which amounts on two must approve in an installation that began with this version or a later one."""


def two_people_from(settings: Settings, store: Store) -> Mapping[str, int] | None:
    """By asset from how many units on two reviewers must approve; None for never, which older installations keep."""
    text = settings.two_people_from or (BANDS if store.two_people_at_first else NEVER)
    if text == NEVER:
        return None
    bounds = amounts_of("PAYFLOW_TWO_PEOPLE_FROM", text, store.records.assets)
    return {code: bound.units for code, bound in bounds.items()}


def payout_policy(settings: Settings) -> PayoutPolicy:
    """Say how patient the payout machine is."""
    return PayoutPolicy(
        retry_after_s=settings.retry_after_s,
        settle_window_ms=int(settings.settle_window_s * SECOND),
        watch_ms=int(settings.watch_days * DAY),
        returns_ms={rail: int(days * DAY) for rail, days in settings.returns_days.items()},
        failures_count_ms=risk_thresholds(settings).failures_within_ms,
    )


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
    known: dict[str, Any] = dict(settings.risk)
    try:
        return Thresholds(**known)
    except TypeError as error:
        names = ", ".join(Thresholds.__dataclass_fields__)
        raise BadSettings(f"PAYFLOW_RISK names a threshold that does not exist: use {names}.") from error


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


# One line that looks like what it is: no control characters, no line ends, nothing that turns the direction of writing.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
SEEN = f"^{_UNSEEN}"
SOMETHING = rf"^[{SEEN}]*[^\s{_UNSEEN}][{SEEN}]*$"
LONGEST_LINE = 100

PARTS: Mapping[str, str] = {
    "bank_code": r"^[A-Za-z0-9_-]{2,20}$",
    "account_number": r"^[A-Za-z0-9+]{4,34}$",
    "account_name": SOMETHING,
    "branch_code": r"^[A-Za-z0-9_-]{1,20}$",
    "address": r"^0x[0-9a-fA-F]{40}$",
}
"""A pattern for each, in their order."""


def with_account(before: Destination, account: str, bank: str = "", name: str = "") -> Destination:
    """Put another account, wallet or address in the place of one; a branch stays only as long as its bank does."""
    if before.kind == "ethereum":
        return _checked(before.kind, {"address": account})
    fields = dict(before.fields)
    parts = {"bank_code": bank or fields.get("bank_code", ""), "account_number": account}
    if name:
        parts["account_name"] = name
    if "branch_code" in fields and parts["bank_code"] == fields.get("bank_code"):
        parts["branch_code"] = fields["branch_code"]
    return _checked(before.kind, parts)


def _checked(kind: str, parts: Mapping[str, str]) -> Destination:
    faults = [name for name, text in parts.items() if len(text) > LONGEST_LINE or not re.fullmatch(PARTS[name], text)]
    if faults:
        raise BadInput(f"This is no destination: no {' and no '.join(faults)} looks like that.")
    return Destination(kind, tuple(parts.items()))
