"""A trial transfer: money of a gateway's test mode, under a reference that belongs to no payout."""

import secrets

from machines.core.ports import Notice, PaymentKey
from payflow.store import keys
from payflow.store.store import Store

BEGINS = "pf-trial-"
LASTS_S = 3600


def reference(marker: str = "") -> PaymentKey:
    """Make a reference; the marker tells a gateway's test mode how the transfer is to end."""
    return PaymentKey(f"{BEGINS}{secrets.token_hex(6)}{marker}")


async def hear(store: Store, notice: Notice) -> bool:
    """Keep what a genuine delivery says of a trial; False where it speaks of none."""
    about = next((one for one in notice.references if one.startswith(BEGINS)), "")
    if about:
        await store.link.ask("SET", keys.trial(about), notice.said, "EX", LASTS_S)
    return bool(about)


async def heard(store: Store, about: PaymentKey) -> str | None:
    """Give what a delivery said of a trial; None where none came yet."""
    said = await store.link.ask("GET", keys.trial(about))
    return None if said is None else said.decode(errors="replace")
