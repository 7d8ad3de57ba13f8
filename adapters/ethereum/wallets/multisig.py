"""MultiSigWallet: the bot submits what shall be paid, which confirms it; a maintainer confirms it, and the wallet pays.

A payment that fails inside leaves the maintainer's transaction successful: only the wallet's own events tell. Its place
in the wallet's list is what others confirm; a bounty's `confirm_hash` is that place as a word of 32 bytes.
"""

from collections.abc import Sequence
from typing import Any

from adapters.ethereum.contracts import topic
from adapters.ethereum.wallets.reading import AGREED, RAIL, OwnedWallets, paid, speaks, word_of
from machines.core.chain import NO_DATA, Address, Receipt, TxHash, known_head
from machines.core.errors import Contradiction, Rejected
from machines.core.wallets import ETHER, ContractCall, Creation, End, Holding, ProposalOutcome, WalletProposal

CONTRACT = "MultiSigWallet"
CONFIRMED = topic(CONTRACT, "Confirmation")
EXECUTED = topic(CONTRACT, "Execution")
FAILED = topic(CONTRACT, "ExecutionFailure")


class MultiSigs(OwnedWallets):
    """Wallets with the calls and events of the old system's."""

    kind = "multisig"
    contract = CONTRACT
    received = topic(CONTRACT, "Deposit")

    # ── making one ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def creation(self, owners: Sequence[Address], threshold: int, _salt: str) -> Creation:
        """Say how a wallet is made."""
        code = self._reader.contracts.made(CONTRACT, list(owners), threshold)
        return Creation(self.kind, tuple(owners), threshold, ContractCall("", code))

    async def made(self, creation: Creation, tx: TxHash) -> Address | None:
        """Find the wallet that a transaction made."""
        receipt = await self._reader.receipt(tx)
        if not receipt.ok or receipt.contract is None:
            return None
        return await self._checked(creation, receipt.contract)

    async def _threshold(self, wallet: Address) -> int:
        return int(await self._reader.contracts.ask(self._at(wallet).functions.required()))

    async def existing(self, _creation: Creation) -> Address | None:
        """Say that the place is not known before."""
        return None

    # ── paying ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def propose(self, wallet: Address, to: Address, holdings: Sequence[Holding], number: int) -> WalletProposal:
        """Fix a payment."""
        operation, value = self._operation(wallet, to, holdings)
        approval = self._submission(wallet, operation, value)
        head = await known_head(self._chain)
        return WalletProposal(
            kind=self.kind,
            number=number,
            wallet=wallet,
            to=to,
            holdings=tuple(holdings),
            operation=operation,
            value_units=str(value),
            delegate=False,
            nonce=-1,
            hash="",
            approval=approval,
            since_block=head.number,
        )

    def _operation(self, wallet: Address, to: Address, holdings: Sequence[Holding]) -> tuple[ContractCall, int]:
        """Say what the wallet does: one payment directly; several in one step, which only our own contract can."""
        if len(holdings) == 1:
            (only,) = holdings
            if only.token == ETHER:
                return ContractCall(to, NO_DATA), int(only.units)
            return self._reader.transfer(only, to), 0
        ether = sum(int(holding.units) for holding in holdings if holding.token == ETHER)
        tokens = [holding for holding in holdings if holding.token != ETHER]
        units = [int(holding.units) for holding in tokens]
        together = [to, ether, [token.token for token in tokens], units]
        return ContractCall(wallet, self._at(wallet).encode_abi("payTogether", together)), 0

    async def approved(self, proposal: WalletProposal, tx: TxHash) -> str:
        """Read the place in the wallet's list from the wallet's own event, and see that this payment stands there."""
        receipt = await self._reader.receipt(tx)
        for log in receipt.logs if receipt.ok else ():
            if log.address == proposal.wallet and log.topics[:2] == (CONFIRMED, word_of(self._bot)):
                listed = await self._listed(proposal, log.topics[2])
                wanted = [proposal.operation.to, int(proposal.value_units), bytes.fromhex(proposal.operation.data[2:])]
                if listed[:3] != wanted:
                    raise Contradiction(f"{proposal.wallet} lists another payment than was proposed.", rail=RAIL)
                return log.topics[2]
        return ""

    def _submission(self, wallet: Address, operation: ContractCall, value: int) -> ContractCall:
        arguments = [operation.to, value, operation.data]
        return ContractCall(wallet, self._at(wallet).encode_abi("submitTransaction", arguments))

    def is_approval(self, proposal: WalletProposal) -> bool:
        """Tell whether it puts into the wallet's list what the proposal does."""
        wallet = Address(proposal.wallet)
        return proposal.approval == self._submission(wallet, proposal.operation, int(proposal.value_units))

    async def confirmation(self, proposal: WalletProposal, confirm_hash: str, owner: Address) -> ContractCall:
        """Say what a maintainer sends: his word, or, where he gave it and the payment failed, to try it again."""
        wallet, place = Address(proposal.wallet), int(confirm_hash, 16)
        if not await self._has_confirmed(wallet, place, self._bot):
            raise Rejected("The bot has not agreed to this payment.")
        again = await self._has_confirmed(wallet, place, owner)
        function = "executeTransaction" if again else "confirmTransaction"
        call = ContractCall(wallet, self._at(wallet).encode_abi(function, [place]))
        await self._chain.estimate(owner, wallet, 0, call.data)
        return call

    async def _has_confirmed(self, wallet: Address, place: int, owner: Address, block: int | None = None) -> bool:
        confirmations = self._at(wallet).functions.confirmations(place, owner)
        return bool(await self._reader.contracts.ask(confirmations, block))

    async def _listed(self, proposal: WalletProposal, confirm_hash: str) -> list[Any]:
        """Give a payment as the wallet lists it: to whom, how much, with what data, and whether it was carried out."""
        transactions = self._at(Address(proposal.wallet)).functions.transactions(int(confirm_hash, 16))
        return list(await self._reader.contracts.ask(transactions))

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────────

    async def outcome(self, proposal: WalletProposal, confirm_hash: str, named: Sequence[str]) -> ProposalOutcome:
        """Say what became of a proposal: the wallet's list tells that it was carried out, its event in which block."""
        if not confirm_hash:
            return ProposalOutcome(End.OPEN)
        wallet = Address(proposal.wallet)
        if (await self._listed(proposal, confirm_hash))[3]:
            done = await self._reader.newest(wallet, (EXECUTED, confirm_hash), proposal.since_block)
            receipt, deep = await self._reader.deep_receipt(done) if done else (None, False)
            if receipt is None or not deep or not speaks(receipt, wallet, EXECUTED, confirm_hash):
                return ProposalOutcome(End.OPEN, receipt.hash if receipt else "", receipt.block if receipt else 0)
            return paid(proposal, receipt)
        return await self._tried(named, lambda receipt: _why(receipt, wallet, confirm_hash))

    def withdrawal(self, proposal: WalletProposal, confirm_hash: str) -> ContractCall | None:
        """Say how the bot takes its word back: without that, two payments of one bounty could both be carried out."""
        if not confirm_hash:
            return None
        wallet = self._at(Address(proposal.wallet))
        return ContractCall(proposal.wallet, wallet.encode_abi("revokeConfirmation", [int(confirm_hash, 16)]))

    async def withdrawn(self, proposal: WalletProposal, confirm_hash: str) -> bool:
        """Say whether the bot's word was taken back, deep enough in the chain; a younger one still holds."""
        head = await known_head(self._chain)
        wallet, place = Address(proposal.wallet), int(confirm_hash, 16)
        blocks = (max(0, head.number - self._reader.depth + 1), head.number)
        return not any([await self._has_confirmed(wallet, place, self._bot, at) for at in blocks])


def _why(receipt: Receipt, wallet: str, confirm_hash: str) -> str:
    if not receipt.ok:
        return "the transaction failed"
    if speaks(receipt, wallet, FAILED, confirm_hash):
        return "the wallet says that the payment failed: whoever was to get it does not take it"
    if any(
        log.address == wallet and log.topics[:1] == (CONFIRMED,) and log.topics[2] == confirm_hash
        for log in receipt.logs
    ):
        return AGREED
    return "the transaction does not speak of this payment"
