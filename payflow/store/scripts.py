"""The Lua scripts as files, put together from their parts."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent to the server."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Read a script and the parts that it includes."""
    text = _INCLUDE.sub(lambda found: _part(found[1]), _part(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _part(name: str) -> str:
    return (resources.files("payflow.store") / "lua" / f"{name}.lua").read_text("utf-8")


ALL = tuple(
    map(
        script,
        (
            "commit",
            "claim",
            "renew",
            "poke",
            "read",
            "take",
            "outbox",
            "profile",
            "audit",
            "archive",
            "checkpoint",
            "proposal",
            "correct",
            "unarchive",
            "call",
        ),
    )
)
(
    COMMIT,
    CLAIM,
    RENEW,
    POKE,
    READ,
    TAKE,
    OUTBOX,
    PROFILE,
    AUDIT,
    ARCHIVE,
    CHECKPOINT,
    PROPOSAL,
    CORRECT,
    UNARCHIVE,
    CALL,
) = ALL
