"""What is learned of the wallet means to a bounty."""

from dataclasses import replace

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.claims import assess
from machines.bounty.data import BountyRecord, Choice
from machines.bounty.policy import BountyPolicy
from machines.core.decision import alarm, keep, move, wait

FUNDS = "somebody to fund it"
AGAIN_AFTER_S = 600.0
LONGEST_S = 6 * 3600.0


def planned(record: BountyRecord, fact: f.Planned) -> Choice:
    """Write down how the wallet is made, before anything leaves."""
    if record.data.creation is not None:
        return wait(0)
    data = replace(record.data, creation=fact.creation, hands=fact.hands, waiting_for="", trouble="")
    return keep("its wallet is planned", data=data, again_s=0)


def deploying(record: BountyRecord, fact: f.Deploying) -> Choice:
    """Keep the hash; a new one of the same transaction takes its place."""
    if fact.transaction_hash == record.data.transaction_hash:
        return wait()
    data = replace(record.data, transaction_hash=fact.transaction_hash, waiting_for="")
    return keep("its wallet is on its way", data=data)


def deployed(record: BountyRecord, fact: f.Deployed) -> Choice:
    """Open it."""
    data = replace(
        record.data,
        contract_address=fact.contract_address,
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
        hands=(),
        transaction_hash="",
        deploys=record.data.deploys + 1,
        trouble=f"no wallet was made: {fact.reason}",
    )
    again_s = min(LONGEST_S, AGAIN_AFTER_S * 2.0 ** min(record.data.deploys, 10))
    return keep(data.trouble, data=data, again_s=again_s, messages=(alarm(data.trouble),))


def held(policy: BountyPolicy, record: BountyRecord, fact: f.Held) -> Choice:
    """Keep what the wallet holds; an empty one is waited for, and never paid."""
    waits = record.state in (s.MERGED, s.REVOKING) and not fact.holdings
    data = replace(record.data, holdings=fact.holdings, waiting_for=FUNDS if waits else "")
    return assess(policy, record, data, "the wallet's balance changed")
