"""The story of one record, as a page tells it: what happened and where it is. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

import msgspec

from machines.core.clock import SECOND, Millis
from machines.core.money import Money
from machines.core.record import Record
from payflow.shown import grouped, plain, utc
from payflow.store.codec import HistoryEvent
from payflow.telemetry.logs import redacted
from payflow.web.pages.admin.whereabouts import link_to

# Told elsewhere on the page, or of no use to people.
_UNTOLD = frozenset({"sealed", "fingerprint", "evidence", "raw"})
# What is longer, such as the data of a call, is of no use to people.
LONGEST = 160
_NAMES = {"shown": "goes_to", "send_units": "sends"}
_PUBLIC = {"token": "erc20_contract", "token_units": "erc20_moved"}
PAIR = 2
# Later than this a number is a time in ms, and no small count.
SOME_TIME_AGO = 1_000_000_000_000

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ProofShown:
    """Evidence, and where it can be looked at."""

    source: str
    reference: str
    link: str
    details: Pairs


@dataclass(frozen=True, slots=True)
class Chapter:
    """One event of a history."""

    at: Millis
    who: str
    what: str
    state: str
    moved: bool
    why: str
    details: Pairs
    proof: ProofShown | None


def chapters(events: Iterable[HistoryEvent], amount: Money | None, explorers: Mapping[str, str]) -> list[Chapter]:
    """Tell a history, the newest event first."""
    written = []
    for event in events:
        details = _clean(event.details)
        written.append(
            Chapter(
                event.at,
                event.who,
                _what(event),
                event.state,
                bool(event.trigger) or event.version == 1,
                str(redacted(event.why)),
                pairs(_spoken(details, amount)),
                proof(details.get("evidence"), explorers),
            )
        )
    return written[::-1]


def _what(event: HistoryEvent) -> str:
    if event.version == 1:
        return "made"
    # The name of a fact, such as `LostSight`, is written as words.
    return plain(event.trigger) if event.trigger else _CAPITAL.sub(" ", event.fact).lower().strip() or "noted"


def went(events: Iterable[HistoryEvent]) -> set[tuple[str, str]]:
    """List the moves that a record made, as pairs of states."""
    return {(one.state, other.state) for one, other in pairwise(events) if one.state != other.state}


def proof(evidence: object, explorers: Mapping[str, str]) -> ProofShown | None:
    """Tell evidence, with a link where its source has an explorer."""
    if not isinstance(evidence, Mapping) or not evidence.get("reference"):
        return None
    source, reference = str(evidence.get("source", "")), str(evidence["reference"])
    link = link_to(reference, explorers.get(source, ""))
    details = evidence.get("details")
    named = {str(one[0]): one[1] for one in details or () if isinstance(one, list | tuple) and len(one) > 1}
    return ProofShown(source, reference, link, pairs(details if isinstance(details, Mapping) else named))


def stored_data(record: Record[Any]) -> Mapping[str, Any]:
    """Give what a record's machine keeps, as a page may show it."""
    fields = msgspec.to_builtins(record.data).items()
    # What tokens are called on a chain is no secret, as what is called a token elsewhere is; nothing is no news.
    public = {_PUBLIC.get(name, name): value for name, value in fields if value is not None}
    return _spoken(_clean(public), record.amount)


def _clean(data: object) -> Mapping[str, Any]:
    shown = redacted(_counted("", data))
    return shown if isinstance(shown, Mapping) else {}


def _counted(name: str, value: object) -> object:
    """Give amounts of wei as numbers: as texts they look like account numbers, which no page shows."""
    if isinstance(value, Mapping):
        return {key: _counted(str(key), one) for key, one in value.items()}
    if _is_pair(value):
        return [value[0], _counted(value[0], value[1])]
    if isinstance(value, list | tuple):
        return [_counted("", one) for one in value]
    return int(value) if name.endswith("_wei") and isinstance(value, str) and value.isdecimal() else value


def _is_pair(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether this is a name with a value, as evidence keeps its details."""
    return isinstance(value, list | tuple) and len(value) == PAIR and isinstance(value[0], str)


def _spoken(data: Mapping[str, Any], amount: Money | None) -> Mapping[str, Any]:
    """Write units as amounts and times as times."""
    return {name: _value(name, value, amount) for name, value in data.items()}


def _value(name: str, value: object, amount: Money | None) -> object:
    if isinstance(value, int) and value and not isinstance(value, bool):
        if name.endswith("_units") and amount is not None:
            return grouped(Money(value, amount.asset))
        if name.endswith(("_at", "_since", "until", "at")) and value > SOME_TIME_AGO // SECOND:
            # A pool's books count in seconds.
            return f"{utc(value if value > SOME_TIME_AGO else value * SECOND)} UTC"
    if isinstance(value, list):
        return [_spoken(one, amount) if isinstance(one, Mapping) else one for one in value]
    return value


def pairs(data: Mapping[str, Any]) -> Pairs:
    """Write what is plain and says something as names and texts."""
    return [
        (plain(_NAMES.get(name, name).removesuffix("_units")), "yes" if value is True else _short(str(value)))
        for name, value in data.items()
        if name not in _UNTOLD and value not in ("", None, 0, False) and not isinstance(value, list | dict)
    ]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def tables(data: Mapping[str, Any]) -> list[tuple[str, list[Pairs]]]:
    """Give the lists among what a record keeps, such as its attempts, each entry as names and texts."""
    return [(plain(name), _rows(value)) for name, value in data.items() if isinstance(value, list) and value]


def _rows(value: Sequence[Any]) -> list[Pairs]:
    if all(map(_is_pair, value)):
        return [pairs({str(name): one for name, one in value})]
    return [pairs(one) if isinstance(one, Mapping) else [("", str(one))] for one in value]
