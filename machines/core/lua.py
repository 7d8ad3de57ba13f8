"""Lua scripts, put together from their parts. Whoever has scripts says how a part of them is read."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent to a Redis."""

    name: str
    text: str
    sha: str


def assembled(name: str, part: Callable[[str], str]) -> Script:
    """Put a script together with the parts that it includes."""
    text = _INCLUDE.sub(lambda found: part(found[1]), part(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
