"""Writes what people read about the settings, from the settings themselves: `python -m tests.cli.settings_page`."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payflow.config import Settings

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / ".env.example"
README = PROJECT / "payflow" / "README.md"
BEGIN, END = "<!-- settings: written by `python -m tests.cli.settings_page` -->", "<!-- end of settings -->"

_HEAD = """\
# All settings of Payflow, each with its default. Copy this file to `.env` in the folder that Payflow is started in, and
# change what you need; the environment goes before the file. What a file holds is given with `_FILE`:
# REDIS_PASSWORD_FILE=/run/secrets/redis
"""


@dataclass(frozen=True)
class Setting:
    """One setting as people read it."""

    section: str
    name: str
    default: str
    means: str


def settings() -> Iterator[Setting]:
    """Read the settings off their class, in its order."""
    source = inspect.getsource(Settings)
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    sections = {
        number: line.removeprefix("    # ")
        for number, line in enumerate(source.splitlines(), 1)
        if line.startswith("    # ")
    }
    for field, docstring in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if field.target.id in Settings.model_fields:
            assert isinstance(docstring, ast.Expr), f"{field.target.id} has no docstring"
            info = Settings.model_fields[field.target.id]
            section = sections[max(number for number in sections if number < field.lineno)]
            yield Setting(
                section,
                info.alias or "",
                _written(info.default),
                " ".join(str(ast.literal_eval(docstring.value)).split()),
            )


def _written(default: Any) -> str:  # noqa: ANN401  (whatever a setting may be)
    match default:
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in default)
        case str() | int() | Path():
            return str(default)
        case float():
            return f"{default:g}"
        case _:  # none, or made when it is needed
            return ""


def example() -> str:
    """Write `.env.example`."""
    parts, section = [_HEAD], ""
    for setting in settings():
        if setting.section != section:
            section = setting.section
            parts.append(f"\n# ── {section} {'─' * (115 - len(section))}\n")
        parts.append(f"\n# {setting.means}\n# {setting.name}={setting.default}\n")
    return "".join(parts)


def defaults() -> Mapping[str, str]:
    """Give what `.env.example` says when every line in it is made to count."""
    pairs = (line.removeprefix("# ").partition("=") for line in EXAMPLE.read_text().splitlines())
    return {name: value for name, found, value in pairs if found and name.isupper() and not name.endswith("_FILE")}


def table() -> str:
    """Write the table of the README."""
    lines = [BEGIN, "| setting | default | what it is |", "|---|---|---|"]
    lines += [f"| `{one.name}` | {f'`{one.default}`' if one.default else ''} | {one.means} |" for one in settings()]
    return "\n".join([*lines, END])


def with_table(readme: str) -> str:
    """Put the table in its place."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + table() + after


if __name__ == "__main__":
    EXAMPLE.write_text(example())
    README.write_text(with_table(README.read_text()))
