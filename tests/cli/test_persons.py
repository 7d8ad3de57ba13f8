"""An operator registers who works here, says what each may do, and shuts somebody out."""

from dataclasses import replace

import pytest

from payflow.app.installation import Payflow
from payflow.desk.person import Caller, identified
from payflow.store.registers.tokens import Role, Tokens, TokenScope
from payflow.store.seals import new_key
from tests.cli.till import SHELL, Till, showing


def comes_in(till: Till, secret: str) -> Caller | None:
    async def come(payflow: Payflow) -> Caller | None:
        return await identified(payflow.store, await Tokens(payflow.store.link).find(secret))

    return till.do(come)


def test_a_person_is_made_shown_and_changed(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    assert till.json("person", "ls") == []
    assert "person of its own" in till("person", "ls").out
    made = till.json(
        "person", "add", "rita", "--role", "reviewer", "--limit", "500000 NGN", "--limit", "2 ETH",
        "--alias", "rita-2025", "--contact", "mailto:rita@example.com",
    )  # fmt: skip
    assert (made["roles"], made["limits"]) == (["reviewer"], {"ETH": "2.000000000", "NGN": "500000.00"})
    assert (made["aliases"], made["contacts"], made["made_by"]) == (["rita-2025"], 1, SHELL)
    changed = till.json("person", "set", "RITA-2025", "--role", "viewer", "--role", "reviewer", "--limit", "none ETH")
    assert (changed["name"], changed["roles"], changed["limits"]) == (
        "rita", ["reviewer", "viewer"], {"NGN": "500000.00"},
    )  # fmt: skip
    assert changed["aliases"] == ["rita-2025"]
    assert till.json("person", "show", "rita-2025") == changed
    subject = "oidc:CgcyMzQyNzQ5EgZnaXRodWI=|x"
    changed = till.json("person", "set", "rita", "--alias", subject)
    assert changed["aliases"] == ["rita-2025", subject]
    assert "no name" in till.refused("person", "add", "oidc:rob", "--role", "viewer")
    assert "rita-2025" in till("person", "show", "rita").out
    assert "rita@" not in till("person", "ls").out


@pytest.mark.parametrize(
    ("words", "why", "code"),
    [
        (("add", "eve"), "Say what eve may do", 1),
        (("add", "eve", "--role", "platform"), "There is no role 'platform'; there is operator, reviewer, viewer", 2),
        (("add", "eve", "--role", "viewer", "--limit", "x NGN"), "x", 2),
        (("add", "rita", "--role", "viewer"), "rita is rita, who is registered", 1),
        (("add", "eve", "--role", "viewer", "--alias", "RITA"), "RITA is rita: no two persons have one name", 1),
        (("show", "eve"), "There is no person 'eve'", 1),
        (("set", "eve", "--role", "viewer"), "There is no person 'eve'", 1),
        (("disable", "rita"), "This needs a reason", 1),
        (("enable", "rita", "--reason", "x"), "is not disabled", 1),
        (("set", "rita", "--role", "viewer"), "The token rita of rita is for a reviewer", 1),
    ],
)
def test_what_makes_no_sense_is_refused(till: Till, words: tuple[str, ...], why: str, code: int) -> None:
    till.json("token", "create", "rita", "--role", "reviewer")
    till.json("person", "add", "rita", "--role", "reviewer")
    assert why in till.refused("person", *words, code=code)


def test_tokens_of_a_person_are_for_what_they_may_do_and_act_in_their_name(till: Till) -> None:
    till.json("person", "add", "rita", "--role", "reviewer", "--limit", "500 NGN")
    secret = till.json(
        "token", "create", "laptop", "--role", "reviewer", "--person", "RITA", "--most", "400 NGN", "--days", "3"
    )["token"]
    found = comes_in(till, secret)
    assert found is not None
    assert (found.who, found.scope.most) == ("rita", {"NGN": 40_000})
    (told,) = till.json("token", "ls")
    assert (told["person"], told["scope"]) == ("rita", "up to 40000 units of NGN")
    words: tuple[str, ...] = ("token", "create", "phone", "--role", "operator", "--person", "rita")
    assert "rita is no operator" in till.refused(*words)
    assert "There is no person" in till.refused("token", "create", "x", "--role", "viewer", "--person", "eve")
    for said, why in (
        (("x", "--role", "platform", "--platform", "x", "--person", "rita"), "is a machine's: leave --person out"),
        (("phone", "--role", "reviewer", "--person", "rita", "--days", "0"), "lasts 1 to 3650 days"),
        (("phone", "--role", "reviewer", "--network", "10.0.0.0/99"), "is no network"),
    ):
        assert why in till.refused("token", "create", *said, code=2)
    till.json("person", "add", "eve", "--role", "reviewer")
    words = ("token", "create", "rita", "--role", "reviewer", "--person", "eve")
    assert "is what rita is called" in till.refused(*words)


def test_whoever_was_disabled_comes_in_with_no_token_that_is_theirs_under_whatever_name(till: Till) -> None:
    secrets = [till.json("token", "create", name, "--role", "reviewer")["token"] for name in ("rita", "rita-2025")]
    till.json("person", "add", "rita", "--role", "reviewer", "--alias", "rita-2025")
    secrets.append(till.json("token", "create", "laptop", "--role", "reviewer", "--person", "rita")["token"])
    assert [(who := comes_in(till, secret)) and who.who for secret in secrets] == ["rita"] * 3
    with showing(till, "boss"):
        told = till.json("person", "disable", "rita-2025", "--reason", "left")
    assert told["disabled_by"] == "boss"
    assert [comes_in(till, secret) for secret in secrets] == [None] * 3
    words = ("token", "create", "new", "--role", "reviewer", "--person", "rita")
    assert "was disabled by boss" in till.refused(*words)
    assert "disabled already" in till.refused("person", "disable", "rita", "--reason", "left")
    till.json("person", "enable", "rita", "--reason", "is back")
    assert [(who := comes_in(till, secret)) and who.who for secret in secrets] == ["rita"] * 3

    async def read(payflow: Payflow) -> list[tuple[str, str, str]]:
        lines = await payflow.store.audit.page(None, 10)
        return [(line.who, line.act, line.subject) for line in lines if "person" in line.act]

    assert till.do(read) == [
        (SHELL, "enable person", "rita"), ("boss", "disable person", "rita"), (SHELL, "add person", "rita"),
    ]  # fmt: skip


def test_a_token_only_reads_where_it_was_made_so_and_a_shell_is_in_no_network(till: Till) -> None:
    with showing(till, "boss", scope=TokenScope(reads_only=True)):
        assert "only reads" in till.refused("pause", "everything", "--why", "night")
    with showing(till, "boss", scope=TokenScope(networks=("10.0.0.0/8",))):
        assert "opens nothing from here" in till.refused("pause", "everything", "--why", "night")
    assert till.json("paused") == []


def test_somebody_rotates_their_own_token_and_nobody_elses(till: Till) -> None:
    till.json("token", "create", "olu", "--role", "operator")
    till.json("person", "add", "rita", "--role", "reviewer")
    with showing(till, "rita", Role.REVIEWER) as old:
        assert "takes the token of an operator" in till.refused("token", "rotate", "olu", "--overlap", "1h")
        new = till.json("token", "rotate", "rita", "--overlap", "1h")["token"]
        assert comes_in(till, old) is not None
        assert comes_in(till, new) is not None
        for overlap, code in (("8d", 1), ("soon", 2), ("-1h", 2)):
            assert till.refused("token", "rotate", "rita", "--overlap", overlap, code=code)
        assert till("token", "rotate", "rita", "--overlap", "0m").code == 0
        assert comes_in(till, new) is None


def test_one_person_says_that_one_is_enough_and_ends_it_at_once(till: Till) -> None:
    assert "takes two" in till("person", "alone").out
    assert "nobody here" in till.refused("person", "alone", "--on", "--reason", "nobody else")
    assert "nobody here" in till.refused("person", "alone", "--off", "--reason", "why")
    with showing(till, "olu"):
        proposed = till.json("person", "alone", "--on", "--reason", "nobody else works here")
        assert (proposed["one_person"], bool(proposed["proposal"])) == (False, True)
        assert "one person is enough here after a wait" in till.refused("confirm", proposed["proposal"], "--yes")

        async def said(payflow: Payflow) -> None:
            found = await payflow.store.alone.read()
            now = await payflow.store.records.now()
            await payflow.store.alone.write(replace(found, on=True, by="olu", since=now), {"by": "olu"}, (), now)

        till.do(said)
        assert "olu said so" in till("person", "alone").out
        ended = till.json("person", "alone", "--off", "--reason", "somebody new came")
        assert ended["one_person"] is False
