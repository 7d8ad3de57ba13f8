"""What a fact means to a bounty, state by state; among it the defects of the old system, each as a test against it."""

from dataclasses import replace

import pytest

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty import react_repository
from machines.bounty.comment import CommentWriter
from machines.bounty.data import (
    MOST_CLAIMS,
    Agreement,
    Doubt,
    Hand,
    RepositoryData,
    approval_key,
    bounty_id,
    deploy_key,
    repository_id,
)
from machines.core.errors import BadInput
from machines.core.facts import Fact, LostSight, Nothing, Override, Refused
from machines.core.forge import PullState
from machines.core.record import Record
from tests.machines.bounty.scenes import (
    ANNS,
    BOBS,
    CONFIRM,
    ETHERS,
    EVERY_FACT,
    EXECUTE,
    ID,
    LATE,
    NOW,
    OTHER,
    PAYOUT,
    STATES,
    WALLET,
    after,
    answer,
    attempt,
    bounty,
    decide,
    issue,
    paid,
    proposal,
    pull,
)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fact", [*EVERY_FACT, Nothing(), Refused("no"), LostSight("?")])
def test_every_state_has_an_answer_to_every_fact(state: str, fact: Fact) -> None:
    """A move that the table has, or staying, or a refusal in words; never a bug."""
    found = answer(bounty(state), fact)
    if not isinstance(found, str) and found.trigger:
        s.LIFECYCLE.target(state, found.trigger)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fact", EVERY_FACT)
def test_the_same_fact_twice_changes_nothing_more(state: str, fact: Fact) -> None:
    """Deliveries and looks repeat themselves."""
    first = answer(bounty(state), fact)
    if isinstance(first, str):
        return
    once = after(bounty(state), fact)
    found = answer(once, fact)
    if isinstance(found, str) or isinstance(fact, f.SweepWanted | f.DeployFailed | f.Decided | f.NoAddress | f.Held):
        return
    again = after(once, fact)
    assert replace(again.data, reminders=0) == replace(once.data, reminders=0)
    assert again.state in (once.state, s.MERGED, s.CONTESTED)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fact", [one for one in EVERY_FACT if not isinstance(one, f.PaidOut)])
def test_only_the_wallets_own_word_pays(state: str, fact: Fact) -> None:
    """Whatever else is learned, nothing but the wallet's event leads to PAID or REFUNDED."""
    found = answer(bounty(state), fact)
    if not isinstance(found, str):
        assert found.trigger not in ("pay", "refund")


@pytest.mark.parametrize("state", [s.PAID, s.REFUNDED])
@pytest.mark.parametrize("fact", EVERY_FACT)
def test_what_is_over_stays_over(state: str, fact: Fact) -> None:
    """No late fact moves it, or changes who was paid and how."""
    found = answer(bounty(state), fact)
    if isinstance(found, str):
        return
    assert found.trigger is None
    before, data = bounty(state).data, found.data or bounty(state).data
    assert (data.payout_hash, data.winner_login, data.payout_receipt) == (
        before.payout_hash,
        before.winner_login,
        before.payout_receipt,
    )


# ── the defects of the old system ────────────────────────────────────────────────────────────────────────────────────


def test_a_bounty_without_money_is_never_paid() -> None:
    """The old one called an empty wallet paid as soon as there was any receipt."""
    record = after(bounty(s.MERGED), f.Held(()))
    assert (record.state, record.data.attempts) == (s.MERGED, ())
    assert "fund" in record.data.waiting_for


def test_a_later_merge_does_not_overwrite_the_winner() -> None:
    """The old one's guard read a column that was called otherwise, and never fired."""
    for state in (s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID):
        record = after(bounty(state), f.PullChanged(pull(9, author="bob")))
        assert (record.state, record.data.winner_login, record.data.commit_sha) == (state, "ann", pull().commit_sha)
        assert "bob" in record.data.banners[0]


def test_a_second_merge_before_the_payment_is_fixed_is_decided_by_a_person() -> None:
    """Until then nobody is paid; the operator's word decides, and the same rival contests it no more."""
    record = after(bounty(s.MERGED), f.PullChanged(pull(9, author="bob")))
    assert (record.state, record.data.winner_login) == (s.CONTESTED, "ann")
    record = after(record, f.Decided("olu", pull(9).id))
    assert (record.state, record.data.winner_login) == (s.MERGED, "bob")
    record = after(record, f.PullChanged(pull(9, author="bob")))
    assert after(record, f.Proposed(proposal(1, BOBS), refund=False)).state == s.EXECUTED


def test_a_rival_that_surfaces_while_the_payment_is_fixed() -> None:
    """The look that fixed it had not seen him: the decision does."""
    rivals = (pull(), pull(9, author="bob"))
    record = after(bounty(s.MERGED, claims=rivals), f.Proposed(proposal(), refund=False))
    assert (record.state, record.data.attempts) == (s.CONTESTED, ())


def test_time_alone_forgets_neither_winner_nor_what_must_be_confirmed() -> None:
    """The old one cleared the winner and the hash after three hours, and nothing found them again."""
    record = after(bounty(s.CONFIRMING), f.Vanished(1, PAYOUT), now=LATE)
    assert (record.state, record.data.winner_login, record.data.confirm_hash) == (s.CONFIRMABLE, "ann", CONFIRM)
    assert record.data.earlier_hashes == (PAYOUT,)
    assert after(record, paid()).state == s.PAID


def test_a_failure_inside_the_wallet_is_no_payment() -> None:
    """The old one never looked at ExecutionFailure; a receipt was enough."""
    record = after(bounty(s.CONFIRMING), f.NotPaidOut(1, PAYOUT, "the wallet says that the payment failed"))
    assert (record.state, record.data.payout_hash, record.data.winner_login) == (s.CONFIRMABLE, "", "ann")
    assert "failed" in record.data.trouble


def test_a_hash_that_nobody_told_is_found_by_its_effect() -> None:
    """The old one waited for the browser to call back, for ever."""
    record = after(bounty(s.CONFIRMABLE), f.Underway(1, PAYOUT))
    assert (record.state, record.data.payout_hash) == (s.CONFIRMING, PAYOUT)
    assert after(bounty(s.CONFIRMABLE), paid()).state == s.PAID


def test_a_replaced_transaction_is_followed_to_the_one_that_pays() -> None:
    """Sped up in the wallet: the hash that was told never comes."""
    record = after(bounty(s.CONFIRMING), f.Underway(1, OTHER))
    assert (record.data.payout_hash, record.data.earlier_hashes) == (OTHER, (PAYOUT,))
    assert after(record, paid(1, OTHER)).data.payout_hash == OTHER


def test_a_deploy_is_sent_anew_only_after_proof() -> None:
    """The old one sent another one after 30 minutes, and two wallets were there."""
    record = after(bounty(s.OPENING), f.Blocked("the lane"), now=LATE)
    assert deploy_key(record.id, record.data.deploys) == f"{ID}/deploy/1"
    record = after(record, f.DeployFailed("reverted"))
    assert deploy_key(record.id, record.data.deploys) == f"{ID}/deploy/2"


def test_the_bots_approval_has_one_key_for_ever() -> None:
    """What may have left is never sent under another name."""
    record = bounty(s.EXECUTED)
    for fact in (
        f.Blocked("gas"),
        f.Executing(1, OTHER),
        f.Executing(1, EXECUTE),
        f.Proposed(proposal(2), refund=False),
    ):
        record = after(record, fact)
    assert [approval_key(record.id, one.proposal.number) for one in record.data.attempts] == [f"{ID}/approve/1"]


# ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_merge_wins() -> None:
    """By the time of the merge, not by which delivery comes first; a second one is decided about."""
    both = (pull(9, author="bob", merged_at=NOW + 1), pull(8, merged_at=NOW + 2))
    record = after(bounty(s.OPEN), f.Swept(issue(), both))
    assert (record.state, record.data.winner_login) == (s.MERGED, "bob")
    assert after(record, f.NoAddress(record.data.winner_id)).state == s.CONTESTED


def test_older_news_of_a_claim_change_nothing() -> None:
    """Deliveries overtake each other; GitHub's own time tells which is newer."""
    record = after(bounty(s.OPEN), f.PullChanged(pull(8, PullState.CLOSED, updated_at=NOW + 9)))
    record = after(record, f.PullChanged(pull(8, PullState.OPENED, updated_at=NOW + 1)))
    assert record.data.claims[0].state == PullState.CLOSED


def test_a_merge_is_for_ever() -> None:
    """No edit after it takes the claim away."""
    record = after(bounty(s.OPEN), f.PullChanged(pull()))
    record = after(record, f.PullChanged(pull(8, closes=(), updated_at=NOW + 99)))
    assert [claim.state for claim in record.data.claims] == [PullState.MERGED]


def test_a_reference_that_was_edited_away_claims_nothing() -> None:
    """The old one never removed it."""
    record = after(bounty(s.OPEN), f.PullChanged(pull(8, PullState.OPENED)))
    assert len(record.data.claims) == 1
    record = after(record, f.PullChanged(pull(8, PullState.OPENED, closes=(), updated_at=NOW + 99)))
    assert record.data.claims == ()


def test_a_merge_that_closes_the_issue_first() -> None:
    """GitHub tells of the two in any order."""
    closed = issue(open=False, updated_at=NOW + 9)
    record = after(bounty(s.OPEN), f.IssueChanged(closed))
    assert (record.state, record.data.swept_at) == (s.OPEN, 0), "nobody is told before GitHub is read"
    assert after(record, f.PullChanged(pull())).state == s.MERGED
    assert after(record, f.Swept(closed, (pull(),))).state == s.MERGED, "the merge's delivery was the one that got lost"
    record = after(record, f.Swept(closed, ()))
    assert record.state == s.CLOSED
    assert after(record, f.PullChanged(pull())).state == s.MERGED


def test_a_label_that_is_taken_off_and_put_on_again() -> None:
    """Before anything is won the bounty closes and opens; after it nothing changes."""
    off, on = issue(labelled=False, updated_at=NOW + 1), issue(updated_at=NOW + 2)
    for opened in (s.OPEN, s.OPENING):
        record = after(bounty(opened), f.IssueChanged(off))
        assert record.state == opened
        record = after(record, f.Swept(off, ()))
        assert record.state == s.CLOSED
        assert after(record, f.IssueChanged(on)).state == opened
    for state in (s.MERGED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID):
        assert after(bounty(state), f.IssueChanged(off)).state == state


def test_a_merge_after_the_label_was_taken_off_wins_nothing() -> None:
    """Whoever took it off did not want to pay for it; put on again, the merge counts."""
    record = after(bounty(s.OPEN), f.IssueChanged(issue(labelled=False, updated_at=NOW + 1)))
    record = after(record, f.PullChanged(pull()))
    record = after(record, f.Swept(issue(labelled=False, updated_at=NOW + 1), (pull(),)))
    assert (record.state, record.data.winner_login) == (s.CLOSED, "")
    assert after(record, f.IssueChanged(issue(updated_at=NOW + 2))).state == s.MERGED


def test_a_moved_issue_and_a_renamed_repository() -> None:
    """The one is gone from here; the other is the same under another name."""
    moved = after(after(bounty(s.OPEN), f.IssueGone("the issue was moved to a/b#3")), f.Swept(None, ()))
    assert (moved.state, moved.data.gone) == (s.CLOSED, "the issue was moved to a/b#3")
    assert after(bounty(s.OPEN), f.Swept(issue(id=1), ())).state == s.CLOSED
    renamed = after(bounty(s.OPEN), f.Renamed("acme/gadgets", 78))
    assert (renamed.state, renamed.data.place.path, renamed.data.place.installation) == (s.OPEN, "acme/gadgets#7", 78)


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_winner_without_an_address_is_asked_reminded_and_passed_over_after_the_deadline() -> None:
    """And never before it."""
    rivals = (pull(), pull(9, author="bob"))
    known = tuple(one.id for one in rivals)
    record = after(bounty(s.MERGED, claims=rivals, known_merges=known), f.NoAddress(pull().author_id))
    assert (record.state, record.data.asked_at) == (s.AWAITING_ADDRESS, NOW)
    assert after(record, f.NoAddress(pull().author_id)).data.reminders == 1
    with pytest.raises(BadInput, match="may still save"):
        decide(record, f.Reassigned("mia", pull(9).id))
    with pytest.raises(BadInput, match="may still save"):
        decide(record, f.Revoked("mia", BOBS))
    late = after(record, f.Reassigned("mia", pull(9).id), now=LATE)
    assert (late.state, late.data.winner_login) == (s.MERGED, "bob")
    with pytest.raises(BadInput, match="not read at GitHub"):
        decide(record, f.Revoked("mia", BOBS, 1), now=LATE)
    record = after(record, f.Swept(issue(), rivals), now=LATE)
    assert after(record, f.Revoked("mia", BOBS, 1), now=LATE).state == s.REVOKING


def test_an_address_of_somebody_else_is_no_answer() -> None:
    """A fact names whom it is about."""
    assert after(bounty(s.AWAITING_ADDRESS), f.AddressKnown(1, ANNS)).state == s.AWAITING_ADDRESS
    assert after(bounty(s.AWAITING_ADDRESS), f.AddressKnown(pull().author_id, ANNS)).state == s.MERGED


def test_a_payment_that_is_taken_back_dies_before_another_one_is_made() -> None:
    """Two approvals of one bounty must never both be worth something."""
    record = after(bounty(s.CONFIRMABLE), f.Retracted("mia", "the winner has another address"))
    assert (record.state, record.data.confirm_hash) == (s.CONTESTED, "")
    record = after(record, f.Decided("olu", pull().id))
    assert record.data.to_withdraw is not None
    assert after(record, f.Proposed(proposal(2), refund=False)).data.attempts == record.data.attempts
    record = after(record, f.ApprovalWithdrawn(1))
    record = after(record, f.Proposed(proposal(2), refund=False))
    assert (record.state, len(record.data.attempts)) == (s.EXECUTED, 2)


@pytest.mark.parametrize("state", [s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.REVOKING])
def test_where_a_person_decides_no_approval_is_left_standing(state: str) -> None:
    """Whichever way it came there; what was on its way to the chain is revoked once its place is known."""
    data = decide(bounty(state), Override(s.CONTESTED, "look", "olu")).data
    assert data is not None
    record = replace(bounty(state), state=s.CONTESTED, data=data)
    assert record.data.current is None
    assert record.data.to_withdraw is not None
    if not record.data.to_withdraw.confirm_hash:
        record = after(record, f.BotApproved(1, EXECUTE, CONFIRM))
        assert record.data.to_withdraw is not None
        assert record.data.to_withdraw.confirm_hash == CONFIRM
    record = after(record, f.ApprovalWithdrawn(1))
    assert (record.state, record.data.to_withdraw) == (s.CONTESTED, None)
    assert after(record, f.BotApproved(1, EXECUTE, CONFIRM)).data == record.data


def test_what_a_maintainer_has_confirmed_cannot_be_taken_back() -> None:
    """It may have left."""
    for state in (s.EXECUTED, s.CONFIRMING, s.PAID):
        assert isinstance(answer(bounty(state), f.Retracted("mia", "no")), str)


def test_an_old_approval_that_is_carried_out_after_all_is_told() -> None:
    """The money went where the first payment said: the books say so, and a person is told."""
    attempts = (attempt(retracted=True), attempt(2))
    record = bounty(s.CONFIRMABLE, attempts=attempts)
    decision = decide(record, paid(1))
    assert (decision.trigger, bool(decision.alarm)) == ("pay", True)


def test_a_refund_takes_the_same_two_hands() -> None:
    """Fixed, approved, confirmed, and then the wallet's word."""
    record = after(bounty(s.OPEN), f.Revoked("mia", BOBS))
    assert (record.state, record.data.refund_to) == (s.REVOKING, BOBS)
    record = after(record, f.Proposed(proposal(1, BOBS), refund=True))
    record = after(record, f.BotApproved(1, EXECUTE, CONFIRM))
    record = after(record, f.Confirmed("mia", 1, PAYOUT))
    assert record.state == s.REVOKING
    assert after(record, paid()).state == s.REFUNDED


@pytest.mark.parametrize("state", [s.MERGED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID])
def test_what_is_won_cannot_be_revoked(state: str) -> None:
    """A winner is not passed over."""
    assert isinstance(answer(bounty(state), f.Revoked("mia", BOBS)), str)


def test_an_empty_wallet_cannot_be_revoked_nor_into_itself() -> None:
    """Both would wait for ever."""
    assert isinstance(answer(bounty(s.OPEN, holdings=()), f.Revoked("mia", BOBS)), str)
    assert isinstance(answer(bounty(s.OPEN), f.Revoked("mia", WALLET)), str)


def test_what_comes_in_later_is_paid_out_by_a_sweep_of_its_own() -> None:
    """The bounty stays paid; the sweep begins with its wallet and its winner."""
    record = after(bounty(s.PAID), f.Held(ETHERS))
    decision = decide(record, f.SweepWanted("mia"))
    (new,) = decision.creates
    assert (decision.trigger, new.data.sweep_of, new.data.contract_address) == (None, ID, WALLET)
    assert isinstance(answer(bounty(s.PAID), f.SweepWanted("mia")), str), "there is nothing to sweep"
    child = Record(new.id, "bounty", s.OPENING, 1, new.owner, None, new.data, NOW, NOW)
    child = after(child, f.Deployed(WALLET, OTHER))
    child = after(child, f.Held(ETHERS))
    assert (child.state, child.data.winner_login, child.data.doubts) == (s.MERGED, "ann", ())


def test_a_sweep_for_work_that_was_taken_back_is_in_as_much_doubt_as_the_bounty() -> None:
    """It has no news of its own, and the bot must not agree to it as if nothing had been."""
    record = after(bounty(s.PAID, reverted=(pull().number,)), f.Held(ETHERS))
    (new,) = decide(record, f.SweepWanted("mia")).creates
    child = Record(new.id, "bounty", s.OPENING, 1, new.owner, None, new.data, NOW, NOW)
    child = after(after(child, f.Deployed(WALLET, OTHER)), f.Held(ETHERS))
    assert (child.state, child.data.doubts) == (s.MERGED, (Doubt.REVERTED,))


def test_a_confirmation_before_the_bots_or_of_an_older_payment_is_refused() -> None:
    """What must be confirmed is known only from the receipt."""
    assert isinstance(answer(bounty(s.EXECUTED), f.Confirmed("mia", 1, PAYOUT)), str)
    assert isinstance(answer(bounty(s.CONFIRMABLE), f.Confirmed("mia", 9, PAYOUT)), str)


def test_an_override_leaves_the_bounty_fit_for_its_state() -> None:
    """Nobody can be said to be paid by a payment that was never made."""
    for to in (s.MERGED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.REVOKING):
        assert isinstance(answer(bounty(s.OPEN), Override(to, "because", "olu", "eve")), str)
    assert decide(bounty(s.CONFIRMABLE), Override(s.CONTESTED, "because", "olu", "eve")).to == s.CONTESTED


# ── owners ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_hands_are_two_peoples() -> None:
    """One address may not be two owners, or two of two is one."""
    record = Record(
        repository_id(1, 8),
        "repository",
        s.ENABLED,
        1,
        bounty(s.OPEN).owner,
        None,
        RepositoryData(1, "a/b", 2),
        NOW,
        NOW,
    )
    decision = react_repository.react(record, f.HandProven(Hand(1, "mia", ANNS), "words", "0x"), NOW)
    assert decision.data is not None
    record = replace(record, data=decision.data)
    with pytest.raises(BadInput, match="two people"):
        react_repository.react(record, f.HandProven(Hand(2, "moe", ANNS), "words", "0x"), NOW)
    moved = react_repository.react(record, f.HandProven(Hand(1, "mia", BOBS), "words", "0x"), NOW)
    assert moved.data is not None
    assert [hand.address for hand in moved.data.hands] == [BOBS]


# ── what people read ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (s.OPENING, "Contract deploying"),
        (s.OPEN, "Current balance: 0.5 ETH"),
        (s.CLOSED, "a maintainer can give them back"),
        (s.MERGED, "Status: Pending maintainer confirmation"),
        (s.AWAITING_ADDRESS, "Status: Pending user to save ETH address"),
        (s.CONFIRMABLE, "Winner: ann"),
        (s.PAID, "Paid to: ann"),
        (s.REFUNDED, f"Refunded to: {BOBS}"),
    ],
)
def test_the_comment_of_each_state(state: str, words: str) -> None:
    """Others read these words."""
    assert words in CommentWriter("https://pay.example", 1).comment(bounty(state))


def test_the_comment_names_the_network_and_a_new_picture_for_each_balance() -> None:
    """A forge keeps pictures for long."""
    comment = CommentWriter("https://pay.example", 1)
    assert "Network: Mainnet" in comment.comment(bounty(s.OPEN))
    assert "Network: Testnet (chain 5)" in CommentWriter("https://pay.example", 5).comment(bounty(s.OPEN))
    pictures = [
        next(line for line in comment.comment(one).splitlines() if "qr.png" in line)
        for one in (bounty(s.OPEN), bounty(s.OPEN, holdings=()))
    ]
    assert pictures[0] != pictures[1]


def test_a_sweep_writes_no_comment() -> None:
    """The issue has its one."""
    assert CommentWriter("https://pay.example", 1).comment(bounty(s.OPEN, sweep_of=ID)) == ""


def test_ids_are_wider_than_32_bits() -> None:
    """And different issues have different bounties."""
    assert bounty_id(2**63 - 1, 2**63 - 1, 8) != bounty_id(2**63 - 1, 2**63 - 2, 8)


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_confirmed_past_our_page_though_it_was_taken_back_raises_an_alarm() -> None:
    """What is approved on the chain cannot be unsaid; a person is told, unless another hand had asked for it."""
    for parts in ({"reopened_at": NOW + 100}, {"reverted": (pull().number,)}):
        record = bounty(s.CONFIRMING, **parts)
        assert "no other hand had asked" in decide(record, paid()).alarm
        agreement = Agreement(2, "bob", record.data.question)
        assert decide(bounty(s.CONFIRMING, agreements=(agreement,), **parts), paid()).alarm == ""
    assert decide(bounty(s.CONFIRMING), paid()).alarm == ""


@pytest.mark.parametrize("state", [s.MERGED, s.AWAITING_ADDRESS, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING])
def test_a_person_is_told_once_that_the_work_may_be_undone(state: str) -> None:
    """By a banner for whoever looks, and an alarm."""
    again = f.IssueChanged(issue(updated_at=NOW + 100, reopened_at=NOW + 100))
    decision = decide(bounty(state), again)
    assert [message.kind for message in decision.messages] == ["alarm"]
    record = after(bounty(state), again)
    assert (record.state, len(record.data.banners)) == (state, 1)
    assert decide(record, again).messages == ()
    revert = f.PullChanged(pull(9, closes=(), reverts=(pull().number,)))
    record = after(record, revert)
    assert (record.data.doubts, len(record.data.banners)) == ((Doubt.REOPENED, Doubt.REVERTED), 2)


def test_what_was_opened_again_before_the_merge_was_merged_for_it() -> None:
    """And news of it may come late; neither is a doubt."""
    record = after(bounty(s.CONFIRMABLE), f.IssueChanged(issue(updated_at=NOW + 100, reopened_at=NOW - 100)))
    assert record.data.doubts == ()
    late = after(record, f.IssueChanged(issue(updated_at=NOW - 1, reopened_at=NOW + 50)))
    assert late.data.doubts == (Doubt.REOPENED,), "news of a deed after the merge counts, though newer news is known"


@pytest.mark.parametrize("state", [s.PAID, s.REFUNDED])
def test_a_second_round_is_told_once_and_what_comes_in_needs_an_address(state: str) -> None:
    """The first winner, or the first funder, gets nothing of it."""
    over = bounty(state, issue_open=False, ended_at=NOW, holdings=ETHERS)
    again = f.IssueChanged(issue(updated_at=NOW + 100, labelled_at=NOW + 100))
    decision = decide(over, again)
    assert [message.kind for message in decision.messages] == ["alarm"]
    assert decision.again_s == 0, "the comment says it now, not at the next look in hours"
    record = after(over, again)
    assert record.data.second_round
    assert decide(record, again).messages == ()
    with pytest.raises(BadInput, match="opened again, or given back"):
        decide(record, f.SweepWanted("mia"))
    (child,) = decide(record, f.SweepWanted("mia", BOBS, 1)).creates
    assert (child.data.refund_to, child.data.revoked_by_id, child.data.deposits_since) == (BOBS, 1, PAYOUT)


def test_only_whoever_owns_the_wallet_and_is_not_paid_by_it_agrees_to_what_was_asked() -> None:
    """About the very question, and each once."""
    record = bounty(s.MERGED, hands=(Hand(1, "mia", BOBS), Hand(2, "bob", WALLET)))
    about = record.data.question
    for refused in (
        f.AgreementGiven("eve", 99, about),
        f.AgreementGiven("mia", 1, "pull 1"),
        f.AgreementGiven("ann", 5_000_000_208, about),
    ):
        with pytest.raises(BadInput):
            decide(record, refused)
    for person, by in ((1, "mia"), (2, "bob"), (0, "olu"), (1, "mia")):
        record = after(record, f.AgreementGiven(by, person, about))
    assert sorted(one.name for one in record.data.agreements) == ["bob", "mia", "olu"]
    for state in (s.OPEN, s.CLOSED, s.CONTESTED, s.PAID, s.REFUNDED):
        with pytest.raises(BadInput):
            decide(bounty(state), f.AgreementGiven("mia", 1, bounty(state).data.question))


def test_the_days_in_public_begin_when_everybody_can_read_of_it() -> None:
    """Not when the comment was refused, nor anew when it is written once more."""
    record = after(bounty(s.MERGED), f.HandWanted(bounty(s.MERGED).data.question))
    assert (record.data.waiting_for, record.data.hand_wanted) == ("another hand that asks for it", "pull 5000000108")
    refused = after(record, f.Commented(1, "a"), now=NOW + 5)
    assert (refused.data.told_about, refused.data.told_at) == ("", 0)
    told = after(record, f.Commented(1, "b", record.data.question), now=NOW + 9)
    assert (told.data.told_about, told.data.told_at) == (record.data.question, NOW + 9)
    assert after(told, f.Commented(1, "c", record.data.question), now=NOW + 99).data.told_at == NOW + 9
    other = after(told, f.Commented(1, "d", "pull 9"), now=NOW + 99)
    assert other.data.told_about == record.data.question, "what was written is not what is asked now"


# ── many claims ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_claims_are_bounded_by_person_and_in_all_and_what_was_merged_always_counts() -> None:
    """The newest are kept, open ones before closed ones."""
    record = bounty(s.OPEN)
    for number in range(100, 100 + 4 * MOST_CLAIMS):
        record = after(record, f.PullChanged(pull(number, PullState.OPENED)))
    assert [claim.number for claim in record.data.claims] == list(range(100 + 3 * MOST_CLAIMS, 100 + 4 * MOST_CLAIMS))
    crowd = tuple(pull(number, PullState.OPENED, author_id=7) for number in range(1000, 1200))
    closed = tuple(pull(number, PullState.CLOSED, author_id=number) for number in range(2000, 2200))
    swept = after(bounty(s.OPEN), f.Swept(issue(), (*crowd, *closed, pull(8, PullState.OPENED))))
    kept = swept.data.claims
    assert [claim.number for claim in kept if claim.author_id == 7] == [1197, 1198, 1199]
    assert (len(kept), kept[0].number) == (MOST_CLAIMS, 8)
    merged = after(swept, f.PullChanged(pull(8)))
    assert (merged.state, merged.data.winner_login) == (s.MERGED, "ann")
    for number in range(3000, 3100):
        merged = after(merged, f.PullChanged(pull(number, PullState.OPENED)))
    assert pull(8).id in {claim.id for claim in merged.data.claims}
