"""Every key that Payflow writes, with its type, who writes it and who reads it. Nothing else is in the store.

A shard is a hash tag, so that all that one commit touches lies in one slot of a cluster. The scripts build their keys
on the prefix of the shard's sequence key; a test holds their names against this list.
"""

from dataclasses import dataclass
from typing import Literal

from machines.core.ids import Owner, RecordId, parse_id

META = "pf:meta"
COINS = "pf:coins"
PAUSE = "pf:pause"
TOKENS = "pf:tokens"
BATCHES = "pf:batches"
AUDIT = "pf:audit"
PROPOSED = "pf:proposed"
SCOPES = "pf:scopes"
WAITING_FOR_MONEY = "pf:waiting-for-money"
WALLETS = "pf:wallets"
WAKE_CHANNEL = "pf:wake"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Key:
    """One kind of key."""

    shape: str
    type: Literal["string", "hash", "list", "set", "zset", "stream"]
    holds: str
    written_by: str
    read_by: str


KEYS = (
    Key(
        "pf:meta",
        "hash",
        "schema, number of shards, id of this store; most replicas seen; when last reconciled; verdict on the books",
        "first start, every worker, reconcile, ledger",
        "every start, the sequence guard",
    ),
    Key("pf:coins", "set", "the coins of the pools, in small letters", "every start", "the API"),
    Key("pf:pause", "hash", "scope -> who paused it, when and why", "operators, the sequence guard", "every send"),
    Key("pf:scopes", "hash", "scope that can be paused -> since when it is known", "every start", "pause"),
    Key("pf:token:<hash>", "hash", "an API token: name, role, owner", "operators", "the API"),
    Key("pf:tokens", "hash", "name of a token in use -> its hash", "operators", "operators"),
    Key(
        "pf:audit",
        "list",
        "what people did, oldest first, each line behind the hash of the one before",
        "pages, the desk",
        "pages",
    ),
    Key("pf:session:<hash>", "hash", "somebody signed in at our pages: hash of his token; expires", "pages", "pages"),
    Key("pf:challenge:<nonce>", "string", "a message to be signed once; expires", "bounties", "bounties"),
    Key("pf:proposed", "hash", "kind:subject -> an act that waits for a second person", "the desk", "the desk"),
    Key("pf:inbox:<source>:<hash>", "string", "a webhook delivery that was taken in; expires", "the API", "the API"),
    Key("pf:earned:<platform>:<name>", "string", "who got an earning: owner and fingerprint", "the desk", "the desk"),
    Key("pf:batch:<name>", "zset", "id of each payout that boarded the batch -> when", "the dispatcher", "operators"),
    Key("pf:batches", "zset", "name of a batch -> when it opened", "the dispatcher", "operators"),
    Key(
        "pf:waiting-for-money",
        "hash",
        "id of a payout that the wallet at its rail is too low for -> rail, asset, units, since when, last seen",
        "looks at payouts",
        "looks at payouts, pages, metrics",
    ),
    Key("pf:wallets", "hash", "rail and asset -> what the wallet held, and when it was asked", "workers", "metrics"),
    Key("pf:rate:<name>", "hash", "permits saved of a fleet-wide rate; expires when idle", "take, call", "take, call"),
    Key("{pf:SS}:seq", "string", "how many calls wrote to the shard", "commit", "the sequence guard"),
    Key(
        "{pf:SS}:writers",
        "hash",
        "of each process that wrote: how many calls, and the tag and time of the last; `lost`: what one of them missed",
        "commit",
        "the sequence guard",
    ),
    Key("{pf:SS}:rec:<id>", "hash", "a record, see FIELDS", "commit, claim", "everybody"),
    Key(
        "{pf:SS}:hist:<id>",
        "list",
        "its events, oldest first, each behind the hash of the one before",
        "commit",
        "show",
    ),
    Key(
        "{pf:SS}:due:<machine>:<STATE>",
        "zset",
        "id -> when to look next; end of the lease while leased",
        "all",
        "claim",
    ),
    Key("{pf:SS}:in:<machine>:<STATE>", "zset", "id -> since when it is in the state", "commit", "counts, listings"),
    Key("{pf:SS}:own:<owner>", "zset", "id -> when it was made", "commit", "listings"),
    Key("{pf:SS}:provider:<owner>", "hash", "a provider's profile and its version", "profile", "the desk, risk rules"),
    Key(
        "{pf:SS}:contributor:<owner>",
        "hash",
        "where a contributor is paid for bounties, and its version",
        "the contributor alone",
        "bounties",
    ),
    Key("{pf:SS}:acct:<owner>", "hash", "<ASSET>.available, .held, .paid, .funded, .owed", "commit", "ledger"),
    Key("{pf:SS}:tally:<owner>", "hash", "<machine>:<STATE> -> times entered", "commit", "risk rules"),
    Key("{pf:SS}:vel:<owner>", "hash", "<ASSET>.hour and .day: units asked for in the window", "commit", "commit"),
    Key("{pf:SS}:velhour:<owner>", "zset", "the owner's requests of the last hour, by time", "commit", "commit"),
    Key("{pf:SS}:velday:<owner>", "zset", "the owner's requests of the last day, by time", "commit", "commit"),
    Key("{pf:SS}:uniq:<space>", "hash", "value -> id of the record that holds it", "commit", "commit"),
    Key("{pf:SS}:clawed", "hash", "earning -> units taken back of it", "commit", "commit"),
    Key("{pf:SS}:parked", "zset", "id of a record set aside -> since when", "commit", "operators"),
    Key("{pf:SS}:earn:<owner>", "stream", "earnings: in or out, asset, units, time, id", "commit", "the desk"),
    Key(
        "{pf:SS}:gone",
        "hash",
        "id of an archived record -> print owner asset units, for a replay of its key",
        "archive",
        "commit",
    ),
    Key("{pf:SS}:tomb", "hash", "id of an archived record -> its first answer and its archive", "archive", "show"),
    Key(
        "{pf:SS}:checkpoint",
        "hash",
        "owner and asset -> sums of the postings that were archived; `until`: the last of them",
        "archive",
        "ledger",
    ),
    Key("{pf:SS}:journal", "stream", "a posting: owner asset from to units owed cause", "commit", "ledger"),
    Key("{pf:SS}:outbox", "zset", "id of a message -> when to deliver it", "commit", "the dispatcher"),
    Key("{pf:SS}:outbox:<kind>", "zset", "the same, for kinds with a line of their own", "commit", "the dispatcher"),
    Key("{pf:SS}:message", "hash", "id of a message -> its content", "commit", "the dispatcher"),
    Key("{pf:SS}:undelivered", "zset", "id of a message that was given up -> when", "the dispatcher", "operators"),
)

FIELDS = {
    "state": "where the record is",
    "ver": "its version, 1 when made",
    "owner": "whose it is",
    "asset": "what its amount is of; absent where it has none",
    "units": "its amount in ledger units",
    "data": "what its machine keeps, as msgpack",
    "hash": "SHA-256 of its newest event and the hash before",
    "made": "when it was made",
    "since": "when it came into its state",
    "tries": "looks in this state that failed; absent when none",
    "vel": "the owner's velocity when it was made, where it counts",
    "print": "fingerprint of the request that made it",
    "sending": "the fence under which a send was begun, until a commit says what came of it",
    "fence": "counts leases and their ends: odd while the record is leased",
    "poke": "somebody wants a look as soon as the lease is given back",
    "parked": "why it was set aside; absent while it is looked at",
}


def prefix(shard: int) -> str:
    """Give what all keys of a shard begin with."""
    return f"{{pf:{shard:02d}}}:"


def sequence(shard: int) -> str:
    """Give the key that counts the calls which wrote to a shard."""
    return f"{{pf:{shard:02d}}}:seq"


def writers(shard: int) -> str:
    """Give the key with the last call of each process."""
    return f"{{pf:{shard:02d}}}:writers"


def history(record_id: RecordId) -> str:
    """Give the key of a record's events."""
    return f"{prefix(parse_id(record_id)[1])}hist:{record_id}"


def record(record_id: RecordId) -> str:
    """Give the key of a record."""
    return f"{prefix(parse_id(record_id)[1])}rec:{record_id}"


def due(shard: int, machine: str, state: str) -> str:
    """Give the index of records by when to look next."""
    return f"{prefix(shard)}due:{machine}:{state}"


def members(shard: int, machine: str, state: str) -> str:
    """Give the index of records in a state."""
    return f"{prefix(shard)}in:{machine}:{state}"


def owned(shard: int, owner: Owner) -> str:
    """Give the index of an owner's records."""
    return f"{prefix(shard)}own:{owner}"


def account(shard: int, owner: Owner) -> str:
    """Give the key of an owner's account."""
    return f"{prefix(shard)}acct:{owner}"


def tally(shard: int, owner: Owner) -> str:
    """Give the key that counts how often an owner's records entered states."""
    return f"{prefix(shard)}tally:{owner}"


def unique(shard: int, space: str) -> str:
    """Give the key of a space of unique claims."""
    return f"{prefix(shard)}uniq:{space}"


def earnings(shard: int, owner: Owner) -> str:
    """Give the key of an owner's earnings."""
    return f"{prefix(shard)}earn:{owner}"


def earned(platform: str, external_id: str) -> str:
    """Give the key that says who got an earning."""
    return f"pf:earned:{platform}:{external_id}"


def provider(shard: int, owner: Owner) -> str:
    """Give the key of a provider's profile."""
    return f"{prefix(shard)}provider:{owner}"


def contributor(shard: int, owner: Owner) -> str:
    """Give the key of a contributor's address."""
    return f"{prefix(shard)}contributor:{owner}"


def challenge(nonce: str) -> str:
    """Give the key of a message that somebody was asked to sign."""
    return f"pf:challenge:{nonce}"


def token(digest: str) -> str:
    """Give the key of an API token, by the hash of what its holder shows."""
    return f"pf:token:{digest}"


def session(digest: str) -> str:
    """Give the key of a session, by the hash of what the browser shows."""
    return f"pf:session:{digest}"


def inbox(source: str, digest: str) -> str:
    """Give the key of a webhook delivery."""
    return f"pf:inbox:{source}:{digest}"


def batch(batch_id: str) -> str:
    """Give the key of a batch's payouts."""
    return f"pf:batch:{batch_id}"


def gone(shard: int) -> str:
    """Give the key with what a replay of an archived record's key is compared with."""
    return f"{prefix(shard)}gone"


def tombs(shard: int) -> str:
    """Give the key of what is left of archived records."""
    return f"{prefix(shard)}tomb"


def checkpoint(shard: int) -> str:
    """Give the key of the sums of archived postings."""
    return f"{prefix(shard)}checkpoint"


def rate(name: str) -> str:
    """Give the key of a fleet-wide rate."""
    return f"pf:rate:{name}"
