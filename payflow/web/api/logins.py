"""How a command line signs in: it asks, waits until somebody has compared its code at our pages, and may end it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import Field

from payflow.desk.login import EVERY_S, ask_login, collect_login, end_login
from payflow.shown import iso
from payflow.store.store import Store
from payflow.web.api.answers import ApiResponse, Time
from payflow.web.http.endpoints import ANYBODY, AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import NoQuery, RequestBody

PAGE = "/admin/login"


class LoginGiven(RequestBody):
    """A command line that wants to act as somebody."""

    account: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$", examples=["olu@laptop"])]
    """The account and the machine that it runs on, for the person who is asked."""


class LoginSecretGiven(RequestBody):
    """What it was given."""

    secret: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]


class LoginWaits(ApiResponse):
    """What a command line shows to its person, and itself asks with."""

    secret: str
    """It asks with this, and shows it to nobody."""
    code: Annotated[str, Field(examples=["KXJT-PQMR"])]
    """The person compares it."""
    page: str
    """Where the person says yes, below the address of the service."""
    within_s: int
    every_s: int
    """It may ask this often."""


class LoginAnswered(ApiResponse):
    """How it stands."""

    status: Literal["waiting", "confirmed"]
    token: str | None = None
    """What it shows from now on, as any token."""
    who: str | None = None
    role: str | None = None
    until: Time | None = None


class LoginEnded(ApiResponse):
    """What was shown opens nothing any more."""

    ended: bool = True


class LoginsApi:
    """The room of command lines."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> Iterable[AnyEndpoint]:
        yield ApiEndpoint(
            "POST", "/api/login", "Let a command line wait until somebody signs it in at the pages.", ANYBODY, self.ask,
            {HTTPStatus.CREATED: LoginWaits}, body=LoginGiven,
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/login/answer", "Ask whether somebody has; the token is given once.", ANYBODY, self.answer,
            {HTTPStatus.OK: LoginAnswered}, body=LoginSecretGiven,
            refuses=(HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN),
        )  # fmt: skip
        yield ApiEndpoint(
            "POST", "/api/login/end", "End what a command line shows.", ANYBODY, self.end,
            {HTTPStatus.OK: LoginEnded}, body=LoginSecretGiven,
        )  # fmt: skip

    async def ask(self, call: EndpointCall[LoginGiven, NoQuery]) -> JsonReply:
        asked = await ask_login(self._store, call.body.account, call.address)
        waits = LoginWaits(
            secret=asked.secret, code=asked.code, page=f"{PAGE}?code={asked.code}", within_s=asked.within_s,
            every_s=EVERY_S,
        )  # fmt: skip
        return JsonReply(waits, HTTPStatus.CREATED)

    async def answer(self, call: EndpointCall[LoginSecretGiven, NoQuery]) -> JsonReply:
        given = await collect_login(self._store, call.body.secret)
        if given is None:
            return JsonReply(LoginAnswered(status="waiting"))
        until = iso(given.until)
        return JsonReply(
            LoginAnswered(status="confirmed", token=given.secret, who=given.who, role=given.role, until=until)
        )

    async def end(self, call: EndpointCall[LoginSecretGiven, NoQuery]) -> JsonReply:
        await end_login(self._store, call.body.secret)
        return JsonReply(LoginEnded())
