"""The document says what the API does: every place, every answer; and a fuzzer that believes it finds nothing else."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from machines.core.clock import Millis
from machines.core.ids import RecordId
from machines.payout.reasons import REASONS
from machines.payout.risk import ProviderHistory
from payflow.desk.webhooks.events import KINDS, news_of
from payflow.store.outbox import Post
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.api.openapi import document as written
from tests.adapters.notify.news import MESSAGES
from tests.web.api.front import ANN, SHOP, Front

DOCUMENT = "/api/openapi.json"
# All that it has, but one: that whatever fits the document is accepted. What fits may still be too much for a balance.
UNCHECKED = "positive_data_acceptance"
WITHIN_S = 100


async def document(front: Front) -> dict[str, Any]:
    answer = await front.call("GET", DOCUMENT)
    assert answer.status == 200
    return dict(answer.body)


async def test_every_route_is_in_the_document_and_every_place_of_the_document_is_a_route(front: Front) -> None:
    routes = api.routes(front.desk, front.settings, front.metrics, front.hooks)
    served = {(route.method, route.path) for route in routes}
    told = {(method.upper(), path) for path, methods in (await document(front))["paths"].items() for method in methods}
    assert served == told
    assert len(told) == len(routes)


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


def config(told: dict[str, Any], tokens: dict[str, str], payouts: list[str]) -> str:
    """Tell the fuzzer which token to show where, the first of the roles that the document names; and what there is."""
    lines = []
    for path, methods in told["paths"].items():
        for one in methods.values():
            role = next((role for role in tokens if role in one.get("description", "")), None)
            if role is None:
                continue
            lines += [
                "[[operations]]",
                f'include-operation-id = "{one["operationId"]}"',
                f'headers = {{ Authorization = "Bearer {tokens[role]}" }}',
            ]
            if "{id}" in path:
                known = payouts if "earnings" not in path else ["income-0"]
                lines.append(f"parameters = {{ id = {json.dumps(known)} }}")
    return "\n".join(lines)


@pytest.mark.timeout(WITHIN_S + 20)
async def test_a_fuzzer_finds_no_fault_of_ours_and_no_answer_that_is_not_documented(
    front: Front, tmp_path: Path
) -> None:
    tokens = {
        "provider": await front.token(Role.PROVIDER, ANN),
        "platform": await front.token(Role.PLATFORM, SHOP),
        "reviewer": await front.token(Role.REVIEWER, name="rita"),
        "operator": await front.token(Role.OPERATOR, name="otto"),
    }
    await front.earn("100000")
    front.known.standing_of_all = ProviderHistory()
    async with front.working():
        payouts = [(await front.requested("500"))["id"] for _ in range(8)]
        settings = tmp_path / "schemathesis.toml"
        settings.write_text(config(await document(front), tokens, payouts))
        code, said = await fuzz(front.address + DOCUMENT, settings)
    assert code == 0, said
    # Each of them was really reached: there were good answers, and not only refusals.
    answered = {
        sample.labels["place"]
        for metric in front.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "payflow_requests_total" and sample.labels["status"].startswith("2")
    }
    assert {"POST /api/payouts", "POST /api/earnings/batch", "PUT /api/provider/profile"} <= answered


async def fuzz(address: str, settings: Path) -> tuple[int | None, str]:
    """Let schemathesis loose. One worker: on Python 3.11 several meet a fault of the interpreter's in `ast`."""
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        str(program), "--config-file", str(settings), "run", address,
        *("--checks", "all", "--exclude-checks", UNCHECKED, "--max-examples", "10", "--workers", "1"),
        *("--generation-database", "none", "--no-color", "--no-shrink", "--warnings", "off"),
        cwd=settings.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()


def test_every_event_that_a_platform_hears_is_in_the_document_and_on_the_page_for_people() -> None:
    """What the machine says, the document and the page have: each event with what it means, and nothing else."""
    page = (Path(__file__).parents[3] / "deploy/operations/webhooks.md").read_text("utf-8")
    told = dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (.+) \|$", page, re.MULTILINE))
    assert told == {kind.type: kind.means for kind in KINDS.values()}
    reasons = dict(re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", page, re.MULTILINE))
    assert reasons == {one.code: one.text for one in REASONS.values()}
    events = written([])["webhooks"]
    assert {name: one["post"]["summary"] for name, one in events.items()} == told
    said = {f"payout.{body['event']}" for body in MESSAGES if "payout" in body} - {"payout.review_needed"}
    assert said == {name for name in told if name.startswith("payout.")}
    for body in MESSAGES:
        name = f"payout.{body['event']}" if "payout" in body else f"provider.{body['event']}"
        if name in events:
            data = events[name]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["data"]
            event = news_of(
                Post(
                    "payout-01-abcdefgh23456777/4/1",
                    "webhook",
                    RecordId("payout-01-abcdefgh23456777"),
                    Millis(5),
                    body,
                    0,
                )
            )
            assert set(data["required"]) == set(event["data"]), name
