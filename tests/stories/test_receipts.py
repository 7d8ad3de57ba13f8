"""Receipts of payouts over a gateway: what they say, to whom, and that nothing of them can be changed."""

import json
from typing import Any

import pytest

from machines.core.clock import Millis
from machines.core.facts import Override
from machines.core.ids import RecordId
from payflow.desk.archive import archive, folder_of
from payflow.desk.receipts.checking import check
from payflow.desk.receipts.signing import NoReceipt, canonical, signed
from payflow.engine.step import take_in
from payflow.store import keys
from payflow.store.receipt_keys import ReceiptKeys
from tests.deploy.test_setback import nobody_watches
from tests.stories.town import BOUNCES, Town
from tests.verifier import verify


async def _receipt(town: Town, payout: str, who: str = "ann", query: str = "", *, expect: int = 200) -> bytes:
    kind = "records" if who == "otto" else "payouts"
    place = f"{town.address}/api/{kind}/{payout}/receipt{query}"
    headers = {"Authorization": f"Bearer {await town._token(who)}"}  # noqa: SLF001
    async with town.session.get(place, headers=headers) as answer:
        assert answer.status == expect, await answer.text()
        return await answer.read()


async def _asked(town: Town, path: str, *, expect: int = 200) -> Any:  # noqa: ANN401
    async with town.session.get(town.address + path) as answer:
        assert answer.status == expect, await answer.text()
        return await answer.json()


async def _overridden(town: Town, payout: RecordId, to: str) -> None:
    fact = Override(to, "otto", "somebody told me", "olu")
    await take_in(town.store.records, town.metrics, payout, fact, "otto")


async def _paid(town: Town) -> str:
    await town.ann_earns("80000")
    payout = await town.ann_asks("60000")
    await town.approve(payout)
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    return payout


async def test_who_was_paid_can_prove_it_to_anybody(town: Town) -> None:
    payout = await _paid(town)
    listed = await _asked(town, "/.well-known/payflow-keys.json")
    (key,) = [one["ed25519"] for one in listed["keys"]]
    for query in ("", "?page=true"):
        file = await _receipt(town, payout, query=query)
        found = check(file, [bytes.fromhex(key)])
        assert found.known
        body = verify(file, key)
        assert body == found.body
        assert (body["says"], body["id"]) == ("PAID", payout)
        assert body["arrives"] == {"asset": "NGN", "amount": "60000.00"}
        assert body["attempts"] == [{**body["attempts"][0], "outcome": "paid", "reference": town.reference(payout)}]
        assert dict(body["evidence"]["details"])["id"] == str(town.transfer(payout).id)
        assert len(body["history"]["hashes"]) == body["history"]["version"]


async def test_not_one_byte_of_a_receipt_can_be_changed(town: Town) -> None:
    payout = await _paid(town)
    for query, step in (("", 1), ("?page=true", 3)):
        file = await _receipt(town, payout, query=query)
        for at in range(0, len(file), step):
            changed = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
            with pytest.raises(NoReceipt):
                check(changed)
        for at in range(0, len(file), 97):
            with pytest.raises(Exception):  # noqa: B017, PT011  (it says no in many ways)
                verify(file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :])
        with pytest.raises(NoReceipt):
            check(file + b"\n")


async def test_who_may_write_to_the_store_makes_no_receipt(town: Town) -> None:
    payout = await _paid(town)
    known = town.store.receipt_keys.known
    body = json.loads(await _receipt(town, payout))["body"]
    forged = signed(
        {**body, "arrives": {"asset": "NGN", "amount": "99000.00"}}, ReceiptKeys(["a key of the thief's own"])
    )
    assert not check(forged).known
    with pytest.raises(NoReceipt, match="none of those"):
        check(forged, known)
    with pytest.raises(Exception, match="another key"):
        verify(forged, known[0].hex())
    with pytest.raises(NoReceipt):
        check(canonical({**json.loads(forged), "public": known[0].hex()}))
    record = await town.store.link.ask("HGETALL", keys.record(RecordId(payout)))
    await town.store.link.ask("HSET", keys.record(RecordId(payout)), "state", "REVERSED")
    assert b"has no receipt" in await _receipt(town, payout, "otto", expect=409)
    code = town.store.seals.fingerprint("receipt", payout)
    told = await _asked(town, f"/api/receipts/{payout}/{code}", expect=409)
    assert told["error"]["message"] == "It cannot be said now: ask again later, or ask who paid."
    await town.store.link.ask("HSET", keys.record(RecordId(payout)), "state", record[b"state"])
    await _receipt(town, payout)


async def test_only_those_who_work_here_see_each_other_in_it(town: Town) -> None:
    payout = await _paid(town)
    for who in ("ann", "shop"):
        text = (await _receipt(town, payout, who)).decode()
        assert "rita" not in text
        assert json.loads(text)["body"]["approvals"][0]["by"] == "reviewer 1"
        assert json.loads(text)["body"]["owner"] == "ann"
        assert "findings" not in json.loads(text)["body"]
    body = json.loads(await _receipt(town, payout, "otto"))["body"]
    assert body["approvals"][0]["by"] == "rita"
    assert "amount" in body["findings"]
    assert "0123456789" not in (await _receipt(town, payout, "otto")).decode()


async def test_nothing_is_called_paid_before_the_bank_has_said_so(town: Town) -> None:
    await town.ann_earns("80000")
    payout = await town.ann_asks("60000")
    assert verify(await _receipt(town, payout))["says"] == "NOT KNOWN YET"
    await town.approve(payout)
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    assert verify(await _receipt(town, payout))["says"] == "NOT KNOWN YET"
    await town.time_passes(seconds=5)
    await town.until(payout, "paid")
    assert verify(await _receipt(town, payout))["says"] == "PAID"


async def test_a_persons_word_for_it_is_no_proof(sunday_town: Town) -> None:
    town = sunday_town
    await town.ann_earns("80000")
    payout = RecordId(await town.ann_asks("60000"))
    await _overridden(town, payout, "COMPLETED")
    body = verify(await _receipt(town, payout))
    assert body["says"] == "SAID TO BE PAID, WITHOUT PROOF"
    assert [one["by"] for one in body["events"] if "by" in one] == ["an operator, by hand"]
    await _overridden(town, payout, "CANCELLED")
    assert verify(await _receipt(town, payout))["says"] == "NOT PAID"


async def test_why_an_attempt_failed_is_for_those_who_work_here(town: Town) -> None:
    await town.ann_is_an_old_customer()
    await town.ann_earns("20000")
    payout = await town.ann_asks("2000")
    town.bank.transfers.otherwise = BOUNCES
    await town.until_queued(payout)
    await town.time_passes(hours=2)
    await town.until_sent(payout)
    await town.time_passes(seconds=10)
    await town.until(payout, "failed")
    for who, said in (("ann", "failed"), ("otto", "failed: DISBURSE FAILED")):
        (attempt,) = json.loads(await _receipt(town, payout, who))["body"]["attempts"]
        assert attempt["outcome"].startswith(said)
        assert ("DISBURSE" in attempt["outcome"]) == (who == "otto")


async def test_what_came_back_is_said_by_the_old_receipt_too(town: Town) -> None:
    payout = await _paid(town)
    body = verify(await _receipt(town, payout))
    code = town.store.seals.fingerprint("receipt", payout)
    place = f"/api/receipts/{payout}/{code}"
    assert (await _asked(town, place))["says"] == "PAID" == body["says"]
    await _asked(town, f"/api/receipts/{payout}/{'0' * len(code)}", expect=404)
    await _asked(town, f"/api/receipts/{town.reference(payout)}/{code}", expect=404)
    town.bank.transfers.reverse(town.transfer(payout))
    await town.time_passes(days=1)
    await town.until(payout, "returned")
    assert (await _asked(town, place))["says"] == "REVERSED"
    assert verify(await _receipt(town, payout))["says"] == "REVERSED"


async def test_nobody_gets_the_receipt_of_another_ones_payout(town: Town) -> None:
    payout = await _paid(town)
    headers = {"Authorization": f"Bearer {await town._token('shop')}"}  # noqa: SLF001
    async with town.session.get(f"{town.address}/api/records/{payout}/receipt", headers=headers) as answer:
        assert answer.status == 403
    await _asked(town, f"/api/payouts/{payout}/receipt", expect=401)


async def test_a_payout_that_was_put_away_has_its_receipt(sunday_town: Town) -> None:
    town = sunday_town
    async with town.worker():
        payout = await _paid(town)
        await town.until_all_is_told()
        await town.time_passes(days=100)
        await nobody_watches(town, payout)
    before = verify(await _receipt(town, payout, "otto"))
    town.clock.advance(1)
    store = town.store
    assert (await archive(store, folder_of(store), Millis(town.clock.now()), "olu")).records == 1
    after = verify(await _receipt(town, payout, "otto"))
    assert after["says"] == "PAID"
    assert after["history"]["hashes"][: before["history"]["version"]] == before["history"]["hashes"]
