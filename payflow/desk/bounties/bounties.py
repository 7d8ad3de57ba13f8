"""What people and GitHub may do with bounties: one function each, for API, page and command line alike."""

from collections.abc import Callable

import structlog

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.acts import maintaining, read_anew
from machines.bounty.claims import DOUBTS
from machines.bounty.data import BountyRecord
from machines.bounty.hands import may_confirm
from machines.core.chain import Address, TxHash, tx_hash
from machines.core.clock import SECOND
from machines.core.errors import (
    ForgeUnavailable,
    NotAllowed,
    NotPossible,
    Rejected,
    StepError,
    TooLong,
    TooSoon,
)
from machines.core.facts import Fact
from machines.core.forge import ForgeAccount, IssueNews, Place, PullRequest, RepositoryNews, concerns
from machines.core.wallets import ContractCall
from payflow.desk.bounties.addresses import BountyAddresses
from payflow.desk.bounties.finding import RECENT_S, UNFINISHED, WHO, first_of, sweeping
from payflow.desk.person import Caller
from payflow.store.registers.tokens import Role

log = structlog.get_logger()

NAMING_S = 10.0


class BountyDesk(BountyAddresses):
    """Does what is asked, as far as the asker may."""

    async def confirmation(self, name: str, caller: Caller, owner: str) -> tuple[int, ContractCall]:
        """Give what a maintainer's wallet must send to confirm a payment, and the payment's number."""
        record, person = await self.steered_by(name, caller)
        record = await self._read_since_approval(record)
        data, current = record.data, record.data.current
        if current is None or not data.confirm_hash:
            raise NotPossible("The bot has not approved a payment: there is nothing to confirm yet.")
        if record.state not in (s.CONFIRMABLE, s.CONFIRMING, s.REVOKING):
            raise NotPossible(f"This bounty is {record.state}: there is nothing to confirm.")
        await self._must_be_theirs_to_confirm(record, person)
        address = self.address(owner)
        owners = data.creation.owners if data.creation else ()
        if owners and address not in owners:
            raise NotPossible(f"{address} does not own this wallet; these do: {', '.join(owners)}.")
        try:
            call = await self.world.wallets.confirmation(current.proposal, data.confirm_hash, address)
        except Rejected as error:
            hint = "Where the winner's address takes no money, take the payment back."
            raise NotPossible(f"It would fail now, so nothing is sent: {error} {hint}") from error
        return current.proposal.number, call

    async def confirmed(self, name: str, caller: Caller, payout_hash: str, number: int | None = None) -> BountyRecord:
        """Take the hash of the transaction with which a maintainer confirms."""
        record, person = await self.steered_by(name, caller)
        record = await self._read_since_approval(record)
        await self._must_be_theirs_to_confirm(record, person)
        hashed = tx_hash(payout_hash)
        current = record.data.current
        known = current.proposal.number if current else 0
        await self.tell(record.id, f.Confirmed(person.login, number or known, hashed), caller.who)
        return await self.find(record.id)

    async def _must_be_theirs_to_confirm(self, record: BountyRecord, person: ForgeAccount) -> None:
        """Refuse the winner where another owner can confirm, and everybody while the work may be undone."""
        data, refund = record.data, bool(record.data.current and record.data.current.refund)
        others = [hand for hand in data.hands if hand.person != person.id]
        if person.id == data.winner_id and not refund and others:
            raise NotAllowed(f"You are the winner: {others[0].login}, or another owner, must confirm it.")
        now = await self.store.records.now()
        if may_confirm(self.world.policy, data, person.id, now):
            return
        there = await maintaining(self.world.forge, data)
        if not may_confirm(self.world.policy, data, person.id, now, there):
            why = " ".join(DOUBTS[doubt] for doubt in data.doubts)
            raise NotAllowed(f"{why} That is not whoever confirms: somebody else says so on /bounties first.")

    async def _read_since_approval(self, record: BountyRecord) -> BountyRecord:
        """Read it anew, but not twice a minute: a page asks as often as somebody clicks."""
        swept_at = record.data.swept_at
        known = swept_at >= record.since and await self.store.records.now() - swept_at < RECENT_S * SECOND
        return record if known else await self.read_anew(record)

    async def read_anew(self, record: BountyRecord) -> BountyRecord:
        """Read an issue at the forge before something is done that what we missed would forbid."""
        data = record.data
        if data.sweep_of:
            return record
        try:
            swept = await read_anew(self.world.forge, data.place)
        except TooLong as error:
            raise NotPossible(str(error)) from error
        except StepError as error:
            said = f"GitHub cannot be asked now what became of {data.place.path}, so nothing was done: ask again later."
            raise ForgeUnavailable(said) from error
        await self.tell(record.id, swept, WHO)
        return await self.find(record.id)

    async def act(
        self, name: str, caller: Caller, fact: Callable[[ForgeAccount], Fact], *, anew: bool = False
    ) -> BountyRecord:
        """Let a maintainer decide something; `anew` where it must not be decided on old news."""
        record, person = await self.steered_by(name, caller)
        if anew:
            await self.read_anew(record)
        await self.tell(record.id, fact(person), caller.who)
        return await self.find(record.id)

    async def revoke(self, name: str, caller: Caller, text: str) -> BountyRecord:
        """Let a maintainer give the money back."""
        to = self.address(text)
        return await self.act(name, caller, lambda by: f.Revoked(by.login, to, by.id), anew=True)

    async def agree(self, name: str, caller: Caller, about: str) -> BountyRecord:
        """Take the word of another owner, or of an operator, about what they were shown."""
        if caller.role is Role.OPERATOR:
            record = await self.find(name)
            async with self.store.audit.doing(caller.who, "agree to a bounty's payment", record.id, about):
                await self.tell(record.id, f.AgreementGiven(caller.who, 0, about), caller.who)
            return await self.find(record.id)
        return await self.act(name, caller, lambda by: f.AgreementGiven(by.login, by.id, about))

    async def retract(self, name: str, caller: Caller, reason: str) -> BountyRecord:
        """Let a maintainer take back a payment that nobody has confirmed yet; a person then decides anew."""
        why = reason.strip()[:200] or "no reason given"
        return await self.act(name, caller, lambda by: f.Retracted(by.login, why))

    async def reassign(self, name: str, caller: Caller, pull: int) -> BountyRecord:
        """Let a maintainer name another merged claim."""
        return await self.act(name, caller, lambda by: f.Reassigned(by.login, pull))

    async def refund_message(self, name: str, caller: Caller, funder: str, to: str) -> str:
        """Give the words that whoever funded a bounty signs with that address, to name where it goes back to."""
        record = await self.visible_to(name, caller)
        return await self.asked(self.address(funder), _to_get_back(record, self.address(to)))

    async def name_refund(
        self, name: str, caller: Caller, funder_text: str, to_text: str, proof: tuple[str, str]
    ) -> BountyRecord:
        """Take the word of an address that funded a bounty: where its money goes when it is given back."""
        record, now = await self.visible_to(name, caller), await self.store.records.now()
        funder, to, data = self.address(funder_text), self.address(to_text), record.data
        await self.proven(proof, funder, _to_get_back(record, to), now)
        # Any account may ask, and what came in is looked for in many blocks.
        granted, wait_ms = await self.store.records.rate_tokens(f"refund-named:{caller.of}", 1 / NAMING_S, 1)
        if not granted:
            raise TooSoon(f"Ask once in {NAMING_S:g} seconds.", after_s=-(-wait_ms // SECOND))
        since = data.deposits_since or data.transaction_hash
        deposits = await self.world.wallets.deposits(Address(data.contract_address), TxHash(since)) if since else ()
        if funder not in {one.sender for one in deposits or ()}:
            raise NotPossible(f"{funder} put nothing into the wallet of {data.place.path}.")
        await self.tell(record.id, f.RefundNamed(funder, to, *proof), caller.who)
        return await self.find(record.id)

    async def sweep(self, name: str, caller: Caller, text: str = "") -> BountyRecord:
        """Let a maintainer have paid out, or given back, what came in later: one such payment after the other."""
        to = self.address(text) if text else ""
        record, _ = await self.steered_by(name, caller)
        if first_of(record) in sweeping(await self.of_repository(record.data.place.repository)):
            raise NotPossible("What came in later is being paid out already: finish that one first.")
        return await self.act(name, caller, lambda by: f.SweepWanted(by.login, to, by.id), anew=True)

    async def decide(self, name: str, who: str, pull: int) -> BountyRecord:
        """Let an operator decide who gets a contested bounty."""
        record = await self.find(name)
        number = next((claim.number for claim in record.data.claims if claim.id == pull), 0)
        async with self.store.audit.doing(who, "decide bounty", record.id, f"pull request {number}"):
            await self.tell(record.id, f.Decided(who, pull), who)
        return await self.find(record.id)


def _to_get_back(record: BountyRecord, to: Address) -> str:
    return f"What this address put into the wallet of bounty {record.id} is given back, if it is given back, to {to}."


# ── a sweep over all of the forge ─────────────────────────────────────────────────────────────────────────────────────


async def sweep_forge(desk: BountyDesk) -> dict[str, int]:
    """Read repositories, labelled issues and pull requests; say how many there are, and how many bounties are new."""
    seen: set[int] = set()
    opened = read = 0
    async for news in desk.world.forge.repositories():
        await desk.take(news)
        seen.add(news.repository)
        place = Place(news.installation, news.repository, news.name, 0)
        try:
            opened += await _labelled(desk, place, private=news.private)
            read += await _read(desk, place)
        except Rejected as error:  # one repository that is closed to us must not hide all the others
            log.warning("A repository cannot be swept.", action="sweep_refused", repository=news.name, error=str(error))
    for home in await desk.repositories():
        if home.data.number not in seen:
            data = home.data
            await desk.take(RepositoryNews(data.installation, data.number, data.name, enabled=False))
    return {"repositories": len(seen), "bounties opened": opened, "bounties read": read}


async def _labelled(desk: BountyDesk, place: Place, *, private: bool) -> int:
    opened = 0
    async for issue in desk.world.forge.labelled(place):
        there = Place(place.installation, place.repository, place.name, issue.number)
        opened += await desk.take(IssueNews(there, issue, private=private)) == "opened"
    return opened


async def _read(desk: BountyDesk, place: Place) -> int:
    """Read the unfinished bounties of a repository anew; its pull requests are listed once for all of them."""
    mine = [one for one in await desk.of_repository(place.repository) if one.state in UNFINISHED]
    pulls: tuple[PullRequest, ...] = await desk.world.forge.all_pulls(place) if mine else ()
    for record in mine:
        there = Place(place.installation, place.repository, place.name, record.data.place.number)
        named = tuple(pull for pull in pulls if concerns(pull, there.number))
        try:
            fact: Fact = f.Swept(await desk.world.forge.issue(there), named)
        except TooLong as error:
            fact = f.IssueUnreadable(str(error))
        await desk.tell(record.id, fact, WHO)
    return len(mine)
