"""The pool's books: every change is one script, every read says when it could not read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from adapters.open_ethereum_pool.config import Flavour
from adapters.open_ethereum_pool.keys import FSYNC, PoolKeys
from adapters.open_ethereum_pool.link import Persistence, PoolRedis
from machines.core.chain import Address, TxHash
from machines.core.errors import BadInput, NotDurable, Retryable

Command = tuple[str | int, ...]

PAGE = 500
DISK_TIMEOUT_MS = 5000
ALWAYS = "always"
MARK = "accounted for"
"""The field beside the payments' own that says up to where the chain and the books were compared."""
SUMS = ("balance", "pending", "paid")
FRIENDS_THRESHOLD = 500_000_000
"""What the friends fork pays from when a miner has set nothing."""
LEAST_OWN_THRESHOLD = 10
"""A miner's own threshold up to this means that he wants the pool's."""


class PaymentLine(Protocol):
    """One payment, as a change of the books names it."""

    @property
    def key(self) -> str:
        """What makes it the same payment for ever."""

    @property
    def login(self) -> str:
        """Whose it is."""

    @property
    def shannon(self) -> int:
        """How much is taken off the balance."""

    @property
    def at_s(self) -> int:
        """The second that rows are written with."""

    @property
    def row_s(self) -> int:
        """The second that its pending row was written with; 0 where that is not known."""

    @property
    def charge_wei(self) -> int:
        """What is kept back from it."""


class ScriptAnswer(NamedTuple):
    """What a script answered."""

    code: str
    found: str


class BookState(NamedTuple):
    """How the books have a payment."""

    step: str
    row_s: int | None
    """The second that a pending row over this amount was written with; None where there is none."""

    @property
    def pending(self) -> bool:
        """Whether its row is in the list of pending payments."""
        return self.row_s is not None


class Booking(NamedTuple):
    """One payment in a miner's history."""

    tx: TxHash
    shannon: int
    charge_wei: int
    """What its row says was kept back; 0 where it says nothing."""
    at_s: int


class PendingRow(NamedTuple):
    """A pending payment, as the pool lists it."""

    login: str
    shannon: int
    at_s: int

    @property
    def member(self) -> str:
        """The row itself."""
        return f"{self.login}:{self.shannon}"


class Payee(NamedTuple):
    """A miner, and what the pool owes him."""

    login: str
    balance: str
    """As the books have it: it may be no number."""
    threshold: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the books keep about one pending row beside it."""

    tx: TxHash | None
    nonce: int | None


class PaidRow(NamedTuple):
    """A payment in the list of all."""

    tx: TxHash
    login: str
    shannon: int
    at_s: int


class PoolLedger(NamedTuple):
    """All sums and all rows of a coin. The pool may write meanwhile, so that an audit reads twice."""

    miners: dict[str, dict[str, str]]
    histories: dict[str, list[str]]
    finances: dict[str, str]
    everything: list[str]
    pending: list[PendingRow]


class PoolBooks:
    """The books of one coin."""

    def __init__(self, link: PoolRedis, coin: str, flavour: Flavour, *, weak_accepted: bool = False) -> None:
        self.link = link
        self.keys = PoolKeys(coin)
        self.flavour = flavour
        self._weak_accepted = weak_accepted

    # ── change ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def debit(self, line: PaymentLine, lock: str = "", *, again: bool = False) -> ScriptAnswer:
        """Lock, take it off the balance, log it as pending."""
        return await self._change("debit", line, lock, int(again))

    async def skip(self, line: PaymentLine) -> ScriptAnswer:
        """Call it off, so that it can never be debited."""
        return await self._change("skip", line)

    async def announce(self, line: PaymentLine, tx: TxHash, nonce: int) -> ScriptAnswer:
        """Write nonce and hash down, for every pool: no file says surely which module will resolve one day."""
        return await self._change("announce", line, tx, nonce)

    async def write_payment(self, line: PaymentLine, tx: TxHash, *, again: bool = False) -> ScriptAnswer:
        """Book it as paid."""
        return await self._change("write_payment", line, tx, self._extra(line), int(again))

    async def rollback(self, line: PaymentLine) -> ScriptAnswer:
        """Give it back."""
        return await self._change("rollback", line)

    async def unlock(self, lock: str) -> ScriptAnswer:
        """Take the lock away if it names this, and nothing is pending."""
        return ScriptAnswer(*await self.link.run("unlock", self.keys.touched(""), "", "", "0", "0", "", lock))

    async def add_missing(self, line: PaymentLine, tx: TxHash) -> ScriptAnswer:
        """Add the history of a payment that was made and not logged."""
        return await self._change("add_missing", line, tx, self._extra(line))

    async def adopt(self, line: PaymentLine) -> ScriptAnswer:
        """Take over a pending row that somebody else wrote."""
        return await self._change("adopt", line)

    async def reopen(self, line: PaymentLine, tx: TxHash) -> ScriptAnswer:
        """Take a payment that is booked and never came back into the pending ones, as one of ours."""
        return await self._change("reopen", line, tx, self._extra(line))

    async def repair(self, changes: Sequence[tuple[str, str, str, int]]) -> ScriptAnswer:
        """Add to fields (key, field, what it has, what is added), all of them or none."""
        parts = [str(part) for _, field, has, added in changes for part in (field, has, added)]
        return ScriptAnswer(*await self.link.run("repair", [key for key, *_ in changes], *parts))

    async def _change(self, name: str, line: PaymentLine, *more: str | int) -> ScriptAnswer:
        return ScriptAnswer(
            *await self.link.run(
                name,
                self.keys.touched(line.login),
                *_named(line),
                *more,
            )
        )

    def _extra(self, line: PaymentLine) -> str:
        return str(line.charge_wei) if self.flavour is Flavour.FRIENDS else ""

    # ── durability ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def persistence(self) -> Persistence:
        """Say how the server keeps what it acknowledged."""
        return await Persistence.of(self.link)

    async def durability_fault(self) -> str:
        """Say why nothing may be sent on the word of this server; empty where it keeps what it acknowledged."""
        return self._fault_of(await self.persistence())

    def _fault_of(self, persistence: Persistence) -> str:
        faults = persistence.faults()
        return faults[0] if faults and not self._weak_accepted else ""

    async def sync_each_write(self) -> None:
        """Let the server sync each write from now on, and note what it did before; several coins may share one."""
        before = await self.fsync()
        noted = await self.link.ask("GET", self.keys.fsync) or next(iter(await self._notes_of_others()), "")
        if before == ALWAYS and not noted:
            return
        # The note comes first: whoever finds it after a crash sets back what it says.
        await self.link.ask("SET", self.keys.fsync, str(noted) or before)
        await self.link.ask("CONFIG", "SET", "appendfsync", ALWAYS)

    async def sync_as_before(self) -> None:
        """Set back what a run has set, this one or one that died, unless another coin still runs."""
        noted = await self.link.ask("GET", self.keys.fsync)
        if noted is None:
            return
        if not await self._notes_of_others():
            await self.link.ask("CONFIG", "SET", "appendfsync", str(noted))
        await self.link.ask("DEL", self.keys.fsync)

    async def fsync(self) -> str:
        """Say how the server syncs its file."""
        answer = await self.link.ask("CONFIG", "GET", "appendfsync")
        return str(answer["appendfsync"] if isinstance(answer, dict) else answer[1])

    async def _notes_of_others(self) -> list[str]:
        notes = await self._keys_like("*:" + ":".join(FSYNC), 1000)
        return [
            str(note) for note in await self.link.together([("GET", key) for key in notes - {self.keys.fsync}]) if note
        ]

    async def _keys_like(self, pattern: str, count: int) -> set[str]:
        found: set[str] = set()
        cursor = "0"
        while True:
            cursor, page = await self.link.ask("SCAN", cursor, "MATCH", pattern, "COUNT", count)
            found.update(map(str, page))
            if str(cursor) == "0":
                return found

    async def keep(self) -> None:
        """Return when all that was written is on disk."""
        persistence = await self.persistence()
        fault = self._fault_of(persistence)
        if fault:
            raise NotDurable(fault)
        if persistence.must_wait and not await self.link.reaches_disk(self.keys.synced, DISK_TIMEOUT_MS):
            raise NotDurable(f"The pool's Redis did not reach its disk within {DISK_TIMEOUT_MS // 1000} seconds.")

    # ── read ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ping(self) -> str:
        """Ask whether it is there."""
        answer = await self.link.ask("PING")
        return "PONG" if answer is True else str(answer)

    async def book_state(self, line: PaymentLine) -> BookState:
        """Say how far a payment came."""
        row = f"{line.login}:{line.shannon}"
        step, score = await self.link.together(
            [("HGET", self.keys.applied, line.key), ("ZSCORE", self.keys.pending, row)]
        )
        return BookState(str(step or ""), None if score is None else int(float(score)))

    async def steps(self, keys: Sequence[str]) -> list[str]:
        """Say how far payments came; empty for those that the books never heard of."""
        if not keys:
            return []
        return [str(step or "") for step in await self.link.ask("HMGET", self.keys.applied, *keys)]

    async def row_and_steps(self, row: PendingRow, keys: Sequence[str]) -> tuple[bool, list[str]]:
        """Say at one moment whether a row is pending, and how far payments came."""
        commands: list[Command] = [("ZSCORE", self.keys.pending, row.member)]
        commands += [("HMGET", self.keys.applied, *keys)] if keys else []
        answers = await self.link.together(commands)
        return answers[0] is not None, [str(step or "") for step in (answers[1] if keys else [])]

    async def lock(self) -> str:
        """Read what holds the lock; empty when payments are not locked."""
        return str(await self.link.ask("GET", self.keys.lock) or "")

    async def pending(self) -> list[PendingRow]:
        """List what is pending, newest first."""
        found = await self.link.ask("ZREVRANGE", self.keys.pending, 0, -1, "WITHSCORES")
        return [_row(member, int(float(score))) for member, score in _scored(found)]

    async def remembered(self, row: PendingRow) -> Remembered:
        """Read nonce and hash that open-etc-pool noted about a row."""
        tx, nonce = await self.link.together(
            [("HGET", self.keys.pending_tx, row.member), ("HGET", self.keys.pending_nonce, row.member)]
        )
        return Remembered(TxHash(tx) if tx else None, int(nonce) if nonce and str(nonce).isdecimal() else None)

    async def logins(self) -> list[str]:
        """List all miners; each once, in the order of the alphabet."""
        return sorted({key.split(":")[2] for key in await self._keys_like(self.keys.miners, 100)})

    async def payees(self, threshold: int) -> list[Payee]:
        """List all miners with what they are owed, and from where they are paid."""
        logins = await self.logins()
        answers = await self._pairs(
            (("HGET", self.keys.miner(login), "balance"), ("HGET", self.keys.settings(login), "payoutthreshold"))
            for login in logins
        )
        return [
            Payee(login, str(balance or "0"), self._threshold(own, threshold))
            for login, (balance, own) in zip(logins, answers, strict=True)
        ]

    async def _pairs(self, pairs: Iterable[tuple[Command, Command]]) -> list[tuple[Any, Any]]:
        """Send any number of commands that belong together by two; the answers of a page are of one moment."""
        answers = await self.link.in_pages([command for pair in pairs for command in pair], 2 * PAGE)
        return list(zip(answers[::2], answers[1::2], strict=True))

    def _threshold(self, own: str | None, threshold: int) -> int:
        """Take a miner's own threshold as the friends fork does."""
        if own is None:
            return FRIENDS_THRESHOLD if self.flavour is Flavour.FRIENDS else threshold
        return int(own) if own.isdecimal() and LEAST_OWN_THRESHOLD < int(own) < 10**18 else threshold

    async def balance(self, login: str) -> str:
        """Read what one miner is owed."""
        return str(await self.link.ask("HGET", self.keys.miner(login), "balance") or "0")

    async def bookings(self, login: str) -> list[Booking]:
        """List what a miner's history has, oldest first; members that no pool writes are left out."""
        found = _scored(await self.link.ask("ZRANGE", self.keys.payments(login), 0, -1, "WITHSCORES"))
        parts = [(member.split(":"), int(at_s)) for member, at_s in found]
        return [
            Booking(TxHash(part[0].lower()), int(part[1]), int(part[2]) if _is_third(part) else 0, at_s)
            for part, at_s in parts
            if len(part) > 1 and part[1].isdecimal()
        ]

    async def paid_between(self, since_s: int, until_s: int) -> list[PaidRow]:
        """List what was paid from one second to before another, but for members that no pool writes."""
        words = (f"{since_s}", f"({until_s}", "WITHSCORES")
        found = _scored(await self.link.ask("ZRANGEBYSCORE", self.keys.all, *words))
        rows = [(member.split(":"), int(at_s)) for member, at_s in found]
        return [PaidRow(TxHash(part[0].lower()), part[1], int(part[2]), at_s) for part, at_s in rows if _is_third(part)]

    async def booked(self, payments: Sequence[tuple[str, int, TxHash, int]]) -> list[bool]:
        """Say of payments (login, Shannon, hash, charge in wei) whether the miner's history has them."""
        scores = await self._pairs(
            (
                ("ZSCORE", self.keys.payments(login), f"{tx}:{shannon}"),
                ("ZSCORE", self.keys.payments(login), f"{tx}:{shannon}:{charge_wei}"),
            )
            for login, shannon, tx, charge_wei in payments
        )
        return [bare is not None or charged is not None for bare, charged in scores]

    async def is_miner(self, login: str) -> bool:
        """Say whether the pool knows a miner of this login."""
        return bool(await self.link.ask("EXISTS", self.keys.miner(login)))

    async def now(self) -> int:
        """Say which second it is by the pool's clock."""
        return int((await self.link.ask("TIME"))[0])

    async def newest_booking(self) -> int | None:
        """Say in which second the newest payment was booked; None where none ever was."""
        found = _scored(await self.link.ask("ZREVRANGE", self.keys.all, 0, 0, "WITHSCORES"))
        return int(found[0][1]) if found else None

    async def accounted_for(self) -> tuple[int, int] | None:
        """Say up to which block, and which nonce then, all that the address sent is accounted for."""
        block, _, nonce = str(await self.link.ask("HGET", self.keys.applied, MARK) or "").partition(":")
        return (int(block), int(nonce)) if block.isdecimal() and nonce.isdecimal() else None

    async def account_for(self, block: int, nonce: int) -> None:
        """Note it, in the books themselves: a backup takes it back to where they were."""
        await self.link.ask("HSET", self.keys.applied, MARK, f"{block}:{nonce}")

    async def holds_pending_sum(self, line: PaymentLine) -> bool:
        """Say whether a miner's pending sum still holds a payment whose row is gone: nobody gave it back."""
        rows = sum(row.shannon for row in await self.pending() if row.login == line.login)
        has = str(await self.link.ask("HGET", self.keys.miner(line.login), "pending") or "0")
        return has.isdecimal() and int(has) - rows >= line.shannon

    async def is_fresh(self) -> bool:
        """Say whether no payment was ever booked in these books."""
        return not await self.link.ask("EXISTS", self.keys.all)

    async def ledger(self) -> PoolLedger:
        """Read all sums and all rows, for an audit."""
        logins = await self.logins()
        answers = await self._pairs(
            (("HMGET", self.keys.miner(login), *SUMS), ("ZRANGE", self.keys.payments(login), 0, -1)) for login in logins
        )
        miners = {login: _sums(sums) for login, (sums, _) in zip(logins, answers, strict=True)}
        histories = {login: list(map(str, rows)) for login, (_, rows) in zip(logins, answers, strict=True)}
        finances, everything, rows = await self.link.together(
            [
                ("HMGET", self.keys.finances, *SUMS),
                ("ZRANGE", self.keys.all, 0, -1),
                ("ZRANGE", self.keys.pending, 0, -1),
            ]
        )
        return PoolLedger(
            miners, histories, _sums(finances), [str(one) for one in everything], [_row(one, 0) for one in rows]
        )


def address_of(login: str) -> Address:
    """Give the address that a login of the pool's books is, or say why it is none."""
    if login != login.lower():
        raise BadInput(f"{login[:60]!r} is not in small letters, as every login of a pool is.")
    from adapters.addresses import typed  # noqa: PLC0415  (a quarter of a second, which `--help` has not)

    return typed(login)


def _named(line: PaymentLine) -> tuple[str | int, ...]:
    """Name a payment to a script, as books.lua has it."""
    return line.key, line.login, str(line.shannon), line.at_s, line.row_s or ""


def _is_third(parts: Sequence[str]) -> bool:
    return len(parts) > 2 and parts[2].isdecimal()  # noqa: PLR2004  (what the friends fork adds)


def _sums(values: Sequence[str | None]) -> dict[str, str]:
    return {name: value for name, value in zip(SUMS, values, strict=True) if value is not None}


def _row(member: str, at_s: int) -> PendingRow:
    login, _, amount = member.rpartition(":")
    if not login or not amount.isdecimal():
        raise Retryable(f"The list of pending payments has a row that no pool writes: {member[:80]!r}.")
    return PendingRow(login, int(amount), at_s)


def _scored(answer: Sequence[object]) -> list[tuple[str, float]]:
    """Read a list with scores, as either protocol gives it."""
    if answer and isinstance(answer[0], list | tuple):
        pairs = [tuple(pair) for pair in answer if isinstance(pair, list | tuple)]
    else:
        pairs = list(zip(answer[::2], answer[1::2], strict=True))
    return [(str(member), float(str(score))) for member, score in pairs]
