"""Where a contributor is paid: an address that they signed for counts at once, any other one only after a cool-off."""

from dataclasses import dataclass, replace

from machines.core.clock import Millis


@dataclass(frozen=True, slots=True)
class SavedAddress:
    """What a contributor saved; nobody else writes it."""

    address: str = ""
    """Where they are paid; empty where nothing counts yet."""
    proven: bool = False
    """Whether that address signed for it."""
    next_address: str = ""
    """What was saved without a signature; it takes the place of the other one when its time has come."""
    next_from: int = 0
    """By the store's clock, in milliseconds."""

    def at(self, now: Millis) -> "SavedAddress":
        """Give what counts at a time."""
        due = self.next_address and now >= self.next_from
        return SavedAddress(self.next_address) if due else self

    def saving(self, address: str, now: Millis, cool_off_ms: int, *, proven: bool) -> "SavedAddress":
        """Save another one. Until an unproven one counts, the one before does: who has a session only gains nothing."""
        before = self.at(now)
        if proven:
            return SavedAddress(address, proven=True)
        if address == before.address:
            return replace(before, next_address="", next_from=0)
        if address == before.next_address:
            return before
        return replace(before, next_address=address, next_from=now + cool_off_ms)
