"""What a fact means to a finding. Pure: a record, a fact and the time give a decision."""

from dataclasses import replace

from machines.core.clock import Millis
from machines.core.decision import Decision, keep, move, noted, wait
from machines.core.errors import BadInput
from machines.core.facts import Fact, Nothing, Override, override
from machines.core.machine import Machine, RetryPolicy
from machines.core.ports import Act
from machines.finding import facts as f
from machines.finding import lifecycle as s
from machines.finding.data import Finding, FindingRecord

Choice = Decision[Finding]

RETRY = RetryPolicy(base_s=60, cap_s=3600)
"""A rail that cannot be asked is asked again at the pace of the other looks."""


def finding(acts: dict[str, Act[Finding]]) -> Machine[Finding]:
    return Machine(lifecycle=s.LIFECYCLE, data=Finding, react=react, acts=acts, retry=RETRY)


def react(record: FindingRecord, fact: Fact, _: Millis) -> Choice:
    """Decide what a fact means to a finding."""
    match record.state, fact:
        case _, Override():
            return override(s.LIFECYCLE, record, fact)
        case _, Nothing():
            return wait()
        case s.OPEN, f.Explained(why):
            return move("explain", why)
        case s.OPEN, f.Resolved(by, did):
            return move("resolve", f"{by}: {did}")
        case s.OPEN, f.Waived(by, reason):
            if not reason.strip():
                raise BadInput("Say why it may stay: it is written into the history for whoever asks later.")
            return move("waive", f"{by}: {reason}")
        case s.OPEN, f.TakenUp(by):
            return keep(f"{by} works on it", data=replace(record.data, taken_by=by))
        case s.OPEN, f.Stopped(scope):
            return keep(f"{scope} is paused because of it", data=replace(record.data, stopped=scope))
        case s.OPEN, f.Noticed(found) if found.says != record.data.says:
            return keep(found.says, data=_as_found(record, found))
        case s.OPEN | s.WAIVED, f.Noticed():
            return wait()
        case ((s.EXPLAINED | s.RESOLVED), f.Noticed(found)):
            return move(
                "contradict", found.says, data=replace(_as_found(record, found), taken_by="", stopped=""), again_s=3600
            )
        case _, (f.Resolved() | f.Waived() | f.TakenUp()):
            raise BadInput(f"{record.id} is over: it is {record.state}.")
        case _:
            return noted(f"{type(fact).__name__} means nothing in {record.state}")


def _as_found(record: FindingRecord, found: Finding) -> Finding:
    """Give what is found now, with what people did about it before."""
    return replace(found, taken_by=record.data.taken_by, stopped=record.data.stopped)
