"""The gateways that are set up: the rail that pays, what may be asked before, how webhooks prove themselves."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

import aiohttp

from adapters.flutterwave import methods as flutterwave_methods
from adapters.flutterwave import wire_v3, wire_v4
from adapters.flutterwave.credentials import ClientToken, is_test_key
from adapters.flutterwave.enquiries import EnquiriesV3, EnquiriesV4
from adapters.flutterwave.rail import FlutterwaveV3, FlutterwaveV4
from adapters.flutterwave.statement import FlutterwaveStatementV3, FlutterwaveStatementV4
from adapters.http import LIMITS, Credential, GatewayClient, HttpLimits, SecretKey
from adapters.paystack import methods as paystack_methods
from adapters.paystack import wire as paystack
from adapters.paystack.rail import Paystack
from adapters.paystack.statement import PaystackStatement
from machines.core.clock import Clock
from machines.core.errors import BadSettings
from machines.core.money import Money
from machines.core.ports import CallKind, Destination
from payflow.config import Settings, live_secrets
from payflow.desk.gateways import Gateway, GatewaySetup, Hooks
from payflow.store.budget import RailBudget
from payflow.store.store import Store

FLUTTERWAVE_HOOKS = ("/api/webhooks/flutterwave/payout_status", "/api/payout_status")
FEE_TYPES = {"bank": "account", "mobile_money": "mobilemoney", "wallet": "wallet"}
READ_PAUSE_S = LIMITS.read_pause_s
PAYSTACK_HOOKS = ("/api/webhooks/paystack/payout_status",)


async def open_gateways(
    settings: Settings, store: Store, clock: Clock, stack: AsyncExitStack
) -> Mapping[str, GatewaySetup]:
    """Open a session for the gateways that have credentials."""
    return setups(settings, store, clock, await stack.enter_async_context(aiohttp.ClientSession()))


def setups(
    settings: Settings, store: Store, clock: Clock, session: aiohttp.ClientSession, read_pause_s: float = READ_PAUSE_S
) -> Mapping[str, GatewaySetup]:
    """Set up each gateway that has credentials, over a session."""
    found: dict[str, GatewaySetup] = {}
    if settings.flutterwave_secret_key or settings.flutterwave_client_id:
        found["flutterwave"] = _flutterwave(settings, store, clock, session, HttpLimits(read_pause_s=read_pause_s))
    if settings.paystack_secret_key:
        keys = live_secrets(settings.paystack_secret_key)
        found["paystack"] = _paystack(settings, store, clock, session, keys, HttpLimits(read_pause_s=read_pause_s))
    return found


def _flutterwave(
    settings: Settings, store: Store, clock: Clock, session: aiohttp.ClientSession, limits: HttpLimits
) -> GatewaySetup:
    secrets = live_secrets(settings.flutterwave_webhook_hash)
    _check(settings)
    credential = _credential(settings, clock, session)
    budget = RailBudget(store.records, "flutterwave", settings.gateway_calls)

    def client(reads: CallKind) -> GatewayClient:
        return GatewayClient(session, "Flutterwave", settings.flutterwave_url, credential, clock, limits, budget, reads)

    looks, watches, asks = client(CallKind.LOOK), client(CallKind.WATCH), client(CallKind.PERSON)
    v3 = settings.flutterwave_version == "v3"
    rail = partial(FlutterwaveV3, marker=settings.flutterwave_test_marker) if v3 else FlutterwaveV4
    enquiries: type[EnquiriesV3 | EnquiriesV4] = EnquiriesV3 if v3 else EnquiriesV4

    async def holder(destination: Destination, currency: str) -> str:
        return await enquiries(looks).account_name(destination, currency)

    async def fee_v3(amount: Money, destination: Destination) -> Money:
        return await EnquiriesV3(looks).fee(amount, FEE_TYPES[destination.kind])

    async def wallet() -> list[Money]:
        return await enquiries(asks).balances()

    async def currencies() -> list[str]:
        return await store.ledger.currencies_of("flutterwave")

    def genuine(headers: Mapping[str, str], body: bytes) -> bool:
        return any(wire_v3.verify(headers, one) if v3 else wire_v4.verify(headers, body, one) for one in secrets)

    def signed(body: bytes) -> Mapping[str, str]:
        return wire_v3.signed(body, secrets[0]) if v3 else wire_v4.signed(body, secrets[0])

    read_hook = wire_v3.read_webhook if v3 else wire_v4.read_webhook
    hooks = Hooks("flutterwave", FLUTTERWAVE_HOOKS, genuine, signed, read_hook)
    payer = rail(looks)
    return GatewaySetup(
        payer,
        Gateway(resolve=holder, fee=fee_v3, methods=flutterwave_methods.V3, banks=enquiries(asks).banks)
        if v3
        # The pages of v4 name no fee.
        else Gateway(resolve=holder, methods=flutterwave_methods.V4, banks=enquiries(asks).banks),
        hooks if secrets else None,
        lists=payer,
        statement=FlutterwaveStatementV3(watches, currencies) if v3 else FlutterwaveStatementV4(watches),
        wallet=wallet,
        probe=rail(asks).probe,
        watching=rail(watches),
        asking=rail(asks),
    )


def _credential(settings: Settings, clock: Clock, session: aiohttp.ClientSession) -> Credential:
    """Take the key of v3, or the client of v4: one token for all of its clients."""
    if settings.flutterwave_version == "v3":
        key = settings.flutterwave_secret_key
        return SecretKey(key.get_secret_value() if key else "")
    secret = settings.flutterwave_client_secret
    return ClientToken(
        session,
        settings.flutterwave_token_url,
        settings.flutterwave_client_id or "",
        secret.get_secret_value() if secret else "",
        clock,
    )


def _check(settings: Settings) -> None:
    """Refuse what belongs to the other version: it would only be found out when somebody is to be paid."""
    if settings.flutterwave_version == "v3":
        if not settings.flutterwave_secret_key:
            raise BadSettings("FLUTTERWAVE_VERSION is v3, which needs FLUTTERWAVE_SECRET_KEY; a client is for v4.")
        if settings.flutterwave_test_marker and not is_test_key(settings.flutterwave_secret_key.get_secret_value()):
            raise BadSettings(
                "FLUTTERWAVE_TEST_MARKER is for a key of the test mode, and FLUTTERWAVE_SECRET_KEY is none."
            )
        return
    if not settings.flutterwave_client_id or not settings.flutterwave_client_secret:
        raise BadSettings("FLUTTERWAVE_VERSION is v4, which needs FLUTTERWAVE_CLIENT_ID and FLUTTERWAVE_CLIENT_SECRET.")
    if settings.flutterwave_url == Settings.model_fields["flutterwave_url"].default:
        raise BadSettings("FLUTTERWAVE_VERSION is v4, and FLUTTERWAVE_URL is the address of v3: set the host of v4.")


def _paystack(
    settings: Settings,
    store: Store,
    clock: Clock,
    session: aiohttp.ClientSession,
    keys: Sequence[str],
    limits: HttpLimits,
) -> GatewaySetup:
    budget = RailBudget(store.records, "paystack", settings.gateway_calls)

    credential = SecretKey(keys[0])

    def client(reads: CallKind) -> GatewayClient:
        return GatewayClient(session, "Paystack", settings.paystack_url, credential, clock, limits, budget, reads)

    def rail(reads: CallKind) -> Paystack:
        return Paystack(client(reads))

    def genuine(headers: Mapping[str, str], body: bytes) -> bool:
        return any(paystack.verify(headers, body, key) for key in keys)

    asking = rail(CallKind.PERSON)
    hooks = Hooks(
        "paystack", PAYSTACK_HOOKS, genuine, lambda body: paystack.signed(body, keys[0]), paystack.read_webhook
    )

    payer = rail(CallKind.LOOK)
    return GatewaySetup(
        payer,
        Gateway(resolve=rail(CallKind.LOOK).account_name, methods=paystack_methods.METHODS, banks=asking.banks),
        hooks,
        lists=payer,
        statement=PaystackStatement(client(CallKind.WATCH)),
        wallet=asking.balances,
        probe=asking.probe,
        watching=rail(CallKind.WATCH),
        asking=asking,
    )
