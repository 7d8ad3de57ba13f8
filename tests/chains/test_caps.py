"""What a lane's caps hold, and what they never hold, on a real node."""

from typing import Any

import pytest

from adapters.addresses import typed
from adapters.ethereum.tokens import KNOWN
from machines.core.clock import FixedClock
from machines.core.errors import BadSettings
from machines.core.ports import Failed, Settled
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction.caps import Cap, cost_wei, set_aside
from machines.transaction.data import ETHER
from machines.transaction.policy import FeePolicy
from payflow.config import LaneSettings
from payflow.desk.lane_policy import policy_of, token_of
from tests.chain import GWEI, LANE, Anvil
from tests.lanes import Station

MILLI = 10**15
HOUR_S = 3600


async def test_what_a_cap_holds_has_no_nonce_is_told_and_goes_out_in_the_next_hour(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    """The one that no hour has room for waits for a person, and holds up nobody."""
    station.set_policy(caps={ETHER: Cap(5 * MILLI, None, "0.005 ETH an hour")})
    first, second, third = (station.payment(f"p-{number}", gwei=2_000_000) for number in (1, 2, 3))
    large = station.payment("p-large", gwei=6_000_000)
    async with station.worker():
        await station.pay(first)
        await station.until(first, s.SENDING)
        await station.pay(large)
        await station.pay(second)
        await station.until_settled([first, second])
        await station.until_waits(f"{(await station.record(large)).id} alone is more than its cap of 0.005 ETH an hour")
        await station.pay(third)
        await station.until_waits("room under its cap of 0.005 ETH an hour")
        assert (await station.lane_data()).capped
        assert any("the lane ethereum waits for room under its cap" in str(one) for one in station.told)
        assert await chain.nonce(LANE.address) == 2, "neither of those that wait has a nonce"
        clock.advance(HOUR_S)
        await station.poke()
        await station.until_settled([third])
        assert (await station.record(large)).state == s.QUEUED
    assert isinstance(await station.status(third), Settled)


async def test_the_cap_on_fees_holds_new_nonces_and_better_offers_and_never_a_cancel(
    station: Station, chain: Anvil, clock: FixedClock
) -> None:
    ceiling = 50 * GWEI
    fees = FeePolicy(max_fee_ceiling_wei=ceiling, tip_ceiling_wei=ceiling)
    least = set_aside(0, ceiling)
    station.set_policy(fees=fees, gas_limit=1_000_000, fee_cap=Cap(None, 100 * least, "much"))
    first, second = station.payment("p-1"), station.payment("p-2")
    async with station.worker():
        await station.pay(first)
        sent = await station.until_nonce(0, s.SENT)
        cost = cost_wei(sent.data)
        assert cost > least, "what it offers for gas is more than closing it takes"
        # So much is left that a next nonce has room for nothing, and a better offer of an eighth more neither.
        station.set_policy(fee_cap=Cap(None, cost + cost // 16, "little"))
        await station.tell(sent.id, f.BumpAsked("ada"))
        await station.pay(second)
        await station.until_waits("room under its cap of little for fees")
        clock.advance(HOUR_S)
        await station.settle_down()
        assert len((await station.transaction(0)).data.attempts) == 1
        assert (await station.record(second)).state == s.QUEUED

        await station.tell(sent.id, f.CancelAsked("ada", "enough"))
        await station.until_attempts(0, 2)
        await station.until_nonce(0, s.SENT)
        assert (await station.transaction(0)).data.newest.empty
        await station.until_all([first], s.FAILED)
        assert (await station.transaction(0)).state == s.DISPLACED, "its nonce is closed"
        clock.advance(24 * HOUR_S)
        station.set_policy(fee_cap=Cap(None, 2 * cost, "enough"))
        await station.poke()
        await station.until_settled([second])
    assert isinstance(await station.status(first), Failed)
    assert await chain.nonce(LANE.address) == 2


TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def settings(**more: object) -> LaneSettings:
    """What an operator writes of a lane."""
    usdx = {"address": TOKEN, "decimals": 18, "ledger_decimals": 6}
    return LaneSettings.model_validate({"rpc": ["http://node"], "chain_id": 1, "tokens": {"USDX": usdx}, **more})


def test_caps_are_read_in_the_units_of_the_chain() -> None:
    caps = {"ETH": {"hour": "2", "day": "10.5"}, "USDX": {"day": "0.5"}}
    policy = policy_of("hot", settings(caps=caps, fee_cap={"day": "0.1"}))
    assert policy.caps == {
        ETHER: Cap(2 * 10**18, 105 * 10**17, "2 ETH an hour and 10.5 ETH a day"),
        TOKEN: Cap(None, 5 * 10**17, "0.5 USDX a day"),
    }
    assert policy.fee_cap == Cap(None, 10**17, "0.1 ETH a day")
    assert policy_of("hot", settings()).caps == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"caps": {"DAI": {"day": "1"}}}, "The lane hot has a cap for DAI, and pays ETH, USDX."),
        ({"caps": {"ETH": {}}}, "The lane hot, its cap for ETH: say how much, for `hour` or `day`."),
        ({"caps": {"ETH": {"day": "much"}}}, "The lane hot, its cap for ETH: 'much' is not an amount"),
        ({"fee_cap": {"day": "0.001"}}, "it must allow at least 0.0063 "),
    ],
)
def test_a_cap_that_means_nothing_is_a_setting_to_mend(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        policy_of("hot", settings(**given))
    assert said in str(refused.value)


@pytest.mark.parametrize("chain_id", KNOWN)
def test_usdc_and_usdt_need_no_address_where_they_are_known(chain_id: int) -> None:
    for code, (address, decimals) in KNOWN[chain_id].items():
        given = settings(chain_id=chain_id, tokens={code: {}})
        found = token_of("hot", given, code)
        assert (found.address.lower(), found.decimals) == (address, decimals)
        assert found.address == typed(found.address), "with the checksum of its letters"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"XYZ": {}}, "say its address and decimals"),
        ({"USDC": {"address": "0x" + "1" * 40}}, "say how many decimals"),
        ({"USDC": {"decimals": 18}}, "has 6 decimals on chain 1, not 18"),
    ],
)
def test_a_token_of_which_too_little_is_known_is_refused_at_the_start(token: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        policy_of("hot", settings(chain_id=1, tokens=token))


def test_a_token_that_says_its_own_contract_is_that_one() -> None:
    own = settings(chain_id=1, tokens={"USDC": {"address": "0x" + "1" * 40, "decimals": 3}})
    assert token_of("hot", own, "USDC").decimals == 3
