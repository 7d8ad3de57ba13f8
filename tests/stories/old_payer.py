"""The payouts module that Payflow replaces, as it is known from its behaviour: what it writes, in its order.

It is the other side of the stories: it takes over where Payflow left, and leaves what Payflow takes over. `dies_after`
lets it die between any two steps. Amounts are Shannon, as in its books.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from tests.adapters.open_ethereum_pool.mine import Mine
from tests.chain import GWEI, LANE, Anvil


class Step(StrEnum):
    """What it does for each miner, in this order."""

    NONCE_READ = "nonce read"
    LOCKED = "locked"
    DEBITED = "debited"
    NONCE_NOTED = "nonce noted"
    SENT = "sent"
    HASH_NOTED = "hash noted"
    BOOKED = "booked"


class Died(Exception):
    """The process is gone; the books are as it left them."""


@dataclass
class OldPayer:
    """One process of the old module."""

    mine: Mine
    chain: Anvil
    threshold: int = 500_000_000
    notes_nonces: bool = True
    """Whether it is open-etc-pool, which notes nonce and hash of what is pending; open-ethereum-pool does not."""
    dies_after: Step | None = None
    sent: list[str] = field(default_factory=list)
    """What its node has sent for it, which a block explorer shows too."""

    def _key(self, *parts: str) -> str:
        return ":".join((self.mine.coin, *parts))

    def may_start(self) -> bool:
        """Say whether it would run: not with pending rows, nor with a lock."""
        return not self.mine.pending() and self.mine.lock() is None

    async def process(self, at_s: int) -> int:
        """Pay every miner above the threshold, and count them."""
        logins = sorted(str(key).split(":")[2] for key in self.mine.do("KEYS", self._key("miners", "*")))
        paid = 0
        for login in logins:
            shannon = self.mine.sums(login)[0]
            if shannon > self.threshold:
                await self._pay(login, shannon, at_s)
                paid += 1
        return paid

    async def _pay(self, login: str, shannon: int, at_s: int) -> None:
        row = f"{login}:{shannon}"
        nonce = int(await self.chain.rpc("eth_getTransactionCount", LANE.address, "pending"), 16)
        self._now(Step.NONCE_READ)
        if not self.mine.do("SETNX", self._key("payments", "lock"), row):
            raise Died("Unable to acquire lock")
        self._now(Step.LOCKED)
        self.mine.debit(login, shannon, at_s)
        self._now(Step.DEBITED)
        if self.notes_nonces:
            self.mine.do("HSET", self._key("payments", "pendingnonce"), row, nonce)
        self._now(Step.NONCE_NOTED)
        tx = await self.chain.send(LANE, login, shannon * GWEI, gas=hex(21_000))
        self.sent.append(tx)
        self._now(Step.SENT)
        if self.notes_nonces:
            self.mine.do("HSET", self._key("payments", "pendingtx"), row, tx)
        self._now(Step.HASH_NOTED)
        self._book(login, shannon, at_s, tx)
        self._now(Step.BOOKED)

    def _now(self, step: Step) -> None:
        if self.dies_after is step:
            raise Died(step)

    def _book(self, login: str, shannon: int, at_s: int, tx: str) -> None:
        self.mine.pay(login, shannon, at_s, tx)
        self._forget_notes(f"{login}:{shannon}")

    def _credit(self, login: str, shannon: int) -> None:
        for name, by in (("balance", shannon), ("pending", -shannon)):
            self.mine.do("HINCRBY", self._key("miners", login), name, by)
            self.mine.do("HINCRBY", self._key("finances"), name, by)
        self.mine.do("ZREM", self._key("payments", "pending"), f"{login}:{shannon}")
        self._forget_notes(f"{login}:{shannon}")

    def _forget_notes(self, row: str) -> None:
        if self.notes_nonces:
            self.mine.do("HDEL", self._key("payments", "pendingtx"), row)
            self.mine.do("HDEL", self._key("payments", "pendingnonce"), row)

    async def resolve(self, at_s: int) -> list[str]:
        """Do what RESOLVE_PAYOUT=1 does; says what became of each row."""
        said = []
        for row in self.mine.pending():
            login, _, amount = row.rpartition(":")
            done = await self._resolve(row, login, int(amount), at_s)
            said.append(f"{done} {row}")
            if done == "left":
                return said
        self.mine.do("DEL", self._key("payments", "lock"))
        return said

    async def _resolve(self, row: str, login: str, shannon: int, at_s: int) -> str:
        nonce = self.mine.do("HGET", self._key("payments", "pendingnonce"), row) if self.notes_nonces else None
        tx = self.mine.do("HGET", self._key("payments", "pendingtx"), row) if self.notes_nonces else None
        if nonce is None and tx is None:
            self._credit(login, shannon)
            return "credited"
        if await self._reverted(tx):
            self._credit(login, shannon)
            return "credited"
        if nonce is not None:
            latest = int(await self.chain.rpc("eth_getTransactionCount", LANE.address, "latest"), 16)
            pending = int(await self.chain.rpc("eth_getTransactionCount", LANE.address, "pending"), 16)
            if latest <= int(nonce):
                if pending > int(nonce):
                    return "left"
                self._credit(login, shannon)
                return "credited"
        self._book(login, shannon, at_s, str(tx or ""))
        return "booked"

    async def _reverted(self, tx: object) -> bool:
        receipt = await self.chain.rpc("eth_getTransactionReceipt", tx) if tx else None
        return receipt is not None and receipt["status"] == "0x0"
