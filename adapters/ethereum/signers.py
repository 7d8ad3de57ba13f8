"""Signers whose key is in this process: a raw key (for development) or a keystore file."""

from eth_account import Account
from eth_account.signers.local import LocalAccount

from machines.core.chain import Address, Signed, TxHash, Unsigned


class LocalKey:
    """Signs with a key that it holds, and shows nobody."""

    __slots__ = ("_account", "address")

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.address = Address(account.address)

    def __repr__(self) -> str:
        return f"LocalKey({self.address})"

    async def sign(self, unsigned: Unsigned) -> Signed:
        """Sign exactly this."""
        signed = self._account.sign_transaction(fields(unsigned))
        return Signed(
            "0x" + signed.raw_transaction.hex().removeprefix("0x"), TxHash("0x" + signed.hash.hex().removeprefix("0x"))
        )


def fields(unsigned: Unsigned) -> dict[str, object]:
    """Write a transaction as eth_account wants it."""
    common: dict[str, object] = {
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
    return common | {"type": 2, "maxFeePerGas": unsigned.fee.max_wei, "maxPriorityFeePerGas": unsigned.fee.tip_wei}


def raw_key(key: str) -> LocalKey:
    """Sign with a key as 64 hexadecimal digits."""
    return LocalKey(Account.from_key(key))
