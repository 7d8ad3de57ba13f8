"""What every simulator is: a server that `async with` starts, and stops whatever happened meanwhile."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.courier import Courier
from adapters.sandbox.faults import Faults
from adapters.sandbox.server import Server
from machines.core.clock import Clock


class Running(ABC):
    """Started and stopped as a context; stopped too where it did not start whole."""

    @abstractmethod
    async def start(self) -> None:
        """Open for business."""

    @abstractmethod
    async def stop(self) -> None:
        """Close."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Simulator(Running):
    """A vendor that runs in this process and listens on loopback; all of it lives on one clock.

    `faults` are its bad days, `courier` brings its webhooks, `server` answers: a subclass makes it.
    """

    server: Server

    def __init__(self, clock: Clock) -> None:
        self.agenda = Agenda(clock)
        self.faults = Faults()
        self.courier = Courier(self.agenda)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    async def start(self, port: int = 0) -> None:
        await self.courier.open()
        await self.server.start(port)

    async def stop(self) -> None:
        await self.server.stop()
        await self.courier.close()

    async def catch_up(self) -> None:
        """Do all that is due by now, and wait until every webhook that is due was delivered."""
        await self.courier.deliver_due()
