"""How a lane sends, as the settings say."""

from adapters.addresses import typed
from adapters.ethereum.tokens import known_token
from machines.core.chain import Address
from machines.core.errors import BadAmount, BadInput, BadSettings
from machines.core.money import ETH, Asset, Money
from machines.transaction.caps import Cap, set_aside
from machines.transaction.data import ETHER
from machines.transaction.policy import FeePolicy, LanePolicy
from machines.transaction.ports import LaneToken
from payflow.config import CapSettings, LaneSettings
from payflow.shown import ether

ETHER_DECIMALS = 18


def address_of(lane: str, text: str) -> Address:
    """Read an address of a lane's settings."""
    try:
        return typed(text)
    except BadInput as problem:
        raise BadSettings(f"The lane {lane}: {problem}") from problem


def token_of(name: str, given: LaneSettings, code: str) -> LaneToken:
    """Find a token of a lane: as its settings say, or by its name where it is known on that chain."""
    one, known = given.tokens[code], known_token(given.chain_id, code)
    if not one.address and known is None:
        raise BadSettings(
            f"The lane {name}: where {code} is on chain {given.chain_id} is not known: say its address and decimals."
        )
    if one.address and one.decimals is None:
        raise BadSettings(f"The lane {name}: say how many decimals the contract of {code} counts.")
    address, decimals = (one.address, one.decimals or 0) if one.address or known is None else known
    if one.decimals is not None and one.decimals != decimals:
        raise BadSettings(
            f"The lane {name}: {code} has {decimals} decimals on chain {given.chain_id}, not {one.decimals}."
        )
    return LaneToken(address_of(name, address), decimals)


def policy_of(name: str, given: LaneSettings) -> LanePolicy:
    """Read how a lane sends."""
    tokens = {
        code: (Asset(code, one.ledger_decimals), token_of(name, given, code)) for code, one in given.tokens.items()
    }
    caps: dict[str, Cap] = {}
    for code, cap in given.caps.items():
        if code == ETH.code:
            caps[ETHER] = _cap(name, ETH, cap, ETHER_DECIMALS)
        elif code in tokens:
            asset, token = tokens[code]
            caps[token.address] = _cap(name, asset, cap, token.decimals)
        else:
            raise BadSettings(f"The lane {name} has a cap for {code}, and pays {', '.join((ETH.code, *tokens))}.")
    fee_cap = _cap(name, ETH, given.fee_cap, ETHER_DECIMALS) if given.fee_cap else None
    least = set_aside(0, given.max_fee_ceiling_wei)
    if fee_cap and fee_cap.most < least:
        raise BadSettings(
            f"The lane {name} has a fee_cap of {fee_cap.says}: it must allow at least {ether(least)} (21,000 gas at "
            "max_fee_ceiling_wei), so that each nonce that is signed can be closed."
        )
    return LanePolicy(
        FeePolicy(
            legacy=given.legacy,
            percentile=given.fee_percentile,
            tip_floor_wei=given.tip_floor_wei,
            tip_ceiling_wei=given.tip_ceiling_wei,
            max_fee_ceiling_wei=given.max_fee_ceiling_wei,
            gas_price_wei=given.gas_price_wei,
        ),
        depth=given.depth,
        finalized=given.finalized,
        in_flight=given.in_flight,
        bump_after_s=given.bump_after_s,
        rebroadcast_s=given.rebroadcast_s,
        batch_size=given.batch_size,
        batch_wait_s=given.batch_wait_s,
        gas_limit=given.gas_limit,
        caps=caps,
        fee_cap=fee_cap,
    )


def _cap(name: str, asset: Asset, given: CapSettings, decimals: int) -> Cap:
    """Read a cap, in units of the chain."""
    limits = {"an hour": given.hour, "a day": given.day}
    says = " and ".join(f"{most} {asset.code} {of}" for of, most in limits.items() if most is not None)
    try:
        hour, day = (
            None if most is None else Money.parse(most, asset).units * 10**decimals // 10**asset.decimals
            for most in limits.values()
        )
    except BadAmount as error:
        raise BadSettings(f"The lane {name}, its cap for {asset.code}: {error}") from error
    if not says:
        raise BadSettings(f"The lane {name}, its cap for {asset.code}: say how much, for `hour` or `day`.")
    return Cap(hour, day, says)
