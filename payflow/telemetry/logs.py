"""Logs: one sentence for people, an `action` and its context for machines, and nothing secret."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

_SECRET_NAMES = re.compile(
    r"(?i)passw|secret|token|authorization|api_?key|private|mnemonic|cookie|verif-hash|signature|sealed"
    r"|account_?(no|num|number)\b|iban|card_?(no|num|number)\b"
)
_FIGURE_NAMES = re.compile(r"(?i)(^|_)(g?wei|units|amount|price|balance|gas|nonce|block|height|ms|at|since|until)$")
_FIGURE = re.compile(r"-?\d+")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
# Each piece is bounded, so that no text takes long.
_SECRET_TEXTS = re.compile(
    r"(?P<login>://[^/@\s:]{0,99}:)[^@\s]{1,199}@"
    r"|(?P<user>\b(?:https?|wss?)://)[^/@\s:]{1,199}@"
    r"|(?P<contact>\b(?:tgram|slack|discord|pover|pbul)://)\S+"
    r"|(?P<query>[?&][\w-]{0,30}(?:key|token|secret|auth|signature)=)[^&\s]+"
    # The key of a node's provider, or the secret of a link; the name of a record is none.
    r"|(?P<path>\b(?:https?|wss?)://[^\s?#]{1,199}?/)(?!0x|[a-z_]{2,32}-\d\d-[a-z2-7]{16}(?![\w-]))(?=[\w-]*\d)[\w-]{24,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"
    r"|FLWSECK[-_A-Za-z0-9]+"
    r"|\bsk_(?:live|test)_\w+|\bwhsec_[\w+/=-]+|\bgh[opsur]_\w{16,}|\bgithub_pat_\w+"
    r"|\bpayflow_(?:login_)?[\w-]{43}(?![\w-])"  # a token of ours
    r"|\bgAAAAA[\w-]{20,}={0,2}"  # what is sealed
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # what GitHub and identity providers are shown, and show
    # Secrets that we make, such as of sessions, and seal keys; a private key, which unlike a hash begins with no 0x.
    r"|(?<![\w-])(?=[\w-]{0,43}[A-Z])(?=[\w-]{0,43}[a-z])(?=[\w-]{0,43}\d)[\w-]{43}(?:=|(?![\w=-]))"
    r"|(?<![\w:])[0-9a-f]{64}(?!\w)"
    r"|\bBearer\s+[A-Za-z0-9._~+/=-]+"
    r"|\b[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?)\b"  # an IBAN
    # An account number, unless the word behind it says that it is an amount.
    r"|(?<!\w)(?<!\d\.)\d{10,15}(?!\w|\.\d|\s*(?:Shannon|[Gg]?[Ww]ei|units)\b)",
    re.DOTALL,
)

_FIRST: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def configure(level: str, style: Literal["json", "text"]) -> None:
    """Set up logging for this process, that of the libraries included."""
    least = logging.getLevelNamesMapping()[level.upper()]
    last = _last(style)
    structlog.configure(
        processors=[*_FIRST, redact, last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, last],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_FIRST],
        )
    )
    # What a library does is its own affair until something is wrong.
    logging.basicConfig(handlers=[libraries], level=max(least, logging.WARNING), force=True)


def _last(style: Literal["json", "text"]) -> Processor:
    if style == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets and account numbers out of a log line, whatever put them there."""
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def redacted(value: object) -> object:
    """Give a value without the secrets and account numbers in it."""
    return _clean("", value)


def _clean(name: str, value: object) -> object:
    if _FIGURE_NAMES.search(name) and _FIGURE.fullmatch(str(value)):
        return value
    # The token of a payment is the address of its contract, which everybody may see.
    if _SECRET_NAMES.search(name) and not (name == "token" and _ADDRESS.fullmatch(str(value))):
        return "***"
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {key: _clean(str(key), one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean("", one) for one in value]
        case bytes():
            value = value.decode(errors="replace")
        case _:
            pass
    return _SECRET_TEXTS.sub(_masked, str(value))


def _masked(found: re.Match[str]) -> str:
    if found["login"] or found["user"]:
        return f"{found['login'] or found['user']}***@"
    begun = next((found[name] for name in ("contact", "query", "path") if found[name]), "")
    return f"{begun}***"
