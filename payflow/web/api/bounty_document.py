"""What the document of the API says of bounties: their names are the old system's, so keys are kebab-case."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from payflow.web.api.openapi import common
from payflow.web.http.endpoints import JSON

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_WHOLE: Json = {"type": "integer", "format": "int64"}
_MAYBE: Json = {"type": ["string", "null"]}
_ADDRESS: Json = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
_HASH: Json = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
_WHICH: Json = {"anyOf": [_WHOLE, _TEXT], "description": "The bounty's id, or the one that GitHub gave its issue."}

_PUBLIC: Json = {
    "issue-id": _WHOLE,
    "issue-number": _WHOLE,
    "issue-title": _TEXT,
    "repo-owner": _TEXT,
    "repo-name": _TEXT,
    "state": _TEXT,
    "contract-address": _MAYBE,
    "balance-eth": _TEXT,
    "tokens": {"type": "object", "additionalProperties": _TEXT},
}
_CLAIM: Json = {
    "pr-id": _WHOLE,
    "pr-number": _WHOLE,
    "pr-title": _TEXT,
    "user-login": _TEXT,
    "commit-sha": _TEXT,
    "state": {"enum": [0, 1, 2], "description": "0 opened, 1 merged, 2 closed."},
}
_SAVED: Json = {
    "address": _MAYBE,
    "proven": {"type": "boolean"},
    "next-address": {**_MAYBE, "description": "It takes the other one's place when its time has come."},
    "next-from": _MAYBE,
    "next-proven": {"type": "boolean", "description": "Whether it was signed for: then the other one can give way."},
}
_HASHES = ("transaction-hash", "execute-hash", "confirm-hash", "payout-hash", "commit-sha")
_SAID = ("winner-login", "payout-address", "refund-to", "waiting-for", "trouble")


def _object(parts: Json, *optional: str) -> Json:
    return {"type": "object", "properties": parts, "required": sorted(set(parts) - set(optional))}


def _list_of(name: str, parts: Json) -> Json:
    return _object({name: {"type": "array", "items": _object(parts)}})


_BOUNTY: Json = {
    **_PUBLIC,
    "id": _TEXT,
    "repo-id": _WHOLE,
    **dict.fromkeys((*_HASHES, *_SAID), _MAYBE),
    "payout-receipt": {"type": ["object", "null"]},
    "payment": {"type": ["object", "null"], "description": "Exactly what a confirmation moves, and to whom."},
    "confirming?": {"type": "boolean"},
    "question": {**_MAYBE, "description": "What another owner, or an operator, is asked to agree to, word for word."},
    "doubts": {"type": "array", "items": {"enum": ["reopened", "reverted"]}},
    "second-round?": {"type": "boolean", "description": "It was opened again, or labelled anew, after it was over."},
    "banners": {"type": "array", "items": _TEXT},
    "claims": {"type": "array", "items": _object(_CLAIM)},
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one place."""

    method: str
    path: str
    summary: str
    answer: Json
    body: Json | None = None
    query: tuple[str, ...] = ()
    open: bool = False
    """Whether it takes no token."""
    refuses: Json = field(default_factory=dict)


_ONE = "/api/user/bounty/{id}"
_NOT_YOURS = {"404": "There is no such bounty."}
_NOT_NOW = {**_NOT_YOURS, "409": "It cannot be done as things are now."}
_SHOWN = _object(_BOUNTY)
_ROWS = _list_of("repositories", {"repo-id": _WHOLE, "repo-name": _TEXT})
TOLD = (
    Told("GET", "/api/open-bounties", "Bounties that anybody may solve.", _list_of("bounties", _PUBLIC), open=True),
    Told(
        "GET",
        "/api/activity-feed",
        "What became of claims lately.",
        _list_of("activity", {**_PUBLIC, **_CLAIM, "type": _TEXT, "state": _TEXT}),
        open=True,
    ),
    Told(
        "GET",
        "/api/top-hunters",
        "Who was paid most.",
        _list_of("hunters", {"user-login": _TEXT, "bounties": _WHOLE, "total-eth": _TEXT}),
        open=True,
    ),
    Told("GET", "/api/user/bounties", "The bounties that concern the caller.", _list_of("bounties", _BOUNTY)),
    Told("GET", "/api/user/repositories", "The repositories that the caller maintains.", _ROWS),
    Told("GET", "/api/user/enabled-repositories", "The same, under its other old name.", _ROWS),
    Told("GET", _ONE, "One bounty.", _SHOWN, refuses=_NOT_YOURS),
    Told(
        "GET",
        f"{_ONE}/confirmation",
        "What a maintainer's wallet must send to confirm the payment.",
        _object({"number": _WHOLE, "to": _ADDRESS, "data": _TEXT, "value": _TEXT, "chain-id": _TEXT}),
        query=("owner",),
        refuses=_NOT_NOW,
    ),
    Told(
        "POST",
        f"{_ONE}/payout",
        "The hash of the transaction with which a maintainer confirms.",
        _SHOWN,
        _object({"payout-hash": _HASH, "number": _WHOLE}, "number"),
        refuses=_NOT_NOW,
    ),
    Told(
        "POST",
        f"{_ONE}/agree",
        "The word of another owner, or of an operator, about what is held back.",
        _SHOWN,
        _object({"about": _TEXT}),
        refuses=_NOT_NOW,
    ),
    Told(
        "GET",
        f"{_ONE}/refund-proof",
        "The words with which an address that funded it names where its money goes back to.",
        _object({"message": _TEXT}),
        query=("from", "to"),
        refuses=_NOT_YOURS,
    ),
    Told(
        "POST",
        f"{_ONE}/refund-address",
        "Where the money of a funding address goes back to, signed by it.",
        _list_of("refunds", {"from": _ADDRESS, "to": _ADDRESS}),
        _object({"from": _ADDRESS, "to": _ADDRESS, "message": _TEXT, "signature": _TEXT}),
        refuses=_NOT_NOW,
    ),
    Told(
        "POST",
        "/api/user/revoke",
        "Give the money back.",
        _SHOWN,
        _object({"issue-id": _WHICH, "address": _ADDRESS}),
        refuses=_NOT_NOW,
    ),
    Told(
        "POST",
        "/api/user/remove-bot-confirmation",
        "Take back a payment that no maintainer has confirmed.",
        _SHOWN,
        _object({"issue-id": _WHICH}),
        refuses=_NOT_NOW,
    ),
    Told(
        "GET",
        "/api/user",
        "Who the caller is, and where he wants his money.",
        _object({"id": {"type": ["integer", "null"]}, "name": _TEXT, **_SAVED}),
    ),
    Told(
        "POST",
        "/api/user",
        "Save where the caller wants their money; a first signed one counts at once, any other one in days.",
        _object(_SAVED),
        _object({"address": _ADDRESS, "message": _TEXT, "signature": _TEXT}, "message", "signature"),
    ),
    Told(
        "POST",
        "/api/user/release-address",
        "Let the next address count at once: the one that counts signed that it gives way to it.",
        _object(_SAVED),
        _object({"address": _ADDRESS, "message": _TEXT, "signature": _TEXT}),
    ),
    Told("POST", "/api/user/withdraw-address", "Take back the address that is to come.", _object(_SAVED)),
    Told(
        "GET",
        "/api/user/proof",
        "The words (EIP-4361) that prove an address when they are signed: once, within 15 minutes, for this alone.",
        _object({"message": _TEXT}),
        query=("address", "repository", "gives-way-to"),
        refuses=_NOT_YOURS,
    ),
    Told(
        "POST",
        "/api/user/repository/{id}/owner",
        "Take the caller on as an owner of the wallets to come.",
        _object({"login": _TEXT, "address": _ADDRESS}),
        _object({"address": _ADDRESS, "message": _TEXT, "signature": _TEXT}),
        refuses={"404": "There is no such repository here."},
    ),
    Told(
        "POST",
        "/webhook-app",
        "For GitHub alone: a delivery, signed in X-Hub-Signature-256.",
        _object({"received": {"const": True}}),
        {"type": "object"},
        open=True,
        refuses={"400": "It is not GitHub's JSON.", "401": "It does not prove that it comes from GitHub."},
    ),
)


def described(routes: Iterable[web.RouteDef]) -> dict[str, Json]:
    """Describe those of these routes that belong to the API of bounties."""
    served = {(route.method, route.path) for route in routes}
    paths: dict[str, Json] = {}
    for told in TOLD:
        if (told.method, told.path) in served:
            paths.setdefault(told.path, {})[told.method.lower()] = _operation(told)
    return paths


def _operation(told: Told) -> Json:
    words = [word.strip("{}") for word in told.path.replace("-", "_").split("/") if word]
    says: Json = {
        "operationId": "_".join([told.method.lower(), "bounties", *words]),
        "summary": told.summary,
        "tags": ["bounties"],
        "parameters": _parameters(told),
        "responses": {
            "200": {"description": "Done.", "content": {JSON: {"schema": told.answer}}},
            **common(takes_body=told.body is not None, needs_token=not told.open),
            **{status: {"description": why} for status, why in told.refuses.items()},
        },
    }
    if told.open:
        says["security"] = []
    if told.body is not None:
        says["requestBody"] = {"required": True, "content": {JSON: {"schema": told.body}}}
    return says


def _parameters(told: Told) -> list[Json]:
    inside = [word.strip("{}") for word in told.path.split("/") if word.startswith("{")]
    return [
        *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in inside),
        *({"name": name, "in": "query", "required": name != "repository", "schema": _TEXT} for name in told.query),
    ]
