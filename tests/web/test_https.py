"""Behind https: browsers come by it alone, cookies are ours alone, and pages have one name; whom to tell of a hole."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from types import SimpleNamespace

import aiohttp
import pytest

from adapters.sandbox.github.wallet import StandInWallet
from machines.core.errors import BadSettings
from payflow.config import Settings, load
from payflow.desk.readiness import Readiness
from payflow.store.registers.tokens import Role
from payflow.web import routes as api
from payflow.web.http import app
from payflow.web.http.probes import Probes
from tests.chain import LANE
from tests.web.api.front import Front, open_front

SAID = {"X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("trusted", "headers", "told"),
    [
        ("127.0.0.0/8", SAID, app.HSTS),
        ("127.0.0.0/8", {}, None),
        ("127.0.0.0/8", {"X-Forwarded-Proto": "http"}, None),
        ("10.0.0.0/8", SAID, None),
        ("", SAID, None),
    ],
)
async def test_only_who_came_by_https_is_bound_to_it(trusted: str, headers: dict[str, str], told: str | None) -> None:
    proxies = [ip_network(trusted)] if trusted else []
    async with (
        app.listening(app.application(), "127.0.0.1", 0, proxies) as address,
        aiohttp.ClientSession() as session,
        session.get(address, headers=headers) as answer,
    ):
        assert answer.headers.get("Strict-Transport-Security") == told


async def signed_in(front: Front, **headers: str) -> aiohttp.ClientResponse:
    """Sign in at the dashboard, and give the answer with its cookie."""
    token = await front.token(Role.VIEWER, name="vic")
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{front.address}/admin/sign-in", data={"token": token}, headers=headers, allow_redirects=False
        ) as answer,
    ):
        return answer


async def at(front: Front | SimpleNamespace, path: str, **headers: str) -> tuple[int, str]:
    """Ask for a page."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(front.address + path, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status, await answer.text()


async def test_behind_https_a_cookie_that_another_site_of_the_domain_planted_opens_nothing(settings: Settings) -> None:
    """A browser takes `__Host-` from the very host alone, over https; a plain name any sibling can set for us."""
    async with open_front(settings) as front:
        answer = await signed_in(front, X_Forwarded_Proto="https")
        (cookie,) = answer.cookies.values()
        assert (cookie.key, cookie["path"], cookie["secure"]) == ("__Host-payflow_admin", "/", True)
        told = f"{cookie.key}={cookie.value}"
        assert (await at(front, "/admin", X_Forwarded_Proto="https", Cookie=told))[0] == 200
        planted = f"payflow_admin={cookie.value}"
        assert (await at(front, "/admin", X_Forwarded_Proto="https", Cookie=planted))[0] == 303
        answer = await signed_in(front)
        (cookie,) = answer.cookies.values()
        assert (cookie.key, cookie["path"], cookie["secure"]) == ("payflow_admin", "/admin", "")


@pytest.mark.parametrize("path", ["/admin", "/admin/sign-in", "/portal", "/portal/sign-in"])
async def test_pages_answer_to_their_own_name(settings: Settings, path: str) -> None:
    """And to addresses, by which no stranger's name leads here; programs call the API by whatever name they have."""
    async with open_front(settings, public_url="https://pay.example") as front:
        for host in ("pay.example", "127.0.0.1:8080", "localhost:8080", "[::1]:8080"):
            assert (await at(front, path, Host=host))[0] in (200, 303)
        for host in (
            "evil.example",
            "pay.example.evil.example",
            "pay.example:81",
            "localhost.evil.example",
            "x@pay.example",
            "[x",
        ):
            status, text = await at(front, path, Host=host)
            assert (status, "evil.example" in text) == (421, False), host
        assert (await at(front, "/api/openapi.json", Host="payflow-api:8080"))[0] == 200


async def test_with_a_list_of_names_nothing_answers_to_another(settings: Settings) -> None:
    """Neither the API nor the probes nor a place that there is not; before anything is read."""
    named = load({"PAYFLOW_PUBLIC_URL": "https://pay.example", "PAYFLOW_HOSTS": "payflow-api:8080, hooks.example"})
    async with open_front(settings) as front:
        probes = Probes(front.store, front.metrics, Readiness(front.store)).routes()
        served = app.application(probes, api.routes(front.desk, front.settings, front.metrics), names=named.names)
        async with app.listening(served, "127.0.0.1", 0) as address:
            there = SimpleNamespace(session=front.session, address=address)
            for path in ("/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/payouts", "/nothing"):
                for host in ("pay.example", "PAY.example", "payflow-api:8080", "hooks.example", "10.2.3.4:8080"):
                    assert (await at(there, path, Host=host))[0] != 421, (path, host)
                for host in ("evil.example", "payflow-api", "hooks.example:81", "hooks.example.", "[x"):
                    status, text = await at(there, path, Host=host)
                    assert (status, "evil" in text, "PAYFLOW_HOSTS" in text) == (421, False, True), (path, host)


def test_without_a_list_of_names_everybody_may_know_us_as_they_do() -> None:
    assert load({"PAYFLOW_PUBLIC_URL": "https://pay.example"}).names == frozenset()
    assert "bounty.example" in load({"PAYFLOW_HOSTS": "x", "PAYFLOW_BOUNTY_SERVER": "https://bounty.example"}).names
    with pytest.raises(BadSettings, match="PAYFLOW_HOSTS"):
        load({"PAYFLOW_HOSTS": "https://pay.example"})


async def test_whom_to_tell_of_a_hole(settings: Settings) -> None:
    """As RFC 9116 has it, never out of date; without a contact there is no such page."""
    place = "/.well-known/security.txt"
    async with open_front(settings) as front:
        assert (await at(front, place))[0] == 404
    contact = "mailto:security@pay.example"
    async with open_front(settings, security_contact=contact, public_url="https://pay.example") as front:
        status, text = await at(front, place)
        said = dict(line.split(": ", 1) for line in text.splitlines())
        assert (status, said["Contact"]) == (200, contact)
        assert said["Canonical"] == f"https://pay.example{place}"
        left = datetime.fromisoformat(said["Expires"]) - datetime.now(UTC)
        assert timedelta(days=30) < left < timedelta(days=365)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_the_sandbox_s_wallet_signs_nothing_for_a_page_of_another_site(
    headers: dict[str, str], status: int
) -> None:
    """What a browser sends from there without asking first is plain text or a form."""
    wallet = StandInWallet("http://127.0.0.1:9", LANE.key)
    body = b'{"method": "personal_sign", "params": ["0x00"]}'
    async with (
        app.listening(app.application(wallet.routes()), "127.0.0.1", 0) as address,
        aiohttp.ClientSession() as session,
        session.post(f"{address}/_wallet", data=body, headers=headers) as answer,
    ):
        assert answer.status == status
