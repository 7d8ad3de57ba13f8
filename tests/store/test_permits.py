"""What leaves is what was approved: who has the store, and the keys that sign and seal it, cannot pay by that."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from machines.core.clock import DAY, FixedClock, Millis
from machines.core.decision import Decision, New
from machines.core.errors import BadInput, BadSettings, NotPossible
from machines.core.facts import Fact, Nothing, Override
from machines.core.ids import Owner, RecordId, derived_id
from machines.core.lifecycle import OVERRIDE
from machines.core.machine import AnyMachine
from machines.core.money import NGN, Money
from machines.core.ports import Cause, Destination, Evidence, Failed, Payment, SealKind, Settled, Status, Unsent
from machines.core.record import Record
from machines.payout import facts as f
from machines.payout.acts import PayoutActs
from machines.payout.data import Approval, Attempt, PayoutData, RiskFinding, reference_of
from machines.payout.lifecycle import APPROVED, COMPLETED, FAILED, PROCESSING, REQUESTED, UNCONFIRMED
from machines.payout.permit import by_person, by_rules
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from machines.payout.risk import Thresholds
from payflow.desk import permits
from payflow.desk.approvers import RegisteredApprovers
from payflow.desk.batches import Schedule
from payflow.desk.payouts import yes_of
from payflow.desk.person import Person
from payflow.desk.readiness import examine
from payflow.desk.reseal import reseal
from payflow.desk.steering import Steering
from payflow.engine.step import Steps
from payflow.store import keys
from payflow.store.permits import OF_SEAL_KEYS, PermitKeys, UnsignedRecord
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import keys_given, new_key
from payflow.store.store import Store, open_store
from payflow.store.stored import Queue, Stored
from payflow.telemetry.metrics import Metrics
from tests.desk import ANN, LEASE_MS, SEAL_KEY, settings_for
from tests.machines.payout.world import Known, Unlimited
from tests.servers import Deployment

HOME = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))
THIEF = Destination("bank", (("bank_code", "058"), ("account_number", "0999999999")))
APPROVALS, PERMITS = "made up for approvals and no others", "made up for permits and for no others"
KEYS = {"PAYFLOW_INSTALLATION": "ours", "PAYFLOW_APPROVAL_KEYS": APPROVALS, "PAYFLOW_PERMIT_KEYS": PERMITS}
INSTALLATION = "ours"
NEWER = "made up much later than the other ones"
OLGA, OMAR = Person("olga", Role.OPERATOR), Person("omar", Role.OPERATOR)
SMALL, LARGE = 1_000_00, 60_000_00
"""What the rules let pass, and what a person must approve."""


class Bank:
    """Writes down whom it was asked to pay how much; some payments fail."""

    def __init__(self) -> None:
        self.paid: dict[str, tuple[Destination, int]] = {}
        self.short: set[str] = set()
        self.fails = self.empty = False

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, payment: Payment) -> str | None:
        """Take it."""
        self.paid[payment.key] = (payment.to, payment.amount.units)
        return None

    async def status(self, payment: Payment) -> Status:
        """Say what became of it."""
        if payment.key not in self.paid:
            return Unsent()
        if self.empty or payment.key in self.short:
            self.short.add(payment.key)
            return Failed("no money in our wallet", retryable=True, cause=Cause.WALLET)
        failed = Failed("no such account", retryable=True)
        return failed if self.fails else Settled(Evidence("bank", payment.key))


class World:
    """A worker with all keys, and an API that has been taken over: it has all keys but those for permits."""

    def __init__(self, worker: Store, api: Store, bank: Bank, clock: FixedClock) -> None:
        self.worker, self.api, self.bank, self.clock = worker, api, bank, clock
        for store in (worker, api):
            store.serve([self.machine(store)])

    def machine(self, store: Store) -> AnyMachine:
        """The payouts of one process."""
        rails = {"flutterwave": self.bank, "paystack": self.bank}
        given = (rails, Known(), Schedule("instant"), store.seals, store.permit_keys, Thresholds(), Unlimited())
        looks = PayoutActs(*given, approvers=RegisteredApprovers(store))
        return payout(PayoutPolicy(retry_after_s=()), looks.acts())

    async def asked(self, units: int, key: str = "1", to: Destination = HOME, owner: Owner = ANN) -> RecordId:
        """Ann asks for money, which the rules have looked at when this is over."""
        shard = self.api.records.owner_shard(owner)
        record_id = derived_id("payout", shard, owner, key)
        await self.api.records.fund(owner, Money(units, NGN), f"earned {record_id}")
        data = PayoutData(
            rail="flutterwave",
            method="bank",
            sealed=self.api.seals.seal(to, record_id),
            shown=f"{to['bank_code']} ••••{to['account_number'][-4:]}",
            send_units=units,
            requested_by=owner,
            installation=INSTALLATION,
            fingerprint=f"print of {units} to {to['account_number']}",
            place=self.api.seals.place(to),
        )
        await self.api.records.create(New(record_id, "payout", owner, Money(units, NGN), data), owner)
        await self.looks(REQUESTED)
        return record_id

    async def says_yes(self, record_id: RecordId, by: str = "rita") -> None:
        """A reviewer says yes at the API."""
        stored = await self.api.records.read(record_id)
        at = await self.api.records.now()
        seal = yes_of(self.api, stored.record, by, at)
        await self.learns(record_id, f.Approved(by, stored.record.data.proposal.fingerprint, at, seal))

    async def learns(self, record_id: RecordId, fact: Fact) -> None:
        """Let a payout learn something at the API."""
        stored = await self.api.records.read(record_id)
        machine = self.api.records.machines["payout"]
        await self.api.records.commit(stored, machine.react(stored.record, fact, stored.at), fact, "the api")

    async def looks(self, *states: str, store: Store | None = None) -> None:
        """A worker looks at what is due in these states, one after the other."""
        store = store or self.worker
        steps = Steps(store, Metrics(), who="worker", lease_ms=LEASE_MS)
        for state in states:
            self.clock.at += LEASE_MS + 1
            for part in await store.records.claim([Queue("payout", state, 100, LEASE_MS)]):
                for one in part.found:
                    await (steps.look(one) if isinstance(one, Stored) else steps.untouched(one))

    async def read(self, record_id: RecordId) -> Record[PayoutData]:
        """A payout as it is."""
        return (await self.api.records.read(record_id)).record

    async def forged(self, record_id: RecordId, to: str = "", **changes: Any) -> None:
        """Write what one likes into a payout, signed and with an event in its history, as the API can."""
        stored = await self.api.records.read(record_id)
        decision: Decision[PayoutData] = Decision(data=replace(stored.record.data, **changes), again_s=0, why="by hand")
        if to:
            decision = decision.but(trigger=OVERRIDE, to=to)
        await self.api.records.commit(stored, decision, Nothing(), "mallory")

    async def approved(self, units: int = LARGE, key: str = "1", **more: Any) -> RecordId:
        """A payout that a person approved, or the rules, and of which nothing has left."""
        record_id = await self.asked(units, key, **more)
        if units == LARGE:
            await self.says_yes(record_id)
        assert (await self.read(record_id)).state == APPROVED
        return record_id


@pytest.fixture
async def world(server: Deployment, tmp_path: Path, clock: FixedClock) -> AsyncIterator[World]:
    workers, api = settings_for(server, tmp_path, **KEYS), {"PAYFLOW_APPROVAL_KEYS": APPROVALS}
    async with (
        open_store(workers, clock=clock) as worker,
        open_store(settings_for(server, tmp_path / "api", **api), clock=clock) as taken_over,
    ):
        for name in ("rita", "rob"):
            await Tokens(worker.link).create(name, Role.REVIEWER, "", "olga")
        yield World(worker, taken_over, Bank(), clock)


# ── what is approved is paid ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("units", [SMALL, LARGE], ids=["by rules", "by a person"])
async def test_what_was_approved_is_paid_and_a_retry_of_it_needs_no_new_yes(world: World, units: int) -> None:
    record_id = await world.approved(units)
    world.bank.fails = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert (await world.read(record_id)).state == FAILED
    await world.learns(record_id, f.Retried("otto"))
    await world.looks(PROCESSING)
    assert world.bank.paid == {reference_of(record_id, one, INSTALLATION): (HOME, units) for one in (1, 2)}


async def test_what_the_rail_does_not_pay_now_is_paid_later_without_a_new_yes(world: World) -> None:
    record_id = await world.approved()
    world.bank.empty = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    record = await world.read(record_id)
    assert (record.state, len(record.data.attempts)) == (APPROVED, 1), "it was deferred"
    world.bank.empty = False
    world.clock.at += DAY
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert (await world.read(record_id)).state == COMPLETED
    assert list(world.bank.paid.values()) == [(HOME, LARGE)] * 2


async def test_an_override_into_a_state_that_sends_is_sent_on_the_sealed_yes_of_its_second_person(world: World) -> None:
    record_id = await world.asked(LARGE)
    desk, version = Steering(world.api, Metrics()), (await world.read(record_id)).version
    proposal = await desk.propose_override(record_id, APPROVED, "the reviewers are away", OLGA, version)
    await desk.two.confirm(proposal.digest, Person("rita", Role.REVIEWER))
    (said,) = (await world.read(record_id)).data.approvals
    assert (said.by, said.seal[:7]) == ("rita", "person.")
    await world.looks(APPROVED, PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME]


async def test_a_correction_is_paid_after_a_yes_to_it_and_an_older_yes_counts_for_nothing(world: World) -> None:
    record_id = await world.approved()
    world.bank.fails = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    (old,) = (await world.read(record_id)).data.approvals
    sealed, place = world.api.seals.seal(THIEF, record_id), world.api.seals.place(THIEF)
    await world.learns(record_id, f.Corrected("ann", sealed, "058 ••••9999", "another print", "", place))
    proposed = (await world.read(record_id)).data.correction
    await world.forged(
        record_id, PROCESSING, approvals=(old,), sealed=sealed, place=place, shown="058 ••••9999", correction=None,
        attempts=(*(await world.read(record_id)).data.attempts, attempt(record_id, 2, sealed, place)),
    )  # fmt: skip
    await world.looks(PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME]
    await held(world, record_id)
    await world.forged(record_id, FAILED, correction=proposed, approvals=())
    with pytest.raises(BadInput, match="still being assessed"):
        await world.says_yes(record_id, "rob")
    await world.looks(FAILED)
    data = (await world.read(record_id)).data
    assert (data.ruled_place, data.place) == (place, place)
    assert "corrected" in [finding.code for finding in data.findings]
    await world.says_yes(record_id, "rob")
    await world.looks(PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME, THIEF]


# ── attacks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def attempt(record_id: RecordId, number: int, sealed: str, place: str) -> Attempt:
    """An attempt that was opened by hand."""
    return Attempt(reference_of(record_id, number, INSTALLATION), sealed, opened_at=1, place=place)


async def held(world: World, record_id: RecordId) -> None:
    """It is set aside, says why, somebody is called, and nothing is given back."""
    record = await world.read(record_id)
    assert record.parked.startswith(("Unapproved: ", "SealedForAnother: ")), record
    assert (await world.api.ledger.account(record.owner))["NGN"].held > 0
    called = [post for post in await world.worker.outbox.take(100, LEASE_MS) if post.kind == "alarm"]
    assert record.id in {post.record for post in called}


async def another_destination(world: World, victim: RecordId, _: RecordId) -> None:
    """Put the account of a thief into a payout that somebody approved."""
    await world.forged(victim, sealed=world.api.seals.seal(THIEF, victim), place=world.api.seals.place(THIEF))


async def another_destination_and_no_name_of_it(world: World, victim: RecordId, _: RecordId) -> None:
    """Do so as an older version wrote it."""
    await world.forged(victim, sealed=world.api.seals.seal(THIEF, victim), place="")


async def another_destination_in_the_attempt(world: World, victim: RecordId, _: RecordId) -> None:
    """Do so in an attempt alone."""
    await world.looks(APPROVED)
    (one,) = (await world.read(victim)).data.attempts
    await world.forged(victim, attempts=(replace(one, sealed=world.api.seals.seal(THIEF, victim)),))


async def more_arrives(world: World, victim: RecordId, _: RecordId) -> None:
    """Let more arrive."""
    await world.forged(victim, send_units=9_999_999_00)


async def a_larger_amount(world: World, victim: RecordId, _: RecordId) -> None:
    """Write a larger amount beside the data, and sign the record anew."""
    await world.api.link.ask("HSET", keys.record(victim), "units", 9_999_999_00)
    stored = await raw(world.api, victim)
    assert await world.api.permits.adopt(stored)
    await world.forged(victim, send_units=9_999_999_00)


async def raw(store: Store, record_id: RecordId) -> UnsignedRecord:
    """A record that nobody signed as it is."""
    return await anext(one async for one in store.permits.unsigned() if one.id == record_id)


async def who_approved_it_seems_another(world: World, victim: RecordId, _: RecordId) -> None:
    """Let it be asked for by somebody else than whoever said yes to it, as if they had not asked for it themselves."""
    await world.forged(victim, requested_by="somebody else")


async def another_rail(world: World, victim: RecordId, _: RecordId) -> None:
    """Let another rail pay it."""
    await world.forged(victim, rail="paystack")


async def another_installation(world: World, victim: RecordId, _: RecordId) -> None:
    """Let its references be new ones, which no gateway has seen."""
    await world.forged(victim, installation="evil")


async def fewer_findings(world: World, victim: RecordId, _: RecordId) -> None:
    """Take the findings away, so that the rules seem to have let it pass."""
    await world.forged(victim, findings=(), approvals_needed=1, approvals=())


async def the_seals_of_another(world: World, victim: RecordId, other: RecordId) -> None:
    """Copy what the rules and people said of another payout."""
    data = (await world.read(other)).data
    await world.forged(
        victim, rules=data.rules, ruled_place=data.ruled_place, findings=data.findings, approvals=data.approvals,
        approvals_needed=data.approvals_needed,
    )  # fmt: skip


async def the_attempt_of_another(world: World, victim: RecordId, other: RecordId) -> None:
    """Copy the attempt of another payout."""
    await world.looks(APPROVED)
    await world.forged(victim, attempts=(await world.read(other)).data.attempts)


async def a_later_attempt(world: World, victim: RecordId, _: RecordId) -> None:
    """Forget an attempt, so that nobody asks what became of it."""
    await world.looks(APPROVED)
    (one,) = (await world.read(victim)).data.attempts
    seventh = replace(one, reference=f"{one.reference[:-1]}7")
    await world.forged(victim, attempts=(replace(one, reference="x", failed="no", absent=True), seventh))


async def adopted_by_two(world: World, victim: RecordId, _: RecordId) -> None:
    """Say that two people took it over from an older version."""
    with pytest.raises(BadSettings, match="only workers have"):
        world.api.permit_keys.sign(SealKind.ADOPTION, victim)
    await world.forged(victim, rules="", approvals=(Approval("olga and omar", 1, "a print", "adoption.00"),))


Attack = Callable[[World, RecordId, RecordId], Awaitable[None]]

BY_HAND: dict[str, Attack] = {
    one.__name__: one
    for one in (
        another_destination, another_destination_and_no_name_of_it, another_destination_in_the_attempt, more_arrives,
        a_larger_amount, who_approved_it_seems_another, another_rail, another_installation, fewer_findings,
        the_seals_of_another, the_attempt_of_another, a_later_attempt, adopted_by_two,
    )
}  # fmt: skip


@pytest.mark.parametrize("attack", BY_HAND.values(), ids=BY_HAND.keys())
async def test_what_is_written_into_an_approved_payout_holds_it_and_pays_nobody(world: World, attack: Attack) -> None:
    victim, other = await world.approved(), await world.approved(SMALL, "2", to=THIEF, owner=Owner("mallory"))
    await attack(world, victim, other)
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert not any(key.startswith(victim) for key in world.bank.paid), world.bank.paid
    await held(world, victim)


@pytest.mark.parametrize("state", [APPROVED, PROCESSING])
async def test_a_payout_that_was_written_into_a_state_that_sends_is_held(world: World, state: str) -> None:
    record_id = await world.asked(LARGE)
    data = (await world.read(record_id)).data
    opened = attempt(record_id, 1, data.sealed, data.place)
    await world.forged(record_id, state, attempts=(opened,) if state == PROCESSING else ())
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert not world.bank.paid
    await held(world, record_id)


@pytest.mark.parametrize("how", ["no seal", "a seal of a person", "a key of its own"])
async def test_an_api_cannot_say_that_the_rules_let_something_pass(world: World, how: str) -> None:
    record_id = await world.asked(LARGE)
    data = (await world.read(record_id)).data
    parts = (record_id, "NGN", LARGE, LARGE, data.rail, data.installation, data.place, 1)
    with pytest.raises(BadSettings, match="only workers have"):
        world.api.permit_keys.sign(SealKind.RULES, *parts)
    said = world.api.permit_keys.sign(SealKind.PERSON, *parts).removeprefix("person.")
    own_key = PermitKeys([NEWER], [APPROVALS], []).sign(SealKind.RULES, *parts)
    seal = {"no seal": "", "a seal of a person": f"rules.{said}", "a key of its own": own_key}[how]
    await world.forged(record_id, APPROVED, findings=(), approvals_needed=1, rules=seal)
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert not world.bank.paid
    if how == "no seal":
        await held(world, record_id)
    else:
        assert world.worker.permit_keys.unknown, "a key that makes no permits is told of by readiness and log"


async def two_made_up(world: World, record_id: RecordId, to: str, **changes: Any) -> None:
    """Two people say yes to whatever the API wrote into a payout: it has the keys for that."""
    await world.forged(record_id, **changes)
    record = await world.read(record_id)
    place = world.api.seals.place(world.api.seals.open(record.data.sealed, record_id))
    said = [
        Approval(by, 1, record.data.fingerprint, by_person(world.api.permit_keys, record, place, by, 1))
        for by in ("rita", "rob")
    ]
    attempts = record.data.attempts
    if to == PROCESSING and (not attempts or attempts[-1].failed):
        attempts = (*attempts, attempt(record_id, len(attempts) + 1, record.data.sealed, place))
    await world.forged(record_id, to, approvals=tuple(said), attempts=attempts)


MADE_UP: dict[str, dict[str, Any]] = {
    "no findings": {"findings": (), "approvals_needed": 1},
    "no seal of the rules": {"findings": (), "approvals_needed": 1, "rules": ""},
    "no seal of the rules, two needed": {"rules": "", "approvals_needed": 2},
    "not assessed": {"rules": "", "ruled_place": "", "findings": (), "assessed": False},
    "fewer people": {"approvals_needed": 0},
    "another finding": {"findings": (RiskFinding("new", "a new one"),)},
    "more arrives": {"send_units": 9_999_999_00},
    "another rail": {"rail": "paystack"},
    "another installation": {"installation": "evil"},
}


@pytest.mark.parametrize("to", [APPROVED, PROCESSING])
@pytest.mark.parametrize("changes", [*MADE_UP.values()], ids=[*MADE_UP])
async def test_two_people_whom_an_api_makes_up_send_nothing_that_the_rules_did_not_see(
    world: World, to: str, changes: dict[str, Any]
) -> None:
    record_id = await world.asked(LARGE)
    await two_made_up(world, record_id, to, **changes)
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert not world.bank.paid
    await held(world, record_id)


@pytest.mark.parametrize("ruled", ["as it was", "elsewhere", "nowhere"])
@pytest.mark.parametrize("to", [APPROVED, PROCESSING])
async def test_two_people_whom_an_api_makes_up_send_nothing_elsewhere(world: World, to: str, ruled: str) -> None:
    record_id = await world.approved()
    world.bank.fails = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    before, (there, place) = dict(world.bank.paid), thieves(world, record_id)
    rules = {"as it was": {}, "elsewhere": {"ruled_place": place}, "nowhere": {"rules": "", "ruled_place": ""}}[ruled]
    await two_made_up(world, record_id, to, sealed=there, place=place, shown="058 ••••9999", **rules)
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert world.bank.paid == before
    await held(world, record_id)


@pytest.mark.parametrize("fact", ["an override", "a correction", "a retry"])
async def test_whatever_way_into_a_sending_state_waits_for_the_rules_and_they_look(world: World, fact: str) -> None:
    """The API asks its own machine to move the payout, with a yes that it made up to what it wrote."""
    record_id = await world.approved()
    world.bank.fails = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    there, place = thieves(world, record_id)
    moved = f.Corrected("ann", there, "058 ••••9999", "another print", "", place)
    if fact == "a correction":
        await world.learns(record_id, moved)
        with pytest.raises(BadInput, match="still being assessed"):
            await world.says_yes(record_id, "rob")
    else:
        await world.forged(record_id, sealed=there, place=place)
        with pytest.raises(BadInput, match=r"The rules have not looked|is being assessed again"):
            await world.learns(
                record_id,
                f.Retried("otto")
                if fact == "a retry"
                else Override(PROCESSING, "now", "olga", "omar", second_approves=True),
            )
    await world.looks(FAILED)
    data = (await world.read(record_id)).data
    assert (data.ruled_place, "corrected" in [one.code for one in data.findings]) == (place, True)
    assert world.worker.permit_keys.knows(data.rules, [SealKind.RULES], *parts_ruled(await world.read(record_id)))


async def test_a_no_to_another_destination_has_the_rules_look_at_the_first_one_again(world: World) -> None:
    record_id = await world.approved(SMALL)
    world.bank.fails = True
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    there, place = thieves(world, record_id)
    await world.learns(record_id, f.Corrected("ann", there, "058 ••••9999", "another print", "", place))
    await world.looks(FAILED)
    await world.learns(record_id, f.Declined("rita", "no such person"))
    with pytest.raises(BadInput, match="is being assessed again"):
        await world.learns(record_id, f.Retried("otto"))
    await world.looks(FAILED)
    await world.learns(record_id, f.Retried("otto"))
    await world.looks(PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME, HOME]


def thieves(world: World, record_id: RecordId) -> tuple[str, str]:
    """The account of a thief, sealed for a payout, and its name."""
    return world.api.seals.seal(THIEF, record_id), world.api.seals.place(THIEF)


def parts_ruled(record: Record[PayoutData]) -> tuple[str | int, ...]:
    """What the seal of the rules is over, written down once more."""
    data, amount = record.data, record.amount
    assert amount is not None
    found = (f"{one.code} {one.text}" for one in data.findings)
    return (
        record.id, record.owner, amount.asset.code, amount.units, data.send_units, data.rail, data.installation,
        data.ruled_place, data.approvals_needed, *found,
    )  # fmt: skip


# ── whose yes it was ─────────────────────────────────────────────────────────────────────────────────────────────────


async def somebody(world: World, name: str, *roles: Role, **more: Any) -> RegisteredPerson:
    """A person in the register."""
    given = RegisteredPerson(name, frozenset(roles or (Role.REVIEWER,)), "olga", Millis(1))
    return await world.worker.persons.write(replace(given, **more))


async def disabled(world: World) -> None:
    """Rita is registered, and disabled after she said yes."""
    rita = await somebody(world, "rita")
    await world.worker.persons.write(replace(rita, disabled_by="olga", disabled_at=Millis(2)))


async def no_reviewer(world: World) -> None:
    """Rita only looks from now on."""
    await somebody(world, "rita", Role.VIEWER, Role.OPERATOR)


async def less(world: World) -> None:
    """Rita may approve less than this by now."""
    await somebody(world, "rita", limits={"NGN": LARGE - 1})


async def who_asked(world: World) -> None:
    """Rita is who asked for it, by another name."""
    await somebody(world, "rita", aliases=("ann",))


async def revoked(world: World) -> None:
    """Rita's token is revoked, and nobody registered her."""
    await Tokens(world.worker.link).revoke("rita", "olga")


async def for_something_else(world: World) -> None:
    """Rita's token is for something else by now."""
    tokens = Tokens(world.worker.link)
    await tokens.revoke("rita", "olga")
    await tokens.create("rita", Role.VIEWER, "", "olga")


SHUT_OUT = (disabled, no_reviewer, less, who_asked, revoked, for_something_else)


@pytest.mark.parametrize("change", SHUT_OUT, ids=[one.__name__ for one in SHUT_OUT])
@pytest.mark.parametrize("states", [(), (APPROVED,)], ids=["before its batch", "in its batch"])
async def test_a_yes_of_whoever_may_not_approve_it_when_it_leaves_counts_no_more_and_others_say_it(
    world: World, states: tuple[str, ...], change: Callable[[World], Awaitable[None]]
) -> None:
    record_id = await world.approved()
    await world.looks(*states)
    await change(world)
    await world.looks(APPROVED, PROCESSING, PROCESSING)
    assert not world.bank.paid
    record = await world.read(record_id)
    assert (record.state, record.parked, record.data.approvals) == (REQUESTED, "", ())
    assert record.data.reason.startswith("the yes of rita counts no more, who ")
    assert (await world.api.ledger.account(ANN))["NGN"].held == LARGE
    called = [post for post in await world.worker.outbox.take(100, LEASE_MS) if post.body.get("why")]
    assert record.data.reason in [post.body["why"] for post in called]
    await world.says_yes(record_id, "rob")
    await world.looks(APPROVED, PROCESSING)
    assert [*world.bank.paid] == [reference_of(record_id, 1, INSTALLATION)]


async def test_a_yes_of_whom_nobody_knows_sends_nothing(world: World) -> None:
    """Whoever has the keys of an API can put a seal on anybody's yes; whoever is in no register said none."""
    record_id = await world.asked(LARGE)
    await world.says_yes(record_id, "mallory")
    await world.looks(APPROVED, PROCESSING)
    assert not world.bank.paid
    record = await world.read(record_id)
    assert (record.state, record.data.approvals) == (REQUESTED, ())
    assert "nobody known here" in record.data.reason


async def test_two_names_of_one_person_are_one_yes(world: World) -> None:
    record_id = await world.asked(LARGE)
    two = replace(await world.worker.records.read(record_id))
    data = replace(two.record.data, approvals_needed=2, rules="")
    seal = by_rules(world.worker.permit_keys, replace(two.record, data=data))
    await world.forged(record_id, approvals_needed=2, rules=seal)
    for by in ("rita", "rob"):
        await world.says_yes(record_id, by)
    await somebody(world, "rita", aliases=("rob",))
    await world.looks(APPROVED, PROCESSING)
    assert not world.bank.paid
    record = await world.read(record_id)
    assert (record.state, [one.by for one in record.data.approvals]) == (REQUESTED, ["rita"])


async def test_who_expired_or_got_another_name_since_has_said_yes(world: World) -> None:
    tokens = Tokens(world.worker.link)
    first, second, third = [await world.asked(LARGE, key) for key in "123"]
    await tokens.create("ruth", Role.REVIEWER, "", "olga", lasts_ms=1)
    for record_id, by in ((first, "ruth"), (second, "rita"), (third, "rob")):
        await world.says_yes(record_id, by)
    await tokens.rotate("rob", "olga", 0, None)
    await somebody(world, "rita.jones@example.com", aliases=("rita",))
    await world.looks(APPROVED, PROCESSING)
    assert len(world.bank.paid) == 3


@pytest.mark.parametrize("how", ["it may have left", "it has left"])
async def test_what_may_have_left_is_followed_whoever_may_not_approve_any_more(world: World, how: str) -> None:
    record_id = await world.approved()
    await world.looks(APPROVED)
    (one,) = (await world.read(record_id)).data.attempts
    if how == "it has left":
        await world.looks(PROCESSING)
    else:
        await world.forged(record_id, attempts=(replace(one, unknown=True),))
    await disabled(world)
    await world.looks(PROCESSING)
    record = await world.read(record_id)
    if how == "it has left":
        assert (record.state, len(world.bank.paid)) == (COMPLETED, 1)
    else:
        assert (record.state, world.bank.paid) == (UNCONFIRMED, {})
        assert [event.why for event in await world.api.records.history(record_id)][-1].startswith(
            f"{one.reference} may have been sent, and is not sent again: the yes of rita counts no more"
        )


# ── keys come and go ─────────────────────────────────────────────────────────────────────────────────────────────────


async def opened(stack: AsyncExitStack, world: World, approvals: str = "", permits: str = "") -> Store:
    """A worker with other lists of keys, at the same store."""
    changes = {"approval_keys": SecretStr(approvals), "permit_keys": SecretStr(permits)}
    settings = world.worker.settings.model_copy(update=changes)
    store = await stack.enter_async_context(open_store(settings, clock=world.clock))
    store.serve([world.machine(store)])
    return store


async def test_a_worker_that_lacks_the_key_leaves_it_to_those_who_have_it(world: World) -> None:
    record_id = await world.approved()
    await world.looks(APPROVED)
    async with AsyncExitStack() as stack:
        for approvals, permits in ((f"{NEWER} a", PERMITS), (APPROVALS, f"{NEWER} p"), ("", ""), (APPROVALS, "")):
            ignorant = await opened(stack, world, approvals, permits)
            await world.looks(PROCESSING, PROCESSING, store=ignorant)
            assert not world.bank.paid
            assert not (await world.read(record_id)).parked, "it is left, and not held"
            (said,) = [one for one in await examine(ignorant) if one.name == "permits"]
            assert "does not have" in said.finding
        await world.looks(PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME]


async def test_keys_are_changed_in_the_middle_of_everything(world: World) -> None:
    record_id = await world.approved()
    await world.looks(APPROVED)
    async with AsyncExitStack() as stack:
        newer = await opened(stack, world, f"{NEWER} a,{APPROVALS}", f"{NEWER} p,{PERMITS}")
        young = await world.asked(SMALL, "2")
        await world.looks(APPROVED, PROCESSING, store=newer)
    assert {key[: len(record_id)] for key in world.bank.paid} == {record_id, young}


async def test_what_seal_keys_stood_for_before_there_were_lists_goes_on_as_long_as_the_lists_say_so(
    world: World,
) -> None:
    async with AsyncExitStack() as stack:
        before = await opened(stack, world)
        assert before.permit_keys.derived
        record_id = await world.asked(SMALL)
        await world.forged(record_id, rules="", approvals=(), assessed=False, findings=())
        world.clock.at += DAY
        await world.forged(record_id, REQUESTED)
        await world.looks(REQUESTED, APPROVED, store=before)
        await world.looks(PROCESSING)
        assert not world.bank.paid
        between = await opened(stack, world, f"{APPROVALS},{OF_SEAL_KEYS}", f"{PERMITS},{OF_SEAL_KEYS}")
        assert between.permit_keys.derived, "the doctor says so"
        await world.looks(PROCESSING, store=between)
    assert [to for to, _ in world.bank.paid.values()] == [HOME]


async def test_reseal_breaks_no_seal(world: World) -> None:
    first, second = await world.approved(), await world.approved(SMALL, "2")
    await world.looks(APPROVED)
    newest = new_key()
    settings = world.worker.settings.model_copy(
        update={
            "seal_keys": SecretStr(f"{newest},{SEAL_KEY}"),
            "fingerprint_key": SecretStr(world.worker.seals.fingerprint_key),
        }
    )
    async with open_store(settings, clock=world.clock) as store:
        store.serve([world.machine(store)])
        before = (await world.read(first)).data
        assert (await reseal(store, "otto")).done
        after = (await store.records.read(first)).record.data
        assert before.sealed != after.sealed
        await world.looks(PROCESSING, store=store)
    assert len(world.bank.paid) == 2, (first, second)


@pytest.mark.parametrize(
    ("approvals", "permits", "says"),
    [
        ("", PERMITS, "set PAYFLOW_APPROVAL_KEYS too"),
        ("short", "", "shorter than 24"),
        (APPROVALS, f"{PERMITS},{APPROVALS}", "stands twice"),
        (SEAL_KEY, "", "stands twice"),
    ],
)
def test_keys_that_would_prove_nothing_are_refused(approvals: str, permits: str, says: str) -> None:
    with pytest.raises(BadSettings, match=says):
        PermitKeys(keys_given(approvals), keys_given(permits), [SEAL_KEY])


# ── what an older version approved ───────────────────────────────────────────────────────────────────────────────────


async def as_older(world: World, record_id: RecordId) -> None:
    """Leave a payout as a version left it that sealed nothing."""
    data = (await world.read(record_id)).data
    bare = tuple(replace(one, seal="") for one in data.approvals)
    await world.forged(record_id, rules="", ruled_place="", approvals=bare)


async def test_what_an_older_version_approved_waits_until_two_people_take_it_over_once(world: World) -> None:
    waits, sent = await world.approved(), await world.approved(SMALL, "2")
    await world.looks(APPROVED)
    for one in (waits, sent):
        await as_older(world, one)
    await world.looks(PROCESSING)
    assert not world.bank.paid
    await held(world, waits)
    found = await permits.unsigned(world.worker)
    assert {one.record.id for one in found.unsealed} == {waits, sent}
    desk = Steering(world.worker, Metrics())
    proposal = await desk.propose_adoption(permits.ALL, "they are those of before", OLGA)
    with pytest.raises(NotPossible, match="no PAYFLOW_PERMIT_KEYS"):
        await Steering(world.api, Metrics()).two.confirm(proposal.digest, OMAR)
    assert "2 sealed" in await desk.two.confirm(proposal.digest, OMAR)
    await world.looks(PROCESSING)
    assert {to for to, _ in world.bank.paid.values()} == {HOME}
    assert len(world.bank.paid) == 2
    assert not (await permits.unsigned(world.worker)).unsealed
    with pytest.raises(BadInput, match="nothing to take over"):
        await desk.propose_adoption(permits.ALL, "once more", OLGA)


async def test_what_the_rules_of_an_older_version_found_is_looked_at_anew(world: World) -> None:
    record_id = await world.asked(LARGE)
    await as_older(world, record_id)
    assert (await world.read(record_id)).data.people_needed == 2
    await world.looks(REQUESTED)
    await world.says_yes(record_id)
    await world.looks(APPROVED, PROCESSING)
    assert [to for to, _ in world.bank.paid.values()] == [HOME]
