"""A payment whose older row and history are put back into the store by somebody is not paid a second time."""

from machines.core.ids import parse_id
from machines.transaction import lifecycle as s
from payflow.store import keys
from tests.chain import GWEI, Anvil, stranger
from tests.lanes import Station
from tests.waiting import wait_until


async def test_an_older_row_of_a_paid_payment_pays_nothing(station: Station, chain: Anvil) -> None:
    to = stranger()
    payment, ask = station.payment("p-1", to), station.store.link.ask
    await station.pay(payment)
    record = await station.record(payment)
    shard, places = parse_id(record.id)[1], (keys.record(record.id), keys.history(record.id))
    before = [(place, await ask("DUMP", place)) for place in places]
    told: list[str] = []
    station.store.link.macs.on_forged = told.append
    async with station.worker():
        await station.until_settled([payment])
        for place, copy in before:
            await ask("RESTORE", place, 0, copy, "REPLACE")
        for state in (s.SETTLED, s.SENDING):
            await ask("ZREM", keys.members(shard, "payment", state), record.id)
        await ask("ZADD", keys.members(shard, "payment", s.QUEUED), 1, record.id)
        assert (await station.record(payment)).state == s.QUEUED

        async def noticed() -> bool:
            await station.poke()
            return bool(told)

        await wait_until(noticed, "somebody is told")
        other = station.payment("p-2")
        await station.pay(other)
        await station.until_settled([other])
    assert await chain.balance(to) == 1_000_000 * GWEI
