"""A question about records, as people type it: `machine=payout and state=FAILED and cause~bank and age>1h`."""

import operator
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from machines.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from machines.core.errors import BadInput
from machines.core.ids import called, room_of
from machines.core.record import Record
from payflow.store.listing import ListCursor
from payflow.store.store import Store
from payflow.store.stored import Stored

EXAMPLE = "machine=payout and state=FAILED and age>1h"
PAGE = 200

_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_CONDITION = re.compile(r"\s*(?P<field>[a-z]+)\s*(?P<sign>!=|>=|<=|=|~|>|<)\s*(?P<value>.*?)\s*", re.DOTALL)
_SPAN = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[smhd])")
_SIZES = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "~": lambda has, wanted: wanted in has,
}  # fmt: skip
_OF_TEXT, _OF_NUMBERS = ("=", "!=", "~"), ("=", "!=", ">", "<", ">=", "<=")


def _text(text: str) -> str:
    return text.casefold()


def _span(text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise BadInput(f"{text[:40]!r} says not how long: write 30s, 90m, 6h or 3d.")
    return int(found["number"]) * _SIZES[found["unit"]]


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{text[:40]!r} is no number: write digits, with a point before decimals.")
    return Decimal(text)


class _Field(NamedTuple):
    """Something of a record that may be asked for."""

    of: Callable[[Record[Any], Millis], Any]
    """What a record has; None where it has none of it, and then nothing fits."""
    read: Callable[[str], Any]
    signs: tuple[str, ...]


def _words(of: Callable[[Record[Any]], str]) -> _Field:
    return _Field(lambda record, _: of(record).casefold(), _text, _OF_TEXT)


def _amount(record: Record[Any], _: Millis) -> Decimal | None:
    return Decimal(record.amount.decimal) if record.amount else None


FIELDS: Mapping[str, _Field] = {
    "id": _words(lambda record: record.id),
    "machine": _words(lambda record: record.machine),
    "state": _words(lambda record: record.state),
    "owner": _words(lambda record: record.owner),
    "provider": _words(lambda record: called(record.owner)),
    "platform": _words(lambda record: room_of(record.owner)),
    "rail": _words(lambda record: str(getattr(record.data, "rail", "") or getattr(record.data, "lane", ""))),
    "batch": _words(lambda record: str(getattr(record.data, "batch", ""))),
    "currency": _words(lambda record: record.amount.asset.code if record.amount else ""),
    "cause": _words(lambda record: record.parked or str(getattr(record.data, "reason", ""))),
    "parked": _words(lambda record: "yes" if record.parked else "no"),
    "amount": _Field(_amount, _number, _OF_NUMBERS),
    "tries": _Field(lambda record, _: Decimal(record.tries), _number, _OF_NUMBERS),
    "age": _Field(lambda record, now: now - record.since, _span, _OF_NUMBERS),
    "made": _Field(lambda record, now: now - record.created_at, _span, _OF_NUMBERS),
}
"""`age` is how long a record is in its state, `made` how long ago it was made."""


class _Condition(NamedTuple):
    field: str
    sign: str
    value: Any

    def fits(self, record: Record[Any], now: Millis) -> bool:
        has = FIELDS[self.field].of(record, now)
        return has is not None and _SIGNS[self.sign](has, self.value)


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """What records are asked for."""

    text: str
    conditions: tuple[_Condition, ...]

    @classmethod
    def parse(cls, text: str) -> "RecordQuery":
        """Read a question, or say what is wrong with it."""
        if not text.strip():
            raise BadInput(f"Say which records, such as {EXAMPLE!r}.")
        return cls(text.strip(), tuple(_condition(part) for part in _AND.split(text.strip())))

    def fits(self, record: Record[Any], now: Millis) -> bool:
        """Whether a record is meant."""
        return all(one.fits(record, now) for one in self.conditions)

    async def find(self, store: Store) -> AsyncIterator[Stored]:
        """Walk over the records that are meant, those longest in their state first."""
        states = [
            (name, state)
            for name, machine in store.records.machines.items()
            for state in machine.lifecycle.states
            if self._may_be(name, state)
        ]
        if not states:
            raise BadInput(f"No machine has a state that fits {self.text[:200]!r}.")
        now, place = await store.records.now(), None
        while places := await store.listing.in_states(states, place, PAGE, oldest_first=True):
            for one in await store.records.readable(found.id for found in places):
                if self.fits(one.record, now):
                    yield one
            place = ListCursor(places[-1].at, places[-1].id)

    def _may_be(self, machine: str, state: str) -> bool:
        has = {"machine": machine.casefold(), "state": state.casefold()}
        return all(_SIGNS[one.sign](has[one.field], one.value) for one in self.conditions if one.field in has)


def _condition(text: str) -> _Condition:
    found = _CONDITION.fullmatch(text)
    if found is None or not found["value"]:
        raise BadInput(f"{text[:60]!r} is no condition: write such as {EXAMPLE!r}.")
    name, sign, value = found["field"], found["sign"], found["value"].strip("\"'")
    field = FIELDS.get(name)
    if field is None:
        raise BadInput(f"Records are not asked for {name[:40]!r}; there is {', '.join(FIELDS)}.")
    if sign not in field.signs:
        raise BadInput(f"{name} does not go with {sign!r}; use one of {' '.join(field.signs)}.")
    return _Condition(name, sign, field.read(value))
