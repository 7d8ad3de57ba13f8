"""Those outside: asked on demand, without moving money, whether they would do what we need of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from machines.core.clock import Millis
from machines.core.errors import PayflowError
from payflow.shown import utc
from payflow.store import keys
from payflow.store.store import Store
from payflow.telemetry.health import Check, Level, fail, first_of, ok

ANSWER_S = 45.0
"""How long one is waited for: a gateway's client asks three times."""


class Outsider(NamedTuple):
    """Somebody outside."""

    name: str
    ask: Callable[[], Awaitable[str]]
    """Asks, and says what is the case; raises `PayflowError` with what is to be done where something is wrong."""


class AskedOutside(msgspec.Struct):
    """What they said when they were asked last."""

    at: Millis
    failed: dict[str, str]


async def ask_all(store: Store, outsiders: Sequence[Outsider]) -> list[Check]:
    """Ask all of them at once, and keep what was wrong for whoever asks whether we are ready."""
    checks = list(await asyncio.gather(*map(_ask, outsiders)))
    failed = {check.name: check.finding for check in checks if check.level is Level.FAIL}
    said = AskedOutside(await store.records.now(), failed)
    await store.link.ask("SET", keys.LIVE, msgspec.json.encode(said))
    return checks


async def _ask(outsider: Outsider) -> Check:
    try:
        async with asyncio.timeout(ANSWER_S):
            return ok(outsider.name, await outsider.ask())
    except PayflowError as error:
        return fail(outsider.name, str(error))
    except TimeoutError:
        return fail(outsider.name, f"No answer within {ANSWER_S:.0f} s.")


async def _asked_last(store: Store) -> AskedOutside | None:
    raw = await store.link.ask("GET", keys.LIVE)
    return None if raw is None else msgspec.json.decode(raw, type=AskedOutside)


async def failed_last(store: Store) -> dict[str, str]:
    """Say who was not as they should be when they were asked last, and what was wrong."""
    said = await _asked_last(store)
    return said.failed if said else {}


async def as_asked_last(store: Store) -> Check:
    """Tell what was found when they were asked last. It stops nobody's work: what they say then is found out then."""
    said = await _asked_last(store)
    if said is None:
        return ok("asked outside", "Nobody outside was asked yet: `payflow doctor --live` does.")
    when = f"when they were asked at {utc(said.at)}"
    return first_of(
        "asked outside",
        (
            said.failed,
            Level.WARN,
            f"{', '.join(said.failed)}: not as it should be {when}. `payflow doctor --live` asks again, and says what.",
        ),
        (True, Level.OK, f"All outside were as they should be {when}."),
    )
