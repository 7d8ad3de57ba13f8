"""Manage Payouts: what is to be merged, to be confirmed, being confirmed, paid; and where contributors get theirs."""

import hmac
import io
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import segno
from aiohttp import web

from machines.bounty import lifecycle as s
from machines.bounty.comment import day_of, open_question, qr_path
from machines.bounty.data import BountyRecord
from machines.core.clock import DAY
from machines.core.errors import NotFound
from machines.core.forge import PullState
from machines.core.saved_address import SavedAddress
from payflow.desk.bounties.bounties import BountyDesk
from payflow.desk.bounties.finding import NO_BOUNTY, first_of, person_of, sweeping
from payflow.desk.bounties.open_bounty import NEWEST, balances, open_claims, owns, state_of
from payflow.desk.person import OPERATES, PROVIDERS, STAFF, Caller, token_of_account
from payflow.store.registers.tokens import Role, Session
from payflow.store.store import Store
from payflow.web.http.auth import Form, Gate, PageSessions, Visit, see
from payflow.web.http.payloads import whole
from payflow.web.http.problems import FORBIDDEN, Problem
from payflow.web.pages.admin.frame import Do, FormDone, Frame, StaticFiles

if TYPE_CHECKING:
    from adapters.github.sign_in import GitHubSignIn

PLACE = "/bounties"
COOKIE = "payflow_bounties"
EVERYBODY = STAFF | PROVIDERS

BountyVerb = Callable[[str, Caller, Form], Awaitable[BountyRecord]]
ASSETS = StaticFiles(PLACE, "payflow.web.pages")


class BountyPage:
    """The page, without whose script everything works but what only a browser's wallet can do."""

    def __init__(
        self,
        desk: BountyDesk,
        gate: Gate,
        sessions: PageSessions,
        scripts: Sequence[str] = (),
        other_sign_in: tuple[str, str] = ("", ""),
    ) -> None:
        """`scripts` are run before the page's own; the sandbox brings a wallet in like this."""
        self._scripts = tuple(scripts)
        self._desk = desk
        self._gate = gate
        self._frame = Frame(
            desk.store,
            sessions,
            (),
            place=PLACE,
            home="Bounties",
            staff=EVERYBODY,
            templates=("payflow.web.pages",),
            inside=False,
            other_sign_in=other_sign_in,
        )

    def routes(self) -> list[web.RouteDef]:
        frame = self._frame
        return [
            *frame.sign_in_routes(),
            frame.shows("", self.show),
            ASSETS.route(),
            frame.does("/address", self.save, PROVIDERS),
            frame.does("/address/withdraw", self.withdraw, PROVIDERS),
            frame.does("/owners/{id}/remove", self.remove, PROVIDERS),
            *(
                frame.does(f"/{{id}}/{name}", self._doing(verb, says), roles, proven=True)
                for name, roles, verb, says in self._verbs()
            ),
            web.get("/qr/{owner}/{repo}/bounty/{number}/{hash}/qr.png", self.qr),
        ]

    # ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def show(self, visit: Visit) -> web.StreamResponse:
        """Show what concerns the visitor."""
        desk, person = self._desk, person_of(visit.caller)
        mine = {place.repository for place in await desk.maintained(visit.caller)}
        found = await desk.concerning(visit.caller)
        saved = await desk.address_of(person) if person else SavedAddress()
        homes = [home for home in await desk.repositories() if home.data.number in mine]
        return await self._frame.page(
            visit, "bounties.html", title="Manage payouts", groups=groups(found), mine=mine, person=person,
            saved=saved, next_from=day_of(saved.next_from),
            unsigned_days=desk.world.cool_off.unsigned_ms // DAY,
            replacing_days=desk.world.cool_off.replacing_ms // DAY, homes=homes, state_of=state_of,
            balances=balances, open_question=open_question, day_of=day_of, owns=owns,
            open_claims=open_claims, merged=PullState.MERGED, s=s, assets=ASSETS,
            scripts=self._scripts, recovery=desk.world.recovery,
            disabled=await desk.disabled(), first_of=first_of, sweeping=sweeping(found),
            decides=visit.caller.role is Role.OPERATOR, chain=hex(desk.world.chain_id), explorer=desk.world.explorer,
        )  # fmt: skip

    async def qr(self, request: web.Request) -> web.StreamResponse:
        """Give the picture of a bounty's address: to anybody, and of a private one to who knows its whole place."""
        await self._gate.rate_limit(request)
        record = await self._desk.find(request.match_info["hash"].partition(".")[0])
        address, place = record.data.contract_address, record.data.place
        hidden = request.path != qr_path(record) and not await self._desk.is_public(place.repository)
        if not address or hidden or request.match_info["number"] != str(place.number):
            raise NotFound(NO_BOUNTY)
        picture = io.BytesIO()
        segno.make_qr(f"ethereum:{address}").save(picture, kind="png", scale=8, border=4)
        caching = {"Cache-Control": "public, max-age=86400"} if request.path == qr_path(record) else {}
        return web.Response(body=picture.getvalue(), content_type="image/png", headers=caching)

    # ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def save(self, visit: Visit, form: Form) -> FormDone:
        """Save where the visitor wants their money."""
        saved = await self._desk.save_address(visit.caller, str(form.get("address", "")), None)
        if saved.next_address:
            counts = f"counts from {day_of(saved.next_from)} on"
            if not saved.proven:
                counts += ", or at once when you sign for it with your wallet"
            return FormDone(f"{saved.next_address} {counts}.", PLACE)
        return FormDone(f"Bounties that you win are paid to {saved.address}.", PLACE)

    async def withdraw(self, visit: Visit, _form: Form) -> FormDone:
        """Take back the address that is to come."""
        saved = await self._desk.withdraw_address(visit.caller)
        return FormDone(f"It is taken back. Bounties that you win are paid to {saved.address or 'nobody yet'}.", PLACE)

    async def remove(self, visit: Visit, form: Form) -> FormDone:
        """Take somebody off the owners of the wallets to come."""
        repository = whole(visit.request.match_info["id"], "repository")
        await self._desk.remove_owner(visit.caller, repository, whole(str(form.get("person", "")), "person"))
        return FormDone(
            "Wallets that are made from now on have one owner less; those that are made keep theirs.", PLACE
        )

    def _verbs(self) -> Iterable[tuple[str, frozenset[Role], BountyVerb, str]]:
        """List what may be done to a bounty: its name, who may, what it does, and what is said then."""
        desk = self._desk
        return (
            (
                "revoke", PROVIDERS, lambda name, by, form: desk.revoke(name, by, form.get("address", "")),
                "{path} is given back to {data.refund_to}: confirm it when the bot has approved it.",
            ),
            (
                "agree", PROVIDERS | OPERATES, lambda name, by, form: desk.agree(name, by, form.get("about", "")),
                "{path} goes on as far as your word is what it waited for.",
            ),
            (
                "retract", PROVIDERS, lambda name, by, form: desk.retract(name, by, form.get("reason", "")),
                (
                    "The payment of {path} is taken back; a person decides anew. "
                    "Confirm nothing of it: the bot revokes its approval on the chain."
                ),
            ),
            (
                "reassign", PROVIDERS, lambda name, by, form: desk.reassign(name, by, _pull(form)),
                "{path} goes to {data.winner_login}.",
            ),
            (
                "sweep", PROVIDERS, lambda name, by, form: desk.sweep(name, by, form.get("address", "").strip()),
                "What came in later for {path} is being prepared.",
            ),
            (
                "decide", OPERATES, lambda name, by, form: desk.decide(name, by.who, _pull(form)),
                "{path} goes on.",
            ),
        )  # fmt: skip

    def _doing(self, verb: BountyVerb, says: str) -> Do:
        async def do(visit: Visit, form: Form) -> FormDone:
            data = (await verb(visit.request.match_info["id"], visit.caller, form)).data
            return FormDone(says.format(path=data.place.path, data=data), PLACE)

        return do


def _pull(form: Form) -> int:
    return whole(str(form.get("pull", "")), "pull")


@dataclass(frozen=True, slots=True)
class Group:
    """Bounties that ask for the same of a maintainer."""

    name: str
    means: str
    bounties: tuple[BountyRecord, ...]


_GROUPS = (
    ("To confirm payment", "The bot has approved these. They are paid when you confirm.", (s.CONFIRMABLE,)),
    ("Being confirmed", "Sent, and not yet deep enough in the chain to count.", (s.CONFIRMING,)),
    ("Needs a decision", "A person must say who gets these.", (s.CONTESTED,)),
    ("Waiting for an address", "Won, and the winner has not saved an address.", (s.AWAITING_ADDRESS,)),
    ("Being prepared", "Merged; the bot fixes the payment and approves it.", (s.MERGED, s.EXECUTED)),
    ("Refunds", "The money goes back.", (s.REVOKING,)),
    ("To merge", "Somebody says to have solved these.", (s.OPEN,)),
    ("Unclaimed", "Nobody has claimed these yet.", (s.OPENING, s.OPEN)),
    ("Closed", "Closed without a merge, unlabelled, moved or deleted.", (s.CLOSED,)),
    ("Paid out", "Paid, with proof.", (s.PAID, s.REFUNDED)),
)


def groups(found: list[BountyRecord]) -> list[Group]:
    """Sort bounties by what is to be done; groups without any are left out."""
    made = []
    for name, means, states in _GROUPS:
        inside = tuple(one for one in found if one.state in states and _belongs(one, name))
        if states == (s.PAID, s.REFUNDED):
            inside = tuple(sorted(inside, key=lambda one: one.since, reverse=True))[:NEWEST]
        if inside:
            made.append(Group(name, means, inside))
    return made


def _belongs(record: BountyRecord, group: str) -> bool:
    if record.state != s.OPEN:
        return True
    return bool(open_claims(record)) == (group == "To merge")


# ── signing in with GitHub ────────────────────────────────────────────────────────────────────────────────────────────

SIGN_IN, BACK = "/bounties/github", "/bounties/github/back"
STATE = "payflow_bounties_state"
STATE_S = 600


class GitHubSignInRoutes:
    """The way to GitHub, and the way back."""

    def __init__(self, store: Store, gate: Gate, sessions: PageSessions, identity: "GitHubSignIn", server: str) -> None:
        self._store = store
        self._gate = gate
        self._sessions = sessions
        self._identity = identity
        self._back = server + BACK

    def routes(self) -> list[web.RouteDef]:
        """List both."""
        return [web.get(SIGN_IN, self.go), web.get(BACK, self.come)]

    async def go(self, request: web.Request) -> web.StreamResponse:
        """Send somebody to GitHub, with a word that only their browser can bring back."""
        await self._gate.rate_limit(request)
        state = secrets.token_urlsafe(32)
        answer = see(self._identity.sign_in_url(state, self._back))
        # Not Strict: they come back from another site, and the word must come with them.
        answer.set_cookie(
            STATE, state, max_age=STATE_S, path=SIGN_IN, httponly=True, samesite="Lax", secure=request.secure
        )
        return answer

    async def come(self, request: web.Request) -> web.StreamResponse:
        """Let in who comes back with that word and a code that GitHub knows."""
        await self._gate.rate_limit(request)
        sent, brought = request.cookies.get(STATE, ""), request.query.get("state", "")
        if not sent or not hmac.compare_digest(sent.encode(), brought.encode()):
            raise Problem(FORBIDDEN, "This sign-in did not begin in this browser: begin again.")
        person = await self._identity.who(request.query.get("code", "")[:200], self._back)
        token = await token_of_account(self._store, person)
        answer = await self._sessions.let_in(request, Session(token), _onwards())
        answer.del_cookie(STATE, path=SIGN_IN)
        return answer


def _onwards() -> web.Response:
    """Lead on from a page of our own: on a way that began at another site, a browser would not show the session."""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/bounties">'
        '<title>Signed in</title><p>You are signed in. <a href="/bounties">Go on</a></p></html>'
    )
    headers = {"Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer"}
    return web.Response(text=page, content_type="text/html", headers=headers)
