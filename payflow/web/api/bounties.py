"""The API of bounties, with the places and names that the old system's users know; keys are kebab-case."""

import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import hdrs, web

from machines.bounty import facts as f
from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.clock import SECOND
from machines.core.saved_address import SavedAddress
from payflow.desk.bounties import MOST_DIGITS, BountyDesk, person_of, sees_all
from payflow.desk.bounty_answers import activity, hunters, public, shown
from payflow.desk.person import LOOKS, Caller
from payflow.store.registers.tokens import Role
from payflow.web.http import problems
from payflow.web.http.auth import Gate
from payflow.web.http.endpoints import JSON, received
from payflow.web.http.problems import Problem, answer_to
from payflow.web.http.sessions import Sessions

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CSRF_HEADER = "X-CSRF"
PEOPLE = frozenset({Role.PROVIDER})
HANDS = PEOPLE | {Role.OPERATOR}
WON = (s.MERGED, s.AWAITING_ADDRESS, s.CONTESTED, s.EXECUTED, s.CONFIRMABLE, s.CONFIRMING, s.PAID)
LONGEST = 2_000


class BountyApi:
    """Answers programs, and the script of the page."""

    def __init__(self, desk: BountyDesk, gate: Gate, sessions: Sessions) -> None:
        self._desk = desk
        self._gate = gate
        self._sessions = sessions

    def routes(self) -> list[web.RouteDef]:
        """List the places."""
        one = "/api/user/bounty/{id}"
        return [
            web.get("/api/open-bounties", self._answering(self.open_bounties)),
            web.get("/api/activity-feed", self._answering(self.activity)),
            web.get("/api/top-hunters", self._answering(self.hunters)),
            web.get("/api/user/bounties", self._answering(self.bounties)),
            web.get("/api/user/repositories", self._answering(self.repositories)),
            web.get("/api/user/enabled-repositories", self._answering(self.repositories)),
            web.get(one, self._answering(self.bounty)),
            web.get(f"{one}/confirmation", self._answering(self.confirmation)),
            web.post(f"{one}/payout", self._answering(self.payout)),
            web.post(f"{one}/agree", self._answering(self.agree)),
            web.get(f"{one}/refund-proof", self._answering(self.refund_proof)),
            web.post(f"{one}/refund-address", self._answering(self.refund_address)),
            web.post("/api/user/revoke", self._answering(self.revoke)),
            web.post("/api/user/remove-bot-confirmation", self._answering(self.retract)),
            web.get("/api/user", self._answering(self.who)),
            web.post("/api/user", self._answering(self.save)),
            web.post("/api/user/release-address", self._answering(self.release)),
            web.post("/api/user/withdraw-address", self._answering(self.withdraw)),
            web.get("/api/user/proof", self._answering(self.proof)),
            web.post("/api/user/repository/{id}/owner", self._answering(self.own)),
        ]

    # ── places ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open_bounties(self, request: web.Request) -> Json:
        """List what anybody may solve."""
        await self._gate.slow_down(request)
        return {"bounties": [public(one) for one in await self._desk.public((s.OPEN,))]}

    async def activity(self, request: web.Request) -> Json:
        """Tell everybody what became of claims lately."""
        await self._gate.slow_down(request)
        return {"activity": activity(await self._desk.public())}

    async def hunters(self, request: web.Request) -> Json:
        """Tell everybody who was paid most."""
        await self._gate.slow_down(request)
        return {"hunters": hunters(await self._desk.public((s.PAID,)))}

    async def repositories(self, request: web.Request) -> Json:
        """List the repositories with the app that the caller maintains; other ones are none of his."""
        caller = await self._caller(request)
        places = await self._desk.maintained(caller)
        return {"repositories": [{"repo-id": one.repository, "repo-name": one.name} for one in places]}

    async def bounties(self, request: web.Request) -> Json:
        """List the bounties that concern the caller: of repositories that he maintains, or that he won."""
        caller = await self._caller(request)
        return {"bounties": [shown(one) for one in await concerning(self._desk, caller)]}

    async def bounty(self, request: web.Request) -> Json:
        """Show one bounty to whom it concerns."""
        caller = await self._caller(request)
        record = await self._desk.find(request.match_info["id"])
        won = record.data.winner_id and record.data.winner_id == person_of(caller)
        if not (sees_all(caller) or won):
            await self._desk.maintainer(record.data.place, caller)
        return shown(record)

    async def confirmation(self, request: web.Request) -> Json:
        """Say what a maintainer's wallet must send."""
        caller = await self._caller(request, PEOPLE)
        owner = request.query.get("owner", "")
        number, call = await self._desk.confirmation(request.match_info["id"], caller, owner)
        return {
            "number": number,
            "to": call.to,
            "data": call.data,
            "value": "0x0",
            "chain-id": hex(self._desk.world.chain_id),
        }

    async def payout(self, request: web.Request) -> Json:
        """Take the hash of the transaction with which a maintainer confirms."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        payout_hash, number = _text(body, "payout-hash"), body.get("number")
        if number is not None and type(number) is not int:
            raise Problem(problems.BAD_FIELD, "number: a whole number.", field="number")
        return shown(await self._desk.confirmed(request.match_info["id"], caller, payout_hash, number))

    async def revoke(self, request: web.Request) -> Json:
        """Give the money back, to an address that a maintainer names."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        return shown(await self._desk.revoke(_issue(body), caller, _text(body, "address")))

    async def agree(self, request: web.Request) -> Json:
        """Take the word of another owner, or of an operator, about what is held back."""
        caller = await self._caller(request, HANDS)
        body = await _body(request)
        return shown(await self._desk.agree(request.match_info["id"], caller, _text(body, "about")))

    async def refund_proof(self, request: web.Request) -> Json:
        """Give the words with which a funding address names where its money goes back to."""
        await self._caller(request, PEOPLE)
        asked, name = request.query, request.match_info["id"]
        return {"message": await self._desk.refund_message(name, asked.get("from", ""), asked.get("to", ""))}

    async def refund_address(self, request: web.Request) -> Json:
        """Take the word of a funding address."""
        caller = await self._caller(request, PEOPLE)
        body, name = await _body(request), request.match_info["id"]
        funder, to = _text(body, "from"), _text(body, "to")
        record = await self._desk.name_refund(name, caller, funder, to, _proof(body))
        return {"refunds": [{"from": one, "to": where} for one, where in record.data.refund_named]}

    async def retract(self, request: web.Request) -> Json:
        """Take back a payment that nobody has confirmed yet; a person then decides anew."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        return shown(await self._desk.act(_issue(body), caller, lambda by: f.Retracted(by.login, "taken back")))

    async def who(self, request: web.Request) -> Json:
        """Say who the caller is, and where he wants his money."""
        caller = await self._caller(request)
        person = person_of(caller)
        saved = SavedAddress() if person is None else await self._desk.address_of(person)
        return {"id": person, "name": caller.name, **_saved(saved)}

    async def save(self, request: web.Request) -> Json:
        """Save where the caller wants his money."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        proof = _proof(body) if "signature" in body else None
        return _saved(await self._desk.save_address(caller, _text(body, "address"), proof))

    async def release(self, request: web.Request) -> Json:
        """Let the address that is to come count at once, by a signature of the one that counts."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        return _saved(await self._desk.release_address(caller, _text(body, "address"), _proof(body)))

    async def withdraw(self, request: web.Request) -> Json:
        """Take back the address that is to come."""
        return _saved(await self._desk.withdraw_address(await self._caller(request, PEOPLE)))

    async def proof(self, request: web.Request) -> Json:
        """Give the words that an address signs: to be paid there, to own wallets, or to give way to another one."""
        caller = await self._caller(request, PEOPLE)
        person = person_of(caller)
        if person is None:
            raise Problem(problems.FORBIDDEN, "This takes the token of a GitHub account.")
        address = request.query.get("address", "")
        repository = request.query.get("repository", "")
        place = await self._desk.place_of(_number(repository, "repository")) if repository else None
        gives_way_to = request.query.get("gives-way-to", "")
        return {"message": await self._desk.message(person, address, place, gives_way_to)}

    async def own(self, request: web.Request) -> Json:
        """Take a maintainer on as an owner of the wallets to come."""
        caller = await self._caller(request, PEOPLE)
        body = await _body(request)
        repository = _number(request.match_info["id"], "repository")
        hand = await self._desk.prove_owner(caller, repository, _text(body, "address"), _proof(body))
        return {"login": hand.login, "address": hand.address}

    # ── who asks ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _caller(self, request: web.Request, roles: frozenset[Role] = LOOKS) -> Caller:
        """Tell who asks: a program by its token, the page's script by the session and a word only the page knows."""
        if hdrs.AUTHORIZATION in request.headers:
            return await self._gate.admit(request, roles)
        visit = await self._sessions.visit(request, roles)
        shown_word = request.headers.get(CSRF_HEADER, "")
        if request.method == hdrs.METH_POST and not hmac.compare_digest(shown_word.encode(), visit.csrf.encode()):
            raise Problem(problems.FORBIDDEN, "This was not asked from our page: open the page again.")
        return visit.caller

    def _answering(self, do: Callable[[web.Request], Awaitable[Json]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                told = await do(request)
            except Exception as error:  # noqa: BLE001  (whatever it was, the caller gets an answer and the log the rest)
                return answer_to(error, request.path)
            return web.json_response(told)

        return answer


async def concerning(desk: BountyDesk, caller: Caller) -> list[BountyRecord]:
    """List the bounties that a caller may see: all for people who work here, else of his repositories or won by him."""
    if sees_all(caller):
        return await desk.bounties()
    person = person_of(caller)
    if person is None:
        return []
    found = {
        one.id: one for place in await desk.maintained(caller) for one in await desk.of_repository(place.repository)
    }
    found |= {one.id: one for one in await desk.bounties(WON) if one.data.winner_id == person}
    return list(found.values())


async def _body(request: web.Request) -> Json:
    raw = await received(request, of_type=JSON)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Problem(problems.BAD_JSON, "Send one JSON object.")
    return found


def _text(body: Json, name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found or len(found) > LONGEST:
        raise Problem(problems.BAD_FIELD, f"{name}: text, at most {LONGEST} characters.", field=name)
    return found


def _proof(body: Json) -> tuple[str, str]:
    """Read what was signed, and the signature."""
    return _text(body, "message"), _text(body, "signature")


def _saved(saved: SavedAddress) -> Json:
    day = datetime.fromtimestamp(saved.next_from / SECOND, UTC).isoformat() if saved.next_address else None
    return {
        "address": saved.address or None,
        "proven": saved.proven,
        "next-address": saved.next_address or None,
        "next-from": day,
        "next-proven": saved.next_proven,
    }


def _issue(body: Json) -> str:
    found = body.get("issue-id")
    if type(found) is int and found > 0:
        return str(found)
    return _text(body, "issue-id")


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise Problem(problems.BAD_FIELD, f"{name}: a whole number.", field=name)
    return int(text)
