"""What both kinds of wallets are read with: holdings, depth, and what a receipt says was really moved."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from adapters.addresses import checksummed
from adapters.ethereum.contracts import topic
from machines.core.chain import Address, Chain, ChainHead, Log, Receipt, TxHash, known_head
from machines.core.errors import Contradiction, Retryable
from machines.core.wallets import ETHER, ContractCall, Creation, Deposit, End, Holding, ProposalOutcome, WalletProposal

if TYPE_CHECKING:
    from web3.contract import AsyncContract

    from adapters.ethereum.provider import Contracts

TRANSFERRED = topic("ERC20", "Transfer")
# So many blocks are asked about at a time, which every provider answers.
LOG_BLOCKS = 5_000
MOST_SPANS = 400
"""So many times that; what is further back is not looked for."""
MOST_DEPOSITS = 100
RAIL = "bounty"
AGREED = "one more owner has agreed, and others must as well"


@dataclass(frozen=True, slots=True)
class WalletToken:
    """A token that counts as money of a bounty."""

    address: Address
    decimals: int


class WalletReader:
    """Reads a chain for wallets."""

    def __init__(self, chain: Chain, tokens: Mapping[str, WalletToken], depth: int) -> None:
        self.chain = chain
        self.tokens = tokens
        """By symbol."""
        self.depth = depth
        """How many blocks, its own included, make a transaction count."""

    @cached_property
    def contracts(self) -> "Contracts":
        """Contracts as web3 knows them, asked through our own nodes."""
        from adapters.ethereum.provider import Contracts  # noqa: PLC0415  (web3 takes a second)

        return Contracts(self.chain)

    async def holdings(self, wallet: Address) -> tuple[Holding, ...]:
        """List what a wallet holds of ether and of the tokens that count here."""
        ether = await self.chain.balance(wallet, (await known_head(self.chain)).number)
        found = [Holding(ETHER, "ETH", 18, str(ether))]
        for symbol, token in self.tokens.items():
            units = await self.contracts.ask(self.contracts.at("ERC20", token.address).functions.balanceOf(wallet))
            found.append(Holding(token.address, symbol, token.decimals, str(units)))
        return tuple(holding for holding in found if holding.units != "0")

    def transfer(self, holding: Holding, to: str) -> ContractCall:
        """Say how a token is handed over."""
        token = Address(holding.token)
        return ContractCall(token, self.contracts.at("ERC20", token).encode_abi("transfer", [to, int(holding.units)]))

    async def code(self, address: Address) -> str:
        """Give an address's code, as it is in that block."""
        return await self.chain.code(address, (await known_head(self.chain)).number)

    def deep(self, head: ChainHead, block: int) -> bool:
        """Say whether a block is so deep that what is in it counts."""
        return head.number - block + 1 >= self.depth

    async def deep_receipt(self, tx: str) -> tuple[Receipt | None, bool]:
        """Find a receipt, and say whether it is deep enough."""
        receipt = await self.chain.receipt(TxHash(tx))
        if receipt is None:
            return None, False
        return receipt, self.deep(await self.chain.head(), receipt.block)

    async def receipt(self, tx: TxHash) -> Receipt:
        """Find the receipt of a transaction that is known to be mined; a node may lag."""
        receipt = await self.chain.receipt(tx)
        if receipt is None:
            raise Retryable(f"No node shows the receipt of {tx} now.")
        return receipt

    async def known(self, tx: str) -> bool:
        """Say whether any node knows a transaction."""
        return await self.chain.transaction(TxHash(tx)) is not None

    async def newest(self, wallet: Address, topics: Sequence[str | None], first: int) -> TxHash | None:
        """Find the newest transaction in which a wallet spoke of something."""
        last = (await known_head(self.chain)).number
        while last >= first:
            start = max(first, last - LOG_BLOCKS + 1)
            found = await self.chain.logs(wallet, topics, start, last)
            if found:
                return found[-1][0]
            last = start - 1
        return None

    async def deposits(self, wallet: Address, received: str, made_by: TxHash) -> tuple[Deposit, ...] | None:
        """List what came in: ether by the wallet's own event, tokens by theirs; None where nobody can tell for sure.

        One node may list what it likes: what it lists counts as far as the receipts say so too, on which enough agree.
        """
        made = await self.chain.receipt(made_by)
        last = (await known_head(self.chain)).number
        if made is None or last - made.block >= MOST_SPANS * LOG_BLOCKS:
            return None
        listed: list[tuple[str, TxHash, Log]] = []
        into = (TRANSFERRED, None, word_of(wallet))
        events = [(ETHER, wallet, (received,)), *((one.address, one.address, into) for one in self.tokens.values())]
        for first in range(made.block, last + 1, LOG_BLOCKS):
            for token, contract, topics in events:
                found = await self.chain.logs(contract, topics, first, min(last, first + LOG_BLOCKS - 1))
                listed += [(token, tx, log) for tx, log in found]
            if len(listed) > MOST_DEPOSITS:
                return None
        receipts = {tx: await self.chain.receipt(tx) for tx in {tx for _, tx, _ in listed}}
        if not all(_proven(receipts[tx], log) for _, tx, log in listed):
            return None
        return tuple(Deposit(address_in(log.topics[1]), token, str(number_in(log.data))) for token, _, log in listed)


class OwnedWallets(ABC):
    """What wallets of both kinds have in common; the bot is one of the owners."""

    contract: str
    """The artifact of what a wallet is."""
    received: str
    """The event in which a wallet tells of ether that came in."""

    def __init__(self, reader: WalletReader, bot: Address) -> None:
        self._reader = reader
        self._chain = reader.chain
        self._bot = bot

    async def holdings(self, wallet: Address) -> tuple[Holding, ...]:
        """List what a wallet holds."""
        return await self._reader.holdings(wallet)

    async def deposits(self, wallet: Address, made_by: TxHash) -> tuple[Deposit, ...] | None:
        """List what came in."""
        return await self._reader.deposits(wallet, self.received, made_by)

    def _at(self, wallet: Address) -> "AsyncContract":
        return self._reader.contracts.at(self.contract, wallet)

    async def _owners(self, wallet: Address) -> list[Address]:
        return list(await self._reader.contracts.ask(self._at(wallet).functions.getOwners()))

    @abstractmethod
    async def _threshold(self, wallet: Address) -> int:
        """Say how many owners must agree."""

    async def _checked(self, creation: Creation, wallet: Address) -> Address:
        owners, threshold = await self._owners(wallet), await self._threshold(wallet)
        elsewhere = creation.address not in ("", wallet)
        if elsewhere or set(owners) != set(creation.owners) or threshold != creation.threshold:
            raise Contradiction(f"{wallet} is not the wallet that was wanted: {threshold} of {owners}.", rail=RAIL)
        return wallet

    async def _tried(self, named: Sequence[str], why: Callable[[Receipt], str]) -> ProposalOutcome:
        """Say what became of the transactions that were named, where the wallet does not say that it paid."""
        failed = ProposalOutcome(End.OPEN, known=not named)
        for tx in named:
            receipt, deep = await self._reader.deep_receipt(tx)
            if receipt is None:
                if await self._reader.known(tx):
                    return ProposalOutcome(End.OPEN, tx)
            elif not deep:
                return ProposalOutcome(End.OPEN, tx, receipt.block)
            else:
                failed = ProposalOutcome(End.FAILED, tx, receipt.block, why(receipt))
        return failed


def _proven(receipt: Receipt | None, log: Log) -> bool:
    return receipt is not None and receipt.ok and log in receipt.logs


def word_of(address: str) -> str:
    """Write an address as it stands in a topic."""
    return "0x" + address[2:].lower().rjust(64, "0")


def address_in(word: str) -> Address:
    """Read an address out of a topic."""
    return checksummed("0x" + word[-40:])


def number_in(data: str) -> int:
    """Read the number that an event carries; one that carries none is a node's mistake."""
    try:
        (found,) = decode(["uint256"], bytes.fromhex(data[2:]))
    except (DecodingError, ValueError) as error:
        raise Retryable(f"An event cannot be read: {type(error).__name__}.") from error
    return int(found)


def speaks(receipt: Receipt, wallet: str, name: str, subject: str) -> bool:
    """Say whether a wallet itself told of an event about a subject."""
    return any(
        log.address == wallet and log.topics[:2] == (name, subject) for log in receipt.logs if len(log.topics) > 1
    )


def paid(proposal: WalletProposal, receipt: Receipt) -> ProposalOutcome:
    """Say what a receipt proves in which the wallet tells that it carried the proposal out.

    That covers the ether: the wallet's event names what it agreed on. A token may break its word without failing, so
    its own event must say that the amount was moved.
    """
    for holding in proposal.holdings:
        if holding.token != ETHER and not _moved(proposal, holding, receipt):
            why = f"{holding.symbol} says nothing of {holding.decimal} moved from the wallet to {proposal.to}"
            return ProposalOutcome(End.DEAD, receipt.hash, receipt.block, why)
    moved = tuple((holding.symbol, holding.decimal) for holding in proposal.holdings)
    return ProposalOutcome(
        End.PAID,
        receipt.hash,
        receipt.block,
        details=(
            ("block_hash", receipt.block_hash),
            ("gas_used", str(receipt.gas_used)),
            ("gas_price_wei", str(receipt.gas_price_wei)),
            ("to", proposal.to),
            *moved,
        ),
    )


def _moved(proposal: WalletProposal, holding: Holding, receipt: Receipt) -> bool:
    wanted = (TRANSFERRED, word_of(proposal.wallet), word_of(proposal.to))
    return any(
        log.address == holding.token and log.topics == wanted and number_in(log.data) == int(holding.units)
        for log in receipt.logs
    )
