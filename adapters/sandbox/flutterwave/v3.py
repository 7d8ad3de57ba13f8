"""The v3 face of the simulated gateway. Texts marked `invented` stand where the vendor documents none."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from http import HTTPStatus

from adapters.sandbox.agenda import stamp
from adapters.sandbox.flutterwave.countries import (
    ABROAD,
    BANKS,
    CURRENCIES,
    NO_DECIMALS,
    PAID_IN,
    WANTED,
    bank_name,
    fee_of,
    kind_of,
)
from adapters.sandbox.magic import FatedRefusal, is_somebodys, name_of
from adapters.sandbox.server import CallRefused, Handler, Route, ServedAnswer, ServedCall, ok
from adapters.sandbox.transfers import (
    NotNow,
    Order,
    SimulatedTransfer,
    TransferRefused,
    Transfers,
    TransferState,
    WalletRow,
)

PAGE = 10

STATUSES: Mapping[TransferState, str] = {
    TransferState.NEW: "NEW",
    TransferState.PENDING: "PENDING",
    TransferState.PAID: "SUCCESSFUL",
    TransferState.FAILED: "FAILED",
    TransferState.REVERSED: "REVERSED",  # invented: v3 documents no reversal at all
}

REFUSALS: Mapping[FatedRefusal, str] = {
    FatedRefusal.BLACKLISTED: "Payout was made to a blacklisted account number",
    FatedRefusal.UNRESOLVED: "Account resolve failed",
    FatedRefusal.SHORT: "Insufficient funds in customer wallet",  # invented: usually it is told later
    FatedRefusal.LIMIT: "You have exceeded your daily limit",  # invented: as SHORT
    FatedRefusal.CLOSED: "Transfers to this bank are currently not supported",  # invented
}

REQUIRED = ("account_bank", "account_number", "amount", "currency")
FOREIGN = ("FOREIGN-ACCOUNT", "FOREIGN-BANK")
"""What stands in the place of an account and a bank abroad, in the vendor's own sample."""
DUPLICATE = "Payout with this ref already exists"


@dataclass(slots=True)
class WordsV3:
    """What may be told in another way than usual."""

    reversal: str = STATUSES[TransferState.REVERSED]
    """The status of a transfer that was taken back: nobody knows what it would be."""


class V3:
    """Answers like API v3."""

    def __init__(self, transfers: Transfers, secret_key: str) -> None:
        self.words = WordsV3()
        self._transfers = transfers
        self._secret_key = secret_key

    def routes(self) -> list[Route]:
        """List what is answered."""
        table: list[tuple[str, str, Handler, bool]] = [
            ("POST", "/v3/transfers", self._create, True),
            ("GET", "/v3/transfers", self._list, False),
            ("GET", "/v3/transfers/fee", self._fee, False),
            ("GET", "/v3/transfers/{id}", self._get, False),
            ("POST", "/v3/transfers/{id}/retries", self._retry, True),
            ("GET", "/v3/transfers/{id}/retries", self._retries, False),
            ("GET", "/v3/balances", self._balances, False),
            ("GET", "/v3/balances/{currency}", self._balance, False),
            ("GET", "/v3/banks/{country}", self._banks, False),
            ("GET", "/v3/wallet/statement", self._history, False),
            ("POST", "/v3/accounts/resolve", self._resolve, False),
        ]
        return [Route(method, path, partial(self._let_in, do), pays) for method, path, do, pays in table]

    def show(self, transfer: SimulatedTransfer, *, fetched: bool = False) -> dict[str, object]:
        """Write a transfer as the API shows it."""
        order = transfer.order
        abroad = order.currency in ABROAD and order.kind == "bank"
        account, bank = FOREIGN if abroad else (self._transfers.written(transfer), order.bank)
        shown: dict[str, object] = {
            "id": transfer.id,
            "account_number": account,
            "bank_code": bank,
            "full_name": order.name or name_of(order.account),
            "created_at": stamp(transfer.created_at),
            "currency": order.currency,
            "debit_currency": order.currency,
            "amount": order.amount,
            "fee": transfer.fee if transfer.shows_fee else None,
            "status": self._status(transfer),
            "reference": order.reference,
            "meta": order.meta,
            "narration": order.narration,
            "complete_message": transfer.message,
            "requires_approval": int(transfer.needs_approval),
            "is_approved": int(transfer.approved or not transfer.needs_approval),
            "bank_name": "wallet" if order.kind == "wallet" else bank_name(order.bank) or "FA-BANK",
        }
        if fetched:
            shown |= {"approver": "N/A"}
        return shown

    def _status(self, transfer: SimulatedTransfer) -> str:
        if transfer.looks_failed:
            return STATUSES[TransferState.FAILED]
        return self.words.reversal if transfer.state is TransferState.REVERSED else STATUSES[transfer.state]

    def _let_in(self, handler: Handler, call: ServedCall) -> ServedAnswer:
        """Check the key first, then where the call comes from and whether transfers are on; in test mode too."""
        shown = call.headers.get("authorization", "")
        if not shown.startswith("Bearer "):
            raise refuse(HTTPStatus.UNAUTHORIZED, "Authorization required")
        switches = self._transfers.switches
        if shown != f"Bearer {self._secret_key}" or switches.key_revoked:
            raise refuse(HTTPStatus.UNAUTHORIZED, "Invalid authorization key")
        pays = "transfers" in call.path
        if pays and not switches.address_listed:
            raise refuse(HTTPStatus.BAD_REQUEST, "Please enable IP Whitelisting to access this service")
        if pays and not switches.transfers_enabled:
            raise refuse(HTTPStatus.BAD_REQUEST, "Transfers via API is not enabled on this account")  # invented
        return handler(call)

    def _create(self, call: ServedCall) -> ServedAnswer:
        order = self._order(call)
        try:
            self._transfers.turn_repeats_away(order)
            self._transfers.admit(order)
            if self._transfers.by_reference(order.reference):
                raise refuse(HTTPStatus.BAD_REQUEST, DUPLICATE)
            transfer = self._transfers.place(order)
        except TransferRefused as refused:
            raise refuse(HTTPStatus.BAD_REQUEST, REFUSALS[refused.refusal]) from refused
        return success("Transfer Queued Successfully", self.show(transfer))

    def _order(self, call: ServedCall) -> Order:
        """Read what is asked for; abroad the account stands in `meta` alone."""
        body = call.body
        currency, abroad = str(body.get("currency")), str(body.get("currency")) in ABROAD
        abroad = abroad and body.get("account_bank") != "flutterwave"
        for name in REQUIRED[2:] if abroad else REQUIRED:
            if body.get(name) in (None, ""):
                raise refuse(HTTPStatus.BAD_REQUEST, f"{name} is required")
        amount = body["amount"]
        if not isinstance(amount, Decimal | int) or isinstance(amount, bool) or not Decimal(amount) > 0:
            raise refuse(HTTPStatus.BAD_REQUEST, "amount must be a positive number")  # invented
        if currency not in PAID_IN:
            raise refuse(HTTPStatus.BAD_REQUEST, "Transfers to this currency is currently unavailable")
        if currency in NO_DECIMALS and Decimal(amount) % 1:
            raise refuse(HTTPStatus.BAD_REQUEST, "amount must be a whole number")  # invented
        meta = body.get("meta")
        known = meta[0] if isinstance(meta, list) and meta else meta
        known = known if isinstance(known, dict) else {}
        kind = "bank" if abroad else kind_of(currency, str(body["account_bank"]))
        for name in WANTED.get((currency, kind), ()):
            if not (known.get(name.removeprefix("meta.")) if name.startswith("meta.") else body.get(name)):
                raise refuse(HTTPStatus.BAD_REQUEST, f"{name.removeprefix('meta.')} is required")
        return Order(
            reference=str(body.get("reference") or f"flw_{len(self._transfers.all) + 1:016d}"),
            bank=str(known.get("bank_name") or "") if abroad else str(body["account_bank"]),
            account=str(known.get("account_number") or "") if abroad else str(body["account_number"]),
            amount=Decimal(amount),
            currency=currency,
            name=str(body.get("beneficiary_name") or ""),
            narration=str(body.get("narration") or ""),
            meta=[{_camel(name): text for name, text in known.items()}] if abroad else meta,
            kind=kind,
        )

    def _list(self, call: ServedCall) -> ServedAnswer:
        """Find transfers, newest first. Nothing found is an empty list and zeros, not a 404."""
        query = call.query
        first, last = query.get("from", "")[:10], (query.get("to") or "9")[:10]
        asked = self._transfers.newest(query.get("reference", ""), first, last)
        found = [transfer for transfer in asked if self._matches(transfer, query)]
        page = max(int(query.get("page") or 1), 1)
        shown = [self.show(transfer, fetched=True) for transfer in found[(page - 1) * PAGE : page * PAGE]]
        info = {
            "total": len(found),
            "current_page": page if found else 0,
            "total_pages": -(-len(found) // PAGE),
        }
        body = {"status": "success", "message": "Transfers fetched", "meta": {"page_info": info}, "data": shown}
        return ok(body)

    def _matches(self, transfer: SimulatedTransfer, query: Mapping[str, str]) -> bool:
        shown = self._transfers.visible if query.get("reference") else self._transfers.listed
        return shown(transfer) and query.get("status", "").upper() in ("", STATUSES[transfer.state])

    def _get(self, call: ServedCall) -> ServedAnswer:
        return success("Transfer fetched", self.show(self._known(call), fetched=True))

    def _retry(self, call: ServedCall) -> ServedAnswer:
        try:
            again = self._transfers.retry(self._known(call))
        except (NotNow, TransferRefused) as error_:
            raise refuse(HTTPStatus.BAD_REQUEST, "Transfer cannot be retried") from error_  # invented
        return success("Transfer retry attempt queued.", self.show(again))

    def _retries(self, call: ServedCall) -> ServedAnswer:
        shown = [self.show(again, fetched=True) for again in self._known(call).retries]
        return success("Transfer retry attempts retrieved.", shown)

    def _known(self, call: ServedCall) -> SimulatedTransfer:
        number = call.params["id"]
        transfer = self._transfers.by_id(int(number)) if number.isdecimal() else None
        if transfer is None:
            raise refuse(HTTPStatus.NOT_FOUND, "Transfer not found")  # invented
        return transfer

    def _fee(self, call: ServedCall) -> ServedAnswer:
        currency = call.query.get("currency", "NGN")
        kind = {"mobilemoney": "mobile_money", "wallet": "wallet"}.get(call.query.get("type", ""), "bank")
        fee = fee_of(Decimal(call.query.get("amount") or 0), currency, kind)
        return success("Transfer fee fetched", [{"currency": currency, "fee_type": "value", "fee": fee}])

    def _balance(self, call: ServedCall) -> ServedAnswer:
        currency = call.params["currency"]
        held = self._transfers.wallets.get(currency, Decimal(0))
        wallet = {"currency": currency, "available_balance": held, "ledger_balance": held}
        return success("Wallet balance fetched", wallet)

    def _balances(self, _: ServedCall) -> ServedAnswer:
        held = [
            {"currency": each, "available_balance": money, "ledger_balance": money}
            for each, money in self._transfers.wallets.items()
        ]
        return success("Wallet balances fetched", held)

    def _banks(self, call: ServedCall) -> ServedAnswer:
        country = call.params["country"]
        if country not in CURRENCIES:
            raise refuse(HTTPStatus.BAD_REQUEST, "Invalid country code")  # invented
        listed = enumerate(BANKS.get(country, {}).items(), start=1)
        banks = [{"id": number, "code": code, "name": name} for number, (code, name) in listed]
        return success("Banks fetched successfully", banks)

    def _history(self, call: ServedCall) -> ServedAnswer:
        """Show what moved a wallet, newest first: no row has an id, but each has what the wallet held around it."""
        query = call.query
        first, last = query.get("from", "")[:10], (query.get("to") or "9")[:10]
        rows = self._transfers.history.rows(query.get("currency") or "USD", first, last)[::-1]
        page = max(int(query.get("page") or 1), 1)
        shown = [_row(row) for row in rows[(page - 1) * PAGE : page * PAGE]]
        info = {"total": len(rows), "current_page": page, "total_pages": -(-len(rows) // PAGE)}
        return success("Wallet statement fetched", {"page_info": info, "transactions": shown})

    def _resolve(self, call: ServedCall) -> ServedAnswer:
        account, bank = (str(call.body.get(name) or "") for name in ("account_number", "account_bank"))
        if not is_somebodys(account, bank, BANKS["NG"]):  # its page names banks of Nigeria only
            raise refuse(HTTPStatus.BAD_REQUEST, "Sorry, that account number is invalid, please check and try again")
        return success("Account details fetched", {"account_number": account, "account_name": name_of(account)})


def _camel(name: str) -> str:
    """Write a name as the vendor's answers do, which is not as its requests do."""
    return "".join(part.capitalize() for part in name.split("_"))


def _row(row: WalletRow) -> dict[str, object]:
    moved = row.move.amount if row.move.says is None else row.move.says
    return {
        "type": "C" if row.move.amount > 0 else "D",
        "amount": abs(moved),
        "currency": row.move.currency,
        "balance_before": row.before,
        "balance_after": row.after,
        "reference": row.move.reference,
        "date": stamp(row.move.at),
        "remarks": row.move.remarks,
        "sent_currency": row.move.currency,
        "rate_used": 1,
        "sent_amount": abs(moved),
        "statement_type": "transfer",
    }


def success(message: str, data: object) -> ServedAnswer:
    """Wrap what was asked for."""
    return ok({"status": "success", "message": message, "data": data})


def error(status: int, message: str) -> ServedAnswer:
    """Wrap a refusal."""
    return ServedAnswer(status, {"status": "error", "message": message, "data": None})


def refuse(status: int, message: str) -> CallRefused:
    """End a request."""
    return CallRefused(message, error(status, message))
