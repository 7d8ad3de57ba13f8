"""Ids say where a record lives: `payout-03-9f…` is a payout in shard 3."""

import base64
import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import NewType

from machines.core.errors import BadInput

RecordId = NewType("RecordId", str)
Owner = NewType("Owner", str)

MAX_SHARDS = 100

# 16 base-32 characters are 80 bits: two ids of one machine and shard do not meet.
_TAIL_CHARS = 16
_ID = re.compile(r"([a-z][a-z_]{1,31})-([0-9]{2})-([a-z2-7]{16})")
ROOM = "~"
"""Stands between a platform and what it calls a provider: `acme~ann` is no other platform's ann."""

# No platform has the separator in its name, nor was there ever an owner with one that no platform stands before.
_OWNER = re.compile(rf"(?:[A-Za-z0-9][A-Za-z0-9_.-]{{0,63}}{ROOM})?[A-Za-z0-9][A-Za-z0-9_.:@+/-]{{0,127}}")


_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_OF_BOOKS = frozenset({"repository", "lane", "finding", "rail"})
_RESERVED = _OF_BOOKS | {"github"}


@dataclass(frozen=True, slots=True)
class ReservedOwners:
    """The owners that Payflow names itself, known by what stands before their first colon; no platform speaks for one.

    Accounts at GitHub, repositories, lanes, rails, the findings of a rail and the miners of each pool's coin are named
    like this. Whoever could bring one of them, or write its profile, would have a word in where somebody else's money
    goes.
    """

    coins: frozenset[str] = frozenset()
    """The coins of the pools, however they are spelt."""

    def __contains__(self, owner: str) -> bool:
        prefix, colon, _ = owner.partition(":")
        reserved = _RESERVED | {coin.casefold() for coin in self.coins}
        return bool(colon) and prefix.casefold() in reserved


def shard_for(owner: Owner, shards: int) -> int:
    """Tell which shard keeps everything of an owner."""
    return zlib.crc32(owner.encode()) % shards


def owner_of(text: str) -> Owner:
    """Accept an owner's name from outside, or say what is wrong with it."""
    if not _OWNER.fullmatch(text):
        raise BadInput(
            f"{text[:40]!r} is no owner: 1 to 128 letters, digits and _.:@+/-, a letter or digit first; a platform and "
            f"{ROOM} may stand before them."
        )
    return Owner(text)


def somebody(text: str) -> Owner:
    """Accept the name of an owner who is a person: none that stands for a rail, a lane or the like in the books."""
    owner = owner_of(text)
    prefix, colon, _ = owner.partition(":")
    if colon and prefix.casefold() in _OF_BOOKS:
        raise BadInput(f"{text[:40]!r} is nobody's name: Payflow calls what is its own `{prefix}:…`. Choose another.")
    return owner


def in_room(platform: str, name: str) -> Owner:
    """Give the owner whom a platform calls by a name."""
    return owner_of(f"{platform}{ROOM}{name}")


def room_of(owner: str) -> str:
    """Name the platform in whose room an owner is; empty for one who is in none."""
    return owner.rpartition(ROOM)[0]


def called(owner: str) -> str:
    """Say what the platform of an owner calls them."""
    return owner.rpartition(ROOM)[2]


def fresh_id(machine: str, shard: int) -> RecordId:
    """Make an id that nobody has."""
    return _compose(machine, shard, secrets.token_bytes(10))


def derived_id(machine: str, shard: int, *parts: str) -> RecordId:
    """Make the one id that belongs to these parts, so that the same request finds the same record."""
    digest = hashlib.sha256(
        "".join(f"{len(part)}:{part}" for part in (machine, *parts)).encode("utf-8", "surrogatepass")
    )
    return _compose(machine, shard, digest.digest()[:10])


def folded(name: str) -> str:
    """Write a name so that two ways to type it are one: with small letters, of the alphabet that names are made of.

    Other letters stay as they are: a sign that looks like a letter, or becomes two, makes nobody somebody else.
    """
    return name.strip().translate(_SMALL)


def is_id(text: str) -> bool:
    """Tell the id of a record from any other text."""
    return _ID.fullmatch(text) is not None


def parse_id(text: str) -> tuple[str, int]:
    """Read machine and shard out of an id."""
    match = _ID.fullmatch(text)
    if match is None:
        raise BadInput(f"{text[:60]!r} is no record id: it should look like payout-03-abcdefgh23456777.")
    return match[1], int(match[2])


def _compose(machine: str, shard: int, tail: bytes) -> RecordId:
    encoded = base64.b32encode(tail).decode().lower()[:_TAIL_CHARS]
    return RecordId(f"{machine}-{shard:02d}-{encoded}")
