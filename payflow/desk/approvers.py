"""Whose yes counts when a payout leaves: who is in the register then, and may approve it.

The worker asks that at the send, and not only the desk when it is said: whoever was shut out since, or may approve less
than this by now, has not approved what has not left. A limit counts as it is at the send, whatever it was before:
nobody could tell otherwise whether it ever was enough.
"""

from collections.abc import Mapping, Sequence

from machines.core.ids import called, folded
from machines.core.money import Money
from machines.payout.data import Approval, PayoutRecord, who_asked
from payflow.desk.dual_control import whoever_acts_alone
from payflow.desk.person import roles_of
from payflow.store.macs import Forged, UnknownKey
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store


class RegisteredApprovers:
    """Reads the registers of persons and tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def lapsed(self, record: PayoutRecord, said_yes: Sequence[Approval]) -> Mapping[str, str]:
        """Say of those who said yes to a payout who may not now, or is another one of them, and why."""
        asked = {folded(await self._named(called(name))) for name in who_asked(record)}
        found: dict[str, str] = {}
        seen: set[str] = set()
        for one in said_yes:
            name = whoever_acts_alone(one.by)
            try:
                person = await self._store.persons.find(name)
                why = await self._refusal(person, record) if person else await self._without_register(name)
            except (Forged, UnknownKey):
                person, why = None, "is not as the register has them"
            whose = folded(person.name if person else name)
            if not why and whose in asked:
                why = "asked for it"
            if not why and whose in seen:
                why = "is the same person as another one who said yes"
            if why:
                found[one.by] = f"the yes of {one.by} counts no more, who {why}"
            else:
                seen.add(whose)
        return found

    async def _refusal(self, person: RegisteredPerson, record: PayoutRecord) -> str:
        if person.disabled_at is not None:
            return f"was disabled by {person.disabled_by}"
        if Role.REVIEWER not in person.roles or not await self._reviews(person):
            return "is no reviewer any more"
        most = person.limits.get(record.amount.asset.code) if record.amount else None
        if record.amount is not None and most is not None and record.amount.units > most:
            return f"may approve {Money(most, record.amount.asset)} at most"
        return ""

    async def _reviews(self, person: RegisteredPerson) -> bool:
        """Tell whether their groups at the identity provider say so too; a token of theirs goes by the register."""
        if Role.REVIEWER in await roles_of(self._store, person.name):
            return True
        tokens = [one for one in await Tokens(self._store.link).in_use() if one.role is Role.REVIEWER]
        return any([await self._store.persons.same(one.holder, person.name) for one in tokens])

    async def _without_register(self, name: str) -> str:
        """Ask for the token of somebody whom nobody registered: it is their name; that it expired since is no harm."""
        _, token = await Tokens(self._store.link).last(name)
        if token is None or token.person or folded(token.name) != folded(name):
            return "is nobody known here, or had their token revoked"
        return "" if token.role is Role.REVIEWER else "is no reviewer any more"

    async def _named(self, name: str) -> str:
        try:
            return await self._store.persons.named(name)
        except (Forged, UnknownKey):
            return name
