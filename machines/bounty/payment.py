"""What is learned of the wallet, and of a payment out of it, means to a bounty.

A fact of another proposal than the current one is never about the payment.
"""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.claims import assess, with_banner
from machines.bounty.data import BountyPolicy, BountyRecord, Choice, ProposalAttempt
from machines.core.clock import Millis
from machines.core.decision import alarm, contradiction, keep, move, wait
from machines.core.errors import BadInput
from machines.core.wallets import WalletProposal

MOST_HASHES = 20
FUNDS = "somebody to fund it"
AGAIN_AFTER_S = 600.0
LONGEST_S = 6 * 3600.0


# ── the wallet ───────────────────────────────────────────────────────────────────────────────────────────────────────


def planned(record: BountyRecord, fact: f.Planned) -> Choice:
    """Write down how the wallet is made, before anything leaves."""
    data = record.data
    if data.creation is not None and (data.creation_seal or not fact.seal):
        return wait(0)
    data = replace(data, creation=fact.creation, creation_seal=fact.seal, hands=fact.hands, waiting_for="", trouble="")
    return keep("its wallet is planned", data=data, again_s=0)


def deploying(record: BountyRecord, fact: f.Deploying) -> Choice:
    """Keep the hash; a new one of the same transaction takes its place."""
    if fact.transaction_hash == record.data.transaction_hash:
        return wait()
    return keep(
        "its wallet is on its way",
        data=replace(record.data, transaction_hash=fact.transaction_hash, waiting_for=""),
    )


def deployed(record: BountyRecord, fact: f.Deployed) -> Choice:
    """Open it."""
    data = replace(
        record.data,
        contract_address=fact.contract_address,
        wallet_seal=fact.seal or record.data.wallet_seal,
        transaction_hash=fact.transaction_hash or record.data.transaction_hash,
        waiting_for="",
        trouble="",
        # What is known of the issue may be old news: whether it is still wanted is read before anybody is told.
        swept_at=record.data.swept_at if record.data.wanted else 0,
    )
    return move("open", f"its wallet is {fact.contract_address}", data=data)


def deploy_failed(record: BountyRecord, fact: f.DeployFailed) -> Choice:
    """Plan it anew: that transaction is proven to have made nothing."""
    data = replace(
        record.data,
        creation=None,
        creation_seal="",
        hands=(),
        transaction_hash="",
        deploys=record.data.deploys + 1,
        trouble=f"no wallet was made: {fact.reason}",
    )
    return keep(
        data.trouble,
        data=data,
        again_s=min(LONGEST_S, AGAIN_AFTER_S * 2.0 ** min(record.data.deploys, 10)),
        messages=(alarm(data.trouble),),
    )


def held(policy: BountyPolicy, record: BountyRecord, fact: f.Held) -> Choice:
    """Keep what the wallet holds; an empty one is waited for, and never paid."""
    waits = record.state in (s.MERGED, s.REVOKING) and not fact.holdings
    data = replace(record.data, holdings=fact.holdings, waiting_for=FUNDS if waits else "")
    return assess(policy, record, data, "the wallet's balance changed")


def summed(proposal: WalletProposal) -> str:
    return ", ".join(f"{holding.decimal} {holding.symbol}" for holding in proposal.holdings)


# ── the bot's hand ───────────────────────────────────────────────────────────────────────────────────────────────────


def proposed(policy: BountyPolicy, record: BountyRecord, fact: f.Proposed) -> Choice:
    """Write down what is paid, before the bot agrees to it; from here on a rival merge is only a banner."""
    data, proposal = record.data, fact.proposal
    if record.state == s.MERGED and data.rivals:
        return assess(policy, record, data, "a rival was merged while the payment was being fixed")
    if data.current is not None or data.to_withdraw is not None or proposal.number != len(data.attempts) + 1:
        return wait(0)
    data = replace(
        data,
        attempts=(*data.attempts, ProposalAttempt(proposal, fact.refund, seal=fact.seal)),
        holdings=proposal.holdings,
        payout_address=proposal.to,
        execute_hash="",
        confirm_hash="",
        payout_hash="",
        earlier_hashes=(),
        hand_wanted="",
        waiting_for="",
        trouble="",
    )
    why = f"{summed(proposal)} to {proposal.to}"
    return keep(why, data=data, again_s=0) if record.state == s.REVOKING else move("execute", why, data=data)


def executing(record: BountyRecord, fact: f.Executing) -> Choice:
    if not is_current(record, fact.number) or fact.execute_hash == record.data.execute_hash:
        return wait()
    data = replace(record.data, waiting_for="").with_attempt(fact.number, execute_hash=fact.execute_hash)
    return keep("the bot's approval is on its way", data=data)


def approved(record: BountyRecord, fact: f.BotApproved) -> Choice:
    """Show a maintainer what he confirms."""
    if record.data.confirm_hash:
        return wait()
    data = replace(record.data, waiting_for="", trouble="").with_attempt(
        fact.number, execute_hash=fact.execute_hash, confirm_hash=fact.confirm_hash
    )
    why = f"a maintainer must confirm {fact.confirm_hash}"
    return move("approve", why, data=data) if record.state == s.EXECUTED else keep(why, data=data)


def approved_late(record: BountyRecord, fact: f.BotApproved) -> Choice:
    """Learn what stands on the chain of a payment that was taken back while the bot's approval was on its way."""
    back = record.data.to_withdraw
    if back is None or back.proposal.number != fact.number or back.confirm_hash:
        return wait()
    data = record.data.with_attempt(fact.number, execute_hash=fact.execute_hash, confirm_hash=fact.confirm_hash)
    return keep("the approval that is to be taken back has come", data=data)


def not_approved(record: BountyRecord, fact: f.NotApproved) -> Choice:
    """Let a person decide: the bot could not agree, so nothing can be paid like this."""
    if not is_current(record, fact.number):
        return wait()
    trouble = f"the bot could not approve the payment: {fact.reason}"
    data = record.data.with_attempt(fact.number, retracted=True, withdrawn=True)
    return move("retract", trouble, data=replace(data, trouble=trouble), messages=(alarm(trouble),))


def withdrawn(record: BountyRecord, fact: f.ApprovalWithdrawn) -> Choice:
    """Go on: the earlier approval is worth nothing."""
    data = record.data.with_attempt(fact.number, withdrawn=True)
    return (
        keep("the earlier approval is worth nothing any more", data=data, again_s=0) if data != record.data else wait(0)
    )


# ── a maintainer's hand ──────────────────────────────────────────────────────────────────────────────────────────────


def confirmed(record: BountyRecord, fact: f.Confirmed, now: Millis) -> Choice:
    """Follow the transaction that a maintainer names; it takes the place of an older one, which may still count."""
    data = record.data
    if not is_current(record, fact.number):
        raise BadInput(f"{data.place.path} is to be paid otherwise now: open the page again.")
    if not data.confirm_hash:
        raise BadInput(f"{data.place.path}: the bot has not approved it yet.")
    if fact.payout_hash == data.payout_hash:
        return wait()
    return _follow(record, fact.payout_hash, now, f"{fact.by} confirms with {fact.payout_hash}", fact.by)


def underway(record: BountyRecord, fact: f.Underway, now: Millis) -> Choice:
    """Follow what the wallet's chain shows, whoever sent it."""
    if not is_current(record, fact.number) or fact.payout_hash == record.data.payout_hash:
        return wait()
    return _follow(record, fact.payout_hash, now, f"the wallet's chain shows {fact.payout_hash}", "")


def _follow(record: BountyRecord, payout_hash: str, now: Millis, why: str, by: str) -> Choice:
    data = record.data
    earlier = (*data.earlier_hashes, data.payout_hash) if data.payout_hash else data.earlier_hashes
    data = replace(
        data,
        payout_hash=payout_hash,
        earlier_hashes=earlier[-MOST_HASHES:],
        confirmed_at=now,
        confirmed_by=by or data.confirmed_by,
        trouble="",
    )
    return move("confirm", why, data=data) if record.state == s.CONFIRMABLE else keep(why, data=data, again_s=0)


def doubted(record: BountyRecord, fact: f.NotPaidOut | f.Vanished) -> Choice:
    """Ask a maintainer again: the winner stays who he is, and what must be confirmed stays what it is.

    Should a transaction that no node knows come after all, its effect is seen.
    """
    data = record.data
    if not is_current(record, fact.number) or fact.payout_hash != data.payout_hash:
        return wait()
    if isinstance(fact, f.NotPaidOut):
        trouble = f"{fact.payout_hash} paid nothing: {fact.reason}"
    else:
        trouble = f"no node knows {fact.payout_hash}"
    messages = (alarm(trouble),) if isinstance(fact, f.NotPaidOut) else ()
    earlier = (*data.earlier_hashes, data.payout_hash)[-MOST_HASHES:]
    data = replace(data, payout_hash="", earlier_hashes=earlier, trouble=trouble)
    if record.state == s.REVOKING:
        return keep(trouble, data=data, messages=messages)
    return move("doubt", trouble, data=data, messages=messages)


def dead(record: BountyRecord, fact: f.Dead) -> Choice:
    """Let a person decide: this payment can never be carried out."""
    if not is_current(record, fact.number):
        return wait()
    data = replace(record.data, trouble=fact.reason, payout_hash="").with_attempt(
        fact.number, retracted=True, withdrawn=True
    )
    return move("retract", fact.reason, data=data, messages=(alarm(fact.reason),))


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def paid(record: BountyRecord, fact: f.PaidOut) -> Choice:
    """Finish: the wallet itself says so. Which proposal it was says whether it was a refund."""
    attempt = next((one for one in record.data.attempts if one.proposal.number == fact.number), None)
    if attempt is None:
        return contradiction(f"the wallet paid a proposal {fact.number} that nobody made")
    unforeseen = record.data.current is not attempt
    data = replace(
        record.data,
        execute_hash=attempt.execute_hash,
        confirm_hash=attempt.confirm_hash,
        payout_address=attempt.proposal.to,
        payout_hash=fact.payout_hash,
        payout_receipt=fact.receipt,
        holdings=(),
        waiting_for="",
        hand_wanted="",
        trouble="",
        ended_at=record.data.issue_updated_at,
    )
    why = f"the wallet paid {summed(attempt.proposal)} to {attempt.proposal.to}"
    said = f"{why} by an approval that was to be taken back" if unforeseen else ""
    doubts = () if attempt.refund else record.data.doubts
    if doubts and not any(one.about == record.data.question for one in record.data.agreements):
        said = f"{why}, {' and '.join(doubts)} since it was merged, and no other hand had asked for it"
    if unforeseen:
        data = with_banner(BountyPolicy(), data, "It was paid by an approval that was to be taken back.")
    return move("refund" if attempt.refund else "pay", why, data=data, alarm=said)


def paid_already(record: BountyRecord, fact: f.PaidOut) -> Choice:
    """Take a repetition for what it is; a second payment of one bounty must never be."""
    if fact.payout_hash == record.data.payout_hash:
        return wait()
    return contradiction(f"paid twice: {record.data.payout_hash} and {fact.payout_hash}", "machine:bounty")


def is_current(record: BountyRecord, number: int) -> bool:
    """Say whether a fact speaks of the payment that is under way."""
    current = record.data.current
    return current is not None and current.proposal.number == number
