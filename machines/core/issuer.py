"""What the desk knows of an identity provider, which vouches for people who work here: values, and the port to it."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Protocol

from machines.core.clock import Millis


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """One sign-in: what the answer to it must show."""

    back: str
    """Where people come back to."""
    state: str
    nonce: str
    verifier: str
    """What only we know of the challenge that was sent along (PKCE)."""
    fresh_since: Millis | None = None
    """Since when they must have proven who they are, where that was asked for."""

    @property
    def challenge(self) -> str:
        """What is sent along."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class VouchedSubject:
    """Who somebody is, on the word of the identity provider."""

    issuer: str
    subject: str
    email: str = ""
    """Only where the provider says that it checked it."""
    name: str = ""
    """What the claim for names says; empty where it says nothing."""
    groups: frozenset[str] = frozenset()
    proven_at: Millis | None = None
    """When they proved it to the provider; None where it does not say."""


class Issuer(Protocol):
    """An identity provider. Raises `IssuerUnavailable`, and `NotAllowed` for whom it does not vouch for."""

    @property
    def host(self) -> str:
        """What people know it by."""

    async def sign_in_url(self, asked: AuthRequest) -> str:
        """Say where somebody is sent."""

    async def who(self, asked: AuthRequest, code: str, issuer: str) -> VouchedSubject:
        """Tell who came back with a code; `issuer` is who answered, where that was said."""
