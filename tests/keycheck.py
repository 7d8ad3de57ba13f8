"""Holds the keys in a store against the list in payflow/store/keys.py."""

import re
from collections.abc import Mapping

from payflow.store.keys import KEYS

_PLACES = {
    "SS": r"\d\d",
    "<machine>": r"[a-z][a-z_]{1,31}",
    "<STATE>": r"[A-Z_]+",
    "<id>": r"[a-z][a-z_]{1,31}-\d\d-[a-z2-7]{16}",
    "<hash>": r"[0-9a-f]+",
}


def pattern_of(shape: str) -> re.Pattern[str]:
    """Match the keys of a shape."""
    text = re.escape(shape)
    for place, pattern in _PLACES.items():
        text = text.replace(re.escape(place), pattern)
    return re.compile(re.sub(r"<\w+>", ".+", text))


_LISTED = [(pattern_of(key.shape), key.type) for key in KEYS]


def unlisted(types: Mapping[str, str]) -> list[str]:
    """Name each key that is not in the list, or is not of the type that the list gives."""
    return [
        f"{key} ({kind})"
        for key, kind in types.items()
        if not any(kind == listed and pattern.fullmatch(key) for pattern, listed in _LISTED)
    ]
