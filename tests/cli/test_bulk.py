"""One act over many records: what is shown is what happens, to each once, however often it is interrupted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from machines.core.clock import DAY
from machines.core.errors import BadInput, NotAllowed, NotFound, StoreUnavailable
from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId
from machines.core.money import NGN, Money
from machines.payout import facts as f
from machines.payout.data import RiskFinding, reference_of
from payflow.app.installation import Payflow, opened
from payflow.config import Settings
from payflow.desk.actions import ActionRequest, actions_of
from payflow.desk.archive import archive
from payflow.desk.bulk import AT_ONCE, LOOKED_AT, VERBS, Bulk
from payflow.desk.identity import disable_person
from payflow.desk.payouts import Ask
from payflow.desk.person import Person
from payflow.desk.query import RecordQuery
from payflow.desk.steering import Steering
from payflow.engine.step import take_in
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.macs import Forged
from payflow.store.registers.bulk_runs import BulkEntry, BulkStage
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.stored import Stored
from tests.cli.test_payouts import ACCOUNT, ANN, FAILED, Counter, parts, till
from tests.cli.test_payouts import APPROVED as APPROVED_FACTS
from tests.cli.till import showing

__all__ = ["till"]

OLU, RITA = Person("olu", Role.OPERATOR), Person("rita", Role.REVIEWER)
BANK_DOWN, CLOSED = "the bank is down", "the account is closed"
Step = Callable[[str], Fact]


def failed(why: str, *, retryable: bool) -> Step:
    return lambda reference: f.NotPaid(reference, why, retryable=retryable)


REVIEW: tuple[Step, ...] = (lambda _: f.Assessed((RiskFinding("new", "0 payouts"),), seal="rules.sealed"),)
TWO: tuple[Step, ...] = (
    lambda _: f.Assessed((RiskFinding("amount", "much"),), seal="rules.sealed", approvals_needed=2),
)
APPROVED: tuple[Step, ...] = (lambda _: f.Assessed((), seal="rules.sealed"),)
BOARDED: tuple[Step, ...] = (*APPROVED, lambda _: f.Boarded("b"))
PATHS: dict[str, tuple[Step, ...]] = {
    "asked": (),
    "in review": REVIEW,
    "for two": TWO,
    "approved": APPROVED,
    "boarded": BOARDED,
    "sent": (*BOARDED, f.Submitted),
    "failed, bank": (*BOARDED, failed(BANK_DOWN, retryable=False)),
    "failed, account": (*BOARDED, failed(CLOSED, retryable=False)),
    "cancelled": (*APPROVED, lambda _: f.Cancelled("ann")),
}


@pytest.fixture
async def payflow(settings: Settings) -> AsyncIterator[Payflow]:
    async with opened(settings.model_copy(update={"payout_most_open": 0, "payout_most_daily": 0}), parts) as payflow:
        yield payflow


async def payout(payflow: Payflow, path: str, key: str, amount: str = "1000", owner: Owner = ANN) -> RecordId:
    desk = payflow.parts.desk
    assert desk is not None
    await payflow.store.records.fund(owner, Money.parse("1000000", NGN), "earned")
    made = (await desk.request(Ask(owner, Money.parse(amount, NGN), "bank", ACCOUNT, key=key))).record
    for step in PATHS[path]:
        fact = step(reference_of(made.id, 1, made.data.installation))
        if isinstance(fact, f.Assessed):
            fact = replace(fact, place=made.data.place)  # the rules say where they saw it go
        await take_in(payflow.store.records, payflow.metrics, made.id, fact, "test")
    return made.id


def bulk_of(payflow: Payflow) -> Bulk:
    assert payflow.parts.desk is not None
    steering = Steering(payflow.store, payflow.metrics)
    return Bulk(payflow.store, actions_of(payflow.store, payflow.parts.desk, steering), steering)


def who_does(verb: str) -> Person:
    return RITA if Role.REVIEWER in VERBS[verb] else OLU


async def park(payflow: Payflow, record_id: RecordId) -> None:
    stored = await payflow.store.records.read(record_id)
    await payflow.store.records.park(stored, "a bug", "worker-1")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_shown_is_what_happens(payflow: Payflow, verb: str, seed: int) -> None:
    rng = Random(f"{verb} {seed}")
    made = [await payout(payflow, rng.choice(list(PATHS)), str(number)) for number in range(25)]
    for one in rng.sample(made, 5):
        await park(payflow, one)
    bulk, who = bulk_of(payflow), who_does(verb)
    preview = await bulk.preview(verb, RecordQuery.parse("machine=payout"), who, "because")
    assert sorted(one.id for one in preview.lines) == sorted(made)
    before = {one: (await payflow.store.records.read(one)).record for one in made}
    if not preview.meant:
        with pytest.raises(BadInput, match="Nothing would be done"):
            await bulk.begin(preview, who, "because")
        return
    entries = await bulk.go_on(await bulk.begin(preview, who, "because"), who)
    assert {one: entry.stage for one, entry in entries.items()} == dict.fromkeys(
        (one.id for one in preview.meant), BulkStage.DONE
    )
    for line in preview.meant:
        after = (await payflow.store.records.read(line.id)).record
        assert entries[line.id].becomes == line.becomes
        assert after.state == (before[line.id].state if line.becomes == LOOKED_AT else line.becomes.split(" ")[-1])
        assert not after.parked
    for line in preview.left_alone:
        after = (await payflow.store.records.read(line.id)).record
        assert (after.version, after.state) == (before[line.id].version, before[line.id].state)


async def test_a_question_finds_what_it_means_and_sums_it_up(payflow: Payflow) -> None:
    bank = [await payout(payflow, "failed, bank", f"b{number}", "150.50") for number in range(3)]
    await payout(payflow, "failed, account", "c", "120")
    await payout(payflow, "failed, bank", "d", "200", Owner("bob"))
    bulk = bulk_of(payflow)
    asked = RecordQuery.parse("machine=payout and state=FAILED and cause~Bank and owner=ann and amount>=150")
    preview = await bulk.preview("retry", asked, OLU, "the bank is back")
    assert sorted(one.id for one in preview.meant) == sorted(bank)
    assert preview.says() == ["3 in FAILED: PROCESSING (NGN 451.50)"]
    assert (await bulk.preview("retry", RecordQuery.parse("state=FAILED and age>1h"), OLU, "x")).lines == []
    both = await bulk.preview("release", RecordQuery.parse("currency=NGN and cause!=x"), OLU, "x")
    assert len(both.lines) == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Say which records"),
        ("state", "is no condition"),
        ("colour=red", "Records are not asked for 'colour'"),
        ("state>FAILED", "state does not go with '>'"),
        ("age>soon", "says not how long"),
        ("amount>much", "is no number"),
        ("state=FAILED and", "No machine has a state that fits"),
        ("state=FAILED or state=COMPLETED", "No machine has a state that fits"),
        ("state=FALIED", "No machine has a state that fits"),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused_in_words(payflow: Payflow, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        await bulk_of(payflow).preview("retry", RecordQuery.parse(text), OLU, "x")


async def test_only_who_may_do_it_to_one_may_do_it_to_many(payflow: Payflow) -> None:
    bulk, wanted = bulk_of(payflow), RecordQuery.parse("machine=payout")
    await payout(payflow, "in review", "1")
    for verb, person in (("approve", OLU), ("release", RITA), ("retry", Person("vic", Role.VIEWER))):
        with pytest.raises(NotAllowed):
            await bulk.preview(verb, wanted, person, "x")
    name = await bulk.begin(await bulk.preview("approve", wanted, RITA, "x"), RITA, "x")
    with pytest.raises(NotAllowed):
        await bulk.go_on(name, OLU)
    with pytest.raises(NotFound):
        await bulk.go_on("0" * 12, OLU)


async def disable(payflow: Payflow, otto: Person) -> None:
    await disable_person(payflow.store, "olu", "left", otto)


async def revoke(payflow: Payflow, _: Person) -> None:
    await Tokens(payflow.store.link).revoke("olu-laptop", "otto")


async def take_the_role(payflow: Payflow, _: Person) -> None:
    person = await payflow.store.persons.find("olu")
    assert person is not None
    await payflow.store.persons.write(replace(person, roles=frozenset({Role.VIEWER})))


@pytest.mark.parametrize("shut_out", [disable, revoke, take_the_role])
async def test_whoever_is_shut_out_meanwhile_does_it_to_no_further_record(
    payflow: Payflow, monkeypatch: pytest.MonkeyPatch, shut_out: Callable[[Payflow, Person], Awaitable[None]]
) -> None:
    made = [await payout(payflow, "failed, bank", str(number)) for number in range(3 * AT_ONCE)]
    now = await payflow.store.records.now()
    await payflow.store.persons.write(RegisteredPerson("olu", frozenset({Role.OPERATOR}), "otto", now))
    await Tokens(payflow.store.link).create("olu-laptop", Role.OPERATOR, "", "otto", person="olu")
    assert payflow.parts.desk is not None
    steering, is_out = Steering(payflow.store, payflow.metrics), anyio.Event()
    actions = actions_of(payflow.store, payflow.parts.desk, steering)
    bulk, olu = Bulk(payflow.store, actions, steering), replace(OLU, token="olu-laptop")
    name = await bulk.begin(await bulk.preview("retry", made, olu, "x"), olu, "x")
    retried, begun = actions.carry_out, list[RecordId]()

    async def carry_out(verb: str, stored: Stored, word: ActionRequest) -> str:
        begun.append(stored.record.id)
        if len(begun) == AT_ONCE:
            await shut_out(payflow, Person("otto", Role.OPERATOR))
            is_out.set()
        await is_out.wait()
        return await retried(verb, stored, word)

    monkeypatch.setattr(actions, "carry_out", carry_out)
    with pytest.raises(NotAllowed, match="nothing more is done"):
        await bulk.go_on(name, olu)
    _, entries = await bulk.read(name)
    left = [one for one, entry in entries.items() if entry.stage is BulkStage.WAITING]
    assert len(begun) == AT_ONCE
    assert len(left) == 2 * AT_ONCE
    with pytest.raises(NotAllowed, match="nothing more is done"):
        await bulk.go_on(name, olu)


async def test_what_changed_since_it_was_shown_is_left_alone(payflow: Payflow) -> None:
    first, second = await payout(payflow, "failed, bank", "1"), await payout(payflow, "failed, bank", "2")
    bulk = bulk_of(payflow)
    preview = await bulk.preview("retry", RecordQuery.parse("state=FAILED"), OLU, "x")
    assert payflow.parts.desk is not None
    await payflow.parts.desk.release(first, Person("otto", Role.OPERATOR), "not wanted")
    entries = await bulk.go_on(await bulk.begin(preview, OLU, "x"), OLU)
    assert {one: entry.stage for one, entry in entries.items()} == {first: BulkStage.REFUSED, second: BulkStage.DONE}
    assert "changed since you looked at it" in entries[first].why
    assert (await payflow.store.records.read(first)).record.state == "CANCELLED"


@pytest.mark.parametrize("after", range(1, 12))
async def test_whoever_is_interrupted_goes_on_and_no_record_is_done_twice(
    payflow: Payflow, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    made = [await payout(payflow, "failed, bank", str(number)) for number in range(4)]
    bulk, monkey = bulk_of(payflow), {"left": after}
    preview = await bulk.preview("retry", made, OLU, "x")
    name = await bulk.begin(preview, OLU, "x")
    ask = payflow.store.link.ask
    run = payflow.store.link.run

    async def dying(real: Any, *words: Any) -> Any:  # noqa: ANN401
        answer = await real(*words)
        monkey["left"] -= 1
        if monkey["left"] < 0:
            raise StoreUnavailable("the process died here")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr("payflow.desk.bulk.AT_ONCE", 1)
        patched.setattr(payflow.store.link, "ask", lambda *words: dying(ask, *words))
        patched.setattr(payflow.store.link, "run", lambda *words: dying(run, *words))
        with pytest.raises(StoreUnavailable):
            await bulk.go_on(name, OLU)
    entries = await bulk.go_on(name, OLU)
    assert {entry.stage for entry in entries.values()} == {BulkStage.DONE}
    for one in made:
        moves = [event.trigger for event in await payflow.store.records.history(one)]
        assert moves.count("retry") == 1
    again = await bulk.go_on(name, OLU)
    assert again == entries


async def test_archived_records_come_back_to_be_compared(payflow: Payflow, tmp_path: Path) -> None:
    gone, store = await payout(payflow, "cancelled", "1"), payflow.store
    shard = store.records.shard_of(gone)
    await store.link.ask("DEL", keys.messages(shard), keys.outbox(shard), keys.due(shard, "payout", "CANCELLED"))
    # For a day the risk rules count it among what was asked for.
    await store.link.ask("HSET", keys.record(gone), "made", await store.records.now() - 2 * DAY)
    done = await archive(store, tmp_path, await store.records.now(), "ola")
    assert done.records == 1
    bulk = bulk_of(payflow)
    preview = await bulk.preview("resync", [gone, RecordId("payout-01-aaaaaaaaaaaaaaaa")], OLU, "their letter")
    assert [(line.state, line.becomes) for line in preview.meant] == [("CANCELLED", LOOKED_AT)]
    assert [line.refused for line in preview.left_alone] == ["There is no record payout-01-aaaaaaaaaaaaaaaa."]
    with pytest.raises(NotFound):
        await store.records.read(gone)
    await bulk.go_on(await bulk.begin(preview, OLU, "their letter"), OLU)
    found = (await store.records.read(gone)).record
    assert (await store.listing.outlook(found)).at is not None


# ── at the terminal ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_at_the_terminal_it_is_shown_asked_and_told(till: Counter) -> None:
    failed_ones = [till.payout(*FAILED, key=str(number)) for number in range(2)]
    till.payout(*APPROVED_FACTS, key="approved")
    words = ("do", "release", "--where", "machine=payout and state!=REQUESTED", "--reason", "not wanted")
    with showing(till, "olu"):
        shown = till(*words, answer="n\n")
        assert "2 in FAILED: CANCELLED (NGN 2,000.00)" in shown.out
        assert "1 left alone (NGN 1,000.00): " in shown.out
        assert till.record(failed_ones[0]).state == "FAILED"
        told = till.json(*words, "--yes")
    assert told["counts"] == {"waiting": 0, "begun": 0, "done": 2, "refused": 0}
    assert {(one["id"], one["becomes"]) for one in told["records"]} == {(one, "CANCELLED") for one in failed_ones}
    assert {till.record(one).state for one in failed_ones} == {"CANCELLED"}


def test_at_the_terminal_bad_input_is_a_sentence(till: Counter) -> None:
    one = till.payout(*FAILED)
    for words, code, says in (
        (("do", "pay", one), 2, "There is no act 'pay'"),
        (("do", "retry", "--reason", "x"), 2, "Name records, or say which with --where"),
        (("do", "retry", one, "--where", "state=FAILED", "--reason", "x"), 2, "one of the two"),
        (("do", "retry", one), 1, "This needs a reason"),
        (("do", "retry", "payout-1", "--reason", "x"), 2, "is no record id"),
        (("do", "retry", "--where", "colour=red", "--reason", "x"), 2, "Records are not asked for"),
        (("do", "approve", one, "--reason", "x"), 1, "takes the token of a reviewer"),
        (("do", "--go-on", "nothing"), 1, "Nothing was begun under"),
        (("do", "retry", one, "--go-on", "nothing"), 2, "name nothing else"),
    ):
        assert says in till.refused(*words, code=code), words
    result = till("do", "resume", one, "--reason", "x")
    assert (result.code, "was not set aside" in result.out, "Nothing was done." in result.out) == (1, True, True)


def test_at_the_terminal_records_are_compared_with_the_world_anew(till: Counter) -> None:
    one = till.payout(*FAILED)
    told = till.json("resync", one, "--reason", "their letter", "--yes")
    assert [(line["id"], line["stage"]) for line in told["records"]] == [(one, "done")]


async def test_what_somebody_writes_into_a_run_by_hand_is_not_done(payflow: Payflow) -> None:
    """What was begun stands in the store: a reviewer who goes on says yes to what they saw, and to nothing else."""
    link, bulk = payflow.store.link, bulk_of(payflow)
    seen, hidden = await payout(payflow, "in review", "1"), await payout(payflow, "in review", "2", "400000")
    name = await bulk.begin(await bulk.preview("approve", [seen], RITA, "x"), RITA, "x")
    other = await bulk.begin(await bulk.preview("approve", [hidden], RITA, "x"), RITA, "x")
    shown = (await bulk.preview("approve", [hidden], RITA, "x")).lines[0]
    key = keys.bulk_run(name)
    entry = encode(BulkEntry(shown.state, shown.seen, shown.becomes))
    copied = await link.ask("HGET", keys.bulk_run(other), hidden)
    for row in (entry, b"\0" + entry, copied):
        await link.ask("HSET", key, hidden, row)
        with pytest.raises(Forged):
            await bulk.go_on(name, RITA)
        assert not (await payflow.store.records.read(hidden)).record.data.approvals
    await link.ask("HDEL", key, hidden)
    assert (await bulk.go_on(name, RITA))[seen].stage is BulkStage.DONE


async def test_another_act_than_was_begun_is_not_done(payflow: Payflow) -> None:
    link, bulk = payflow.store.link, bulk_of(payflow)
    made = await payout(payflow, "approved", "1")
    name = await bulk.begin(await bulk.preview("resync", [made], OLU, "x"), OLU, "x")
    plan, _ = await bulk.read(name)
    other = encode(replace(plan, verb="cancel"))
    for row in (other, b"\0" + other):
        await link.ask("HSET", keys.bulk_run(name), "plan", row)
        with pytest.raises(Forged):
            await bulk.go_on(name, OLU)
    assert (await payflow.store.records.read(made)).record.state == "APPROVED"


async def test_nobody_goes_on_with_what_another_one_saw(payflow: Payflow) -> None:
    """Of what is left they saw nothing: they look themselves, and begin anew."""
    bulk, made = bulk_of(payflow), await payout(payflow, "in review", "1")
    name = await bulk.begin(await bulk.preview("approve", [made], RITA, "x"), RITA, "x")
    with pytest.raises(NotAllowed, match="rita began"):
        await bulk.go_on(name, Person("rolf", Role.REVIEWER))
    assert not (await payflow.store.records.read(made)).record.data.approvals
    assert (await bulk.go_on(name, RITA))[made].stage is BulkStage.DONE
