"""The bounty machine with GitHub, its wallets, its lane and its desk."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

import aiohttp
import anyio
import structlog
from aiohttp import web

from adapters.addresses import checksummed
from adapters.ethereum.transactions import signer_of
from adapters.ethereum.wallets.multisig import MultiSigs
from adapters.ethereum.wallets.reading import WalletReader, WalletToken
from adapters.ethereum.wallets.safe import Deployment, Safes
from adapters.github import wire
from adapters.github.client import App, GitHub
from adapters.github.sign_in import GitHubSignIn, OAuthClient
from machines.bounty.acts import BountyActs
from machines.bounty.comment import CommentWriter
from machines.bounty.data import BountyPolicy
from machines.bounty.react import bounty
from machines.bounty.react_repository import repository as repository_machine
from machines.core.chain import Address
from machines.core.clock import DAY, HOUR
from machines.core.errors import BadSettings, PayflowError
from machines.core.machine import AnyMachine
from machines.core.ports import Rail
from machines.core.saved_address import CoolOff
from machines.core.wallets import Wallets
from machines.transaction.ports import Lane
from payflow.config import Settings, live_secrets
from payflow.desk.bounties.addresses import StoredAddresses
from payflow.desk.bounties.bounties import BountyDesk, sweep_forge
from payflow.desk.bounties.finding import Reader as Forge
from payflow.desk.bounties.finding import World
from payflow.desk.lanes import Lanes
from payflow.desk.person import STAFF
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web.api.bounties import BountyApi
from payflow.web.api.webhooks import AnyDeliveries, of_github
from payflow.web.http.auth import Gate, PageSessions, SiblingPages
from payflow.web.http.endpoints import AnyEndpoint, route
from payflow.web.pages.admin import dashboard
from payflow.web.pages.admin.frame import PLACE as ADMIN
from payflow.web.pages.bounties import COOKIE, EVERYBODY, SIGN_IN, BountyPage, GitHubSignInRoutes

# A forge that hangs must not keep a look from its money for long.
TURN = "bounty-sweep"
LONGEST_NAP_S = 60.0

log = structlog.get_logger()


class Bounties:
    """The machines, their desk, and where GitHub and people reach them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        forge: Forge,
        lane: Lane,
        rail: Rail,
        identity: GitHubSignIn | None = None,
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._store = store
        self._policy = policy = policy_of(settings)
        self.standin: StandIn | None = None
        """The sandbox's stand-in for a maintainer's browser wallet."""
        wallets = wallets_of(settings, lane)
        server, explorer = settings.bounty_server.rstrip("/"), settings.bounty_explorer
        addresses = StoredAddresses(store, signer_of)
        looks = BountyActs(
            rail,
            f"rail:{lane.name}",
            lane.signer.address,
            wallets,
            forge,
            addresses,
            addresses,
            CommentWriter(server, lane.chain.chain_id, explorer),
            policy,
            store.permit_keys,
        )
        self.machines: tuple[AnyMachine, ...] = (bounty(policy, looks.acts(), looks.prove), repository_machine())
        world = World(
            forge=forge,
            wallets=wallets,
            checksummed=checksummed,
            signer_of=signer_of,
            server=server,
            chain_id=lane.chain.chain_id,
            explorer=explorer.rstrip("/"),
            most_open=settings.bounty_most_open,
            policy=policy,
            recovery=policy.recovery,
            cool_off=CoolOff(int(settings.bounty_cool_off_days * DAY), int(settings.bounty_replace_days * DAY)),
        )
        self.desk = BountyDesk(store, metrics, world)

    async def keep_swept(self, stop: asyncio.Event) -> None:
        """Find what deliveries failed to tell as often as the settings say, whichever process's turn it is."""
        while self._settings.enable_workers and not stop.is_set():
            try:
                await self.sweep_in_turn()
            except PayflowError as error:
                log.warning("GitHub could not be swept.", action="sweep", error=str(error))
            except Exception:  # a repository that cannot be read must not stop the worker, which knows nothing of it
                log.exception("GitHub could not be swept.", action="sweep")
            with anyio.move_on_after(LONGEST_NAP_S):
                await stop.wait()

    async def sweep_in_turn(self) -> dict[str, int] | None:
        """Read all of GitHub if nobody did so lately; say what there was."""
        granted, _ = await self._store.records.rate_tokens(TURN, 1000 / self._policy.sweep_ms, 1)
        if granted < 1:
            return None
        found = await sweep_forge(self.desk)
        log.info("GitHub was swept.", action="sweep", found=found)
        return found

    def endpoints(self) -> list[AnyEndpoint]:
        """List what programs may ask."""
        return list(BountyApi(self.desk).endpoints())

    def deliveries(self) -> AnyDeliveries:
        """Say how GitHub's deliveries are taken in."""
        given = self._settings
        secrets = live_secrets(given.github_webhook_secret)

        def genuine(headers: Mapping[str, str], body: bytes) -> bool:
            return any(wire.genuine(headers, body, one, old=given.github_webhook_sha1) for one in secrets)

        return of_github(self.desk, genuine, partial(wire.read, label=given.bounty_label))

    def routes(self) -> list[web.RouteDef]:
        """List the places of GitHub, of the API and of the page."""
        settings = self._settings
        store, desk = self._store, self.desk
        gate = Gate(store, settings)
        sessions = PageSessions(store, gate, COOKIE, "/", EVERYBODY, SiblingPages(dashboard.COOKIE, ADMIN, STAFF))
        scripts = self.standin.scripts if self.standin else ()
        sign_in = (
            GitHubSignInRoutes(store, gate, sessions, self._identity, desk.world.server) if self._identity else None
        )
        return [
            *self.deliveries().routes(gate, desk.metrics),
            *(route(one, sessions, desk.metrics) for one in self.endpoints()),
            *(sign_in.routes() if sign_in else ()),
            *BountyPage(desk, gate, sessions, scripts, ("GitHub", SIGN_IN) if sign_in else ("", "")).routes(),
            *(self.standin.routes() if self.standin else ()),
        ]


class StandIn(Protocol):
    """Stands in for a browser's wallet."""

    @property
    def scripts(self) -> Sequence[str]:
        """What a page must run."""

    def routes(self) -> list[web.RouteDef]:
        """List the places that its script asks."""


async def open_bounties(
    settings: Settings, store: Store, metrics: Metrics, lanes: Lanes | None, stack: AsyncExitStack
) -> Bounties:
    """Open a session to GitHub, and put the machine on its lane."""
    if not settings.github_app_id or settings.github_private_key is None:
        raise BadSettings("Bounties need GITHUB_APP_ID and GITHUB_PRIVATE_KEY_FILE beside PAYFLOW_BOUNTY_LANE.")
    if lanes is None or settings.bounty_lane not in lanes.lanes:
        known = ", ".join(lanes.lanes) if lanes else "none"
        raise BadSettings(f"PAYFLOW_BOUNTY_LANE must name one of PAYFLOW_LANES ({known}).")
    session = await stack.enter_async_context(aiohttp.ClientSession())
    app = App(
        settings.github_app_id,
        settings.github_private_key.get_secret_value(),
        settings.bounty_label,
        settings.github_url,
    )
    identity = None
    if settings.github_client_id and settings.github_client_secret:
        secret = settings.github_client_secret.get_secret_value()
        client = OAuthClient(settings.github_client_id, secret, settings.github_web_url, settings.github_url)
        identity = GitHubSignIn(session, client)
    lane = lanes.lanes[settings.bounty_lane]
    return Bounties(settings, store, metrics, GitHub(session, app), lane, lanes.rail(settings.bounty_lane), identity)


def policy_of(settings: Settings) -> BountyPolicy:
    """Read how bounties are treated."""
    return BountyPolicy(
        threshold=settings.bounty_threshold,
        recovery=_address("PAYFLOW_BOUNTY_RECOVERY", settings.bounty_recovery) if settings.bounty_recovery else "",
        sweep_ms=int(settings.bounty_sweep_hours * HOUR),
        remind_ms=int(settings.bounty_remind_days * DAY),
        deadline_ms=int(settings.bounty_address_days * DAY),
    )


def wallets_of(settings: Settings, lane: Lane) -> Wallets:
    """Read which kind of wallet is made, and on which contracts."""
    tokens = {
        symbol: WalletToken(_address("PAYFLOW_BOUNTY_TOKENS", one.address), one.decimals)
        for symbol, one in settings.bounty_tokens.items()
    }
    reader = WalletReader(lane.chain, tokens, settings.bounty_depth)
    if settings.bounty_wallet == "multisig":
        return MultiSigs(reader, lane.signer.address)
    return Safes(
        reader,
        Deployment(
            _address("PAYFLOW_SAFE_FACTORY", settings.safe_factory),
            _address("PAYFLOW_SAFE_SINGLETON", settings.safe_singleton),
            _address("PAYFLOW_SAFE_MULTI_SEND", settings.safe_multi_send),
        ),
        lane.signer.address,
    )


def _address(name: str, text: str) -> Address:
    try:
        return checksummed(text)
    except ValueError as error:
        raise BadSettings(f"{name}: {text[:60]!r} is no address.") from error
