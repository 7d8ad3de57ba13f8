"""Signers elsewhere: Clef, Web3Signer, or a node with an unlocked account, asked by `eth_signTransaction`.

What comes back is not believed: it is decoded, and must be what was asked for, field by field, signed by whom it
should be. Signing is harmless to repeat, so whatever breaks on the way is `Retryable`.
"""

from http import HTTPStatus

import aiohttp
import msgspec

from adapters.addresses import checksummed
from adapters.ethereum import envelope
from adapters.ethereum.endpoint import names
from adapters.ethereum.envelope import Raw, RpcCall, RpcFault, Said, Unreadable
from adapters.ethereum.refusals import METHOD_CODES
from adapters.ethereum.transactions import Undecodable, decoded, fields, signed
from adapters.http import HttpLimits, NoReply, exchange, split_login
from machines.core.chain import SignedTransaction, Unsigned
from machines.core.errors import BadSettings, RailClosed, Retryable

RAIL = "ethereum"
LIMITS = HttpLimits(body_bytes=4 * 1024 * 1024)

SIGNING = ("eth_signTransaction", "account_signTransaction")
"""Nodes and Web3Signer know the first, Clef itself the second."""
LISTING = ("eth_accounts", "account_list")

LOCKED = (
    # the message contains, in lower case; who says it
    ("unknown account", "geth"),
    ("no such account", "geth"),
    ("authentication needed", "geth, nethermind: the account is locked"),
    ("account is locked", "openethereum, parity"),
    ("request denied", "clef: a rule or a person said no"),
    ("signer not found", "web3signer"),
    ("no signer available", "anvil"),
    ("from address", "web3signer: it has no key of that address"),
)


class _Answer(msgspec.Struct):
    raw: str


class RemoteSigner:
    """Lets somebody else sign for one address."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        address: str,
        chain_id: int,
        *,
        rail: str = RAIL,
        wait_s: float = 30.0,
    ) -> None:
        self._session = session
        self._url, self._headers = split_login(url)
        self._name = names([url])[0]
        self._chain_id = chain_id
        self._rail = rail
        self._wait_s = wait_s
        self._method: str | None = None
        try:
            self.address = checksummed(address)
        except ValueError as error:
            raise BadSettings(f"The signer's address cannot be read: {error}.") from error

    def __repr__(self) -> str:
        return f"RemoteSigner({self.address} at {self._name})"

    async def check(self) -> None:
        """See at opening that it signs, and for the account; `BadSettings` otherwise, `Retryable` when it is down."""
        # Without parameters nothing is signed and nobody is asked: only whether there is such a method is told.
        probes = [await self._ask(RpcCall(method)) for method in SIGNING]
        if all(isinstance(said, RpcFault) and _lacks_method(said) for said in probes):
            raise BadSettings(self._no_method())
        for method in LISTING:
            accounts = _accounts(await self._ask(RpcCall(method)))
            if accounts is None:
                continue  # one that shows no list is judged by what it signs
            if self.address.lower() not in accounts:
                raise BadSettings(f"The signer at {self._name} has no account {self.address}.")
            return

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """Sign exactly this; `Retryable` when the signer is down, `RailClosed` when it signs for somebody else."""
        if unsigned.chain_id != self._chain_id:
            raise RailClosed(f"{self!r} signs for chain {self._chain_id} only.", rail=self._rail)
        numbers = {name: hex(value) if isinstance(value, int) else value for name, value in fields(unsigned).items()}
        transaction = {"from": self.address} | numbers
        said = await self._signed(transaction)
        if isinstance(said, RpcFault):
            raise self._refused(said)
        raw = self._bytes(said)
        try:
            says, sender = decoded(raw)
        except Undecodable as error:
            raise RailClosed(f"The signer at {self._name} answered {error}.", rail=self._rail) from error
        if sender != self.address:
            raise RailClosed(f"The signer at {self._name} signed for {sender}, not {self.address}.", rail=self._rail)
        if says != _plain(unsigned):
            changed = [name for name in unsigned.__slots__ if getattr(says, name) != getattr(_plain(unsigned), name)]
            raise RailClosed(f"The signer at {self._name} changed {' and '.join(changed)}.", rail=self._rail)
        return signed(raw)

    async def _signed(self, transaction: dict[str, object]) -> Said:
        said: Said = RpcFault(0, "")
        for method in SIGNING if self._method is None else (self._method,):
            said = await self._ask(RpcCall(method, (transaction,)))
            if not isinstance(said, RpcFault) or not _lacks_method(said):
                self._method = method
                return said
        self._method = None
        return said

    def _refused(self, fault: RpcFault) -> Retryable:
        if _lacks_method(fault):
            return RailClosed(self._no_method(), rail=self._rail)
        words = f"The signer at {self._name} refused: {fault.words} ({fault.code})."
        if any(part in fault.words.lower() for part, _ in LOCKED):
            return RailClosed(words, rail=self._rail)
        return Retryable(words)

    def _no_method(self) -> str:
        return (
            f"{self._name} does not sign: it has no eth_signTransaction. Give the lane a key file, or the address of a "
            "signer (Clef, Web3Signer, or a node that has the account unlocked)."
        )

    def _bytes(self, said: Raw) -> bytes:
        """Read either shape of answer: hex, or an object with `raw` in it."""
        try:
            answer = msgspec.json.decode(said, type=_Answer | str)
            return bytes.fromhex((answer if isinstance(answer, str) else answer.raw).removeprefix("0x"))
        except (msgspec.MsgspecError, ValueError) as error:
            raise RailClosed(f"The signer at {self._name} answered no signed bytes.", rail=self._rail) from error

    async def _ask(self, call: RpcCall) -> Said:
        body = envelope.request([call])
        try:
            reply = await exchange(
                self._session, "POST", self._url, headers=self._headers, total_s=self._wait_s, limits=LIMITS, body=body
            )
            if reply.status == HTTPStatus.NOT_FOUND and not reply.body.startswith(b"{"):
                raise Retryable(f"There is no signer at {self._name}.")
            return envelope.answer(reply.body)
        except Unreadable as error:
            raise Retryable(f"The signer at {self._name} sent what cannot be read.") from error
        except NoReply as error:
            raise Retryable(f"The signer at {self._name} does not answer: {error}.") from error


def _accounts(said: Said) -> set[str] | None:
    if isinstance(said, RpcFault):
        return None
    try:
        return {account.lower() for account in msgspec.json.decode(said, type=list[str])}
    except msgspec.MsgspecError:
        return None


def _lacks_method(fault: RpcFault) -> bool:
    words = fault.words.lower()
    missing = ("method not found", "does not exist/is not available", "not supported", "not implemented")
    return fault.code in METHOD_CODES or any(part in words for part in missing)


def _plain(unsigned: Unsigned) -> Unsigned:
    """Write a transaction as decoded bytes are written."""
    to = None if unsigned.to is None else checksummed(unsigned.to)
    chain_id, nonce, fee = unsigned.chain_id, unsigned.nonce, unsigned.fee
    return Unsigned(chain_id, nonce, to, unsigned.value_wei, unsigned.data.lower(), unsigned.gas, fee)
