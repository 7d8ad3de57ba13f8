"""An issue that comes back: opened again, labelled anew, its work taken back; and what GitHub failed to tell of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.sandbox.faults import Fault
from adapters.sandbox.faults import Kind as FaultKind
from adapters.sandbox.github.town import Issue
from adapters.sandbox.magic import Webhook
from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import MOST_CLAIMS, MOST_CLAIMS_A_PERSON, Doubt
from machines.core.errors import ForgeUnavailable, PayflowError
from machines.core.ids import RecordId, derived_id, parse_id
from machines.core.wallets import ContractCall
from payflow.config import Settings
from payflow.desk.bounties.bounties import sweep_forge
from payflow.desk.person import Caller
from payflow.store.registers.tokens import Role
from tests.bounties import ANN, FUNDER, MIA, Fair, Kind, open_fair
from tests.chain import ETHER, FIFTH, account

SECOND_FUNDER, CAT, MOE = FIFTH, account("cat"), account("moe")


@pytest.fixture(params=["safe", "multisig"])
def wallets(request: pytest.FixtureRequest) -> Kind:
    """Each kind of wallet in turn."""
    return "safe" if request.param == "safe" else "multisig"


@pytest.fixture
async def fair(settings: Settings, wallets: Kind, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, wallets, tmp_path) as fair:
        yield fair


@pytest.fixture
async def one(settings: Settings, tmp_path: Path) -> AsyncIterator[Fair]:
    """The same, where the kind of wallet changes nothing."""
    async with open_fair(settings, "multisig", tmp_path) as fair:
        yield fair


async def paid_issue(fair: Fair) -> Issue:
    """A bounty that Ann was paid."""
    issue = await fair.confirmable_issue()
    await fair.confirms(issue)
    await fair.until(issue, s.PAID)
    return issue


async def second_round(fair: Fair, issue: Issue) -> None:
    """It is opened again and labelled anew, somebody funds it anew, and Cat's work is merged."""
    await fair.at_github(fair.github.reopen_issue, fair.home, issue)
    await fair.at_github(fair.github.unlabel, fair.home, issue)
    await fair.at_github(fair.github.label, fair.home, issue)
    await fair.funds(issue, 0.2, by=SECOND_FUNDER)
    await fair.proves("cat", CAT)
    await fair.merge(await fair.pull_for(issue, author="cat"), issue)
    await fair.until(issue, s.PAID, that=lambda record: bool(record.data.holdings))


def sweep_of(fair: Fair, issue: Issue) -> RecordId:
    """The payment of what came in later."""
    home = fair.id_of(issue)
    return derived_id("bounty", parse_id(home)[1], home, "sweep", "1")


async def wants_swept(fair: Fair, issue: Issue, to: str = "") -> PayflowError | None:
    """Mia asks for what came in later; gives why she does not get it."""
    mia = Caller("mia", Role.PROVIDER, f"github:{fair.github.town.person('mia').id}")
    try:
        await fair.bounties.desk.sweep(str(issue.id), mia, *((to,) if to else ()))
    except PayflowError as problem:
        return problem
    return None


async def carried_out(fair: Fair, child: RecordId, states: tuple[str, ...]) -> None:
    """Let the sweep go on to its confirmation, and confirm it."""
    first = fair.id_of
    fair.id_of = lambda _: child  # type: ignore[method-assign,assignment]
    issue = next(iter(fair.home.issues.values()))
    await fair.until(issue, *states, that=lambda record: bool(record.data.confirm_hash))
    call = await fair.says("mia", "GET", f"/api/user/bounty/{child}/confirmation?owner={MIA.address}")
    await fair.hands.send(MIA, ContractCall(call["to"], call["data"]))
    await fair.until(issue, s.PAID, s.REFUNDED)
    fair.id_of = first  # type: ignore[method-assign]


# ── a second round ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_comes_in_for_a_second_round_is_never_the_first_winners(fair: Fair) -> None:
    """It is said out loud, refused to Ann, and goes back to the very address that put it in."""
    async with fair.worker():
        issue = await paid_issue(fair)
        anns = await fair.chain.balance(ANN.address)
        await second_round(fair, issue)
        refused = await wants_swept(fair, issue)
        if refused is None:
            await carried_out(fair, sweep_of(fair, issue), (s.CONFIRMABLE,))
        assert await fair.chain.balance(ANN.address) == anns
        assert refused is not None
        assert "opened again" in str(refused)
        told = await fair.until_comment(issue, "Opened again, or labelled anew, after this was over.")
        assert "Paid to: ann" in told
        back = await fair.chain.balance(SECOND_FUNDER.address)
        assert await wants_swept(fair, issue, SECOND_FUNDER.address) is None
        await carried_out(fair, sweep_of(fair, issue), (s.REVOKING,))
    assert await fair.chain.balance(SECOND_FUNDER.address) - back == ETHER // 5
    assert await fair.chain.balance(ANN.address) == anns


async def test_a_second_round_is_known_though_no_delivery_told_of_it(one: Fair) -> None:
    """Opened again and closed again while nobody listened: GitHub is asked before anything is swept."""
    fair = one
    async with fair.worker():
        issue = await paid_issue(fair)
        fair.github.how = Webhook.NEVER
        await second_round(fair, issue)
        fair.github.faults.add(Fault(FaultKind.RESET, where="GET *issues*", times=100_000))
        refused = await wants_swept(fair, issue)
        assert refused is not None
        assert isinstance(refused, ForgeUnavailable), "what cannot be asked is not done"
        fair.github.faults.clear()
        refused = await wants_swept(fair, issue)
        assert refused is not None
        assert "opened again" in str(refused)
        await fair.until_comment(issue, "Opened again, or labelled anew, after this was over.")


async def test_what_was_given_back_once_goes_to_no_old_refund_address(one: Fair) -> None:
    """Somebody else funds it anew after the refund: the first funder does not get it."""
    fair = one
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.until(issue, s.OPEN, that=lambda record: bool(record.data.holdings))
        await fair.says("mia", "POST", "/api/user/revoke", {"issue-id": issue.id, "address": FUNDER.address})
        await fair.until(issue, s.REVOKING, that=lambda record: bool(record.data.confirm_hash))
        await fair.confirms(issue)
        await fair.until(issue, s.REFUNDED)
        await fair.funds(issue, 0.2, by=SECOND_FUNDER)
        await fair.until(issue, s.REFUNDED, that=lambda record: bool(record.data.holdings))
        before = await fair.chain.balance(FUNDER.address)
        refused = await wants_swept(fair, issue)
        if refused is None:
            await carried_out(fair, sweep_of(fair, issue), (s.REVOKING,))
        assert await fair.chain.balance(FUNDER.address) == before
        assert refused is not None
        # The old address is named by a maintainer alone: it did not put this in, so the bot holds back.
        assert await wants_swept(fair, issue, FUNDER.address) is None
        child, first = sweep_of(fair, issue), fair.id_of
        fair.id_of = lambda _: child  # type: ignore[method-assign,assignment]
        await fair.until(issue, s.REVOKING, that=lambda record: bool(record.data.hand_wanted))
        fair.id_of = first  # type: ignore[method-assign]
        assert await fair.chain.balance(FUNDER.address) == before


async def test_what_comes_in_later_for_the_same_work_is_still_the_winners(one: Fair) -> None:
    """Nothing was opened again: the sweep goes where it always went, and to no address that is named."""
    fair = one
    async with fair.worker():
        issue = await paid_issue(fair)
        anns = await fair.chain.balance(ANN.address)
        await fair.funds(issue, 0.2, by=SECOND_FUNDER)
        await fair.until(issue, s.PAID, that=lambda record: bool(record.data.holdings))
        refused = await wants_swept(fair, issue, MIA.address)
        assert refused is not None
        assert await wants_swept(fair, issue) is None
        await carried_out(fair, sweep_of(fair, issue), (s.CONFIRMABLE,))
    assert await fair.chain.balance(ANN.address) - anns == ETHER // 5


# ── what GitHub failed to tell ───────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_is_told_that_there_was_no_merge_before_github_was_asked(one: Fair) -> None:
    """The merge's delivery is lost, the closing's is not: Ann has won."""
    fair = one
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.until(issue, s.OPEN, that=lambda record: bool(record.data.holdings))
        pull = await fair.pull_for(issue)
        fair.github.how = Webhook.NEVER
        await fair.merge(pull)
        fair.github.how = Webhook.ONCE
        await fair.at_github(fair.github.close_issue, fair.home, issue)
        record = await fair.until(issue, s.CLOSED, s.AWAITING_ADDRESS)
        assert (record.state, record.data.winner_login) == (s.AWAITING_ADDRESS, "ann")
        assert "close" not in await fair.story_of(issue)
        assert "closed without a merge" not in (await fair.until_comment(issue, "Status:"))


async def test_nothing_is_given_back_on_old_news(one: Fair) -> None:
    """All of it is lost, and Mia wants the money back: GitHub is asked, and Ann has won. Meanwhile Mia waits."""
    fair = one
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.funds(issue)
        await fair.until(issue, s.OPEN, that=lambda record: bool(record.data.holdings))
        pull = await fair.pull_for(issue)
        fair.github.how = Webhook.NEVER
        await fair.merge(pull, issue)
        body = {"issue-id": issue.id, "address": FUNDER.address}
        fair.github.faults.add(Fault(FaultKind.RESET, where="GET *issues*", times=100_000))
        await fair.says("mia", "POST", "/api/user/revoke", body, expect=503)
        fair.github.faults.clear()
        await fair.says("mia", "POST", "/api/user/revoke", body, expect=409)
        record = await fair.until(issue, s.AWAITING_ADDRESS)
    assert record.data.winner_login == "ann"
    assert "revoke" not in await fair.story_of(issue)


# ── work that is taken back ──────────────────────────────────────────────────────────────────────────────────────────


async def test_however_much_noise_is_made_on_an_issue_its_newest_events_decide(one: Fair) -> None:
    """Labels go on and off all day, then it is opened again, untold; or there are more than can be read."""
    fair = one
    async with fair.worker():
        issue = await fair.confirmable_issue()
        issue.events += [("labeled", "noise", issue.updated_at) for _ in range(2_000)]
        fair.github.how = Webhook.NEVER
        await fair.at_github(fair.github.reopen_issue, fair.home, issue)
        ask = f"/api/user/bounty/{issue.id}/confirmation?owner={MIA.address}"
        refused = await fair.says("mia", "GET", ask, expect=403)
        assert "opened again after the merge" in refused["error"]["message"]

        fair.github.how = Webhook.ONCE
        other = await fair.labelled_issue("the loud one")
        await fair.until(other, s.OPEN)
        await fair.funds(other)
        await fair.until(other, s.OPEN, that=lambda record: bool(record.data.holdings))
        other.events += [("labeled", "noise", other.updated_at) for _ in range(10_000)]
        body = {"issue-id": other.id, "address": FUNDER.address}
        refused = await fair.says("mia", "POST", "/api/user/revoke", body, expect=409)
        assert "more than 10000 events" in refused["error"]["message"]
        await sweep_forge(fair.bounties.desk)
        await fair.until(other, s.OPEN, that=lambda record: "more than 10000 events" in record.data.trouble)
        # The others of its repository are read all the same, and what the error advises helps.
        assert (await fair.record(issue)).data.doubts == (Doubt.REOPENED,)
        other.deleted = True
        await fair.says("mia", "POST", "/api/user/revoke", body)
        await fair.until(other, s.REVOKING)


@pytest.mark.parametrize("how", [Webhook.ONCE, Webhook.NEVER], ids=["told", "lost"])
@pytest.mark.parametrize("deed", ["reopened", "reverted"])
async def test_work_that_was_taken_back_is_not_confirmed_silently(one: Fair, deed: str, how: Webhook) -> None:
    """After the bot's approval: whoever would confirm it is refused until another owner says so; all can read of it."""
    fair = one
    fair.home.roles[fair.github.town.person("moe").id] = "maintain"
    await fair.proves("moe", MOE, owner=True)
    await fair.chain.set_balance(MOE.address, ETHER)
    async with fair.worker():
        issue = await fair.confirmable_issue()
        pull = next(iter(fair.home.pulls.values()))
        fair.github.how = how
        if deed == "reopened":
            await fair.at_github(fair.github.reopen_issue, fair.home, issue)
        else:
            await fair.at_github(fair.github.revert, fair.home, pull)
        path = f"/api/user/bounty/{issue.id}"
        ask = f"{path}/confirmation?owner={MIA.address}"
        refused = await fair.says("mia", "GET", ask, expect=403)
        assert "another owner must ask" in refused["error"]["message"]
        await fair.says("mia", "POST", f"{path}/payout", {"payout-hash": "0x" + "11" * 32}, expect=403)
        record = await fair.until(issue, s.CONFIRMABLE)
        assert record.data.doubts == (deed,)
        assert any("another owner must ask" in banner for banner in record.data.banners)
        words = {"reopened": "the issue was opened again", "reverted": "the merged work was taken back"}[deed]
        assert words in await fair.until_comment(issue, "**Attention:**")

        about = {"about": record.data.question}
        await fair.says("mia", "POST", f"{path}/agree", about)
        await fair.says("mia", "GET", ask, expect=403)  # her own word does not let herself confirm it
        await fair.says("olu", "POST", f"{path}/agree", about)
        await fair.says("mia", "GET", ask, expect=403)  # there is another owner
        await fair.says("moe", "POST", f"{path}/agree", about)
        await fair.confirms(issue)
        await fair.until(issue, s.PAID)


async def test_what_was_taken_back_before_the_approval_is_not_approved(one: Fair) -> None:
    """The bot holds back; a maintainer who is not the winner says whether it is paid."""
    fair = one
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        await fair.proves("ann", ANN)
        pull = await fair.pull_for(issue)
        await fair.merge(pull, issue)
        await fair.at_github(fair.github.revert, fair.home, pull)
        await fair.funds(issue)
        record = await fair.until(issue, that=lambda one: bool(one.data.hand_wanted or one.data.confirm_hash))
        assert (record.state, record.data.current) == (s.MERGED, None)
        about = {"about": record.data.question}
        await fair.says("mia", "POST", f"/api/user/bounty/{issue.id}/agree", about)
        await fair.until(issue, s.CONFIRMABLE)


# ── many claims ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_however_many_claim_an_issue_what_is_kept_has_a_bound_and_who_is_merged_wins(one: Fair) -> None:
    """Anybody may write its number into any number of pull requests, from any number of accounts."""
    fair = one
    async with fair.worker():
        issue = await fair.labelled_issue()
        await fair.until(issue, s.OPEN)
        honest = await fair.pull_for(issue)
        for number in range(12):
            await fair.pull_for(issue, author="mallory" if number < 8 else f"sock{number}")
        claims = (await fair.record(issue)).data.claims
        assert sum(claim.author == "mallory" for claim in claims) == MOST_CLAIMS_A_PERSON
        assert {"ann", "sock11"} <= {claim.author for claim in claims}
        for number in range(MOST_CLAIMS + 20):
            fair.github.how = Webhook.NEVER  # no delivery tells of these, the sweep finds them
            await fair.pull_for(issue, author=f"puppet{number}")
        await sweep_forge(fair.bounties.desk)
        assert len((await fair.record(issue)).data.claims) == MOST_CLAIMS
        fair.github.how = Webhook.ONCE
        await fair.merge(honest, issue)
        record = await fair.until(issue, s.AWAITING_ADDRESS)
    assert record.data.winner_login == "ann"
    assert len(record.data.claims) <= MOST_CLAIMS + 1


async def test_a_sweep_without_fresh_news_is_refused_by_the_machine_itself(one: Fair) -> None:
    """Whoever tells the record so, be it past the desk."""
    fair = one
    async with fair.worker():
        issue = await paid_issue(fair)
        await fair.funds(issue, 0.2)
        await fair.until(issue, s.PAID, that=lambda record: bool(record.data.holdings))
        record = await fair.record(issue)
        machine = fair.store.records.machines["bounty"]
        later = record.data.swept_at + 3_600_000
        with pytest.raises(PayflowError, match="not read at GitHub"):
            machine.react(record, f.SweepWanted("mia"), later)  # type: ignore[arg-type]
