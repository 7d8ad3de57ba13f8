"""Holds a program for as long as whoever started it lives. It is a script of its own: `python leash.py hold COMMAND…`.

Its standard input is a pipe whose other end only the owner has. The kernel closes that end when the owner dies, however
he dies, and then the program goes. `leash.py then COMMAND…` runs nothing meanwhile, and the command only if the owner
died without a word.

It imports little, because it starts with every sandbox, several times.
"""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Thread

GRACE_S = 5.0
FINE = b"fine"
"""What an owner says who leaves in order."""
_SET_DEATH_SIGNAL = 1


def main() -> int:
    """Do one of the two."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what ends us is the end of the owner
    how, command = sys.argv[1], sys.argv[2:]
    if how == "hold":
        return _hold(command)
    if not _until_the_owner_is_gone().endswith(FINE):
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)  # noqa: S603  (the owner's own words)
    return 0


def _hold(command: list[str]) -> int:
    # Where the kernel can do it, the program does not outlive us either.
    program = subprocess.Popen(  # noqa: S603  (as above)
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_follow_into_death,  # noqa: PLW1509  (we have no other thread yet)
    )

    def end() -> None:
        _until_the_owner_is_gone()
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(GRACE_S)
        program.kill()

    Thread(target=end, daemon=True).start()
    return program.wait()


def _until_the_owner_is_gone() -> bytes:
    said = b""
    while some := os.read(sys.stdin.fileno(), 64):
        said += some
    return said


def _follow_into_death() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
