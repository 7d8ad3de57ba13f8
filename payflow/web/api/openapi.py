"""The document of the API, made of the very types that check what comes in."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from payflow.desk.webhooks.events import KINDS, WebhookEventKind
from payflow.web.api import answers
from payflow.web.api.webhooks import AnyDeliveries
from payflow.web.http.endpoints import ANYBODY, JSON, KEY, LONGEST_KEY, AnyEndpoint

Json = dict[str, Any]

PLACE = "/api/openapi.json"
_WORKBOOK = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_REF = "#/components/schemas/{model}"

# What every place may answer, for the reasons in the words beside it.
_EVERYWHERE: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "What was sent cannot be used; `field` names where.",
    HTTPStatus.UNAUTHORIZED: "No token, or one that is unknown or revoked.",
    HTTPStatus.FORBIDDEN: "The token may not do this.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too fast; `Retry-After` says when to go on.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of ours.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store or the gateway does not answer; ask again with the same key.",
}
_WITH_BODY: dict[HTTPStatus, str] = {
    HTTPStatus.REQUEST_TIMEOUT: "The body came too slowly.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is no plain JSON.",
}
_AUTHENTICATION = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_OPEN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
_SOMEWHERE: dict[HTTPStatus, str] = {
    HTTPStatus.OK: "Done.",
    HTTPStatus.CREATED: "Made.",
    HTTPStatus.NOT_FOUND: "There is none that this token may see.",
    HTTPStatus.CONFLICT: "It cannot be done as things are now.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The key was used for another request.",
}


def document(endpoints: Iterable[AnyEndpoint], deliveries: Iterable[AnyDeliveries] = ()) -> Json:
    """Write the document."""
    endpoints = list(endpoints)
    schemas = _schemas(endpoints)
    paths: Json = {PLACE: {"get": _itself()}}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    for one in deliveries:
        for path in one.paths:
            paths[path] = {"post": _delivery(one.source, path)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Payflow",
            "version": version("payflow"),
            "description": "Amounts are text in the currency's usual unit, times are in UTC.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": {kind.type: {"post": _event(kind)} for kind in KINDS.values()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made with `payflow token create`."}
            },
        },
    }


def _schemas(endpoints: list[AnyEndpoint]) -> Json:
    """Describe every body and every answer. The names are those of the types, which are all different."""
    answered = {shape for endpoint in endpoints for shape in endpoint.answers.values() if not isinstance(shape, str)}
    given = {endpoint.body for endpoint in endpoints if endpoint.takes_body}
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(shape, "validation") for shape in _sorted(given)]
    wanted += [(shape, "serialization") for shape in _sorted({*answered, answers.ErrorResponse})]
    _, definitions = models_json_schema(wanted, ref_template=_REF)
    found: Json = definitions["$defs"]
    return found


def _sorted(shapes: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(shapes, key=lambda shape: shape.__name__)


def _operation(endpoint: AnyEndpoint) -> Json:
    says: Json = {
        "operationId": _id(endpoint.method, endpoint.path),
        "summary": endpoint.summary,
        "description": f"For a token of a {' or '.join(sorted(endpoint.roles))}." if endpoint.roles else "For anybody.",
        "tags": [endpoint.path.split("/")[2]],
        "parameters": [*_in_path(endpoint.path), *_in_query(endpoint.query), *([_key()] if endpoint.keyed else [])],
        "responses": {str(status.value): _response(status, shape) for status, shape in endpoint.answers.items()},
    }
    if endpoint.takes_body:
        needed = any(part.is_required() for part in endpoint.body.model_fields.values())
        says["requestBody"] = {"required": needed, "content": {JSON: {"schema": _ref(endpoint.body)}}}
    if endpoint.takes_file:
        kinds = ("text/csv", _WORKBOOK, "application/x-ndjson", "application/octet-stream")
        says["requestBody"] = {"required": True, "content": {one: {"schema": {}} for one in kinds}}
    if endpoint.roles == ANYBODY:
        says["security"] = []
    everywhere = (
        _EVERYWHERE if endpoint.roles else {one: why for one, why in _EVERYWHERE.items() if one not in _AUTHENTICATION}
    )
    refusals = everywhere | (_WITH_BODY if endpoint.takes_body or endpoint.takes_file else {}) | {
        status: (_EVERYWHERE | _SOMEWHERE)[status] for status in endpoint.refuses
    }  # fmt: skip
    return says | {"responses": says["responses"] | _refusals(refusals)}


def _id(method: str, path: str) -> str:
    words = [word.strip("{}") for word in path.replace("-", "_").removeprefix("/api").split("/")[1:]]
    return "_".join([method.lower(), *words])


def _response(status: HTTPStatus, shape: type[BaseModel] | str) -> Json:
    content = {shape: {"schema": {"type": "string"}}} if isinstance(shape, str) else {JSON: {"schema": _ref(shape)}}
    return {"description": _SOMEWHERE[status], "content": content}


def _refusals(reasons: Mapping[HTTPStatus, str]) -> Json:
    content = {JSON: {"schema": _ref(answers.ErrorResponse)}}
    return {str(status.value): {"description": why, "content": content} for status, why in sorted(reasons.items())}


def _ref(shape: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=shape.__name__)}


def _in_path(path: str) -> list[Json]:
    names = [word.strip("{}") for word in path.split("/") if word.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(shape: type[BaseModel]) -> list[Json]:
    schema = shape.model_json_schema(by_alias=True)
    needed = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in needed,
            "description": part.pop("description", ""),
            "schema": _without_null(part),
        }
        for name, part in schema.get("properties", {}).items()
    ]


def _without_null(part: Json) -> Json:
    """Leave out null, which a query cannot say, and what is not said at all."""
    shapes = [one for one in part.get("anyOf", []) if one != {"type": "null"}]
    rest = {name: value for name, value in part.items() if name not in ("anyOf", "title") and value is not None}
    return rest | shapes[0] if len(shapes) == 1 else rest | ({"anyOf": shapes} if shapes else {})


def _key() -> Json:
    return {
        "name": KEY,
        "in": "header",
        "required": False,
        "description": "Chosen by the caller: one key makes one payout, however often it is sent. "
        "Tokens that were made by this version or a later one need it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
    }


def _itself() -> Json:
    return {
        "operationId": "get_openapi",
        "summary": "This document.",
        "tags": ["openapi.json"],
        "security": [],
        "responses": {
            "200": {"description": "This document.", "content": {JSON: {"schema": {"type": "object"}}}},
            **_refusals({status: _EVERYWHERE[status] for status in _OPEN}),
        },
    }


def _event(kind: WebhookEventKind) -> Json:
    """Describe what a platform hears, which its endpoint answers with any 2xx."""
    parts: Json = {name: {"type": "string", "description": means} for name, means in kind.data.items()}
    parts["version"]["type"] = "integer"
    shape = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": kind.type},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": {"type": "object", "required": [*kind.data], "properties": parts},
        },
    }
    headers = {
        "webhook-id": "The same in every delivery of an event.",
        "webhook-timestamp": "When it was sent, in seconds.",
        "webhook-signature": "One for each live secret, as the Standard Webhooks specification has them.",
    }
    return {
        "operationId": kind.type.replace(".", "_"),
        "summary": kind.means,
        "tags": ["events"],
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": means, "schema": {"type": "string"}}
            for name, means in headers.items()
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": shape}}},
        "responses": {"2XX": {"description": "Received; anything else is sent again, for about a day."}},
    }


def _delivery(source: str, path: str) -> Json:
    refused = _EVERYWHERE | _WITH_BODY | {HTTPStatus.UNAUTHORIZED: "It does not prove who sent it."}
    del refused[HTTPStatus.FORBIDDEN]
    received = {"type": "object", "properties": {"received": {"const": True}}, "required": ["received"]}
    return {
        "operationId": _id("post", path),
        "summary": f"For {source} alone: news, which is read back from there before anything is decided on it.",
        "tags": ["webhooks"],
        "security": [],
        "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "Received.", "content": {JSON: {"schema": received}}},
            **_refusals(refused),
        },
    }
