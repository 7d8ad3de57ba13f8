"""JSON as a Go program reads it, with the comments that the pool's own README puts into it."""

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from machines.core.errors import BadSettings

T = TypeVar("T")

MOST_CHARS = 1_000_000
MOST_DEPTH = 100
"""Counted before it is parsed: the parser recurses, and how deep it may is not ours alone to say."""
_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def read(text: str, place: str) -> "Section":
    """Read the first value of a file, which must be an object; comments count as blanks."""
    if len(text) > MOST_CHARS:
        raise BadSettings(f"{place}: {len(text)} characters are more than any payouts.json has.")
    plain = _COMMENT.sub(_blank, text).lstrip("\ufeff \t\r\n")
    if _depth(plain) > MOST_DEPTH:
        raise BadSettings(f"{place} is no JSON that anybody wrote: it is nested too deeply.")
    try:
        value, _ = json.JSONDecoder().raw_decode(plain)
    except json.JSONDecodeError as error:
        raise BadSettings(f"{place} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    if not isinstance(value, dict):
        raise BadSettings(f"{place} must hold one object in braces.")
    return Section(value, place, "")


def _depth(plain: str) -> int:
    """Say how deeply brackets are nested, those in strings included: a bound need not be exact."""
    deepest = depth = 0
    for char in plain:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _blank(found: re.Match[str]) -> str:
    """Keep strings and line breaks, so that errors name the right line."""
    text = found[0]
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)


class Section:
    """One object of the file. A key that is missing, or null, has Go's zero value; its case does not matter."""

    def __init__(self, values: Mapping[str, Any], place: str, name: str) -> None:
        self._values = {key.lower(): value for key, value in values.items()}
        self._place = place
        self._name = name

    def named(self, key: str) -> str:
        """Name a setting for people, with its file."""
        return f"{self._place}: {self._name}.{key}" if self._name else f"{self._place}: {key}"

    def has(self, *keys: str) -> bool:
        """Say whether any of these keys is there."""
        return any(self._values.get(key.lower()) is not None for key in keys)

    def section(self, key: str) -> "Section":
        """Read an object."""
        value = self._read(key, dict, {}, "an object in braces")
        return Section(value, self._place, f"{self._name}.{key}" if self._name else key)

    def text(self, key: str) -> str:
        """Read a string."""
        return self._read(key, str, "", "a string in quotes")

    def choice(self, key: str, words: Mapping[str, T], wanted: str) -> T:
        """Read one of a few words, and give what it stands for; the empty one is that of a key that is missing."""
        word = self.text(key)
        if word not in words:
            raise BadSettings(f"{self.named(key)} must be {wanted}, and is {word[:20]!r}.")
        return words[word]

    def flag(self, key: str) -> bool:
        """Read a yes or no."""
        return self._read(key, bool, False, "true or false")  # noqa: FBT003  (Go's zero value)

    def whole(self, key: str, least: int, most: int) -> int:
        """Read a whole number between two bounds."""
        value = self._values.get(key.lower())
        if isinstance(value, bool):
            raise BadSettings(f"{self.named(key)} must be a whole number, and is {json.dumps(value)}.")
        number = self._read(key, int, 0, "a whole number without quotes")
        if not least <= number <= most:
            raise BadSettings(f"{self.named(key)} must be from {least} to {most}, and is {str(number)[:30]}.")
        return number

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of strings."""
        found = self._read(key, list, [], "a list of strings")
        if not all(isinstance(one, str) for one in found):
            raise BadSettings(f"{self.named(key)} must be a list of strings.")
        return tuple(found)

    def quantity(self, key: str, most: int) -> int:
        """Read an amount that is written as a string, decimal or with 0x."""
        text = self.text(key).strip()
        base = 16 if text[:2].lower() == "0x" else 10
        digits = text[2:] if base == 16 else text  # noqa: PLR2004  (its own name)
        if not re.fullmatch(r"[0-9a-fA-F]{1,64}" if base == 16 else r"[0-9]{1,78}", digits):  # noqa: PLR2004
            raise BadSettings(
                f"{self.named(key)} must be a number in quotes, decimal or with 0x, and is {text[:40]!r}."
            )
        number = int(digits, base)
        if number > most:
            raise BadSettings(f"{self.named(key)} is {text[:40]}, more than {most}: that cannot be meant.")
        return number

    def _read(self, key: str, kind: type[T], zero: T, wanted: str) -> T:
        value = self._values.get(key.lower())
        if value is None:
            return zero
        if not isinstance(value, kind):
            raise BadSettings(f"{self.named(key)} must be {wanted}, and is {json.dumps(value)[:40]}.")
        return value
