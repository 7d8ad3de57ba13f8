"""Whether two names are of one person: how far the bank's name for an account fits the one that was given.

Banks and people write a name in other orders, leave a part of it out, shorten one to its first letter, put a title
before it, and spell it in another way. Brothers and sisters share all but one part: what is there on both sides must
fit.
"""

import re
import unicodedata
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rapidfuzz.distance import OSA

from machines.core.clock import Millis
from machines.core.ports import Destination
from payflow.store.seals import Seals

ALL = 100
NEAR = 84
"""From here on two words are one, spelled in two ways: a letter of seven."""
INITIAL, SHORTENED = 88, 90
"""How far a first letter fits its word, and a word its short form, such as Seun and Oluwaseun."""
LEAST_SHORT = 4

TITLES = frozenset(
    (
        "mr", "mrs", "miss", "ms", "master", "dr", "prof", "engr", "chief", "alhaji", "alhaja", "hajia", "mallam",
        "pastor", "rev", "reverend", "hon", "sir", "lady", "barr", "arc", "otunba", "nana", "the", "ltd", "limited",
        "plc", "enterprise", "enterprises", "co", "company",
    )
)  # fmt: skip
SPELLINGS = {
    name: names[0]
    for names in (
        ("muhammad", "mohammed", "mohamed", "muhammed", "mohammad", "mohamad", "muhamad"),
        ("yusuf", "yusuff", "yussif", "yusif", "yussuf"),
        ("aisha", "aishat", "ayisha", "aysha", "aishatu"),
        ("fatima", "fatimah", "fatimat", "fatuma", "fatoumata"),
        ("ibrahim", "ibraheem", "ebrahim"),
        ("abubakar", "abubakr", "aboubakar", "abubakari"),
        ("usman", "uthman", "othman", "ousmane"),
        ("hassan", "hasan"),
        ("hussein", "husseini", "hussaini", "husain", "hussain"),
        ("kwasi", "kwesi"),
        ("kwaku", "kweku"),
        ("yaa", "yaah"),
        ("akosua", "akosuah", "esi"),
        ("philip", "phillip", "philips"),
        ("stephen", "steven"),
    )
    for name in names
}


def name_score(one: str, other: str) -> int:
    """Say how far two names fit, from 0 to 100: whether they may be of one person, not whether they are."""
    first, second = _words(one), _words(other)
    if not first or not second:
        return 0
    fewer, more = sorted((first, second), key=len)
    if "".join(fewer) in {"".join(more), "".join(reversed(more))}:
        return ALL
    ways = [
        (fewer, more),
        *((way, more) for way in _apart(fewer, more)),
        *((fewer, way) for way in _apart(more, fewer)),
    ]
    return max(_fits(*sorted(way, key=len)) for way in ways)


def _fits(fewer: list[str], more: list[str]) -> int:
    """Match each word of the shorter name with another word of the longer one, the best pairs first."""
    pairs = sorted(
        ((_alike(a, b), i, j) for i, a in enumerate(fewer) for j, b in enumerate(more)), key=lambda pair: -pair[0]
    )
    used_a, used_b, total, whole = set[int](), set[int](), 0, 0
    for likeness, i, j in pairs:
        if likeness and i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            total += likeness
            whole += likeness not in (0, INITIAL)
    # First letters alone fit half a town.
    return total // len(fewer) if whole else total // len(fewer) // 2


def _alike(one: str, other: str) -> int:
    if one == other:
        return ALL
    short, long = sorted((one, other), key=len)
    if len(short) == 1:
        return INITIAL if long.startswith(short) else 0
    near = round(OSA.normalized_similarity(one, other) * ALL)
    if near >= NEAR:
        return near
    return SHORTENED if len(short) >= LEAST_SHORT and long.endswith(short) else 0


def _words(name: str) -> list[str]:
    bare = "".join(one for one in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(one))
    found = re.findall(r"[^\W\d_]+", bare.replace("'", "").replace("\u2019", ""))
    return [SPELLINGS.get(word, word) for word in found if word not in TITLES] or found


def _apart(words: list[str], others: list[str]) -> list[list[str]]:
    """Write a word as the two that the other name has for it: Abdulrahman, and Abdul Rahman."""
    both = set(pairwise(others))
    return [[*words[:at], a, b, *words[at + 1 :]] for at, word in enumerate(words) for a, b in both if word == a + b]


@dataclass(frozen=True, slots=True)
class NameRules:
    """From where on a name is another one."""

    review_below: int = 80
    hold_below: int = 40


USUAL_NAMES = NameRules()


# ── asked once ───────────────────────────────────────────────────────────────────────────────────────────────────────

REMEMBERED = 10_000
REMEMBERED_MS = 3_600_000
Resolve = Callable[[Destination, str], Coroutine[Any, Any, str]]


@dataclass(frozen=True, slots=True)
class _Named:
    holder: str
    until: Millis


class HolderCache:
    """Remembers for an hour whose an account is, in this process; under a name that nobody can read."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals
        self._named: dict[tuple[str, str], _Named] = {}

    async def ask(self, resolve: Resolve, to: Destination, currency: str, now: Millis) -> str:
        """Give whose it is, as it was said within the hour, or as it is said now; a refusal is asked for again."""
        of = (
            currency,
            self._seals.place(Destination(to.kind, tuple(one for one in to.fields if one[0] != "account_name"))),
        )
        known = self._named.get(of)
        if known is not None and now < known.until:
            return known.holder
        holder = await resolve(to, currency)
        if len(self._named) >= REMEMBERED:
            self._named.pop(next(iter(self._named)))
        self._named[of] = _Named(holder, Millis(now + REMEMBERED_MS))
        return holder
