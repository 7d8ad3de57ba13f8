"""What a fact means to a repository: what it is called, and who owns the wallets that are made for it. Pure.

An owner's address counts only with a signature that proves it: a wallet whose owner mistyped it freezes money.
"""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import Hand, RepositoryData, RepositoryRecord
from machines.core.clock import Millis
from machines.core.decision import Decision, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.machine import Machine

MOST_HANDS = 8
"""A wallet has room for these, the bot and a recovery owner."""


def repository() -> Machine[RepositoryData]:
    return Machine(lifecycle=s.REPOSITORY, data=RepositoryData, react=react)


def react(record: RepositoryRecord, fact: Fact, _: Millis) -> Decision[RepositoryData]:
    data = record.data
    match record.state, fact:
        case _, Override():
            return override(s.REPOSITORY, record, fact)
        case _, f.Installed():
            return _installed(record, fact)
        case state, f.Removed():
            return move("disable", "the app was taken away") if state == s.ENABLED else wait()
        case _, f.HandProven(hand):
            return _proven(record, hand)
        case _, f.HandRemoved(person, by):
            hands = tuple(one for one in data.hands if one.person != person)
            return _keep(record, replace(data, hands=hands), f"{by} takes an owner off")
        case _:
            return wait() if isinstance(fact, Nothing) else noted(f"{type(fact).__name__} means nothing here")


def _installed(record: RepositoryRecord, fact: f.Installed) -> Decision[RepositoryData]:
    data = replace(
        record.data,
        name=fact.name,
        installation=fact.installation or record.data.installation,
        private=fact.private,
    )
    if record.state == s.DISABLED:
        return move("enable", "the app is installed", data=data)
    return _keep(record, data, f"it is called {fact.name}")


def _keep(record: RepositoryRecord, data: RepositoryData, why: str) -> Decision[RepositoryData]:
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
