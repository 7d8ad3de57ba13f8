"""What every simulator is: a server that `async with` starts, and stops whatever happened meanwhile."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Running(ABC):
    """Started and stopped as a context."""

    @abstractmethod
    async def start(self) -> None:
        """Open for business."""

    @abstractmethod
    async def stop(self) -> None:
        """Close."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
