"""The contract of wallets: two hands pay exactly what was fixed, at most once; nothing else is ever called paid."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import aiohttp
import pytest

from adapters.ethereum.node import Nodes
from adapters.ethereum.wallets.multisig import MultiSigs
from adapters.ethereum.wallets.reading import WalletReader, WalletToken
from adapters.ethereum.wallets.safe import Safes
from machines.core.chain import Address, TxHash
from machines.core.errors import Contradiction, Rejected
from machines.core.wallets import ETHER, ContractCall, Creation, End, Holding, WalletProposal, Wallets
from tests.chain import FIFTH, LANE, OTHER, THIRD, Anvil, anvil, stranger
from tests.wallets import LYING, REFUSES, Hands, deploy_safe, deploy_token

BOT, MAINTAINER, FUNDER, NOBODY = LANE, OTHER, THIRD, FIFTH
DEPTH = 3
WEI = 5 * 10**17
UNITS = 123_450_000


@dataclass
class Bench:
    """A wallet of one kind on a chain of its own, and everybody around it."""

    chain: Anvil
    hands: Hands
    nodes: Nodes
    wallets: Wallets
    token: Address
    liar: Address
    creation: Creation | None = None
    wallet: Address = field(default=Address(""))

    async def deepen(self) -> None:
        """Let so many blocks pass that what happened counts."""
        await self.chain.mine(DEPTH)

    async def make(self, salt: str = "bounty-1") -> Address:
        """Make a wallet of the bot and the maintainer."""
        self.creation = await self.wallets.creation((BOT.address, MAINTAINER.address), 2, salt)
        made = await self.wallets.made(self.creation, await self.hands.send(BOT, self.creation.call))
        assert made is not None
        self.wallet = made
        return made

    async def fund(self, wei: int = WEI, units: int = 0, token: Address | None = None) -> None:
        """Somebody puts money in."""
        if wei:
            await self.hands.send(FUNDER, ContractCall(self.wallet, "0x"), wei)
        if units:
            data = "0xa9059cbb" + self.wallet[2:].lower().rjust(64, "0") + f"{units:064x}"
            await self.hands.send(FUNDER, ContractCall(token or self.token, data))

    async def propose(self, to: Address, holdings: Sequence[Holding] | None = None, number: int = 1) -> WalletProposal:
        """Fix a payment of all that the wallet holds."""
        return await self.wallets.propose(self.wallet, to, holdings or await self.wallets.holdings(self.wallet), number)

    async def agree(self, proposal: WalletProposal) -> str:
        """The bot agrees; gives what the others confirm."""
        found = await self.wallets.approved(proposal, await self.hands.send(BOT, proposal.approval))
        assert found
        return found

    async def confirm(self, proposal: WalletProposal, confirm_hash: str) -> TxHash:
        """The maintainer confirms."""
        call = await self.wallets.confirmation(proposal, confirm_hash, MAINTAINER.address)
        return await self.hands.send(MAINTAINER, call)


@pytest.fixture(params=["safe", "multisig"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Each kind in turn."""
    async with anvil() as chain, aiohttp.ClientSession() as session:
        hands = Hands(chain)
        token = await deploy_token(hands, FUNDER)
        liar = await deploy_token(hands, FUNDER, rule=LYING)
        nodes = Nodes(session, [chain.url], chain.chain_id)
        reader = WalletReader(nodes, {"USDX": WalletToken(token, 6), "LIE": WalletToken(liar, 6)}, DEPTH)
        made: Wallets
        if request.param == "safe":
            made = Safes(reader, await deploy_safe(hands, NOBODY), BOT.address)
        else:
            made = MultiSigs(reader, BOT.address)
        yield Bench(chain, hands, nodes, made, token, liar)


async def test_a_wallet_is_made_and_belongs_to_whom_it_should(bench: Bench) -> None:
    """Its address comes from the receipt, its owners are read back."""
    wallet = await bench.make()
    assert await bench.chain.rpc("eth_getCode", wallet, "latest") != "0x"
    assert await bench.wallets.holdings(wallet) == ()
    assert bench.creation is not None
    other = await bench.wallets.creation((BOT.address, NOBODY.address), 2, "another")
    wrong = Creation(other.kind, bench.creation.owners, 2, other.call, other.address)
    tx = await bench.hands.send(BOT, other.call)
    with pytest.raises(Contradiction):
        await bench.wallets.made(wrong, tx)


async def test_a_creation_that_failed_made_no_wallet(bench: Bench) -> None:
    """A receipt is no wallet."""
    creation = await bench.wallets.creation((BOT.address, BOT.address), 2, "twice the same owner")
    assert await bench.wallets.made(creation, await bench.hands.send(BOT, creation.call)) is None


@pytest.mark.parametrize(("there", "why"), [("nothing", "No contract of Safe"), ("1.3.0", "is Safe 1.3.0")])
async def test_a_safe_of_contracts_that_are_not_there_or_too_old_is_refused(bench: Bench, there: str, why: str) -> None:
    """The words of 1.3 say a payment's hash where nobody can look it up; an address without code says nothing."""
    if not isinstance(bench.wallets, Safes):
        pytest.skip("contracts that others deployed are Safe's alone")
    place = stranger()
    if there != "nothing":
        text = there.encode().ljust(32, b"\0").hex()
        await bench.chain.set_code(place, f"0x60206000526005602052{'7f' + text}60405260606000f3")
    deployment = replace(await deploy_safe(bench.hands, NOBODY), singleton=place)
    reader = WalletReader(bench.nodes, {}, DEPTH)
    wallets = Safes(reader, deployment, BOT.address)
    with pytest.raises(Rejected, match=why):
        await wallets.creation((BOT.address, MAINTAINER.address), 2, "bounty-8")


async def test_who_makes_a_safe_first_made_ours(bench: Bench) -> None:
    """Owners and salt are in its address: a stranger who is faster made no other wallet."""
    creation = await bench.wallets.creation((BOT.address, MAINTAINER.address), 2, "bounty-7")
    if bench.wallets.kind != "safe":
        assert await bench.wallets.existing(creation) is None
        return
    assert await bench.wallets.existing(creation) is None
    await bench.hands.send(NOBODY, creation.call)
    late = await bench.hands.send(BOT, creation.call)
    assert await bench.wallets.made(creation, late) is None
    assert await bench.wallets.existing(creation) == creation.address


@pytest.mark.parametrize(("wei", "units"), [(WEI, 0), (0, UNITS), (WEI, UNITS)], ids=["ether", "token", "both"])
async def test_two_hands_pay_exactly_what_was_fixed(bench: Bench, wei: int, units: int) -> None:
    """What arrives after the bot agreed stays behind."""
    await bench.make()
    await bench.fund(wei, units)
    winner = stranger()
    proposal = await bench.propose(winner)
    assert {one.symbol: int(one.units) for one in proposal.holdings} == {
        symbol: amount for symbol, amount in (("ETH", wei), ("USDX", units)) if amount
    }
    confirm_hash = await bench.agree(proposal)
    await bench.fund(wei=7)
    tx = await bench.confirm(proposal, confirm_hash)
    assert (await bench.wallets.outcome(proposal, confirm_hash, [tx])).end is End.OPEN, "not deep enough"
    await bench.deepen()

    outcome = await bench.wallets.outcome(proposal, confirm_hash, [tx])

    assert (outcome.end, outcome.tx) == (End.PAID, tx)
    assert await bench.chain.balance(winner) == wei
    assert await bench.hands.balance(bench.token, winner) == units
    assert [one.units for one in await bench.wallets.holdings(bench.wallet)] == ["7"]


async def test_a_payment_is_found_by_its_effect(bench: Bench) -> None:
    """The browser was closed, or the transaction was sped up: nobody told its hash, or an old one."""
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    tx = await bench.confirm(proposal, confirm_hash)
    await bench.deepen()
    for named in ((), ("0x" + "ab" * 32,)):
        outcome = await bench.wallets.outcome(proposal, confirm_hash, named)
        assert (outcome.end, outcome.tx) == (End.PAID, tx)


async def test_one_hand_is_not_enough(bench: Bench) -> None:
    """Neither the bot nor a maintainer, nor anybody else, moves anything alone."""
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    with pytest.raises(Rejected):
        await bench.wallets.confirmation(proposal, proposal.hash or "0x" + "00" * 32, MAINTAINER.address)
    confirm_hash = await bench.agree(proposal)
    with pytest.raises(Rejected):
        await bench.wallets.confirmation(proposal, confirm_hash, NOBODY.address)
    await bench.deepen()
    assert (await bench.wallets.outcome(proposal, confirm_hash, ())).end is End.OPEN
    assert await bench.chain.balance(bench.wallet) == WEI


async def test_more_hands_than_two(bench: Bench) -> None:
    """Each owner gives his word; the last one needed has it paid."""
    owners = (BOT.address, MAINTAINER.address, NOBODY.address)
    bench.creation = await bench.wallets.creation(owners, 3, "three of three")
    made = await bench.wallets.made(bench.creation, await bench.hands.send(BOT, bench.creation.call))
    assert made is not None
    bench.wallet = made
    await bench.fund()
    winner = stranger()
    proposal = await bench.propose(winner)
    confirm_hash = await bench.agree(proposal)
    word = await bench.confirm(proposal, confirm_hash)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, [word])
    assert (outcome.end, "agreed" in outcome.why) == (End.FAILED, True)
    assert await bench.chain.balance(winner) == 0
    last = await bench.wallets.confirmation(proposal, confirm_hash, NOBODY.address)
    tx = await bench.hands.send(NOBODY, last)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, [word])
    assert (outcome.end, outcome.tx) == (End.PAID, tx)
    assert await bench.chain.balance(winner) == WEI


async def test_a_receipt_alone_is_no_payment(bench: Bench) -> None:
    """A transaction that succeeded and does not speak of the payment paid nothing."""
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    unrelated = await bench.hands.send(MAINTAINER, ContractCall(NOBODY.address, "0x"), 1)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, [unrelated])
    assert (outcome.end, outcome.tx) == (End.FAILED, unrelated)


async def test_a_hash_that_no_node_knows_says_nothing(bench: Bench) -> None:
    """It may come, or not."""
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    outcome = await bench.wallets.outcome(proposal, confirm_hash, ["0x" + "12" * 32])
    assert (outcome.end, outcome.known) == (End.OPEN, False)


async def test_a_winner_who_takes_no_money_is_not_paid(bench: Bench) -> None:
    """The wallet keeps it; then somebody else is proposed, and only he is ever paid."""
    await bench.make()
    await bench.fund()
    hostile, other = stranger(), stranger()
    await bench.chain.set_code(hostile, REFUSES)
    first = await bench.propose(hostile)
    first_hash = await bench.agree(first)
    if bench.wallets.kind == "multisig":  # its transaction succeeds, and only the wallet's event says that it failed
        tx = await bench.confirm(first, first_hash)
        await bench.deepen()
        outcome = await bench.wallets.outcome(first, first_hash, [tx])
        assert (outcome.end, "failed" in outcome.why) == (End.FAILED, True)
    else:
        with pytest.raises(Rejected):
            await bench.confirm(first, first_hash)
    assert await bench.chain.balance(bench.wallet) == WEI

    back = bench.wallets.withdrawal(first, first_hash)
    if back is not None:
        assert not await bench.wallets.withdrawn(first, first_hash)
        await bench.hands.send(BOT, back)
        await bench.deepen()
    assert await bench.wallets.withdrawn(first, first_hash)
    second = await bench.propose(other, number=2)
    second_hash = await bench.agree(second)
    await bench.confirm(second, second_hash)
    await bench.deepen()

    assert (await bench.wallets.outcome(second, second_hash, ())).end is End.PAID
    await bench.chain.set_code(hostile, "0x")
    await bench.fund()
    with pytest.raises(Rejected):  # the first one is dead, although the money would be taken now
        await bench.wallets.confirmation(first, first_hash, MAINTAINER.address)
    assert await bench.chain.balance(hostile) == 0
    assert (await bench.wallets.outcome(first, first_hash, ())).end is not End.PAID


async def test_a_word_that_is_younger_than_what_counts_still_holds(bench: Bench) -> None:
    """Where a lane's depth is less than the wallets', the block that would prove it taken back is older than it is."""
    if bench.wallets.kind != "multisig":
        return
    await bench.make()
    await bench.fund()
    await bench.deepen()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    assert not await bench.wallets.withdrawn(proposal, confirm_hash)


async def test_a_token_that_breaks_its_word_is_no_payment(bench: Bench) -> None:
    """The wallet says that it was carried out; the token says nothing of it."""
    await bench.make()
    await bench.fund(wei=0, units=UNITS, token=bench.liar)
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    await bench.confirm(proposal, confirm_hash)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, ())
    assert (outcome.end, "LIE" in outcome.why) == (End.DEAD, True)


async def test_a_payment_that_a_reorganisation_took_away_is_open_again(bench: Bench) -> None:
    """Only what is deep counts."""
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    await bench.deepen()
    tx = await bench.confirm(proposal, confirm_hash)
    assert (await bench.wallets.outcome(proposal, confirm_hash, [tx])).end is End.OPEN
    await bench.chain.reorg(1)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, [tx])
    assert outcome.end is End.OPEN
    again = await bench.confirm(proposal, confirm_hash)
    await bench.deepen()
    outcome = await bench.wallets.outcome(proposal, confirm_hash, [tx])
    assert (outcome.end, outcome.tx) == (End.PAID, again)


async def test_owners_who_use_a_safe_by_themselves_kill_a_proposal(bench: Bench) -> None:
    """Its number in the wallet is gone: it can never be paid, and nobody says that it was."""
    if bench.wallets.kind != "safe":
        return
    await bench.make()
    await bench.fund()
    proposal = await bench.propose(stranger())
    confirm_hash = await bench.agree(proposal)
    rival = await bench.propose(stranger(), [Holding(ETHER, "ETH", 18, "1")])
    await bench.confirm(rival, await bench.agree(rival))
    await bench.chain.mine(2 * DEPTH)
    assert (await bench.wallets.outcome(proposal, confirm_hash, ())).end is End.DEAD
