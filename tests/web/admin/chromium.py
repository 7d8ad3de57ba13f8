"""A real Chromium: its pages must say nothing on the console, ask no other host, and be usable by everybody."""

import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from payflow.store.registers.tokens import Role
from tests.web.admin.visitor import Served

EXECUTABLE = "/usr/bin/chromium"
WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


@dataclass
class Chromium:
    """One browser, with a window of his own for everybody who is named."""

    front: Served
    browser: Browser
    troubles: list[str] = field(default_factory=list)
    """What the consoles said, and what was asked of other hosts."""
    contexts: list[BrowserContext] = field(default_factory=list)

    async def window(
        self, width: int = 1280, scheme: Literal["light", "dark"] = "light", *, script: bool = True
    ) -> Page:
        """Open a window that nobody has used."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        context.set_default_timeout(30_000)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", self._see)
        return page

    async def signed_in(self, name: str, role: Role, **how: Any) -> Page:
        """Open a window in which somebody has signed in at the dashboard."""
        page = await self.window(**how)
        await self.sign_in(page, await self.front.token(role, name=name))
        return page

    async def sign_in(self, page: Page, secret: str, place: str = "/admin") -> None:
        """Sign in by typing, as people do."""
        await page.goto(self.front.address + place)
        await page.get_by_label("Your token").fill(secret)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Sign out").wait_for()

    async def see(self, page: Page, path: str) -> None:
        """Open a page of the dashboard."""
        await page.goto(f"{self.front.address}/admin{path}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{message.type}: {message.text}")

    def _see(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.front.address).netloc:
            self.troubles.append(f"asked {request.url}")


async def flaws(page: Page) -> list[str]:
    """List what would keep somebody from using a page, wide and narrow, light and dark: by axe, and by its width."""
    found = []
    await page.evaluate(Axe().axe_script)
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            # In the dark only the colours are others.
            rules = "" if scheme == "light" else ", runOnly: ['color-contrast']"
            told = await page.evaluate(f"axe.run(document, {{resultTypes: ['violations']{rules}}})")
            found += [
                f"{width} {scheme} {one['id']}: {one['nodes'][0]['html'][:160]} ({len(one['nodes'])})"
                for one in told["violations"]
            ]
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [f"{width}: {wide} px too wide"] if wide > 0 else []
    return found


@contextmanager
def started() -> Iterator[str]:
    """Start a Chromium that several tests may use, and give the address at which it is steered."""
    with TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        words = [EXECUTABLE, "--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0"]
        # Not by a pipe: it talks as long as it lives, and would stand still once a pipe that nobody reads is full.
        with (Path(folder) / "said").open("w+") as said:
            process = subprocess.Popen([*words, f"--user-data-dir={folder}/user"], stderr=said)
            try:
                yield _listens_at(process, Path(said.name))
            finally:
                process.terminate()
                process.wait()


def _listens_at(process: "subprocess.Popen[bytes]", said: Path) -> str:
    while process.poll() is None:
        for line in said.read_text().splitlines(keepends=True):
            if line.startswith("DevTools listening on ") and line.endswith("\n"):
                return line.rpartition(" ")[2].strip()
        time.sleep(0.02)
    raise AssertionError(f"Chromium did not start: {said.read_text()}")


@asynccontextmanager
async def chromium(front: Served, address: str, kind: type[Chromium] = Chromium) -> AsyncIterator[Chromium]:
    """Use it for one test; at its end nothing may have gone wrong in it."""
    async with async_playwright() as playwright:
        opened = kind(front, await playwright.chromium.connect_over_cdp(address))
        try:
            yield opened
            assert opened.troubles == [], opened.troubles
        finally:
            for context in opened.contexts:
                await context.close()
