"""What this process has been told of the chain's head: enough to tell a node that lags from a reorg."""

from collections import OrderedDict

from adapters.ethereum.wire import Header
from machines.core.chain import Head

REMEMBERED = 256


class Heights:
    """Remembers the newest heads that were told, and their hashes."""

    def __init__(self) -> None:
        self.told: Head | None = None
        self._final: int | None = None
        self._hashes: OrderedDict[int, str] = OrderedDict()

    def tell(self, header: Header, finalized: int | None) -> Head:
        """Tell the newest head, or once more the one before where this one is behind it."""
        told = self.told
        if self._final is not None:
            finalized = max(finalized or 0, self._final)  # what cannot go away does not
        if told is not None and header.number < told.number:
            header = Header(told.number, told.hash, told.timestamp_s, told.base_fee_wei)
        self._final = finalized
        self.told = Head(header.number, header.hash, header.timestamp_s, header.base_fee_wei, finalized)
        self._hashes[header.number] = header.hash
        self._hashes.move_to_end(header.number)
        while len(self._hashes) > REMEMBERED:
            self._hashes.popitem(last=False)
        return self.told

    def newest_known(self, up_to: int) -> int | None:
        """Find the newest height up to this one whose hash is remembered."""
        return max((number for number in self._hashes if number <= up_to), default=None)

    def replaced(self, header: Header) -> bool:
        """Whether another block stands now where one is remembered."""
        return self._hashes.get(header.number, header.hash) != header.hash

    def forget(self) -> None:
        """A reorg took away what was told; what is final stays."""
        self.told = None
        self._hashes.clear()
