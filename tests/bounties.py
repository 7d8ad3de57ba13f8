"""A GitHub organisation that pays bounties: its repository, its people with their keys, a chain, and Payflow at work.

Nothing is faked but GitHub, which is the simulator, a real server that the real client talks to: the chain is an anvil,
the wallets are real contracts, the signatures real ones, and people use the HTTP places that everybody uses.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct

from adapters.sandbox.github.api import APP_ID, CLIENT_ID, CLIENT_SECRET
from adapters.sandbox.github.town import Comment, Issue, Pull, SimulatedRepository
from adapters.sandbox.github.wallet import StandInWallet
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord, bounty_id
from machines.core.chain import Address, Receipt, TxHash
from machines.core.clock import FixedClock, SystemClock
from machines.core.ids import RecordId
from machines.core.wallets import ContractCall
from payflow.app.bounties import Bounties, open_bounties
from payflow.app.lanes import open_lanes
from payflow.config import Settings, load
from payflow.desk.lanes import Lanes
from payflow.engine.dispatcher import Dispatcher
from payflow.engine.worker import Worker
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store, open_store
from payflow.telemetry.metrics import Metrics
from payflow.web.http import app
from payflow.web.pages.admin.frame import ASSETS
from tests.chain import ETHER, FIFTH, FOURTH, LANE, OTHER, THIRD, Account, Anvil, anvil
from tests.github import BusyGitHub
from tests.servers import free_port
from tests.waiting import PATIENCE_S, wait_until
from tests.wallets import Hands, deploy_safe, deploy_token

Kind = Literal["safe", "multisig"]
Json = dict[str, Any]
T = TypeVar("T")

BOT, MIA, ANN, FUNDER, DEPLOYER = LANE, OTHER, THIRD, FOURTH, FIFTH
DEPTH = 2
LANE_NAME = "bot"


@dataclass
class Fair:
    """Everybody, and what they can do."""

    settings: Settings
    chain: Anvil
    hands: Hands
    github: BusyGitHub
    ticks: FixedClock
    """GitHub's clock: it writes seconds, so that things that people do must be seconds apart."""
    store: Store
    bounties: Bounties
    lanes: Lanes
    metrics: Metrics
    address: str
    session: aiohttp.ClientSession
    token: Address
    home: SimulatedRepository
    wallet: StandInWallet
    """Mia's browser wallet."""
    patience_s: float = PATIENCE_S
    tokens: dict[str, str] = field(default_factory=dict)

    # ── at GitHub ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def at_github(self, deed: Callable[..., T], *args: Any, **more: Any) -> T:
        """Somebody does something at GitHub; its deliveries are made before this returns."""
        self.ticks.advance(2)
        done = deed(*args, **more)
        await self.github.catch_up()
        return done

    async def labelled_issue(self, title: str = "It hurts") -> Issue:
        """Mia labels an issue."""
        issue: Issue = await self.at_github(self.github.open_issue, self.home, title, "bounty")
        return issue

    async def confirmable_issue(self) -> Issue:
        """A labelled issue that is funded, and whose merged work by Ann waits for Mia's yes."""
        issue = await self.labelled_issue()
        await self.until(issue, s.OPEN)
        await self.funds(issue)
        await self.proves("ann", ANN)
        await self.merge(await self.pull_for(issue), issue)
        await self.until(issue, s.CONFIRMABLE)
        return issue

    async def pull_for(self, issue: Issue, author: str = "ann", **more: Any) -> Pull:
        """Somebody offers work that closes an issue."""
        body = f"Closes #{issue.number}"
        pull: Pull = await self.at_github(self.github.open_pull, self.home, author, "Heal it", body, **more)
        return pull

    async def merge(self, pull: Pull, *closes: Issue) -> None:
        """Mia merges it."""
        await self.at_github(self.github.merge, self.home, pull, *closes)

    def comment(self, issue: Issue) -> Comment:
        """The one comment of ours."""
        ours = [one for one in issue.comments if one.app]
        assert len(ours) == 1, f"{len(ours)} comments of ours"
        return ours[0]

    # ── at Payflow ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def token_of(self, who: str) -> str:
        """The token of somebody: of his GitHub account, or of a role."""
        roles = {"olu": Role.OPERATOR, "vic": Role.VIEWER}
        if who not in self.tokens:
            role = roles.get(who, Role.PROVIDER)
            of = "" if who in roles else f"github:{self.github.town.person(who).id}"
            self.tokens[who] = await Tokens(self.store.link).create(who, role, of, "test")
        return self.tokens[who]

    async def says(self, who: str, method: str, path: str, body: Json | None = None, *, expect: int = 200) -> Json:
        """Somebody asks Payflow something."""
        headers = {"Authorization": f"Bearer {await self.token_of(who)}"}
        async with self.session.request(method, self.address + path, json=body, headers=headers) as answer:
            told: Json = await answer.json()
            assert answer.status == expect, f"{method} {path}: {answer.status} {told}"
            return told

    async def proves(self, who: str, account: Account, *, owner: bool = False, expect: int = 200) -> Json:
        """Somebody proves an address by a signature: to be paid there, or to own wallets."""
        repository = f"&repository={self.home.id}" if owner else ""
        asked = await self.says(who, "GET", f"/api/user/proof?address={account.address}{repository}")
        words = asked["message"]
        body = {"address": account.address, "message": words, "signature": signed(account, words)}
        place = f"/api/user/repository/{self.home.id}/owner" if owner else "/api/user"
        return await self.says(who, "POST", place, body, expect=expect)

    async def releases(
        self, who: str, old: Account, new: Account, *, by: Account | None = None, expect: int = 200
    ) -> Json:
        """Somebody has the address that counts sign that it gives way to the next one."""
        words = (await self.says(who, "GET", f"/api/user/proof?address={old.address}&gives-way-to={new.address}"))[
            "message"
        ]
        body = {"address": new.address, "message": words, "signature": signed(by or old, words)}
        return await self.says(who, "POST", "/api/user/release-address", body, expect=expect)

    async def funds(self, issue: Issue, ether: float = 0.5, units: int = 0, by: Account = FUNDER) -> None:
        """Somebody puts money in."""
        wallet = (await self.record(issue)).data.contract_address
        await self.hands.send(by, ContractCall(wallet, "0x"), int(ether * ETHER))
        if units:
            data = "0xa9059cbb" + wallet[2:].lower().rjust(64, "0") + f"{units:064x}"
            await self.hands.send(DEPLOYER, ContractCall(self.token, data))

    async def confirms(self, issue: Issue, who: str = "mia", account: Account = MIA, *, tell: bool = True) -> TxHash:
        """A maintainer confirms with his wallet; `tell` says whether his browser comes back to tell."""
        path = f"/api/user/bounty/{issue.id}"
        call = await self.says(who, "GET", f"{path}/confirmation?owner={account.address}")
        tx = await self.hands.send(account, ContractCall(call["to"], call["data"]))
        if tell:
            await self.says(who, "POST", f"{path}/payout", {"payout-hash": tx, "number": call["number"]})
        return tx

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def id_of(self, issue: Issue) -> RecordId:
        """The id of an issue's bounty."""
        return bounty_id(self.home.id, issue.id, self.store.records.shards)

    async def record(self, issue: Issue) -> BountyRecord:
        """A bounty as the store has it."""
        found: BountyRecord = (await self.store.records.read(self.id_of(issue))).record
        return found

    async def look(self, record_id: RecordId) -> None:
        """Let a block pass, and have the bounty and the lane looked at."""
        await self.chain.mine()
        await self.store.records.poke(record_id, self.lanes.books.lane_id(LANE_NAME))
        for record in await self.lanes.books.unsettled(LANE_NAME):
            await self.store.records.poke(record.id)
        await asyncio.sleep(0.02)

    async def until(
        self, issue: Issue, *states: str, that: Callable[[BountyRecord], bool] | None = None
    ) -> BountyRecord:
        """Let time pass until a bounty is in one of these states."""
        record_id = self.id_of(issue)

        async def there() -> bool:
            await self.look(record_id)
            record = await self.record(issue)
            return (not states or record.state in states) and (that is None or that(record))

        await wait_until(there, f"{record_id} is {' or '.join(states)}", self.patience_s)
        return await self.record(issue)

    async def until_comment(self, issue: Issue, words: str) -> str:
        """Let time pass until the comment says something."""

        async def there() -> bool:
            await self.look(self.id_of(issue))
            return any(words in one.body for one in issue.comments)

        await wait_until(there, f"the comment says {words!r}", self.patience_s)
        return self.comment(issue).body

    async def story_of(self, issue: Issue) -> list[str]:
        """The moves of a bounty, oldest first."""
        return [event.trigger for event in await self.store.records.history(self.id_of(issue)) if event.trigger]

    async def sent_by_bot(self) -> list[Receipt]:
        """Every transaction of the bot, as the chain has it."""
        nodes = self.lanes.lanes[LANE_NAME].chain
        found = []
        for nonce in range(await self.chain.nonce(BOT.address)):
            seen = await nodes.sent_by(BOT.address, nonce, await self.chain.height())
            receipt = await nodes.receipt(seen.hash) if seen else None
            assert receipt is not None
            found.append(receipt)
        return found

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Let a worker work for as long as the block runs, with connections of its own, as another process has."""
        async with AsyncExitStack() as stack:
            store, metrics = await stack.enter_async_context(open_store(self.settings)), Metrics()
            lanes = await open_lanes(self.settings, store, SystemClock(), stack)
            bounties = await open_bounties(self.settings, store, metrics, lanes, stack)
            store.serve([*bounties.machines, *lanes.machines])
            worker = Worker(store, self.settings, metrics, Dispatcher(store.outbox, metrics, {}))
            running = asyncio.create_task(worker.run())
            try:
                yield
            finally:
                worker.stop()
                await running


def signed(account: Account, message: str) -> str:
    """Sign a message as a browser's wallet does."""
    return "0x" + bytes(EthAccount.sign_message(encode_defunct(text=message), account.key).signature).hex()


@asynccontextmanager
async def open_fair(settings: Settings, kind: Kind, folder: Path, **changes: Any) -> AsyncIterator[Fair]:
    """Open a fair: Mia's repository has the app, and she has proven her address."""
    async with AsyncExitStack() as stack:
        ticks = FixedClock()
        chain = await stack.enter_async_context(anvil())
        github = await stack.enter_async_context(BusyGitHub(ticks))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        hands = Hands(chain)
        token = await deploy_token(hands, DEPLOYER)
        port = free_port()
        usual = await _usual(chain, hands, github, token, kind, folder)
        usual["bounty_server"] = f"http://127.0.0.1:{port}"
        settings = load({}, **(settings.model_dump() | usual | changes))
        store, metrics = await stack.enter_async_context(open_store(settings)), Metrics()
        lanes = await open_lanes(settings, store, SystemClock(), stack)
        bounties = await open_bounties(settings, store, metrics, lanes, stack)
        bounties.standin = wallet = StandInWallet(chain.url, MIA.key)
        store.serve([*bounties.machines, *lanes.machines])
        routes = app.application(bounties.routes(), [ASSETS.route()])
        address = await stack.enter_async_context(app.listening(routes, "127.0.0.1", port))
        github.courier.url = f"{address}/webhook-app"
        home = github.install("acme/widgets", mia="admin", bob="write", eve="read")
        await github.catch_up()
        fair = Fair(
            settings,
            chain,
            hands,
            github,
            ticks,
            store,
            bounties,
            lanes,
            metrics,
            address,
            session,
            token,
            home,
            wallet,
        )
        await fair.proves("mia", MIA, owner=True)
        yield fair


async def _usual(chain: Anvil, hands: Hands, github: BusyGitHub, token: Address, kind: Kind, folder: Path) -> Json:
    key = folder / "bot.key"
    key.write_text(BOT.key)
    key.chmod(0o600)
    safe = await deploy_safe(hands, DEPLOYER) if kind == "safe" else None
    deployed = (
        {"safe_factory": safe.factory, "safe_singleton": safe.singleton, "safe_multi_send": safe.multi_send}
        if safe
        else {}
    )
    lane = {
        "rpc": [chain.url],
        "chain_id": chain.chain_id,
        "key_file": key,
        "address": BOT.address,
        "depth": DEPTH,
        "max_fee_ceiling_wei": 10_000 * 10**9,
        "rebroadcast_s": 3600,
        "bump_after_s": 3600,
    }
    return {
        **deployed,
        "lanes": {LANE_NAME: lane},
        "development": True,
        "github_app_id": APP_ID,
        "github_private_key": github.private_key,
        "github_webhook_secret": github.secret,
        "github_url": github.url,
        "github_web_url": github.url,
        "github_client_id": CLIENT_ID,
        "github_client_secret": CLIENT_SECRET,
        "bounty_lane": LANE_NAME,
        "bounty_wallet": kind,
        "bounty_depth": DEPTH,
        "bounty_tokens": {"USDX": {"address": token, "decimals": 6}},
        "api_rate": 100_000.0,
        "api_address_rate": 100_000.0,
        "lease_s": 2.0,
    }
