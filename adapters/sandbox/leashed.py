"""Programs that never outlive the sandbox, whatever becomes of it."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from adapters.sandbox import leash

PATIENCE_S = 30.0
_PAUSE_S = 0.01
_LAST_WORDS = 600
_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "LANG", "TZ", "PYTHONPATH")


class NotStarted(Exception):
    """A program of the sandbox did not start."""


class Leashed:
    """A program that runs until `stop`, or until this process is gone."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        how: str = "hold",
        keep: Sequence[int] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        """`keep` are open files that it holds as long as it lives, such as a lock."""
        self.log = log
        self._name = Path(command[0]).name
        inherited = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with log.open("wb") as output:
            # A session of its own: Ctrl-C is for us alone, who then end everything in its order.
            self._process = subprocess.Popen(  # noqa: S603  (our own script)
                [sys.executable, "-I", "-S", leash.__file__, how, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=inherited | dict(more or {}),
                start_new_session=True,
                pass_fds=tuple(keep),
            )

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self._process.pid

    async def said(self, words: str) -> str:
        """Wait until it has printed something, a pattern with one group; gives what stands there."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            text = self.log.read_text("utf-8", "replace")
            found = re.search(words, text)
            if found is not None:
                return found[1]
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"{self._name} did not start. It said:\n{text[-_LAST_WORDS:]}")
            await asyncio.sleep(_PAUSE_S)

    async def stop(self) -> None:
        """Let it end, and wait until it has."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError):
                os.write(pipe.fileno(), leash.FINE)
            pipe.close()
        await asyncio.to_thread(self._process.wait)
