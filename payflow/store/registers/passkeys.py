"""Passkeys of those who work here: what proves that one was used, and what each is asked to sign, once."""

import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from machines.core.clock import Millis
from machines.core.errors import Conflict
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import OverLink
from payflow.store.macs import Forged
from payflow.store.registers.persons import REMEMBERED_MS
from payflow.store.row_list import Row
from payflow.store.scripts import SWAP

ASKED_S = 5 * 60
"""So long one may take to answer with a passkey."""
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of one person."""

    id: str
    """The name that the authenticator gave it."""
    person: str
    """Whose it is, in small letters."""
    label: str
    """What they call it."""
    public_key: bytes
    sign_count: int
    """How often the authenticator says that it was used; 0 for ever with those that do not count."""
    token: str
    """The name of the token that they had signed in with: by this passkey it lets them in, as long as it opens."""
    let_in_by: str
    """Who made the link that they had come by when they added it; empty where they came by themselves."""
    made_at: Millis
    used_at: Millis


class Passkeys(OverLink):
    """All passkeys."""

    async def of(self, person: str) -> list[Passkey]:
        """List those of a person, the oldest first; none that nobody of us wrote."""
        person = person.casefold()
        rows = await self._link.rows.fields(self._link, keys.passkeys(person))
        found = (self._read(person, name.decode(), row) for name, row in rows if not isinstance(row, Forged))
        return sorted((one for one in found if one), key=lambda passkey: passkey.made_at)

    async def any_of(self, person: str) -> bool:
        """Whether a person has one; one that was changed beside Payflow counts here, so that nobody is rid of it so."""
        key = keys.passkeys(person.casefold())
        return bool(await self._link.ask("HLEN", key)) or await self._link.rows.has(self._link, key)

    async def add(self, passkey: Passkey) -> None:
        """Add one that is new."""
        row, written = _row(passkey), self._written(passkey)
        async with self._link.rows.changing(self._link, row, written):
            if not await self._link.ask("HSETNX", row.key, row.field, written):
                raise Conflict("This passkey was added before.")

    async def change(self, before: Passkey, after: Passkey) -> bool:
        """Write one anew, unless it was used or removed since it was read."""
        words = (before.id, self._written(before), self._written(after))
        async with self._link.rows.changing(self._link, _row(before), words[2]):
            return bool(await self._link.run(SWAP, [keys.passkeys(before.person)], *words))

    async def remove(self, passkey: Passkey) -> bool:
        """Remove one, and say whether it was still there. That there was one is remembered for a while."""
        place = keys.removed_passkey(passkey.person)
        written = self._link.macs.wrap(place, encode((passkey.id, self._written(passkey))))
        await self._link.ask("SET", place, written, "PX", REMEMBERED_MS)
        row = _row(passkey)
        async with self._link.rows.changing(self._link, row, None):
            return bool(await self._link.ask("HDEL", row.key, row.field))

    async def removed_lately(self, person: str) -> Passkey | None:
        """Give the one of a person that was removed last, if that was lately."""
        place = keys.removed_passkey(person.casefold())
        content = self._link.macs.opened(place, await self._link.ask("GET", place))
        return self._read(person.casefold(), *msgspec.msgpack.decode(content)) if content else None

    async def sign(self) -> AsyncIterator[str]:
        """Sign anew, with the newest key, all that is trusted; name what is not."""
        for key in [one async for one in self._link.keys(keys.passkeys("*"))]:
            person = key.removeprefix(keys.passkeys(""))
            for name, row in await self._link.rows.fields(self._link, key):
                passkey = None if isinstance(row, Forged) else self._read(person, name.decode(), row)
                if passkey is None:
                    yield f"{key} {name.decode()}"
                else:
                    fresh = self._written(passkey)
                    if fresh != row:
                        async with self._link.rows.changing(self._link, _row(passkey), fresh):
                            await self._link.run(SWAP, [key], name, row, fresh)

    def _written(self, one: Passkey) -> bytes:
        said = (one.label, one.public_key, one.sign_count, one.token, one.let_in_by, one.made_at, one.used_at)
        return self._link.macs.wrap(f"{keys.passkeys(one.person)} {one.id}", encode(said))

    def _read(self, person: str, name: str, row: bytes) -> Passkey | None:
        content = self._link.macs.opened(f"{keys.passkeys(person)} {name}", row)
        if content is None:
            return None
        label, public_key, sign_count, token, let_in_by, made_at, used_at = msgspec.msgpack.decode(content)
        return Passkey(
            name, person, label, public_key, sign_count, token, let_in_by, Millis(made_at), Millis(used_at)
        )  # fmt: skip


class PasskeyChallenges(OverLink):
    """What passkeys are asked to sign: each is good once, for one purpose, for some minutes."""

    async def make(self, purpose: str) -> bytes:
        """Ask for something that nobody was asked before."""
        challenge = secrets.token_bytes(_BYTES)
        place = _place(challenge)
        await self._link.ask("SET", place, self._link.macs.wrap(place, purpose.encode()), "EX", ASKED_S)
        return challenge

    async def take(self, challenge: bytes, purpose: str) -> bool:
        """Whether exactly this was asked for that purpose; it never is again."""
        place = _place(challenge)
        return self._link.macs.opened(place, await self._link.ask("GETDEL", place)) == purpose.encode()


def _row(passkey: Passkey) -> Row:
    return Row(keys.passkeys(passkey.person), passkey.id)


def _place(challenge: bytes) -> str:
    return keys.passkey_challenge(hashlib.sha256(challenge).hexdigest())
