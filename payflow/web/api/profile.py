"""Profiles of providers: what they and their platform may change, and who is warned of it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from payflow.desk.payouts import Desk
from payflow.desk.person import LOOKS
from payflow.desk.providers import AccessScope, ProviderProfiles
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.payloads import NoBody, NoQuery, OwnerAsked, ProfileGiven, ProviderGiven, destination
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply


class ProfilesApi:
    """The room of the profiles."""

    def __init__(self, desk: Desk, scope: AccessScope, profiles: ProviderProfiles) -> None:
        self._store = desk.store
        self._profiles = profiles
        self._scope = scope

    def endpoints(self) -> Iterable[AnyEndpoint]:
        shown = {HTTPStatus.OK: answers.ProviderShown}
        yield ApiEndpoint(
            "GET", "/api/provider/profile", "Show a profile.", LOOKS, self.show,
            shown, query=OwnerAsked, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield ApiEndpoint(
            "PUT", "/api/provider/profile", "Change your own profile; whoever was told things so far is warned.",
            frozenset({Role.PROVIDER}), self.change_own, shown, body=ProfileGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip
        yield ApiEndpoint(
            "PUT", "/api/providers/{owner}", "Bring a provider, or change the profile of one that you brought.",
            frozenset({Role.PLATFORM}), self.bring, shown, body=ProviderGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip

    async def show(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        owner = await self._scope.owner(call.caller, call.query.owner)
        return JsonReply(answers.provider(await self._store.profiles.read(owner)))

    async def change_own(self, call: EndpointCall[ProfileGiven, NoQuery]) -> JsonReply:
        owner = await self._scope.owner(call.caller, None)
        given = call.body
        return JsonReply(answers.provider(await self._profiles.change_own(owner, given.version, _changes(given))))

    async def bring(self, call: EndpointCall[ProviderGiven, NoQuery]) -> JsonReply:
        asked, given = call.path["owner"], call.body
        after = await self._profiles.bring(
            asked, call.caller.of, given.version, _changes(given), verified=given.verified
        )
        return JsonReply(answers.provider(after))


def _changes(given: ProfileGiven) -> dict[str, Any]:
    """Give what is changed: only what was named."""
    named, found = given.model_fields_set, dict[str, Any]()
    if "notify" in named:
        found["notify"] = tuple(given.notify or ())
    if "destination" in named:
        where = given.destination
        found["destination"] = destination(given.method or "", where) if where else None
    return found
