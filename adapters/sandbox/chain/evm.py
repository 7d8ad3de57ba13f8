"""A chain inside a process: py-evm's Ethereum, which mines each transaction as it comes and is kept in a file."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any, cast

from eth import constants
from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.db.backends.base import BaseDB
from eth.exceptions import HeaderNotFound, TransactionNotFound, VMError
from eth.typing import AccountDetails
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_keys.datatypes import PrivateKey
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.address import to_canonical_address
from eth_utils.exceptions import ValidationError

from adapters.sandbox.chain.accounts import ACCOUNTS, RICH_WEI

CHAIN_ID = 31337
GAS_LIMIT = 30_000_000
TIP_WEI = 10**9
FINAL_AFTER = 64
"""Blocks until one is called finalized: two epochs."""


class DurableDB(BaseDB):
    """Keys and values in SQLite. What is written counts from `commit` on, so that a kill leaves whole blocks."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def commit(self) -> None:
        """Keep all that was written since."""
        self._file.commit()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __getitem__(self, key: bytes) -> bytes:
        row = self._file.execute("SELECT value FROM kept WHERE name = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, value))

    def __delitem__(self, key: bytes) -> None:
        if not self._file.execute("DELETE FROM kept WHERE name = ?", (key,)).rowcount:
            raise KeyError(key)

    def _exists(self, key: bytes) -> bool:
        return self._file.execute("SELECT 1 FROM kept WHERE name = ?", (key,)).fetchone() is not None


class EvmRefused(Exception):
    """The node does not do it, in a node's own words."""

    def __init__(self, words: str, code: int = -32000, data: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.data = data


class _Mining(MiningChain):
    chain_id = CHAIN_ID
    vm_configuration = ((constants.GENESIS_BLOCK_NUMBER, PragueVM),)

    def create_header_from_parent(self, parent_header: BlockHeaderAPI, **params: Any) -> BlockHeaderAPI:
        """Keep the gas limit as it is."""
        return super().create_header_from_parent(parent_header, **{**params, "gas_limit": parent_header.gas_limit})


class Evm:
    """The chain. A block is mined for each transaction, and whenever somebody asks for one."""

    def __init__(self, path: Path) -> None:
        new = not path.exists()
        self._durable = DurableDB(path)
        base = AtomicDB(self._durable)
        self._chain = cast("_Mining", _Mining.from_genesis(base, _genesis(), _rich())) if new else _Mining(base)
        self._durable.commit()
        self.signers = {account.address.lower(): PrivateKey(bytes.fromhex(account.key[2:])) for account in ACCOUNTS}

    def close(self) -> None:
        """Let go of the file."""
        self._durable.close()

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def height(self) -> int:
        """The number of the newest block."""
        return int(self._chain.header.block_number) - 1

    @property
    def next_base_fee_wei(self) -> int:
        """What the next block burns for a unit of gas."""
        return int(self._chain.header.base_fee_per_gas or 0)

    def header(self, at: int) -> BlockHeaderAPI | None:
        """Find the header of a block."""
        if not 0 <= at <= self.height:
            return None
        return self._chain.get_canonical_block_header_by_number(BlockNumber(at))

    def block(self, at: int) -> BlockAPI | None:
        """Find a block."""
        return self._chain.get_canonical_block_by_number(BlockNumber(at)) if 0 <= at <= self.height else None

    def number_of(self, block_hash: bytes) -> int:
        """Find a block's number by its hash; -1 where there is none."""
        try:
            return int(self._chain.get_block_header_by_hash(Hash32(block_hash)).block_number)
        except HeaderNotFound:
            return -1

    def mine(self) -> None:
        """Make a block of what was applied."""
        parent = self.header(self.height)
        if parent is None:
            raise RuntimeError("The chain has no head.")
        self._chain.set_header_timestamp(max(int(time.time()), parent.timestamp + 1))
        self._chain.mine_block(mix_hash=os.urandom(32), blob_gas_used=0)
        self._durable.commit()

    # ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, raw: bytes) -> bytes:
        """Take signed bytes in and mine them; `Refused` for what cannot be mined now."""
        try:
            tx = self._vm().get_transaction_builder().decode(raw)
            tx.validate()
            tx.check_signature_validity()
        except Exception as error:
            raise EvmRefused(f"rlp: it cannot be read: {error}") from error
        if self.place_of(tx.hash) is not None:
            raise EvmRefused("already known")
        self._must_be_next(tx)
        return self._apply(tx)

    def send_for(self, sender: str, to: bytes, data: bytes, value: int, gas: int) -> bytes:
        """Sign for one of the rich accounts, and send."""
        key = self.signers.get(sender.lower())
        if key is None:
            raise EvmRefused("No Signer available")
        price = self.next_base_fee_wei * 2 + TIP_WEI
        unsigned = (
            self._vm()
            .get_transaction_builder()
            .new_unsigned_dynamic_fee_transaction(
                CHAIN_ID, self.state().get_nonce(to_canonical_address(sender)), TIP_WEI, price, gas, to, value, data, ()
            )
        )
        return self.send(unsigned.as_signed_transaction(key).encode())

    def _must_be_next(self, tx: SignedTransactionAPI) -> None:
        state = self.state()
        nonce = state.get_nonce(tx.sender)
        if tx.nonce != nonce:
            raise EvmRefused(f"nonce too {'low' if tx.nonce < nonce else 'high'}")
        if tx.max_fee_per_gas < self.next_base_fee_wei:
            raise EvmRefused("max fee per gas less than block base fee")
        if state.get_balance(tx.sender) < tx.gas * tx.max_fee_per_gas + tx.value:
            raise EvmRefused("insufficient funds for gas * price + value")

    def _apply(self, tx: SignedTransactionAPI) -> bytes:
        before = self._chain.header
        try:
            self._chain.apply_transaction(tx)
        except (ValidationError, VMError) as error:
            self._chain.header = before
            raise EvmRefused(f"transaction invalid: {error}") from error
        self.mine()
        return bytes(tx.hash)

    def place_of(self, tx_hash: bytes) -> tuple[int, int] | None:
        """Find in which block a transaction is, and where in it."""
        try:
            block, place = self._chain.chaindb.get_transaction_index(Hash32(tx_hash))
        except TransactionNotFound:
            return None
        return int(block), int(place)

    def receipts(self, block: BlockAPI) -> tuple[ReceiptAPI, ...]:
        """Read what became of a block's transactions."""
        return tuple(block.get_receipts(self._chain.chaindb))

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def state(self, at: int | None = None) -> StateAPI:
        """Give the state after a block, the newest by default."""
        header = self.header(self.height if at is None else at)
        if header is None:
            raise EvmRefused("header not found")
        return self._chain.get_vm(header).state

    def call(self, sender: Address, to: bytes, data: bytes, value: int, at: int) -> bytes:
        """Carry out a call, and forget it."""
        if at != self.height:
            header = self.header(at)
            if header is None:
                raise EvmRefused("header not found")
            vm = self._chain.get_vm(self._chain.create_header_from_parent(header))
        else:
            vm = self._vm()
        with vm.in_costless_state() as state:
            computation = state.costless_execute_transaction(self._as_if(state, sender, to, data, value))
        if computation.is_error:
            raise EvmRefused("execution reverted", 3, "0x" + bytes(computation.output).hex())
        return bytes(computation.output)

    def estimate(self, sender: Address, to: bytes, data: bytes, value: int) -> int:
        """Say how much gas a call takes."""
        if self.state().get_balance(sender) < value:
            raise EvmRefused("insufficient funds for transfer")
        with self._vm().in_costless_state() as state:
            asked = self._as_if(state, sender, to, data, value)
            try:
                return int(self._chain.gas_estimator(state, asked))
            except VMError as error:
                raise EvmRefused("execution reverted", 3) from error

    def _vm(self) -> Any:  # noqa: ANN401  (py-evm's machines have no one type)
        return self._chain.get_vm(self._chain.header)

    def _as_if(self, state: StateAPI, sender: Address, to: bytes, data: bytes, value: int) -> SignedTransactionAPI:
        builder = self._vm().get_transaction_builder()
        unsigned = builder.create_unsigned_transaction(
            nonce=state.get_nonce(sender), gas_price=0, gas=GAS_LIMIT // 2, to=to, value=value, data=data
        )
        return cast("SignedTransactionAPI", SpoofTransaction(unsigned, from_=sender))


def _rich() -> dict[Address, AccountDetails]:
    rich: AccountDetails = {"balance": RICH_WEI, "nonce": 0, "code": b"", "storage": {}}
    return {to_canonical_address(account.address): rich for account in ACCOUNTS}


def _genesis() -> dict[str, Any]:
    return {
        "coinbase": constants.ZERO_ADDRESS,
        "difficulty": constants.POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": GAS_LIMIT,
        "mix_hash": constants.POST_MERGE_MIX_HASH,
        "nonce": constants.POST_MERGE_NONCE,
        "timestamp": int(time.time()),
    }
