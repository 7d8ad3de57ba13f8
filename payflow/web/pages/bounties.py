"""Manage Payouts: what is to be merged, to be confirmed, being confirmed, paid; and where contributors get theirs."""

import hashlib
import hmac
import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import segno
from aiohttp import web

from machines.bounty import lifecycle as s
from machines.bounty.comment import day_of, open_question, qr_path
from machines.bounty.data import BountyRecord
from machines.core.clock import DAY
from machines.core.forge import ForgeAccount, PullState
from machines.core.saved_address import SavedAddress
from payflow.desk.bounties.bounties import BountyDesk
from payflow.desk.bounties.finding import first_of, person_of, sweeping
from payflow.desk.bounties.open_bounty import NEWEST, balances, open_claims, owns, state_of
from payflow.desk.person import OPERATES, STAFF, token_of_account
from payflow.store.registers.tokens import Role
from payflow.store.store import Store
from payflow.web.http import problems
from payflow.web.http.auth import Form, Gate, PageSessions, Visit, see
from payflow.web.http.payloads import whole
from payflow.web.http.problems import FORBIDDEN, Problem
from payflow.web.pages.admin.frame import FormDone, Frame

PLACE = "/bounties"
COOKIE = "payflow_bounties"
PEOPLE = frozenset({Role.PROVIDER})
EVERYBODY = STAFF | PEOPLE

_STATIC = resources.files("payflow.web.pages") / "static"
_FILES = {"bounties.js": "text/javascript", "bounties.css": "text/css"}


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
        self._contents = {name: (_STATIC / name).read_bytes() for name in _FILES}

    def routes(self) -> list[web.RouteDef]:
        frame, one = self._frame, PLACE + "/{id}"
        return [
            *frame.sign_in_routes(),
            web.get(PLACE, frame.shows(self.show)),
            web.get(PLACE + "/static/{name}", self.static),
            web.post(f"{PLACE}/address", frame.does(self.save, PEOPLE)),
            web.post(f"{PLACE}/address/withdraw", frame.does(self.withdraw, PEOPLE)),
            web.post(f"{PLACE}/owners/{{id}}/remove", frame.does(self.remove, PEOPLE)),
            web.post(f"{one}/revoke", frame.does(self.revoke, PEOPLE)),
            web.post(f"{one}/agree", frame.does(self.agree, PEOPLE | OPERATES)),
            web.post(f"{one}/retract", frame.does(self.retract, PEOPLE)),
            web.post(f"{one}/reassign", frame.does(self.reassign, PEOPLE)),
            web.post(f"{one}/sweep", frame.does(self.sweep, PEOPLE)),
            web.post(f"{one}/decide", frame.does(self.decide, OPERATES)),
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
            open_claims=open_claims, merged=PullState.MERGED, s=s, assets=self._versions(),
            scripts=self._scripts, recovery=desk.world.recovery,
            disabled=await desk.disabled(), first_of=first_of, sweeping=sweeping(found),
            decides=visit.caller.role is Role.OPERATOR, chain=hex(desk.world.chain_id), explorer=desk.world.explorer,
        )  # fmt: skip

    def _versions(self) -> dict[str, str]:
        return {
            name: f"{PLACE}/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"
            for name, content in self._contents.items()
        }

    async def static(self, request: web.Request) -> web.StreamResponse:
        """Give the script and the style sheet."""
        name = request.match_info["name"]
        if name not in _FILES:
            raise Problem(problems.UNKNOWN_PLACE, "There is no such file.")
        caching = {"Cache-Control": "public, max-age=86400"}
        return web.Response(body=self._contents[name], content_type=_FILES[name], charset="utf-8", headers=caching)

    async def qr(self, request: web.Request) -> web.StreamResponse:
        """Give the picture of a bounty's address, which anybody may see."""
        await self._gate.rate_limit(request)
        record = await self._desk.find(request.match_info["hash"].partition(".")[0])
        address = record.data.contract_address
        if not address or request.match_info["number"] != str(record.data.place.number):
            raise Problem(problems.UNKNOWN_PLACE, "There is no such picture.")
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

    async def revoke(self, visit: Visit, form: Form) -> FormDone:
        """Give the money back."""
        record = await self._desk.revoke(visit.request.match_info["id"], visit.caller, str(form.get("address", "")))
        to, path = record.data.refund_to, record.data.place.path
        return FormDone(f"{path} is given back to {to}: confirm it when the bot has approved it.", PLACE)

    async def agree(self, visit: Visit, form: Form) -> FormDone:
        """Ask for what is held back, as another owner or an operator."""
        about = str(form.get("about", ""))
        record = await self._desk.agree(visit.request.match_info["id"], visit.caller, about)
        return FormDone(f"{record.data.place.path} goes on as far as your word is what it waited for.", PLACE)

    async def retract(self, visit: Visit, form: Form) -> FormDone:
        """Take a payment back."""
        record = await self._desk.retract(visit.request.match_info["id"], visit.caller, str(form.get("reason", "")))
        said = f"The payment of {record.data.place.path} is taken back; a person decides anew."
        return FormDone(f"{said} Confirm nothing of it: the bot revokes its approval on the chain.", PLACE)

    async def reassign(self, visit: Visit, form: Form) -> FormDone:
        """Name another merged claim."""
        record = await self._desk.reassign(visit.request.match_info["id"], visit.caller, _pull(form))
        return FormDone(f"{record.data.place.path} goes to {record.data.winner_login}.", PLACE)

    async def sweep(self, visit: Visit, form: Form) -> FormDone:
        """Have what came in later paid out too, or given back."""
        name, to = visit.request.match_info["id"], str(form.get("address", "")).strip()
        record = await self._desk.sweep(name, visit.caller, to)
        return FormDone(f"What came in later for {record.data.place.path} is being prepared.", PLACE)

    async def decide(self, visit: Visit, form: Form) -> FormDone:
        """Decide who gets a contested bounty."""
        record = await self._desk.decide(visit.request.match_info["id"], visit.caller.who, _pull(form))
        return FormDone(f"{record.data.place.path} goes on.", PLACE)


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


SIGN_IN, BACK = "/bounties/github", "/bounties/github/back"
STATE = "payflow_bounties_state"
STATE_S = 600


class Identity(Protocol):
    """Somebody who can tell who people are."""

    def sign_in_url(self, state: str, back: str) -> str:
        """Say where somebody is sent."""

    async def who(self, code: str, back: str) -> ForgeAccount:
        """Tell who came back."""


class GitHubSignInRoutes:
    """The way to GitHub, and the way back."""

    def __init__(self, store: Store, gate: Gate, sessions: PageSessions, identity: Identity, server: str) -> None:
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
        answer = await self._sessions.let_in(request, token, _onwards())
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
