"""The v4 face of the simulated gateway. Texts and types marked `invented` stand where the vendor documents none."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from urllib.parse import parse_qs

from adapters.sandbox.agenda import stamp
from adapters.sandbox.flutterwave.countries import BANKS, NETWORKS, NO_DECIMALS, PAID_IN
from adapters.sandbox.magic import PAYS, Ends, Fate, FatedRefusal, is_somebodys, name_of
from adapters.sandbox.server import CallRefused, Handler, Route, ServedAnswer, ServedCall, ok
from adapters.sandbox.transfers import Order, SimulatedTransfer, TransferRefused, Transfers, TransferState
from machines.core.clock import SECOND

TOKEN_PATH = "/realms/flutterwave/protocol/openid-connect/token"  # noqa: S105  (a path, not a secret)
TOKEN_S = 600
REFERENCE_CHARS = range(6, 43)
KEY_CHARS = range(12, 256)

STATUSES: Mapping[TransferState, str] = {
    TransferState.NEW: "NEW",
    TransferState.PENDING: "PENDING",
    TransferState.PAID: "SUCCESSFUL",
    TransferState.FAILED: "FAILED",
    TransferState.REVERSED: "FAILED",  # with a `reversal` beside it, in the API reference's own sample
}

# What `X-Scenario-Key` can ask for without an error; every other documented value is refused by its own name.
SCENARIOS: Mapping[str, Fate] = {
    "successful": PAYS,
    "pending": Fate(Ends.NEVER),
}
SCENARIO_ERRORS = frozenset(
    {
        "amount_below_limit_error",
        "amount_exceed_limit_error",
        "currency_amount_below_limit",
        "currency_amount_exceed_limit",
        "invalid_amount",
        "invalid_amount_validation",
        "day_limit_error",
        "day_transfer_limit_exceeded",
        "month_limit_error",
        "month_transfer_limit_exceeded",
        "account_resolved_failed",
        "no_account_found",
        "blocked_bank",
        "insufficient_balance",
        "invalid_currency",
        "invalid_wallet_currency",
        "duplicate_reference",
        "invalid_reference",
        "invalid_reference_length",
        "file_too_large",
        "invalid_bulk_data",
        "invalid_payouts",
        "payout_creation_error",
        "disabled_transfer",
        "unavailable_transfer_option",
    }
)

REFUSALS: Mapping[FatedRefusal, str] = {
    FatedRefusal.SHORT: "insufficient_balance",
    FatedRefusal.UNRESOLVED: "account_resolved_failed",
    FatedRefusal.LIMIT: "day_transfer_limit_exceeded",
}


@dataclass(slots=True)
class Habits:
    """What nobody documents about idempotency."""

    key_ttl_s: float | None = None
    """For how long a first answer is kept; for ever when None."""
    keeps_refusals: bool = False
    """Whether a refusal is kept and given again, too."""


class V4:
    """Answers like API v4."""

    def __init__(self, transfers: Transfers, client_id: str, client_secret: str) -> None:
        self.habits = Habits()
        self.tokens: dict[str, int] = {}
        """The tokens that were handed out, and until when they hold."""
        self._transfers = transfers
        self._client = (client_id, client_secret)
        self._answers: dict[str, tuple[int, ServedAnswer]] = {}

    def routes(self) -> list[Route]:
        """List what is answered."""
        table: list[tuple[str, str, Handler, bool]] = [
            ("POST", "/direct-transfers", self._create, True),
            ("POST", "/transfers", self._create, True),
            ("GET", "/transfers", self._list, False),
            ("GET", "/transfers/{id}", self._get, False),
            ("POST", "/banks/account-resolve", self._resolve, False),
            ("GET", "/wallets/balances", self._balances, False),
            ("GET", "/banks", self._banks, False),
        ]
        return [
            Route("POST", TOKEN_PATH, self._token),
            *(Route(method, f"/v4{path}", partial(self._let_in, do), pays) for method, path, do, pays in table),
        ]

    def show(self, transfer: SimulatedTransfer) -> dict[str, object]:
        """Write a transfer as the API shows it."""
        order = transfer.order
        shown: dict[str, object] = {
            "id": name(transfer),
            "type": order.kind,
            "action": "instant",
            "reference": order.reference,
            "status": STATUSES[transfer.state],
            "source_currency": order.currency,
            "destination_currency": order.currency,
            "amount": {"value": order.amount, "applies_to": "destination_currency"},
            "recipient": {
                "type": order.kind,
                "name": {"full": name_of(order.account)},
                **recipient(order, self._transfers.written(transfer)),
            },
            "meta": order.meta,
            "created_datetime": stamp(transfer.created_at),
            "fee": {"currency": order.currency, "value": transfer.fee},
        }
        if transfer.message:
            shown["provider_response"] = {"type": "transfer", "code": "00", "message": transfer.message}
        if transfer.reversed_at is not None and not transfer.looks_failed:
            shown["reversal"] = reversal(transfer)
        if transfer.parent is not None:
            shown["retry"] = {"parent_id": name(transfer.parent), "parent_reference": transfer.parent.reference}
        return shown

    def _token(self, call: ServedCall) -> ServedAnswer:
        form = parse_qs(call.raw.decode())
        shown = tuple(form.get(part, [""])[0] for part in ("client_id", "client_secret"))
        if shown != self._client or self._transfers.switches.key_revoked:
            return ServedAnswer(HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"})
        token = f"v4-token-{len(self.tokens) + 1}"
        self.tokens[token] = self._transfers.agenda.now() + TOKEN_S * SECOND
        return ServedAnswer(
            HTTPStatus.OK,
            {
                "access_token": token,
                "expires_in": TOKEN_S,
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "profile email",
            },
        )

    def _let_in(self, handler: Handler, call: ServedCall) -> ServedAnswer:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        switches = self._transfers.switches
        if switches.key_revoked or self.tokens.get(token, 0) <= self._transfers.agenda.now():
            raise refuse(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "10401", "Unauthorized")
        if not switches.transfers_enabled and "transfers" in call.path:
            raise refuse(HTTPStatus.FORBIDDEN, "DISABLED_TRANSFER", "10403", "Transfers are disabled")  # invented
        return self._once(call, handler) if call.method == "POST" else handler(call)

    def _once(self, call: ServedCall, handler: Handler) -> ServedAnswer:
        """Answer a key that was seen as it was answered then, whatever the body says now."""
        key = call.headers.get("x-idempotency-key", "")
        if key and len(key) not in KEY_CHARS:
            raise refuse(
                HTTPStatus.BAD_REQUEST, "REQUEST_NOT_VALID", "10400", "X-Idempotency-Key: 12 to 255 characters"
            )
        if handler == self._create:  # invented: whether anything is checked before the key, nobody documents
            try:
                self._transfers.turn_repeats_away(self._order(call))
            except TransferRefused as refused:
                raise _refused(refused.refusal) from refused
        now, key_ttl_s = self._transfers.agenda.now(), self.habits.key_ttl_s
        if key in self._answers:
            at, answer = self._answers[key]
            if key_ttl_s is None or now < at + key_ttl_s * SECOND:
                return ServedAnswer(answer.status, answer.body, {"X-Idempotency-Cache-Hit": "true"})
        try:
            answer = handler(call)
        except CallRefused as refused:
            if key and self.habits.keeps_refusals:
                self._answers[key] = (now, refused.answer)
            raise
        if key:
            self._answers[key] = (now, answer)
        return answer

    def _create(self, call: ServedCall) -> ServedAnswer:
        scenario = call.headers.get("x-scenario-key", "").removeprefix("scenario:")
        if scenario in SCENARIO_ERRORS:
            raise _by_scenario(scenario)
        order = self._order(call)
        if len(order.reference) not in REFERENCE_CHARS:
            raise _not_valid("reference must be 6 to 42 characters")
        try:
            self._transfers.admit(order)
            if self._transfers.by_reference(order.reference):
                raise _taken()
            # A scenario that nobody knows leaves a transfer pending.
            chosen = SCENARIOS.get(scenario, Fate(Ends.NEVER)) if scenario else None
            transfer = self._transfers.place(order, chosen=chosen)
        except TransferRefused as refused:
            raise _refused(refused.refusal) from refused
        return ServedAnswer(HTTPStatus.CREATED, _wrapped("Transfer created", self.show(transfer)))

    def _order(self, call: ServedCall) -> Order:
        body = call.body
        wanted = body.get("payment_instruction")
        if not isinstance(wanted, dict):
            raise _not_valid("payment_instruction is required")
        to = wanted.get("recipient")
        amount = (wanted.get("amount") or {}).get("value")
        if not isinstance(to, dict) or not isinstance(amount, Decimal | int) or not Decimal(amount) > 0:
            raise _not_valid("recipient and a positive amount are required")
        bank, wallet = to.get("bank") or {}, to.get("mobile_money") or {}
        itself, currency = to.get("wallet") or {}, str(wanted.get("destination_currency") or "")
        if currency not in PAID_IN or (currency in NO_DECIMALS and Decimal(amount) % 1):
            raise _by_scenario("invalid_currency" if currency not in PAID_IN else "invalid_amount")
        if wallet and currency != "NGN" and wallet.get("network") not in NETWORKS.get(currency, ()):
            raise _not_valid("network is invalid")  # invented
        return Order(
            reference=str(body.get("reference") or f"flw{len(self._transfers.all) + 1:016d}"),
            bank=str(bank.get("code") or wallet.get("network") or itself.get("provider") or ""),
            account=str(bank.get("account_number") or wallet.get("phone_number") or itself.get("identifier") or ""),
            amount=Decimal(amount),
            currency=currency,
            narration=str(body.get("narration") or ""),
            meta=body.get("meta"),
            kind=str(body.get("type") or "bank"),
        )

    def _get(self, call: ServedCall) -> ServedAnswer:
        return ok(_wrapped("Transfer fetched", self.show(self._known(call))))

    def _list(self, call: ServedCall) -> ServedAnswer:
        """List transfers, newest first; an independent client pages so, the vendor's page says little."""
        found = [each for each in reversed(self._transfers.all) if self._transfers.listed(each)]
        page, size = int(call.query.get("page") or 1), int(call.query.get("size") or 10)
        shown = [self.show(each) for each in found[(page - 1) * size : page * size]]
        return ok(_wrapped("Transfers fetched", shown))

    def _known(self, call: ServedCall) -> SimulatedTransfer:
        digits = call.params["id"].removeprefix("trf_")
        transfer = self._transfers.by_id(int(digits)) if digits.isdecimal() else None
        if transfer is None:
            raise refuse(HTTPStatus.NOT_FOUND, "TRANSFER_NOT_FOUND", "301404", "Transfer not found")
        return transfer

    def _resolve(self, call: ServedCall) -> ServedAnswer:
        asked = call.body.get("account") or {}
        account, bank = (str(asked.get(name) or "") for name in ("number", "code"))
        if not is_somebodys(account, bank, BANKS["NG"]):
            raise _not_valid("account number is invalid")
        data = {"account_number": account, "account_name": name_of(account)}
        return ok(_wrapped("Account details fetched", data))

    def _banks(self, call: ServedCall) -> ServedAnswer:
        listed = enumerate(BANKS.get(call.query.get("country", ""), {}).items(), start=1)
        banks = [{"id": f"bnk_{number}", "code": code, "name": name} for number, (code, name) in listed]
        return ok(_wrapped("Banks fetched", banks))

    def _balances(self, _: ServedCall) -> ServedAnswer:
        held = [{"currency": each, "available_balance": money} for each, money in self._transfers.wallets.items()]
        return ok(_wrapped("Wallet balances fetched", held))


def name(transfer: SimulatedTransfer) -> str:
    """Call a transfer as v4 does."""
    return f"trf_{transfer.id}"


def recipient(order: Order, number: str | int) -> dict[str, object]:
    """Repeat who is paid."""
    if order.kind == "mobile_money":
        return {"mobile_money": {"network": order.bank, "phone_number": number}}
    if order.kind == "wallet":
        return {"wallet": {"provider": order.bank, "identifier": number}}
    return {"bank": {"account_number": number, "code": order.bank}}


def reversal(transfer: SimulatedTransfer) -> dict[str, object]:
    """Say that a success was undone."""
    return {
        "reversal_datetime": stamp(transfer.reversed_at or 0),
        "initial_status": "SUCCESSFUL",
        "reconciliation_status": "REVERSED",
        "reconciliation_type": "automatic",
    }


def error(status: int, kind: str, code: str, message: str) -> ServedAnswer:
    """Wrap a refusal."""
    fault = {"type": kind, "code": code, "message": message, "validation_errors": []}
    return ServedAnswer(status, {"status": "failed", "error": fault})


def refuse(status: int, kind: str, code: str, message: str) -> CallRefused:
    """End a request."""
    return CallRefused(message, error(status, kind, code, message))


def _wrapped(message: str, data: object) -> dict[str, object]:
    return {"status": "success", "message": message, "data": data}


def _not_valid(message: str) -> CallRefused:
    return refuse(HTTPStatus.BAD_REQUEST, "REQUEST_NOT_VALID", "10400", message)


def _taken() -> CallRefused:
    return refuse(HTTPStatus.CONFLICT, "REFERENCE_ALREADY_EXISTS", "201409", "Transfer with reference already exists")


def _by_scenario(scenario: str) -> CallRefused:
    if scenario == "duplicate_reference":
        return _taken()
    return refuse(HTTPStatus.BAD_REQUEST, scenario.upper(), "10400", scenario.replace("_", " "))  # invented type


def _refused(refusal: FatedRefusal) -> CallRefused:
    return _by_scenario(REFUSALS.get(refusal, "blocked_bank"))
