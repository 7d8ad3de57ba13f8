"""The API of bounties, with the places and names that the old system's users know."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from machines.bounty import lifecycle as s
from machines.bounty.data import BountyRecord
from machines.core.clock import SECOND
from machines.core.saved_address import SavedAddress
from payflow.desk.bounties.bounties import BountyDesk
from payflow.desk.bounties.finding import person_of
from payflow.desk.bounties.open_bounty import activity, hunters, public, shown
from payflow.desk.person import LOOKS, PROVIDERS
from payflow.store.registers.tokens import Role
from payflow.web.api import bounty_answers as b
from payflow.web.http.endpoints import ANYBODY, AnyEndpoint, ApiEndpoint, EndpointCall, JsonReply
from payflow.web.http.payloads import NoBody, NoQuery, Query, whole

HANDS = PROVIDERS | {Role.OPERATOR}


class BountyApi:
    """Answers programs, and the script of the page."""

    def __init__(self, desk: BountyDesk) -> None:
        self._desk = desk

    def endpoints(self) -> Iterable[AnyEndpoint]:
        """List what may be asked and done here."""
        user = "/api/user"
        one = f"{user}/bounty/{{id}}"
        get, post = partial(_place, "GET"), partial(_place, "POST")
        missing, not_now = (HTTPStatus.NOT_FOUND,), (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        clash = (HTTPStatus.CONFLICT,)
        yield get(
            "/api/open-bounties", "Bounties that anybody may solve.", ANYBODY, self.open_bounties, b.PublicBounties
        )
        yield get("/api/activity-feed", "What became of claims lately.", ANYBODY, self.activity, b.ActivityFeed)
        yield get("/api/top-hunters", "Who was paid most.", ANYBODY, self.hunters, b.BountyHunters)
        yield get(f"{user}/bounties", "The bounties that concern the caller.", LOOKS, self.bounties, b.BountiesShown)
        for path, summary in (
            (f"{user}/repositories", "The repositories that the caller maintains."),
            (f"{user}/enabled-repositories", "The same, under its other old name."),
        ):
            yield get(path, summary, LOOKS, self.repositories, b.BountyRepositories)
        yield get(one, "One bounty.", LOOKS, self.bounty, b.BountyShown, refuses=missing)
        yield get(
            f"{one}/confirmation", "What a maintainer's wallet must send to confirm the payment.", PROVIDERS,
            self.confirmation, b.ConfirmationCall, query=b.ConfirmationAsked, refuses=not_now,
        )  # fmt: skip
        yield post(
            f"{one}/payout", "The hash of the transaction with which a maintainer confirms.", PROVIDERS,
            self.payout, b.BountyShown, body=b.ConfirmedGiven, refuses=not_now,
        )  # fmt: skip
        yield post(
            f"{one}/agree", "The word of another owner, or of an operator, about what is held back.", HANDS,
            self.agree, b.BountyShown, body=b.AgreedGiven, refuses=not_now,
        )  # fmt: skip
        yield get(
            f"{one}/refund-proof", "The words with which an address that funded it names where its money goes back to.",
            PROVIDERS, self.refund_proof, b.SignedWords, query=b.RefundProofAsked, refuses=missing,
        )  # fmt: skip
        yield post(
            f"{one}/refund-address", "Where the money of a funding address goes back to, signed by it.", PROVIDERS,
            self.refund_address, b.NamedRefunds, body=b.RefundGiven, refuses=not_now,
        )  # fmt: skip
        yield post(
            f"{user}/revoke", "Give the money back.", PROVIDERS, self.revoke, b.BountyShown,
            body=b.RevokedGiven, refuses=not_now,
        )  # fmt: skip
        yield post(
            f"{user}/remove-bot-confirmation", "Take back a payment that no maintainer has confirmed.", PROVIDERS,
            self.retract, b.BountyShown, body=b.IssueGiven, refuses=not_now,
        )  # fmt: skip
        yield get(user, "Who the caller is, and where they want their money.", LOOKS, self.who, b.Contributor)
        yield post(
            user, "Save where the caller wants their money; a first signed one counts at once, any other one in days.",
            PROVIDERS, self.save, b.PayoutAddress, body=b.AddressGiven, refuses=clash,
        )  # fmt: skip
        yield post(
            f"{user}/release-address",
            "Let the next address count at once: the one that counts signed that it gives way to it.",
            PROVIDERS, self.release, b.PayoutAddress, body=b.ProofGiven, refuses=clash,
        )  # fmt: skip
        yield post(
            f"{user}/withdraw-address", "Take back the address that is to come.", PROVIDERS, self.withdraw,
            b.PayoutAddress, refuses=clash,
        )  # fmt: skip
        yield get(
            f"{user}/proof", "The words (EIP-4361) that prove an address when they are signed.", PROVIDERS,
            self.proof, b.SignedWords, query=b.ProofAsked, refuses=missing,
        )  # fmt: skip
        yield post(
            f"{user}/repository/{{id}}/owner", "Take the caller on as an owner of the wallets to come.", PROVIDERS,
            self.own, b.WalletOwner, body=b.ProofGiven, refuses=not_now,
        )  # fmt: skip

    # ── what anybody may see ─────────────────────────────────────────────────────────────────────────────────────────

    async def open_bounties(self, _: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _reply(b.PublicBounties, bounties=[public(one) for one in await self._desk.public((s.OPEN,))])

    async def activity(self, _: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _reply(b.ActivityFeed, activity=activity(await self._desk.public()))

    async def hunters(self, _: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _reply(b.BountyHunters, hunters=hunters(await self._desk.public((s.PAID,))))

    # ── bounties ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def repositories(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        places = await self._desk.maintained(call.caller)
        rows = [{"repo-id": one.repository, "repo-name": one.name} for one in places]
        return _reply(b.BountyRepositories, repositories=rows)

    async def bounties(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _reply(b.BountiesShown, bounties=[shown(one) for one in await self._desk.concerning(call.caller)])

    async def bounty(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _shown(await self._desk.seen_by(call.path["id"], call.caller))

    async def confirmation(self, call: EndpointCall[NoBody, b.ConfirmationAsked]) -> JsonReply:
        number, asked = await self._desk.confirmation(call.path["id"], call.caller, call.query.owner)
        chain_id = hex(self._desk.world.chain_id)
        fields = {"number": number, "to": asked.to, "data": asked.data, "value": "0x0", "chain-id": chain_id}
        return _reply(b.ConfirmationCall, **fields)

    async def payout(self, call: EndpointCall[b.ConfirmedGiven, NoQuery]) -> JsonReply:
        given = call.body
        return _shown(await self._desk.confirmed(call.path["id"], call.caller, given.payout_hash, given.number))

    async def revoke(self, call: EndpointCall[b.RevokedGiven, NoQuery]) -> JsonReply:
        return _shown(await self._desk.revoke(call.body.issue_id, call.caller, call.body.address))

    async def agree(self, call: EndpointCall[b.AgreedGiven, NoQuery]) -> JsonReply:
        return _shown(await self._desk.agree(call.path["id"], call.caller, call.body.about))

    async def refund_proof(self, call: EndpointCall[NoBody, b.RefundProofAsked]) -> JsonReply:
        asked = call.query
        return _reply(
            b.SignedWords, message=await self._desk.refund_message(call.path["id"], call.caller, asked.from_, asked.to)
        )

    async def refund_address(self, call: EndpointCall[b.RefundGiven, NoQuery]) -> JsonReply:
        given = call.body
        record = await self._desk.name_refund(call.path["id"], call.caller, given.from_, given.to, given.proof)
        return _reply(b.NamedRefunds, refunds=[{"from": one, "to": to} for one, to in record.data.refund_named])

    async def retract(self, call: EndpointCall[b.IssueGiven, NoQuery]) -> JsonReply:
        return _shown(await self._desk.retract(call.body.issue_id, call.caller, "taken back"))

    # ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def who(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        person = person_of(call.caller)
        saved = SavedAddress() if person is None else await self._desk.address_of(person)
        return _reply(b.Contributor, id=person, name=call.caller.name, **_parts(saved))

    async def save(self, call: EndpointCall[b.AddressGiven, NoQuery]) -> JsonReply:
        return _saved(await self._desk.save_address(call.caller, call.body.address, call.body.proof))

    async def release(self, call: EndpointCall[b.ProofGiven, NoQuery]) -> JsonReply:
        return _saved(await self._desk.release_address(call.caller, call.body.address, call.body.proof))

    async def withdraw(self, call: EndpointCall[NoBody, NoQuery]) -> JsonReply:
        return _saved(await self._desk.withdraw_address(call.caller))

    async def proof(self, call: EndpointCall[NoBody, b.ProofAsked]) -> JsonReply:
        asked = call.query
        repository = int(asked.repository) if asked.repository else None
        words = await self._desk.message(call.caller, asked.address, repository, asked.gives_way_to or "")
        return _reply(b.SignedWords, message=words)

    async def own(self, call: EndpointCall[b.ProofGiven, NoQuery]) -> JsonReply:
        repository = whole(call.path["id"], "repository")
        hand = await self._desk.prove_owner(call.caller, repository, call.body.address, call.body.proof)
        return _reply(b.WalletOwner, login=hand.login, address=hand.address)


def _place(
    method: str, path: str, summary: str, roles: frozenset[Role], run: Any, answer: type[b.KebabAnswer],  # noqa: ANN401
    *, refuses: tuple[HTTPStatus, ...] = (), body: Any = NoBody, query: type[Query] = NoQuery,  # noqa: ANN401
) -> AnyEndpoint:  # fmt: skip
    return ApiEndpoint(method, path, summary, roles, run, {HTTPStatus.OK: answer}, body, query, refuses)


def _reply(shape: type[b.KebabAnswer], **parts: Any) -> JsonReply:
    return JsonReply(shape.model_validate(parts))


def _shown(record: BountyRecord) -> JsonReply:
    return _reply(b.BountyShown, **shown(record))


def _saved(saved: SavedAddress) -> JsonReply:
    return _reply(b.PayoutAddress, **_parts(saved))


def _parts(saved: SavedAddress) -> dict[str, Any]:
    day = datetime.fromtimestamp(saved.next_from / SECOND, UTC).isoformat() if saved.next_address else None
    return {
        "address": saved.address or None,
        "proven": saved.proven,
        "next-address": saved.next_address or None,
        "next-from": day,
        "next-proven": saved.next_proven,
    }
