"""What a lane offers: enough to be mined, never above its ceilings, and always enough more to replace itself."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.core.chain import GasFee, Market
from machines.transaction.policy import GWEI, FeePolicy, bumped, offered

MARKET = Market(base_fee_wei=10 * GWEI, tip_wei=2 * GWEI, gas_price_wei=12 * GWEI)
CLASSIC = Market(base_fee_wei=None, tip_wei=0, gas_price_wei=5 * GWEI)
POLICY = FeePolicy()
LEGACY = FeePolicy(legacy=True)

wei = st.integers(0, 400 * GWEI)
markets = st.builds(Market, st.none() | wei, wei, wei)
policies = st.builds(
    FeePolicy,
    legacy=st.booleans(),
    tip_floor_wei=st.integers(0, 3 * GWEI),
    tip_ceiling_wei=st.integers(3 * GWEI, 30 * GWEI),
    max_fee_ceiling_wei=st.integers(GWEI, 300 * GWEI),
    gas_price_wei=st.none() | wei,
)


def test_an_offer_leaves_room_for_a_growing_base_fee() -> None:
    assert offered(MARKET, POLICY) == GasFee(22 * GWEI, 2 * GWEI)


def test_a_tip_has_a_floor_and_a_ceiling() -> None:
    assert offered(Market(GWEI, 0, GWEI), POLICY).tip_wei == POLICY.tip_floor_wei
    assert offered(Market(GWEI, 10**15, GWEI), POLICY).tip_wei == POLICY.tip_ceiling_wei


def test_no_offer_is_above_the_ceiling() -> None:
    policy = FeePolicy(max_fee_ceiling_wei=15 * GWEI)
    assert offered(MARKET, policy) == GasFee(15 * GWEI, 2 * GWEI)
    assert offered(Market(100 * GWEI, 20 * GWEI, GWEI), policy) == GasFee(15 * GWEI, 15 * GWEI)


def test_a_chain_without_base_fee_gets_legacy_offers() -> None:
    assert offered(CLASSIC, POLICY) == GasFee(5 * GWEI)
    assert offered(MARKET, LEGACY) == GasFee(12 * GWEI)


def test_a_fixed_price_is_offered_as_it_is() -> None:
    assert offered(CLASSIC, FeePolicy(gas_price_wei=50 * GWEI)) == GasFee(50 * GWEI)


def test_a_bump_raises_both_parts_by_an_eighth_rounded_up() -> None:
    calm = Market(GWEI, GWEI, GWEI)
    assert bumped([GasFee(80, 8)], Market(0, 0, 0), FeePolicy(tip_floor_wei=0)) == GasFee(90, 9)
    assert bumped([GasFee(81, 9)], Market(0, 0, 0), FeePolicy(tip_floor_wei=0)) == GasFee(92, 11)
    assert bumped([GasFee(22 * GWEI, 2 * GWEI)], calm, POLICY) == GasFee(24_750_000_000, 2_250_000_000)


def test_a_bump_goes_to_the_market_when_that_is_higher() -> None:
    assert bumped([GasFee(2 * GWEI, GWEI)], MARKET, POLICY) == GasFee(22 * GWEI, 2 * GWEI)


def test_a_bump_is_above_the_highest_of_all_attempts() -> None:
    previous = [GasFee(40 * GWEI, GWEI), GasFee(20 * GWEI, 4 * GWEI)]
    assert bumped(previous, MARKET, POLICY) == GasFee(45 * GWEI, 4_500_000_000)


@pytest.mark.parametrize("policy", [FeePolicy(max_fee_ceiling_wei=24 * GWEI), FeePolicy(tip_ceiling_wei=2 * GWEI)])
def test_a_ceiling_that_forbids_a_bump_makes_none(policy: FeePolicy) -> None:
    assert bumped([GasFee(22 * GWEI, 2 * GWEI)], MARKET, policy) is None


def test_a_legacy_attempt_is_bumped_as_legacy() -> None:
    assert bumped([GasFee(8 * GWEI)], CLASSIC, POLICY) == GasFee(9 * GWEI)
    assert bumped([GasFee(8 * GWEI)], MARKET, LEGACY) == GasFee(12 * GWEI)


def test_nothing_before_is_a_first_offer() -> None:
    assert bumped([], MARKET, POLICY) == offered(MARKET, POLICY)


@given(market=markets, policy=policies)
def test_offers_are_within_their_ceilings(market: Market, policy: FeePolicy) -> None:
    fee = offered(market, policy)
    assert fee.max_wei <= policy.max_fee_ceiling_wei
    assert fee.tip_wei is None or fee.tip_wei <= fee.max_wei


@given(market=markets, policy=policies, first=markets)
def test_bumps_replace_each_other_until_a_ceiling_is_met(market: Market, policy: FeePolicy, first: Market) -> None:
    attempts = [offered(first, policy)]
    eighth = Fraction(9, 8)
    for _ in range(60):
        fee = bumped(attempts, market, policy)
        if fee is None:
            break
        assert fee.max_wei <= policy.max_fee_ceiling_wei
        for before in attempts:
            assert fee.max_wei >= before.max_wei * eighth
            assert fee.max_wei > before.max_wei
            if fee.tip_wei is not None:
                tip = before.max_wei if before.tip_wei is None else before.tip_wei
                assert fee.tip_wei >= tip * eighth
                assert fee.tip_wei <= fee.max_wei
        attempts.append(fee)
