"""A real Prometheus scrapes a real run: no scrape fails, every rule is evaluated, every panel shows something."""

from pathlib import Path

import pytest

from tests.deploy.prometheus import Prometheus, scraping
from tests.deploy.rules import alerts, named, panels, recorded
from tests.deploy.run import Run, a_run, figures_of_lanes
from tests.waiting import wait_until


async def a_day(run: Run) -> None:
    """One payout is paid, one fails, one hangs, one is too large for our wallet; a pause, and a forged webhook."""
    await run.says("shop", "PUT", "/api/providers/ann", {"verified": True})
    await run.says("shop", "POST", "/api/earnings", {"id": "job", "owner": "ann", "amount": "90000", "currency": "NGN"})
    paid = await run.ask("10000", "0123456789")
    failed = await run.ask("11000", "0100000006")
    hangs = await run.ask("12000", "0100000010")
    short = await run.ask("13000", "0100000022")
    await run.until(paid, "paid")
    await run.until(hangs, "processing")
    await run.command("pause", "machine:pool", "--why", "not used yet")
    await run.command("ledger")
    await run.forged_webhook()
    await run.until(failed, "failed")
    await run.until(short, "approved")


async def has_data(prometheus: Prometheus, expression: str) -> None:
    """Wait until a query gives something; a rate needs two scrapes."""

    async def there() -> bool:
        return bool(await prometheus.query(expression))

    await wait_until(there, f"there is data for: {expression}")


async def no_rule_failed(prometheus: Prometheus) -> None:
    """Every rule was evaluated, and each time without an error."""
    for group in (await prometheus.api("rules"))["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", (rule["name"], rule.get("lastError"))


async def no_scrape_failed(prometheus: Prometheus, targets: int) -> None:
    """Every process could be scraped."""
    scraped = (await prometheus.api("targets"))["activeTargets"]
    assert [(target["health"], target["lastError"]) for target in scraped] == [("up", "")] * targets


@pytest.mark.timeout(180)
async def test_what_prometheus_scrapes_feeds_every_rule_and_every_panel(tmp_path: Path) -> None:
    async with (
        a_run(tmp_path) as run,
        figures_of_lanes() as lanes,
        scraping(tmp_path, [run.api.address, run.worker.address, lanes]) as prometheus,
    ):
        await a_day(run)
        for panel in panels():
            await has_data(prometheus, panel.query)
        for expression in [*recorded(), *(name for alert in alerts().values() for name in named(alert["expr"]))]:
            await has_data(prometheus, expression)
        await no_rule_failed(prometheus)
        await no_scrape_failed(prometheus, 3)
