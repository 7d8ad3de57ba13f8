"""Looking: how many records are where, which they are, the story of one, and the moves as they happen."""

import pytest

from machines.core.facts import Nothing
from machines.core.ids import Owner, RecordId
from machines.payout import lifecycle as payout
from payflow.app.installation import Payflow
from payflow.desk.records import Moves
from payflow.store import keys
from tests.cli.till import SHELL, Till
from tests.desk import BOB, ask, claim_one, fund, tell, think
from tests.errand import LIFECYCLE, Approved, Cancelled, Sent

# --- ls


def test_ls_counts_every_state_and_lists_the_open_ones_longest_first(till: Till) -> None:
    ready, failed, done = (till.errand(state, key=state) for state in ("READY", "FAILED", "DONE"))
    told = till.json("ls")
    assert [record["id"] for record in told["records"]] == [ready, failed]
    counts = {crowd["state"]: crowd["count"] for crowd in told["states"]}
    assert counts == dict.fromkeys(LIFECYCLE.states, 0) | {"READY": 1, "FAILED": 1, "DONE": 1}
    text = till("ls").out
    assert ready in text
    assert done not in text


def test_ls_tells_amounts_as_text_because_json_numbers_are_not_exact(till: Till) -> None:
    till.errand(units=100_000_000_000_000_001 % 10**6)
    (record,) = till.json("ls")["records"]
    assert record["amount"] == {"asset": "NGN", "amount": "0.01"}


def test_ls_filters_by_state_finished_ones_too(till: Till) -> None:
    done = till.errand("DONE")
    till.errand("READY", key="2")
    assert [record["id"] for record in till.json("ls", "--state", "DONE")["records"]] == [done]


def test_ls_filters_by_owner_newest_first(till: Till) -> None:
    first, second = till.errand(key="1"), till.errand("DONE", key="2")
    till.errand(owner=BOB)
    assert {record["id"] for record in till.json("ls", "--owner", "ann")["records"]} == {first, second}


def test_ls_lists_no_more_than_it_was_asked_for_and_says_so(till: Till) -> None:
    for key in "abc":
        till.errand(key=key)
    assert len(till.json("ls", "--limit", "2")["records"]) == 2
    assert "--limit shows more" in till("ls", "--limit", "2").out
    assert "--limit shows more" not in till("ls", "--limit", "4").out


def test_ls_stuck_names_those_set_aside_and_those_too_long_in_their_state(till: Till) -> None:
    till.errand("READY", key="fresh")
    old = till.errand("READY", key="old")

    async def age(payflow: Payflow) -> None:
        since = await payflow.store.records.now() - 61_000
        await payflow.store.link.ask("HSET", keys.record(old), "since", since)

    till.do(age)
    parked = till.parked()
    assert {record["id"] for record in till.json("ls", "--stuck")["records"]} == {old, parked}
    text = till("ls", "--stuck").out
    assert "set aside: a bug" in text
    assert "stuck" in text


def test_an_empty_installation_lists_nothing(till: Till) -> None:
    assert till.json("ls")["records"] == []
    assert "No such record." in till("ls").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--machine", "eran"), "There is no machine 'eran'; there is errand."),
        (("--state", "done"), "There is no state 'done'; there is ASKED, READY"),
        (("--owner", "!"), "'!' is no owner"),
    ],
)
def test_ls_says_what_there_is_when_something_is_mistyped(till: Till, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in till.refused("ls", *words, code=2)


# --- show


def test_show_tells_the_whole_story(till: Till) -> None:
    failed = till.errand("FAILED")
    told = till.json("show", failed)
    assert (told["state"], told["position"], told["history_fault"]) == ("FAILED", "held", "")
    assert [event["trigger"] for event in told["history"]] == ["", "approve", "send", "fail"]
    assert [event["who"] for event in told["history"]] == ["test"] * 4
    assert told["history"][1]["why"] == "approved by auto"
    assert told["next"] == "A person decides: retry → READY, cancel → CANCELLED."
    text = till("show", failed).out
    for part in ("NGN 12.00, held", "held 12.00", "fail → FAILED", "bounced", "4 events; the hash chain is whole."):
        assert part in text


def test_show_says_when_a_look_is_due(till: Till) -> None:
    assert "A look has been due for" in till.json("show", till.errand())["next"]


def test_show_says_when_the_next_look_is(till: Till) -> None:
    record_id = till.errand("SENDING")

    async def look(payflow: Payflow) -> None:
        await think(payflow.store, await claim_one(payflow.store, "SENDING"), Nothing())

    till.do(look)
    assert "The next look is at" in till.json("show", record_id)["next"]


def test_show_says_that_a_worker_has_it(till: Till) -> None:
    record_id = till.errand()

    async def lease(payflow: Payflow) -> None:
        await claim_one(payflow.store)

    till.do(lease)
    assert "A worker looks at it now; its lease ends in" in till.json("show", record_id)["next"]


def test_show_says_why_nobody_looks(till: Till) -> None:
    record_id = till.parked()
    assert till.json("show", record_id)["next"] == (
        f"Nobody looks: it was set aside (a bug). `payflow retry {record_id}` takes it up again."
    )


def test_show_says_that_a_story_has_ended(till: Till) -> None:
    assert till.json("show", till.errand("DONE"))["next"] == "Nothing: its story ends here."


def test_show_says_that_sends_are_paused(till: Till) -> None:
    record_id = till.errand("READY")
    till("pause", "everything", "--why", "the gateway is odd")
    assert till.json("show", record_id)["paused"] == [f"Sends are paused (everything, by {SHELL}): the gateway is odd"]


def test_show_finds_a_history_that_was_changed(till: Till) -> None:
    record_id = till.errand("DONE")
    event: bytes = till.store_ask("LINDEX", keys.history(record_id), 1)
    till.store_ask("LSET", keys.history(record_id), 1, event.replace(b"auto", b"evil"))
    assert till.json("show", record_id, code=1)["history_fault"] == "event 3 does not follow the one before"
    result = till("show", record_id)
    assert result.code == 1
    assert "The history is not whole" in result.out


def test_show_does_not_let_a_text_steer_the_terminal(till: Till) -> None:
    record_id = till.errand()

    async def vandal(payflow: Payflow) -> None:
        stored = await payflow.store.records.read(record_id)
        await payflow.store.records.unpark(stored, "\x1b[2J[bold]gone", "x")

    till.do(vandal)
    text = till("show", record_id).out
    assert "\x1b" not in text
    assert "[2J[bold]gone" in text


@pytest.mark.parametrize(
    ("typed", "code", "sentence"),
    [
        ("errand-01-abcdefgh23456777", 1, "There is no record errand-01-abcdefgh23456777."),
        ("errand-77-abcdefgh23456777", 1, "There is no record errand-77-abcdefgh23456777."),
        ("errand", 2, "'errand' is no record id"),
        ("payout-01-abcdefgh23456777", 2, "There is no machine 'payout'; there is errand."),
    ],
)
def test_show_says_what_is_wrong_with_an_id(till: Till, typed: str, code: int, sentence: str) -> None:
    assert sentence in till.refused("show", typed, code=code)


# --- lifecycle


def test_lifecycle_shows_states_and_moves(till: Till) -> None:
    text = till("lifecycle", "payout").out
    for part in ("PROCESSING", "poller, which sends", "held"):
        assert part in text
    told = till.json("lifecycle", "payout")
    assert [state["name"] for state in told["states"]] == list(payout.LIFECYCLE.states)
    assert {move["trigger"] for move in told["moves"]} == {move.trigger for move in payout.LIFECYCLE.moves}


def test_lifecycle_draws_a_diagram(till: Till) -> None:
    drawn = till("lifecycle", "repository", "--mermaid").out
    assert "stateDiagram-v2" in drawn
    assert "DISABLED --> ENABLED" in drawn


def test_lifecycle_of_an_unknown_machine_names_the_known_ones(till: Till) -> None:
    told = till.refused("lifecycle", "paiout", code=2)
    assert told.startswith("There is no machine 'paiout'; there is ")
    for name in ("payout", "pool", "lane", "payment", "transaction", "bounty", "repository"):
        assert name in told


# --- tail


def test_tail_tells_each_move_once_even_several_between_two_looks(till: Till) -> None:

    before = till.errand("READY", key="before")

    async def follow(payflow: Payflow) -> list[list[tuple[RecordId, str, str]]]:
        moves = Moves(payflow.store, await payflow.store.records.now())
        await moves.news()  # of the millisecond that `before` was made in, perhaps
        looks = []
        for facts in ([Sent()], [], [Cancelled()]):
            for fact in facts:
                await tell(payflow.store, before, fact)
            looks.append([(news.record, news.source, news.event.state) for news in await moves.news()])
        return looks

    first, second, third = till.do(follow)
    assert first == [(before, "READY", "SENDING")]
    assert second == []
    assert third == [], "a fact that was only noted is no move"


def test_tail_tells_what_a_new_record_went_through(till: Till) -> None:

    async def follow(payflow: Payflow) -> list[tuple[str, str]]:
        moves = Moves(payflow.store, await payflow.store.records.now())
        await fund(payflow.store, Owner("ann"))
        record_id = await ask(payflow.store)
        for fact in (Approved(), Sent()):
            await tell(payflow.store, record_id, fact)
        return [(news.source, news.event.state) for news in await moves.news()]

    assert till.do(follow) == [("", "ASKED"), ("ASKED", "READY"), ("READY", "SENDING")]


# --- trouble


def test_trouble_lists_what_is_wrong_and_ends_with_1_while_anything_is(till: Till) -> None:
    till.made()
    assert till("trouble").out == "Nothing is wrong.\n"
    till.json("pause", "machine:errand", "--why", "a bad feeling")
    (found,) = till.json("trouble", code=1)
    assert (found["name"], found["level"], found["records"]) == ("PausedForLong", "warn", [])
    assert found["runbook"] == "deploy/runbooks/PausedForLong.md"
    text = till("trouble").out
    assert "a bad feeling" in text
    assert "payflow resume machine:errand" in text
