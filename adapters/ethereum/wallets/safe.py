"""Safe: the bot agrees on chain to the hash of what shall be paid; a maintainer, who agrees by sending, has it done.

All proposals of a wallet use the nonce that the wallet has then, so that at most one of them is ever carried out.
A payment that fails inside takes the whole transaction back with it (no gas is set aside for it): the nonce stays free.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from adapters.addresses import keccak_hex
from adapters.ethereum.contracts import topic
from adapters.ethereum.wallets.reading import (
    AGREED,
    RAIL,
    OwnedWallets,
    WalletReader,
    address_in,
    paid,
    speaks,
    word_of,
)
from machines.core.chain import NO_DATA, Address, Receipt, TxHash, known_head
from machines.core.errors import Contradiction, Rejected
from machines.core.wallets import ETHER, ContractCall, Creation, End, Holding, ProposalOutcome, WalletProposal

NOBODY = Address("0x" + "00" * 20)

CREATED = topic("SafeProxyFactory", "ProxyCreation")
APPROVED = topic("Safe", "ApproveHash")
SUCCEEDED = topic("Safe", "ExecutionSuccess")
FAILED = topic("Safe", "ExecutionFailure")

_RECENT = re.compile(r"1\.([4-9]|[1-9][0-9]+)\.|[2-9]\.")
_SAFE_TX = {
    "SafeTx": [
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "data", "type": "bytes"},
        {"name": "operation", "type": "uint8"},
        {"name": "safeTxGas", "type": "uint256"},
        {"name": "baseGas", "type": "uint256"},
        {"name": "gasPrice", "type": "uint256"},
        {"name": "gasToken", "type": "address"},
        {"name": "refundReceiver", "type": "address"},
        {"name": "nonce", "type": "uint256"},
    ]
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts of Safe are on a chain."""

    factory: Address
    singleton: Address
    multi_send: Address
    """The one that only calls: several payments in one step."""


class Safes(OwnedWallets):
    """Safe wallets."""

    kind = "safe"
    contract = "Safe"
    received = topic("Safe", "SafeReceived")

    def __init__(self, reader: WalletReader, deployment: Deployment, bot: Address) -> None:
        super().__init__(reader, bot)
        self._deployment = deployment

    # ── making one ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def creation(self, owners: Sequence[Address], threshold: int, salt: str) -> Creation:
        """Say how a wallet is made; its address follows from owners and salt, so it can be made only once."""
        await self._usable()
        factory = self._reader.contracts.at("SafeProxyFactory", self._deployment.factory)
        singleton = self._deployment.singleton
        unused = (NOBODY, b"", NOBODY, NOBODY, 0, NOBODY)
        setup = self._at(singleton).encode_abi("setup", [list(owners), threshold, *unused])
        nonce = int(keccak_hex(salt.encode()), 16)
        code = await self._reader.contracts.ask(factory.functions.proxyCreationCode())
        made_of = keccak(code + encode(["address"], [singleton]))
        salted = keccak(encode_packed(["bytes32", "uint256"], [keccak(bytes.fromhex(setup[2:])), nonce]))
        place = keccak(b"\xff" + encode_packed(["address", "bytes32", "bytes32"], [factory.address, salted, made_of]))
        call = ContractCall(factory.address, factory.encode_abi("createProxyWithNonce", [singleton, setup, nonce]))
        return Creation(self.kind, tuple(owners), threshold, call, address_in(place.hex()))

    async def _usable(self) -> None:
        """Refuse contracts that are not there, or whose events say less: before 1.4 the hash is no topic of theirs."""
        contracts, chain = self._deployment, self._chain.chain_id
        for contract in (contracts.factory, contracts.singleton, contracts.multi_send):
            if await self._reader.code(contract) == NO_DATA:
                raise Rejected(f"No contract of Safe is at {contract} on chain {chain}: set PAYFLOW_SAFE_*.")
        version = await self._reader.contracts.ask(self._at(contracts.singleton).functions.VERSION())
        if not _RECENT.match(version):
            raise Rejected(f"{contracts.singleton} is Safe {version[:20]}: PAYFLOW_SAFE_* take 1.4 or later.")

    async def made(self, creation: Creation, tx: TxHash) -> Address | None:
        """Find the wallet that a transaction made, in the factory's own event."""
        receipt = await self._reader.receipt(tx)
        if not receipt.ok:
            return None
        for log in receipt.logs:
            if log.address == creation.call.to and log.topics[:1] == (CREATED,):
                return await self._checked(creation, address_in(log.topics[1]))
        return None

    async def existing(self, creation: Creation) -> Address | None:
        """Find the wallet where it must be: owners and salt are in its address, so whoever made it, it is ours."""
        place = Address(creation.address)
        if await self._reader.code(place) == NO_DATA:
            return None
        return await self._checked(creation, place)

    # ── paying ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose(self, wallet: Address, to: Address, holdings: Sequence[Holding], number: int) -> WalletProposal:
        """Fix a payment; the hash is made here and must be the one that the wallet itself makes."""
        head = await known_head(self._chain)
        nonce = await self._nonce(wallet)
        operation, value, delegate = self._operation(to, holdings)
        inner = _inner(operation, value, delegate=delegate)
        mine = self._hash(wallet, inner, nonce)
        asked = self._at(wallet).functions.getTransactionHash(*inner, nonce)
        its = "0x" + (await self._reader.contracts.ask(asked)).hex()
        if its != mine:
            raise Contradiction(f"{wallet} calls its transaction {its}, we {mine}.", rail=RAIL)
        return WalletProposal(
            self.kind,
            number,
            wallet,
            to,
            tuple(holdings),
            operation,
            str(value),
            delegate,
            nonce,
            mine,
            self._approval(wallet, mine),
            head.number,
        )

    def _approval(self, wallet: Address, of_hash: str) -> ContractCall:
        return ContractCall(wallet, self._at(wallet).encode_abi("approveHash", [of_hash]))

    def is_approval(self, proposal: WalletProposal) -> bool:
        """Tell whether it agrees to the proposal's hash."""
        return proposal.approval == self._approval(Address(proposal.wallet), proposal.hash)

    def _operation(self, to: Address, holdings: Sequence[Holding]) -> tuple[ContractCall, int, bool]:
        if len(holdings) > 1:
            packed = b"".join(self._packed(to, holding) for holding in holdings)
            multi_send = self._reader.contracts.at("MultiSendCallOnly", self._deployment.multi_send)
            return ContractCall(multi_send.address, multi_send.encode_abi("multiSend", [packed])), 0, True
        (only,) = holdings
        if only.token == ETHER:
            return ContractCall(to, NO_DATA), int(only.units), False
        return self._reader.transfer(only, to), 0, False

    def _packed(self, to: Address, holding: Holding) -> bytes:
        """Write one payment of several as MultiSend reads it."""
        ether = holding.token == ETHER
        call = ContractCall(to, NO_DATA) if ether else self._reader.transfer(holding, to)
        value, data = int(holding.units) if ether else 0, bytes.fromhex(call.data[2:])
        types = ["uint8", "address", "uint256", "uint256", "bytes"]
        return encode_packed(types, [0, call.to, value, len(data), data])

    def _hash(self, wallet: Address, inner: Sequence[object], nonce: int) -> str:
        domain = {"chainId": self._chain.chain_id, "verifyingContract": wallet}
        names = [field["name"] for field in _SAFE_TX["SafeTx"]]
        message = encode_typed_data(domain, _SAFE_TX, dict(zip(names, (*inner, nonce), strict=True)))
        return keccak_hex(b"\x19" + message.version + message.header + message.body)

    async def approved(self, proposal: WalletProposal, tx: TxHash) -> str:
        """Read the hash that the bot agreed to from the wallet's own event."""
        receipt = await self._reader.receipt(tx)
        for log in receipt.logs if receipt.ok else ():
            wanted = (APPROVED, proposal.hash, word_of(self._bot))
            if log.address == proposal.wallet and log.topics == wanted:
                return log.topics[1]
        return ""

    async def confirmation(self, proposal: WalletProposal, confirm_hash: str, owner: Address) -> ContractCall:
        """Say what a maintainer sends: the payment itself, with the words of those who agreed and, by sending, his own.

        Where more owners must agree than have, he only gives his word.
        """
        wallet = Address(proposal.wallet)
        agreed = await self._agreed(wallet, proposal.hash)
        if confirm_hash != proposal.hash or self._bot not in agreed:
            raise Rejected("The bot has not agreed to this payment.")
        threshold = await self._threshold(wallet)
        others = [one for one in agreed if one != owner][: threshold - 1]
        call = ContractCall(wallet, proposal.approval.data)
        if len(others) + 1 >= threshold:
            hands = sorted((*others, owner), key=lambda one: int(one, 16))
            signatures = b"".join(encode(["address", "uint256"], [hand, 0]) + b"\x01" for hand in hands)
            inner = _inner(proposal.operation, int(proposal.value_units), delegate=proposal.delegate)
            call = ContractCall(wallet, self._at(wallet).encode_abi("execTransaction", [*inner, signatures]))
        await self._chain.estimate(owner, wallet, 0, call.data)
        return call

    async def _agreed(self, wallet: Address, confirm_hash: str) -> list[Address]:
        """List the owners who agreed on chain, the bot first."""
        owners = sorted(await self._owners(wallet), key=lambda one: one != self._bot)
        approved = self._at(wallet).functions.approvedHashes
        return [owner for owner in owners if await self._reader.contracts.ask(approved(owner, confirm_hash))]

    async def _threshold(self, wallet: Address) -> int:
        return int(await self._reader.contracts.ask(self._at(wallet).functions.getThreshold()))

    async def _nonce(self, wallet: Address, block: int | None = None) -> int:
        return int(await self._reader.contracts.ask(self._at(wallet).functions.nonce(), block))

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────────

    async def outcome(self, proposal: WalletProposal, _confirm_hash: str, named: Sequence[str]) -> ProposalOutcome:
        """Say what became of a proposal: the wallet's nonce tells that something was carried out, its events what."""
        wallet = Address(proposal.wallet)
        if await self._nonce(wallet) > proposal.nonce:
            return await self._carried_out(proposal)
        return await self._tried(named, lambda receipt: _why(receipt, proposal))

    async def _carried_out(self, proposal: WalletProposal) -> ProposalOutcome:
        wallet, first = Address(proposal.wallet), proposal.since_block
        for name in (SUCCEEDED, FAILED):
            tx = await self._reader.newest(wallet, (name, proposal.hash), first)
            receipt, deep = await self._reader.deep_receipt(tx) if tx else (None, False)
            if receipt is None:
                continue
            if not deep:
                return ProposalOutcome(End.OPEN, receipt.hash, receipt.block)
            if name == SUCCEEDED and receipt.ok and speaks(receipt, wallet, SUCCEEDED, proposal.hash):
                return paid(proposal, receipt)
            return ProposalOutcome(End.DEAD, receipt.hash, receipt.block, "the wallet says that it failed")
        # The nonce may have been read at a node that is ahead of the one that was asked for events.
        settled = (await known_head(self._chain)).number - self._reader.depth
        if await self._nonce(wallet, max(settled, first)) > proposal.nonce:
            return ProposalOutcome(
                End.DEAD, why=f"the wallet's owners used its number {proposal.nonce} for something else"
            )
        return ProposalOutcome(End.OPEN)

    def withdrawal(self, _proposal: WalletProposal, _confirm_hash: str) -> ContractCall | None:
        """Nothing has to be taken back: the next proposal has the same nonce, so at most one of them is carried out."""

    async def withdrawn(self, _proposal: WalletProposal, _confirm_hash: str) -> bool:
        """Say yes: as above."""
        return True


def _inner(operation: ContractCall, value: int, *, delegate: bool) -> tuple[object, ...]:
    return (operation.to, value, operation.data, int(delegate), 0, 0, 0, NOBODY, NOBODY)


def _why(receipt: Receipt, proposal: WalletProposal) -> str:
    if not receipt.ok:
        return "the transaction failed: the wallet took it back as a whole, and nothing was paid"
    if speaks(receipt, proposal.wallet, APPROVED, proposal.hash):
        return AGREED
    return "the transaction does not speak of this payment"
