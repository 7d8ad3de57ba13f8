"""What is signed, and what signed bytes say: transactions, and messages that a browser's wallet signs (EIP-191)."""

from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.addresses import checksummed, keccak_hex
from machines.core.chain import Address, GasFee, SignedTransaction, TxHash, Unsigned
from machines.core.errors import BadInput

DYNAMIC_FEE = 2
_DYNAMIC_PARTS = 12
_LEGACY_PARTS = 9
_EIP_155 = 35
SIGNATURE_CHARS = 132


class Undecodable(Exception):
    """The bytes are no signed transaction of a kind that we make."""


def fields(unsigned: Unsigned) -> dict[str, Any]:
    """Write a transaction's fields by their names in JSON-RPC, as numbers."""
    common: dict[str, Any] = {
        "chainId": unsigned.chain_id,
        "nonce": unsigned.nonce,
        "value": unsigned.value_wei,
        "data": unsigned.data,
        "gas": unsigned.gas,
    }
    if unsigned.to is not None:
        common["to"] = unsigned.to
    if unsigned.fee.tip_wei is None:
        return common | {"gasPrice": unsigned.fee.max_wei}
    fee = {"maxFeePerGas": unsigned.fee.max_wei, "maxPriorityFeePerGas": unsigned.fee.tip_wei}
    return common | fee | {"type": DYNAMIC_FEE}


def signed(raw: bytes) -> SignedTransaction:
    """Give signed bytes and their hash."""
    return SignedTransaction("0x" + raw.hex(), TxHash(keccak_hex(raw)))


def decoded(raw: bytes) -> tuple[Unsigned, Address]:
    """Read what signed bytes say, and who signed them."""
    try:
        says = _dynamic(raw) if raw[:1] == bytes([DYNAMIC_FEE]) else _legacy(raw)
        return says, checksummed(Account.recover_transaction(raw))
    except Exception as error:  # the libraries raise whatever they meet in foreign bytes
        raise Undecodable(f"not a signed transaction: {type(error).__name__}") from error


def signer_of(message: str, signature: str) -> Address:
    """Tell which account signed a message."""
    if len(signature) != SIGNATURE_CHARS or not signature.startswith("0x"):
        raise BadInput("A signature is 0x and 130 hexadecimal digits.")
    try:
        found = Account.recover_message(encode_defunct(text=message), signature=signature)
    except Exception as error:
        raise BadInput("The signature cannot be read.") from error
    return checksummed(found)


def _dynamic(raw: bytes) -> Unsigned:
    parts = rlp.decode(raw[1:])
    if len(parts) != _DYNAMIC_PARTS or parts[8]:
        raise Undecodable("an access list was added")
    chain_id, nonce, tip, most, gas = map(_number, parts[:5])
    return Unsigned(chain_id, nonce, _to(parts[5]), _number(parts[6]), _hex(parts[7]), gas, GasFee(most, tip))


def _legacy(raw: bytes) -> Unsigned:
    parts = rlp.decode(raw)
    if len(parts) != _LEGACY_PARTS:
        raise Undecodable("not a legacy transaction")
    nonce, price, gas = map(_number, parts[:3])
    v = _number(parts[6])
    if v < _EIP_155:
        raise Undecodable("it is valid on every chain")
    chain_id = (v - _EIP_155) // 2
    return Unsigned(chain_id, nonce, _to(parts[3]), _number(parts[4]), _hex(parts[5]), gas, GasFee(price))


def _number(part: bytes) -> int:
    return int.from_bytes(part, "big")


def _to(part: bytes) -> Address | None:
    return checksummed("0x" + part.hex()) if part else None


def _hex(part: bytes) -> str:
    return "0x" + part.hex()
