"""Coming in from the command line: links that sign somebody in at the pages."""

import pytest

from payflow.app.installation import Payflow
from payflow.store.registers.sign_ins import SignInLink, SignInLinks
from payflow.store.registers.tokens import Role
from payflow.store.seals import new_key
from tests.cli.till import SHELL, Till, showing


def found(till: Till, link: str) -> SignInLink | None:
    async def find(payflow: Payflow) -> SignInLink | None:
        return await SignInLinks(payflow.store.link).find(link.rpartition("=")[2])

    return till.do(find)


def test_a_link_is_printed_alone_on_its_line_and_is_of_who_is_named(till: Till) -> None:
    till("token", "create", "rita", "--role", "reviewer")
    told = till("sign-in", "rita")
    assert told.code == 0
    link = told.out.strip()
    assert link.startswith("http://localhost:8080/admin/sign-in?link=")
    signs_in = found(till, link)
    assert signs_in is not None
    assert signs_in.made_by == SHELL


def test_who_shows_a_token_gets_a_link_of_their_own(till: Till) -> None:
    till("token", "create", "otto", "--role", "operator")
    with showing(till, "rita", Role.REVIEWER):
        signs_in = found(till, till.json("sign-in")["link"])
        assert signs_in is not None
        assert signs_in.made_by == ""
        assert "takes the token of an operator" in till.refused("sign-in", "otto")


def test_a_person_needs_no_token_for_a_link(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    till.json("person", "add", "olu", "--role", "viewer", "--role", "operator", "--alias", "olu-2025")
    signs_in = found(till, till("sign-in", "OLU-2025").out.strip())
    assert signs_in is not None
    assert (signs_in.token, signs_in.person, signs_in.roles) == ("", "olu", (Role.OPERATOR, Role.VIEWER))
    till("person", "disable", "olu", "--reason", "left")
    assert "no person who may sign in" in till.refused("sign-in", "olu")


def test_a_shell_says_whom_it_means(till: Till) -> None:
    till.made()
    assert "Say whom the link signs in" in till.refused("sign-in", code=2)
    assert till.refused("sign-in", "nobody") == (
        "There is no token 'nobody' in use, and no person who may sign in is called so."
    )
    till("token", "create", "shop", "--role", "platform", "--platform", "shop")
    till("token", "create", "ann", "--role", "provider", "--owner", "ann", "--platform", "shop")
    assert "does not work here" in till.refused("sign-in", "ann")
