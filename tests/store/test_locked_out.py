"""An account of GitHub whose token was revoked gets no other by signing in again, until an operator lets it in."""

import pytest

from machines.core.errors import NotAllowed
from machines.core.forge import ForgeAccount
from payflow.desk.identity import TokenWish, make_token, revoke_token
from payflow.desk.person import Person, token_of_account
from payflow.store.registers.tokens import Role, Tokens, digest_of
from payflow.store.store import Store

GUS = ForgeAccount(5_000_000_008, "gus")
OLU = Person("olu", Role.OPERATOR)
NAME, OF = f"github-{GUS.id}", f"github:{GUS.id}"


async def test_a_revoked_account_is_locked_out_until_an_operator_makes_its_token_anew(store: Store) -> None:
    digest = await token_of_account(store, GUS)
    assert await token_of_account(store, GUS) == digest
    await revoke_token(store, NAME, OLU)
    for _ in range(2):
        with pytest.raises(NotAllowed, match="locked out"):
            await token_of_account(store, GUS)
    await token_of_account(store, ForgeAccount(5, "mia"))
    made = await make_token(store, TokenWish(NAME, Role.PROVIDER, OF), OLU)
    assert await token_of_account(store, GUS) == digest_of(made.secret)


async def test_a_further_token_of_an_account_can_be_revoked_alone(store: Store) -> None:
    digest = await token_of_account(store, GUS)
    await make_token(store, TokenWish("gus-script", Role.PROVIDER, OF), OLU)
    await revoke_token(store, "gus-script", OLU)
    assert await token_of_account(store, GUS) == digest


@pytest.mark.parametrize(("role", "of"), [(Role.OPERATOR, ""), (Role.PROVIDER, "ann")])
async def test_a_token_that_only_has_the_name_of_an_account_is_not_shown_to_it(
    store: Store, role: Role, of: str
) -> None:
    await Tokens(store.link).create(NAME, role, of, "olu")
    with pytest.raises(NotAllowed, match="not of this account"):
        await token_of_account(store, GUS)
