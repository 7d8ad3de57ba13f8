"""What a fact means to a lane. Pure."""

from dataclasses import replace
from typing import Any

from machines.core.clock import Millis
from machines.core.decision import Decision, Message, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.machine import Machine
from machines.core.ports import Act, Evidence
from machines.core.record import Record
from machines.transaction import facts as f
from machines.transaction import lifecycle as s
from machines.transaction import payment
from machines.transaction.data import LaneData, LaneRecord

Choice = Decision[LaneData]
Group = tuple[tuple[Record[Any], Decision[Any]], ...]


def lane(acts: dict[str, Act[LaneData]]) -> Machine[LaneData]:
    """Make the machine."""
    return Machine(lifecycle=s.LANE, data=LaneData, facts=f.LANE_FACTS, react=react, acts=acts)


def react(record: LaneRecord, fact: Fact, _: Millis) -> Choice:
    """Decide; one case a line."""
    match record.state, fact:
        case _, Override():
            return override(s.LANE, record, fact)
        case s.OPEN, f.Looked():
            return _looked(record, fact)
        case s.OPEN, f.FoundOutside():
            return _found_outside(record, fact)
        case s.OPEN, f.Forgotten(nonce, reason):
            return move("halt", f"nonce {nonce}: {reason}", alarm=f"the lane {record.data.name} stops: {reason}")
        case s.HALTED, f.Adopted():
            return _adopted(record, fact)
        case s.OPEN, f.Adopted():
            raise BadInput(f"The lane {record.data.name} is open: there is nothing to adopt.")
        case _, Nothing() | f.Looked():
            return wait()
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _looked(record: LaneRecord, fact: f.Looked) -> Choice:
    data = replace(record.data, next_nonce=fact.next_nonce, waits_for=fact.waits_for)
    parts: dict[str, Any] = {
        "data": data,
        "again_s": 0.0 if fact.more else fact.again_s,
        "creates": tuple(one.new for one in fact.signed),
        "group": _signed(fact) + tuple((one.payment, payment.unpayable(one)) for one in fact.unpayable),
    }
    if fact.waits_for and fact.waits_for != record.data.waits_for:
        told = Message("alarm", {"why": f"the lane {data.name} waits: {fact.waits_for}"})
        parts["messages"] = (told,)
    if data == record.data and not parts["group"] and not fact.signed:
        return wait(fact.again_s)
    return keep(_summary(record, fact), **parts)


def _signed(fact: f.Looked) -> Group:
    return tuple(
        (member, payment.signed(member, one.new, place))
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
        return f"waits: {fact.waits_for}"
    if fact.next_nonce != record.data.next_nonce:
        return f"the next nonce is {fact.next_nonce}, it was {record.data.next_nonce}"
    return "has what it needs again" if record.data.waits_for else "cannot make a payment as it is"


def _found_outside(record: LaneRecord, fact: f.FoundOutside) -> Choice:
    """Notice somebody else's transactions; stop where one of them may have paid a payment of ours."""
    data = replace(
        record.data,
        next_nonce=fact.next_nonce,
        noticed=record.data.noticed + len(fact.seen),
        suspects=(*record.data.suspects, *fact.suspects),
        waits_for="",
    )
    hashes = ", ".join(one.hash for one in fact.seen[:3])
    why = f"{len(fact.seen)} transactions of {data.address} are not ours ({hashes}): another sender uses its key"
    if not fact.suspects:
        return keep(why, data=data, again_s=0.0, messages=(Message("alarm", {"why": why}),))
    matches = "; ".join(f"{one.hash} does what {one.payment} asks for" for one in fact.suspects[:5])
    return move("halt", f"{why}. {matches}", data=data, alarm=f"the lane {data.name} stops: {matches}")


def _adopted(record: LaneRecord, fact: f.Adopted) -> Choice:
    known = {(one.payment, one.hash) for one in record.data.suspects}
    strangers = [one.id for one, tx in fact.paid if (one.id, tx) not in known]
    if strangers:
        raise BadInput(f"{strangers[0]} is no suspect of the lane {record.data.name}.")
    if not fact.reason.strip():
        raise BadInput("Say why: it is written into the history for whoever asks later.")
    evidence = {tx: Evidence("ethereum", tx, (("adopted_by", fact.by),)) for _, tx in fact.paid}
    group = tuple((one, payment.recognized(one, evidence[tx], fact.reason)) for one, tx in fact.paid)
    return move("adopt", f"{fact.by}: {fact.reason}", data=replace(record.data, suspects=()), group=group)
