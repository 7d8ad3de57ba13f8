"""Staging and production on one account of a gateway: the same owner and key, and neither takes what is the other's."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from machines.core.clock import FixedClock
from payflow.store.seals import new_key
from tests.desk import settings_for
from tests.servers import Farm
from tests.stories.banks import Bank, Choice, paystack, v3, v4
from tests.stories.town import Town, open_town


async def paid(town: Town, bank: FixedClock) -> str:
    """Ann earns ₦2,000 and is paid; the bank's clock goes with the town's."""
    await town.ann_earns("2000")
    payout = await town.ann_asks("2000")
    await town.approve(payout)
    await town.until_queued(payout)
    for seconds in (7200, 60):
        if bank is not town.clock:
            bank.advance(seconds)
        await town.time_passes(seconds=seconds)
        await town.until_sent(payout)
    await town.until(payout, "paid")
    return payout


async def anything() -> None:
    """The gateway has more than one installation's transfers."""


@pytest.mark.parametrize("choice", [v3, v4, paystack], ids=lambda choice: choice.__name__)
async def test_the_same_request_at_two_installations_is_paid_by_each(own: Farm, tmp_path: Path, choice: Choice) -> None:
    banks: list[Bank] = []

    def shared(clock: FixedClock) -> Bank:
        """Both use the first one's bank."""
        banks.append(banks[0] if banks else choice(clock))
        return banks[0] if len(banks) == 1 else replace(banks[0], gateway=nullcontext(banks[0].gateway))  # type: ignore[arg-type]

    async with (
        open_town(settings_for(own.server(), tmp_path / "production"), shared, seal_keys=new_key()) as production,
        open_town(settings_for(own.server(), tmp_path / "staging"), shared, seal_keys=new_key()) as staging,
    ):
        production.books_are_true = staging.books_are_true = anything  # type: ignore[method-assign]
        staging.clock.advance((production.clock.now() - staging.clock.now()) / 1000)
        async with production.worker():
            first = await paid(production, production.clock)
        async with staging.worker():
            second = await paid(staging, production.clock)
        assert first == second, "the ids are made of owner and key"
        assert production.bank.book.total("NGN") == 4000
        references = {one.reference for one in production.bank.transfers.all}
        assert len(references) == 2
        assert all(16 <= len(one) <= 42 and one == one.lower() for one in references)
