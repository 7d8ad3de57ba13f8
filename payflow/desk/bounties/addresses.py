"""Whose address is whose: saved for payment, proven by a signature, and the owners of wallets to come."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.comment import day_of
from machines.bounty.data import (
    Hand,
    RepositoryRecord,
    repository_id,
)
from machines.core.chain import Address
from machines.core.clock import MINUTE, Millis
from machines.core.decision import Message
from machines.core.errors import (
    BadInput,
    NotAllowed,
    NotFound,
    PayflowError,
    Unapproved,
)
from machines.core.ids import Owner
from machines.core.saved_address import SavedAddress
from machines.core.sign_in import SignInMessage
from payflow.desk.bounties.finding import NO_REPOSITORY, BountyFinder, account_of, person_of
from payflow.desk.person import Caller
from payflow.store.registers.contributors import AddressProof, ContributorAddress
from payflow.store.store import Store

log = structlog.get_logger()

NOBODY = "0x" + "00" * 20
SIGN_WITHIN_MS = 15 * MINUTE
"""How long somebody may take to sign what they were asked to sign."""


class StoredAddresses:
    """Whose address is whose, as the store has it: owners of wallets to come, and where contributors want money."""

    def __init__(self, store: Store, signer_of: Callable[[str, str], Address]) -> None:
        self._store = store
        self._signer_of = signer_of

    async def proven(self, repository: int) -> tuple[Hand, ...]:
        """List the maintainers who proved an address; none where the repository is not enabled."""
        try:
            record = (await self._store.records.read(repository_id(repository, self._store.records.shards))).record
        except NotFound:
            return ()
        hands: tuple[Hand, ...] = record.data.hands if record.state == s.ENABLED else ()
        return hands

    async def address(self, person: int) -> SavedAddress:
        """Give what somebody saved; raises where it says that it was signed for, and what was signed says otherwise.

        It was looked at when it was saved, by a process that everybody can reach: here it is by the one that pays.
        """
        found = await self._store.contributors.read(account_of(person))
        now = found.saved.at(await self._store.records.now())
        proof = found.proofs.get(now.address)
        if not now.proven:
            return found.saved
        if proof is None:
            log.warning(
                "An address is paid to that was signed for, as an older version says, which kept no signature.",
                action="no_signature_kept", owner=found.owner,
            )  # fmt: skip
        elif not self._signed(proof, person, now.address):
            raise Unapproved(
                f"The address of {found.owner} says that it was signed for, and the signature that is kept is not "
                "theirs: somebody wrote it. Nothing is sent there; let them save it anew."
            )
        return found.saved

    def _signed(self, proof: AddressProof, person: int, address: str) -> bool:
        with suppress(ValueError, PayflowError):
            return _to_be_paid(person) in proof.message.split("\n") and self._signer_of(*proof) == address
        return False


class BountyAddresses(BountyFinder):
    """Takes addresses of contributors and owners."""

    def address(self, text: str) -> Address:
        """Read an address that money can go to."""
        try:
            found = self.world.checksummed(text.strip())
        except ValueError as error:
            raise BadInput("An address is 0x and 40 hexadecimal digits.") from error
        if text.strip()[2:] not in (found[2:], found[2:].lower(), found[2:].upper()):
            raise BadInput("The address is mistyped: its capital letters do not fit.")
        if found == NOBODY:
            raise BadInput("Nobody owns that address.")
        return found

    async def address_of(self, person: int) -> SavedAddress:
        """Give what somebody saved."""
        return (await self.store.contributors.read(account_of(person))).saved.at(await self.store.records.now())

    async def save_address(self, caller: Caller, text: str, proof: tuple[str, str] | None) -> SavedAddress:
        """Save where a contributor wants their money: a first one that signed counts at once, else after a cool-off."""
        person = _contributor(caller)
        address, now = self.address(text), await self.store.records.now()
        if proof is not None:
            await self.proven(proof, address, _to_be_paid(person), now)
        before = await self.store.contributors.read(account_of(person))
        saved = before.saved.saving(address, now, self.world.cool_off, proven=proof is not None)
        return await self._keep(caller, before, saved, now, AddressProof(*proof) if proof else None)

    async def release_address(self, caller: Caller, text: str, proof: tuple[str, str]) -> SavedAddress:
        """Let the address that is to come count at once: the one that counts signed that it gives way to it."""
        person = _contributor(caller)
        address, now = self.address(text), await self.store.records.now()
        before = await self.store.contributors.read(account_of(person))
        saved = before.saved.released(address, now)
        await self.proven(proof, Address(before.saved.at(now).address), _to_give_way(person, address), now)
        return await self._keep(caller, before, saved, now, None)

    async def withdraw_address(self, caller: Caller) -> SavedAddress:
        """Take back the address that is to come."""
        person, now = _contributor(caller), await self.store.records.now()
        before = await self.store.contributors.read(account_of(person))
        return await self._keep(caller, before, before.saved.withdrawn(now), now, None)

    async def _keep(
        self,
        caller: Caller,
        before: ContributorAddress,
        saved: SavedAddress,
        now: Millis,
        proof: AddressProof | None,
    ) -> SavedAddress:
        """Write it, and say so.

        Their contacts are told of every change, and so is everybody who reads the issues that they claim: somebody
        must hear of it who is not the one with the session.
        """
        if saved != before.saved:
            contacts = (await self.store.profiles.read(before.owner)).notify
            warning = self._warning(before.owner, saved, contacts) if before.saved != SavedAddress() else ()
            await self.store.contributors.write(before, saved, proof, now, warning)
        person = _contributor(caller)
        counts_from = saved.next_from if saved.address and now < saved.next_from else 0
        for one in await self.bounties(s.UNFIXED):
            if person in one.data.claimants:
                await self.tell(one.id, f.AddressChanging(person, counts_from), caller.who)
            if one.state == s.AWAITING_ADDRESS and one.data.winner_id == person:
                await self.store.records.poke(one.id)
        return saved

    def _warning(self, owner: Owner, saved: SavedAddress, contacts: Sequence[str]) -> tuple[Message, ...]:
        if not contacts:
            return ()
        to = self.store.profiles.sealed_contacts(owner, contacts)
        body = {"event": "bounty_address_changed", "owner": owner, "address": saved.address, "to": to}
        if saved.next_address:
            body |= {"coming": saved.next_address, "day": day_of(saved.next_from)}
        return (Message("notify", {**body, "page": f"{self.world.server}/bounties"}),)

    async def prove_owner(self, caller: Caller, repository: int, text: str, proof: tuple[str, str]) -> Hand:
        """Take a maintainer on as an owner of the wallets that are made from now on; their address must be proven."""
        person = await self.maintainer(await self.repository(repository), caller)
        address = self.address(text)
        await self.proven(proof, address, _to_own(person.id, repository), await self.store.records.now())
        hand = Hand(person.id, person.login, address)
        await self.tell(repository_id(repository, self.store.records.shards), f.HandProven(hand, *proof), caller.who)
        for one in await self.of_repository(repository):
            if one.state == s.OPENING:
                await self.store.records.poke(one.id)
        return hand

    async def remove_owner(self, caller: Caller, repository: int, person: int) -> None:
        """Take somebody off the owners of the wallets to come; those that are made keep theirs."""
        by = await self.maintainer(await self.repository(repository), caller)
        record_id = repository_id(repository, self.store.records.shards)
        await self.tell(record_id, f.HandRemoved(person, by.login), caller.who)

    async def repository(self, number: int) -> RepositoryRecord:
        """Find a repository by its number at the forge."""
        try:
            record: RepositoryRecord = (
                await self.store.records.read(repository_id(number, self.store.records.shards))
            ).record
        except NotFound:
            raise NotFound(NO_REPOSITORY) from None
        return record

    async def message(self, caller: Caller, text: str, repository: int | None, gives_way_to: str) -> str:
        """Give the words that an address signs: once, within minutes, for this alone."""
        person = _contributor(caller)
        if repository is not None:
            await self.must_know_of(await self.repository(repository), caller)
        statement = _to_be_paid(person) if repository is None else _to_own(person, repository)
        if gives_way_to:
            statement = _to_give_way(person, self.address(gives_way_to))
        return await self.asked(self.address(text), statement)

    async def asked(self, address: Address, statement: str) -> str:
        """Give the words that an address signs to say something."""
        now = await self.store.records.now()
        message = SignInMessage(
            uri=f"{self.world.server}/bounties",
            chain_id=self.world.chain_id,
            address=address,
            statement=statement,
            nonce=secrets.token_hex(16),
            issued_at=now,
            expires_at=Millis(now + SIGN_WITHIN_MS),
        )
        await self.store.challenges.keep(message)
        return message.text

    async def proven(self, proof: tuple[str, str], address: Address, statement: str, now: Millis) -> None:
        """See that an account signed what we asked it to sign, for this purpose; the words are used up by it."""
        message = await self.store.challenges.take(proof[0], now)
        if message is None or (message.address, message.statement) != (address, statement):
            raise BadInput(
                "Those words were not asked for, are used up, or are too old: ask for new ones, and sign them."
            )
        if self.world.signer_of(*proof) != address:
            raise BadInput("The signature is not that address's: sign with the account that you name.")


def _to_be_paid(person: int) -> str:
    return f"GitHub account {person} wants to be paid bounties at this address."


def _to_give_way(person: int, to: Address) -> str:
    return f"GitHub account {person} wants to be paid bounties at {to} from now on, and no longer at this address."


def _to_own(person: int, repository: int) -> str:
    return f"GitHub account {person} wants to own the bounty wallets of repository {repository} with this address."


def _contributor(caller: Caller) -> int:
    person = person_of(caller)
    if person is None:
        raise NotAllowed("Only a contributor has an address of their own.")
    return person
