"""The gateways that settings can choose: each a simulator, the settings that lead to it, and where its webhooks go."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.gateway import SimulatedGateway
from adapters.sandbox.magic import PAYS
from adapters.sandbox.paystack.simulator import PaystackSimulator
from adapters.sandbox.transfers import Book
from machines.core.clock import FixedClock
from payflow.app.gateways import FLUTTERWAVE_HOOKS, PAYSTACK_HOOKS


@dataclass(frozen=True, slots=True)
class Bank:
    """One gateway that pays."""

    gateway: SimulatedGateway
    settings: Callable[[], dict[str, Any]]
    """What leads to it, once it listens."""
    hook: str
    """Where we hear it."""


Choice = Callable[[FixedClock], Bank]


def v3(clock: FixedClock) -> Bank:
    """Flutterwave by the secret key of v3."""
    gateway = FlutterwaveSimulator(clock, PAYS)
    return Bank(
        gateway,
        lambda: {
            "flutterwave_url": gateway.v3_url,
            "flutterwave_secret_key": gateway.keys.secret_key,
            "flutterwave_webhook_hash": gateway.keys.secret_hash,
        },
        FLUTTERWAVE_HOOKS[0],
    )


def v4(clock: FixedClock) -> Bank:
    """Flutterwave by the client of v4."""
    gateway = FlutterwaveSimulator(clock, PAYS, webhooks="v4")
    return Bank(
        gateway,
        lambda: {
            "flutterwave_version": "v4",
            "flutterwave_url": gateway.v4_url,
            "flutterwave_token_url": gateway.token_url,
            "flutterwave_client_id": gateway.keys.client_id,
            "flutterwave_client_secret": gateway.keys.client_secret,
            "flutterwave_webhook_hash": gateway.keys.secret_hash,
        },
        FLUTTERWAVE_HOOKS[0],
    )


def paystack(clock: FixedClock) -> Bank:
    """The other gateway."""
    gateway = PaystackSimulator(clock, PAYS)
    return Bank(
        gateway,
        lambda: {"payout_rail": "paystack", "paystack_url": gateway.url, "paystack_secret_key": gateway.key},
        PAYSTACK_HOOKS[0],
    )


def paid_to(book: Book, account: str) -> Decimal:
    """Sum up what reached an account, less what came back."""
    return sum((entry.amount for entry in book if entry.account == account), Decimal(0))
