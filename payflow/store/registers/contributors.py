"""Where contributors are paid for bounties, which only they themselves write, and what they are asked to sign."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from machines.core.clock import Millis
from machines.core.decision import Message
from machines.core.errors import Conflict
from machines.core.ids import Owner, shard_for
from machines.core.ports import Destination
from machines.core.saved_address import SavedAddress
from machines.core.sign_in import SignInMessage
from payflow.store import keys
from payflow.store.codec import encode
from payflow.store.link import Link, OverLink
from payflow.store.registers.profiles import Profiles
from payflow.store.seals import Seals

KIND = "ethereum"
_NONCE = re.compile(r"^Nonce: ([A-Za-z0-9]{8,64})$", re.MULTILINE)


class AddressProof(NamedTuple):
    """What an account signed, and its signature."""

    message: str
    signature: str

    @property
    def address(self) -> str:
        """Whose it says that it is: the second line of the message."""
        return "".join(self.message.split("\n")[1:2])


_NO_PROOF = AddressProof("", "")


@dataclass(frozen=True, slots=True)
class ContributorAddress:
    """A contributor's address, as it was read."""

    owner: Owner
    saved: SavedAddress
    version: int = 0
    proofs: Mapping[str, AddressProof] = field(default_factory=dict)
    """By address what was signed for it, and the signature; of one that an older version saved it may be missing."""


class ContributorAddresses:
    """The addresses of all contributors."""

    def __init__(self, link: Link, seals: Seals, profiles: Profiles, shards: int) -> None:
        self._link = link
        self._seals = seals
        self._profiles = profiles
        self._shards = shards

    async def read(self, owner: Owner) -> ContributorAddress:
        """Read an address; one that was signed for in the profile, where earlier versions kept it, still counts."""
        key = keys.contributor(shard_for(owner, self._shards), owner)
        sealed, version = await self._profiles.row(key)
        if sealed is not None:
            known = dict(self._seals.open(msgspec.msgpack.decode(sealed, type=str), _bound_to(owner)).fields)
            saved = SavedAddress(
                known["address"],
                proven=known["proven"] == "yes",
                next_address=known["next"],
                next_from=int(known["from"]),
                # Before a signed address could be one to come, none that was to come had been signed for.
                next_proven=known.get("next_proven") == "yes",
            )
            return ContributorAddress(owner, saved, int(version), _proofs(known))
        where = (await self._profiles.read(owner)).destination
        before = dict(where.fields) if where is not None and where.kind == KIND else {}
        proven = before.get("proven") == "yes"
        return ContributorAddress(owner, SavedAddress(before["address"], proven=True) if proven else SavedAddress())

    async def take_over(self, owner: Owner, now: Millis) -> None:
        """Copy what was signed for in the profile to where it lasts, before the profile is changed."""
        before = await self.read(owner)
        if not before.version and before.saved.proven:
            await self.write(before, before.saved, None, now)

    async def write(
        self,
        before: ContributorAddress,
        saved: SavedAddress,
        proof: AddressProof | None,
        now: Millis,
        messages: Iterable[Message] = (),
    ) -> None:
        """Save an address, unless it changed since it was read, with what was signed for it, now or before."""
        proofs = {**before.proofs, **({proof.address: proof} if proof else {})}
        mine, coming = (proofs.get(one, _NO_PROOF) for one in (saved.address, saved.next_address))
        fields = {
            "address": saved.address,
            "proven": "yes" if saved.proven else "no",
            "next": saved.next_address,
            "from": str(saved.next_from),
            "next_proven": "yes" if saved.next_proven else "no",
            "message": mine.message,
            "signature": mine.signature,
            "next_message": coming.message,
            "next_signature": coming.signature,
        }
        sealed = self._seals.seal(Destination(KIND, tuple(fields.items())), _bound_to(before.owner))
        if not await self._profiles.put("contributor", before.owner, before.version, sealed, now, messages):
            raise Conflict("The address was changed by somebody else meanwhile: look again.")

    async def reseal(self, owner: Owner) -> bool:
        """Seal an address anew where it needs it; False where it does not. Its version stays: it says the same."""
        key = keys.contributor(shard_for(owner, self._shards), owner)
        row, version = await self._profiles.row(key)
        while row is not None:
            sealed = msgspec.msgpack.decode(row, type=str)
            if self._seals.is_current(sealed, _bound_to(owner)):
                return False
            anew = self._seals.seal(self._seals.open(sealed, _bound_to(owner)), _bound_to(owner))
            if await self._profiles.swap(key, row, version, encode(anew)):
                return True
            row, version = await self._profiles.row(key)
        return False


def _proofs(known: Mapping[str, str]) -> dict[str, AddressProof]:
    """Read what was signed, by whose it is: versions before kept the last one only, whichever of the two it was for."""
    found = [AddressProof(known.get(f"{one}message", ""), known.get(f"{one}signature", "")) for one in ("", "next_")]
    return {one.address: one for one in found if one.message}


def _bound_to(owner: Owner) -> str:
    return f"contributor:{owner}"


class Challenges(OverLink):
    """Messages that somebody was asked to sign: each is good once, until it expires."""

    async def keep(self, message: SignInMessage) -> None:
        """Remember a message until it expires."""
        within_ms = message.expires_at - message.issued_at
        await self._link.ask("SET", keys.challenge(message.nonce), encode(message), "PX", within_ms)

    async def take(self, text: str, now: Millis) -> SignInMessage | None:
        """Give the message that somebody signed, and never again; None where we did not ask for exactly these words."""
        found = _NONCE.search(text)
        encoded = await self._link.ask("GETDEL", keys.challenge(found[1])) if found else None
        if encoded is None:
            return None
        message = msgspec.msgpack.decode(encoded, type=SignInMessage)
        return message if message.text == text and now < message.expires_at else None
