"""Safe: the bot agrees on chain to the hash of what shall be paid; a maintainer, who agrees by sending, has it done.

All proposals of a wallet use the nonce that the wallet has then, so that at most one of them is ever carried out.
A payment that fails inside takes the whole transaction back with it (no gas is set aside for it): the nonce stays free.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.ethereum.addresses import checksummed, keccak_hex
from adapters.ethereum.wallets import abi
from adapters.ethereum.wallets.reading import AGREED, TRANSFER, WalletReader, paid, speaks
from machines.core.chain import NO_DATA, Address, Receipt, TxHash, known_head
from machines.core.errors import Contradiction, Rejected
from machines.core.wallets import ETHER, ContractCall, Creation, Deposit, End, Holding, ProposalOutcome, WalletProposal

NOBODY = Address("0x" + "00" * 20)
RAIL = "bounty"

SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"
CREATE = "createProxyWithNonce(address,bytes,uint256)"
EXECUTE = "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)"
HASH = "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)"
CREATED = abi.topic("ProxyCreation(address,address)")
APPROVED = abi.topic("ApproveHash(bytes32,address)")
SUCCEEDED = abi.topic("ExecutionSuccess(bytes32,uint256)")
FAILED = abi.topic("ExecutionFailure(bytes32,uint256)")
RECEIVED = abi.topic("SafeReceived(address,uint256)")

_RECENT = re.compile(r"1\.([4-9]|[1-9][0-9]+)\.|[2-9]\.")
_DOMAIN = keccak_hex(b"EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TX = keccak_hex(
    b"SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,"
    b"address gasToken,address refundReceiver,uint256 nonce)"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts of Safe are on a chain."""

    factory: Address
    singleton: Address
    multi_send: Address
    """The one that only calls: several payments in one step."""


class Safes:
    """Safe wallets."""

    kind = "safe"

    def __init__(self, reader: WalletReader, deployment: Deployment, bot: Address) -> None:
        self._reader = reader
        self._chain = reader.chain
        self._deployment = deployment
        self._bot = bot

    # ── making one ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def creation(self, owners: Sequence[Address], threshold: int, salt: str) -> Creation:
        """Say how a wallet is made; its address follows from owners and salt, so it can be made only once."""
        await self._usable()
        setup = abi.call_data(SETUP, list(owners), threshold, NOBODY, b"", NOBODY, NOBODY, 0, NOBODY)
        nonce = int(keccak_hex(salt.encode()), 16)
        code = await self._reader.call(self._deployment.factory, abi.call_data("proxyCreationCode()"))
        (creation_code,) = abi.decoded(["bytes"], code)
        made_of = keccak_hex(creation_code + abi.raw(abi.word_of(self._deployment.singleton)))
        salted = keccak_hex(abi.raw(keccak_hex(abi.raw(setup))) + nonce.to_bytes(32, "big"))
        place = keccak_hex(b"\xff" + abi.raw(self._deployment.factory) + abi.raw(salted) + abi.raw(made_of))
        data = abi.call_data(CREATE, self._deployment.singleton, abi.raw(setup), nonce)
        call = ContractCall(self._deployment.factory, data)
        return Creation(self.kind, tuple(owners), threshold, call, abi.address_in(place))

    async def _usable(self) -> None:
        """Refuse contracts that are not there, or whose events say less: before 1.4 the hash is no topic of theirs."""
        contracts, chain = self._deployment, self._chain.chain_id
        for contract in (contracts.factory, contracts.singleton, contracts.multi_send):
            if await self._reader.code(contract) == NO_DATA:
                raise Rejected(f"No contract of Safe is at {contract} on chain {chain}: set PAYFLOW_SAFE_*.")
        answer = await self._reader.call(contracts.singleton, abi.call_data("VERSION()"))
        (version,) = abi.decoded(["string"], answer)
        if not _RECENT.match(version):
            raise Rejected(f"{contracts.singleton} is Safe {version[:20]}: PAYFLOW_SAFE_* take 1.4 or later.")

    async def made(self, creation: Creation, tx: TxHash) -> Address | None:
        """Find the wallet that a transaction made, in the factory's own event."""
        receipt = await self._reader.receipt(tx)
        if not receipt.ok:
            return None
        for log in receipt.logs:
            if log.address == creation.call.to and log.topics[:1] == (CREATED,):
                return await self._checked(creation, abi.address_in(log.topics[1]))
        return None

    async def existing(self, creation: Creation) -> Address | None:
        """Find the wallet where it must be: owners and salt are in its address, so whoever made it, it is ours."""
        place = Address(creation.address)
        if await self._reader.code(place) == NO_DATA:
            return None
        return await self._checked(creation, place)

    async def _checked(self, creation: Creation, wallet: Address) -> Address:
        owners = await self._owners(wallet)
        threshold = await self._reader.number(wallet, "getThreshold()")
        if wallet != creation.address or set(owners) != set(creation.owners) or threshold != creation.threshold:
            raise Contradiction(f"{wallet} is not the wallet that was wanted: {threshold} of {owners}.", rail=RAIL)
        return wallet

    # ── paying ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def holdings(self, wallet: Address) -> tuple[Holding, ...]:
        """List what a wallet holds."""
        return await self._reader.holdings(wallet)

    async def deposits(self, wallet: Address, made_by: TxHash) -> tuple[Deposit, ...] | None:
        """List what came in."""
        return await self._reader.deposits(wallet, RECEIVED, made_by)

    async def propose(self, wallet: Address, to: Address, holdings: Sequence[Holding], number: int) -> WalletProposal:
        """Fix a payment; the hash is made here and must be the one that the wallet itself makes."""
        head = await known_head(self._chain)
        nonce = await self._reader.number(wallet, "nonce()")
        operation, value, delegate = self._operation(to, holdings)
        mine = await self._hash(wallet, operation, value, delegate=delegate, nonce=nonce)
        asked = abi.call_data(HASH, *_inner(operation, value, delegate=delegate), nonce)
        its = await self._reader.call(wallet, asked)
        if its != mine:
            raise Contradiction(f"{wallet} calls its transaction {its}, we {mine}.", rail=RAIL)
        approval = ContractCall(wallet, abi.call_data("approveHash(bytes32)", abi.raw(mine)))
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
            approval,
            head.number,
        )

    def _operation(self, to: Address, holdings: Sequence[Holding]) -> tuple[ContractCall, int, bool]:
        if len(holdings) > 1:
            packed = b"".join(_packed(to, holding) for holding in holdings)
            return ContractCall(self._deployment.multi_send, abi.call_data("multiSend(bytes)", packed)), 0, True
        (only,) = holdings
        if only.token == ETHER:
            return ContractCall(to, NO_DATA), int(only.units), False
        return ContractCall(only.token, abi.call_data(TRANSFER, to, int(only.units))), 0, False

    async def _hash(self, wallet: Address, operation: ContractCall, value: int, *, delegate: bool, nonce: int) -> str:
        domain = keccak_hex(
            abi.raw(_DOMAIN) + abi.raw(abi.word_of(self._chain.chain_id)) + abi.raw(abi.word_of(wallet))
        )
        types = ["bytes32", "address", "uint256", "bytes32", "uint8", *["uint256"] * 3, "address", "address", "uint256"]
        data = abi.raw(keccak_hex(abi.raw(operation.data)))
        values = (abi.raw(_SAFE_TX), operation.to, value, data, int(delegate), 0, 0, 0, NOBODY, NOBODY, nonce)
        content = keccak_hex(abi.raw(abi.encoded(types, values)))
        return keccak_hex(b"\x19\x01" + abi.raw(domain) + abi.raw(content))

    async def approved(self, proposal: WalletProposal, tx: TxHash) -> str:
        """Read the hash that the bot agreed to from the wallet's own event."""
        receipt = await self._reader.receipt(tx)
        for log in receipt.logs if receipt.ok else ():
            wanted = (APPROVED, proposal.hash, abi.word_of(self._bot))
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
        threshold = await self._reader.number(wallet, "getThreshold()")
        others = [one for one in agreed if one != owner][: threshold - 1]
        call = ContractCall(wallet, proposal.approval.data)
        if len(others) + 1 >= threshold:
            hands = sorted((*others, owner), key=lambda one: int(one, 16))
            signatures = b"".join(abi.raw(abi.word_of(hand)) + bytes(32) + b"\x01" for hand in hands)
            inner = _inner(proposal.operation, int(proposal.value_units), delegate=proposal.delegate)
            call = ContractCall(wallet, abi.call_data(EXECUTE, *inner, signatures))
        await self._chain.estimate(owner, wallet, 0, call.data)
        return call

    async def _agreed(self, wallet: Address, confirm_hash: str) -> list[Address]:
        """List the owners who agreed on chain, the bot first."""
        found = []
        for owner in sorted(await self._owners(wallet), key=lambda one: one != self._bot):
            asked = ("approvedHashes(address,bytes32)", owner, abi.raw(confirm_hash))
            if await self._reader.number(wallet, *asked):
                found.append(owner)
        return found

    async def _owners(self, wallet: Address) -> list[Address]:
        (owners,) = abi.decoded(["address[]"], await self._reader.call(wallet, abi.call_data("getOwners()")))
        return [checksummed(owner) for owner in owners]

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────────

    async def outcome(self, proposal: WalletProposal, _confirm_hash: str, named: Sequence[str]) -> ProposalOutcome:
        """Say what became of a proposal: the wallet's nonce tells that something was carried out, its events what."""
        wallet = Address(proposal.wallet)
        if await self._reader.number(wallet, "nonce()") > proposal.nonce:
            return await self._carried_out(proposal)
        failed = ProposalOutcome(End.OPEN, known=not named)
        for tx in named:
            receipt, deep = await self._reader.deep_receipt(tx)
            if receipt is None:
                if await self._reader.known(tx):
                    return ProposalOutcome(End.OPEN, tx)
            elif not deep:
                return ProposalOutcome(End.OPEN, tx, receipt.block)
            else:
                failed = ProposalOutcome(End.FAILED, tx, receipt.block, _why(receipt, proposal))
        return failed

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
        nonce = abi.number(await self._chain.call(wallet, abi.call_data("nonce()"), max(settled, first)))
        if nonce > proposal.nonce:
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
    return (operation.to, value, abi.raw(operation.data), int(delegate), 0, 0, 0, NOBODY, NOBODY)


def _packed(to: Address, holding: Holding) -> bytes:
    """Write one payment of several as MultiSend reads it."""
    ether = holding.token == ETHER
    target = to if ether else holding.token
    data = b"" if ether else abi.raw(abi.call_data(TRANSFER, to, int(holding.units)))
    value = int(holding.units) if ether else 0
    return b"\x00" + abi.raw(target) + value.to_bytes(32, "big") + len(data).to_bytes(32, "big") + data


def _why(receipt: Receipt, proposal: WalletProposal) -> str:
    if not receipt.ok:
        return "the transaction failed: the wallet took it back as a whole, and nothing was paid"
    if speaks(receipt, proposal.wallet, APPROVED, proposal.hash):
        return AGREED
    return "the transaction does not speak of this payment"
