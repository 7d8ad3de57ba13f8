"""Profiles of providers: what they and their platform may change, and who is warned of it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from machines.core.decision import Message
from machines.core.errors import Conflict
from machines.core.ids import Owner
from payflow.desk.payouts import Desk
from payflow.desk.person import LOOKS
from payflow.store.registers.profiles import Profile
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.payloads import NoBody, NoQuery, OwnerAsked, ProfileGiven, ProviderGiven, destination
from payflow.web.api.reach import AccessScope
from payflow.web.http.endpoints import AnyEndpoint, Endpoint, EndpointCall, JsonReply
from payflow.web.http.problems import FOREIGN_OWNER, Problem

MOST_TRIES = 5


class ProfilesApi:
    """The room of the profiles."""

    def __init__(self, desk: Desk, reach: AccessScope) -> None:
        self._store = desk.store
        self._profiles = desk.profiles
        self._reach = reach

    def endpoints(self) -> Iterable[AnyEndpoint]:
        told = {HTTPStatus.OK: answers.ProviderShown}
        yield Endpoint(
            "GET", "/api/provider/profile", "Show a profile.", LOOKS, self.show,
            told, query=OwnerAsked, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield Endpoint(
            "PUT", "/api/provider/profile", "Change your own profile; whoever was told things so far is warned.",
            frozenset({Role.PROVIDER}), self.change_own, told, body=ProfileGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip
        yield Endpoint(
            "PUT", "/api/providers/{owner}", "Bring a provider, or change the profile of one that you brought.",
            frozenset({Role.PLATFORM}), self.bring, told, body=ProviderGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip

    async def show(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        owner = await self._reach.owner(call.caller, call.query.owner)
        return JsonReply(answers.provider(await self._profiles.read(owner)))

    async def change_own(self, call: EndpointCall[ProfileGiven, NoQuery]) -> JsonReply:
        """Change a provider's own profile."""
        owner = await self._reach.owner(call.caller, None)
        return await self._change(owner, lambda before: replace(before, **_changes(before, call.body)))

    async def bring(self, call: EndpointCall[ProviderGiven, NoQuery]) -> JsonReply:
        """Bring a provider, or change one: of his own platform, or one of whom nobody has heard."""
        platform, verified = call.caller.of, call.body.verified

        def changed(before: Profile) -> Profile:
            if before.version and before.platform != platform:
                raise Problem(FOREIGN_OWNER, f"{platform} did not bring {before.owner}.", field="owner")
            sure = before.verified if verified is None else verified
            return replace(before, platform=platform, verified=sure, **_changes(before, call.body))

        return await self._change(self._reach.named(call.path["owner"]), changed)

    async def claim(self, asked: str, platform: str) -> Owner:
        """Remember which platform brought a provider of whom nobody has heard; refuse one of another platform."""
        owner = self._reach.named(asked)

        def changed(before: Profile) -> Profile:
            if before.platform not in ("", platform):
                raise Problem(FOREIGN_OWNER, f"{owner} was brought by another platform.", field="owner")
            # Who wrote his profile himself stays his own man, whoever credits him.
            return before if before.version else replace(before, platform=platform)

        await self._change(owner, changed)
        return owner

    async def _change(self, owner: Owner, changed: Callable[[Profile], Profile]) -> JsonReply:
        for _ in range(MOST_TRIES):
            before = await self._profiles.read(owner)
            after = changed(before)
            if after == before:
                return JsonReply(answers.provider(before))
            now = await self._store.records.now()
            try:
                if after.destination != before.destination:
                    await self._store.contributors.take_over(owner)
                return JsonReply(
                    answers.provider(await self._profiles.write(before, after, now, _warnings(before, after)))
                )
            except Conflict:
                continue
        raise Conflict(f"The profile of {owner} is being changed by others: try again.")


def _changes(before: Profile, given: ProfileGiven) -> dict[str, Any]:
    """Give what is changed: only what was named."""
    if given.version is not None and given.version != before.version:
        raise Conflict(f"The profile changed since version {given.version}: look at it again.")
    named, found = given.model_fields_set, dict[str, Any]()
    if "notify" in named:
        found["notify"] = tuple(given.notify or ())
    if "destination" in named:
        where = given.destination
        found["destination"] = destination(given.method or "", where) if where else None
    return found


def _warnings(before: Profile, after: Profile) -> tuple[Message, ...]:
    """Tell the old contact, not the new one, and the platform: if it was a thief, the owner must hear of it."""
    changed = [
        words
        for words, was, is_ in (
            ("where your money goes", before.destination, after.destination),
            ("where you are told things", before.notify, after.notify),
        )
        if was and was != is_
    ]
    if not changed:
        return ()
    body = {"event": "profile_changed", "owner": before.owner, "changed": " and ".join(changed)}
    to_provider = [Message("notify", {**body, "to": "\n".join(before.notify)})] if before.notify else []
    to_platform = [Message("webhook", {**body, "platform": before.platform})] if before.platform else []
    return (*to_provider, *to_platform)
