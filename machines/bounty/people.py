"""What people decide about a bounty. Who may say what is asked before; here is only what it means."""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import MACHINE, BountyData, BountyRecord
from machines.bounty.policy import Policy
from machines.core.clock import DAY, Millis
from machines.core.decision import Decision, New, keep, move
from machines.core.errors import BadInput
from machines.core.forge import Pull
from machines.core.ids import derived_id, parse_id

Choice = Decision[BountyData]


def decided(record: BountyRecord, fact: f.Decided) -> Choice:
    """Go on with the claim that an operator names; with none where nobody has won it."""
    data = replace(record.data, known_merges=tuple(claim.id for claim in record.data.merged), trouble="", refund_to="")
    if not fact.pull:
        if data.surely_won:
            raise BadInput(f"{data.place.path} was won: name the pull request that gets it, or revoke it.")
        return move("resume", f"{fact.by} lets it go on", data=data)
    pull = _merged(record, fact.pull)
    return move("decide", f"{fact.by} decides for pull request {pull.number} of {pull.author}", data=data.winning(pull))


def reassigned(policy: Policy, record: BountyRecord, fact: f.Reassigned, now: Millis) -> Choice:
    """Give it to another merged claim, once the winner let the deadline pass."""
    _after_deadline(policy, record, now)
    pull = _merged(record, fact.pull)
    if pull.id == record.data.winner_pull:
        raise BadInput(f"{pull.author} has won it already, and has no address.")
    data = replace(record.data.winning(pull), known_merges=tuple(claim.id for claim in record.data.merged))
    return move("reassign", f"{fact.by} gives it to pull request {pull.number} of {pull.author}", data=data)


def retracted(record: BountyRecord, fact: f.Retracted) -> Choice:
    """Take a payment back that no maintainer has confirmed; the bot's approval dies before another one is given."""
    current = record.data.current
    if current is None or not current.confirm_hash or record.data.payout_hash:
        raise BadInput(f"{record.data.place.path} is on its way: what may have left cannot be taken back.")
    data = record.data.with_attempt(current.proposal.number, retracted=True)
    return move("retract", f"{fact.by}: {fact.reason}", data=replace(data, trouble=fact.reason))


def revoked(policy: Policy, record: BountyRecord, fact: f.Revoked, now: Millis) -> Choice:
    """Give the money back, with the same two hands; a winner is not passed over as long as he may still answer."""
    data = record.data
    if not data.contract_address or not data.holdings:
        raise BadInput(f"{data.place.path} holds no money that could be given back.")
    if record.state == s.AWAITING_ADDRESS:
        _after_deadline(policy, record, now)
    if fact.to.lower() == data.contract_address.lower():
        raise BadInput("The money cannot be given back to the wallet that it is in.")
    return move(
        "revoke", f"{fact.by} revokes it to {fact.to}", data=replace(data, refund_to=fact.to, revoked_by=fact.by)
    )


def sweep_wanted(record: BountyRecord, fact: f.SweepWanted, now: Millis) -> Choice:
    """Pay out what came in later, as a bounty of its own over the same wallet."""
    data = record.data
    if not data.holdings:
        raise BadInput(f"{data.place.path}: nothing has come in since it was paid.")
    number = data.sweeps + 1
    of = data.sweep_of or record.id
    child = BountyData(
        place=data.place,
        issue_id=data.issue_id,
        title=data.title,
        issue_open=data.issue_open,
        swept_at=now,
        hands=data.hands,
        transaction_hash=data.transaction_hash,
        contract_address=data.contract_address,
        claims=tuple(claim for claim in data.claims if claim.id == data.winner_pull),
        refund_to=data.refund_to if record.state == s.REFUNDED else "",
        sweep_of=of,
    )
    shard = parse_id(record.id)[1]
    new_id = derived_id(MACHINE, shard, record.id, "sweep", str(number))
    new = New(id=new_id, machine=MACHINE, owner=record.owner, amount=None, data=child)
    # What is paid out by that one is not offered again; what comes in after it is seen by the next look.
    after = replace(data, sweeps=number, holdings=())
    return keep(f"{fact.by} wants paid out what came in later", data=after, creates=(new,))


def _merged(record: BountyRecord, pull_id: int) -> Pull:
    for claim in record.data.merged:
        if claim.id == pull_id:
            return claim
    raise BadInput(f"{record.data.place.path} has no merged claim {pull_id}.")


def _after_deadline(policy: Policy, record: BountyRecord, now: Millis) -> None:
    left_ms = record.data.asked_at + policy.deadline_ms - now
    if left_ms > 0:
        days = -(-left_ms // DAY)
        raise BadInput(f"{record.data.winner_login} may still save an address, for {days} days.")
