"""Opens signers: a keystore file, a raw key for development, somebody else (`remote_signer`), or none.

A key is never shown: not by `repr`, not by a log, not in a traceback with its frames' variables, not in a pickle.
Nothing is raised from inside a frame that knows one.
"""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import structlog
from eth_account import Account
from eth_account.signers.local import LocalAccount

from adapters.addresses import checksummed
from adapters.ethereum.remote_signer import RAIL, RemoteSigner
from adapters.ethereum.transactions import fields, signed
from machines.core.chain import Address, SignedTransaction, Unsigned
from machines.core.errors import BadSettings, NotAllowed, RailClosed, Rejected, Retryable

log = structlog.get_logger()

_DIGITS = 64
MOST_WEI = 2**256 - 1  # the library writes larger numbers, which no node reads


class LocalKey:
    """Signs with a key that it holds, and shows nobody."""

    __slots__ = ("__account", "address")

    def __init__(self, account: LocalAccount) -> None:
        self.__account = account
        self.address = checksummed(account.address)

    def __repr__(self) -> str:
        return f"LocalKey({self.address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Keep the key out of pickles and copies."""
        raise TypeError("A signer is neither copied nor pickled.")

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """Sign exactly this."""
        if checksummed(self.__account.address) != self.address:
            raise RailClosed("The signer's key is not that of its address.", rail=RAIL)
        raw = _signed(self.__account, fields(unsigned)) if unsigned.value_wei <= MOST_WEI else None
        if raw is None:
            raise Rejected("The transaction cannot be signed: a field has no value that a transaction can have.")
        return signed(raw)


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """Stands for the signer of a lane in a process that signs nothing: it knows the address alone."""

    address: Address
    """Who signs elsewhere."""

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """Refuse it."""
        raise NotAllowed(
            f"This process runs no workers, so it opened no key and cannot sign nonce {unsigned.nonce} of "
            f"{self.address}: `payflow worker` does."
        )


def encrypted(key_file: Path, password_file: Path) -> str:
    """Encrypt a raw key, in the format that wallets and nodes read; that takes a second or so."""
    account, password = _account(_read(key_file, "key")), _read(password_file, "password").rstrip("\r\n")
    if account is None:
        raise BadSettings(f"{key_file} does not hold a key of 64 hexadecimal digits.")
    if not password:
        raise BadSettings(f"There is no password in {password_file}.")
    return json.dumps(Account.encrypt(account.key, password))


def keystore_address(path: Path) -> Address | None:
    """Tell for whom a keystore signs, where the file says so: that needs no password."""
    try:
        return checksummed("0x" + str(json.loads(_read(path, "keystore"))["address"]).removeprefix("0x"))
    except (ValueError, KeyError, TypeError, BadSettings):
        return None


def _signed(account: LocalAccount, transaction: dict[str, Any]) -> bytes | None:
    """Sign, without an exception that has seen the key."""
    try:
        return bytes(account.sign_transaction(transaction).raw_transaction)
    except Exception:  # noqa: BLE001  (its frames know the key, so nothing of it may leave)
        return None


def raw_key_file(path: Path, expected: Address | None = None) -> LocalKey:
    """Sign with the key in a file. For development: whoever reads the file has the money."""
    key = _read(path, "key").strip()
    account = _account(key)
    del key
    if account is None:
        raise BadSettings(f"{path} does not hold a key of 64 hexadecimal digits.")
    log.warning("The key lies unencrypted in a file; that is for development.", action="raw_key", path=str(path))
    return _expected(LocalKey(account), expected, path)


def keystore(path: Path, password_file: Path, expected: Address | None = None) -> LocalKey:
    """Sign with the key of an encrypted keystore file. The format wants that this takes a second or so."""
    text = _read(path, "keystore")
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict) or not ({"crypto", "Crypto"} & parsed.keys()):
        raise BadSettings(f"{path} is not a keystore file.")
    password = _read(password_file, "password").rstrip("\r\n")
    account = _decrypted(parsed, password)
    del password
    if account is None:
        raise BadSettings(f"The password in {password_file} does not open {path}.")
    return _expected(LocalKey(account), expected, path)


async def remote(
    session: aiohttp.ClientSession, url: str, address: Address, chain_id: int, *, rail: str = RAIL
) -> RemoteSigner:
    """Let somebody else sign. One that is down now may be there later; one that cannot sign is a setting to mend."""
    signer = RemoteSigner(session, url, address, chain_id, rail=rail)
    try:
        await signer.check()
    except Retryable as error:
        log.warning("The signer does not answer yet.", action="signer_down", rail=rail, why=str(error))
    return signer


def _decrypted(parsed: dict[str, Any], password: str) -> LocalAccount | None:
    try:
        made: LocalAccount = Account.from_key(Account.decrypt(parsed, password))
    except Exception:  # noqa: BLE001  (as in _signed; a wrong password is a ValueError, a broken file anything)
        return None
    return made


def _account(key: str) -> LocalAccount | None:
    try:
        digits = key.strip().removeprefix("0x")
        if len(digits) != _DIGITS:
            return None
        made: LocalAccount = Account.from_key("0x" + digits)
    except Exception:  # noqa: BLE001  (as in _signed)
        return None
    return made


def _read(path: Path, what: str) -> str:
    try:
        if path.stat().st_mode & stat.S_IROTH:
            sentence = "A file with a key or its password can be read by everybody on this machine: chmod 600 it."
            log.warning(sentence, action="key_file_mode", path=str(path))
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"The {what} file {path} cannot be read: {type(error).__name__}.") from None


def _expected(signer: LocalKey, expected: Address | None, path: Path) -> LocalKey:
    if expected is not None and signer.address.lower() != expected.lower():
        raise BadSettings(f"{path} signs for {signer.address} and not for {expected}.")
    return signer
