"""A gateway that is set up: the rail that pays, what may be asked before, how its webhooks prove themselves."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from machines.core.money import Money
from machines.core.ports import Lists, Notice, Rail
from payflow.desk.payouts import Gateway

Probe = Callable[[], Awaitable[None]]
"""Asks something cheap behind the same credentials; raises `RailClosed` while nobody of ours may pass."""

Wallet = Callable[[], Awaitable[Sequence[Money]]]
"""Asks a rail what its wallets hold."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """How one gateway's webhooks are told from forged ones, and read."""

    source: str
    paths: tuple[str, ...]
    """Where they arrive."""
    genuine: Callable[[Mapping[str, str], bytes], bool]
    """Compares in constant time what a delivery shows with what the gateway alone can know."""
    read: Callable[[bytes], Notice | None]
    """Gives what it speaks of, None when that is no transfer; raises `BadInput` for what cannot be read."""


@dataclass(frozen=True, slots=True)
class GatewaySetup:
    """One gateway that is set up."""

    rail: Rail
    gateway: Gateway
    hooks: Hooks | None = None
    """None where no secret for webhooks is set: then payouts are finished by polling."""
    lists: Lists | None = None
    """What tells all that was done, after the store lost writes; None where nobody can tell."""
    wallet: Wallet | None = None
    """Tells what is left to pay from; None where the gateway does not say."""
    probe: Probe | None = None
    """Asks whether we are let in; None where only people open what closed itself."""
    watching: Rail | None = None
    """The same rail for what is over, whose calls have a share of their own; None where it counts no calls."""
    asking: Rail | None = None
    """The same rail for a person who waits for the answer; None as above."""
