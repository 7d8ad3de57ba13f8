"""`/_sandbox` of a simulated gateway: its dashboard and its bad days over HTTP, for whoever is in another process.

GET     /_sandbox                              magic accounts, switches, wallets, where webhooks go
GET     /_sandbox/book                         what really reached somebody
GET     /_sandbox/transfers                    every transfer
GET     /_sandbox/webhooks                     every delivery, and how it was answered
GET     /_sandbox/mails?to=ann@example.com     every mail that the sandbox's mail server took; with `to`, to one address
GET, POST, DELETE /_sandbox/faults             the script: {"kind":"reset","created":true,"times":1,…}
POST    /_sandbox/transfers/{reference}/{do}   approve, decline, pay, fail, reverse, retry
POST    /_sandbox/switches                     {"key_revoked":true,…}
POST    /_sandbox/wallets                      {"NGN":"1000.00"}
POST    /_sandbox/webhooks                     {"url":"http://…","on":true,"retries":true}
POST    /_sandbox/clock                        {"advance_s":600}, where the clock can be moved
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

import msgspec

from adapters.sandbox.courier import Courier
from adapters.sandbox.faults import Fault, Faults
from adapters.sandbox.magic import ACCOUNTS
from adapters.sandbox.mail import Mail
from adapters.sandbox.server import Route, ServedAnswer, ServedCall, ok
from adapters.sandbox.transfers import NotNow, SimulatedTransfer, Switches, TransferRefused, Transfers
from machines.core.clock import FixedClock


class Control:
    """Steers one simulator."""

    def __init__(self, transfers: Transfers, faults: Faults, courier: Courier) -> None:
        self._transfers = transfers
        self._faults = faults
        self._courier = courier
        self.mails: Iterable[Mail] = ()
        """What the sandbox's mail server took, where there is one beside the gateway."""

    def routes(self) -> list[Route]:
        """List what is answered."""
        return [
            Route("GET", "/_sandbox", self._overview),
            Route("GET", "/_sandbox/book", lambda _: ok(list(self._transfers.book))),
            Route("GET", "/_sandbox/transfers", lambda _: ok([_shown(each) for each in self._transfers.all])),
            Route("GET", "/_sandbox/webhooks", lambda _: ok([asdict(each) for each in self._courier.deliveries])),
            Route("GET", "/_sandbox/mails", self._mails),
            Route("GET", "/_sandbox/faults", lambda _: ok(list(self._faults))),
            Route("POST", "/_sandbox/faults", self._add_fault),
            Route("DELETE", "/_sandbox/faults", self._clear_faults),
            Route("POST", "/_sandbox/transfers/{reference}/{do}", self._do),
            Route("POST", "/_sandbox/switches", self._switch),
            Route("POST", "/_sandbox/wallets", self._fill),
            Route("POST", "/_sandbox/webhooks", self._webhooks),
            Route("POST", "/_sandbox/clock", self._advance),
        ]

    def _overview(self, _: ServedCall) -> ServedAnswer:
        return ok(
            {
                "accounts": {account: asdict(fate) for account, fate in ACCOUNTS.items()},
                "switches": asdict(self._transfers.switches),
                "wallets": self._transfers.wallets,
                "webhooks": {"url": self._courier.url, "on": self._courier.on, "retries": self._courier.retries},
                "now": self._transfers.agenda.now(),
            }
        )

    def _mails(self, call: ServedCall) -> ServedAnswer:
        to = call.query.get("to")
        return ok([asdict(mail) for mail in self.mails if to is None or to in mail.to])

    def _add_fault(self, call: ServedCall) -> ServedAnswer:
        try:
            self._faults.add(msgspec.json.decode(call.raw, type=Fault))
        except msgspec.MsgspecError as error:
            return _wrong(str(error))
        return ok(list(self._faults))

    def _clear_faults(self, _: ServedCall) -> ServedAnswer:
        self._faults.clear()
        return ok([])

    def _do(self, call: ServedCall) -> ServedAnswer:
        transfer = self._transfers.by_reference(call.params["reference"])
        deeds: Mapping[str, Callable[[SimulatedTransfer], object]] = {
            "approve": self._transfers.approve,
            "decline": self._transfers.decline,
            "pay": lambda each: self._transfers.finish(each, paid=True),
            "fail": lambda each: self._transfers.finish(each, paid=False),
            "reverse": self._transfers.reverse,
            "retry": self._transfers.retry,
        }
        if transfer is None or call.params["do"] not in deeds:
            return ServedAnswer(HTTPStatus.NOT_FOUND, {"error": f"There is no {call.path}."})
        try:
            deeds[call.params["do"]](transfer)
        except (NotNow, TransferRefused) as error:
            return ServedAnswer(HTTPStatus.CONFLICT, {"error": str(error)})
        return ok(_shown(transfer))

    def _switch(self, call: ServedCall) -> ServedAnswer:
        known = {each.name for each in fields(Switches)}
        unknown = [name for name, value in call.body.items() if name not in known or not isinstance(value, bool)]
        if unknown:
            return _wrong(f"{unknown[0]} is no switch: {', '.join(sorted(known))} are, each true or false.")
        for name, value in call.body.items():
            setattr(self._transfers.switches, name, value)
        return ok(asdict(self._transfers.switches))

    def _fill(self, call: ServedCall) -> ServedAnswer:
        try:
            wanted = {currency: Decimal(str(held)) for currency, held in call.body.items()}
        except InvalidOperation:
            return _wrong("A wallet holds an amount.")
        for currency, held in wanted.items():
            self._transfers.fill(currency, held)
        return ok(self._transfers.wallets)

    def _webhooks(self, call: ServedCall) -> ServedAnswer:
        body = call.body
        self._courier.url = str(body.get("url", self._courier.url))
        self._courier.on = bool(body.get("on", self._courier.on))
        self._courier.retries = bool(body.get("retries", self._courier.retries))
        return ok({"url": self._courier.url, "on": self._courier.on, "retries": self._courier.retries})

    def _advance(self, call: ServedCall) -> ServedAnswer:
        clock = self._transfers.agenda.clock
        if not isinstance(clock, FixedClock):
            return ServedAnswer(HTTPStatus.CONFLICT, {"error": "This sandbox runs on the real clock."})
        clock.advance(float(call.body.get("advance_s") or 0))
        self._transfers.agenda.run()
        return ok({"now": self._transfers.agenda.now()})


def _shown(transfer: SimulatedTransfer) -> dict[str, Any]:
    return {
        "id": transfer.id,
        "state": transfer.state,
        "message": transfer.message,
        "waits_for_approval": transfer.needs_approval and not transfer.approved,
        "retries": [each.reference for each in transfer.retries],
        **asdict(transfer.order),
    }


def _wrong(message: str) -> ServedAnswer:
    return ServedAnswer(HTTPStatus.BAD_REQUEST, {"error": message})
