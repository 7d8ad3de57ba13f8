"""Where platforms listen to what becomes of their providers' payouts; the secrets that sign it are encrypted."""

import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import msgspec

from machines.core.clock import Millis
from machines.core.errors import Conflict
from machines.core.ports import Destination
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link, OverLink
from payflow.store.macs import Forged, UnknownKey
from payflow.store.row_list import Row
from payflow.store.scripts import SWAP
from payflow.store.seals import Seals

SECRET_BYTES = 32
PREFIX = "whsec_"
_NAME_BYTES = 6
_NONE = b""
_SEALED = "webhook secret"


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What signs that something comes from us, as the Standard Webhooks specification writes it."""

    text: str = field(repr=False)
    until: Millis | None = None
    """When it stops signing, because another one took its place; None for the newest."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """One place where a platform listens."""

    name: str
    """The platform's name, a dot, and what tells it from its others."""
    url: str
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    """The newest first."""
    made_by: str
    made_at: Millis
    events: tuple[str, ...] = ()
    """What it hears of; nothing named for everything."""
    enabled: bool = True
    note: str = ""
    version: int = 0
    """How often it was written; 0 for one that stands in the settings."""

    @property
    def platform(self) -> str:
        return platform_of(self.name)

    def signing(self, now: Millis) -> tuple[str, ...]:
        """Give the secrets that sign at a time, the newest first."""
        return tuple(one.text for one in self.secrets if one.until is None or now < one.until)

    def hears(self, event: str) -> bool:
        """Whether it is told of an event."""
        return not self.events or event in self.events


class _EndpointRow(msgspec.Struct, array_like=True):
    version: int
    url: str
    sealed: tuple[tuple[str, int | None], ...]
    made_by: str
    made_at: int
    events: tuple[str, ...]
    enabled: bool
    note: str


def new_secret() -> str:
    """Make a secret of as many random bytes as the specification asks for, and more."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def new_name(platform: str) -> str:
    """Name an endpoint, for ever: whoever reads the name knows whose it is."""
    return f"{platform}.{secrets.token_hex(_NAME_BYTES)}"


def platform_of(name: str) -> str:
    """Say whose an endpoint is."""
    return name.rpartition(".")[0]


class WebhookEndpoints(OverLink):
    """All that platforms, or who works here, made; not those of the settings."""

    def __init__(self, link: Link, seals: Seals) -> None:
        super().__init__(link)
        self._seals = seals

    async def of(self, platform: str) -> list[WebhookEndpoint]:
        """List a platform's endpoints; one that nobody of us wrote is none."""
        place = keys.webhook_endpoints(platform)
        found = []
        for name, row in await self._link.rows.fields(self._link, place):
            one = None if isinstance(row, Forged) else self._opened(name.decode(errors="replace"), row)
            found += [one] if one else []
        return sorted(found, key=lambda one: (one.made_at, one.name))

    async def find(self, name: str) -> WebhookEndpoint | None:
        """Find an endpoint; None where there is none, or nobody of us wrote what is there."""
        try:
            row = await self._link.rows.read(self._link, _row(name))
        except Forged:
            return None
        return self._opened(name, row) if row else None

    async def platforms(self) -> list[str]:
        """Name the platforms that have any."""
        begins = keys.webhook_endpoints("")
        return sorted({key.removeprefix(begins) async for key in self._link.keys(keys.webhook_endpoints("*"))})

    async def write(self, one: WebhookEndpoint) -> WebhookEndpoint:
        """Write one that is new, or as it was read and changed; raises where somebody changed it meanwhile."""
        row = _row(one.name)
        before = await self._link.ask(*row.question) or _NONE
        known = self._opened(one.name, before) if before else None
        if (known.version if known else 0) != one.version:
            raise Conflict(f"{one.name} was changed by somebody else meanwhile: look at it again.")
        fresh = replace(one, version=one.version + 1)
        await self._swap(row, before, self._written(fresh))
        return fresh

    async def remove(self, one: WebhookEndpoint) -> None:
        """Forget an endpoint."""
        row = _row(one.name)
        async with self._link.rows.changing(self._link, row, None):
            await self._link.ask("HDEL", row.key, row.field)

    async def reseal(self, name: str) -> bool:
        """Encrypt the secrets of an endpoint anew, where an older key did; False where that is not needed."""
        row = _row(name)
        before = await self._link.ask(*row.question)
        content = self._link.macs.opened(row.place, before)
        if content is None:
            return False
        sealed = msgspec.msgpack.decode(content, type=_EndpointRow).sealed
        if all(self._seals.is_current(text, row.place) for text, _ in sealed):
            return False
        one = self._opened(name, before)
        if one is not None:
            await self._swap(row, before, self._written(one))
        return True

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        for platform in await self.platforms():
            place = keys.webhook_endpoints(platform)
            for name, row in (await self._link.ask("HGETALL", place)).items():
                where = Row(place, name.decode(errors="replace"))
                try:
                    content = self._link.macs.unwrap(where.place, row)
                    listed = await self._link.rows.read(self._link, where)
                except (Forged, UnknownKey):
                    yield where.place
                    continue
                fresh = self._link.macs.wrap(where.place, content)
                if listed is not None and not self._link.macs.is_current(row[1 : 1 + row[0]]):
                    await self._swap(where, row, fresh)

    async def _swap(self, row: Row, before: bytes, after: bytes) -> None:
        async with self._link.rows.changing(self._link, row, after):
            if before:
                written = await self._link.run(SWAP, [row.key], row.field, before, after)
            else:
                written = await self._link.ask("HSETNX", row.key, row.field, after)
        if not written:
            raise Conflict(f"{row.field} was changed by somebody else meanwhile: look at it again.")

    def _written(self, one: WebhookEndpoint) -> bytes:
        place = _row(one.name).place
        sealed = tuple(
            (self._seals.seal(Destination(_SEALED, (("secret", secret.text),)), place), secret.until)
            for secret in one.secrets
        )
        content = _EndpointRow(
            one.version, one.url, sealed, one.made_by, one.made_at, one.events, one.enabled, one.note
        )  # fmt: skip
        return self._link.macs.wrap(place, encode(content))

    def _opened(self, name: str, row: bytes) -> WebhookEndpoint | None:
        place = _row(name).place
        content = self._link.macs.opened(place, row)
        if content is None:
            return None
        said = msgspec.msgpack.decode(content, type=_EndpointRow)
        signing = tuple(
            SigningSecret(
                dict(self._seals.open(text, place).fields)["secret"], None if until is None else Millis(until)
            )
            for text, until in said.sealed
        )
        return WebhookEndpoint(
            name, said.url, signing, said.made_by, Millis(said.made_at), said.events, said.enabled, said.note,
            said.version,
        )  # fmt: skip


def _row(name: str) -> Row:
    return Row(keys.webhook_endpoints(platform_of(name)), name)
