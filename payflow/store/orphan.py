"""Ends the server of a data folder whose last user died: `python -m payflow.store.orphan FOLDER`.

It comes in as one more user and leaves as the last one. Where somebody else still uses the store, it stays.
"""

import asyncio
import sys
from pathlib import Path

from payflow.store.embedded import embedded


async def end(folder: Path) -> None:
    """Come in, and leave."""
    async with embedded(folder):
        pass


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if where.is_dir():
        asyncio.run(end(where))
