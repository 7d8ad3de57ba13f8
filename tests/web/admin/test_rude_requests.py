"""Nobody who is not known costs more than a refusal: no 5xx, no traceback, no codec of their choice over the body."""

import asyncio
import gzip

import pytest
from yarl import URL

from tests.web.admin.visitor import Visitor
from tests.web.api.front import Front

FORM = "application/x-www-form-urlencoded"
SIGN_IN = "/admin/sign-in"


async def status_of(front: Front, path: str, headers: list[bytes], body: bytes = b"") -> int:
    """Send bytes as they are, which no client library would, and read the status of the answer."""
    at = URL(front.address)
    reader, writer = await asyncio.open_connection(at.host, at.port)
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: payflow", b"Content-Length: %d" % len(body), *headers]
    writer.write(b"\r\n".join([*lines, b"Connection: close", b"", body]))
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


def of_type(value: str) -> bytes:
    return f"Content-Type: {value}".encode()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([of_type(f"{FORM}; charset=nonsense")], b"token=x", 401),
        ([of_type(f"{FORM}; charset=zlib")], b"token=x", 401),
        ([of_type(f"{FORM}; charset=punycode")], b"token=" + b"a-" * 30_000, 401),
        ([of_type(FORM)], b"token=\xff", 400),
        ([of_type(FORM)], b"token=%ff", 400),
        ([of_type(FORM)], b"a&" * 2_000, 400),
        ([of_type("multipart/form-data")], b"token=x", 415),
        ([of_type("multipart/form-data; boundary=x")], b"--x\r\ncut", 415),
        ([of_type(FORM), b"Content-Encoding: gzip"], b"no gzip", 415),
        ([of_type(FORM), b"Content-Encoding: gzip"], gzip.compress(b"token=x"), 415),
        ([of_type(FORM), b"Origin: http://[x"], b"token=x", 403),
        ([of_type(FORM), b"Referer: http://[x"], b"token=x", 401),
    ],
    ids=[
        "no such charset", "a codec that is none of text", "a slow codec", "no UTF-8", "no UTF-8 in escapes",
        "too many fields",
        "multipart without a boundary", "multipart that was cut", "no gzip", "gzip", "an origin that is no address",
        "a referer that is no address",
    ],
)  # fmt: skip
async def test_a_rude_sign_in_is_refused_as_what_it_is(
    flagged: Front, logged: list[dict[str, object]], headers: list[bytes], body: bytes, status: int
) -> None:
    assert await status_of(flagged, SIGN_IN, headers, body) == status
    assert [line for line in logged if line["log_level"] == "error" or "exc_info" in line] == []


@pytest.mark.parametrize("path", [SIGN_IN, "/nowhere"])
@pytest.mark.parametrize(
    ("expected", "status"),
    [(b"\xe4100-continue", 417), (b"\xff", 417), (b"a cake", 417), (b"", None), (b"100-Continue", 100)],
)
async def test_what_is_expected_of_us_breaks_nothing_before_any_handler(
    flagged: Front, caplog: pytest.LogCaptureFixture, path: str, expected: bytes, status: int | None
) -> None:
    usual = 401 if path == SIGN_IN else 404
    found = await status_of(flagged, path, [of_type(FORM), b"Expect: " + expected], b"token=x")
    assert found == (usual if status is None else status)
    assert caplog.records == []


async def test_a_form_is_read_by_no_codec_that_its_sender_names(
    visitor: Visitor, flagged: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    monkeypatch.setattr("encodings.punycode.getregentry", lambda: named.append("punycode"))
    await status_of(flagged, SIGN_IN, [of_type(f"{FORM}; charset=punycode")], b"token=x")
    assert named == []
    await visitor.come("rita")


async def test_whoever_signs_in_too_often_is_slowed_down_before_their_form_is_read(
    flagged: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_left(*_: object) -> tuple[int, int]:
        return 0, 1000

    monkeypatch.setattr(flagged.store.records, "rate_tokens", none_left)
    assert await status_of(flagged, SIGN_IN, [of_type(FORM)], b"token=\xff") == 429
