"""What somebody signs with an Ethereum account to say something: a message as EIP-4361 has it, so that wallets show it.

It names the site, the chain, the account, one nonce and two times: what was signed for one thing is good for no other.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from machines.core.chain import Address
from machines.core.clock import SECOND, Millis


@dataclass(frozen=True, slots=True)
class SignInMessage:
    """One message, to be signed once."""

    uri: str
    """The page where it is asked for; its host is what the wallet compares with the page that asks."""
    chain_id: int
    address: Address
    """Whose signature is wanted."""
    statement: str
    """What is said by signing: one line."""
    nonce: str
    """Letters and digits, at least eight, never used before."""
    issued_at: Millis
    expires_at: Millis

    @property
    def text(self) -> str:
        """The words to be signed."""
        return "\n".join(
            (
                f"{urlsplit(self.uri).netloc} wants you to sign in with your Ethereum account:",
                self.address,
                "",
                self.statement,
                "",
                f"URI: {self.uri}",
                "Version: 1",
                f"Chain ID: {self.chain_id}",
                f"Nonce: {self.nonce}",
                f"Issued At: {_iso(self.issued_at)}",
                f"Expiration Time: {_iso(self.expires_at)}",
            )
        )


def _iso(at: Millis) -> str:
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%Y-%m-%dT%H:%M:%S}Z"
