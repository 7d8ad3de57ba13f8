"""Who of a pool's miners is due."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from adapters.open_ethereum_pool import addresses
from adapters.open_ethereum_pool.books import Payee
from machines.core.errors import BadInput
from machines.core.money import MAX_UNITS
from machines.pool.data import WEI
from payflow.desk.pool.pool import Pool

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Due:
    """A miner who has reached his threshold."""

    login: str
    to: str
    shannon: int


async def due(pool: Pool, say: Callable[[str], None] = lambda _: None) -> list[Due]:
    """List who has reached the threshold, the smallest sum first; what cannot be paid is said and left alone."""
    found = []
    for payee in await pool.books.payees(pool.config.threshold):
        try:
            one = reached(pool, payee)
        except BadInput as error:
            say(f"Skipped {payee.login[:60]!r}: {error}")
            log.warning("A miner cannot be paid.", action="pool_payee", why=str(error))
        else:
            found += [one] if one else []
    return sorted(found, key=lambda one: (one.shannon, one.login))


def reached(pool: Pool, payee: Payee) -> Due | None:
    """Say whether a miner is due; `BadInput` where his balance or his login cannot be used."""
    digits = payee.balance.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal():
        raise BadInput(f"his balance is {payee.balance[:40]!r}, which is no whole number of Shannon.")
    shannon, threshold = int(payee.balance), payee.threshold
    if shannon < threshold or (shannon == threshold and not pool.config.reached):
        return None
    if shannon > MAX_UNITS:
        raise BadInput(f"his balance is {payee.balance[:40]} Shannon, more than there can be.")
    if shannon * WEI <= pool.config.charge_wei:
        raise BadInput(f"his balance is {shannon} Shannon, less than what is kept back for the network.")
    return Due(payee.login, addresses.of_login(payee.login), shannon)
