import pytest
from tests.desk import *
from tests.servers import *
from tests.errand import *

@pytest.mark.parametrize("kind", EVERY, indirect=True)
async def test_life(store):
    await fund(store)
    rid = await ask(store)
    s = await claim_one(store)
    await think(store, s, Approved())
    s = await claim_one(store, "READY")
    await think(store, s, Sent())
    s = await claim_one(store, "SENDING")
    await store.may_send(s, 1000)
    await think(store, s, Done("x"))
    assert await faults(store) == []
    assert (await account(store)).paid == 100
