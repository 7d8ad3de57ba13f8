"""Which column of a file is what: by its heading, or by a map such as `amount=Net pay,bank_code=Bank,currency:NGN`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from machines.core.errors import BadInput

SHOWN = 300


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Which heading has what we need, and what is the same in all rows."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.columns or self.constants)


def payout_columns(text: str, known: Mapping[str, str]) -> ColumnMap:
    """Read a map of columns; `=` names a heading, `:` what all rows have."""
    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        sign = next((char for char in part if char in "=:"), "")
        name, _, value = (one.strip() for one in part.partition(sign or "="))
        if not sign or name not in known or not value:
            raise BadInput(
                f"{part[:40]!r} is no part of a map: write name=Heading, or name:value for all rows, the name being "
                f"one of {', '.join(known)}."
            )
        if name in columns or name in constants:
            raise BadInput(f"The map says twice what {name} is.")
        (columns if sign == "=" else constants)[name] = value
    return ColumnMap(columns, constants)


def placed(headings: Sequence[str], columns: ColumnMap, known: Mapping[str, str]) -> Mapping[str, int]:
    """Say where in a row each thing is that we need; a heading that stands twice would be read either way."""
    there = [heading.strip() for heading in headings]
    if columns.columns:
        places = {name: _place(there, heading) for name, heading in columns.columns.items()}
    else:
        like = [_normal(heading) for heading in there]
        places = {name: _place(like, name) for name in known if name in like}
    if not places:
        raise BadInput(
            f"No heading of the file is known: it has {', '.join(there)[:SHOWN]!r}. Name columns {', '.join(known)}, "
            "or say which is what with a map such as amount=Net pay,account_number=Account,bank_code=Bank,currency:NGN."
        )
    return places


def _normal(heading: str) -> str:
    return "_".join(heading.casefold().replace("-", " ").split())


def _place(there: Sequence[str], heading: str) -> int:
    found = [place for place, one in enumerate(there) if one == heading]
    if not found:
        raise BadInput(f"The file has no column {heading[:60]!r}; it has {', '.join(there)[:SHOWN]}.")
    if len(found) > 1:
        raise BadInput(f"Two columns of the file are called {heading[:60]!r}: give each a heading of its own.")
    return found[0]
