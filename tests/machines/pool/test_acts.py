"""The order of a look's steps, with ports that remember: nothing is sent that is not debited, and on disk."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from machines.core.chain import TxHash
from machines.core.clock import HOUR, Millis
from machines.core.errors import LeaseLost, NotDurable, OutcomeUnknown, Retryable
from machines.core.facts import Fact, Nothing
from machines.core.ports import Cause, Evidence, Failed, Payment, PaymentKey, Pending, Settled, Status, Unsent
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool.acts import PayingPool, PoolActs
from machines.pool.data import PoolLine
from tests.machines.payout.world import Believing
from tests.machines.pool.test_react import LOGIN, NOW, TX, payment

PROOF = Evidence("ethereum", TX, (("nonce", "7"),))


class Answer(NamedTuple):
    """An answer of the books."""

    code: str
    found: str = ""


class Standing(NamedTuple):
    """How the books have it."""

    step: str
    row_s: int | None

    @property
    def pending(self) -> bool:
        return self.row_s is not None


NOWHERE = Standing("", row_s=None)


@dataclass
class Ports:
    """Everything that a look can ask; what it did is in `did`."""

    standing_is: Standing = NOWHERE
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    status_is: Status = field(default_factory=Unsent)
    check: str = ""
    outside: str = ""
    ours: bool = False
    trouble: dict[str, Exception] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    now: Millis = NOW

    def _do(self, name: str) -> Answer:
        self.did.append(name)
        if name in self.trouble:
            raise self.trouble[name]
        prepared = self.answers.get(name, [])
        return prepared.pop(0) if prepared else Answer("done")

    async def book_state(self, _: PoolLine) -> Standing:
        return self.standing_is

    async def debit(self, line: PoolLine, lock: str = "", *, again: bool = False) -> Answer:
        return self._do("debit again" if again else f"debit over {lock}" if lock else "debit")

    async def skip(self, line: PoolLine) -> Answer:
        return self._do("skip")

    async def announce(self, line: PoolLine, tx: TxHash, nonce: int) -> Answer:
        return self._do("announce")

    async def write_payment(self, line: PoolLine, tx: TxHash, *, again: bool = False) -> Answer:
        return self._do("write_payment")

    async def rollback(self, line: PoolLine) -> Answer:
        return self._do("rollback")

    async def keep(self) -> None:
        self._do("keep")

    async def prepare(self, payment: Payment) -> Payment:
        """Need nothing."""
        return payment

    async def submit(self, _: Payment) -> str | None:
        self._do("submit")
        return None

    async def status(self, _: Payment) -> Status:
        return self.status_is

    async def fault(self, needed_wei: int, key: PaymentKey) -> str:
        return self.check

    async def paid_outside(self, login: str) -> str:
        return self.outside

    async def names(self, coin: str, row: str) -> bool:
        return self.ours

    async def may_send(self, *scopes: str) -> None:
        self._do("may_send")

    async def refuse_paused(self, *scopes: str) -> None:
        """Nothing is paused."""


async def look(ports: Ports, state: str) -> Fact:
    """Look once at a payment."""
    looks = PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, Believing())
    return await looks.acts()[state](payment(state, debited_at=5), ports)


async def test_nothing_is_debited_while_a_check_fails() -> None:
    ports = Ports(check="too few peers")
    assert await look(ports, s.DUE) == f.Skipped("too few peers")
    assert ports.did == ["skip"]


async def test_what_the_books_have_debited_is_not_called_off_by_a_check() -> None:
    ports = Ports(
        check="too few peers",
        standing_is=Standing("debited", row_s=5),
        answers={"debit": [Answer("already", "debited")]},
    )
    assert isinstance(await look(ports, s.DUE), f.Debited)


async def test_what_another_worker_has_called_off_is_not_debited() -> None:
    ports = Ports(answers={"debit": [Answer("already", "skipped")]})
    assert isinstance(await look(ports, s.DUE), f.Skipped)


async def test_a_lock_of_ours_is_taken_over_and_one_of_others_is_not() -> None:
    ours = Ports(ours=True, answers={"debit": [Answer("locked", "0xother:5")]})
    assert isinstance(await look(ours, s.DUE), f.Debited)
    assert ours.did[-1] == "debit over 0xother:5"
    others = Ports(answers={"debit": [Answer("locked", "0xother:5")] * 2})
    assert isinstance(await look(others, s.DUE), f.Skipped)
    just_done = Ports(answers={"debit": [Answer("locked", "0xdone:5")]})
    assert isinstance(await look(just_done, s.DUE), f.Debited)
    same_row = Ports(ours=True, answers={"debit": [Answer("locked", f"{LOGIN}:600")] * 2})
    assert isinstance(await look(same_row, s.DUE), f.Skipped)


@pytest.mark.parametrize("code", ["short", "pending", "broken"])
async def test_what_the_books_refuse_is_called_off(code: str) -> None:
    ports = Ports(answers={"debit": [Answer(code, "x")]})
    assert isinstance(await look(ports, s.DUE), f.Skipped)
    assert ports.did[-1] == "skip"


async def test_it_is_sent_only_once_it_is_on_disk_and_the_lease_holds() -> None:
    ports = Ports(standing_is=Standing("debited", row_s=5))
    assert await look(ports, s.DEBITED) == f.AtLane()
    assert ports.did == ["keep", "may_send", "submit"]
    for step, error in (("keep", NotDurable()), ("may_send", LeaseLost())):
        held = Ports(standing_is=Standing("debited", row_s=5), trouble={step: error})
        with pytest.raises(type(error)):
            await look(held, s.DEBITED)
        assert "submit" not in held.did


@pytest.mark.parametrize(
    "standing",
    [
        Standing("debited", row_s=None),
        Standing("credited", row_s=None),
        Standing("paid:0x", row_s=None),
    ],
)
async def test_nothing_is_sent_when_the_books_say_otherwise(standing: Standing) -> None:
    ports = Ports(standing_is=standing)
    assert isinstance(await look(ports, s.DEBITED), f.Contradicted)
    assert ports.did == []


async def test_restored_books_are_debited_again_before_anything_is_sent() -> None:
    ports = Ports(standing_is=Standing("", row_s=None))
    await look(ports, s.DEBITED)
    assert ports.did == ["debit again", "keep", "may_send", "submit"]


async def test_whom_somebody_may_have_paid_already_is_neither_debited_nor_sent_to() -> None:
    ports = Ports(outside="0xa paid him")
    assert await look(ports, s.DUE) == f.Skipped("0xa paid him")
    ports = Ports(outside="0xa paid him", standing_is=Standing("debited", row_s=5))
    assert await look(ports, s.DEBITED) == f.Contradicted("0xa paid him")
    assert ports.did == []


@pytest.mark.parametrize("code", ["booked", "pending", "short", "broken"])
async def test_what_the_books_do_not_know_and_do_not_take_again_is_not_sent(code: str) -> None:
    ports = Ports(answers={"debit again": [Answer(code, "0x")]})
    assert isinstance(await look(ports, s.DEBITED), f.Contradicted)
    assert ports.did == ["debit again"]


async def test_what_the_books_forgot_long_ago_is_left_to_a_person() -> None:
    ports = Ports(now=Millis(NOW + HOUR + 1))
    assert isinstance(await look(ports, s.DEBITED), f.Contradicted)
    assert ports.did == []


async def test_an_unknown_outcome_is_asked_about_and_not_repeated() -> None:
    ports = Ports(standing_is=Standing("debited", row_s=5), trouble={"submit": OutcomeUnknown()})
    with pytest.raises(Retryable):
        await look(ports, s.DEBITED)


@pytest.mark.parametrize("state", [s.DEBITED, s.SENT])
async def test_what_the_rail_proves_is_booked_before_it_is_said(state: str) -> None:
    paid = Ports(status_is=Settled(PROOF))
    assert isinstance(await look(paid, state), f.ProvenPaid)
    assert paid.did == ["write_payment"]
    failed = Ports(status_is=Failed("it throws", retryable=False, evidence=PROOF, cause=Cause.DESTINATION))
    assert await look(failed, state) == f.CreditedBack("it throws", PROOF, refused=True)
    assert failed.did == ["rollback"]


@pytest.mark.parametrize("code", ["row_gone", "contradicts", "broken"])
async def test_books_that_contradict_the_rail_halt(code: str) -> None:
    paid = Ports(status_is=Settled(PROOF), answers={"write_payment": [Answer(code, "x")]})
    assert isinstance(await look(paid, s.SENT), f.Contradicted)
    failed = Ports(status_is=Failed("no", retryable=False), answers={"rollback": [Answer(code, "x")]})
    assert isinstance(await look(failed, s.SENT), f.Contradicted)


async def test_what_was_signed_is_never_sent_anew() -> None:
    ports = Ports(status_is=Unsent())
    assert isinstance(await look(ports, s.SENT), f.Contradicted)
    assert ports.did == []


async def test_nonce_and_hash_are_learned_from_the_lane() -> None:
    assert await look(Ports(status_is=Pending("", PROOF)), s.DEBITED) == f.LaneSigned(TX, 7)
    assert await look(Ports(status_is=Pending("the lane")), s.DEBITED) == f.AtLane("the lane")


@pytest.mark.parametrize(("known", "noted"), [("", ["announce"]), (TX, [])])
async def test_what_another_process_sent_is_noted_for_the_pools_own_module(known: str, noted: list[str]) -> None:
    ports = Ports(status_is=Pending("", PROOF))
    looks = PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, Believing())
    await looks.acts()[s.SENT](payment(s.SENT, hash=known), ports)
    assert ports.did == noted


async def test_a_coin_of_another_process_is_left_to_it() -> None:
    looks = PoolActs({}, Ports(), Believing())
    for state in (s.DUE, s.DEBITED, s.SENT):
        with pytest.raises(Retryable, match="another one does"):
            await looks.acts()[state](payment(state), Ports())


@pytest.mark.parametrize(
    ("status", "by_lane", "fact"),
    [
        (Settled(PROOF), True, f.ProvenPaid(PROOF, NOW // 1000)),
        (Pending("", PROOF), True, f.TakenBack(f"sent again as {TX}")),
        (Pending("the lane"), True, f.TakenBack("waiting for the lane")),
        (Failed("reverted", retryable=False), False, Nothing()),
        (Unsent(), True, Nothing()),
    ],
)
async def test_what_was_paid_is_watched(status: Status, by_lane: bool, fact: Fact) -> None:  # noqa: FBT001
    ports = Ports(status_is=status)
    looks = PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, Believing())
    assert await looks.acts()[s.PAID](payment(s.PAID, by_lane=by_lane), ports) == fact
    assert ports.did == []


async def test_what_the_lane_proves_unpaid_after_it_was_booked_is_told() -> None:
    ports = Ports(status_is=Failed("reverted", retryable=False))
    looks = PoolActs({"eth": PayingPool(ports, ports, ports)}, ports, Believing())
    fact = await looks.acts()[s.PAID](payment(s.PAID, by_lane=True), ports)
    assert isinstance(fact, f.TakenBack)
    assert fact.unpaid


async def test_a_finished_payment_of_another_processs_coin_is_left_to_it() -> None:
    ports = Ports()
    assert await PoolActs({}, ports, Believing()).acts()[s.PAID](payment(s.PAID), ports) == Nothing()
