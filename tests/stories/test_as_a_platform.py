"""What a platform's programmers do: a client made from our document, and the official libraries for webhooks."""

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook

from adapters.notify.platforms import WebhookSender
from machines.core.clock import SystemClock
from machines.payout.risk import ProviderHistory
from payflow.config import Settings
from payflow.desk.webhooks.deliveries import PlatformDeliveries
from payflow.store.registers.tokens import Role
from tests.adapters.notify.shop import Heard, open_shop
from tests.waiting import wait_until
from tests.web.api.front import ANN, BOUNCES, GOOD, SHOP, Front, open_front

ROOT = Path(__file__).parents[2]
PACKAGE = "made_from_our_document"
Json = dict[str, Any]


class GeneratedClient:
    """What `openapi-python-client` makes of the document, as one caller uses it."""

    def __init__(self, package: ModuleType, client: object) -> None:
        self._package = package
        self._client = client

    async def __call__(self, operation: str, *, body: Json | None = None, shape: str = "", **parts: object) -> Any:  # noqa: ANN401
        """Call an operation by its place, such as `earnings.post_earnings`; gives what it makes of the answer."""
        module = importlib.import_module(f"{PACKAGE}.api.{operation}")
        if body is not None:
            parts["body"] = getattr(self._package.models, shape).from_dict(body)
        answer = await module.asyncio_detailed(*parts.pop("path", ()), client=self._client, **parts)  # type: ignore[misc]
        assert answer.status_code in (200, 201), answer.content
        return answer.parsed


async def generated(front: Front, folder: Path) -> None:
    """Make a client out of the document that is served."""
    if find_spec("openapi_python_client") is None:
        raise AssertionError("There is nothing that makes a client: run `make .venv/bin/.ready-to-test`.")
    spec = folder / "openapi.json"
    spec.write_bytes((await front.call("GET", "/api/openapi.json")).raw)
    words = ("generate", "--path", spec, "--output-path", folder / PACKAGE, "--meta", "none")
    made = subprocess.run(  # noqa: ASYNC221  (nobody else waits)
        [sys.executable, "-m", "openapi_python_client", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # It says so for every operation or schema that it cannot make code of; what else it says is about its formatter.
    assert "WARNING parsing" not in made.stdout, made.stdout


def verified_in_node(cases: Sequence[Json]) -> list[Json]:
    folder = ROOT / ".tools/npm"
    if not (folder / "node_modules/standardwebhooks").exists():
        raise AssertionError("There is nothing that verifies webhooks in Node: run `make .tools/npm/.ready`.")
    words = ["node", str(ROOT / "tests/webhooks.mjs"), str(folder)]
    answer = subprocess.run(words, input=json.dumps(cases), capture_output=True, text=True, check=True)
    found: list[Json] = json.loads(answer.stdout)
    return found


async def test_a_platform_with_a_generated_client_and_the_official_libraries_walks_the_story_of_the_readme(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_shop() as shop,
        open_front(settings, webhooks_to_loopback=True) as front,
        aiohttp.ClientSession(auto_decompress=False) as session,
        AsyncExitStack() as stack,
    ):
        front.known.standing_of_all = ProviderHistory()
        await generated(front, tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        package = importlib.import_module(PACKAGE)

        async def client(role: Role, of: str = "", name: str = "") -> GeneratedClient:
            made = package.AuthenticatedClient(base_url=front.address, token=await front.token(role, of, name))
            return GeneratedClient(package, await stack.enter_async_context(made))

        platform, ann = await client(Role.PLATFORM, SHOP), await client(Role.PROVIDER, ANN)
        rita = await client(Role.REVIEWER, name="rita")
        sends = PlatformDeliveries(front.store, {}, WebhookSender(session, SystemClock()).send)
        async with front.working(webhook=sends.spread, delivery=sends.deliver):
            made = await platform(
                "webhook_endpoints.post_webhook_endpoints", body={"url": shop.url}, shape="WebhookEndpointGiven"
            )
            earned = {"id": "job-1", "owner": ANN, "amount": "20000", "currency": "NGN"}
            await platform("earnings.post_earnings", body=earned, shape="EarningGiven")
            contact = {"notify": ["mailto:ann@example.com"]}
            await ann("provider.put_provider_profile", body=contact, shape="ProfileGiven")
            asked = {"amount": "12500.50", "currency": "NGN", "method": "bank"}
            where = {"destination": {"bank_code": "044", "account_number": GOOD}}
            payouts = [
                await ann(
                    "provider.post_provider_payouts", body=asked | where, shape="PayoutGiven", idempotency_key="first"
                )
                for _ in range(2)
            ]
            assert payouts[0].id == payouts[1].id, "the same key gets the same answer"
            await front.in_review(payouts[0].id)
            (review,) = (await rita("reviews.get_reviews")).reviews
            seen = {"fingerprint": review.fingerprint}
            await rita("reviews.post_reviews_id_approve", path=[review.id], body=seen, shape="ApprovalGiven")
            await front.until(review.id, "COMPLETED")
            assert (await ann("provider.get_provider_payouts_id", path=[review.id])).status == "paid"
            (naira,) = [one for one in (await ann("provider.get_provider_balance")).balances if one.currency == "NGN"]
            assert (naira.available_balance, naira.paid) == ("7499.50", "12500.50")
            bounced = await front.requested("100", account=BOUNCES)
            await front.in_review(bounced["id"])
            await wait_until(lambda: len(shop.heard) >= 4, "the platform heard of both")
            before = list(shop.heard)
            rotated = await platform(
                "webhook_endpoints.post_webhook_endpoints_id_rotate", path=[made.id], body={}, shape="RotationGiven"
            )
            since = {"since": "2000-01-01T00:00:00Z"}
            again = await platform(
                "webhook_endpoints.post_webhook_endpoints_id_replay", path=[made.id], body=since, shape="ReplayGiven"
            )
            assert again.replayed == len(before)
            await wait_until(lambda: len(shop.heard) == 2 * len(before), "all of it once more")
            log = await platform("webhook_endpoints.get_webhook_endpoints_id_deliveries", path=[made.id])
            assert [one.delivered for one in log.deliveries] == [True] * len(shop.heard)
        types = [json.loads(one.raw)["type"] for one in before if json.loads(one.raw)["data"]["id"] == review.id]
        assert types == ["payout.received", "payout.approved", "payout.completed"]
        verifies(before, made.secret, rotated.secret, both=False)
        verifies(shop.heard[len(before) :], made.secret, rotated.secret, both=True)


def verifies(heard: Sequence[Heard], old: str, new: str, *, both: bool) -> None:
    """Let Python's library and Node's verify all that was heard: by the secret of then, and by the one after it."""
    for one in heard:
        assert Webhook(old).verify(one.raw, one.headers) == json.loads(one.raw)
    cases: list[Json] = [
        {"secret": secret, "headers": one.headers, "body": one.raw.decode()} for one in heard for secret in (old, new)
    ]
    found = verified_in_node(cases)
    for one, by_old, by_new in zip(heard, found[::2], found[1::2], strict=True):
        assert by_old == {"payload": json.loads(one.raw)}
        assert by_new == ({"payload": json.loads(one.raw)} if both else {"refused": "No matching signature found"})
    changed = [case | {"body": case["body"].replace("payout.", "payment.")} for case in cases]
    assert all("refused" in one for one in verified_in_node(changed))
