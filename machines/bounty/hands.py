"""Whose hands: the bot agrees to nothing that pays one of a wallet's owners before another hand has asked for it.

A wallet of several owners keeps its promise only if they are several people. The bot is one hand of two; if it agreed
to everything, whoever holds the other one would pay themselves, on the chain, whatever our page says. So the bot's own
approval waits. Where nobody else is there, the other hand is an operator, or days in which everybody can read of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from machines.bounty.data import BountyData, BountyPolicy
from machines.core.clock import Millis
from machines.core.wallets import Deposit, Holding

TWO = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hands that are missing."""

    count: int
    """How many people must ask for it, of those who may."""
    excluded: frozenset[int] = frozenset()
    """Whose word does not count as another one's: they would be paid."""


def wanted_for(data: BountyData, to: str, *, refund: bool, funder: str) -> Wanted:
    """Say how many hands must ask for a payment before the bot agrees; `funder` is the only one whose money it is."""
    owners = {hand.person for hand in data.hands if hand.address == to}
    if not refund:
        excluded = frozenset(owners | {data.winner_id})
        made_for = data.creation.owners if data.creation else ()
        pays_a_hand = data.winner_id in _people(data) or to in {*(hand.address for hand in data.hands), *made_for}
        return Wanted(1 if pays_a_hand or data.doubts else 0, excluded)
    if to == funder:
        return Wanted(0)
    named = bool(funder) and dict(data.refund_named).get(funder) == to
    return Wanted(1 if named else TWO, frozenset(owners) if named else frozenset())


def are_there(
    policy: BountyPolicy, data: BountyData, wanted: Wanted, now: Millis, maintaining: Iterable[int] | None = None
) -> bool:
    """Say whether all hands that are wanted have asked for it.

    `maintaining` are the wallet's owners who maintain the repository: None where nobody has looked yet. Only when none
    of them is left who could be the other hand, an operator is, or the days in which the comment told of it.
    """
    asked = _asked(data)
    if len(asked - wanted.excluded) >= wanted.count:
        return True
    if maintaining is None or (set(maintaining) & _people(data)) - wanted.excluded - asked:
        return False
    operators = any(not one.person for one in data.agreements if one.about == data.question)
    published = data.told_about == data.question and now >= data.told_at + policy.public_ms
    return len(asked - wanted.excluded) + (operators or published) >= wanted.count


def may_confirm(
    policy: BountyPolicy, data: BountyData, person: int, now: Millis, maintaining: Iterable[int] | None = None
) -> bool:
    """Say whether somebody may confirm: work that may be undone needs the word of another hand than theirs."""
    if data.refund_to or not data.doubts:
        return True
    return are_there(policy, data, Wanted(1, frozenset({person, data.winner_id})), now, maintaining)


def sole_funder(holdings: Sequence[Holding], deposits: Sequence[Deposit] | None) -> str:
    """Name the one account that all of what a wallet holds came from; empty where there is none, or nobody can tell."""
    if not deposits or len({one.sender for one in deposits}) != 1:
        return ""
    came_in: dict[str, int] = {}
    for one in deposits:
        came_in[one.token] = came_in.get(one.token, 0) + int(one.units)
    held = {holding.token: int(holding.units) for holding in holdings}
    return deposits[0].sender if came_in == held else ""


def _asked(data: BountyData) -> set[int]:
    """List which of the wallet's owners asked for it: who revoked it, and who agreed since."""
    asked = {one.person for one in data.agreements if one.about == data.question}
    return (asked | ({data.revoked_by_id} if data.refund_to else set())) & _people(data)


def _people(data: BountyData) -> set[int]:
    return {hand.person for hand in data.hands}
