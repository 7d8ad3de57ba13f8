"""What a fact means to a pool payment. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace

from machines.core.chain import TxHash
from machines.core.clock import HOUR, Millis
from machines.core.decision import NEVER_S, Claim, Decision, contradiction, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.machine import Machine, Prove, RetryPolicy
from machines.core.ports import Act, Evidence
from machines.pool import facts as f
from machines.pool import lifecycle as s
from machines.pool import permit
from machines.pool.data import PoolData, PoolRecord, claim_of, nonce_of

Choice = Decision[PoolData]

RETRY = RetryPolicy(base_s=1, cap_s=30)
WATCH_MS = 6 * HOUR
"""Lanes watch 256 blocks, and on chains that finalize until those are final."""


def pool(acts: dict[str, Act[PoolData]], prove: Prove[PoolData] | None = None) -> Machine[PoolData]:
    return Machine(
        lifecycle=s.LIFECYCLE,
        data=PoolData,
        react=react,
        acts=acts,
        retry=RETRY,
        prove=prove,
        retried=f.Resumed,
        adoption=permit.ADOPTION,
    )


def react(record: PoolRecord, fact: Fact, now: Millis) -> Choice:
    """Decide; one case a line, the reasons below."""
    match record.state, fact:
        case _, Override():
            return _overridden(record, fact)
        # ── due ──
        case s.DUE, f.Debited(at_s):
            return move("debit", f"{_amount(record)} taken off the balance", data=replace(record.data, debited_at=at_s))
        case s.DUE, f.Skipped(reason):
            return move("skip", reason, data=replace(record.data, reason=reason), releases=_claim(record))
        # ── on its way ──
        case s.DEBITED, f.AtLane(waiting_for):
            return _waits(record, waiting_for)
        case s.DEBITED, f.LaneSigned(tx, nonce, waiting_for):
            return move(
                "send",
                f"signed with nonce {nonce}",
                data=replace(record.data, hash=tx, nonce=nonce, waiting_for=waiting_for),
            )
        case s.SENT, f.LaneSigned(tx, nonce, waiting_for):
            return _signed_again(record, tx, nonce, waiting_for)
        case s.SENT, f.AtLane(waiting_for):
            return _waits(record, waiting_for)
        case ((s.DEBITED | s.SENT), Refused(reason)):
            return _halted(record, f"the lane refuses it as it is: {reason}", None)
        # ── over ──
        case ((s.DEBITED | s.SENT), f.ProvenPaid(evidence, at_s)):
            return _paid("pay", record, evidence, at_s, f"{evidence.reference} is proven")
        case ((s.DEBITED | s.SENT | s.HALTED), f.CreditedBack()):
            return _credited(record, fact)
        case ((s.DEBITED | s.SENT), f.Contradicted(reason, evidence)):
            return _halted(record, reason, evidence)
        # ── a person ──
        case s.HALTED, f.Resumed(by):
            return move("resume", f"{by} says: look again", data=replace(record.data, reason=""))
        case ((s.DEBITED | s.SENT | s.HALTED), f.MarkedPaid(by, evidence, at_s)):
            return _paid("mark_paid", record, evidence, at_s, f"{by} brought {evidence.reference}, and it is proven")
        case s.CREDITED, f.MarkedPaid(by, evidence, at_s):
            why = f"{evidence.reference} paid it although it was given back; {by} found it"
            return _paid("contradict", record, evidence, at_s, why).but(alarm=why)
        # ── late, or twice ──
        case s.PAID, (f.ProvenPaid(evidence) | f.MarkedPaid(_, evidence)):
            return _paid_again(record, evidence, now)
        case s.PAID, f.TakenBack(how, unpaid):
            return _taken_back(record, how, alarming=unpaid or not record.data.taken_back)
        case s.PAID, Nothing():
            return _watched(record, now)
        case s.CREDITED, f.ProvenPaid(evidence):
            return contradiction(f"{evidence.reference} paid it although it was given back: `payflow pool mark-paid`")
        case s.PAID, f.CreditedBack(reason):
            return contradiction(f"it was given back although it is paid: {reason}")
        case s.SKIPPED, f.Debited():
            return contradiction("the books took it off the balance although it was skipped: `payflow pool resolve`")
        case _, (f.Resumed() | f.MarkedPaid()):
            raise BadInput(f"{record.id} is {record.state}: this cannot be done to it now.")
        case _, (Nothing() | LostSight() | f.Debited() | f.Skipped() | f.AtLane() | f.LaneSigned() | f.CreditedBack()):
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _overridden(record: PoolRecord, fact: Override) -> Choice:
    """Do what the person says; only open payments hold the login's one place."""
    decision: Choice = override(s.LIFECYCLE, record, fact)
    was_open, is_open = record.state in s.OPEN, fact.to in s.OPEN
    if was_open == is_open:
        return decision
    return decision.but(releases=_claim(record)) if was_open else decision.but(claims=_claim(record))


def _waits(record: PoolRecord, waiting_for: str) -> Choice:
    if waiting_for == record.data.waiting_for:
        return wait()
    why = f"waits for {waiting_for}" if waiting_for else "the lane has it"
    return keep(why, data=replace(record.data, waiting_for=waiting_for))


def _signed_again(record: PoolRecord, tx: TxHash, nonce: int, waiting_for: str) -> Choice:
    data = replace(record.data, hash=tx, nonce=nonce, waiting_for=waiting_for)
    if data == record.data:
        return wait()
    why = f"signed again: nonce {nonce}" if tx != record.data.hash else f"waits for {waiting_for}"
    return keep(why, data=data)


def _paid(trigger: str, record: PoolRecord, evidence: Evidence, at_s: int, why: str) -> Choice:
    data = replace(
        record.data,
        evidence=evidence,
        hash=TxHash(evidence.reference),
        nonce=nonce_of(evidence, record.data.nonce),
        paid_at=at_s,
        by_lane=trigger == "pay",
        waiting_for="",
        reason="",
    )
    # A payment that was given back holds its login's place no longer: another one may be open.
    return move(trigger, why, data=data, releases=() if record.state == s.CREDITED else _claim(record))


def _paid_again(record: PoolRecord, evidence: Evidence, now: Millis) -> Choice:
    tx, data = evidence.reference, record.data
    if data.taken_back:
        here = replace(data, taken_back="", evidence=evidence, hash=TxHash(tx))
        if tx == data.hash:
            return keep(f"{tx} is proven once more", data=here)
        why = f"{tx} paid it after the chain dropped {data.hash}, which is the one in the pool's history"
        return keep(why, data=here, alarm=why)
    if tx == data.hash:
        return _watched(record, now)
    return contradiction(f"{tx} paid it, and so did {data.hash}: paid twice")


def _taken_back(record: PoolRecord, how: str, *, alarming: bool) -> Choice:
    """Tell a person; the lane sends what was dropped again by itself."""
    if how == record.data.taken_back:
        return wait()
    why = f"the chain took back {record.data.hash}, and the pool's books have it as paid; it is {how}"
    return keep(why, data=replace(record.data, taken_back=how), alarm=why if alarming else "")


def _watched(record: PoolRecord, now: Millis) -> Choice:
    return wait(None if record.data.taken_back or now < record.since + WATCH_MS else NEVER_S)


def _credited(record: PoolRecord, fact: f.CreditedBack) -> Choice:
    return move(
        "credit",
        f"{fact.by}: {fact.reason}" if fact.by else fact.reason,
        data=replace(record.data, evidence=fact.evidence, reason=fact.reason, refused=fact.refused, waiting_for=""),
        releases=_claim(record),
    )


def _halted(record: PoolRecord, reason: str, evidence: Evidence | None) -> Choice:
    return move(
        "halt",
        reason,
        data=replace(record.data, reason=reason, evidence=evidence or record.data.evidence),
        alarm=reason,
    )


def _claim(record: PoolRecord) -> tuple[Claim, ...]:
    return (claim_of(record.data.coin, record.data.login),)


def _amount(record: PoolRecord) -> str:
    return f"{record.amount.units} Shannon" if record.amount else "nothing"
