"""An operator makes tokens, sees who has one, and takes them away."""

import pytest

from payflow.app.installation import Payflow
from payflow.store.registers.tokens import ApiToken, Role, Tokens
from tests.cli.till import SHELL, Till, showing


def holder(till: Till, secret: str) -> ApiToken | None:
    async def find(payflow: Payflow) -> ApiToken | None:
        return await Tokens(payflow.store.link).find(secret)

    return till.do(find)


def test_a_token_is_printed_once_alone_on_its_line_and_opens_what_it_is_for(till: Till) -> None:
    assert till("token", "create", "shop", "--role", "platform", "--platform", "shop").code == 0
    made = till("token", "create", "ann-phone", "--role", "provider", "--owner", "ann", "--platform", "shop")
    assert made.code == 0
    secret = made.out.strip()
    found = holder(till, secret)
    assert found is not None
    assert (found.name, found.role, found.of, found.made_by) == ("ann-phone", Role.PROVIDER, "shop~ann", SHELL)
    # Who is there is found by what their platform says; who is not would wait for money that never comes.
    again = till.json("token", "create", "ann-web", "--role", "provider", "--owner", "ann")
    assert again["of"] == "shop~ann"
    assert "say which platform" in till.refused("token", "create", "b", "--role", "provider", "--owner", "bob")
    assert secret not in till("token", "ls").out
    assert secret not in str(till.json("token", "ls"))


def test_a_revoked_token_opens_nothing_and_stays_in_the_list(till: Till) -> None:
    secret = till.json("token", "create", "rita", "--role", "reviewer")["token"]
    with showing(till, "boss"):
        assert "opens nothing" in till("token", "revoke", "rita").out
    assert holder(till, secret) is None
    (told,) = (one for one in till.json("token", "ls") if one["name"] == "rita")
    assert (told["revoked_by"], told["made_by"]) == ("boss", SHELL)
    assert till.refused("token", "revoke", "rita") == "There is no token 'rita' in use."


def test_an_empty_list_says_how_to_make_one(till: Till) -> None:
    assert "payflow token create" in till("token", "ls").out
    assert till.json("token", "ls") == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("x", "--role", "king"), "There is no role 'king'"),
        (("x", "--role", "provider"), "needs --owner"),
        (("x", "--role", "platform"), "needs --platform"),
        (("x", "--role", "provider", "--owner", "ann", "--platform", "shpo"), "No platform 'shpo' ever had a token"),
        (("x", "--role", "provider", "--owner", "no owner"), "is no owner"),
        (("x", "--role", "platform", "--platform", "a/b"), "is no platform"),
        (("x", "--role", "viewer", "--owner", "ann"), "bound to nobody"),
        (("a b", "--role", "viewer"), "no name for a token"),
    ],
)
def test_what_makes_no_sense_is_refused_as_a_mistake_in_the_command_line(
    till: Till, words: tuple[str, ...], why: str
) -> None:
    assert why in till.refused("token", "create", *words, code=2)


def test_a_name_that_is_in_use_is_refused(till: Till) -> None:
    till("token", "create", "rita", "--role", "reviewer")
    assert "revoke it first" in till.refused("token", "create", "RITA", "--role", "operator")


def test_who_made_a_token_and_who_took_it_away_stands_in_the_audit_log(till: Till) -> None:
    till.json("token", "create", "rita", "--role", "reviewer")
    with showing(till, "boss"):
        till("token", "revoke", "rita")
        assert "no token" in till.refused("token", "revoke", "rita")

    async def read(payflow: Payflow) -> list[tuple[str, str, str]]:
        return [(line.who, line.act, line.subject) for line in await payflow.store.audit.page(None, 10)]

    assert till.do(read) == [
        ("boss", "refused", "rita"),
        ("boss", "revoke token", "rita"),
        ("boss", "revoke token", "rita"),
        (SHELL, "create token", "rita"),
    ]
