"""What a pool payment keeps, and how it is named."""

from dataclasses import dataclass
from typing import TypeAlias

from machines.core.chain import NO_HASH, TxHash
from machines.core.decision import Claim
from machines.core.errors import BadAmount
from machines.core.ids import Owner, RecordId, derived_id, owner_of, shard_for
from machines.core.money import ETH, Money
from machines.core.ports import Evidence, PaymentKey
from machines.core.record import Record

WEI = 10**9
"""Wei in a Shannon, the unit of a pool's books."""


@dataclass(frozen=True, slots=True)
class PoolData:
    """The facts about a pool payment that its machine needs again."""

    coin: str
    login: str
    """The miner's address in small letters, as the pool's books have it."""
    to: str
    """The same address with its checksum."""
    run: str = ""
    """The run that found it due."""
    charge_wei: str = "0"
    """What is kept back for the network's fee; the books take off the full amount all the same."""
    debited_at: int = 0
    """The second in which the books took it off the balance."""
    paid_at: int = 0
    """The second in which the books said that it was paid."""
    hash: TxHash = NO_HASH
    nonce: int = -1
    waiting_for: str = ""
    evidence: Evidence | None = None
    by_lane: bool = False
    """Whether the lane itself proved that it is paid."""
    taken_back: str = ""
    """How it stands since the chain dropped the block that paid it."""
    reason: str = ""
    refused: bool = False
    """Whether the address itself threw it back, so that paying it again would only burn gas."""
    permit: str = ""
    """Over what the run found due; empty where an older version did."""

    @property
    def owner(self) -> Owner:
        return owner_of_login(self.coin, self.login)


PoolRecord: TypeAlias = Record[PoolData]


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One payment as the pool's books know it."""

    key: PaymentKey
    login: str
    shannon: int
    at_s: int
    charge_wei: int = 0
    row_s: int = 0
    """The second that its pending row was written with; 0 where that is not known."""

    @property
    def row(self) -> str:
        """How it stands in the list of pending payments, and in the lock."""
        return row_of(self.login, self.shannon)


def row_of(login: str, shannon: int) -> str:
    return f"{login}:{shannon}"


def line_of(record: PoolRecord, at_s: int) -> PoolLine:
    data = record.data
    return PoolLine(PaymentKey(record.id), data.login, shannon_of(record), at_s, int(data.charge_wei), data.debited_at)


def shannon_of(record: PoolRecord) -> int:
    """Say how much a record takes off the balance."""
    if record.amount is None:
        raise BadAmount(f"{record.id} has no amount.")
    return record.amount.units


def sent_of(record: PoolRecord) -> Money:
    """Say how much arrives: all, less what is kept back for the network."""
    return Money(shannon_of(record) - int(record.data.charge_wei) // WEI, ETH)


def owner_of_login(coin: str, login: str) -> Owner:
    return owner_of(f"{coin}:{login}")


def payment_id(coin: str, login: str, shannon: int, run: str, shards: int) -> RecordId:
    """Give the id of a payment: the same login, amount and run is the same payment."""
    return derived_id("pool", shard_for(owner_of_login(coin, login), shards), coin, login, str(shannon), run)


def claim_of(coin: str, login: str) -> Claim:
    """Name what lets a login have one open payment at most."""
    return Claim("pool", f"{coin}:{login}")


def nonce_of(evidence: Evidence, otherwise: int) -> int:
    """Read which nonce an evidence names, where it names one."""
    nonce = dict(evidence.details).get("nonce", "")
    return int(nonce) if nonce.isdecimal() else otherwise
