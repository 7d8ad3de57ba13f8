"""What the forge says means to a bounty: who claims it, who won it, whether it is still wanted."""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyData, BountyPolicy, BountyRecord, Choice, Doubt
from machines.core.clock import Millis
from machines.core.decision import Message, alarm, keep, move, wait
from machines.core.forge import PullRequest, PullState

SECOND_ROUND = "The issue was opened again, or labelled anew: what came in since goes back to who put it in."
DOUBTS = {
    Doubt.REOPENED: "The issue was opened again after the merge: another owner must ask for the payment.",
    Doubt.REVERTED: "The merged work was taken back since: another owner must ask for the payment.",
}
GONE = "the issue is not there any more"
MOVED = "the issue was moved to another repository"


def swept(policy: BountyPolicy, record: BountyRecord, fact: f.Swept, now: Millis) -> Choice:
    """Learn all at once; what an earlier look knew and this one does not see claims nothing any more."""
    data = replace(record.data, swept_at=now)
    if fact.issue is None:
        data = replace(data, gone=data.gone or GONE)
    elif fact.issue.id != data.issue_id:
        data = replace(data, gone=data.gone or MOVED)
    else:
        data = replace(data.with_issue(fact.issue, read=True), gone="")
    closing = tuple(pull for pull in fact.pulls if data.place.number in pull.closes)
    seen = {pull.id for pull in closing}
    data = replace(
        data,
        doubtful=(*data.doubtful, *_doubtful(policy, record.data, closing)),
        claims=tuple(claim for claim in data.claims if claim.id in seen or claim.state == PullState.MERGED),
    )
    for pull in closing:
        data = data.with_claim(pull, read=True)
    data = data.with_reverts(*fact.pulls)
    return assess(policy, record, data, "the forge was read as a whole", read=True)


def renamed(record: BountyRecord, fact: f.Renamed) -> Choice:
    """Follow a repository to its new name; its number stays."""
    data = record.data
    place = replace(data.place, name=fact.name, installation=fact.installation or data.place.installation)
    if place == data.place:
        return wait()
    return keep(f"the repository is called {fact.name} now", data=replace(data, place=place))


def assess(
    policy: BountyPolicy,
    record: BountyRecord,
    data: BountyData,
    why: str,
    trigger: str | None = None,
    *,
    read: bool = False,
) -> Choice:
    """Decide where a bounty stands by what is known now; `trigger` is what would happen else.

    `read` says whether the forge was just read as a whole. Nobody is told that there was no merge before it was: the
    delivery that told of one may be the one that got lost.
    """
    data, messages = _notify_of_doubts(policy, record, data)
    decision = _assess(policy, record, data, why, trigger, read=read)
    if not messages:
        return decision
    # The comment says it too, at the next look: that of what is over may be hours away.
    again_s = decision.again_s if decision.trigger else 0
    return decision.but(messages=(*decision.messages, *messages), again_s=again_s)


def _assess(
    policy: BountyPolicy, record: BountyRecord, data: BountyData, why: str, trigger: str | None, *, read: bool
) -> Choice:
    if record.state in (s.OPENING, s.OPEN, s.CLOSED):
        data = _set_older_aside(policy, data)
    if not read and record.state in (s.OPENING, s.OPEN) and record.data.wanted and not data.wanted:
        data = replace(data, swept_at=0)  # it is read at once
    match record.state:
        case s.OPENING if read and not data.wanted and data.creation is None and not (data.rivals or data.sweep_of):
            return move("close", _reason(data), data=data)
        case s.OPEN | s.CLOSED:
            decision = _unfinished(record, data, read=read)
            if decision is not None:
                return decision
        case s.MERGED | s.AWAITING_ADDRESS if data.rivals:
            names = ", ".join(str(claim.number) for claim in data.rivals)
            return _contest(data, f"pull request {names} was merged too: a person decides who gets it")
        case s.EXECUTED | s.CONFIRMABLE | s.CONFIRMING | s.REVOKING | s.PAID | s.REFUNDED:
            data = _show_rivals(policy, data)
        case _:
            pass
    if trigger is not None:
        return move(trigger, why, data=data)
    if data == record.data:
        return wait()
    # The first sweep is only what the next look waits for; a doubt about which news is newer asks for another one.
    return keep(why, data=data, again_s=None if data.swept_at and record.data.swept_at else 0)


def _unfinished(record: BountyRecord, data: BountyData, *, read: bool) -> Choice | None:
    """Decide about a bounty that has no winner yet."""
    if data.contract_address and data.refund_to and data.sweep_of:
        return move("revoke", "what came in later goes back too", data=data)
    # A merge after the label was taken off wins nothing: whoever took it off did not want that.
    won = data.rivals and data.labelled and not data.gone
    if data.contract_address and won:
        return _won(data, data.rivals[0])
    if record.state == s.OPEN and not data.wanted and read:
        return move("close", _reason(data), data=data)
    if record.state == s.CLOSED and not data.contract_address and won:
        return move("restart", "it was won before it had a wallet", data=data)
    if record.state == s.CLOSED and data.wanted:
        return move("reopen" if data.contract_address else "restart", "it is wanted again", data=data)
    return None


def _won(data: BountyData, first: PullRequest) -> Choice:
    """Name the winner; where it is not sure that he claimed it before the merge, a person does."""
    if first.id in data.doubtful:
        return _contest(
            data, f"pull request {first.number} was changed after its merge: a person decides whether it claimed this"
        )
    data = replace(data.winning(first), known_merges=(*data.known_merges, first.id))
    return move("merge", f"pull request {first.number} of {first.author} was merged", data=data)


def _contest(data: BountyData, said: str) -> Choice:
    return move("contest", said, data=replace(data, trouble=said), messages=(alarm(said),))


def _show_rivals(policy: BountyPolicy, data: BountyData) -> BountyData:
    """Show what was merged too late to change anything."""
    for claim in data.rivals:
        data = with_banner(policy, data, f"Pull request {claim.number} of {claim.author} was merged too, later.")
    return replace(data, known_merges=tuple(claim.id for claim in data.merged)) if data.rivals else data


def _notify_of_doubts(
    policy: BountyPolicy, record: BountyRecord, data: BountyData
) -> tuple[BountyData, tuple[Message, ...]]:
    """Show, and tell a person, once, that the work may be undone, or that the issue asks for work once more."""
    said = []
    if record.state in (s.PAID, s.REFUNDED) and data.second_round:
        said = [SECOND_ROUND]
    elif record.state in (s.MERGED, s.AWAITING_ADDRESS, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING):
        said = [DOUBTS[doubt] for doubt in data.doubts]
    new = [text for text in said if text not in record.data.banners]
    for text in new:
        data = with_banner(policy, data, text)
    return data, tuple(alarm(f"{data.place.path}: {text}") for text in new)


def _set_older_aside(policy: BountyPolicy, data: BountyData) -> BountyData:
    """Set aside what was merged before there was a bounty: the issue was opened again since, so it did not solve it."""
    for claim in data.rivals:
        if claim.merged_at < data.labelled_at:
            earlier = f"Pull request {claim.number} of {claim.author} was merged before this was a bounty."
            data = with_banner(policy, data, f"{earlier} It wins nothing.")
            data = replace(data, known_merges=(*data.known_merges, claim.id))
    return data


def _doubtful(policy: BountyPolicy, known: BountyData, pulls: tuple[PullRequest, ...]) -> list[int]:
    """List merged claims that no delivery told of, and that may have been written after the merge."""
    before = {claim.id for claim in known.claims}
    return [
        pull.id
        for pull in pulls
        if pull.state == PullState.MERGED
        and pull.id not in before
        and pull.updated_at - pull.merged_at > policy.edited_ms
    ]


def with_banner(policy: BountyPolicy, data: BountyData, text: str) -> BountyData:
    """Show something to whoever looks at the bounty from now on."""
    if text in data.banners:
        return data
    return replace(data, banners=(*data.banners, text)[-policy.most_banners :])


def _reason(data: BountyData) -> str:
    if data.gone:
        return data.gone
    return "the issue was closed without a merge" if not data.issue_open else "the label was taken off"
