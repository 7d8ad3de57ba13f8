"""How far a caller reaches: a provider to what is his, a platform to the providers that it brought, staff to all."""

from machines.core.errors import BadInput, NotFound
from machines.core.ids import Owner, owner_of, parse_id
from machines.payout.data import PayoutRecord
from payflow.desk.payouts import Desk
from payflow.desk.person import Caller
from payflow.store.registers.profiles import Profile, Profiles
from payflow.store.registers.tokens import Role
from payflow.web.http import problems
from payflow.web.http.problems import Problem


class AccessScope:
    """Answers for every room of the API. What lies beyond a caller's reach does not exist for him."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._profiles: Profiles = desk.profiles

    async def payout(self, caller: Caller, payout_id: str) -> PayoutRecord:
        """Read a payout that the caller may see."""
        missing = NotFound(f"There is no payout {payout_id[:60]}.")
        try:
            parse_id(payout_id)
        except BadInput:
            raise missing from None
        record = await self._desk.payout(payout_id, caller.owner)
        if caller.role is Role.PLATFORM and (await self._profiles.read(record.owner)).platform != caller.of:
            raise missing
        return record

    async def owner(self, caller: Caller, asked: str | None) -> Owner:
        """Tell whose money a request is about."""
        if caller.owner is not None:
            if asked not in (None, caller.owner):
                raise Problem(problems.FOREIGN_OWNER, "This token is bound to another provider.", field="owner")
            return caller.owner
        if asked is None:
            raise Problem(problems.MISSING_FIELD, "owner: say whose.", field="owner")
        if caller.role is not Role.PLATFORM:
            return owner_of(asked)
        owner = self.named(asked)
        await self.provider(caller, owner)
        return owner

    def named(self, asked: str) -> Owner:
        """Read an owner that a platform names: never one that Payflow names itself."""
        owner = owner_of(asked)
        self._profiles.refuse_reserved(owner)
        return owner

    async def provider(self, caller: Caller, owner: Owner) -> Profile:
        """Read the profile of a provider that a platform brought."""
        profile = await self._profiles.read(owner)
        if profile.platform != caller.of:
            raise NotFound(f"{caller.of} brought no provider {owner}.")
        return profile
