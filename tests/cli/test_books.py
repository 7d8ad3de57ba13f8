"""The books: balances as people read them, and faults that are found, named and told by the exit code."""

import asyncio

import pytest

from machines.core.ids import Owner
from payflow.app.installation import Payflow
from payflow.cli.books import COLUMNS
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store import keys
from tests.cli.till import Till, showing
from tests.desk import ANN, ask, fund, new
from tests.service import told


def account_key(owner: Owner = ANN) -> str:
    shard = int(new(owner).id.split("-")[1])
    return keys.account(shard, owner)


# --- ledger


def test_the_trial_balance_sums_all_accounts(till: Till) -> None:
    till.errand("DONE", units=1_200)
    till.errand("FAILED", units=300, owner=Owner("bob"))
    books = till.json("ledger")
    assert (books["accounts"], books["conserved"], books["faults"]) == (2, True, [])
    assert books["totals"] == [
        {"asset": "NGN", "available": "19985.00", "held": "3.00", "paid": "12.00", "funded": "20000.00", "owed": "0.00"}
    ]
    assert "2 accounts. Conserved: nothing was lost, nothing was made." in till("ledger").out


def test_the_ledger_of_one_owner(till: Till) -> None:
    till.errand("DONE", units=1_200)
    (account,) = till.json("ledger", "ann")["accounts"]
    assert (account["available"], account["paid"]) == ("9988.00", "12.00")
    assert "nobody has no account." in till("ledger", "nobody").out


def test_money_that_was_made_is_found(till: Till) -> None:
    till.errand("DONE")
    till.store_ask("HINCRBY", account_key(), "NGN.available", 1)
    books = till.json("ledger", code=1)
    assert not books["conserved"]
    assert any("ann NGN: funded + owed and available + held + paid differ by -1." in fault for fault in books["faults"])
    assert "NOT conserved" in till("ledger").out
    assert not till.json("ledger", "ann", code=1)["balanced"]


def test_money_that_was_moved_by_hand_is_found(till: Till) -> None:
    till.errand("FAILED", units=1_200)
    till.store_ask("HINCRBY", account_key(), "NGN.available", 200)
    till.store_ask("HINCRBY", account_key(), "NGN.held", -200)
    books = till.json("ledger", code=1)
    assert any("1000 is held, the records that hold sum to 1200" in fault for fault in books["faults"])
    assert any("the journal sums to" in fault for fault in books["faults"])


def test_an_owner_who_is_none_is_refused(till: Till) -> None:
    assert "'!' is no owner" in till.refused("ledger", "!", code=2)


def test_books_and_records_are_found_true_while_workers_change_them(till: Till) -> None:
    async def check_at_work(payflow: Payflow) -> tuple[list[str], int]:
        owners = [Owner(f"owner{number}") for number in range(10)]
        for owner in owners:
            await fund(payflow.store, owner, 10**9)

        async def keep_asking() -> None:
            for wave in range(60):
                await asyncio.gather(
                    *(ask(payflow.store, owners[number % 10], 100, f"{wave} {number}") for number in range(30))
                )

        dispatcher = Dispatcher(payflow.store.outbox, payflow.metrics, {"told": told})
        worker = Worker(payflow.store, payflow.settings, payflow.metrics, dispatcher)
        working, asking = asyncio.create_task(worker.run()), asyncio.create_task(keep_asking())
        found, checks = [], 0
        while not asking.done():
            found += (await payflow.store.ledger.check()).faults
            found += [fault.problem async for fault in payflow.store.integrity.verify()]
            checks += 1
        worker.stop()
        await asyncio.gather(working, asking)
        return found, checks

    found, checks = till.do(check_at_work)
    assert found == []
    assert checks >= 2


# --- verify


def test_verify_finds_nothing_where_nothing_is(till: Till) -> None:
    till.errand("DONE")
    assert till.json("verify") == {"records": 1, "faults": []}
    assert "1 records: every history whole, every index true, none forgotten." in till("verify").out


def test_verify_finds_a_history_that_was_changed(till: Till) -> None:
    record_id = till.errand("DONE")
    till.store_ask("LTRIM", keys.history(record_id), 0, 2)
    (fault,) = till.json("verify", code=1)["faults"]
    assert fault["record"] == record_id
    assert "its history is not whole" in fault["problem"]
    assert "1 faults in 1 records." in till("verify").out


def test_verify_finds_a_record_that_is_in_no_index(till: Till) -> None:
    record_id = till.errand("DONE")
    till.store_ask("ZREM", keys.members(int(record_id.split("-")[1]), "errand", "DONE"), record_id)
    assert till.json("verify", code=1)["faults"] == [
        {"record": record_id, "problem": "it is in DONE, whose index does not name it"}
    ]


def test_verify_finds_a_record_in_two_indexes(till: Till) -> None:
    record_id = till.errand("DONE")
    till.store_ask("ZADD", keys.members(int(record_id.split("-")[1]), "errand", "READY"), 1, record_id)
    assert till.json("verify", code=1)["faults"] == [
        {"record": record_id, "problem": "the index of READY names it, but it is in DONE"}
    ]


def test_verify_finds_an_index_entry_without_a_record(till: Till) -> None:
    till.store_ask("ZADD", keys.members(1, "errand", "READY"), 1, "errand-01-abcdefgh23456777")
    assert till.json("verify", code=1)["faults"] == [
        {"record": "errand-01-abcdefgh23456777", "problem": "the index of READY names it, but there is no such record"}
    ]


def test_verify_finds_a_record_that_nobody_will_look_at(till: Till) -> None:
    record_id = till.errand("READY")
    till.store_ask("ZREM", keys.due(int(record_id.split("-")[1]), "errand", "READY"), record_id)
    assert till.json("verify", code=1)["faults"] == [
        {"record": record_id, "problem": "nobody will ever look at it in READY"}
    ]
    assert "`payflow retry" in till.json("show", record_id)["next"]
    assert till.json("retry", record_id)["did"] == "due"
    assert till.json("verify")["faults"] == []


def test_verify_finds_data_that_cannot_be_read(till: Till) -> None:
    record_id = till.errand("DONE")
    till.store_ask("HSET", keys.record(record_id), "data", b"\xc1")
    (fault,) = till.json("verify", code=1)["faults"]
    assert "data cannot be read" in fault["problem"]


# --- ledger --correct


def figures(till: Till) -> str:
    """Ann's account as the store keeps it."""
    kept: dict[bytes, bytes] = till.store_ask("HGETALL", account_key())
    return " ".join(kept.get(f"NGN.{part}".encode(), b"0").decode() for part in COLUMNS)


def correcting(till: Till, *more: str) -> str:
    """Propose the correction of ann's account, and give its hash."""
    words = ("ledger", "ann", "--correct", "NGN", "--reason", "restored by hand last night", *more)
    with showing(till, "ola"):
        return str(till.json(*words)["proposal"])


def test_a_false_account_is_put_right_by_two_people_as_its_journal_says(till: Till) -> None:
    till.errand("FAILED", units=1_200)
    before = figures(till)
    till.store_ask("HINCRBY", account_key(), "NGN.available", 200)
    till.store_ask("HINCRBY", account_key(), "NGN.held", -200)
    words = ("ledger", "ann", "--correct", "NGN", "--reason", "restored by hand")
    assert "a shell without a token is nobody here" in till.refused(*words)
    with showing(till, "ola"):
        said = till(*words).out
        assert "The journal is believed. The account becomes 998800 1200 0 1000000 0." in said
        digest = till.json("proposals")[0]["proposal"]
        assert "must be another one" in till.refused("confirm", digest, "--yes")
    with showing(till, "eve"):
        assert "payflow resume owner:ann" in till("confirm", digest, "--yes").out
        assert "No proposal" in till.refused("confirm", digest, "--yes")
    assert figures(till) == before
    assert till.json("ledger")["conserved"]


def test_no_correction_leaves_less_than_nothing(till: Till) -> None:
    """The account said more than was theirs, and they asked for it: that is cancelled first."""
    till.errand("FAILED", units=1_200)
    till.store_ask("HINCRBY", account_key(), "NGN.available", 500_000)
    beyond = till.errand("FAILED", units=1_200_000, key="2")
    with showing(till, "ola"):
        assert "less than nothing" in till.refused("ledger", "ann", "--correct", "NGN", "--reason", "restored by hand")
        assert till.json("proposals") == []
        till.json("override", beyond, "CANCELLED", "--reason", "beyond what is theirs", "--yes")
    digest = correcting(till)
    with showing(till, "eve"):
        assert "Done" in till("confirm", digest, "--yes").out
    assert figures(till) == "998800 1200 0 1000000 0"
    assert till.json("ledger")["conserved"]


def test_a_journal_that_lost_a_posting_gets_it_back_with_the_reason_and_both_names(till: Till) -> None:
    till.errand("FAILED", units=1_200)
    journal = f"{{pf:{account_key()[4:6]}}}:journal"
    entries = till.store_ask("XRANGE", journal, "-", "+")
    (lost,) = [entry for entry, fields in entries if b"available held" in next(iter(dict(fields).values()))]
    till.store_ask("XDEL", journal, lost)
    before, digest = figures(till), correcting(till)
    with showing(till, "eve"):
        assert "Done" in till("confirm", digest, "--yes").out
    assert till.json("ledger")["conserved"]
    assert figures(till) == before
    newest = till.store_ask("XREVRANGE", journal, "+", "-", "COUNT", 1)[0][1]
    posted = b"ann NGN available held 1200 0 corrected by ola and eve: restored by hand last night"
    assert posted in list(dict(newest).values())


def test_where_both_could_be_right_a_person_says_which_is_believed(till: Till) -> None:
    till.errand("DONE", units=1_200)
    for part in ("available", "funded"):
        till.store_ask("HINCRBY", account_key(), f"NGN.{part}", 500)
    words = ("ledger", "ann", "--correct", "NGN", "--reason", "x")
    with showing(till, "ola"):
        assert "add --believe account or --believe journal" in till.refused(*words)
        assert "account or journal" in till.refused(*words, "--believe", "me", code=2)
        assert "needs a reason" in till.refused("ledger", "ann", "--correct", "NGN", "--believe", "journal")
    digest = correcting(till, "--believe", "account")
    with showing(till, "eve"):
        till("confirm", digest, "--yes")
    assert till.json("ledger", "ann")["accounts"][0]["funded"] == "10005.00"
    assert till.json("ledger")["conserved"]


def test_what_is_true_needs_no_correction_and_what_nobody_can_tell_gets_none(till: Till) -> None:
    till.errand("FAILED", units=1_200)
    with showing(till, "ola"):
        assert "nothing to correct" in till.refused("ledger", "ann", "--correct", "NGN", "--reason", "x")
        assert "no asset 'XXX'" in till.refused("ledger", "ann", "--correct", "XXX", "--reason", "x")
        till.store_ask("HINCRBY", account_key(), "NGN.held", 7)
        till.store_ask("HSET", f"{{pf:{account_key()[4:6]}}}:checkpoint", "ann NGN", "0 3 0 3 0")
        said = till.refused("ledger", "ann", "--correct", "NGN", "--reason", "x")
        assert "Neither of account and journal" in said


@pytest.mark.parametrize("when", ["before it is confirmed", "with another figure in its place"])
def test_books_that_changed_since_a_correction_was_proposed_are_not_corrected(till: Till, when: str) -> None:
    till.errand("FAILED", units=1_200)
    till.store_ask("HINCRBY", account_key(), "NGN.available", 200)
    digest = correcting(till)
    till.store_ask("HINCRBY", account_key(), "NGN.available", -200 if when.startswith("before") else 5)
    before = figures(till)
    with showing(till, "eve"):
        assert "not as they were when this was proposed" in till.refused("confirm", digest, "--yes")
    assert figures(till) == before


def test_a_payee_can_be_frozen_by_name_and_nobody_unknown_can(till: Till) -> None:
    till.errand("ASKED")
    assert "owner ann" in till("pause", "owner:ann", "--why", "looks wrong").out
    assert "owner:ann" in till("paused").out
    assert "Nothing here is called 'owner:anne'" in till.refused("pause", "owner:anne", "--why", "typing")
    till("resume", "owner:ann", "--why", "it is right")
    assert "Nothing is paused." in till("paused").out


# --- both sides


def test_the_trial_balance_shows_the_rails_side_and_whether_both_agree(till: Till) -> None:
    till.errand("DONE", units=1_200)
    till.errand("SENDING", units=300, owner=Owner("bob"))
    books = till.json("ledger")
    assert books["rails"] == [
        {
            "rail": "test", "asset": "NGN", "parts": {"in flight": "3.00", "settled": "12.00"},
            "expected": "-12.00", "wallet": "", "unexplained": "",
        }
    ]  # fmt: skip
    (both,) = books["equations"]
    assert (both["asset"], both["holds"], books["rails_opened"]) == ("NGN", True, True)
    told = till("ledger").out
    assert "NGN: 12.00 paid, say the owners' accounts = 12.00 settled" in told
    assert "test NGN" in told


def test_a_store_of_an_older_version_is_opened_when_somebody_has_seen_what_that_posts(till: Till) -> None:
    record_id = till.errand("DONE", units=1_200)
    shard = int(record_id.split("-")[1])
    till.store_ask("HDEL", keys.record(record_id), "share")
    till.store_ask("DEL", keys.rails(shard))
    for entry, fields in till.store_ask("XRANGE", keys.journal(shard), "-", "+"):
        if fields[b"e"].startswith(b"rail:"):
            till.store_ask("XDEL", keys.journal(shard), entry)
    till.store_ask("HDEL", keys.META, "rails_opened")
    assert "payflow ledger --open" in till("ledger").out
    assert "12.00" in till("ledger", "--open", answer="n\n").out
    assert not till.json("ledger")["rails_opened"]
    assert "Both sides of the books are compared" in till("ledger", "--open", "--yes").out
    (rail,) = till.json("ledger")["rails"]
    assert rail["parts"] == {"settled": "12.00"}
    assert till.json("ledger", "--open")["records"] == 0
