"""What operators grant to platforms: how much one may credit in a day, and up to where its word counts."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.clock import DAY, SECOND
from machines.core.errors import NotFound, OverDailyLimit
from machines.core.money import Asset, Money
from payflow.desk.person import Person
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """One platform, as operators see it."""

    name: str
    daily: tuple[Money, ...]
    used: tuple[Money, ...]
    verified: tuple[Money, ...]


async def platforms(store: Store) -> list[PlatformLimits]:
    """List every platform that has a token or a grant."""
    tokens = {token.of for token in await Tokens(store.link).all() if token.role is Role.PLATFORM}
    return [await _limits(store, name) for name in sorted(tokens | set(await store.platforms.with_grants()))]


async def platform(store: Store, name: str) -> PlatformLimits:
    """Show one platform."""
    for one in await platforms(store):
        if one.name == name:
            return one
    raise NotFound(f"There is no platform {name[:64]}: `payflow platform ls` names them.")


async def grant(
    store: Store, name: str, daily: Mapping[Asset, Money | None], verified: Mapping[Asset, Money | None], by: Person
) -> PlatformLimits:
    """Set limits of a platform, asset by asset; None takes one away. What is not named stays."""
    by.refuse_unless({Role.OPERATOR})
    await platform(store, name)
    before = await store.platforms.granted(name)
    after = PlatformGrant(_changed(before.daily, daily), _changed(before.verified, verified))
    says = [f"daily {limit or f'of {asset.code} without limit'}" for asset, limit in daily.items()]
    says += [f"verified up to {limit or f'any {asset.code}'}" for asset, limit in verified.items()]
    async with store.audit.doing(by.name, "grant platform", name, "; ".join(says)):
        await store.platforms.grant(name, after)
    return await _limits(store, name)


async def reserve_earning(store: Store, platform_name: str, earning: str, amount: Money) -> None:
    """Take an earning that is not booked yet off the platform's day; raise where too little of the day is left."""
    most = (await store.platforms.granted(platform_name)).daily.get(amount.asset.code)
    if most is None:
        return
    now = await store.records.now()
    if not await store.platforms.reserve(platform_name, earning, amount, most, now):
        used = Money(await store.platforms.used(platform_name, amount.asset.code, now), amount.asset)
        raise OverDailyLimit(
            f"{platform_name} may credit {Money(most, amount.asset)} in a day, and credited {used} today: "
            "an operator may grant more, or send it again tomorrow (UTC).",
            after_s=1 + (DAY - now % DAY) // SECOND,
        )


async def counts_as_verified(store: Store, platform_name: str, amount: Money, asked_before: int) -> bool:
    """Tell whether the word of a platform is enough for so much, after what was asked for in the last 24 hours."""
    most = (await store.platforms.granted(platform_name)).verified.get(amount.asset.code)
    return most is None or asked_before + amount.units <= most


def _changed(before: Mapping[str, int], changes: Mapping[Asset, Money | None]) -> Mapping[str, int]:
    after = dict(before)
    for asset, limit in changes.items():
        if limit is None:
            after.pop(asset.code, None)
        else:
            after[asset.code] = limit.units
    return after


async def _limits(store: Store, name: str) -> PlatformLimits:
    found, now, assets = await store.platforms.granted(name), await store.records.now(), store.records.assets

    def amounts(units: Mapping[str, int]) -> tuple[Money, ...]:
        return tuple(Money(number, assets[code]) for code, number in units.items())

    used = {code: await store.platforms.used(name, code, now) for code in found.daily}
    return PlatformLimits(name, amounts(found.daily), amounts(used), amounts(found.verified))
