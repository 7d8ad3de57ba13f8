"""The document says what the API does: every place, every answer; and a fuzzer that believes it finds nothing else."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from aiohttp import web

from payflow.store.tokens import Role
from payflow.web import api
from tests.web.api.front import ANN, SHOP, Front

DOCUMENT = "/api/openapi.json"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,missing_required_header,unsupported_method,ignored_auth"
)


async def document(front: Front) -> dict[str, Any]:
    answer = await front.call("GET", DOCUMENT)
    assert answer.status == 200
    return dict(answer.body)


async def test_every_route_is_in_the_document_and_every_place_of_the_document_is_a_route(front: Front) -> None:
    served = {
        (route.method, route.path)
        for route in api.routes(front.desk, front.settings, front.metrics, front.hooks)
        if isinstance(route, web.RouteDef)
    }
    told = {(method.upper(), path) for path, methods in (await document(front))["paths"].items() for method in methods}
    assert served == told
    assert len(told) == len(api.routes(front.desk, front.settings, front.metrics, front.hooks))


async def test_every_reference_in_the_document_leads_somewhere_and_every_operation_has_a_name_of_its_own(
    front: Front,
) -> None:
    told = await document(front)
    references = set(re.findall(r'"\$ref": "#/components/schemas/([A-Za-z]+)"', json.dumps(told)))
    assert references
    assert references <= set(told["components"]["schemas"])
    names = Counter(one["operationId"] for methods in told["paths"].values() for one in methods.values())
    assert [name for name, times in names.items() if times > 1] == []


async def test_the_document_needs_no_token(front: Front) -> None:
    assert (await document(front))["openapi"] == "3.1.0"


def config(told: dict[str, Any], tokens: dict[str, str]) -> str:
    """Tell the fuzzer which token to show where: the first of the roles that the document names."""
    lines = []
    for methods in told["paths"].values():
        for one in methods.values():
            role = next((role for role in tokens if role in one.get("description", "")), None)
            if role is not None:
                lines += [
                    "[[operations]]",
                    f'include-operation-id = "{one["operationId"]}"',
                    f'headers = {{ Authorization = "Bearer {tokens[role]}" }}',
                ]
    return "\n".join(lines)


async def test_a_fuzzer_finds_no_fault_of_ours_and_no_answer_that_is_not_documented(
    front: Front, tmp_path: Path
) -> None:
    await front.earn("100000")
    made = [(await front.requested("500"))["id"] for _ in range(3)]
    tokens = {
        "provider": await front.token(Role.PROVIDER, ANN),
        "platform": await front.token(Role.PLATFORM, SHOP),
        "reviewer": await front.token(Role.REVIEWER, name="rita"),
        "operator": await front.token(Role.OPERATOR, name="otto"),
    }
    (tmp_path / "schemathesis.toml").write_text(config(await document(front), tokens))
    program = which("schemathesis", path=str(Path(pytest.__file__).parents[4] / "bin")) or "schemathesis"
    async with front.working():
        process = await asyncio.create_subprocess_exec(
            program, "--config-file", str(tmp_path / "schemathesis.toml"), "run", front.address + DOCUMENT,
            *("--checks", CHECKS, "--max-examples", "15", "--workers", "2", "--phases", "examples,coverage,fuzzing"),
            *("--generation-database", "none", "--no-color", "--no-shrink", "--request-timeout", "10"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert made
