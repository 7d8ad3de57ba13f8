"""The store's Lua scripts, which are files."""

from importlib import resources

from machines.core.redis import assembled


def _part(name: str) -> str:
    return (resources.files("payflow.store") / "lua" / f"{name}.lua").read_text("utf-8")


ALL = tuple(
    assembled(name, _part)
    for name in (
        "commit",
        "claim",
        "renew",
        "poke",
        "read",
        "owned",
        "take",
        "outbox",
        "profile",
        "audit",
        "archive",
        "checkpoint",
        "proposal",
        "correct",
        "unarchive",
        "call",
        "reserve",
        "recount",
        "give_back",
        "swap",
        "person",
        "sign",
        "resign",
        "pause",
        "list_rows",
        "audit_cut",
        "book",
        "open_rails",
        "relist",
    )
)
(
    COMMIT,
    CLAIM,
    RENEW,
    POKE,
    READ,
    OWNED,
    TAKE,
    OUTBOX,
    PROFILE,
    AUDIT,
    ARCHIVE,
    CHECKPOINT,
    PROPOSAL,
    CORRECT,
    UNARCHIVE,
    CALL,
    RESERVE,
    RECOUNT,
    GIVE_BACK,
    SWAP,
    PERSON,
    SIGN,
    RESIGN,
    PAUSE,
    LIST_ROWS,
    AUDIT_CUT,
    BOOK,
    OPEN_RAILS,
    RELIST,
) = ALL
