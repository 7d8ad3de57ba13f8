"""What the API says when it cannot do what was asked: one shape, one table of what each refusal is called.

`{"error": {"code": "short_balance", "message": "…", "field": "amount"}}`: the code is for programs and never changes,
the message is for people, the field names what to mend where it is one.
"""

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from machines.core import errors
from machines.core.methods import BadDestination
from payflow.desk.providers import ForeignOwner, OwnerMissing

log = structlog.get_logger()

# Which status and which code an error of ours is answered with; the nearest class counts.
TABLE: Mapping[type[errors.PayflowError], tuple[HTTPStatus, str]] = {
    errors.BadInput: (HTTPStatus.BAD_REQUEST, "bad_input"),
    errors.BadAmount: (HTTPStatus.BAD_REQUEST, "bad_amount"),
    errors.ReservedOwner: (HTTPStatus.FORBIDDEN, "foreign_owner"),
    ForeignOwner: (HTTPStatus.FORBIDDEN, "foreign_owner"),
    OwnerMissing: (HTTPStatus.BAD_REQUEST, "missing_field"),
    errors.NotAllowed: (HTTPStatus.FORBIDDEN, "forbidden"),
    errors.NotPossible: (HTTPStatus.CONFLICT, "not_possible"),
    errors.TooSoon: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests"),
    errors.OverDailyLimit: (HTTPStatus.TOO_MANY_REQUESTS, "over_daily_limit"),
    errors.TooManyOpen: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_open"),
    errors.TooManyToday: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_today"),
    errors.ShortBalance: (HTTPStatus.BAD_REQUEST, "short_balance"),
    errors.KeyReused: (HTTPStatus.UNPROCESSABLE_ENTITY, "key_reused"),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "not_found"),
    errors.Conflict: (HTTPStatus.CONFLICT, "conflict"),
    errors.ClaimTaken: (HTTPStatus.CONFLICT, "conflict"),
    errors.StoreError: (HTTPStatus.SERVICE_UNAVAILABLE, "store_unavailable"),
    errors.SendRefused: (HTTPStatus.SERVICE_UNAVAILABLE, "paused"),
    # Of the gateway, which is asked about an account or a fee while a request is taken in: nothing was held or sent.
    errors.Rejected: (HTTPStatus.BAD_REQUEST, "bad_destination"),
    errors.StepError: (HTTPStatus.SERVICE_UNAVAILABLE, "gateway_unavailable"),
    errors.ForgeUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "forge_unavailable"),
    errors.IssuerUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "issuer_unavailable"),
    errors.PayflowError: (HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
    errors.BadSettings: (HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
}

# Which field the caller must mend, where an error of ours is about one.
_FIELDS = {
    "short_balance": "amount",
    "bad_amount": "amount",
    "bad_destination": "destination",
    "foreign_owner": "owner",
    "missing_field": "owner",
}

# What is refused before any of our own errors can arise.
UNAUTHENTICATED = (HTTPStatus.UNAUTHORIZED, "unauthenticated")
FORBIDDEN = (HTTPStatus.FORBIDDEN, "forbidden")
MISDIRECTED = (HTTPStatus.MISDIRECTED_REQUEST, "misdirected")
FORGED = (HTTPStatus.UNAUTHORIZED, "forged")
UNKNOWN_PLACE = (HTTPStatus.NOT_FOUND, "not_found")
WRONG_METHOD = (HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed")
TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, "too_slow")
TOO_LARGE = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
WRONG_TYPE = (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
TOO_MANY = (HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests")
EXPECTATION = (HTTPStatus.EXPECTATION_FAILED, "expectation_failed")
INTERNAL = (HTTPStatus.INTERNAL_SERVER_ERROR, "internal")
BAD_REQUEST = (HTTPStatus.BAD_REQUEST, "bad_request")
BAD_JSON = (HTTPStatus.BAD_REQUEST, "bad_json")
BAD_FIELD = (HTTPStatus.BAD_REQUEST, "bad_field")
BAD_AMOUNT = (HTTPStatus.BAD_REQUEST, "bad_amount")
MISSING_FIELD = (HTTPStatus.BAD_REQUEST, "missing_field")
UNKNOWN_FIELD = (HTTPStatus.BAD_REQUEST, "unknown_field")
UNKNOWN_CURRENCY = (HTTPStatus.BAD_REQUEST, "unknown_currency")
NOT_POSSIBLE = (HTTPStatus.CONFLICT, "not_possible")

# What aiohttp refuses by itself.
_OF_AIOHTTP = {kind[0]: kind for kind in (UNKNOWN_PLACE, WRONG_METHOD, TOO_LARGE, WRONG_TYPE, TOO_SLOW)}

RETRY_AFTER_S = 5


class Problem(Exception):
    """A request that gets an error for an answer."""

    def __init__(
        self, kind: tuple[HTTPStatus, str], message: str, *, field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code = kind
        self.message = message
        self.field = field
        self.headers = dict(headers or {})

    def answer(self) -> web.Response:
        return web.json_response(self.error(), status=self.status, headers=self.headers)

    def error(self) -> dict[str, dict[str, str]]:
        """Say it in the one shape."""
        fields = {"code": self.code, "message": self.message}
        return {"error": fields | {"field": self.field} if self.field else fields}


_AGAIN = {
    "store_unavailable": "The store did not answer, so it is not known what was done: ask again, with the same key.",
    "paused": "Payflow may not do this now: ask again later.",
    "forge_unavailable": "GitHub cannot be asked now, so nothing was done: ask again later.",
    "issuer_unavailable": "The identity provider cannot be asked now: try again in a moment, or sign in another way.",
    "gateway_unavailable": "The payment gateway did not answer; nothing was done: ask again later.",
}


async def answered(handler: Handler, request: web.Request) -> web.StreamResponse:
    """Serve a request; every error becomes an answer in one shape, which tells no more than is meant."""
    try:
        return await handler(request)
    except Exception as error:
        if isinstance(error, web.HTTPException) and error.status < HTTPStatus.BAD_REQUEST:
            raise
        return answer_to(error, request.path)


def answer_to(error: Exception, path: str) -> web.Response:
    """Answer a request that ended in an error; what the caller must not read goes to the log."""
    match error:
        case Problem():
            return error.answer()
        case web.HTTPException():
            return _of_aiohttp(error).answer()
        case errors.PayflowError():
            problem = of(error)
            if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.warning("A request was not served.", action="request_refused", path=path, error=repr(error))
            return problem.answer()
        case _:
            log.error("A request failed.", action="request_failed", path=path, exc_info=error)
            return Problem(INTERNAL, "Payflow failed on this request; its log says why.").answer()


def of(error: errors.PayflowError) -> Problem:
    """Find how an error of ours is answered."""
    if isinstance(error, BadDestination):
        kind = MISSING_FIELD if error.missing else BAD_FIELD
        return Problem(kind, f"destination.{error.field}: {error}", field=f"destination.{error.field}")
    kind = next(TABLE[nearest] for nearest in type(error).__mro__ if nearest in TABLE)
    match kind[0]:
        case HTTPStatus.TOO_MANY_REQUESTS:
            wait_s = error.after_s if isinstance(error, errors.TooSoon) else RETRY_AFTER_S
            return Problem(kind, str(error), headers={"Retry-After": str(wait_s)})
        case HTTPStatus.SERVICE_UNAVAILABLE:
            # What a store or a gateway says of itself names hosts and settings.
            return Problem(kind, _AGAIN[kind[1]], headers={"Retry-After": str(RETRY_AFTER_S)})
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return Problem(kind, "Payflow cannot answer this; its log says why.")
        case _:
            return Problem(kind, str(error), field=_FIELDS.get(kind[1], ""))


def _of_aiohttp(error: web.HTTPException) -> Problem:
    """Say in our own shape what aiohttp refuses by itself."""
    status = HTTPStatus(error.status)
    allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    return Problem(_OF_AIOHTTP.get(status, (status, "bad_request")), error.reason, headers=allowed)
