"""What platforms do: bring in what their providers earned, and take it back."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus

from machines.core.errors import PayflowError, ReservedOwner
from machines.core.ids import Owner
from payflow.desk.payouts import Desk
from payflow.desk.person import Caller
from payflow.desk.providers import ForeignOwner, ProviderProfiles
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.payloads import ClawbackGiven, EarningGiven, EarningsGiven, NoQuery
from payflow.web.http import problems
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.fields import money
from payflow.web.http.problems import Problem


class PlatformApi:
    """The room of the platforms."""

    def __init__(self, desk: Desk, profiles: ProviderProfiles) -> None:
        self._earnings = desk.store.earnings
        self._assets = desk.store.records.assets
        self._profiles = profiles

    def endpoints(self) -> Iterable[AnyEndpoint]:
        platform = frozenset({Role.PLATFORM})
        reused = HTTPStatus.UNPROCESSABLE_ENTITY
        yield ApiEndpoint(
            "POST", "/api/earnings", "Credit an earning. The same id again changes nothing.", platform, self.credit,
            {HTTPStatus.CREATED: answers.Credited, HTTPStatus.OK: answers.Credited}, body=EarningGiven,
            refuses=(reused,),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/earnings/batch", "Credit many earnings; each has a result of its own.", platform,
            self.credit_many, {HTTPStatus.OK: answers.BatchResult}, body=EarningsGiven,
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/earnings/{id}/clawback", "Take an earning back; what is gone already is owed.", platform,
            self.claw_back, {HTTPStatus.OK: answers.ClawedBack}, body=ClawbackGiven,
            refuses=(HTTPStatus.NOT_FOUND, reused),
        )  # fmt: skip

    async def credit(self, call: EndpointCall[EarningGiven, NoQuery]) -> JsonReply:
        """Credit one earning."""
        given = call.body
        amount = money(given.amount, given.currency, self._assets)
        fresh = await self._book(call.caller, given, await self._profiles.claim(given.owner, call.caller.of))
        answer = answers.Credited(id=given.id, owner=given.owner, amount=amount.decimal, currency=given.currency)
        return JsonReply(answer, HTTPStatus.CREATED if fresh else HTTPStatus.OK)

    async def _book(self, caller: Caller, given: EarningGiven, owner: Owner) -> bool:
        amount = money(given.amount, given.currency, self._assets)
        return await self._earnings.credit(caller.of, given.id, owner, amount)

    async def credit_many(self, call: EndpointCall[EarningsGiven, NoQuery]) -> JsonReply:
        """Credit many earnings."""
        names = {given.owner for given in call.body.earnings}
        claims = await asyncio.gather(*(self._claimed(name, call.caller) for name in names))
        claimed = dict(zip(names, claims, strict=True))
        booked = (self._item(call.caller, given, claimed[given.owner]) for given in call.body.earnings)
        return JsonReply(answers.BatchResult(results=await asyncio.gather(*booked)))

    async def _claimed(self, name: str, caller: Caller) -> Owner | PayflowError:
        try:
            return await self._profiles.claim(name, caller.of)
        except (ReservedOwner, ForeignOwner) as error:
            return error

    async def _item(self, caller: Caller, given: EarningGiven, claimed: Owner | PayflowError) -> answers.BatchItem:
        """Book one earning of many; what is wrong with it is said of it alone, and the others go on."""
        try:
            if isinstance(claimed, PayflowError):
                raise claimed
            fresh = await self._book(caller, given, claimed)
        except Problem as problem:
            return _refused(given, problem)
        except PayflowError as error:
            return _refused(given, problems.of(error))
        return answers.BatchItem(id=given.id, result="credited" if fresh else "known")

    async def claw_back(self, call: EndpointCall[ClawbackGiven, NoQuery]) -> JsonReply:
        """Take an earning back."""
        given, earning = call.body, call.path["id"]
        amount = money(given.amount, given.currency, self._assets) if given.amount and given.currency else None
        owner, taken = await self._earnings.claw_back(call.caller.of, earning, amount, given.reference)
        answer = answers.ClawedBack(
            id=earning, reference=given.reference, owner=owner, amount=taken.decimal, currency=taken.asset.code
        )
        return JsonReply(answer)


def _refused(given: EarningGiven, problem: Problem) -> answers.BatchItem:
    error = answers.ErrorDetail(code=problem.code, message=problem.message, field=problem.field or None)
    return answers.BatchItem(id=given.id, result="refused", error=error)
