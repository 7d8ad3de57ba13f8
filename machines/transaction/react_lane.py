"""What a fact means to a lane. Pure."""

from dataclasses import replace
from typing import Any

from machines.core.clock import Millis
from machines.core.decision import Decision, alarm, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused, override
from machines.core.machine import Machine, Prove
from machines.core.ports import Act, Evidence
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction import react_payment
from machines.transaction.caps import Charge, counted
from machines.transaction.data import LaneData, LaneRecord, Suspect

REFUSED_S = 60.0
MOST_WORDS = 300
NAMED = 5

Choice = Decision[LaneData]
Group = tuple[tuple[Record[Any], Decision[Any]], ...]


def lane(acts: dict[str, Act[LaneData]], prove: Prove[LaneData] | None = None) -> Machine[LaneData]:
    return Machine(lifecycle=s.LANE, data=LaneData, react=react, acts=acts, prove=prove)


def react(record: LaneRecord, fact: Fact, now: Millis) -> Choice:
    """Decide; one case a line."""
    match record.state, fact:
        case _, Override():
            return override(s.LANE, record, fact)
        case s.OPEN, f.Looked():
            return _looked(record, fact, now)
        case s.OPEN, f.FoundOutside():
            return _found_outside(record, fact)
        case s.OPEN, Refused(reason):
            return _refused(record, reason)
        case _, f.Adopted():
            return _adopted(record, fact)
        case _, f.Trusted(node, until, by, reason):
            whose = f"the word of {node} counts alone for a time" if node else "no node's word counts alone"
            return keep(
                f"{by}: {whose}: {reason}",
                data=replace(record.data, trusted=node, trusted_until=until),
                again_s=0.0,
            )
        case _, Nothing() | LostSight() | f.Looked():
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _looked(record: LaneRecord, fact: f.Looked, now: Millis) -> Choice:
    spent = counted(record.data.spent, fact.charges, now)
    if spent is None:
        return wait(0.0)  # signed against room that is gone meanwhile: nobody has seen the bytes, and nobody will
    data = replace(
        record.data,
        next_nonce=fact.next_nonce,
        waits_for=fact.waits_for,
        lacks=fact.lacks,
        spent=spent,
        capped=fact.capped,
    )
    parts: dict[str, Any] = {
        "data": data,
        "again_s": fact.again_s,
        "creates": tuple(one.new for one in fact.signed),
        "group": _signed(fact) + tuple((one.payment, react_payment.unpayable(one)) for one in fact.unpayable),
    }
    # How much a lane lacks changes with every block, and a person is told once.
    same = fact.lacks == record.data.lacks if fact.lacks else fact.waits_for == record.data.waits_for
    if fact.waits_for and not same:
        parts["messages"] = (alarm(f"the lane {data.name} waits for {fact.waits_for}"),)
    if data == record.data and not parts["group"] and not fact.signed:
        return wait(fact.again_s)
    return keep(_summary(record, fact), **parts)


def charged(record: LaneRecord, charges: tuple[Charge, ...], why: str, now: Millis) -> Choice | None:
    """Decide that a better offer for a nonce is counted under the cap on fees; None where it has no room."""
    spent = counted(record.data.spent, charges, now)
    return None if spent is None else keep(why, data=replace(record.data, spent=spent))


def _refused(record: LaneRecord, reason: str) -> Choice:
    """Say once what the chain refuses, and try again; nothing was signed."""
    waits_for = f"an answer: {reason}"[:MOST_WORDS]
    if record.data.waits_for == waits_for:
        return wait(REFUSED_S)
    messages = (alarm(f"the lane {record.data.name} waits for {waits_for}"),)
    data = replace(record.data, waits_for=waits_for, lacks="", capped=False)
    return keep(f"waits for {waits_for}", data=data, messages=messages, again_s=REFUSED_S)


def _signed(fact: f.Looked) -> Group:
    return tuple(
        (member, react_payment.signed(member, one.new, place))
        for one in fact.signed
        for place, member in enumerate(one.members)
    )


def _summary(record: LaneRecord, fact: f.Looked) -> str:
    if fact.signed:
        nonces = [one.new.data.nonce for one in fact.signed]
        return (
            f"signed {len(nonces)} from nonce {min(nonces)} for {sum(len(one.members) for one in fact.signed)} payments"
        )
    if fact.waits_for:
        return f"waits for {fact.waits_for}"
    if fact.next_nonce != record.data.next_nonce:
        return f"the next nonce is {fact.next_nonce}, it was {record.data.next_nonce}"
    return "has what it needs again" if record.data.waits_for else "cannot make a payment as it is"


def _found_outside(record: LaneRecord, fact: f.FoundOutside) -> Choice:
    """Notice somebody else's transactions; stop where one of them may have paid a payment of ours."""
    data = replace(
        record.data,
        next_nonce=fact.next_nonce,
        noticed=record.data.noticed + len(fact.seen),
        waits_for="",
        lacks="",
        capped=False,
    )
    hashes = ", ".join(one.hash for one in fact.seen[:NAMED])
    why = f"{len(fact.seen)} transactions of {data.address} are not ours ({hashes}): another sender uses its key"
    if not fact.suspects:
        return keep(why, data=data, again_s=0.0, messages=(alarm(why),))
    return halted(record, data, fact.suspects, why)


def halted(record: LaneRecord, data: LaneData, suspects: tuple[Suspect, ...], why: str) -> Choice:
    """Decide that a person must look at what somebody else's transactions may have paid."""
    known = {(one.hash, one.payment) for one in data.suspects}
    fresh = tuple(one for one in suspects if (one.hash, one.payment) not in known)
    data = replace(data, suspects=(*data.suspects, *fresh))
    matches = "; ".join(f"{one.hash} may have paid {one.payment}" for one in suspects[:NAMED])
    said = f"the lane {data.name} stops: {matches}"
    if record.state == s.HALTED:
        return keep(f"{why}. {matches}", data=data, alarm=said)
    return move("halt", f"{why}. {matches}", data=data, alarm=said)


def _adopted(record: LaneRecord, fact: f.Adopted) -> Choice:
    # An override may have opened a lane that still has suspects; without a word on them they are never paid.
    if record.state == s.OPEN and not record.data.suspects:
        raise BadInput(f"The lane {record.data.name} is open: there is nothing to adopt.")
    known = {(one.payment, one.hash) for one in record.data.suspects}
    strangers = [one.id for one, tx in fact.paid if (one.id, tx) not in known]
    if strangers:
        raise BadInput(f"{strangers[0]} is no suspect of the lane {record.data.name}.")
    if not fact.reason.strip():
        raise BadInput("Say why: it is written into the history for whoever asks later.")
    evidence = {tx: Evidence("ethereum", tx, (("adopted_by", fact.by),)) for _, tx in fact.paid}
    group = tuple((one, react_payment.recognized(one, evidence[tx], fact.reason)) for one, tx in fact.paid)
    data, why = replace(record.data, suspects=()), f"{fact.by}: {fact.reason}"
    if record.state == s.OPEN:
        return keep(why, data=data, group=group, again_s=0.0)
    return move("adopt", why, data=data, group=group)
