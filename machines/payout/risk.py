"""Risk rules: small pure functions, each with a reason code. What any of them finds sends a request to people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from machines.core.clock import DAY, HOUR, Millis
from machines.core.currencies import CURRENCIES
from machines.core.money import MAX_UNITS, NGN, Asset, Money
from machines.payout.data import RiskFinding


@dataclass(frozen=True, slots=True)
class AmountLimits:
    """From where on amounts in one currency are looked at, in its smallest units."""

    most_units: int
    most_units_an_hour: int
    most_units_a_day: int


AMOUNTS: Mapping[str, AmountLimits] = {
    code: AmountLimits(one.units(one.low_risk), one.units(one.an_hour), one.units(one.a_day))
    for code, one in CURRENCIES.items()
    if one.asset != NGN
}
"""Of currencies besides naira, where nobody set others."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What an operator may set. The amounts that stand here are in kobo; other currencies have their own."""

    most_units: int = 50_000_00
    """₦50,000: up to here, and with it, an amount is low risk."""
    least_successes: int = 3
    failures_flag: int = 2
    failures_within_ms: int = 30 * DAY
    details_cool_off_ms: int = 7 * DAY
    most_an_hour: int = 3
    most_a_day: int = 10
    most_units_an_hour: int = 100_000_00
    most_units_a_day: int = 300_000_00
    spike_times: int = 5
    """An amount this many times the provider's average is a spike."""
    spike_needs: int = 3
    """How many paid payouts make an average."""
    amounts: Mapping[str, AmountLimits] = field(default_factory=lambda: AMOUNTS)
    """By currency; in one that is not named, and is not naira, people always look."""

    def of(self, asset: Asset) -> AmountLimits | None:
        """Give the amounts in a currency; None where there are none."""
        if asset == NGN:
            return AmountLimits(self.most_units, self.most_units_an_hour, self.most_units_a_day)
        known = CURRENCIES.get(asset.code)
        # A token that is only called like a currency counts other units.
        return None if known and known.asset != asset else self.amounts.get(asset.code)


@dataclass(frozen=True, slots=True)
class Velocity:
    """What a provider had asked for in the hour and the day before a request."""

    hour_count: int
    hour_units: int
    day_count: int
    day_units: int


CALM = Velocity(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ProviderHistory:
    """What is known of a provider when he asks."""

    verified: bool = False
    successes: int = 0
    recent_failures: int = 0
    """Failed payouts within the window of the thresholds."""
    details_changed_at: Millis | None = None
    average_units: int = 0
    """Of the payouts that were paid to him."""
    velocity: Velocity = CALM
    doubt: str = ""
    """What of all this is not as we wrote it."""
    look_alike: str = ""
    """An address that was paid before, begins and ends as this one does, and is another one."""


@dataclass(frozen=True, slots=True)
class RiskRequest:
    """What a rule looks at."""

    amount: Money
    history: ProviderHistory
    now: Millis


Rule = Callable[[RiskRequest, Thresholds], RiskFinding | None]


def amount(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """More than the amount that rules may approve."""
    most = limits.of(request.amount.asset)
    if most is None or request.amount.units <= most.most_units:
        return None
    return RiskFinding("amount", f"{request.amount} is more than {_sum(most.most_units, request.amount.asset)}")


def currency(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """A currency in which no limits are set."""
    asset = request.amount.asset
    if limits.of(asset) is not None:
        return None
    return RiskFinding("currency", f"no limits are set for amounts in {asset.code}")


def verified(request: RiskRequest, _: Thresholds) -> RiskFinding | None:
    """Nobody has verified the provider."""
    return None if request.history.verified else RiskFinding("unverified", "the provider is not verified")


def history(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """Too few payouts went well so far."""
    if request.history.successes >= limits.least_successes:
        return None
    return RiskFinding("new", f"{request.history.successes} successful payouts, {limits.least_successes} are needed")


def failures(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """Several payouts failed lately."""
    if request.history.recent_failures < limits.failures_flag:
        return None
    days = limits.failures_within_ms // DAY
    return RiskFinding("failures", f"{request.history.recent_failures} payouts failed in the last {days} days")


def details(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """The bank details are new."""
    changed = request.history.details_changed_at
    if changed is None or request.now - changed >= limits.details_cool_off_ms:
        return None
    hours = (request.now - changed) // HOUR
    return RiskFinding(
        "details", f"the bank details changed {hours} hours ago" if hours else "the bank details are new"
    )


def frequency(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """Too many requests in an hour or a day, this one included."""
    hour, day = request.history.velocity.hour_count + 1, request.history.velocity.day_count + 1
    if hour > limits.most_an_hour:
        return RiskFinding("frequency", f"{hour} requests within an hour, {limits.most_an_hour} are usual")
    if day > limits.most_a_day:
        return RiskFinding("frequency", f"{day} requests within a day, {limits.most_a_day} are usual")
    return None


def volume(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """Too much asked for in an hour or a day, this request included."""
    asset = request.amount.asset
    most = limits.of(asset)
    if most is None:
        return None
    hour = request.history.velocity.hour_units + request.amount.units
    day = request.history.velocity.day_units + request.amount.units
    if hour > most.most_units_an_hour:
        return RiskFinding("volume", f"{_sum(hour, asset)} asked for within an hour")
    if day > most.most_units_a_day:
        return RiskFinding("volume", f"{_sum(day, asset)} asked for within a day")
    return None


def spike(request: RiskRequest, limits: Thresholds) -> RiskFinding | None:
    """Far more than this provider usually asks for."""
    history = request.history
    if history.successes < limits.spike_needs or history.average_units == 0:
        return None
    if request.amount.units <= limits.spike_times * history.average_units:
        return None
    usual = Money(history.average_units, request.amount.asset)
    return RiskFinding("spike", f"{request.amount} is more than {limits.spike_times} times the usual {usual}")


def doubt(request: RiskRequest, _: Thresholds) -> RiskFinding | None:
    """What the other rules judge by was changed beside us."""
    said = request.history.doubt
    return RiskFinding("doubt", f"what is known of the provider cannot be trusted: {said}") if said else None


def look_alike(request: RiskRequest, _: Thresholds) -> RiskFinding | None:
    """An address that is easily taken for an earlier one, as somebody may have made it to be."""
    earlier = request.history.look_alike
    return (
        RiskFinding("look_alike", f"the address only looks like {earlier}, which was paid before") if earlier else None
    )


RULES: tuple[Rule, ...] = (
    amount, currency, verified, history, failures, details, frequency, volume, spike, doubt, look_alike,
)  # fmt: skip


def assess(request: RiskRequest, limits: Thresholds) -> tuple[RiskFinding, ...]:
    """Ask every rule; all that they find is kept."""
    found = (rule(request, limits) for rule in RULES)
    return tuple(finding for finding in found if finding is not None)


def _sum(units: int, asset: Asset) -> Money:
    return Money(min(units, MAX_UNITS), asset)
