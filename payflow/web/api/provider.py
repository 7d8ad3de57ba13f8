"""What providers do, by themselves or through the platform that brought them: ask, look, take back, mend."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from machines.core.ids import Owner
from machines.core.ports import Destination
from machines.payout.data import PayoutRecord
from payflow.desk.payouts import MACHINE, Answer, Ask, Desk
from payflow.desk.person import ASKS, LOOKS, PROVIDERS, Caller
from payflow.desk.providers import AccessScope, ProviderProfiles
from payflow.desk.records import owned_page
from payflow.desk.requests import PARTS
from payflow.store.registers.tokens import Role
from payflow.web.api import answers
from payflow.web.api.answers import STATES, Status
from payflow.web.http import problems
from payflow.web.http.endpoints import AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import (
    ACCOUNT,
    ADDRESS,
    AmountOrAll,
    ChainAddress,
    Contact,
    Currency,
    Line,
    Method,
    Moment,
    NoBody,
    NoQuery,
    Note,
    OwnerAsked,
    OwnerName,
    RequestBody,
    Whole,
    Words,
    cursor_of,
    list_cursor,
    money,
)
from payflow.web.http.problems import Problem

MOST_ADDRESSES = 5


class BankAccount(RequestBody):
    """An account at a bank, or at a provider of mobile money."""

    bank_code: Annotated[str, Field(pattern=PARTS["bank_code"], examples=["044"])] | None = None
    """The gateway's code of the bank, or of the mobile network: `GET /api/banks` lists them."""
    account_number: Annotated[str, Field(pattern=PARTS["account_number"], examples=["0690000031"])]
    """Its number there. It is kept encrypted, and shown by its last digits only."""
    account_name: Line | None = None
    """The name on the account."""
    branch_code: Annotated[str, Field(pattern=PARTS["branch_code"], examples=["GH280103"])] | None = None
    """The branch, in countries where transfers need it."""
    first_name: Line | None = None
    """Of whom it belongs to. This and all below is needed for some currencies only: `GET /api/methods` says which."""
    last_name: Line | None = None
    """Of whom it belongs to."""
    email: Annotated[str, Field(pattern=PARTS["email"], examples=["ada@example.com"])] | None = None
    """Their mail address."""
    phone: Annotated[str, Field(pattern=PARTS["phone"], examples=["27821234567"])] | None = None
    """Their phone."""
    street: Line | None = None
    """Where they live."""
    street_number: Annotated[str, Field(pattern=PARTS["street_number"], examples=["17b"])] | None = None
    """The number in it."""
    postal_code: Annotated[str, Field(pattern=PARTS["postal_code"], examples=["10115"])] | None = None
    """Their postal code."""
    city: Line | None = None
    """Their city."""
    country: Annotated[str, Field(pattern=PARTS["country"], examples=["DE"])] | None = None
    """Their country."""
    bank_name: Line | None = None
    """The bank, by its name."""
    swift_code: Annotated[str, Field(pattern=PARTS["swift_code"], examples=["DEUTDEFF"])] | None = None
    """Its SWIFT code."""
    routing_number: Annotated[str, Field(pattern=PARTS["routing_number"], examples=["021000021"])] | None = None
    """Its routing number, or sort code."""
    account_type: Annotated[str, Field(pattern=PARTS["account_type"], examples=["checking"])] | None = None
    """What kind of account it is."""
    sender_name: Line | None = None
    """Who sends the money."""
    sender_country: Annotated[str, Field(pattern=PARTS["sender_country"], examples=["NG"])] | None = None
    """From where."""
    sender_phone: Annotated[str, Field(pattern=PARTS["sender_phone"], examples=["2348012345678"])] | None = None
    """Their phone."""


class ChainDestination(RequestBody):
    """An address on a chain."""

    address: ChainAddress


def _kind(value: object) -> str:
    if isinstance(value, BankAccount | ChainDestination):
        return ADDRESS if isinstance(value, ChainDestination) else ACCOUNT
    return ADDRESS if isinstance(value, dict) and "address" in value else ACCOUNT


Where: TypeAlias = Annotated[
    Annotated[BankAccount, Tag(ACCOUNT)] | Annotated[ChainDestination, Tag(ADDRESS)], Discriminator(_kind)
]


def destination(method: str, where: BankAccount | ChainDestination) -> Destination:
    """Make a destination of what was given, or refuse what does not fit the method."""
    if isinstance(where, ChainDestination) != (method == "ethereum"):
        needed = "an address" if method == "ethereum" else "an account_number"
        raise Problem(problems.BAD_FIELD, f"destination: {method} needs {needed}.", field="destination")
    return Destination(method, tuple(where.model_dump(exclude_none=True).items()))


class PayoutGiven(RequestBody):
    """A request for a payout."""

    owner: OwnerName | None = None
    """Whose money it is; needed with a platform's token, a provider's own by default."""
    amount: AmountOrAll
    currency: Currency
    method: Method
    destination: Where | None = None
    """Where it goes; without it, where the profile says."""
    note: Note = ""
    """What the receiver's bank shows."""


class CancelGiven(RequestBody):
    """Why it is not wanted any more."""

    reason: Words | None = None


class CorrectionGiven(RequestBody):
    """Where a failed payout should go instead."""

    destination: Where


class ProfileGiven(RequestBody):
    """What to change in a profile; what is left out stays as it is."""

    notify: Annotated[list[Contact], Field(max_length=MOST_ADDRESSES)] | None = None
    """Where to tell them things; an empty list for nowhere."""
    method: Method | None = None
    """How they are usually paid; needed with a destination."""
    destination: Where | None = None
    """Where their money usually goes; null for nowhere."""
    version: Whole | None = None
    """The version that was looked at: a profile that changed since is not written over."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.destination is not None and self.method is None:
            raise PydanticCustomError("no_method", "method is needed with a destination")
        return self


class ProviderGiven(ProfileGiven):
    """What a platform may change in the profile of a provider that it brought."""

    verified: bool | None = None
    """Whether the platform has checked who they are."""


class PayoutsAsked(OwnerAsked):
    """Which payouts."""

    status: Status | None = None
    """Only those of which this is true."""
    since: Annotated[Moment | None, Field(alias="from")] = None
    """Only those asked for at this time or later."""
    until: Annotated[Moment | None, Field(alias="to")] = None
    """Only those asked for before this time."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """How many."""
    cursor: Annotated[str, Field(max_length=200)] = ""
    """Where to go on: the `next` of the page before."""


class ProviderApi:
    """The room of the providers."""

    def __init__(self, desk: Desk, scope: AccessScope) -> None:
        self._desk = desk
        self._store = desk.store
        self._scope = scope
        self._profiles = ProviderProfiles(desk.store)

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be done here. The payouts have two addresses, which are the same place."""
        for prefix in ("/api/provider/payouts", "/api/payouts"):
            yield from self._payouts(prefix)
        shown = {HTTPStatus.OK: answers.ProviderShown}
        yield ApiEndpoint(
            "GET", "/api/provider/profile", "Show a profile.", LOOKS, self.profile,
            shown, query=OwnerAsked, refuses=(HTTPStatus.NOT_FOUND,),
        )  # fmt: skip
        yield ApiEndpoint(
            "PUT", "/api/provider/profile", "Change your own profile; whoever was told things so far is warned.",
            PROVIDERS, self.change_own, shown, body=ProfileGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip
        yield ApiEndpoint(
            "PUT", "/api/providers/{owner}", "Bring a provider, or change the profile of one that you brought.",
            frozenset({Role.PLATFORM}), self.bring, shown, body=ProviderGiven, refuses=(HTTPStatus.CONFLICT,),
        )  # fmt: skip

    def _payouts(self, prefix: str) -> Iterable[AnyEndpoint]:
        one = {HTTPStatus.OK: answers.Payout}
        missing, clash = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
        yield ApiEndpoint(
            "POST", prefix, "Ask for a payout. The same key again gets the first answer again.", ASKS, self.ask,
            {HTTPStatus.CREATED: answers.Payout, **one}, body=PayoutGiven, keyed=True,
            refuses=(missing, HTTPStatus.UNPROCESSABLE_ENTITY),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", prefix, "List payouts, the newest first.", LOOKS, self.listed,
            {HTTPStatus.OK: answers.PayoutsPage}, query=PayoutsAsked, refuses=(missing,),
        )  # fmt: skip
        yield ApiEndpoint(
            "GET", f"{prefix}/{{id}}", "Show a payout as it is now.", LOOKS, self.show, one, refuses=(missing,)
        )
        yield ApiEndpoint(
            "POST", f"{prefix}/{{id}}/cancel", "Take a payout back before it is paid.", ASKS | {Role.OPERATOR},
            self.cancel, one, body=CancelGiven, refuses=(missing, clash),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", f"{prefix}/{{id}}/destination", "Name another destination for a failed payout; it is reviewed.",
            ASKS, self.correct, one, body=CorrectionGiven, refuses=(missing, clash),
        )  # fmt: skip

    # ── payouts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, call: EndpointCall[PayoutGiven, NoQuery]) -> JsonReply:
        """Make a payout, or give the first answer once more."""
        answer = await self.request(call.caller, call.body, call.key)
        status = HTTPStatus.CREATED if answer.fresh else HTTPStatus.OK
        shown = answers.payout(answer.record, answer.expected_at, call.caller.calls(answer.record.owner))
        return JsonReply(shown, status)

    async def request(self, caller: Caller, given: PayoutGiven, key: str) -> Answer:
        """Ask the desk for a payout."""
        owner = await self._scope.owner(caller, given.owner)
        known = money(given.amount or "0", given.currency, self._store.records.assets)
        ask = Ask(
            owner=owner,
            amount=known.asset if given.amount is None else known,
            method=given.method,
            destination=destination(given.method, given.destination) if given.destination else None,
            note=given.note,
            # Keeps the keys of a platform apart from the provider's own: no key has a space in it.
            key=f"{caller.of} {key}" if key and caller.role is Role.PLATFORM else key,
            by=caller.who,
            asker=caller.person,
        )
        return await self._desk.request(ask)

    async def listed(self, call: EndpointCall[NoBody, PayoutsAsked]) -> JsonReply:
        """List an owner's payouts page by page."""
        owner = await self._scope.owner(call.caller, call.query.owner)
        return JsonReply(await self.page(call.caller, owner, call.query))

    async def page(self, caller: Caller, owner: Owner, asked: PayoutsAsked) -> answers.PayoutsPage:
        """Give one page of an owner's payouts."""
        states = STATES[asked.status] if asked.status else None
        found, following = await owned_page(
            self._store, [owner], list_cursor(asked.cursor),
            lambda one: one.machine == MACHINE and (states is None or one.state in states), asked.limit,
            since=asked.since, until=asked.until,
        )  # fmt: skip
        now = await self._store.records.now()
        name, schedule = caller.calls(owner), self._desk.schedule
        shown = [answers.payout(one, answers.expected_at(one, schedule, now), name) for one in found]
        further = cursor_of(following.at, following.id) if following else None
        return answers.PayoutsPage(payouts=shown, next=further)

    async def show(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return await self._shown(call.caller, await self._scope.payout(call.caller, call.path["id"]))

    async def cancel(self, call: EndpointCall[CancelGiven, NoQuery]) -> JsonReply:
        return await self._shown(call.caller, await self.withdraw(call.caller, call.path["id"], call.body.reason))

    async def withdraw(self, caller: Caller, payout_id: str, reason: str | None = None) -> PayoutRecord:
        """Take a payout back."""
        record = await self._scope.payout(caller, payout_id)
        reason = reason or "not wanted any more"
        return (await self._desk.cancel(record.id, caller.who, reason, caller.owner)).after

    async def correct(self, call: EndpointCall[CorrectionGiven, NoQuery]) -> JsonReply:
        """Name another destination."""
        record = await self._scope.payout(call.caller, call.path["id"])
        where = destination(record.data.method, call.body.destination)
        applied = await self._desk.correct(record.id, call.caller.who, where, call.caller.owner)
        return await self._shown(call.caller, applied.after)

    async def _shown(self, caller: Caller, record: PayoutRecord) -> JsonReply:
        expected_at = answers.expected_at(record, self._desk.schedule, await self._store.records.now())
        return JsonReply(answers.payout(record, expected_at, caller.calls(record.owner)))

    # ── profiles ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def profile(self, call: EndpointCall[NoBody, OwnerAsked]) -> JsonReply:
        owner = await self._scope.owner(call.caller, call.query.owner)
        return JsonReply(answers.provider(await self._store.profiles.read(owner), call.caller.calls(owner)))

    async def change_own(self, call: EndpointCall[ProfileGiven, NoQuery]) -> JsonReply:
        owner = await self._scope.owner(call.caller, None)
        given = call.body
        after = await self._profiles.change_own(owner, given.version, _changes(given))
        return JsonReply(answers.provider(after, call.caller.calls(owner)))

    async def bring(self, call: EndpointCall[ProviderGiven, NoQuery]) -> JsonReply:
        asked, given = call.path["owner"], call.body
        after = await self._profiles.bring(
            asked, call.caller.of, given.version, _changes(given), verified=given.verified
        )
        return JsonReply(answers.provider(after, call.caller.calls(after.owner)))


def _changes(given: ProfileGiven) -> dict[str, Any]:
    """Give what is changed: only what was named."""
    named, found = given.model_fields_set, dict[str, Any]()
    if "notify" in named:
        found["notify"] = tuple(given.notify or ())
    if "destination" in named:
        where = given.destination
        found["destination"] = destination(given.method or "", where) if where else None
    return found
