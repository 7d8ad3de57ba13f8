"""How many connections may be open at a time, in all and from one address.

Each costs a file descriptor. Whoever opened enough of them and said nothing would leave none for health checks, and
none for asking gateways and nodes. How long one may say nothing is the server's own limit (`IDLE_S`).
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import cast

from payflow.web.http.auth import among

IDLE_S = 65.0
"""Between two requests, and until a header is whole: longer than proxies keep a connection for the next request."""
MOST = 20_000
_SHARE = 4


class Connections:
    """Counts who is connected; half of what the process may open stays free for the process itself."""

    def __init__(self, proxies: Sequence[IPv4Network | IPv6Network] = (), files: int = resource.RLIM_INFINITY) -> None:
        self._proxies = proxies
        self.most = MOST if files == resource.RLIM_INFINITY else min(MOST, files // 2)
        self.most_of_one = self.most // _SHARE
        """From one address; a proxy of ours, which brings everybody, may have all."""
        self._open: Counter[str] = Counter()

    def guarding(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Put the limits before what serves a connection."""
        return lambda: _Guarded(self, make())

    def admit(self, address: str) -> bool:
        """Count a connection in, unless there are too many."""
        if self._open.total() >= self.most:
            return False
        if self._open[address] >= self.most_of_one and not among(address, self._proxies):
            return False
        self._open[address] += 1
        return True

    def forget(self, address: str) -> None:
        """Count a connection out."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class _Guarded(asyncio.Protocol):
    """One connection, served only when it was admitted."""

    def __init__(self, connections: Connections, served: asyncio.Protocol) -> None:
        self._connections = connections
        self._served = served
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if self._connections.admit(address):
            self._address = address
            self._served.connection_made(transport)
        else:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self._connections.forget(self._address)
            self._served.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._address is not None:
            self._served.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served.eof_received() if self._address is not None else None

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()
