"""Where a contributor is paid: what takes the place of an address that they signed for counts only after a cool-off.

Whoever has a contributor's session has a wallet of their own as well, so a new address's own signature proves nothing
against the address that counts: that takes the old address's signature, or days in which the contributor may object.
"""

from dataclasses import dataclass, replace

from machines.core.clock import Millis
from machines.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class CoolOff:
    """How long an address waits before it counts."""

    unsigned_ms: int
    """Where nobody signed for it."""
    replacing_ms: int
    """Where it takes the place of one that the contributor signed for."""


@dataclass(frozen=True, slots=True)
class SavedAddress:
    """What a contributor saved; nobody else writes it."""

    address: str = ""
    """Where they are paid; empty where nothing counts yet."""
    proven: bool = False
    """Whether that address signed for it."""
    next_address: str = ""
    """What takes the place of the other one when its time has come."""
    next_from: int = 0
    """By the store's clock, in milliseconds."""
    next_proven: bool = False
    """Whether that next address signed for it."""

    def at(self, now: Millis) -> "SavedAddress":
        """Give what counts at a time."""
        due = self.next_address and now >= self.next_from
        return SavedAddress(self.next_address, proven=self.next_proven) if due else self

    def saving(self, address: str, now: Millis, cool_off: CoolOff, *, proven: bool) -> "SavedAddress":
        """Save another one. Until it counts, the one before does: who has a session only gains nothing."""
        before = self.at(now)
        if address == before.address:  # said again, it takes back what was to come
            return SavedAddress(address, proven=before.proven or proven)
        if proven and not before.proven:
            return SavedAddress(address, proven=True)
        # Else an unsigned one would be the quicker way to replace a proven one.
        wait_ms = cool_off.replacing_ms if proven else max(cool_off.unsigned_ms, cool_off.replacing_ms)
        counts_from = now + wait_ms
        if address == before.next_address:
            return replace(
                before, next_from=min(before.next_from, counts_from), next_proven=before.next_proven or proven
            )
        return replace(before, next_address=address, next_from=counts_from, next_proven=proven)

    def released(self, address: str, now: Millis) -> "SavedAddress":
        """Let the next one count at once: the address that counts signed that it gives way to it."""
        before = self.at(now)
        if not before.proven or not before.next_proven or address != before.next_address:
            raise BadInput(f"{address} does not wait for another address to give way: save it first, and sign for it.")
        return SavedAddress(address, proven=True)

    def withdrawn(self, now: Millis) -> "SavedAddress":
        """Take back what was to come."""
        before = self.at(now)
        return SavedAddress(before.address, proven=before.proven)
