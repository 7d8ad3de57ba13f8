"""A repository with bounties: what it is called, and who owns the wallets that are made for it.

An owner's address counts only with a signature that proves it: a wallet whose owner mistyped his address freezes money.
"""

from dataclasses import dataclass, replace

from machines.bounty.data import Hand, owner_of_repository
from machines.bounty.lifecycle import DISABLED, ENABLED, REPOSITORY
from machines.core.clock import Millis
from machines.core.decision import Decision, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.ids import RecordId, derived_id, shard_for
from machines.core.machine import Machine
from machines.core.record import Record

MACHINE = "repository"
MOST_HANDS = 8
"""A wallet has room for these, the bot and a recovery owner."""


@dataclass(frozen=True, slots=True)
class RepositoryData:
    """What is known of a repository."""

    number: int
    """The forge's own, which stays."""
    name: str
    installation: int
    hands: tuple[Hand, ...] = ()
    """Maintainers who proved an address."""
    private: bool = False
    """Whether what it is about is nobody else's business."""


RepositoryRecord = Record[RepositoryData]


@dataclass(frozen=True, slots=True)
class Installed(Fact):
    """The app is installed in it, and this is what it is called."""

    name: str
    installation: int
    private: bool = False


@dataclass(frozen=True, slots=True)
class Removed(Fact):
    """The app was taken away."""


@dataclass(frozen=True, slots=True)
class HandProven(Fact):
    """A maintainer proved by a signature that an address is his."""

    hand: Hand
    message: str
    signature: str


@dataclass(frozen=True, slots=True)
class HandRemoved(Fact):
    """Somebody shall own no more wallets; those that are made keep their owners."""

    person: int
    by: str


def repository_id(number: int, shards: int) -> RecordId:
    """Give the one id of a repository."""
    return derived_id(MACHINE, shard_for(owner_of_repository(number), shards), str(number))


def repository() -> Machine[RepositoryData]:
    """Make the machine."""
    return Machine(REPOSITORY, RepositoryData, (Installed, Removed, HandProven, HandRemoved), react)


def react(record: RepositoryRecord, fact: Fact, _: Millis) -> Decision[RepositoryData]:
    """Decide what a fact means to a repository."""
    data = record.data
    match record.state, fact:
        case _, Override():
            return override(REPOSITORY, record, fact)
        case _, Installed():
            return _installed(record, fact)
        case state, Removed():
            return move("disable", "the app was taken away") if state == ENABLED else wait()
        case _, HandProven(hand):
            return _proven(record, hand)
        case _, HandRemoved(person, by):
            hands = tuple(one for one in data.hands if one.person != person)
            return _kept(record, replace(data, hands=hands), f"{by} takes an owner off")
        case _:
            return wait() if isinstance(fact, Nothing) else noted(f"{type(fact).__name__} means nothing here")


def _installed(record: RepositoryRecord, fact: Installed) -> Decision[RepositoryData]:
    installation = fact.installation or record.data.installation
    data = replace(record.data, name=fact.name, installation=installation, private=fact.private)
    if record.state == DISABLED:
        return move("enable", "the app is installed", data=data)
    return _kept(record, data, f"it is called {fact.name}")


def _kept(record: RepositoryRecord, data: RepositoryData, why: str) -> Decision[RepositoryData]:
    return keep(why, data=data) if data != record.data else wait()


def _proven(record: RepositoryRecord, hand: Hand) -> Decision[RepositoryData]:
    """Take an owner on; everybody has one address, and no address two people."""
    data = record.data
    others = tuple(one for one in data.hands if one.person != hand.person)
    if any(one.address == hand.address for one in others):
        raise BadInput("That address is another owner's: two hands must be two people's.")
    if len(others) >= MOST_HANDS:
        raise BadInput(f"{data.name} has {MOST_HANDS} owners already.")
    hands = (*others, hand)
    return (
        keep(f"{hand.login} proved {hand.address}", data=replace(data, hands=hands)) if hands != data.hands else wait()
    )
