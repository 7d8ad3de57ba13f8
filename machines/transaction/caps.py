"""How much a lane may send in an hour and in a day, and how much it may offer for gas. Pure.

A cap holds what has no nonce yet, and never what would close one. Of the cap on fees so much is set aside for each open
nonce that it can be replaced by nothing at the highest price: what is signed next, and better offers, get the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from machines.core.clock import DAY, HOUR, Millis
from machines.transaction.data import ETHER, PaymentRecord, Spent, TransactionData

FEES = "fees"
"""What is offered for gas: first offers, better ones, and what a lane sends for itself."""
EMPTY_GAS = 21_000
UNLIMITED = 2**256


@dataclass(frozen=True, slots=True)
class Cap:
    """Most that may be signed for in an hour and in a day of the clock (UTC), in the smallest unit."""

    hour: int | None
    """None for no limit."""
    day: int | None
    says: str
    """The same for people."""

    @property
    def most(self) -> int:
        """What alone asks for more never goes out."""
        return min((one for one in (self.hour, self.day) if one is not None), default=UNLIMITED)

    def left(self, what: str, spent: Iterable[Spent], now: Millis) -> int:
        """Give how much room there is now."""
        known = next((one for one in spent if one.what == what), Spent(what))
        in_hour = int(known.in_hour) if known.hour == now // HOUR else 0
        in_day = int(known.in_day) if known.day == now // DAY else 0
        limits = ((self.hour, in_hour), (self.day, in_day))
        return min((most - used for most, used in limits if most is not None), default=UNLIMITED)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one look, or one better offer, spends under a cap."""

    what: str
    cap: Cap
    units: int
    closes: int = 0
    """How much of it closes nonces, which no cap holds."""


def counted(spent: Sequence[Spent], charges: Iterable[Charge], now: Millis) -> tuple[Spent, ...] | None:
    """Add charges to what was spent; None where a cap has no room for them."""
    found = {one.what: one for one in spent}
    for charge in charges:
        if charge.units - charge.closes > max(0, charge.cap.left(charge.what, found.values(), now)):
            return None
        known, hour, day = found.get(charge.what, Spent(charge.what)), now // HOUR, now // DAY
        in_hour = charge.units + (int(known.in_hour) if known.hour == hour else 0)
        in_day = charge.units + (int(known.in_day) if known.day == day else 0)
        found[charge.what] = Spent(charge.what, hour, str(in_hour), day, str(in_day))
    return tuple(found.values())


def fitting(
    queued: Sequence[PaymentRecord], caps: Mapping[str, Cap], spent: Sequence[Spent], now: Millis
) -> tuple[list[PaymentRecord], str]:
    """Choose the payments for which there is room, the oldest first, and say what holds the others.

    All of one kind of money wait behind the first that has to; one that no hour has room for holds up nobody else.
    """
    room = {what: cap.left(what, spent, now) for what, cap in caps.items()}
    fit, held, too_large = [], "", ""
    full: set[str] = set()
    for payment in queued:
        what, units = payment.data.token or ETHER, int(payment.data.value_wei)
        cap = caps.get(what)
        if cap is None:
            fit.append(payment)
        elif units > cap.most:
            too_large = too_large or f"somebody: {payment.id} alone is more than its cap of {cap.says} allows"
        elif what in full or units > room[what]:
            full.add(what)
            held = held or f"room under its cap of {cap.says}"
        else:
            room[what] -= units
            fit.append(payment)
    return fit, held or too_large


def cost_wei(transaction: TransactionData) -> int:
    """Say what a nonce may cost for gas: one of its attempts is mined, and no other."""
    return max((EMPTY_GAS if one.empty else transaction.gas) * one.fee.max_wei for one in transaction.attempts)


def set_aside(cost: int, ceiling_wei: int) -> int:
    """Say how much must be left so that a nonce that costs so much can be closed at the highest price."""
    return max(0, EMPTY_GAS * ceiling_wei - cost)
