"""Durations as Go writes and reads them."""

import re
from decimal import Decimal

from machines.core.errors import BadSettings

_NANOS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
MOST_NANOS = 2**63 - 1
SECOND = 10**9


def parse(text: str, name: str) -> int:
    """Read a duration such as `1h30m` as nanoseconds, or say what is wrong with the setting of that name."""
    if text in ("0", "+0", "-0"):
        return 0
    if not text.isascii() and "µ" not in text and "μ" not in text:
        raise _bad(text, name)
    if not _WHOLE.fullmatch(text):
        raise _bad(text, name)
    total = sum(int(Decimal(number) * _NANOS[unit]) for number, unit in _PART.findall(text))
    if total > MOST_NANOS:
        raise _bad(text, name)
    return -total if text.startswith("-") else total


def write(nanos: int) -> str:
    """Write a duration as Go prints it, such as `2h0m0s`."""
    if nanos == 0:
        return "0s"
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    if nanos < SECOND:
        unit = next(unit for unit in ("ms", "µs", "ns") if nanos >= _NANOS[unit])
        return f"{sign}{_number(nanos, _NANOS[unit])}{unit}"
    minutes, rest = divmod(nanos, _NANOS["m"])
    hours, minutes = divmod(minutes, 60)
    said = f"{_number(rest, SECOND)}s"
    if minutes or hours:
        said = f"{minutes}m{said}"
    return f"{sign}{hours}h{said}" if hours else f"{sign}{said}"


def _number(nanos: int, unit: int) -> str:
    whole, rest = divmod(nanos, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _bad(text: str, name: str) -> BadSettings:
    return BadSettings(f"{name}: {text[:40]!r} is no duration as Go writes it: write it like 120m, 2h or 1h30m.")
