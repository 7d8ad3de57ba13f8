"""What a run has to live with, drawn from its seed, and the story of what came of it."""

from dataclasses import dataclass
from operator import itemgetter
from random import Random
from typing import Literal

from adapters.sandbox.magic import Spelling
from machines.core.clock import DAY, MINUTE, SECOND, FixedClock

Api = Literal["v3", "v4", "paystack"]
APIS: tuple[Api, ...] = ("v3", "v4", "paystack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How unkind the world is. Likelihoods are between 0 and 1, for each time that the thing could happen."""

    truthful: bool
    """Whether the gateway says nothing that is not so; it may still be slow, strict and hard to reach."""
    api: Api
    trouble: float
    """That a call to the gateway goes wrong on its way, and that a transfer fails."""
    deaths: float
    """That a process dies at an await."""
    stops: float
    """That it is stopped there for a while, perhaps beyond its lease."""
    workers: int
    lookup_lag_ms: int
    """For how long a look-up may not show a transfer that was taken in."""
    list_lag_ms: int
    """The same of the list of all transfers."""
    limit_first: bool
    """Whether a daily limit, which one payment uses up, is checked before the reference is."""
    closed_first: bool
    """Whether a bank that is closed now and then is found out before the reference is looked at."""
    spelling: Spelling
    key_ttl_s: float | None
    """For how long v4 knows an idempotency key; for ever when None."""
    webhooks_lost: float
    webhooks_lie: float
    """That one is forged, claims what is not so, or names another transfer."""
    returns: float
    """That money which was paid comes back."""
    returned_as_failure: bool
    clicks: float
    """That somebody clicks Retry on a failed transfer in the gateway's dashboard."""
    wishes: float
    """That somebody wants something of the payout, allowed or not."""
    overrides: bool
    losses: float
    """That the store forgets what it acknowledged since the last barrier before a send."""

    @property
    def nothing_to_report(self) -> bool:
        """Whether nothing can happen that contradicts the books, so that every contradiction is a false alarm."""
        return not (self.clicks or self.overrides or self.returns or self.losses or self.webhooks_lie)


def drawn(dice: Random, *, truthful: bool) -> Conditions:
    """Draw the conditions of a run: each unkindness is absent from many runs, so that none hides another."""

    def sometimes(often: float, likelihood: float) -> float:
        return likelihood if dice.random() < often else 0.0

    lag_ms = dice.choice((0, 30 * SECOND, 90 * SECOND, 10 * MINUTE))
    unkind = 0.0 if truthful else 1.0
    return Conditions(
        truthful=truthful,
        api=dice.choice(APIS),
        trouble=dice.choice((0.05, 0.2, 0.5)),
        deaths=sometimes(0.5, 0.02),
        stops=sometimes(0.4, 0.02),
        workers=dice.choice((1, 1, 2)),
        lookup_lag_ms=lag_ms,
        list_lag_ms=dice.choice((0, lag_ms, 30 * MINUTE)),
        limit_first=bool(sometimes(0.3, 1)),
        closed_first=bool(sometimes(0.2, 1)),
        spelling=dice.choice((*(Spelling.AS_GIVEN,) * 7, *Spelling)),
        key_ttl_s=None if truthful else dice.choice((None, DAY / SECOND, 60.0)),
        webhooks_lost=dice.choice((0.0, 0.3, 1.0)),
        webhooks_lie=sometimes(0.3 * unkind, 0.2),
        returns=sometimes(0.2 * unkind, 0.3),
        returned_as_failure=bool(sometimes(0.5, 1)),
        clicks=sometimes(0.5 * unkind, dice.choice((0.05, 0.2))),
        wishes=sometimes(0.6, dice.choice((0.05, 0.2))),
        overrides=bool(sometimes(0.3 * unkind, 1)),
        losses=sometimes(0.15 * unkind, 0.02),
    )


class Story:
    """Only ever grows."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.began = clock.now()
        self.events: list[tuple[int, str, str]] = []
        """When, who, and what."""

    def tell(self, who: str, what: str) -> None:
        """Add what happens now."""
        self.events.append((self.clock.at, who, what))

    def lines(self) -> list[str]:
        """Write it down, in order of time."""
        ordered = sorted(self.events, key=itemgetter(0))
        return [f"{since(self.began, at):>14}  {who:<12} {what}" for at, who, what in ordered]


def since(began: int, at: int) -> str:
    """Write a time as hours, minutes and seconds since the beginning."""
    seconds = (at - began) / SECOND
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"
