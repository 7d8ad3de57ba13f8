"""What is told of bounties, under the names that users of Status Open Bounty know: for API, page and command line."""

from typing import Any

from machines.bounty import lifecycle as s
from machines.bounty.comment import open_question
from machines.bounty.data import BountyRecord
from machines.core.forge import PullRequest, PullState
from machines.core.wallets import ETHER, Holding

Json = dict[str, Any]


NEWEST = 50
ETHER_DECIMALS = 18


def open_claims(record: BountyRecord) -> tuple[PullRequest, ...]:
    """List the claims that wait for a merge."""
    return tuple(claim for claim in record.data.claims if claim.state == PullState.OPENED)


def state_of(record: BountyRecord) -> str:
    """Say the state in the words that others know."""
    if record.state == s.OPEN:
        claims = len(open_claims(record))
        if claims:
            return "claimed" if claims == 1 else "multiple-claims"
        return "funded" if record.data.holdings else "opened"
    return s.LIFECYCLE.state(record.state).public


def owns(record: BountyRecord, person: int | None) -> bool:
    """Say whether somebody is an owner of a bounty's wallet."""
    return any(hand.person == person for hand in record.data.hands)


def balances(holdings: tuple[Holding, ...]) -> list[str]:
    """Write what a wallet holds."""
    return [f"{one.decimal} {one.symbol}" for one in holdings]


def shown(record: BountyRecord) -> Json:
    """Show a bounty as the API does."""
    data = record.data
    owner, _, name = data.place.name.partition("/")
    current = data.current
    return {
        "id": record.id,
        "issue-id": data.issue_id,
        "issue-number": data.place.number,
        "issue-title": data.title,
        "repo-id": data.place.repository,
        "repo-owner": owner,
        "repo-name": name,
        "state": state_of(record),
        "transaction-hash": data.transaction_hash or None,
        "contract-address": data.contract_address or None,
        "balance-eth": next((one.decimal for one in data.holdings if one.token == ETHER), "0"),
        "tokens": {one.symbol: one.decimal for one in data.holdings if one.token != ETHER},
        "commit-sha": data.commit_sha or None,
        "winner-login": data.winner_login or None,
        "payout-address": data.payout_address or None,
        "execute-hash": data.execute_hash or None,
        "confirm-hash": data.confirm_hash or None,
        "payout-hash": data.payout_hash or None,
        "payout-receipt": dict(data.payout_receipt) or None,
        "confirming?": record.state == s.CONFIRMING,
        "payment": None
        if current is None
        else {"to": current.proposal.to, "amounts": {one.symbol: one.decimal for one in current.proposal.holdings}},
        "refund-to": data.refund_to or None,
        "question": open_question(record) or None,
        "doubts": [str(doubt) for doubt in data.doubts],
        "second-round?": s.LIFECYCLE.state(record.state).final and data.second_round,
        "waiting-for": data.waiting_for or None,
        "trouble": data.trouble or None,
        "banners": list(data.banners),
        "claims": [_claim(claim) for claim in data.claims],
    }


def _claim(claim: PullRequest) -> Json:
    return {
        "pr-id": claim.id,
        "pr-number": claim.number,
        "pr-title": claim.title,
        "user-login": claim.author,
        "commit-sha": claim.commit_sha,
        "state": int(claim.state),
    }


def activity(found: list[BountyRecord]) -> list[Json]:
    """List what became of claims, the newest first, in the kinds that others know."""
    rows = [(claim, record) for record in found if not record.data.sweep_of for claim in record.data.claims]
    rows.sort(key=lambda row: row[0].updated_at, reverse=True)
    return [
        {**_claim(claim), "type": kind, **public(record)}
        for claim, record in rows
        if (kind := _activity(claim, record)) is not None
    ][:NEWEST]


def _activity(claim: PullRequest, record: BountyRecord) -> str | None:
    if claim.id == record.data.winner_pull:
        return "claim-payout" if record.state == s.PAID else "claim-pending"
    return "open-claim" if claim.state == PullState.OPENED else None


def hunters(found: list[BountyRecord]) -> list[Json]:
    """List who was paid most ether, by what the receipts prove."""
    won: dict[str, list[int]] = {}
    for record in found:
        if record.state == s.PAID:
            moved = record.data.attempts[-1].proposal.holdings if record.data.attempts else ()
            won.setdefault(record.data.winner_login, []).append(sum(int(h.units) for h in moved if h.token == ETHER))
    ranked = sorted(won.items(), key=lambda one: (-sum(one[1]), one[0]))[:NEWEST]
    return [
        {
            "user-login": login,
            "bounties": len(amounts),
            "total-eth": Holding(ETHER, "ETH", ETHER_DECIMALS, str(sum(amounts))).decimal,
        }
        for login, amounts in ranked
    ]


def public(record: BountyRecord) -> Json:
    """Show what anybody may see."""
    known = shown(record)
    names = ("issue-id", "issue-number", "issue-title", "repo-owner", "repo-name", "state", "contract-address")
    return {name: known[name] for name in (*names, "balance-eth", "tokens")}
