"""What is written into a history without a decision: a record was set aside, is looked at again, or sealed anew."""

from machines.core.decision import Message
from payflow.store.codec import chain, digest, event_bytes, left_by
from payflow.store.groups import MoveOp, WriteGroup, placed
from payflow.store.stored import Poison, Stored

PARKED = "Parked"
UNPARKED = "Unparked"
RESEALED = "Resealed"
ADOPTED = "Adopted"

AS_IT_IS = -2
"""For `after_ms`: whether and when a record is looked at, and who holds it, stays as it is, whatever that is now."""
TRIES_AS_THEY_ARE = -1


def mark(
    group: WriteGroup,
    stored: Stored | Poison,
    fact: str,
    why: str,
    who: str,
    *,
    after_ms: int,
    parked: str = "",
    messages: tuple[Message, ...] = (),
    data: bytes | None = None,
) -> None:
    """Add an event that changes nothing but whether, and when, a record is looked at; or how its data are written."""
    record = stored.record
    body = stored.body if data is None else stored.body._replace(digest=digest(record.owner, data))
    left = left_by(b"" if data is None else body.digest)
    event = event_bytes(stored.chain, stored.at, record.version + 1, "", record.state, who, why, fact, None, left)
    newest = chain(event)
    group.ops.append(
        MoveOp(
            id=record.id,
            version=record.version,
            fence=stored.fence,
            state=record.state,
            to=record.state,
            from_position=False,
            to_position=False,
            data=False if data is None else group.place(data),
            event=group.place(event),
            hash=group.place(newest),
            mac=group.signed(record.id, record.state, record.version + 1, newest, body),
            posting="",
            after_ms=after_ms,
            tries=TRIES_AS_THEY_ARE if after_ms == AS_IT_IS else 0,
            parked=parked,
            claims=[],
            releases=[],
            messages=placed(group, record.id, stored.at, messages),
            sends="",
            share=False,
            rail=False,
        )
    )
