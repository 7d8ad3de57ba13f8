"""The inside of a gateway, whatever its API looks like: transfers, wallets, approvals, retries, the book."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from itertools import count

from adapters.sandbox.agenda import Agenda, day_of
from adapters.sandbox.magic import PAYS, STAYS, Ends, Fate, FatedRefusal, Spelling, Webhook, fate
from machines.core.clock import SECOND, Millis

SHORT = "DISBURSE FAILED: Insufficient funds in customer wallet"
DECLINED = "Transfer was declined by the approver"


@dataclass(frozen=True, slots=True)
class Entry:
    """Money that arrived at an account; negative where it was taken back."""

    reference: str
    """Of the transfer that moved it."""
    asked: str
    """The reference that the caller gave; another one than the transfer's own for a retry."""
    bank: str
    account: str
    amount: Decimal
    currency: str
    at: Millis


class Book:
    """Only ever grows."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        """Add what happened."""
        self._entries.append(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def times_paid(self, asked: str) -> int:
        """Count how often a caller's reference was paid, whatever came back afterwards."""
        return sum(entry.amount > 0 for entry in self._entries if entry.asked == asked)

    def paid(self, asked: str) -> Decimal:
        """Sum up what a caller's reference brought to its account, less what came back."""
        return sum((entry.amount for entry in self._entries if entry.asked == asked), Decimal(0))

    def total(self, currency: str) -> Decimal:
        """Sum up all that was paid in a currency, less what came back."""
        return sum((entry.amount for entry in self._entries if entry.currency == currency), Decimal(0))


@dataclass(slots=True)
class WalletMove:
    """One thing that moved a wallet, as the gateway's own history of it has it."""

    at: Millis
    currency: str
    amount: Decimal
    """Less than nothing where it left."""
    reference: str
    remarks: str
    shown: bool = True
    """Whether the history lists it; what the wallet held before and after counts it all the same."""
    says: Decimal | None = None
    """What the history says that it was, where that is not true."""


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A move, with what the wallet held before and after."""

    move: WalletMove
    before: Decimal
    after: Decimal


class WalletHistory:
    """What moved the wallets of an account: the gateway's statement, which knows nothing of whoever reads it."""

    def __init__(self, wallets: Mapping[str, Decimal]) -> None:
        self.began_with = dict(wallets)
        self.moves: list[WalletMove] = []

    def rows(self, currency: str, first: str = "", last: str = "9") -> list[WalletRow]:
        """List what the history shows of a wallet in some days, the oldest first."""
        begins = bisect_left(self.moves, first, key=lambda move: day_of(move.at))
        ends = bisect_right(self.moves, last, key=lambda move: day_of(move.at))
        before = (move.amount for move in self.moves[:begins] if move.currency == currency)
        found, held = [], sum(before, self.began_with.get(currency, Decimal(0)))
        for move in self.moves[begins:ends]:
            if move.currency == currency:
                after = held + move.amount
                found += [WalletRow(move, held, after)] if move.shown else []
                held = after
        return found

    def of(self, reference: str) -> list[WalletMove]:
        """Find what moved under a reference."""
        return [move for move in self.moves if move.reference == reference]

    def forget(self, reference: str) -> None:
        """Have it as if nothing had moved under a reference."""
        self.moves = [move for move in self.moves if move.reference != reference]


class TransferState(StrEnum):
    """Where a transfer is; each API has its own words for it."""

    NEW = "new"
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    REVERSED = "reversed"


class TransferRefused(Exception):
    """The transfer is not taken in."""

    def __init__(self, refusal: FatedRefusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class NotNow(Exception):
    """What was asked for does not fit the state of the transfer."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asked for."""

    reference: str
    bank: str
    account: str
    amount: Decimal
    currency: str
    name: str = ""
    narration: str = ""
    meta: object = None
    kind: str = "bank"


@dataclass(slots=True, eq=False)
class SimulatedTransfer:
    """One transfer, as it is now."""

    id: int
    order: Order
    fate: Fate
    fee: Decimal
    created_at: Millis
    state: TransferState = TransferState.NEW
    message: str = ""
    needs_approval: bool = False
    approved: bool = False
    charged: bool = False
    ended_at: Millis | None = None
    reversed_at: Millis | None = None
    shows_fee: bool = True
    """Whether the gateway's own object of it names what it cost."""
    parent: "SimulatedTransfer | None" = None
    retries: list["SimulatedTransfer"] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """Its reference, which is ours or was made from ours."""
        return self.order.reference

    @property
    def looks_failed(self) -> bool:
        """Whether nothing about it says that it was paid once and came back."""
        return self.state is TransferState.REVERSED and self.fate.returned_as_failure

    @property
    def first(self) -> "SimulatedTransfer":
        """The transfer that the caller asked for."""
        return self if self.parent is None else self.parent.first


@dataclass(slots=True)
class Switches:
    """What somebody may set in the gateway's dashboard, or what may befall an account."""

    key_revoked: bool = False
    address_listed: bool = True
    transfers_enabled: bool = True
    approval: bool = False
    """Every transfer needs it."""
    short_at_once: bool = False
    """A wallet that is too low is told by a refusal, and not by a transfer that fails."""
    refuses_repeats: bool = False
    """A repeat of a reference is refused before anybody looks whether it is there already."""


class Transfers:
    """Takes orders in, lets them live, keeps wallets and the book."""

    def __init__(self, agenda: Agenda, wallets: Mapping[str, Decimal], otherwise: Fate = STAYS) -> None:
        self.agenda = agenda
        self.book = Book()
        self.switches = Switches()
        self.wallets: dict[str, Decimal] = dict(wallets)
        self.history = WalletHistory(wallets)
        self.hidden: set[str] = set()
        """References of transfers that no list shows."""
        self.otherwise = otherwise
        """What becomes of a transfer without magic."""
        self.all: list[SimulatedTransfer] = []
        self.forbids: Callable[[Order], FatedRefusal] = lambda _: FatedRefusal.NONE
        """What is refused before anything else is looked at, a reference that is known already included."""
        self.foretell: Callable[[Order], Fate] = self._foretell
        """Says what becomes of a transfer."""
        self.hurried = False
        """Whether some news must be out before the request that caused it is answered."""
        self.fees: Callable[[Decimal, str, str], Decimal] = lambda *_: Decimal(0)
        """What a transfer of an amount in a currency costs, by its kind."""
        self.on_news: list[Callable[[SimulatedTransfer], None]] = []
        self.under: dict[str, list[SimulatedTransfer]] = defaultdict(list)
        """What is listed under each reference: one transfer, unless the gateway itself is at fault."""
        self._by_id: dict[int, SimulatedTransfer] = {}
        self._by_day: dict[str, list[SimulatedTransfer]] = defaultdict(list)
        self._numbers = count(1_000_001)
        self._seen: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        """How often each reference was asked for, whether or not anything came of it."""

    def by_reference(self, reference: str) -> SimulatedTransfer | None:
        """Find a transfer by its reference, lag or no lag."""
        return self.under[reference][-1] if reference in self.under else None

    def by_id(self, number: int) -> SimulatedTransfer | None:
        """Find a transfer by its number."""
        return self._by_id.get(number)

    def newest(self, reference: str = "", first: str = "", last: str = "9") -> Iterable[SimulatedTransfer]:
        """List what was asked for in some days, or under a reference, the newest first."""
        if reference:
            under = self.under.get(reference, [])
            return [one for one in under if first <= day_of(one.created_at) <= last]
        days = [day for day in self._by_day if first <= day <= last]
        return (one for day in sorted(days, reverse=True) for one in reversed(self._by_day[day]))

    def visible(self, transfer: SimulatedTransfer) -> bool:
        """Tell whether a look-up finds it by now."""
        return self._older(transfer, transfer.fate.hidden_s)

    def listed(self, transfer: SimulatedTransfer) -> bool:
        """Tell whether the list of all transfers shows it by now."""
        fate_ = transfer.fate
        if transfer.reference in self.hidden:
            return False
        return self._older(transfer, fate_.hidden_s if fate_.unlisted_s is None else fate_.unlisted_s)

    def _older(self, transfer: SimulatedTransfer, seconds: float) -> bool:
        return self.agenda.now() >= transfer.created_at + int(seconds * SECOND)

    def admit(self, order: Order) -> None:
        """Refuse what is forbidden before anything else is looked at."""
        refusal = self.forbids(order)
        if refusal is not FatedRefusal.NONE:
            raise TransferRefused(refusal)

    def turn_repeats_away(self, order: Order) -> None:
        """Refuse a repeat before anybody looks whether its reference is there, if that is the account's fate."""
        foretold = fate(order.reference, order.account, self.otherwise)
        known = self.by_reference(order.reference)
        first_was_lost = foretold.fault is not None and not foretold.fault.created
        again = first_was_lost or self._asked[order.reference] > 0
        self._asked[order.reference] += 1
        if self.switches.refuses_repeats and known is not None:
            raise TransferRefused(FatedRefusal.UNRESOLVED)
        if foretold.again is not FatedRefusal.NONE and again and (known is None or not self.visible(known)):
            raise TransferRefused(foretold.again)

    def written(self, transfer: SimulatedTransfer) -> str | int:
        """Give the account of a transfer as this gateway shows it."""
        given = transfer.order.account
        match transfer.fate.spelling:
            case Spelling.AS_GIVEN:
                return given
            case Spelling.NUMBER:
                return int(given) if given.isdecimal() else given
            case Spelling.ABROAD:
                return given if given.startswith("+") else f"+234{given.removeprefix('0')}"
            case Spelling.SPACED:
                return " ".join(given[place : place + 4] for place in range(0, len(given), 4))

    def place(
        self, order: Order, parent: SimulatedTransfer | None = None, chosen: Fate | None = None
    ) -> SimulatedTransfer:
        """Take an order in. The caller has seen to it that its reference is new."""
        foretold = chosen or self.foretell(order)
        if foretold.refusal is not FatedRefusal.NONE:
            raise TransferRefused(foretold.refusal)
        fee = self.fees(order.amount, order.currency, order.kind)
        short = self.wallets.get(order.currency, Decimal(0)) < order.amount + fee
        if short and self.switches.short_at_once:
            raise TransferRefused(FatedRefusal.SHORT)
        if short:
            foretold = replace(foretold, ends=Ends.FAILED, message=SHORT, reversed_after_s=None)
        else:
            self._move_wallet(order.currency, -order.amount, order.reference, "Transfer")
            if fee:
                self._move_wallet(order.currency, -fee, order.reference, "Transfer fee")
        transfer = SimulatedTransfer(
            next(self._numbers), order, foretold, fee, self.agenda.now(), charged=not short, parent=parent
        )
        transfer.needs_approval = foretold.approval or self.switches.approval
        self.all.append(transfer)
        self._by_id[transfer.id] = transfer
        self.under[transfer.reference].append(transfer)
        self._by_day[day_of(transfer.created_at)].append(transfer)
        if transfer.fate.webhook is Webhook.FIRST:
            self.hurried = True
        if not transfer.needs_approval:
            self._begin(transfer)
        return transfer

    def approve(self, transfer: SimulatedTransfer) -> None:
        """Let a person in the dashboard approve."""
        self._must(transfer, transfer.needs_approval and not transfer.approved and transfer.state is TransferState.NEW)
        transfer.approved = True
        self._begin(transfer)

    def decline(self, transfer: SimulatedTransfer) -> None:
        """Let a person in the dashboard decline."""
        self._must(transfer, transfer.needs_approval and not transfer.approved and transfer.state is TransferState.NEW)
        self._end(transfer, Ends.FAILED, DECLINED)

    def finish(self, transfer: SimulatedTransfer, *, paid: bool, message: str = "") -> None:
        """End a transfer now, whatever was foretold."""
        self._must(transfer, transfer.state in {TransferState.NEW, TransferState.PENDING})
        self._end(transfer, Ends.PAID if paid else Ends.FAILED, message)

    def reverse(self, transfer: SimulatedTransfer) -> None:
        """Take a success back."""
        self._must(transfer, transfer.state is TransferState.PAID)
        transfer.state, transfer.reversed_at = TransferState.REVERSED, self.agenda.now()
        self._move_wallet(transfer.order.currency, transfer.order.amount, transfer.reference, "Transfer reversal")
        self._write(transfer, -transfer.order.amount)
        self._tell(transfer)

    def charge_late(self, transfer: SimulatedTransfer, fee: Decimal) -> None:
        """Take something more for a transfer that was paid long ago: only the wallet's history shows it."""
        self._move_wallet(transfer.order.currency, -fee, transfer.reference, "Transfer fee")

    def retry(self, transfer: SimulatedTransfer, reference: str = "", chosen: Fate | None = None) -> SimulatedTransfer:
        """Try a failed transfer again, as a new one. One that failed for want of funds cannot be tried again so."""
        self._must(transfer, transfer.state is TransferState.FAILED and transfer.message != SHORT)
        first = transfer.first
        number = sum(1 for other in self.all if other.parent is not None and other.first is first) + 1
        order = replace(transfer.order, reference=reference or f"{first.reference}_RETRY_{number}")
        again = self.place(order, transfer, chosen)
        transfer.retries.append(again)
        return again

    def revive(self, transfer: SimulatedTransfer, chosen: Fate) -> None:
        """Try a failed transfer again under its own reference."""
        self._must(transfer, transfer.state is TransferState.FAILED and transfer.message != SHORT)
        transfer.fate, transfer.state, transfer.message = chosen, TransferState.NEW, ""
        self._begin(transfer)

    def _foretell(self, order: Order) -> Fate:
        foretold = fate(order.reference, order.account, self.otherwise)
        if not foretold.failures_first:
            return foretold
        turn = self._seen[order.account] % (foretold.failures_first + 1)
        self._seen[order.account] += 1
        if turn < foretold.failures_first:
            return replace(foretold, ends=Ends.FAILED)
        return replace(foretold, message="")

    def _begin(self, transfer: SimulatedTransfer) -> None:
        after_s = transfer.fate.after_s
        self.agenda.later(min(1.0, after_s / 2), lambda: self._take_up(transfer))
        if transfer.fate.ends is not Ends.NEVER:
            self.agenda.later(after_s, lambda: self._end(transfer, transfer.fate.ends, transfer.fate.message))

    def _take_up(self, transfer: SimulatedTransfer) -> None:
        if transfer.state is TransferState.NEW:
            transfer.state, transfer.message = TransferState.PENDING, "Transaction is currently being processed"

    def _end(self, transfer: SimulatedTransfer, ends: Ends, message: str) -> None:
        if transfer.state not in {TransferState.NEW, TransferState.PENDING}:
            return  # somebody ended it by hand
        transfer.ended_at = self.agenda.now()
        if ends is Ends.PAID:
            transfer.state, transfer.message = TransferState.PAID, "Transaction was successful"
            self._write(transfer, transfer.order.amount)
            if transfer.fate.reversed_after_s is not None:
                self.agenda.later(transfer.fate.reversed_after_s, lambda: self._take_back(transfer))
        else:
            transfer.state, transfer.message = TransferState.FAILED, message or "DISBURSE FAILED: Transfer failed"
            if transfer.charged:
                back = transfer.order.amount + transfer.fee
                self._move_wallet(transfer.order.currency, back, transfer.reference, "Refund of a failed transfer")
            if transfer.fate.clicked_after_s is not None:
                self.agenda.later(transfer.fate.clicked_after_s, lambda: self._click(transfer))
        self._tell(transfer)

    def _click(self, transfer: SimulatedTransfer) -> None:
        if not transfer.retries:
            self.retry(transfer, chosen=PAYS)

    def _take_back(self, transfer: SimulatedTransfer) -> None:
        if transfer.state is TransferState.PAID:
            self.reverse(transfer)

    def _tell(self, transfer: SimulatedTransfer) -> None:
        for tell in self.on_news:
            tell(transfer)

    def _write(self, transfer: SimulatedTransfer, amount: Decimal) -> None:
        order = transfer.order
        asked = transfer.first.reference
        self.book.write(
            Entry(order.reference, asked, order.bank, order.account, amount, order.currency, self.agenda.now())
        )

    def fill(self, currency: str, held: Decimal, reference: str = "top-up") -> None:
        """Have a wallet hold so much, by one top-up or withdrawal."""
        self._move_wallet(currency, held - self.wallets.get(currency, Decimal(0)), reference, "Wallet funding")

    def _move_wallet(self, currency: str, amount: Decimal, reference: str, remarks: str) -> None:
        self.wallets[currency] = self.wallets.get(currency, Decimal(0)) + amount
        self.history.moves.append(WalletMove(self.agenda.now(), currency, amount, reference, remarks))

    @staticmethod
    def _must(transfer: SimulatedTransfer, fits: bool) -> None:  # noqa: FBT001  (it reads as a sentence where it is called)
        if not fits:
            raise NotNow(f"{transfer.reference} is {transfer.state}.")
