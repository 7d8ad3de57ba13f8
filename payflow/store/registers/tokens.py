"""API tokens, who may talk to the API and as what, and the sessions that people open with them at our pages.

The store knows only the hashes of what they show.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network

from machines.core.clock import DAY, HOUR, SECOND, Clock, Millis, SystemClock
from machines.core.errors import BadInput, Conflict, NotFound
from machines.core.ids import somebody
from payflow.store import keys
from payflow.store.link import Link, OverLink
from payflow.store.macs import Forged
from payflow.store.row_list import Asked, Row
from payflow.store.signed_rows import sign_hashes

# A name that scanners for leaked secrets can look for, and 256 random bits: nobody guesses, so a plain hash will do.
PREFIX = "payflow_"
_SECRET_BYTES = 32
_SHAPE = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_USE_NAME = re.compile(r"[0-9a-f]{12}")
LOGIN = PREFIX + "login_"
"""What the secret of a command line's session begins with: no cookie of a browser does, and no token."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
# No slash and no colon: a platform's name is followed by one of them where its earnings are kept.
_PLATFORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

# The last use is written this often and no oftener: a look at the list is not worth a write a request.
_USE_WRITTEN_EVERY_MS = HOUR
_LOOSE = frozenset({b"used_at"})
LISTED_MS = DAY
"""So long a session is listed at most: longer than any lasts."""
_SEEN = frozenset({b"said", b"opened_at", b"seen_at", b"from"})


class Role(StrEnum):
    """What a token is for."""

    PLATFORM = "platform"
    """Brings providers and what they earned; asks for payouts on their behalf."""
    PROVIDER = "provider"
    """Asks for his own money, and sees what is his."""
    REVIEWER = "reviewer"
    """Approves and rejects."""
    OPERATOR = "operator"
    """Retries, gives back, cancels."""
    VIEWER = "viewer"
    """Sees everything, changes nothing."""


@dataclass(frozen=True, slots=True)
class TokenScope:
    """What a token opens less than its role would; by default nothing less."""

    reads_only: bool = False
    """Whether it only looks, and changes nothing."""
    most: Mapping[str, int] = field(default_factory=dict)
    """By asset: the most units that one act may be about; an asset that is not named has no such limit."""
    networks: tuple[str, ...] = ()
    """The networks that it opens anything from, such as `10.2.0.0/16`; none named for any."""
    keyed: bool = False
    """Whether it moves money only with an Idempotency-Key; one that an older version made does without."""

    def admits(self, address: str) -> bool:
        """Whether it opens anything from an address; a shell, which has none, is in no network."""
        if not self.networks:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found
        return any(plain in ip_network(network, strict=False) for network in self.networks)


UNSCOPED = TokenScope()


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; never what its holder shows."""

    name: str
    """What it is called; where it says no person, the person who holds it. Capitals make no other name."""
    role: Role
    of: str
    """The provider or the platform that it is bound to; empty for people who work here."""
    made_by: str
    made_at: Millis
    person: str = ""
    """The person it belongs to; empty for a machine's, and where its name says who holds it."""
    expires_at: Millis | None = None
    """From when it opens nothing; None for never."""
    scope: TokenScope = UNSCOPED
    used_at: Millis | None = None
    """When it was last used, to the hour."""
    revoked_by: str = ""
    revoked_at: Millis | None = None

    def open_at(self, now: Millis) -> bool:
        """Whether it opens anything: it is neither expired nor revoked."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def holder(self) -> str:
        """Who holds it, by a name that the register of persons knows, or that is their own."""
        return self.person or self.name


def by_person(person: str, roles: Sequence[Role], let_in_by: str) -> ApiToken | None:
    """Say what somebody shows who came without a token; None where there is one."""
    return ApiToken("", roles[0], "", let_in_by, Millis(0), person) if person and roles else None


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who signed in and has not signed out."""

    token: str
    """The hash of the token that they signed in with: when that is revoked, their sessions are over. Empty for who
    needs none, because they came as the person that they are."""
    let_in_by: str = ""
    """Who made the link that they came by; empty where they showed their token."""
    proven_at: Millis | None = None
    """When they last used a passkey; None for never."""
    said: str = ""
    """What they must be told at the next page."""
    person: str = ""
    """Who it is, where they came without a token."""
    roles: tuple[Role, ...] = ()
    """What they may be then: first what they are now."""
    vouched: bool = False
    """Whether the identity provider said who it is."""


class Tokens:
    """All API tokens."""

    def __init__(self, link: Link, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or SystemClock()

    async def create(
        self, name: str, role: Role, of: str, made_by: str, *,
        person: str = "", lasts_ms: int | None = None, scope: TokenScope = UNSCOPED,
    ) -> str:  # fmt: skip
        """Make a token and give what its holder must show: it is told this once and kept nowhere."""
        secret = new_secret()
        await self.adopt(
            digest_of(secret), name, role, of, made_by, person=person, lasts_ms=lasts_ms, scope=scope
        )  # fmt: skip
        return secret

    async def adopt(
        self, digest: str, name: str, role: Role, of: str, made_by: str, *,
        person: str = "", lasts_ms: int | None = None, scope: TokenScope = UNSCOPED,
    ) -> None:  # fmt: skip
        """Let a token open something whose secret its holder has already, by its hash."""
        _check(name, role, of)
        now = self._clock.now()
        until = None if lasts_ms is None else Millis(now + lasts_ms)
        await self._write(digest, ApiToken(name, role, of, made_by, now, person, until, scope))
        # The token first: what a crash leaves behind is a token that nobody was told, never one that nobody can revoke.
        if not await self._link.ask("HSETNX", keys.TOKENS, name.casefold(), digest):
            async with self._link.rows.changing(self._link, _row(keys.token(digest)), None):
                await self._link.ask("DEL", keys.token(digest))
            raise Conflict(f"There is a token {name!r} in use: rotate it, revoke it first, or take another name.")

    async def rotate(self, name: str, made_by: str, overlap_ms: int, lasts_ms: int | None) -> str:
        """Give what the holder of a token shows from now on; what they showed before ends after an overlap."""
        digest = await self.digest_in_use(name)
        before = await self.known(digest)
        if before is None:
            raise NotFound(f"The token {name!r} opens nothing any more: revoke it, and make another one.")
        now = self._clock.now()
        until = None if lasts_ms is None else Millis(now + lasts_ms)
        fresh = replace(before, made_by=made_by, made_at=now, expires_at=until, used_at=None)
        secret = new_secret()
        successor = digest_of(secret)
        await self._write(successor, fresh)
        await self._link.ask("HSET", keys.TOKENS, name.casefold(), successor)
        ends = Millis(min(now + overlap_ms, before.expires_at or now + overlap_ms))
        await self._write(digest, replace(before, expires_at=ends))
        after = await self._read_one(keys.token(digest))
        if after is None or after.revoked_at is not None:
            await self.revoke(name, after.revoked_by if after else made_by)
            raise Conflict(f"The token {name!r} was revoked meanwhile.")
        return secret

    async def _write(self, digest: str, token: ApiToken) -> None:
        key, fields = keys.token(digest), _written(token)
        as_stored = {name.encode(): str(value).encode() for name, value in fields.items()}
        mac = self._link.macs.sign_fields(key, as_stored, _LOOSE)
        async with self._link.rows.changing(self._link, _row(key), mac or None):
            await self._link.ask("HSET", key, *(part for pair in fields.items() for part in pair), "mac", mac)

    async def find(self, secret: str) -> ApiToken | None:
        """Tell whose token this is; None for one that is unknown, expired or revoked."""
        if secret.startswith(LOGIN):
            session = await Sessions(self._link, LOGIN).find(secret)
            return await self.signed_in(session) if session else None
        if not _SHAPE.fullmatch(secret):
            return None
        # Looked up by its hash, so how long the look-up takes tells nothing about any token.
        return await self.known(digest_of(secret))

    async def signed_in(self, session: Session) -> ApiToken | None:
        """Tell by whose token somebody signed in, as long as it opens anything. Who let them in counts as its maker.

        Who came without one is as the holder of a token that nobody sees.
        """
        person = by_person(session.person, session.roles, session.let_in_by)
        if person is not None:
            return person
        token = await self.known(session.token)
        return replace(token, made_by=session.let_in_by or token.made_by) if token else None

    async def known(self, digest: str) -> ApiToken | None:
        """Tell whose token has this hash; None for one that is unknown, expired or revoked."""
        key, now = keys.token(digest), self._clock.now()
        token = await self._read_one(key)
        if token is None or not token.open_at(now):
            return None
        if token.used_at is None or now - token.used_at >= _USE_WRITTEN_EVERY_MS:
            await self._link.ask("HSET", key, "used_at", now)
        return token

    async def last(self, name: str) -> tuple[str, ApiToken | None]:
        """Give the hash of a token by its name, and the token though it may have ended; None where it was revoked."""
        digest = await self._link.ask("HGET", keys.TOKENS, name.casefold())
        key = keys.token(digest.decode() if digest else "")
        token = await self._read_one(key) if digest else None
        return key.rpartition(":")[2], token if token and token.revoked_at is None else None

    async def digest_in_use(self, name: str) -> str:
        """Give the hash of the token in use under a name."""
        digest = await self._link.ask("HGET", keys.TOKENS, name.casefold())
        if digest is None:
            raise NotFound(f"There is no token {name!r} in use.")
        return str(digest.decode())

    async def revoke(self, name: str, by: str) -> ApiToken:
        """Let a token open nothing any more, from this moment, everywhere; its name is free again.

        What it took the place of, and still opens something, ends with it.
        """
        await self.digest_in_use(name)
        now = self._clock.now()
        revoked = [
            (digest, replace(token, revoked_by=by, revoked_at=now))
            for digest, token in await self._rows()
            if token.name.casefold() == name.casefold() and token.revoked_at is None
        ]
        for digest, token in revoked:
            await self._write(digest, token)
        if not revoked:
            raise NotFound(f"There is no token {name!r} in use.")
        newest = max((token for _, token in revoked), key=lambda token: token.made_at)
        if ":" in newest.of and newest.name == sign_in_name(newest.of):
            async with self._link.rows.changing(self._link, Row(keys.TOKENS, newest.of), str(now).encode()):
                await self._link.ask("HSET", keys.TOKENS, newest.of, now)
        await self._link.ask("HDEL", keys.TOKENS, name.casefold())
        return newest

    async def locked_out(self, of: str) -> bool:
        """Whether the token by which an account signs in was revoked: it gets no other by signing in again."""
        if ":" not in of:
            return False
        try:
            return await self._link.rows.read(self._link, Row(keys.TOKENS, of)) is not None
        except Forged:
            return True

    async def let_in(self, of: str) -> None:
        """Let an account that was locked out sign in again. No name of a token has the colon of an account."""
        if ":" in of:
            async with self._link.rows.changing(self._link, Row(keys.TOKENS, of), None):
                await self._link.ask("HDEL", keys.TOKENS, of)

    async def all(self) -> list[ApiToken]:
        """List every token that was ever made, the newest first."""
        return sorted((token for _, token in await self._rows()), key=lambda token: token.made_at, reverse=True)

    async def in_use(self, lately_ms: int = 0) -> list[ApiToken]:
        """List the tokens that open something, or did so lately, the newest first."""
        since = self._clock.now() - lately_ms
        ends = ((token, token.revoked_at or token.expires_at) for token in await self.all())
        return [token for token, end in ends if end is None or end > since]

    async def open_by_hash(self) -> dict[str, ApiToken]:
        """Give the tokens that open something, by their hashes; that is no use of them."""
        now = self._clock.now()
        return {digest: token for digest, token in await self._rows() if token.open_at(now)}

    async def _rows(self) -> list[tuple[str, ApiToken]]:
        """List every token with its hash."""
        found = list(dict.fromkeys([one async for one in self._link.keys(keys.token("*"))]))
        read = await self._link.rows.read_all(self._link, [_asked(key) for key in found])
        rows = [
            None if isinstance(fields, Forged) else self._trusted(key, fields)
            for key, fields in zip(found, read, strict=True)
        ]
        return [(key.rpartition(":")[2], token) for key, token in zip(found, rows, strict=True) if token]

    async def _read_one(self, key: str) -> ApiToken | None:
        (fields,) = await self._link.rows.read_all(self._link, [_asked(key)])
        return None if isinstance(fields, Forged) else self._trusted(key, fields)

    def _trusted(self, key: str, fields: dict[bytes, bytes]) -> ApiToken | None:
        """Read a token; none where there is none, or nobody of us wrote what is there."""
        return _read(fields) if fields and self._link.macs.trusts_fields(key, fields, _LOOSE) else None

    def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        return sign_hashes(self._link, keys.token("*"), _LOOSE)


@dataclass(frozen=True, slots=True)
class SessionUse:
    """A session that is open, as people see it."""

    name: str
    """By which it can be ended; it opens nothing."""
    token: str
    """The hash of the token behind it."""
    let_in_by: str
    address: str
    """Where it was used last."""
    opened_at: Millis | None
    seen_at: Millis | None
    """When its holder last did something, to the minute."""
    person: str = ""
    """Who it is, where there is no token behind it."""
    roles: tuple[Role, ...] = ()


class Sessions(OverLink):
    """All sessions of one kind: of browsers, or of command lines."""

    def __init__(self, link: Link, prefix: str = "") -> None:
        super().__init__(link)
        self._prefix = prefix
        self._shape = re.compile(prefix + r"[A-Za-z0-9_-]{43}")

    async def open(self, session: Session, lasts_s: int) -> str:
        """Open a session, and give what it must show."""
        secret = self._prefix + secrets.token_urlsafe(_SECRET_BYTES)
        key = keys.session(digest_of(secret))
        written = self._written(key, session)
        async with self._link.rows.changing(self._link, _row(key), written[-1] or None, LISTED_MS):
            await self._link.pipeline([("HSET", key, *written), ("EXPIRE", key, lasts_s)])
        return secret

    async def change(self, secret: str, session: Session) -> None:
        """Write down that somebody used a passkey, or what they are now; a session that is over stays over."""
        key = keys.session(digest_of(secret))
        written = self._written(key, session)
        async with self._link.rows.changing(self._link, _row(key), written[-1] or None):
            _, expires_s = await self._link.pipeline([("HSET", key, *written), ("TTL", key)])
            if expires_s < 0:
                await self._link.ask("DEL", key)

    async def find(self, secret: str) -> Session | None:
        """Find a session; None for one that is over or never was."""
        if not self._shape.fullmatch(secret):
            return None
        key = keys.session(digest_of(secret))
        (fields,) = await self._link.rows.read_all(self._link, [_asked(key)])
        if (
            isinstance(fields, Forged)
            or b"token" not in fields
            or not self._link.macs.trusts_fields(key, fields, _SEEN)
        ):
            return None
        names = (b"token", b"by", b"proven", b"said", b"person", b"roles")
        token, by, proven, said, person, roles = (fields.get(name, b"").decode() for name in names)
        return Session(
            token, by, _time(proven.strip("0") and proven), said, person, _roles(roles), b"vouched" in fields
        )  # fmt: skip

    def _written(self, key: str, one: Session) -> tuple[bytes, ...]:
        fields = {b"token": one.token.encode(), b"by": one.let_in_by.encode(), b"proven": b"%d" % (one.proven_at or 0)}
        if one.person:
            fields |= {b"person": one.person.encode(), b"roles": " ".join(one.roles).encode()}
        if one.vouched:
            fields[b"vouched"] = b"yes"
        mac = self._link.macs.sign_fields(key, fields, _SEEN)
        return (*(part for pair in fields.items() for part in pair), b"mac", mac)

    def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not. Who is in that one signs in again."""
        return sign_hashes(self._link, keys.session("*"), _SEEN)

    async def say(self, secret: str, said: str) -> None:
        """Keep a word for the next page; a session that is over keeps none."""
        key = keys.session(digest_of(secret))
        _, open_ = await self._link.pipeline([("HSET", key, "said", said), ("HEXISTS", key, "token")])
        if not open_:
            await self._link.ask("DEL", key)

    async def heard(self, secret: str) -> None:
        """Forget the word: it was shown."""
        await self._link.ask("HDEL", keys.session(digest_of(secret)), "said")

    async def close(self, secret: str) -> None:
        if self._shape.fullmatch(secret):
            await self._end(keys.session(digest_of(secret)))

    async def _end(self, key: str) -> None:
        async with self._link.rows.changing(self._link, _row(key), None):
            await self._link.ask("DEL", key)

    # ── where and when they are used ─────────────────────────────────────────────────────────────────────────────────

    async def use(self, secret: str, address: str, now: Millis, *, idle_s: int, lasts_s: int) -> None:
        """Write down that somebody does something; a session in which nobody does for long ends by itself."""
        key = keys.session(digest_of(secret))
        opened, left_s = await self._link.pipeline([("HGET", key, "opened_at"), ("TTL", key)])
        # Its end is that of its opening, whichever version opened it.
        opened_at = int(opened) if opened else now - (lasts_s - left_s) * SECOND
        ends_s = min(idle_s, lasts_s - (now - opened_at) // SECOND)
        fields = ("opened_at", opened_at, "seen_at", now, "from", address)
        words = [("HSET", key, *fields), ("EXPIRE", key, max(0, ends_s)), ("HEXISTS", key, "token")]
        *_, open_ = await self._link.pipeline(words)
        if not open_:  # it ended this moment
            await self._link.ask("DEL", key)

    async def all(self) -> list[SessionUse]:
        """List all that are open, those that were used last first."""
        found = list(dict.fromkeys([key async for key in self._link.keys(keys.session("*"))]))
        names = ("token", "by", "from", "opened_at", "seen_at", "person", "roles")
        rows = await self._link.pipeline([("HMGET", key, *names) for key in found])
        read = [_use_of(key, row) for key, row in zip(found, rows, strict=True) if row[0] is not None]
        return sorted(read, key=lambda use: use.seen_at or 0, reverse=True)

    async def end(self, name: str) -> None:
        """End a session by its name, at once."""
        if _USE_NAME.fullmatch(name):
            for key in [key async for key in self._link.keys(keys.session(f"{name}*"))]:
                await self._end(key)


def _row(key: str) -> Row:
    return Row(key, "mac")


def _asked(key: str) -> Asked:
    return Asked(_row(key), ("HGETALL", key), lambda fields: fields.get(b"mac"))


def _use_of(key: str, row: Sequence[bytes | None]) -> SessionUse:
    token, by, address, opened_at, seen_at, person, roles = ((value or b"").decode() for value in row)
    name = use_name(key.rpartition(":")[2])
    return SessionUse(name, token, by, address, _time(opened_at), _time(seen_at), person, _roles(roles))


def _roles(text: str) -> tuple[Role, ...]:
    return tuple(map(Role, text.split()))


def use_name(digest: str) -> str:
    """Name a session for people, by the hash of what its browser shows."""
    return digest[:12]


def new_secret() -> str:
    """Make up what the holder of a token shows."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def is_name(text: str) -> bool:
    """Whether a token, or a person, may be called so."""
    return bool(_NAME.fullmatch(text))


def _check(name: str, role: Role, of: str) -> None:
    if not is_name(name):
        raise BadInput(
            f"{name[:64]!r} is no name for a token: 1 to 64 letters, digits and _.@+-, a letter or digit first."
        )
    match role:
        case Role.PROVIDER:
            somebody(of)
        case Role.PLATFORM if not _PLATFORM.fullmatch(of):
            raise BadInput(f"{of[:64]!r} is no platform: 1 to 64 letters, digits and _.-, a letter or digit first.")
        case Role.REVIEWER | Role.OPERATOR | Role.VIEWER if of:
            raise BadInput(f"A {role} is bound to nobody: leave {of[:64]!r} out.")
        case _:
            pass


def sign_in_name(of: str) -> str:
    """Name the token by which an account of elsewhere, such as `github:5`, signs in here."""
    return of.replace(":", "-")


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _written(token: ApiToken) -> dict[str, str | int]:
    most = ",".join(f"{asset} {units}" for asset, units in sorted(token.scope.most.items()))
    fields: dict[str, str | int | None] = {
        "name": token.name, "role": token.role.value, "of": token.of, "made_by": token.made_by,
        "made_at": token.made_at, "person": token.person, "expires_at": token.expires_at,
        "reads_only": "yes" if token.scope.reads_only else "", "most": most, "networks": ",".join(token.scope.networks),
        "keyed": "yes" if token.scope.keyed else "",
        "used_at": token.used_at, "revoked_by": token.revoked_by, "revoked_at": token.revoked_at,
    }  # fmt: skip
    always = ("name", "role", "of", "made_by", "made_at")
    return {name: value for name, value in fields.items() if value is not None and (value != "" or name in always)}


def _read(fields: dict[bytes, bytes]) -> ApiToken | None:
    known = {name.decode(): value.decode() for name, value in fields.items()}
    if "made_at" not in known:
        return None
    limits = (limit.partition(" ") for limit in known.get("most", "").split(",") if limit)
    return ApiToken(
        name=known["name"],
        role=Role(known["role"]),
        of=known["of"],
        made_by=known["made_by"],
        made_at=Millis(int(known["made_at"])),
        person=known.get("person", ""),
        expires_at=_time(known.get("expires_at")),
        scope=TokenScope(
            known.get("reads_only") == "yes",
            {asset: int(units) for asset, _, units in limits},
            tuple(network for network in known.get("networks", "").split(",") if network),
            known.get("keyed") == "yes",
        ),
        used_at=_time(known.get("used_at")),
        revoked_by=known.get("revoked_by", ""),
        revoked_at=_time(known.get("revoked_at")),
    )


def _time(text: str | None) -> Millis | None:
    return Millis(int(text)) if text else None
