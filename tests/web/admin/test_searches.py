"""Searches by what people have in their hands: an issue, a login; nothing for what is no such thing."""

import pytest

from machines.bounty.data import BountyData, BountyPolicy, RepositoryData, bounty_id, owner_of_repository, repository_id
from machines.bounty.react import bounty
from machines.bounty.react_repository import repository
from machines.core.decision import New
from machines.core.forge import Place
from machines.core.ids import RecordId
from machines.core.money import ETH, Money
from machines.pool.data import PoolData, payment_id
from machines.pool.react import pool
from payflow.config import Settings
from payflow.store.store import Store, open_store
from payflow.web.pages.admin.frame import DashboardExtensions
from payflow.web.pages.admin.records import by_login, searches_of

HOUSES = {11: "Shop/wares", 12: "shop/wares-old"}
LOGIN = "0xb85150eb365e7df0941f0cf08235f987ba91506a"


async def made(store: Store, repository_number: int, name: str, number: int) -> RecordId:
    """Make a bounty, with its repository if that is new."""
    owner, shards = owner_of_repository(repository_number), store.records.shards
    home = New(
        repository_id(repository_number, shards), "repository", owner, None, RepositoryData(repository_number, name, 1)
    )
    await store.records.create(home, "test")
    issue = repository_number * 1000 + number
    data = BountyData(Place(1, repository_number, name, number), issue)
    await store.records.create(New(bounty_id(repository_number, issue, shards), "bounty", owner, None, data), "test")
    return bounty_id(repository_number, issue, shards)


async def test_a_bounty_is_found_as_people_write_its_issue(settings: Settings) -> None:
    async with open_store(settings) as store:
        store.serve([bounty(BountyPolicy(), {}), repository()])
        wares = [await made(store, 11, HOUSES[11], number) for number in (7, 77)]
        old = await made(store, 12, HOUSES[12], 7)
        (search,) = searches_of(store, DashboardExtensions())
        assert await search.find("shop/WARES#7") == [wares[0]]
        assert set(await search.find("Shop/wares")) == set(wares)
        assert await search.find("shop/wares-old#7") == [old]
        for nothing in ("shop/wares#8", "shop/nothing#7", "wares#7", "shop/wares#", "#7", "", "a/b/c#1"):
            assert list(await search.find(nothing)) == [], nothing


@pytest.mark.parametrize("typed", [LOGIN, LOGIN.upper().replace("0X", "0x")])
async def test_a_miner_is_found_at_every_pool_by_his_login_however_it_is_written(
    settings: Settings, typed: str
) -> None:
    async with open_store(settings) as store:
        store.serve([pool({})])
        ids = []
        for coin in ("eth", "etc"):
            data = PoolData(coin, LOGIN, LOGIN, "1")
            ids.append(payment_id(coin, LOGIN, 5, "1", store.records.shards))
            await store.records.create(New(ids[-1], "pool", data.owner, Money(5, ETH), data), "test")
        search = by_login(store, ("eth", "etc", "never"))
        assert set(await search.find(typed)) == set(ids)
        for nothing in ("ann", LOGIN[:-1], f"{LOGIN[:-1]}b", f"0x{'7' * 64}"):
            assert list(await search.find(nothing)) == [], nothing
