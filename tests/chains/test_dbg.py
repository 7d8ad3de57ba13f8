from tests.chains.test_outside import *
from tests.chains.conftest import *
import tests.waiting as w
async def test_x(batching, chain):
    batching=batching
    payments = await some(batching, chain)
    async with batching.worker():
        await batching.pay(*payments)
        batch = await batching.until_nonce(1, s.SENT)
        await batching.tell(batch.id, f.CancelAsked("ada", "wrong list"))
        await batching.until_attempts(1, 2)
        for _ in range(20):
            await chain.mine(2); await batching.poke(); 
            import asyncio; await asyncio.sleep(.1)
    for e in await batching.store.records.history(batch.id): print(e.why, e.trigger, e.details)
    print((await batching.transaction(1)))
    print(await chain.rpc("txpool_content"))
    print(await batching.store.pauses.all())
    assert 0
