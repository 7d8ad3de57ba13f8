"""A real Prometheus, on loopback, with our rules."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.deploy.rules import PROMETHEUS
from tests.servers import free_port
from tests.waiting import wait_until


@dataclass
class Prometheus:
    """A Prometheus that scrapes."""

    address: str
    session: aiohttp.ClientSession

    async def api(self, path: str, **query: str) -> Any:  # noqa: ANN401  (each place has its own answer)
        """Ask its API."""
        async with self.session.get(f"{self.address}/api/v1/{path}", params=query) as answer:
            told = await answer.json()
            assert told["status"] == "success", told
            return told["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask what an expression is now."""
        result: list[dict[str, Any]] = (await self.api("query", query=expression))["result"]
        return result

    async def ready(self) -> bool:
        """Whether it answers."""
        try:
            async with self.session.get(f"{self.address}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def scraping(folder: Path, targets: Sequence[str]) -> AsyncIterator[Prometheus]:
    """Run a Prometheus in a folder, with the configuration that ships but at a quick pace, on these targets."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on this machine")
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [one.removeprefix("http://") for one in targets]}]
    del config["alerting"]
    settings = folder / "prometheus.yml"
    settings.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            *(f"--config.file={settings}", f"--storage.tsdb.path={folder}/data"),
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            server = Prometheus(f"http://{address}", session)
            await wait_until(server.ready, "Prometheus answers")
            yield server
    finally:
        process.terminate()
        await process.wait()
