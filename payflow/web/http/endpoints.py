"""One place of the API: what it takes, who may ask, what it answers. The routes and the document are made of these."""

import asyncio
import csv
import io
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from multidict import MultiDict, MultiMapping
from pydantic import BaseModel

from payflow.desk.payout_files.checking import MOST_BYTES
from payflow.desk.person import Caller
from payflow.store.registers.tokens import Role
from payflow.telemetry.metrics import Metrics
from payflow.web.http import problems
from payflow.web.http.payloads import NoBody, NoQuery, Query, RequestBody, read_body, read_query
from payflow.web.http.problems import Problem, answered

KEY = "Idempotency-Key"
LONGEST_KEY = 255
BODY_WITHIN_S = 15.0
JSON, CSV, FORM = "application/json", "text/csv", "application/x-www-form-urlencoded"
MOST_FIELDS = 1000
FILE_WITHIN_S, FILE_PIECE = 120.0, 2**16
_UPLOADS = asyncio.Semaphore(2)
"""Checking one takes a core for a while."""

_KEY = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
_WITH_BODY = frozenset({hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH})

ANYBODY: frozenset[Role] = frozenset()
"""For whom an endpoint is that asks for no token."""

B = TypeVar("B", bound=RequestBody)
Q = TypeVar("Q", bound=Query)


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that somebody sent, on our disk for as long as their request is served."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class EndpointCall(Generic[B, Q]):
    """One request that may be served: checked, and by whom."""

    admitted: Caller | None
    """Who asks; None where nobody was asked who they are."""
    path: Mapping[str, str]
    body: B
    query: Q
    key: str
    """The idempotency key; empty without one."""
    address: str = ""
    """Where it came from."""
    sent: "SentFile | None" = None
    """The file that came as the body."""

    @property
    def file(self) -> Path:
        """Where that file is, for as long as the request is served."""
        if self.sent is None:
            raise TypeError("No file is taken here.")
        return self.sent.path

    @property
    def caller(self) -> Caller:
        """Who asks, where that was found out."""
        if self.admitted is None:
            raise TypeError("This is for anybody: nobody was asked who they are.")
        return self.admitted


@dataclass(frozen=True, slots=True)
class JsonReply:
    """What a request is answered."""

    body: BaseModel
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class CsvReply:
    """A table for a spreadsheet."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[str]]


@dataclass(frozen=True, slots=True)
class FileReply:
    """A file, byte for byte."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ApiEndpoint(Generic[B, Q]):
    """One place of the API."""

    method: str
    path: str
    summary: str
    roles: frozenset[Role]
    run: Callable[[EndpointCall[B, Q]], Awaitable[JsonReply | CsvReply | FileReply]]
    answers: Mapping[HTTPStatus, type[BaseModel] | str]
    """The shape of each good answer, or a content type where it is no JSON."""
    body: type[B] = NoBody  # type: ignore[assignment]
    query: type[Q] = NoQuery  # type: ignore[assignment]
    refuses: tuple[HTTPStatus, ...] = ()
    """What it may refuse beyond what every place may."""
    keyed: bool = field(default=False)
    """Whether it takes an idempotency key."""
    takes_file: bool = False
    """Whether the body is a file, byte for byte."""

    @property
    def takes_body(self) -> bool:
        """Whether anything may be sent with it."""
        return self.method in _WITH_BODY and self.body is not NoBody


AnyEndpoint = ApiEndpoint[Any, Any]


class Admission(Protocol):
    """Tells who asks."""

    async def admit(self, request: web.Request, roles: Collection[Role]) -> Caller:
        """Tell who asks, or refuse them."""

    async def rate_limit(self, request: web.Request) -> None:
        """Count a request of somebody who need not say who they are."""

    def address(self, request: web.Request) -> str:
        """Tell the address of a client."""


def route(endpoint: AnyEndpoint, admission: Admission, metrics: Metrics) -> web.RouteDef:
    """Serve an endpoint."""

    async def run(request: web.Request) -> web.StreamResponse:
        call = await _call(endpoint, admission, request)
        if not endpoint.takes_file:
            return written(await endpoint.run(call))
        async with received_file(request.content.read, request) as sent:
            return written(await endpoint.run(replace(call, sent=sent)))

    async def serve(request: web.Request) -> web.StreamResponse:
        answer = await answered(run, request)
        metrics.requests.labels(f"{endpoint.method} {endpoint.path}", str(answer.status)).inc()
        return answer

    return web.route(endpoint.method, endpoint.path, serve)


async def _call(endpoint: AnyEndpoint, admission: Admission, request: web.Request) -> EndpointCall[Any, Any]:
    caller = None
    if endpoint.roles == ANYBODY:
        await admission.rate_limit(request)
    else:
        caller = await admission.admit(request, endpoint.roles)
    query = read_query(endpoint.query, request.query)
    key = _key(request) if endpoint.keyed else ""
    raw = await received(request, of_type=JSON) if endpoint.takes_body else b""
    body = read_body(endpoint.body, raw)
    return EndpointCall(caller, request.match_info, body, query, key, admission.address(request))


def written(reply: JsonReply | CsvReply | FileReply) -> web.Response:
    """Write an answer."""
    if isinstance(reply, FileReply):
        named = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{reply.name}"'}
        return web.Response(body=reply.content, content_type=reply.content_type, headers=named)
    if isinstance(reply, CsvReply):
        text = io.StringIO()
        csv.writer(text).writerows([reply.columns, *reply.rows])
        named = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{reply.name}"'}
        return web.Response(text=text.getvalue(), content_type=CSV, charset="utf-8", headers=named)
    return web.Response(text=reply.body.model_dump_json(), content_type=JSON, status=reply.status)


def _key(request: web.Request) -> str:
    given = request.headers.getall(KEY, [])
    if not given:
        return ""
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Problem(
            problems.BAD_FIELD, f"{KEY}: one key of 1 to {LONGEST_KEY} visible ASCII characters, no spaces.", field=KEY
        )
    return given[0]


async def received_form(request: web.Request) -> MultiMapping[str]:
    """Read a form as UTF-8, whatever charset the caller names: some codecs cost seconds for a few kilobytes."""
    raw = await received(request, of_type=FORM)
    try:
        return MultiDict(parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        raise Problem(problems.BAD_REQUEST, f"A form is UTF-8 text of at most {MOST_FIELDS} fields.") from None


@asynccontextmanager
async def received_file(
    read: Callable[[int], Awaitable[bytes]], request: web.Request, name: str = ""
) -> AsyncIterator[SentFile]:
    """Take a file in, no larger and no slower than it may be, and let go of it afterwards; two at a time."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise Problem(problems.WRONG_TYPE, "Send the file as it is, not compressed.")
    if _UPLOADS.locked():
        raise Problem(problems.TOO_MANY, "Other files are being checked: send it again in a minute.")
    async with _UPLOADS:
        with tempfile.NamedTemporaryFile(prefix="payflow-") as taken:
            size = 0
            try:
                async with asyncio.timeout(FILE_WITHIN_S):
                    while piece := await read(FILE_PIECE):
                        size += len(piece)
                        if size > MOST_BYTES:
                            raise Problem(problems.TOO_LARGE, f"A file has at most {MOST_BYTES // 2**20} MB: split it.")
                        await asyncio.to_thread(taken.write, piece)
            except TimeoutError:
                raise Problem(problems.TOO_SLOW, f"The file did not come within {FILE_WITHIN_S:g} s.") from None
            except (ConnectionError, web.RequestPayloadError):
                raise Problem(problems.BAD_REQUEST, "The file was cut off.") from None
            await asyncio.to_thread(taken.flush)
            yield SentFile(Path(taken.name), name)


async def received(request: web.Request, *, of_type: str = "", most_bytes: int = 0) -> bytes:
    """Read a body that is no larger and comes no slower than it may; `most_bytes` where more than usual is taken."""
    if most_bytes:
        request = request.clone(client_max_size=most_bytes)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        raise Problem(problems.WRONG_TYPE, "Send the body as it is, not compressed.")
    named = request.body_exists and request.headers.get(hdrs.CONTENT_TYPE)
    if of_type and named and request.content_type != of_type:
        raise Problem(
            problems.WRONG_TYPE, f"Send {of_type}: the header says {hdrs.CONTENT_TYPE}: {request.content_type}."
        )
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        raise Problem(problems.TOO_SLOW, f"The body did not come within {BODY_WITHIN_S:g} s.") from None
    except (ConnectionError, web.RequestPayloadError):
        raise Problem(problems.BAD_REQUEST, "The body was cut off, or its pieces do not fit together.") from None
