"""What platforms hear: every event that there is, and the one shape that each of them has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from machines.core.clock import SECOND
from machines.core.ids import called
from machines.payout.events import EVENTS, public_status
from payflow.store.outbox import Post

PROFILE_CHANGED = "provider.profile_changed"
CHANGED = "changed"
"""What the status of a profile is in its events."""
# What only steers the delivery, or says twice what stands elsewhere.
_FOR_US_ALONE = frozenset({"event", "platform", "to"})

OF_PAYOUTS = {
    "id": "The payout.",
    "owner": "Whose it is, as the platform calls them.",
    "status": "Where it is after this, in the words of the API.",
    "version": "Of the payout: it grows with each change, so that of two events the later one is known.",
    "amount": "What it takes from the balance, as text.",
    "currency": "Of the amount.",
    "arrives": "What reaches the destination, as text.",
    "destination": "Where it goes, by its last digits.",
    "payout": "The same as `id`, for who read events before there was one.",
}
"""What the data of each event of a payout has."""
FURTHER = {
    "reason": "Why, in plain words.",
    "reason_code": "The same for programs; empty where a person says it in words of their own.",
    "next": "What happens next, or what the provider may do.",
    "reference": "The reference of the payment at its rail.",
}
OF_PROFILES = {
    "owner": "Whose profile it is, as the platform calls them.",
    "status": "Always `changed`.",
    "version": "Of the profile: it grows with each change.",
    "changed": "What was changed.",
}


@dataclass(frozen=True, slots=True)
class WebhookEventKind:
    """One kind of event."""

    type: str
    means: str
    data: Mapping[str, str]
    """What its data has, and what each part means."""


KINDS: Mapping[str, WebhookEventKind] = {
    one.type: one
    for one in (
        *(
            WebhookEventKind(f"payout.{name}", event.means, OF_PAYOUTS | {part: FURTHER[part] for part in event.more})
            for name, event in EVENTS.items()
        ),
        WebhookEventKind(
            PROFILE_CHANGED, "Where a provider is paid or told things was changed, or who speaks for them.", OF_PROFILES
        ),
    )
}


def news_of(post: Post) -> dict[str, Any]:
    """Write what a platform hears, in the shape that the specification recommends."""
    body = post.body
    about = "payout" if "payout" in body else "provider"
    at = datetime.fromtimestamp(post.at / SECOND, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {name: value for name, value in body.items() if name not in _FOR_US_ALONE}
    data |= {"owner": called(body["owner"]), "version": int(post.id.split("/")[1])}
    if about == "payout":
        data |= {"id": body["payout"], "status": public_status(body["event"])}
    else:
        data["status"] = CHANGED
    return {"type": f"{about}.{body['event']}", "timestamp": at, "data": data}
