"""What platforms do with their endpoints: make them, change them, take a new secret, look at the log, and replay.

An endpoint of the settings is shown with the others, and changed there alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.notify.platforms import check_address, signer
from adapters.public import LOOPBACK, Network
from machines.core.clock import HOUR, MINUTE, SECOND, Millis
from machines.core.errors import BadInput, BadSettings, Conflict, NotAllowed, NotFound, TooSoon
from payflow.config import Settings
from payflow.desk.person import Caller
from payflow.desk.webhooks.deliveries import endpoints_of
from payflow.desk.webhooks.events import KINDS
from payflow.store.outbox import Post
from payflow.store.registers.tokens import Role
from payflow.store.registers.webhook_endpoints import SigningSecret, WebhookEndpoint, new_name, new_secret, platform_of
from payflow.store.registers.webhook_log import DeliveryAttempt
from payflow.store.store import Store

MANAGES = frozenset({Role.PLATFORM})
STEERS = MANAGES | {Role.OPERATOR}
MOST_ENDPOINTS = 10
"""So many a platform may have: each of its events goes to all of them."""
MOST_OVERLAP_MS = 7 * 24 * HOUR
LONGEST_NOTE = 200
REPLAYS_A_SECOND = 6 / (MINUTE // SECOND)
MOST_GIVEN_UP = 10_000
SETTING = "PAYFLOW_PLATFORM_WEBHOOKS"
IN_THE_SETTINGS = "settings"
"""What the name of an endpoint of the settings ends with, and who made it."""


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is said of an endpoint; None leaves a part as it is."""

    url: str | None = None
    events: Collection[str] | None = None
    enabled: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointMade:
    """An endpoint, and the secret that is shown this once."""

    endpoint: WebhookEndpoint
    secret: str


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """An attempt as the log has it."""

    place: str
    """From before which the log goes on."""
    attempt: DeliveryAttempt


def networks_of(settings: Settings) -> tuple[Network, ...]:
    """Name the networks that webhooks may go to though they are not public."""
    return (*settings.webhook_networks, *(LOOPBACK if settings.webhooks_to_loopback else ()))


def fixed_endpoints(settings: Settings) -> Mapping[str, WebhookEndpoint]:
    """Read the endpoints that the settings name, by their names; raise where one cannot be used."""
    found = {}
    for platform, given in settings.platform_webhooks.items():
        if set(given) != {"url", "secret"}:
            raise BadSettings(f"{SETTING}: {platform} needs a url and a secret, and nothing else.")
        try:
            check_address(given["url"], networks_of(settings), loopback=settings.webhooks_to_loopback)
            secrets = tuple(SigningSecret(one.strip()) for one in given["secret"].split(","))
            for one in secrets:
                signer(one.text)
        except BadInput as error:
            raise BadSettings(f"{SETTING}: {platform}: {error}") from error
        name = f"{platform}.{IN_THE_SETTINGS}"
        found[name] = WebhookEndpoint(name, given["url"], secrets, IN_THE_SETTINGS, Millis(0))
    return found


class PlatformEndpoints:
    """The endpoints of all platforms."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fixed = fixed_endpoints(store.settings)

    # ── looked at ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def seen_by(self, caller: Caller) -> list[WebhookEndpoint]:
        """List the endpoints that a caller may see: a platform its own, who works here all."""
        if caller.role is Role.PLATFORM:
            return await endpoints_of(self._store, self._fixed, caller.of)
        platforms = {one.platform for one in self._fixed.values()} | set(
            await self._store.webhook_endpoints.platforms()
        )
        return [one for name in sorted(platforms) for one in await endpoints_of(self._store, self._fixed, name)]

    async def find(self, caller: Caller, name: str) -> WebhookEndpoint:
        """Find an endpoint that a caller may see."""
        found = None
        if caller.role is not Role.PLATFORM or platform_of(name) == caller.of:
            found = self._fixed.get(name) or await self._store.webhook_endpoints.find(name)
        if found is None:
            raise NotFound(f"There is no webhook endpoint {name[:100]}.")
        return found

    async def log(self, caller: Caller, name: str, limit: int, before: str = "") -> list[LoggedAttempt]:
        """List what was sent to an endpoint, the newest attempt first, from before a place on."""
        one = await self.find(caller, name)
        return [LoggedAttempt(*found) for found in await self._store.webhook_log.newest(one.name, limit, before)]

    # ── made and changed ─────────────────────────────────────────────────────────────────────────────────────────────

    async def make(self, caller: Caller, url: str, change: EndpointChange) -> EndpointMade:
        """Make an endpoint of the caller's platform."""
        caller.person.refuse_unless(MANAGES)
        there = await self._store.webhook_endpoints.of(caller.of)
        if len(there) >= MOST_ENDPOINTS:
            raise Conflict(f"{caller.of} has {len(there)} endpoints, and may have no more: take one away first.")
        secret, now = new_secret(), await self._store.records.now()
        fresh = WebhookEndpoint(new_name(caller.of), url, (SigningSecret(secret),), caller.who, now)
        wish = self._changed(fresh, replace(change, url=url))
        async with self._store.audit.doing(caller.who, "make webhook endpoint", wish.name, _says(wish)):
            return EndpointMade(await self._store.webhook_endpoints.write(wish), secret)

    async def change(self, caller: Caller, name: str, change: EndpointChange) -> WebhookEndpoint:
        """Change where an endpoint listens, for what, and whether; who operates here switches it on or off."""
        before = await self._own(caller, name)
        if caller.role is Role.OPERATOR and change != EndpointChange(enabled=change.enabled):
            raise NotAllowed("Who operates here switches an endpoint on or off; the rest is its platform's.")
        wish = self._changed(before, change)
        async with self._store.audit.doing(caller.who, "change webhook endpoint", name, _says(wish)):
            return await self._store.webhook_endpoints.write(wish)

    async def rotate(self, caller: Caller, name: str, overlap_ms: int) -> EndpointMade:
        """Give an endpoint another secret; the one before signs as well until the overlap is over."""
        caller.person.refuse_unless(MANAGES)
        if not 0 <= overlap_ms <= MOST_OVERLAP_MS:
            raise BadInput(f"The old secret signs for {MOST_OVERLAP_MS // (24 * HOUR)} days more at most.")
        before, secret, now = await self._own(caller, name), new_secret(), await self._store.records.now()
        older = replace(before.secrets[0], until=Millis(now + overlap_ms))
        wish = replace(before, secrets=(SigningSecret(secret), *([older] if overlap_ms else [])))
        why = f"the one before signs for {overlap_ms // SECOND} s more"
        async with self._store.audit.doing(caller.who, "rotate webhook secret", name, why):
            return EndpointMade(await self._store.webhook_endpoints.write(wish), secret)

    async def remove(self, caller: Caller, name: str) -> None:
        """Take an endpoint away, with its log; what waits to be delivered to it is dropped."""
        one = await self._own(caller, name)
        async with self._store.audit.doing(caller.who, "remove webhook endpoint", name, one.url):
            await self._store.webhook_endpoints.remove(one)
            await self._store.webhook_log.forget(name)

    async def _own(self, caller: Caller, name: str) -> WebhookEndpoint:
        caller.person.refuse_unless(STEERS)
        one = await self.find(caller, name)
        if one.name in self._fixed:
            raise Conflict(f"{name} stands in the settings of this installation ({SETTING}), and is changed there.")
        return one

    def _changed(self, before: WebhookEndpoint, change: EndpointChange) -> WebhookEndpoint:
        if change.url is not None:
            settings = self._store.settings
            check_address(change.url, networks_of(settings), loopback=settings.webhooks_to_loopback)
        unknown = [event for event in change.events or () if event not in KINDS]
        if unknown:
            raise BadInput(f"{unknown[0][:60]!r} is no event: there is {', '.join(KINDS)}.")
        return replace(
            before,
            url=before.url if change.url is None else change.url,
            events=before.events if change.events is None else tuple(one for one in KINDS if one in change.events),
            enabled=before.enabled if change.enabled is None else change.enabled,
            note=before.note if change.note is None else change.note[:LONGEST_NOTE],
        )

    # ── replayed ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def replay(self, caller: Caller, name: str, delivery: str) -> int:
        """Send one event once more, under its old id."""
        wanted = [one for one in await self._events(caller, name) if one.id == delivery]
        if not wanted:
            raise NotFound(f"The log of {name} has no event {delivery[:100]}.")
        return await self._again(caller, name, wanted, delivery)

    async def replay_since(self, caller: Caller, name: str, since: Millis) -> int:
        """Send every event of a time on once more, as far back as the log goes, and whatever was set aside."""
        wanted = [one for one in await self._events(caller, name) if one.written_at >= since]
        return await self._again(caller, name, wanted, f"all since {since}")

    async def _events(self, caller: Caller, name: str) -> Sequence[DeliveryAttempt]:
        """List the events that can be sent once more, each once."""
        caller.person.refuse_unless(STEERS)
        await self.find(caller, name)
        granted, wait_ms = await self._store.records.rate_tokens(f"replay:{caller.name}:{name}", REPLAYS_A_SECOND, 1)
        if not granted:
            raise TooSoon(f"You replayed {name} a moment ago: wait.", after_s=1 + wait_ms // SECOND)
        found = {one.id: one async for one in self._store.webhook_log.all(name)}
        aside = [post for post in await self._store.outbox.undelivered(MOST_GIVEN_UP) if post.id.endswith(f"@{name}")]
        return list({one.id: one for one in (*found.values(), *map(_given_up, aside))}.values())

    async def _again(self, caller: Caller, name: str, wanted: Sequence[DeliveryAttempt], what: str) -> int:
        async with self._store.audit.doing(caller.who, "replay webhooks", name, f"{what}: {len(wanted)}"):
            for one in sorted(wanted, key=lambda one: one.written_at):
                body = {"event": one.news["type"], "news": dict(one.news)}
                await self._store.outbox.again(f"{one.id}@{name}", one.record, one.written_at, body)
        return len(wanted)


def _given_up(post: Post) -> DeliveryAttempt:
    news = post.body["news"]
    return DeliveryAttempt(post.id.partition("@")[0], post.record, post.at, post.at, 0, 0, "", 0, news)


def _says(one: WebhookEndpoint) -> str:
    return f"{one.url}; {', '.join(one.events) or 'every event'}; {'on' if one.enabled else 'off'}"
