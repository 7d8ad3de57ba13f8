"""A bounty, from the label to the receipt, as the payout flow's document tells it; with both kinds of wallets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machines.bounty import lifecycle as s
from payflow.config import Settings
from payflow.desk.receipts.checking import check
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.receipts.signing import signed
from tests.bounties import ANN, BOT, MIA, Fair, Kind, open_fair
from tests.chain import ETHER
from tests.verifier import Bad, verify


@pytest.fixture(params=["safe", "multisig"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of wallet in turn."""
    return "safe" if request.param == "safe" else "multisig"


@pytest.fixture
async def fair(settings: Settings, kind: Kind, tmp_path: Path) -> AsyncIterator[Fair]:
    """An organisation that pays bounties."""
    async with open_fair(settings, kind, tmp_path) as fair:
        yield fair


async def test_from_the_label_to_the_receipt(fair: Fair) -> None:
    """Label, wallet, funds, merge, execute, confirm, payout, receipt, and "Paid to:"."""
    async with fair.worker():
        # Mia labels an issue, and the bot makes its wallet.
        issue = await fair.labelled_issue()
        record = await fair.until(issue, s.OPEN)
        assert record.data.transaction_hash
        opened = await fair.until_comment(issue, record.data.contract_address)
        assert "Current balance: 0 ETH" in opened
        assert "/qr/acme/widgets/bounty/1/" in opened

        # Somebody funds it; the comment says so.
        await fair.funds(issue, 0.5, units=12_340_000)
        funded = await fair.until_comment(issue, "Current balance: 0.5 ETH")
        assert "Tokens: USDX: 12.34" in funded

        # 1. Ann's pull request is merged.
        await fair.proves("ann", ANN)
        before = await fair.chain.balance(ANN.address)
        pull = await fair.pull_for(issue)
        await fair.merge(pull, issue)

        # 2. and 3. The bot approves exactly what is there; what a maintainer must confirm is read from its receipt.
        record = await fair.until(issue, s.CONFIRMABLE)
        assert (record.data.winner_login, record.data.commit_sha) == ("ann", pull.sha)
        assert record.data.execute_hash
        assert record.data.confirm_hash
        pending = await fair.until_comment(issue, "Status: Pending maintainer confirmation")
        assert "Winner: ann" in pending

        # 4. Mia sees it, and confirms it with her own wallet.
        seen = await fair.says("mia", "GET", f"/api/user/bounty/{issue.id}")
        assert (seen["state"], seen["payment"]) == (
            "pending-maintainer-confirmation",
            {"to": ANN.address, "amounts": {"ETH": "0.5", "USDX": "12.34"}},
        )
        payout_hash = await fair.confirms(issue)

        # 5. The receipt is read, and everybody is told.
        record = await fair.until(issue, s.PAID)
        assert record.data.payout_hash == payout_hash
        assert dict(record.data.payout_receipt)["ETH"] == "0.5"
        paid = await fair.until_comment(issue, "Paid to: ann")
        assert payout_hash in paid

    file = await Receipts(fair.store, fair.lanes).file(record.id, staff=True)
    body = verify(file)
    assert check(file).body == body
    assert (body["says"], body["to"], body["chain"]["pays"]["how"]) == ("PAID", ANN.address, "wallet")
    other = {**body["chain"]["pays"], "executed": "0x" + "7" * 64}
    with pytest.raises(Bad, match="not executed"):
        verify(signed({**body, "chain": {**body["chain"], "pays": other}}, fair.store.receipt_keys))

    assert await fair.chain.balance(ANN.address) - before == ETHER // 2
    assert await fair.hands.balance(fair.token, ANN.address) == 12_340_000
    # GitHub closes the issue with the merge, and tells of the two in any order.
    moves = [move for move in await fair.story_of(issue) if move != "close"]
    assert moves == ["open", "merge", "execute", "approve", "confirm", "pay"]
    receipts = await fair.sent_by_bot()
    assert [receipt.ok for receipt in receipts] == [True, True], "one deploy, one approval, and nothing else"
    assert await fair.chain.balance(BOT.address) > 0
    assert MIA.address in {hand.address for hand in record.data.hands}


async def test_two_workers_do_everything_once(fair: Fair) -> None:
    """Leases keep them apart, keys make a repetition harmless."""
    async with fair.worker(), fair.worker():
        issues = [await fair.labelled_issue(f"number {number}") for number in range(3)]
        await fair.proves("ann", ANN)
        for issue in issues:
            await fair.until(issue, s.OPEN)
            await fair.funds(issue, 0.1)
            await fair.merge(await fair.pull_for(issue), issue)
        for issue in issues:
            await fair.until(issue, s.CONFIRMABLE)
            await fair.confirms(issue)
        for issue in issues:
            await fair.until(issue, s.PAID)
            await fair.until_comment(issue, "Paid to: ann")
    receipts = await fair.sent_by_bot()
    assert [receipt.ok for receipt in receipts] == [True] * 6, "three deploys, three approvals"
    assert len({(await fair.record(issue)).data.contract_address for issue in issues}) == 3
