"""What people decide about a bounty. Who may say what is asked before; here is only what it means."""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import MACHINE, Agreement, BountyData, BountyPolicy, BountyRecord, Choice
from machines.core.clock import DAY, Millis
from machines.core.decision import New, alarm, keep, move, wait
from machines.core.errors import BadInput
from machines.core.forge import PullRequest
from machines.core.ids import derived_id, parse_id

ANOTHER_HAND = "another hand that asks for it"
HAND_AGAIN_S = 600.0
MOST_NAMED = 20


def decided(record: BountyRecord, fact: f.Decided) -> Choice:
    """Go on with the claim that an operator names; with none where nobody has won it."""
    data = replace(record.data, known_merges=tuple(claim.id for claim in record.data.merged), trouble="", refund_to="")
    if not fact.pull:
        if data.surely_won:
            raise BadInput(f"{data.place.path} was won: name the pull request that gets it, or revoke it.")
        return move("resume", f"{fact.by} lets it go on", data=data)
    pull = _merged(record, fact.pull)
    return move("decide", f"{fact.by} decides for pull request {pull.number} of {pull.author}", data=data.winning(pull))


def reassigned(policy: BountyPolicy, record: BountyRecord, fact: f.Reassigned, now: Millis) -> Choice:
    """Give it to another merged claim, once the winner let the deadline pass."""
    _after_deadline(policy, record, now)
    pull = _merged(record, fact.pull)
    if pull.id == record.data.winner_pull:
        raise BadInput(f"{pull.author} has won it already, and has no address.")
    return move(
        "reassign",
        f"{fact.by} gives it to pull request {pull.number} of {pull.author}",
        data=replace(record.data.winning(pull), known_merges=tuple(claim.id for claim in record.data.merged)),
    )


def retracted(record: BountyRecord, fact: f.Retracted) -> Choice:
    """Take a payment back that no maintainer has confirmed; the bot's approval dies before another one is given."""
    current = record.data.current
    if current is None and record.state == s.REVOKING:  # it still waits for another hand: nothing was fixed
        return move("retract", f"{fact.by}: {fact.reason}", data=replace(record.data, trouble=fact.reason))
    if current is None or not current.confirm_hash or record.data.payout_hash:
        raise BadInput(f"{record.data.place.path} is on its way: what may have left cannot be taken back.")
    data = replace(record.data, trouble=fact.reason).with_attempt(current.proposal.number, retracted=True)
    return move("retract", f"{fact.by}: {fact.reason}", data=data)


def revoked(policy: BountyPolicy, record: BountyRecord, fact: f.Revoked, now: Millis) -> Choice:
    """Give the money back, with the same two hands; a winner is not passed over as long as he may still answer."""
    data = record.data
    if not data.contract_address or not data.holdings:
        raise BadInput(f"{data.place.path} holds no money that could be given back.")
    if record.state == s.AWAITING_ADDRESS:
        _after_deadline(policy, record, now)
    _not_into_itself(data, fact.to)
    _read_just_now(policy, data, now)
    data = replace(data, refund_to=fact.to, revoked_by=fact.by, revoked_by_id=fact.person, hand_wanted="")
    return move("revoke", f"{fact.by} revokes it to {fact.to}", data=data)


def sweep_wanted(policy: BountyPolicy, record: BountyRecord, fact: f.SweepWanted, now: Millis) -> Choice:
    """Pay out what came in later, as a bounty of its own over the same wallet.

    Who was paid gets it only while the issue stayed what it was: once it was opened again, or labelled anew, money was
    not put in for them, and it goes back.
    """
    data = record.data
    if not data.holdings:
        raise BadInput(f"{data.place.path}: nothing has come in since it was paid.")
    _read_just_now(policy, data, now)
    goes_back = record.state == s.REFUNDED or data.second_round
    if goes_back and not fact.to:
        raise BadInput(
            f"{data.place.path} was opened again, or given back: say at which address who put it in gets it."
        )
    if fact.to and not goes_back:
        raise BadInput(f"{data.place.path} was paid: what came in later is {data.winner_login}'s too.")
    _not_into_itself(data, fact.to)
    number = data.sweeps + 1
    child = BountyData(
        place=data.place,
        issue_id=data.issue_id,
        title=data.title,
        issue_open=data.issue_open,
        swept_at=now,
        creation=data.creation,
        hands=data.hands,
        transaction_hash=data.transaction_hash,
        contract_address=data.contract_address,
        wallet_seal=data.wallet_seal,
        claims=tuple(claim for claim in data.claims if claim.id == data.winner_pull),
        reverted=data.reverted,
        deposits_since=data.payout_hash,
        refund_to=fact.to,
        revoked_by=fact.by if fact.to else "",
        revoked_by_id=fact.person if fact.to else 0,
        refund_named=data.refund_named,
        sweep_of=data.sweep_of or record.id,
    )
    new_id = derived_id(MACHINE, parse_id(record.id)[1], record.id, "sweep", str(number))
    new = New(id=new_id, machine=MACHINE, owner=record.owner, amount=None, data=child)
    # What is paid out by that one is not offered again; what comes in after it is seen by the next look.
    after = replace(data, sweeps=number, holdings=())
    return keep(f"{fact.by} wants paid out what came in later", data=after, creates=(new,))


def address_changing(record: BountyRecord, fact: f.AddressChanging) -> Choice:
    """Have the comment say that somebody who claims it shall be paid elsewhere: they may be the last to know."""
    data = record.data
    others = tuple(one for one in data.address_changes if one[0] != fact.person and one[0] in data.claimants)
    changes = (*others, (fact.person, fact.counts_from)) if fact.counts_from else others
    if changes == data.address_changes:
        return wait()
    name = data.claimants.get(fact.person, str(fact.person))
    why = f"{name} replaces the address where they are paid" if fact.counts_from else f"{name} replaces none any more"
    return keep(why, data=replace(data, address_changes=changes), again_s=0)


def hand_wanted(record: BountyRecord, about: str) -> Choice:
    """Hold the bot's approval back, and have everybody told what is missing."""
    if about != record.data.question or about == record.data.hand_wanted:
        return wait(HAND_AGAIN_S)
    data = replace(record.data, hand_wanted=about, waiting_for=ANOTHER_HAND)
    why = "the bot holds its approval back until another hand has asked for it"
    return keep(why, data=data, again_s=0, messages=(alarm(f"{data.place.path}: {why}: {about}"),))


def agreed(record: BountyRecord, fact: f.AgreementGiven) -> Choice:
    """Take the word of another owner of the wallet, or of an operator, about exactly what they were shown."""
    data = record.data
    if fact.about != data.question:
        raise BadInput(f"{data.place.path} is another question now than the one that was shown: open the page again.")
    if fact.person and fact.person not in {hand.person for hand in data.hands}:
        raise BadInput(f"{fact.by} does not own the wallet of {data.place.path}: another owner's word is needed.")
    if fact.person and fact.person == data.winner_id and not data.refund_to:
        raise BadInput(f"{fact.by} would be paid: another owner's word is needed.")
    others = tuple(one for one in data.agreements if one.person != fact.person and one.about == fact.about)
    data = replace(data, agreements=(*others, Agreement(fact.person, fact.by, fact.about)), hand_wanted="")
    return keep(f"{fact.by} asks for it too: {fact.about}", data=data, again_s=0)


def refund_named(record: BountyRecord, fact: f.RefundNamed) -> Choice:
    """Remember where an address that funded the wallet wants its money back."""
    _not_into_itself(record.data, fact.to)
    others = tuple(one for one in record.data.refund_named if one[0] != fact.funder)
    data = replace(record.data, refund_named=(*others, (fact.funder, fact.to))[-MOST_NAMED:])
    return keep(f"{fact.funder} wants its money back at {fact.to}", data=data, again_s=0)


def _not_into_itself(data: BountyData, to: str) -> None:
    if to.lower() == data.contract_address.lower():
        raise BadInput("The money cannot be given back to the wallet that it is in.")


def _read_just_now(policy: BountyPolicy, data: BountyData, now: Millis) -> None:
    """Refuse what must not be done on old news: deliveries get lost, and a merge may have been among them."""
    if not data.sweep_of and now - data.swept_at > policy.fresh_ms:
        raise BadInput(f"{data.place.path} was not read at GitHub just now: ask again when GitHub answers.")


def _merged(record: BountyRecord, pull_id: int) -> PullRequest:
    for claim in record.data.merged:
        if claim.id == pull_id:
            return claim
    raise BadInput(f"{record.data.place.path} has no merged claim {pull_id}.")


def _after_deadline(policy: BountyPolicy, record: BountyRecord, now: Millis) -> None:
    left_ms = record.data.asked_at + policy.deadline_ms - now
    if left_ms > 0:
        raise BadInput(f"{record.data.winner_login} may still save an address, for {-(-left_ms // DAY)} days.")
