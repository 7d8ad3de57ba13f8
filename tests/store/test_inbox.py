"""Deliveries that were taken in: the same news once, and other news whatever it is called."""

from dataclasses import replace

import pytest

from machines.core.ports import Notice
from payflow.store.registers.inbox import Inbox
from payflow.store.store import Store

FAILED = Notice(("payout-1",), "trf_1", "FAILED", "wbk_1")


@pytest.mark.parametrize("other", [{"references": ("payout-2",)}, {"handle": "trf_2"}, {"said": "SUCCESSFUL"}])
async def test_a_gateway_that_uses_one_name_for_two_pieces_of_news_hides_neither(
    store: Store, other: dict[str, object]
) -> None:
    inbox = Inbox(store.link, "flutterwave")
    await inbox.keep(FAILED)
    assert await inbox.knows(FAILED)
    assert not await inbox.knows(replace(FAILED, **other))  # type: ignore[arg-type]
