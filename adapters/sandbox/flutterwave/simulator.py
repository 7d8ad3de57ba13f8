"""The simulated Flutterwave as a whole."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Literal

from adapters.sandbox.flutterwave import v3, v4
from adapters.sandbox.flutterwave.countries import fee_of
from adapters.sandbox.gateway import PLENTY, SimulatedGateway
from adapters.sandbox.magic import STAYS, Fate, Webhook
from adapters.sandbox.server import ENCODER, Route, ServedAnswer, ServedCall
from adapters.sandbox.transfers import SimulatedTransfer, TransferState
from machines.core.clock import Clock

UNAVAILABLE = "An error occurred. Please contact support"
FORGED = "not-the-secret"


@dataclass(frozen=True, slots=True)
class FlutterwaveKeys:
    """What the account's dashboard shows."""

    secret_key: str = "FLWSECK_TEST-sandbox-X"  # noqa: S105  (opens nothing but this simulator)
    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-client-secret"  # noqa: S105
    secret_hash: str = "sandbox-secret-hash"  # noqa: S105


class FlutterwaveSimulator(SimulatedGateway):
    """API v3 under /v3, v4 under /v4, the identity server's token path, and `/_sandbox`.

    What becomes of a transfer without magic is `otherwise`. True to the vendor's test mode, it stays pending for ever.
    """

    def __init__(
        self,
        clock: Clock,
        otherwise: Fate = STAYS,
        wallets: Mapping[str, Decimal] = PLENTY,
        *,
        webhooks: Literal["v3", "v4", "v4-verbatim"] = "v3",
        keys: FlutterwaveKeys = FlutterwaveKeys(),
    ) -> None:
        self.keys = keys
        self.webhooks = webhooks
        super().__init__(clock, otherwise, wallets)
        self.transfers.on_news.append(self._tell)
        self.transfers.fees = fee_of

    def faces(self) -> list[Route]:
        """List what both APIs answer."""
        self.v3 = v3.V3(self.transfers, self.keys.secret_key)
        self.v4 = v4.V4(self.transfers, self.keys.client_id, self.keys.client_secret)
        return [*self.v3.routes(), *self.v4.routes()]

    @property
    def v3_url(self) -> str:
        """The base of API v3."""
        return f"{self.url}/v3"

    @property
    def v4_url(self) -> str:
        """The base of API v4."""
        return f"{self.url}/v4"

    @property
    def token_url(self) -> str:
        """Where tokens for v4 come from."""
        return self.url + v4.TOKEN_PATH

    def unavailable(self, call: ServedCall) -> ServedAnswer:
        """Answer as after 28 seconds."""
        if call.path.startswith("/v4"):
            return v4.error(HTTPStatus.SERVICE_UNAVAILABLE, "INTERNAL_SERVER_ERROR", "10500", UNAVAILABLE)
        return v3.error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE)

    def destination(self, call: ServedCall) -> str:
        """Find the account in either version's body."""
        wanted = call.body.get("payment_instruction")
        to = wanted.get("recipient") if isinstance(wanted, dict) else None
        meta = call.body.get("meta")
        abroad = meta[0] if isinstance(meta, list) and meta else {}
        kinds = (to.get(kind) for kind in ("bank", "mobile_money", "wallet")) if isinstance(to, dict) else ()
        bank = next(filter(None, kinds), {} if isinstance(to, dict) else call.body)
        names = ("account_number", "phone_number", "identifier")
        return str(next((bank[name] for name in names if bank.get(name)), None) or abroad.get("account_number") or "")

    def _tell(self, transfer: SimulatedTransfer) -> None:
        how = transfer.fate.webhook
        build = self._v3_news if self.webhooks == "v3" else self._v4_news
        news = build(transfer, lie=how is Webhook.LYING)
        if news is not None:
            body = ENCODER.encode(news)
            self.courier.post(body, self._signed(body, forged=how is Webhook.FORGED), how)

    def _v3_news(self, transfer: SimulatedTransfer, *, lie: bool) -> dict[str, object] | None:
        """Write v3's only event. Its data has `fullname` where the API says `full_name`."""
        if transfer.state is TransferState.REVERSED:
            return None  # v3 documents no such event
        data = self.v3.show(transfer, fetched=True)
        data["fullname"] = data.pop("full_name")
        if lie:
            data |= {"amount": transfer.order.amount + 1, "status": _opposite(transfer)}
        if transfer.fate.webhook is Webhook.MISNAMED:
            data["id"] = transfer.id - 1
        return {"event": "transfer.completed", "event.type": "Transfer", "data": data}

    def _v4_news(self, transfer: SimulatedTransfer, *, lie: bool) -> dict[str, object]:
        """Write v4's events. Its amount is a bare number here, whatever the API's object looks like."""
        data = self.v4.show(transfer) | {"type": transfer.order.kind.upper(), "amount": transfer.order.amount}
        if lie:
            data |= {"amount": transfer.order.amount + 1, "status": _opposite(transfer)}
        if transfer.fate.webhook is Webhook.MISNAMED:
            data["id"] = f"trf_{transfer.id - 1}"
        return {
            "webhook_id": f"wbk_{len(self.courier.deliveries) + 1:012d}",
            "timestamp": self.agenda.now(),
            "type": "transfer.reversal" if transfer.state is TransferState.REVERSED else "transfer.disburse",
            "data": data,
        }

    def _signed(self, body: bytes, *, forged: bool) -> dict[str, str]:
        secret = FORGED if forged else self.keys.secret_hash
        match self.webhooks:
            case "v3":
                return {"verif-hash": secret}
            case "v4":
                digest = hmac.digest(secret.encode(), body, "sha256")
                return {"flutterwave-signature": base64.b64encode(digest).decode()}
            case "v4-verbatim":
                return {"flutterwave-signature": secret}


def _opposite(transfer: SimulatedTransfer) -> str:
    return "FAILED" if transfer.state is TransferState.PAID else "SUCCESSFUL"
