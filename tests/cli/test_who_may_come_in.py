"""Once two people operate an installation, nobody lets somebody else in, or do more, alone; a shell least of all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from payflow.app.installation import Payflow
from payflow.desk.identity import takes_two
from payflow.desk.person import Caller, identified
from payflow.store.registers.tokens import Role, Tokens
from tests.cli.till import SHELL, Till

MADE = ("token", "create", "eve", "--role", "operator")
ADDED = ("person", "add", "eve", "--role", "operator")


@contextmanager
def with_token(secret: str) -> Iterator[None]:
    with patch.dict(os.environ, PAYFLOW_TOKEN=secret):
        yield


def token(till: Till, name: str, role: str = "operator", *more: str) -> str:
    return str(till.json("token", "create", name, "--role", role, *more)["token"])


def comes_in(till: Till, secret: str) -> Caller | None:
    async def come(payflow: Payflow) -> Caller | None:
        return await identified(payflow.store, await Tokens(payflow.store.link).find(secret))

    return till.do(come)


@pytest.fixture
def olu(till: Till) -> str:
    """The token of the first operator, from a shell."""
    return token(till, "olu")


@pytest.fixture
def otto(till: Till, olu: str) -> str:
    """That of the second one, from a shell as well."""
    return token(till, "otto")


def test_a_shell_brings_in_the_first_two_and_nobody_after_them(till: Till, olu: str, otto: str) -> None:
    """S5: whoever has a shell made themselves a second operator, and confirmed with it."""
    for words in (
        MADE,
        ADDED,
        ("token", "create", "rita", "--role", "reviewer"),
        ("person", "add", "x", "--role", "viewer"),
    ):
        refused = till.refused(*words, "--reason", "in a hurry")
        assert "takes two people" in refused
        assert "a shell without a token is nobody" in refused
    assert {one["name"] for one in till.json("token", "ls")} == {"olu", "otto"}
    assert till.json("person", "ls") == []
    assert till.json("proposals") == []


def test_a_token_opens_nothing_before_another_operator_confirmed_it(till: Till, olu: str, otto: str) -> None:
    with with_token(olu):
        assert "needs a reason" in till.refused(*MADE, code=2)
        made = till.json(*MADE, "--reason", "joins us", "--days", "5", "--most", "100 NGN")
        assert comes_in(till, made["token"]) is None
        assert "olu proposed it" in till.refused("confirm", made["proposal"], "--yes")
    with with_token(made["token"]):
        assert "unknown here" in till.refused("confirm", made["proposal"], "--yes")
    assert till.refused("confirm", made["proposal"], "--yes"), "a shell"
    with with_token(otto):
        shown = till("confirm", "eve", answer="n\n").out
        assert "The token eve opens what an operator may, for 5 days." in shown
        assert "olu has seen what it shows" in shown
        assert "up to 10000 units of NGN" in shown
        assert "Done" in till("confirm", made["proposal"], "--yes").out
    eve = comes_in(till, made["token"])
    assert eve is not None
    assert (eve.role, eve.made_by, eve.scope.most) == (Role.OPERATOR, "olu", {"NGN": 10_000})


def test_whoever_proposed_a_token_saw_it_and_is_no_second_person_beside_it(till: Till, olu: str, otto: str) -> None:
    record_id = till.errand("SENDING")
    with with_token(olu):
        made = till.json(*MADE, "--reason", "joins us")
    with with_token(otto):
        till("confirm", made["proposal"], "--yes")
    with with_token(olu):
        proposed = till.json("override", record_id, "FAILED", "--reason", "x", "--yes")
    with with_token(made["token"]):
        assert "olu proposed it and made the token eve" in till.refused("confirm", proposed["proposal"], "--yes")
    with with_token(otto):
        assert till("confirm", proposed["proposal"], "--yes").code == 0


def test_a_person_is_added_changed_and_let_in_again_by_two_and_shut_out_by_one(till: Till, olu: str, otto: str) -> None:
    def by_two(*words: str) -> None:
        with with_token(olu):
            digest = till.json(*words, "--reason", "so it is")["proposal"]
            assert "olu proposed it" in till.refused("confirm", digest, "--yes")
        with with_token(otto):
            assert "Done" in till("confirm", digest, "--yes").out

    by_two("person", "add", "rita", "--role", "reviewer", "--limit", "500 NGN", "--alias", "rita-2025")
    rita = till.json("person", "show", "rita-2025")
    assert (rita["made_by"], rita["limits"], rita["aliases"]) == ("olu and otto", {"NGN": "500.00"}, ["rita-2025"])
    by_two("person", "set", "rita", "--role", "reviewer", "--role", "operator", "--limit", "none NGN")
    rita = till.json("person", "show", "rita")
    assert (rita["roles"], rita["limits"], rita["made_by"]) == (["operator", "reviewer"], {}, "olu and otto")
    assert till.json("person", "disable", "rita", "--reason", "left")["disabled_by"] == SHELL
    assert "takes two people" in till.refused("person", "enable", "rita", "--reason", "x")
    by_two("person", "enable", "rita")
    assert till.json("person", "show", "rita")["disabled_at"] is None


def test_what_changed_since_it_was_proposed_is_not_done(till: Till, olu: str, otto: str) -> None:
    with with_token(olu):
        added = till.json("person", "add", "rita", "--role", "reviewer", "--reason", "new")["proposal"]
        with with_token(otto):
            till("confirm", added, "--yes")
        raised = till.json("person", "set", "rita", "--limit", "9 NGN", "--reason", "x")["proposal"]
        made = till.json("token", "create", "phone", "--role", "reviewer", "--person", "rita", "--reason", "x")[
            "proposal"
        ]
    till.json("person", "disable", "rita", "--reason", "stolen")
    with with_token(otto):
        assert "somebody else meanwhile" in till.refused("confirm", raised, "--yes")
        assert "was disabled" in till.refused("confirm", made, "--yes")
    assert till.json("person", "show", "rita")["disabled_at"] is not None
    assert {one["name"] for one in till.json("token", "ls")} == {"olu", "otto"}


def test_one_operator_makes_nobody_who_then_counts_as_the_second(till: Till, olu: str) -> None:
    """Olu makes a second operator alone: two operate on paper, and what takes two waits for one from a shell."""
    with with_token(olu):
        eve = token(till, "eve")
    record_id = till.errand("SENDING")
    with with_token(olu):
        proposed = till.json("override", record_id, "FAILED", "--reason", "x", "--yes")["proposal"]
    with with_token(eve):
        new = str(till.json("token", "rotate", "eve", "--overlap", "0m")["token"])
    with with_token(new):
        assert "olu proposed it and made the token eve" in till.refused("confirm", proposed, "--yes")

    async def two(payflow: Payflow) -> bool:
        return await takes_two(payflow.store)

    assert not till.do(two)
    otto = token(till, "otto")
    assert till.do(two)
    with with_token(otto):
        assert till("confirm", proposed, "--yes").code == 0


@pytest.mark.parametrize("way", ["revoked", "disabled"])
def test_whoever_shuts_the_other_one_out_does_not_act_alone_at_once(till: Till, olu: str, otto: str, way: str) -> None:
    if way == "disabled":
        assert "There is no person" in till.refused("person", "disable", "otto", "--reason", "x")
        with with_token(olu):
            digest = till.json("person", "add", "otto", "--role", "operator", "--reason", "x")["proposal"]
        with with_token(otto):
            till("confirm", digest, "--yes")
    with with_token(olu):
        if way == "revoked":
            till.json("token", "revoke", "otto")
        else:
            till.json("person", "disable", "otto", "--reason", "x")
    assert comes_in(till, otto) is None
    with with_token(olu):
        made = till.json(*MADE, "--reason", "x")
        assert "olu proposed it" in till.refused("confirm", made["proposal"], "--yes")
    assert "takes two people" in till.refused(*ADDED, "--reason", "x")


def test_machines_are_let_in_by_one_operator_and_nobody_rotates_anothers_token(till: Till, olu: str, otto: str) -> None:
    shop = token(till, "shop", "platform", "--platform", "shop")
    assert comes_in(till, shop) is not None
    with with_token(olu):
        assert till.json("token", "rotate", "shop", "--overlap", "0m")["token"]
        assert "sees what it shows" in till.refused("token", "rotate", "otto", "--overlap", "1h")
        assert till.json("token", "rotate", "olu", "--overlap", "1h")["token"]
    assert "sees what it shows" in till.refused("token", "rotate", "otto", "--overlap", "1h")


def test_a_narrower_token_of_a_person_rotates_no_other_one_of_theirs(till: Till) -> None:
    till.json("person", "add", "rita", "--role", "viewer", "--role", "reviewer")
    board = token(till, "board", "viewer", "--person", "rita")
    token(till, "laptop", "reviewer", "--person", "rita")
    with with_token(board):
        assert "takes the token of an operator" in till.refused("token", "rotate", "laptop", "--overlap", "1h")
        assert till.json("token", "rotate", "board", "--overlap", "1h")["token"]
