"""Every key that Payflow writes, with its type, who writes it and who reads it. Nothing else is in the store.

A shard is a hash tag, so that all that one commit touches lies in one slot of a cluster. The scripts build their keys
on the prefix of the shard's sequence key; a test holds their names against this list.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from machines.core.ids import RecordId, parse_id

WAKE_CHANNEL = "pf:wake"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Key:
    """One kind of key. Called with what its shape has places for, the shard first, it gives one key."""

    shape: str
    type: Literal["string", "hash", "list", "set", "zset", "stream"]
    holds: str
    written_by: str
    read_by: str
    _format: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_format", re.sub(r"<\w+>", "%s", self.shape.replace("SS", "%02d")))

    def __call__(self, *parts: str | int) -> str:
        return self._format % parts


# Each row also gives the name by which the code knows its key.
KEYS = (
    Key(
        META := "pf:meta",
        "hash",
        "schema, number of shards, id of this store, which fingerprint key; most replicas seen; when last reconciled; "
        "verdict on the books",
        "first start, every worker, reconcile, ledger",
        "every start, the sequence guard",
    ),
    Key(COINS := "pf:coins", "set", "the coins of the pools, in small letters", "every start", "the API"),
    Key(
        PAUSE := "pf:pause",
        "hash",
        "scope -> who paused it, when and why",
        "operators, the sequence guard",
        "every send",
    ),
    Key(SCOPES := "pf:scopes", "hash", "scope that can be paused -> since when it is known", "every start", "pause"),
    token := Key(
        "pf:token:<hash>",
        "hash",
        "an API token: name, role, owner or person, scope, until when",
        "operators",
        "the API",
    ),
    Key(
        TOKENS := "pf:tokens",
        "hash",
        "name of a token in use -> its hash; account that was locked out -> since when",
        "operators",
        "operators",
    ),
    rows := Key(
        "pf:rows:<bucket>",
        "hash",
        "a row beside the records -> what it is now, signed; `#`: how often that changed, and the sum of all of it",
        "whoever writes a row",
        "whoever reads one",
    ),
    Key(
        PERSONS := "pf:persons",
        "hash",
        "person:<name> -> who works here: roles, limits, aliases; name:<name or alias> -> name of the person",
        "operators",
        "the API, the desk",
    ),
    Key(
        AUDIT := "pf:audit",
        "list",
        "what people did, oldest first, each line behind the hash of the one before",
        "pages, the desk",
        "pages",
    ),
    session := Key(
        "pf:session:<hash>",
        "hash",
        "somebody signed in: hash of their token or who they are, let in by whom, when proven, from where; expires",
        "pages",
        "pages",
    ),
    sign_in_link := Key(
        "pf:sign-in:<hash>",
        "string",
        "a link that signs somebody in once: hash of their token or who they are, and who made it; expires",
        "the desk",
        "pages",
    ),
    login := Key(
        "pf:login:<hash>",
        "string",
        "a command line that waits to be signed in: its account, where and when it asked, the answer; expires",
        "the API, pages",
        "the API, pages",
    ),
    login_code := Key(
        "pf:login-code:<code>", "string", "hash of the one that shows the code; expires", "the API", "pages"
    ),
    passkeys := Key(
        "pf:passkeys:<person>",
        "hash",
        "name of a passkey -> its public key, label, count, token, who let its person in",
        "the desk",
        "the desk",
    ),
    issuer_sign_in := Key(
        "pf:issuer-sign-in:<hash>",
        "string",
        "somebody who was sent to the identity provider: hash of what their browser shows, when, where to; expires",
        "pages",
        "pages",
    ),
    Key(
        SUBJECTS := "pf:subjects",
        "hash",
        "hash of an issuer and a subject of it -> which person that is, what its groups said last, since when",
        "pages",
        "the desk",
    ),
    removed_passkey := Key(
        "pf:passkey-removed:<person>",
        "string",
        "the passkey of a person that was removed last: who was shut out still counts where two are needed; expires",
        "the desk",
        "the desk",
    ),
    passkey_challenge := Key(
        "pf:passkey-challenge:<hash>",
        "string",
        "what a passkey is asked to sign: for which act, in which session; expires",
        "pages",
        "pages",
    ),
    challenge := Key("pf:challenge:<nonce>", "string", "a message to be signed once; expires", "bounties", "bounties"),
    Key(
        PROPOSED := "pf:proposed",
        "hash",
        "kind:subject -> an act that waits for a second person",
        "the desk",
        "the desk",
    ),
    Key(
        ALIVE := "pf:alive",
        "string",
        "the process with the API or workers that told last that it runs; expires",
        "the service",
        "break-glass",
    ),
    Key(
        WORKERS := "pf:workers",
        "zset",
        "a process with workers -> when it told last that it runs",
        "the service",
        "the list of what is wrong",
    ),
    Key(
        LIVE := "pf:live",
        "string",
        "what those outside said when `payflow doctor --live` asked them last, as JSON",
        "the command line",
        "/readyz",
    ),
    trial := Key(
        "pf:trial:<reference>",
        "string",
        "what a gateway's webhook said of a trial transfer; expires",
        "the API",
        "payflow trial",
    ),
    Key(
        UNNAMED_PROXY := "pf:unnamed-proxy",
        "string",
        "address of a proxy that requests come through and that the settings do not name; expires",
        "the API",
        "the doctor",
    ),
    inbox := Key(
        "pf:inbox:<source>:<hash>", "string", "a webhook delivery that was taken in; expires", "the API", "the API"
    ),
    earned := Key(
        "pf:earned:<platform>:<name>", "string", "who got an earning: owner and fingerprint", "the desk", "the desk"
    ),
    Key(PLATFORMS := "pf:platforms", "hash", "platform -> what an operator granted it", "operators", "the desk"),
    credited := Key(
        "pf:credited:<platform>:<day>",
        "hash",
        "asset -> units that a platform credited that day; and each earning that is in it; expires",
        "the desk",
        "the desk",
    ),
    capped := Key(
        "pf:capped:<day>",
        "hash",
        "cap and asset -> units of it that are used that day; each payout that is in it; when it was full; expires",
        "looks at payouts",
        "looks at payouts, operators, metrics",
    ),
    Key(
        STATEMENTS := "pf:statements",
        "hash",
        "rail -> until when its statement was read and our books compared, and since when",
        "reconcile",
        "reconcile, pages, metrics",
    ),
    Key(
        STATEMENT_COLUMNS := "pf:statement-columns",
        "hash",
        "rail, or `payouts:` and an owner -> which column of its files is what",
        "import, upload",
        "import, upload",
    ),
    statement := Key(
        "pf:statement:<rail>",
        "hash",
        "asset and day -> what the wallet held before and after, as the rail says",
        "reconcile",
        "reconcile, pages, metrics",
    ),
    lines := Key(
        "pf:lines:<rail>",
        "hash",
        "id of a line of a rail's statement -> what it says, and which record it is about",
        "reconcile",
        "reconcile, pages",
    ),
    lines_by_time := Key("pf:lines-at:<rail>", "zset", "id of a line -> when it happened", "reconcile", "pages"),
    matched := Key("pf:matched:<rail>", "hash", "id of a record -> lines about it", "reconcile", "reconcile, pages"),
    unmatched := Key(
        "pf:unmatched:<rail>",
        "zset",
        "id of a line to be looked at again -> when it happened",
        "reconcile",
        "reconcile",
    ),
    webhook_endpoints := Key(
        "pf:webhook-endpoints:<platform>",
        "hash",
        "name of an endpoint -> where it listens, for what; its secrets, encrypted; signed",
        "platforms, operators",
        "the dispatcher, platforms, staff",
    ),
    webhook_log := Key(
        "pf:webhook-log:<endpoint>",
        "stream",
        "the last attempts to deliver to an endpoint, with what was sent, each signed; expires",
        "the dispatcher",
        "platforms, staff",
    ),
    batch := Key(
        "pf:batch:<name>", "zset", "id of each payout that boarded the batch -> when", "the dispatcher", "operators"
    ),
    Key(BATCHES := "pf:batches", "zset", "name of a batch -> when it opened", "the dispatcher", "operators"),
    bulk_run := Key(
        "pf:bulk:<name>",
        "hash",
        "an act over many records: who does it, why; for each what it was, and how far it came; signed; expires",
        "the desk",
        "the desk",
    ),
    Key(
        WAITING_FOR_MONEY := "pf:waiting-for-money",
        "hash",
        "id of a payout that the wallet at its rail is too low for -> rail, asset, units, since when, last seen",
        "looks at payouts",
        "looks at payouts, pages, metrics",
    ),
    Key(
        REVIEW_DIGEST := "pf:review-digest",
        "hash",
        "id of a message to reviewers -> what the next letter says of it; empty when a letter had it",
        "the dispatcher",
        "the dispatcher",
    ),
    Key(
        REVIEW_LETTER := "pf:review-letter",
        "string",
        "no further letter to reviewers before it expires",
        "the dispatcher",
        "the dispatcher",
    ),
    Key(
        WALLETS := "pf:wallets",
        "hash",
        "rail and asset -> what the wallet held, and when it was asked",
        "workers",
        "metrics",
    ),
    rate := Key(
        "pf:rate:<name>", "hash", "tokens saved of a fleet-wide rate; expires when idle", "take, call", "take, call"
    ),
    sequence := Key("{pf:SS}:seq", "string", "how many calls wrote to the shard", "commit", "the sequence guard"),
    writers := Key(
        "{pf:SS}:writers",
        "hash",
        "of each process that wrote: how many calls, and the tag and time of the last; `lost`: what one of them missed",
        "commit",
        "the sequence guard",
    ),
    records := Key("{pf:SS}:rec:<id>", "hash", "a record, see FIELDS", "commit, claim", "everybody"),
    histories := Key(
        "{pf:SS}:hist:<id>",
        "list",
        "its events, oldest first, each behind the hash of the one before",
        "commit",
        "show",
    ),
    due := Key(
        "{pf:SS}:due:<machine>:<STATE>",
        "zset",
        "id -> when to look next; end of the lease while leased",
        "all",
        "claim",
    ),
    members := Key(
        "{pf:SS}:in:<machine>:<STATE>", "zset", "id -> since when it is in the state", "commit", "counts, listings"
    ),
    owned := Key("{pf:SS}:own:<owner>", "zset", "id -> when it was made", "commit", "listings, risk rules"),
    asked := Key(
        "{pf:SS}:asked:<owner>",
        "list",
        "number and id of each of the owner's newest records that have an amount, signed, oldest first",
        "commit, reseal",
        "risk rules",
    ),
    past := Key(
        "{pf:SS}:past:<owner>",
        "zset",
        "id of each of the newest that were archived, signed -> when it was made",
        "archive",
        "risk rules",
    ),
    provider := Key(
        "{pf:SS}:provider:<owner>",
        "hash",
        "a provider's profile and its version",
        "profile, swap",
        "the desk, risk rules",
    ),
    providers := Key(
        "{pf:SS}:providers:<platform>",
        "zset",
        "each owner that a platform ever spoke for, all of score 0; whether it still does says their profile",
        "the desk",
        "platforms, staff",
    ),
    setting := Key(
        "{pf:SS}:setting:<name>",
        "hash",
        "what people set for the whole installation, such as that one person is enough, and its version",
        "the desk, swap",
        "the desk",
    ),
    contributor := Key(
        "{pf:SS}:contributor:<owner>",
        "hash",
        "where a contributor is paid for bounties, and its version",
        "the contributor alone",
        "bounties",
    ),
    account := Key(
        "{pf:SS}:acct:<owner>", "hash", "<ASSET>.available, .held, .paid, .funded, .owed", "commit", "ledger"
    ),
    rails := Key(
        "{pf:SS}:rails",
        "hash",
        "the rails' side: <rail> <ASSET>.<part> of what the shard's records have there, and of what statements say",
        "commit, book",
        "ledger",
    ),
    Key("{pf:SS}:open:<owner>", "set", "the owner's requests that may still be open", "commit", "commit"),
    unique := Key("{pf:SS}:uniq:<space>", "hash", "value -> id of the record that holds it", "commit", "commit"),
    Key("{pf:SS}:clawed", "hash", "earning -> units taken back of it", "commit", "commit"),
    failing := Key("{pf:SS}:failing", "zset", "id of a record whose looks fail -> since when", "commit", "operators"),
    parked := Key("{pf:SS}:parked", "zset", "id of a record set aside -> since when", "commit", "operators"),
    earnings := Key(
        "{pf:SS}:earn:<owner>", "stream", "earnings: in or out, asset, units, time, id", "commit", "the desk"
    ),
    gone := Key(
        "{pf:SS}:gone",
        "hash",
        "id of an archived record -> print owner asset units, for a replay of its key",
        "archive",
        "commit",
    ),
    tombs := Key(
        "{pf:SS}:tomb", "hash", "id of an archived record -> its first answer and its archive", "archive, swap", "show"
    ),
    checkpoint := Key(
        "{pf:SS}:checkpoint",
        "hash",
        "owner and asset -> sums of the postings that were archived; `until`: the last of them",
        "archive",
        "ledger",
    ),
    posted := Key(
        "{pf:SS}:posted",
        "hash",
        "what the postings up to one of them sum to, signed; those after it are signed one by one",
        "first start, archive",
        "ledger",
    ),
    journal := Key(
        "{pf:SS}:journal",
        "stream",
        "a posting: owner asset from to units owed cause, and its signature",
        "commit",
        "ledger",
    ),
    file_rows := Key(
        "{pf:SS}:file:<id>",
        "hash",
        "rows of a file of payouts, in portions, where they go encrypted; `red`: those that are not paid; expires",
        "the desk",
        "workers, the desk",
    ),
    file_prints := Key(
        "{pf:SS}:file-prints:<owner>:<day>",
        "hash",
        "payee and amount of a row, by a fingerprint -> the file that had it last that day; expires",
        "the desk",
        "the desk",
    ),
    outbox := Key("{pf:SS}:outbox", "zset", "id of a message -> when to deliver it", "commit", "the dispatcher"),
    outbox_line := Key(
        "{pf:SS}:outbox:<kind>", "zset", "the same, for kinds with a line of their own", "commit", "the dispatcher"
    ),
    in_order := Key(
        "{pf:SS}:in-order",
        "zset",
        "record, endpoint, version and number of each webhook that waits; the first of each endpoint goes first",
        "commit, the dispatcher",
        "the dispatcher",
    ),
    messages := Key("{pf:SS}:message", "hash", "id of a message -> its content", "commit", "the dispatcher"),
    undelivered := Key(
        "{pf:SS}:undelivered", "zset", "id of a message that was given up -> when", "the dispatcher", "operators"
    ),
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
    "error": "what kept the last of them from learning anything; absent when none",
    "print": "fingerprint of the request that made it",
    "sending": "the fence under which a send was begun, until a commit says what came of it",
    "mac": "the version that was signed, and its signature, see macs.py; absent where an older version made it",
    "share": "what it has in the accounts of its rail, as far as that is posted; absent where nothing ever was",
    "fence": "counts leases and their ends: odd while the record is leased",
    "poke": "somebody wants a look as soon as the lease is given back",
    "parked": "why it was set aside; absent while it is looked at",
}


def prefix(shard: int) -> str:
    """Give what all keys of a shard begin with."""
    return f"{{pf:{shard:02d}}}:"


def record(record_id: RecordId) -> str:
    """Give the key of a record, whose id says its shard."""
    return records(parse_id(record_id)[1], record_id)


def history(record_id: RecordId) -> str:
    """Give the key of a record's events."""
    return histories(parse_id(record_id)[1], record_id)
