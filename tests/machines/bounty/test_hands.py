"""Whose hands must ask before the bot agrees: every payee, every funder, every number of owners, each word and none.

1. Nothing is agreed to that pays an owner of the wallet, before another one has asked for it.
2. A refund goes back where it came from, or where that account signed for, or where two owners say.
3. An operator, or days in public, stand in for another owner only where there is no other one.
"""

from dataclasses import replace
from itertools import product

import pytest

from machines.bounty import lifecycle as s
from machines.bounty.data import Agreement, BountyData, Doubt, Hand
from machines.bounty.hands import Wanted, are_there, may_confirm, sole_funder, wanted_for
from machines.core.clock import DAY, Millis
from machines.core.wallets import ETHER, Deposit, Holding
from tests.machines.bounty.scenes import ANNS, BOBS, ETHERS, NOW, POLICY, bounty, pull

MIA, BOB, ANN = 1, 2, pull().author_id
MIAS = "0x7777777777777777777777777777777777777777"
FUNDERS, ELSEWHERE = "0x8888888888888888888888888888888888888888", "0x9999999999999999999999999999999999999999"
OWNERS = {1: (Hand(MIA, "mia", MIAS),), 2: (Hand(MIA, "mia", MIAS), Hand(BOB, "bob", BOBS))}


def won_by(person: int, hands: int = 1, **parts: object) -> BountyData:
    """A bounty that somebody wins, with so many owners beside the bot."""
    return replace(bounty(s.MERGED).data, winner_id=person, hands=OWNERS[hands], creation=None, **parts)  # type: ignore[arg-type]


def agreed(data: BountyData, *people: int) -> BountyData:
    """The same with words about the very question."""
    return replace(data, agreements=tuple(Agreement(one, str(one), data.question) for one in people))


def there(data: BountyData, to: str = ANNS, *, refund: bool = False, funder: str = "", now: int = NOW) -> bool:
    """Whether the bot may agree, where every owner still maintains the repository."""
    wanted = wanted_for(data, to, refund=refund, funder=funder)
    return are_there(POLICY, data, wanted, Millis(now), [hand.person for hand in data.hands])


def test_whoever_owns_no_wallet_is_paid_as_ever() -> None:
    assert there(won_by(ANN))
    assert there(won_by(ANN, hands=2))


@pytest.mark.parametrize(("winner", "to"), [(MIA, ANNS), (MIA, MIAS), (ANN, MIAS)])
def test_an_owner_is_paid_only_when_another_one_has_asked_for_it(winner: int, to: str) -> None:
    """Whether the owner's account won, or somebody else's who is paid at the owner's address."""
    both = won_by(winner, hands=2)
    assert not there(both, to)
    assert not there(agreed(both, MIA), to), "their own word is no other one's"
    assert not there(agreed(both, 0), to), "there is another owner, so no operator will do"
    assert there(agreed(both, BOB), to)


def test_where_there_is_one_owner_an_operator_or_public_days_are_the_other_hand() -> None:
    data = won_by(MIA)
    assert not there(data, MIAS)
    assert there(agreed(data, 0), MIAS)
    told = replace(data, told_about=data.question, told_at=NOW)
    assert not there(told, MIAS, now=NOW + 7 * DAY - 1)
    assert there(told, MIAS, now=NOW + 7 * DAY)
    assert not there(replace(told, told_about="pull 1"), MIAS, now=NOW + 9 * DAY), "that was told of something else"
    both = replace(told, hands=OWNERS[2])
    assert not there(both, MIAS, now=NOW + 9 * DAY), "another owner is there to be asked"


def test_an_owner_who_maintains_the_repository_no_more_is_not_waited_for() -> None:
    data = agreed(won_by(MIA, hands=2), 0)
    wanted = wanted_for(data, MIAS, refund=False, funder="")
    assert not are_there(POLICY, data, wanted, NOW, None), "nobody has looked who is left"
    assert are_there(POLICY, data, wanted, NOW, [MIA])


def test_a_word_about_something_else_is_no_word_about_this() -> None:
    data = agreed(won_by(MIA, hands=2), BOB)
    for changed in (
        replace(data, winner_pull=9),
        replace(data, reopened_at=NOW + 10_000),
        replace(data, reverted=(pull().number,)),
        replace(data, refund_to=MIAS),
    ):
        assert not there(changed, MIAS, refund=bool(changed.refund_to))


def test_work_that_may_be_undone_is_paid_only_when_an_owner_says_so() -> None:
    for data in (won_by(ANN, reopened_at=NOW + 10_000), won_by(ANN, reverted=(pull().number,))):
        assert not there(data)
        assert not there(agreed(data, ANN))
        assert there(agreed(data, MIA))


def test_who_confirms_work_that_may_be_undone_is_not_who_says_that_it_is_paid() -> None:
    data = won_by(ANN, hands=2, reopened_at=NOW + 10_000)
    people = [MIA, BOB]
    assert not may_confirm(POLICY, data, MIA, NOW, people)
    assert not may_confirm(POLICY, agreed(data, MIA), MIA, NOW, people)
    assert may_confirm(POLICY, agreed(data, BOB), MIA, NOW, people)
    assert may_confirm(POLICY, replace(data, reopened_at=0), MIA, NOW)
    alone = agreed(replace(data, hands=OWNERS[1]), 0)
    assert may_confirm(POLICY, alone, MIA, NOW, [MIA])
    assert may_confirm(POLICY, replace(data, refund_to=FUNDERS), MIA, NOW), "a refund pays nobody for work"


REFUNDS = tuple(product((1, 2), (FUNDERS, ELSEWHERE, MIAS), ("", FUNDERS), (True, False), ((), (MIA,), (BOB,), (0,))))


@pytest.mark.parametrize(("owners", "to", "funder", "named", "words"), REFUNDS)
def test_a_refund_goes_where_it_came_from_or_where_two_say(
    owners: int, to: str, funder: str, *, named: bool, words: tuple[int, ...]
) -> None:
    """Mia revokes it; every address, with and without a known funder, who named it or not, with every further word."""
    data = replace(
        won_by(0, owners),
        winner_pull=0,
        refund_to=to,
        revoked_by="mia",
        revoked_by_id=MIA,
        refund_named=((FUNDERS, to),) if named else (),
    )
    data = agreed(data, *(one for one in words if one in (0, *(hand.person for hand in data.hands))))
    others = {one.person for one in data.agreements} & {BOB}
    operator = any(not one.person for one in data.agreements)
    second = bool(others) or (operator and owners == 1)
    if funder and to == funder:
        expected = True
    elif funder and named:
        expected = to != MIAS or second
    else:
        expected = second
    assert there(data, to, refund=True, funder=funder) == expected


def test_a_hand_that_owns_no_wallet_counts_for_nothing() -> None:
    """A maintainer who was made one afterwards is no other hand: who rules the repository makes as many as wanted."""
    data = replace(won_by(0), winner_pull=0, refund_to=ELSEWHERE, revoked_by="pal", revoked_by_id=77)
    assert not there(agreed(data, MIA), ELSEWHERE, refund=True)
    assert not there(agreed(won_by(MIA), 77), MIAS)


def test_whose_money_it_is_where_it_can_be_told() -> None:
    """One account, all of it, and nothing besides."""
    ether = ETHERS[0].units
    one = Deposit(FUNDERS, ETHER, ether)
    token = Holding("0xt", "USDX", 6, "5")
    assert sole_funder(ETHERS, [one]) == FUNDERS
    assert sole_funder(ETHERS, [replace(one, units=str(int(ether) - 1)), replace(one, units="1")]) == FUNDERS
    assert sole_funder((*ETHERS, token), [one, Deposit(FUNDERS, "0xt", "5")]) == FUNDERS
    for deposits in (
        None,
        [],
        [one, Deposit(MIAS, ETHER, "1")],
        [replace(one, units="1")],
        [one, one],
        [one, Deposit(MIAS, "0xt", "5")],
        [Deposit(FUNDERS, "0xt", ether)],
    ):
        assert sole_funder(ETHERS, deposits) == ""
    assert sole_funder((*ETHERS, token), [one]) == ""


def test_what_is_wanted_is_wanted_of_somebody() -> None:
    """Nothing at all is there at once; a doubt is a doubt of its own."""
    assert are_there(POLICY, won_by(ANN), Wanted(0), NOW)
    assert won_by(ANN, reopened_at=NOW + 10_000, reverted=(pull().number,)).doubts == (
        Doubt.REOPENED,
        Doubt.REVERTED,
    )
    assert won_by(ANN, reopened_at=NOW, reverted=(77,)).doubts == ()
