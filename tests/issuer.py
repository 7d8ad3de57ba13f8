"""An identity provider that we did not write (npm `oidc-provider`), as a process; and people who sign in there.

`issuer.mjs` is the process: whoever is named to it may sign in, with any password.
"""

import html
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from yarl import URL

from adapters.oidc.client import IdentityProvider
from adapters.oidc.wire import OidcClient

ROOT = Path(__file__).parents[1]
PROVIDER, FOLDER = ROOT / "tests/issuer.mjs", ROOT / ".tools/npm"
US, SECRET, OTHERS = "payflow", "a secret of thirty-two letters at least", "another-client"

Account = Mapping[str, Any]


@dataclass
class IssuerProcess:
    """The provider, and what was told to it."""

    url: str
    session: aiohttp.ClientSession
    accounts: dict[str, Account] = field(default_factory=dict)

    async def set_up(self, *backs: str, rotate: bool = False) -> None:
        """Tell it who there is, and where people may be led back to; it may take new keys, and drop the old ones."""
        said: dict[str, Any] = {"accounts": self.accounts, "rotate": rotate}
        if backs:
            said["clients"] = [
                {"client_id": name, "client_secret": SECRET, "redirect_uris": backs} for name in (US, OTHERS)
            ]
        async with self.session.post(f"{self.url}/control", json=said) as answer:
            assert answer.status == 200

    def adds(self, name: str, *groups: str, **claims: object) -> None:
        """Let somebody be known there."""
        email = {"email": f"{name}@shop.example", "email_verified": True}
        self.accounts[name] = email | {"groups": groups} | claims

    def client(self, **changes: Any) -> OidcClient:
        """Who we are to it."""
        return OidcClient(**({"issuer": self.url, "id": US, "secret": SECRET} | changes))

    def provider(self, session: aiohttp.ClientSession, **changes: Any) -> IdentityProvider:
        """Make what asks it."""
        return IdentityProvider(session, self.client(**changes))


@contextmanager
def running() -> Iterator[str]:
    """Run it, and give its address."""
    if not (FOLDER / "node_modules/oidc-provider").exists():
        raise AssertionError("There is no identity provider to sign in at: run `make .tools/npm/.ready`.")
    pipe, words = subprocess.PIPE, ["node", str(PROVIDER), str(FOLDER), "0"]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        # It ends with its standard input, whatever becomes of us.
        yield f"http://127.0.0.1:{process.stdout.readline().rpartition(' ')[2].strip()}"


class Signer:
    """Somebody's browser at the provider: it remembers who is signed in there."""

    def __init__(self) -> None:
        self._cookies = aiohttp.CookieJar(unsafe=True)

    async def answers(self, url: str, name: str) -> dict[str, str]:
        """Go where one was sent, sign in if one is asked to, and give what the way back brings."""
        async with aiohttp.ClientSession(cookie_jar=self._cookies) as session:
            target, form = URL(url, encoded=True), None
            for _ in range(10):
                method = "POST" if form else "GET"
                async with session.request(method, target, data=form, allow_redirects=False) as answer:
                    if answer.status in (302, 303):
                        target, form = target.join(URL(answer.headers["Location"], encoded=True)), None
                        if target.host == "localhost":
                            return {name: value[0] for name, value in parse_qs(urlsplit(str(target)).query).items()}
                        continue
                    page = await answer.text()
                assert answer.status == 200, page
                (action, *_) = re.findall(r'<form[^>]*action="([^"]*)"', page)
                target = target.join(URL(html.unescape(action), encoded=True))
                form = {"prompt": "login", "login": name, "password": "any"}
        raise AssertionError("The way there has no end.")
