"""What `payflow login` saved: who this account acts as, at which service, in a file that nobody else reads."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import typer

from payflow.config import Settings


@dataclass(frozen=True, slots=True)
class SavedLogin:
    """What was given out for some hours."""

    token: str
    who: str
    role: str
    until: str


def place_of(settings: Settings) -> Path:
    """Say where the login at a service is saved: one file each."""
    return Path(typer.get_app_dir("payflow")) / f"{re.sub(r'[^a-z0-9.]+', '-', settings.pages_at)}.login"


def read(settings: Settings) -> SavedLogin | None:
    """Read what was saved for a service; None where nothing was, or nothing that can be read."""
    try:
        return msgspec.json.decode(place_of(settings).read_bytes(), type=SavedLogin)
    except (OSError, msgspec.MsgspecError):
        return None


def write(settings: Settings, login: SavedLogin) -> Path:
    """Save it for this account alone."""
    place = place_of(settings)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = place.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600, exist_ok=False)
    new.write_bytes(msgspec.json.encode(login))
    new.replace(place)
    return place


def remove(settings: Settings) -> None:
    """Forget it."""
    place_of(settings).unlink(missing_ok=True)
