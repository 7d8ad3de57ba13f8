"""Logs: one sentence for people, an `action` and its context for machines, and nothing secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_SECRET_NAMES = re.compile(
    r"(?i)passw|secret|token|authorization|api_?key|private|mnemonic|cookie|verif-hash|signature"
)
_SECRET_TEXTS = re.compile(
    r"(?P<login>://[^/@\s:]*:)[^/@\s]+@"
    r"|FLWSECK[-_A-Za-z0-9]+"
    r"|\bBearer\s+[A-Za-z0-9._~+/=-]+"
    r"|\b(?P<account>\d{6})\d{4}(?=\b)"
)


def configure(level: str, style: Literal["json", "text"]) -> None:
    """Set up logging for this process."""
    last: Any = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets and account numbers out of a log line, whatever put them there."""
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = _SECRET_TEXTS.sub(_masked, value)
    return event


def _masked(found: re.Match[str]) -> str:
    if found["login"]:
        return f"{found['login']}***@"
    return "***"
