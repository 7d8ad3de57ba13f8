"""Payflow with its world simulated: a gateway and a mail server on loopback, that the real adapters talk to."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from adapters.sandbox.flutterwave.simulator import FlutterwaveSimulator
from adapters.sandbox.magic import PAYS
from adapters.sandbox.mail import MailSink
from machines.core.clock import SystemClock
from payflow.app import opened, parts, serve
from payflow.config import Settings
from payflow.store.store import Store
from payflow.store.tokens import Role, Tokens

TOKENS_FILE = "tokens.env"

# Who holds a token in the sandbox: name, role, and the platform or provider that it is bound to.
PEOPLE = (
    ("shop", Role.PLATFORM, "shop"),
    ("ann", Role.PROVIDER, "ann"),
    ("rita", Role.REVIEWER, ""),
    ("rob", Role.REVIEWER, ""),
    ("olu", Role.OPERATOR, ""),
    ("vic", Role.VIEWER, ""),
)


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is, once it runs."""

    payflow: str
    flutterwave: str
    mail: str
    """The mail server."""
    mails: str
    """Where its mails can be read."""
    webhook_hash: str
    tokens: Mapping[str, str]
    tokens_file: Path
    data: Path


async def play(settings: Settings, announce: Callable[[World], None]) -> None:
    """Run the sandbox until a signal comes."""
    async with FlutterwaveSimulator(SystemClock(), otherwise=PAYS) as gateway, MailSink() as mails:
        gateway.control.mails = mails.mails
        read_mails = f"{gateway.url}/_sandbox/mails"
        settings = settings.model_copy(
            update={
                "flutterwave_version": "v3",
                "flutterwave_url": gateway.v3_url,
                "flutterwave_secret_key": SecretStr(gateway.keys.secret_key),
                "flutterwave_webhook_hash": SecretStr(gateway.keys.secret_hash),
                "batch_schedule": "instant",
                "retry_after_s": (5.0, 10.0, 20.0),
                "settle_window_s": 5.0,
                "mail": SecretStr(mails.url),
                "reviewers": ("mailto:reviewers@sandbox.example",),
            }
        )
        async with opened(settings, parts) as payflow:
            tokens = await _tokens(payflow.store, settings.data, read_mails)

        def announced(_: str, address: str) -> None:
            gateway.courier.url = f"{address}/api/webhooks/flutterwave/payout_status"
            announce(
                World(
                    address,
                    gateway.url,
                    mails.url,
                    read_mails,
                    gateway.keys.secret_hash,
                    tokens,
                    settings.data / TOKENS_FILE,
                    settings.data,
                )
            )

        await serve(settings, parts, announced)


async def _tokens(store: Store, folder: Path, mails: str) -> dict[str, str]:
    """Read the demo tokens, or make them. They are kept in a file for shells, which also says where mails are read."""
    path = folder / TOKENS_FILE
    tokens = await _kept(Tokens(store.link), _written(path)) or await _made(Tokens(store.link))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in {**tokens, "MAILS": mails}.items())
    return tokens


def _written(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines)


async def _kept(tokens: Tokens, written: Mapping[str, str]) -> dict[str, str]:
    """Take the tokens of an earlier sandbox; none where one of them opens nothing any more."""
    found = {name.upper(): written.get(name.upper(), "") for name, _, _ in PEOPLE}
    return found if all([await tokens.find(secret) for secret in found.values()]) else {}


async def _made(tokens: Tokens) -> dict[str, str]:
    """Make the tokens anew."""
    in_use = {token.name for token in await tokens.all() if token.revoked_at is None}
    made = {}
    for name, role, of in PEOPLE:
        if name in in_use:
            await tokens.revoke(name, "sandbox")
        made[name.upper()] = await tokens.create(name, role, of, "sandbox")
    return made
