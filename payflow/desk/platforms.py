"""What operators grant to platforms: how much one may credit in a day, and up to where its word counts."""

from collections.abc import Mapping
from dataclasses import dataclass

from machines.core.clock import DAY, SECOND
from machines.core.errors import BadInput, NotFound, OverDailyLimit
from machines.core.ids import ROOM, Owner, in_room, owner_of, room_of
from machines.core.money import Asset, Money
from payflow.desk.person import Person
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store

UNLIMITED = 10**30


@dataclass(frozen=True, slots=True)
class PlatformLimits:
    """One platform, as operators see it."""

    name: str
    daily: tuple[Money, ...]
    used: tuple[Money, ...]
    verified: tuple[Money, ...]


async def names(store: Store) -> list[str]:
    """Name every platform that ever had a token, or has a grant."""
    tokens = {token.of for token in await Tokens(store.link).all() if token.role is Role.PLATFORM}
    return sorted(tokens | set(await store.platforms.with_grants()))


async def platforms(store: Store) -> list[PlatformLimits]:
    """List every platform that has a token or a grant."""
    return [await _limits(store, name) for name in await names(store)]


async def refuse_unknown(store: Store, platform: str) -> None:
    """Raise where no platform ever had a name: whoever mistypes one would make a room that nobody comes into."""
    if platform not in await names(store):
        raise BadInput(f"No platform {platform[:64]!r} ever had a token: `payflow token create` makes one.")


# ── whom platforms speak for ──────────────────────────────────────────────────────────────────────────────────────────


async def meant(store: Store, asked: str, platform: str) -> Profile:
    """Find whom a platform means by a name, as far as they are known: never one that Payflow names itself.

    That is the one in its room; or, as long as nobody is in it by that name, one who was there before there were rooms,
    and is this platform's or was credited by it. Once somebody is in the room, that is whom it means.
    """
    if ROOM in asked:
        raise BadInput(f"{asked[:60]!r} is no name of a provider: {ROOM} stands in none. Send what you call them.")
    bare = owner_of(asked)
    store.profiles.refuse_reserved(bare)
    mine, before = await store.profiles.read(in_room(platform, bare)), await store.profiles.read(bare)
    if mine.version or not before.version:
        return mine
    theirs = before.platform == platform or (not before.platform and await _credited(store, before.owner, platform))
    return before if theirs else mine


async def _credited(store: Store, owner: Owner, platform: str) -> bool:
    """Whether a platform ever credited one for whom no platform speaks."""
    async for entry in store.earnings.entries(owner):
        if entry.id.startswith(f"{platform}/"):
            return True
    return False


async def owners_called(store: Store, name: str) -> list[Owner]:
    """List the owners who are there under a name: as a whole one, and in the room of each platform."""
    asked = owner_of(name)
    rooms = [] if room_of(asked) else [in_room(one, asked) for one in await names(store)]
    return [one for one in (asked, *rooms) if await _is_there(store, one)]


async def known_owner(store: Store, name: str) -> Owner:
    """Find an owner as staff write one; raise where nobody is there by that name."""
    owner = await find_owner(store, name)
    if not await owners_called(store, owner) and owner not in store.profiles.reserved:
        raise NotFound(f"Nobody is called {owner} yet: say which platform calls them so, with --platform.")
    return owner


async def find_owner(store: Store, name: str) -> Owner:
    """Read an owner as staff write one: whole, or as the platform says where nobody else is called so."""
    asked, found = owner_of(name), await owners_called(store, name)
    if asked in found or not found:
        return asked
    if len(found) > 1:
        raise BadInput(f"More than one platform has somebody called {asked}: there is {', '.join(found)}.")
    return found[0]


async def tokens_of_nobody(store: Store) -> list[str]:
    """Name the tokens of providers of whom nobody has heard: no platform credits them, because they are in no room."""
    reserved, found = store.profiles.reserved, []
    for one in await Tokens(store.link).in_use():
        outside = one.role is Role.PROVIDER and not room_of(one.of) and one.of not in reserved
        if outside and not await _is_there(store, Owner(one.of)):
            found.append(one.name)
    return sorted(found)


async def _is_there(store: Store, owner: Owner) -> bool:
    if (await store.profiles.read(owner)).version:
        return True
    return bool(await store.ledger.account(owner) or await store.listing.owned_by(owner, 1))


# ── what they may credit ──────────────────────────────────────────────────────────────────────────────────────────────


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
    # Without a limit it is counted all the same: one that is set later in the day is for all of it.
    most = (await store.platforms.granted(platform_name)).daily.get(amount.asset.code, UNLIMITED)
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

    # What is granted at first names all currencies of the table, also where no books are kept in them.
    known = {asset.code: asset for asset in assets}

    def amounts(units: Mapping[str, int]) -> tuple[Money, ...]:
        return tuple(Money(number, known[code]) for code, number in units.items() if code in known)

    used = {code: await store.platforms.used(name, code, now) for code in found.daily}
    return PlatformLimits(name, amounts(found.daily), amounts(used), amounts(found.verified))
