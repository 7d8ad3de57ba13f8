"""What this process has been told of the chain's head: enough to tell a node that lags from a reorg.

A lower head proves less, never more, so what was told can always be taken back: at once where another block stands in
its place or whose word counts has changed, and after a while where the nodes simply stay behind it.
"""

from collections import OrderedDict

from adapters.ethereum.wire import Header
from machines.core.chain import ChainHead
from machines.core.clock import SECOND, Millis

REMEMBERED = 256


class Heights:
    """Remembers the newest heads that were told, and their hashes."""

    def __init__(self, taken_back_s: float) -> None:
        self.told: ChainHead | None = None
        self._hashes: OrderedDict[int, str] = OrderedDict()
        self._final: int | None = None
        self._patience = Millis(int(taken_back_s * SECOND))
        self._behind_since: Millis | None = None

    def tell(self, header: Header, finalized: int | None, now: Millis) -> ChainHead:
        """Tell the newest head, or once more the one before where this one is behind it."""
        if self._stays_behind(header.number, finalized, now):
            self.forget()
        told = self.told
        if self._final is not None:
            finalized = max(finalized or 0, self._final)  # what cannot go away does not
        self._final = finalized
        if told is not None and header.number < told.number:
            header = Header(told.number, told.hash, told.timestamp_s, told.base_fee_wei)
        if finalized is not None:
            finalized = min(finalized, header.number)
        self.told = ChainHead(header.number, header.hash, header.timestamp_s, header.base_fee_wei, finalized)
        self._hashes[header.number] = header.hash
        self._hashes.move_to_end(header.number)
        while len(self._hashes) > REMEMBERED:
            self._hashes.popitem(last=False)
        return self.told

    def _stays_behind(self, number: int, finalized: int | None, now: Millis) -> bool:
        lower = self.told is not None and number < self.told.number
        if not lower and (self._final is None or (finalized or 0) >= self._final):
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return now - self._behind_since >= self._patience

    def newest_known(self, up_to: int) -> int | None:
        """Find the newest height up to this one whose hash is remembered."""
        return max((number for number in self._hashes if number <= up_to), default=None)

    def replaced(self, header: Header) -> bool:
        """Whether another block stands now where one is remembered."""
        return self._hashes.get(header.number, header.hash) != header.hash

    def reorganized(self) -> None:
        """A reorg took away what was told; what is final stays."""
        self.told = None
        self._hashes.clear()

    def forget(self) -> None:
        """Nothing that was told counts any more."""
        self.reorganized()
        self._final = self._behind_since = None
