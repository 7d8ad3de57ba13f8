"""The simulated Paystack. Texts marked `invented` stand where the facts name none."""

import hmac
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from http import HTTPStatus

from adapters.sandbox.agenda import stamp
from adapters.sandbox.gateway import PLENTY, SimulatedGateway
from adapters.sandbox.magic import STAYS, Fate, FatedRefusal, Webhook, is_somebodys, name_of
from adapters.sandbox.paystack.countries import BANKS, NETWORKS, RECIPIENTS, fee_of
from adapters.sandbox.server import ENCODER, Handler, Route, ServedAnswer, ServedCall
from adapters.sandbox.transfers import (
    DECLINED,
    Order,
    SimulatedTransfer,
    TransferRefused,
    TransferState,
    WalletRow,
)
from machines.core.clock import Clock

SECRET_KEY = "sk_test_sandbox"  # noqa: S105  (opens nothing but this simulator)
FORGED = "not-the-key"

STATUSES: Mapping[TransferState, str] = {
    TransferState.NEW: "pending",
    TransferState.PENDING: "pending",
    TransferState.PAID: "success",
    TransferState.FAILED: "failed",
    TransferState.REVERSED: "reversed",
}
CONCLUSIVE = frozenset({TransferState.PAID, TransferState.FAILED, TransferState.REVERSED})

REFUSALS: Mapping[FatedRefusal, str] = {
    FatedRefusal.SHORT: "Your balance is not enough to fulfil this request",
    FatedRefusal.UNRESOLVED: "Cannot resolve account",  # invented
    FatedRefusal.BLACKLISTED: "Recipient is not valid",  # invented
    FatedRefusal.LIMIT: "Your daily transfer limit must be raised for this transfer",  # invented
    FatedRefusal.CLOSED: "This bank is not valid for transfers now",  # invented
}
DUPLICATE = "Please provide a unique reference. Reference already exists on a transfer"

EVENTS: Mapping[TransferState, str] = {
    TransferState.PAID: "transfer.success",
    TransferState.FAILED: "transfer.failed",
    TransferState.REVERSED: "transfer.reversed",
}


class PaystackSimulator(SimulatedGateway):
    """The API at the root, and `/_sandbox`. Its amounts are whole kobo, its inside counts naira."""

    def __init__(
        self, clock: Clock, otherwise: Fate = STAYS, wallets: Mapping[str, Decimal] = PLENTY, key: str = SECRET_KEY
    ) -> None:
        self.key = key
        self._recipients: dict[str, Mapping[str, object]] = {}
        super().__init__(clock, otherwise, wallets)
        self.transfers.on_news.append(self._tell)
        self.transfers.fees = fee_of

    def faces(self) -> list[Route]:
        """List what is answered."""
        table: list[tuple[str, str, Handler, bool]] = [
            ("POST", "/transferrecipient", self._add_recipient, False),
            ("POST", "/transfer", self._create, True),
            ("GET", "/transfer/verify/{reference}", self._verify, False),
            ("GET", "/transfer", self._list, False),
            ("GET", "/transfer/{code}", self._get, False),
            ("GET", "/balance", self._balance, False),
            ("GET", "/bank", self._banks, False),
            ("GET", "/bank/resolve", self._resolve, False),
            ("GET", "/balance/ledger", self._ledger, False),
        ]
        return [Route(method, path, partial(self._let_in, do), pays) for method, path, do, pays in table]

    def unavailable(self, call: ServedCall) -> ServedAnswer:  # noqa: ARG002  (the same for every call)
        """Say that something went wrong inside."""
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "An error occurred", "internal_error")  # invented

    def destination(self, call: ServedCall) -> str:
        """Find the account of the recipient that a request names."""
        recipient = self._recipients.get(str(call.body.get("recipient")), {})
        return str(recipient.get("account_number") or "")

    def show(self, transfer: SimulatedTransfer) -> dict[str, object]:
        """Write a transfer as a look at it shows it."""
        order = transfer.order
        waits = transfer.needs_approval and not transfer.approved and transfer.state is TransferState.NEW
        status = "otp" if waits else STATUSES[transfer.state]
        code = _recipient_code(order.bank, order.account)
        return {
            "id": transfer.id,
            "transfer_code": f"TRF_{transfer.id}",
            "reference": order.reference,
            "amount": _kobo(order.amount),
            "currency": order.currency,
            "source": "balance",
            "reason": order.narration,
            "status": "rejected" if transfer.message == DECLINED else "failed" if transfer.looks_failed else status,
            "fee_charged": _kobo(transfer.fee),
            "createdAt": stamp(transfer.created_at),
            "recipient": {
                "recipient_code": code,
                "currency": order.currency,
                "details": {"account_number": self.transfers.written(transfer), "bank_code": order.bank},
            },
        }

    def _let_in(self, handler: Handler, call: ServedCall) -> ServedAnswer:
        known = call.headers.get("authorization") == f"Bearer {self.key}"
        if not known or self.transfers.switches.key_revoked:
            return _refuse(HTTPStatus.UNAUTHORIZED, "Invalid key", "invalid_Key")
        return handler(call)

    def _add_recipient(self, call: ServedCall) -> ServedAnswer:
        missing = [name for name in ("type", "name", "account_number", "bank_code") if not call.body.get(name)]
        if missing:
            return _refuse(HTTPStatus.BAD_REQUEST, f"{missing[0]} is required")
        currency, kind = str(call.body.get("currency") or "NGN"), str(call.body["type"])
        if kind not in RECIPIENTS.get(currency, ()):
            return _refuse(HTTPStatus.BAD_REQUEST, "Recipient type is invalid")  # invented
        code = _recipient_code(str(call.body["bank_code"]), str(call.body["account_number"]))
        self._recipients[code] = call.body
        return _tell_success(HTTPStatus.CREATED, "Transfer recipient created successfully", {"recipient_code": code})

    def _create(self, call: ServedCall) -> ServedAnswer:
        body = call.body
        recipient = self._recipients.get(str(body.get("recipient")))
        amount, reference = body.get("amount"), str(body.get("reference") or "")
        if recipient is None or type(amount) is not int or amount <= 0:
            return _refuse(HTTPStatus.BAD_REQUEST, "Recipient and amount must be valid")  # invented
        if not self.transfers.switches.transfers_enabled:
            return _refuse(HTTPStatus.BAD_REQUEST, "You cannot initiate third party payouts at this time")
        order = Order(
            reference=reference,
            bank=str(recipient["bank_code"]),
            account=str(recipient["account_number"]),
            amount=Decimal(amount).scaleb(-2),
            currency=str(body.get("currency") or "NGN"),
            narration=str(body.get("reason") or ""),
            kind="mobile_money" if recipient["type"] == "mobile_money" else "bank",
        )
        try:
            self.transfers.turn_repeats_away(order)
            self.transfers.admit(order)
            known = self.transfers.by_reference(reference)
            if known is not None:
                # One that is under way is answered as it is; one that has ended has used its reference up.
                if known.state in CONCLUSIVE:
                    return _refuse(HTTPStatus.BAD_REQUEST, DUPLICATE, "duplicate_transfer_reference")
                return _tell_success(HTTPStatus.OK, "Transfer has been queued", self.show(known))
            transfer = self.transfers.place(order)
        except TransferRefused as refused:
            return _refuse(HTTPStatus.BAD_REQUEST, REFUSALS[refused.refusal])
        shown = self.show(transfer) | {"recipient": transfer.id}  # the first answer names it by a number only
        return _tell_success(HTTPStatus.OK, "Transfer has been queued", shown)

    def _verify(self, call: ServedCall) -> ServedAnswer:
        transfer = self.transfers.by_reference(call.params["reference"])
        if transfer is None or not self.transfers.visible(transfer):
            return _refuse(HTTPStatus.NOT_FOUND, "Transfer not found", "transfer_not_found")
        return _tell_success(HTTPStatus.OK, "Transfer retrieved", self.show(transfer))

    def _list(self, call: ServedCall) -> ServedAnswer:
        """List transfers, newest first."""
        since, until = call.query.get("from", "")[:10], (call.query.get("to") or "9")[:10]
        found = [each for each in self.transfers.newest("", since, until) if self.transfers.listed(each)]
        page, size = int(call.query.get("page") or 1), int(call.query.get("perPage") or 50)
        shown = [self.show(each) for each in found[(page - 1) * size : page * size]]
        meta = {"total": len(found), "perPage": size, "page": page, "pageCount": -(-len(found) // size)}
        body = {"status": True, "message": "Transfers retrieved", "data": shown, "meta": meta}
        return ServedAnswer(HTTPStatus.OK, body)

    def _ledger(self, call: ServedCall) -> ServedAnswer:
        """Show what moved the balances, newest first, each entry with what it was then."""
        since, until = call.query.get("from", "")[:10], (call.query.get("to") or "9")[:10]
        history = self.transfers.history
        found = [row for code in self.transfers.wallets for row in history.rows(code, since, until)][::-1]
        page, size = int(call.query.get("page") or 1), int(call.query.get("perPage") or 50)
        meta = {"total": len(found), "perPage": size, "page": page, "pageCount": -(-len(found) // size)}
        body = {"status": True, "message": "Balance ledger retrieved", "meta": meta}
        shown = [self._entry(row) for row in found[(page - 1) * size : page * size]]
        return ServedAnswer(HTTPStatus.OK, body | {"data": shown})

    def _entry(self, row: WalletRow) -> dict[str, object]:
        move = row.move
        transfer = self.transfers.by_reference(move.reference)
        number = self.transfers.history.moves.index(move) + 1
        return {
            "id": number,
            "balance": _kobo(row.after),
            "currency": move.currency,
            "difference": _kobo(move.amount if move.says is None else move.says),
            "reason": move.remarks,
            "model_responsible": "Transfer" if transfer else "BalanceTopup",
            "model_row": transfer.id if transfer else number,
            "createdAt": stamp(move.at),
        }

    def _get(self, call: ServedCall) -> ServedAnswer:
        digits = call.params["code"].removeprefix("TRF_")  # it takes the number as well
        transfer = self.transfers.by_id(int(digits)) if digits.isdecimal() else None
        if transfer is None:
            return _refuse(HTTPStatus.NOT_FOUND, "Transfer not found", "transfer_not_found")
        return _tell_success(HTTPStatus.OK, "Transfer retrieved", self.show(transfer))

    def _banks(self, call: ServedCall) -> ServedAnswer:
        currency = call.query.get("currency", "NGN")
        listed = [*BANKS.get(currency, {}).items(), *NETWORKS.get(currency, {}).items()]
        kinds = dict.fromkeys(NETWORKS.get(currency, ()), "mobile_money")
        shown = [
            {"code": code, "name": name, "type": kinds.get(code, "bank"), "currency": currency} for code, name in listed
        ]
        return _tell_success(HTTPStatus.OK, "Banks retrieved", shown)

    def _resolve(self, call: ServedCall) -> ServedAnswer:
        """Say whose an account is, in Nigeria and Ghana."""
        account, bank = call.query.get("account_number", ""), call.query.get("bank_code", "")
        ghana = {**BANKS["GHS"], **NETWORKS["GHS"]}
        somebodys = is_somebodys(account, bank, BANKS["NGN"]) or is_somebodys(account, bank, ghana, "[0-9]{8,16}")
        if not somebodys:
            return _refuse(
                HTTPStatus.UNPROCESSABLE_ENTITY, "Could not resolve account name. Check parameters or try again."
            )
        found = {"account_number": account, "account_name": name_of(account)}
        return _tell_success(HTTPStatus.OK, "Account number resolved", found)

    def _balance(self, _: ServedCall) -> ServedAnswer:
        held = [{"currency": each, "balance": _kobo(amount)} for each, amount in self.transfers.wallets.items()]
        return _tell_success(HTTPStatus.OK, "Balances retrieved", held)

    def _tell(self, transfer: SimulatedTransfer) -> None:
        how = transfer.fate.webhook
        event, data = EVENTS[transfer.state], self.show(transfer)
        if how is Webhook.LYING:
            event = "transfer.failed" if transfer.state is TransferState.PAID else "transfer.success"
            data |= {"amount": _kobo(transfer.order.amount) + 1, "status": event.removeprefix("transfer.")}
        if how is Webhook.MISNAMED:
            data |= {"id": transfer.id - 1, "transfer_code": f"TRF_{transfer.id - 1}"}
        body = ENCODER.encode({"event": event, "data": data})
        key = FORGED if how is Webhook.FORGED else self.key
        self.courier.post(body, {"x-paystack-signature": hmac.digest(key.encode(), body, "sha512").hex()}, how)


def _kobo(amount: Decimal) -> int:
    return int(amount.scaleb(2))


def _recipient_code(bank: str, account: str) -> str:
    """Name a recipient: the same account is the same recipient."""
    return f"RCP_{hmac.digest(b'sandbox', f'{bank}/{account}'.encode(), 'sha256').hex()[:15]}"


def _tell_success(status: int, message: str, data: object) -> ServedAnswer:
    return ServedAnswer(status, {"status": True, "message": message, "data": data})


def _refuse(status: int, message: str, code: str = "validation_error") -> ServedAnswer:
    return ServedAnswer(status, {"status": False, "message": message, "code": code})
