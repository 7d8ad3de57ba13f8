"""What goes between Python and Lua has the same name on both sides, at the same place."""

import re
from importlib import resources

import msgspec
import pytest

from payflow.store import keys
from payflow.store.groups import CreateOp, FundOp, MoveOp, StayOp
from payflow.store.records import RecordRow

LUA = {file.name: file.read_text("utf-8") for file in (resources.files("payflow.store") / "lua").iterdir()}
OPS: dict[str, type[msgspec.Struct]] = {"create": CreateOp, "move": MoveOp, "stay": StayOp, "fund": FundOp}


def parameters(text: str, function: str) -> list[str]:
    """What a function of Lua takes."""
    found = re.search(rf"^function {re.escape(function)}\(([^)]*)\)", text, re.MULTILINE)
    return re.findall(r"\w+", found[1]) if found else []


@pytest.mark.parametrize("kind", OPS)
def test_an_op_has_the_same_fields_in_the_same_order_on_both_sides(kind: str) -> None:
    fields = list(OPS[kind].__struct_fields__)
    text = LUA[f"op_{kind}.lua"]
    assert parameters(text, f"operations.{kind}.check") == ["P", *fields]
    assert parameters(text, f"operations.{kind}.write") == ["P", "known", *fields]


def test_every_op_that_lua_knows_is_known_here() -> None:
    (table,) = re.findall(r"^local operations = \{([^\n]*)\}$", LUA["operations.lua"], re.MULTILINE)
    assert sorted(re.findall(r"(\w+) = \{\}", table)) == sorted(OPS)
    assert {config.tag for config in (op.__struct_config__ for op in OPS.values())} == set(OPS)


@pytest.mark.parametrize("name", sorted(LUA))
def test_no_place_of_an_op_or_of_a_claimed_record_is_a_number(name: str) -> None:
    assert re.findall(r"\bop\[(?!1\])|\bfields\[(?!1\])\d", LUA[name]) == []


def test_a_claim_gives_the_fields_of_a_record_in_the_order_in_which_they_are_read() -> None:
    (names,) = re.findall(r"^local FIELDS = \{(.*?)\}$", LUA["fields.lua"], re.MULTILINE | re.DOTALL)
    fields = re.findall(r"'(\w+)'", names)
    assert fields == list(RecordRow._fields)
    assert fields[-1] == "fence", "which is what `FENCE` says"
    assert set(fields) <= keys.FIELDS.keys()
