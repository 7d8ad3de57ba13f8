"""What comes of it when somebody changes, removes or adds to any key of the store by hand: found, or said here why not.

Generated from the list of keys. A line of `UNFOUND` that is found after all fails as well: the table must stay true.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from machines.core.clock import FixedClock
from machines.core.decision import New
from machines.core.ids import RecordId, derived_id
from machines.payout.data import Attempt, PayoutData, reference_of
from machines.payout.lifecycle import COMPLETED
from machines.payout.policy import PayoutPolicy
from machines.payout.react import payout
from payflow.config import Settings
from payflow.desk.books import faults_of
from payflow.store import keys
from payflow.store.keys import KEYS, Key
from payflow.store.registers.passkeys import Passkeys
from payflow.store.registers.platforms import PlatformGrant
from payflow.store.registers.profiles import Profile
from payflow.store.registers.proposals import Proposal, Proposals
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.registers.webhook_log import DeliveryAttempt
from payflow.store.row_list import Row
from payflow.store.store import Store
from tests.desk import ANN, ask, fund, ngn, tell
from tests.errand import Approved, NotDone, Sent
from tests.keycheck import pattern_of
from tests.store.test_signed_books import some_business
from tests.store.test_signed_rows import fill

HINT = "is a hint: what it leads to is looked at anew"
RATE = "lets more be asked in a second, or less"
ONCE = "keeps something from being done twice that has a mark of its own where it counts"
READ_AGAIN = "is signed: what is not so, or gone, is read anew, and hides no difference"
OTHER_DAY = "is of another platform, or of a day on which less may be used then"
TOLD = "is about who is told, not about money"
# Kinds of keys of which nobody finds that they were changed, and what that can do.
UNFOUND_KEYS = {
    "pf:coins": "keeps names of owners from platforms; it can only be made to keep fewer",
    "pf:scopes": HINT,
    "pf:tokens": "finds a token to revoke it; what it opens says the token, and a listed row who is locked out",
    "pf:sign-in:<hash>": "is signed and listed, and refused where it is shown",
    "pf:login:<hash>": "is signed, and refused where it is shown",
    "pf:challenge:<nonce>": "is compared with what was signed",
    "pf:unnamed-proxy": TOLD,
    "pf:live": TOLD,
    "pf:workers": TOLD,
    "pf:trial:<reference>": TOLD,
    "pf:alive": "lets two people act at a terminal though a service runs, in their own names",
    "pf:inbox:<source>:<hash>": ONCE,
    "pf:earned:<platform>:<name>": ONCE,
    "pf:webhook-log:<endpoint>": "is signed: what somebody else wrote into it is not sent once more",
    "pf:batch:<name>": TOLD,
    "pf:batches": HINT,
    "pf:bulk:<name>": "is signed, and refused where it is gone on with",
    "pf:waiting-for-money": HINT,
    "pf:review-digest": TOLD,
    "pf:review-letter": TOLD,
    "pf:wallets": TOLD,
    "pf:statements": READ_AGAIN,
    "pf:statement-columns": "is shown with what it makes of a file before anything is taken in",
    "pf:statement:<rail>": READ_AGAIN,
    "pf:lines:<rail>": "is signed: a line that somebody else wrote is none, and nothing is posted because of it",
    "pf:lines-at:<rail>": "is what pages list; without it a line is still known and compared",
    "pf:matched:<rail>": HINT,
    "pf:unmatched:<rail>": "names lines to look at; one of which nothing was said is named again",
    "pf:rate:<name>": RATE,
    "{pf:SS}:file:<id>": "is compared with digests in the signed record of the file before a row of it is paid",
    "{pf:SS}:file-prints:<owner>:<day>": "points out to reviewers that another file pays the same; nothing hangs on it",
    "{pf:SS}:seq": "is compared by the sequence guard, which closes what lost writes",
    "{pf:SS}:writers": "is compared by the sequence guard, which closes what lost writes",
    "{pf:SS}:past:<owner>": "names what is signed, and what of it counts is on a list that is",
    "{pf:SS}:open:<owner>": "lets a provider have more open requests than the limit, or fewer; none is paid by that",
    "{pf:SS}:uniq:<space>": "an earning said again is posted twice, which is found; OPEN once it is archived: then "
    "its platform must say it again, without `pf:earned` too, and it takes of what that may credit in a day",
    "{pf:SS}:clawed": "lets more be taken back of an earning than it was: from its owner, to nobody",
    "{pf:SS}:parked": HINT,
    "{pf:SS}:failing": HINT,
    "{pf:SS}:earn:<owner>": TOLD,
    "{pf:SS}:gone": "what is made anew under the key sends nothing, for its tombstone is there",
    "{pf:SS}:tomb": "is signed, and refused when it comes back; one that is gone is missed by what is outside",
    "{pf:SS}:outbox": TOLD,
    "{pf:SS}:outbox:<kind>": TOLD,
    "{pf:SS}:providers:<platform>": "is a hint: whose a provider is says their profile",
    "{pf:SS}:in-order": TOLD,
    "{pf:SS}:message": TOLD,
    "{pf:SS}:undelivered": TOLD,
}
UNFOUND_FIELDS = {
    ("{pf:SS}:rec:<id>", "print"): "a request made again is refused, or is not known again",
    ("{pf:SS}:rec:<id>", "since"): "says when, to people and to whoever looks again",
    ("{pf:SS}:rec:<id>", "tries"): "spreads looks over time",
    ("{pf:SS}:rec:<id>", "error"): TOLD,
    ("{pf:SS}:rec:<id>", "fence"): "ends a lease: whoever had it is refused",
    ("{pf:SS}:rec:<id>", "sending"): "the rail is asked first, and shows what left before anything is given back",
    ("pf:token:<hash>", "used_at"): TOLD,
    ("pf:capped:<day>", "full:all NGN"): TOLD,
}
# Fields of which it is not found that they were taken away.
GONE = {
    ("{pf:SS}:rails", "test NGN.in_flight"): "is nothing here, and so is a figure that is not there",
    ("pf:proposed", ""): "it is proposed anew",
    ("pf:token:<hash>", "made_at"): "it opens nothing",
}
SOUND = {
    ("pf:meta", "fingerprints"): "a process with other keys is refused, or sets it anew",
    ("pf:meta", "shards"): "a process that is started then is refused, or finds no record where it is",
    ("pf:meta", "schema"): "a version that is started then is refused",
    ("pf:meta", "store"): "the sequence guard closes every rail",
    ("pf:meta", "installation"): "a process that is started then asks under another name, and every reference changes",
    ("pf:meta", "providers_indexed"): "the index is written anew",
    ("pf:meta", "platforms_limited"): "limits of platforms without a grant",
    ("pf:meta", "two_people"): "amounts from which two approve, where the settings name none",
    ("pf:meta", "replicas"): "fewer replicas are waited for",
    ("pf:meta", "rails_opened"): "the page says that both sides are not compared yet; each side is still proven",
    ("pf:meta", "signed"): "a process that is started then is refused",
    ("{pf:SS}:checkpoint", "until"): "nothing more of the journal is put away",
    ("{pf:SS}:due:<machine>:<STATE>", "added"): HINT,
    ("{pf:SS}:own:<owner>", "added"): HINT,
    ("pf:credited:<platform>:<day>", "whole copied"): OTHER_DAY,
    ("pf:capped:<day>", "whole copied"): OTHER_DAY,
    ("{pf:SS}:own:<owner>", "whole copied"): HINT,
    ("{pf:SS}:due:<machine>:<STATE>", "whole copied"): HINT,
    ("{pf:SS}:hist:<id>", "whole copied"): "is of a record that is not there",
    ("pf:rows:<bucket>", "whole copied"): "is a part of the list that nobody asks",
}


class Tampering(NamedTuple):
    """One change by hand."""

    shape: str
    part: str
    """The field, or what kind of thing was done."""
    do: Callable[[], Awaitable[object]]


async def tamperings(store: Store, key: str, listed: Key) -> AsyncIterator[Tampering]:
    """Change and remove each part of a key."""
    link, shape = store.link, listed.shape

    def command(*words: Any) -> Callable[[], Awaitable[object]]:
        return lambda: link.ask(*words)

    match listed.type:
        case "hash":
            for name, value in (await link.ask("HGETALL", key)).items():
                field = name.decode(errors="replace")
                yield Tampering(shape, field, command("HSET", key, name, _other(value)))
                yield Tampering(shape, f"{field} removed", command("HDEL", key, name))
        case "string":
            yield Tampering(shape, "changed", command("SET", key, _other(await link.ask("GET", key))))
            yield Tampering(shape, "removed", command("DEL", key))
        case "list":
            yield Tampering(shape, "changed", command("LSET", key, 0, _other(await link.ask("LINDEX", key, 0))))
            yield Tampering(shape, "cut", command("RPOP", key))
            yield Tampering(shape, "repeated", command("RPUSH", key, await link.ask("LINDEX", key, -1)))
        case "stream":
            ((entry, _),) = await link.ask("XRANGE", key, "-", "+", "COUNT", 1)
            yield Tampering(shape, "cut", command("XDEL", key, entry))
            yield Tampering(shape, "added", command("XADD", key, "*", "e", f"{ANN} NGN outside available 1 0 gift"))
        case "zset":
            (member,) = await link.ask("ZRANGE", key, 0, 0)
            yield Tampering(shape, "cut", command("ZREM", key, member))
            yield Tampering(shape, "added", command("ZADD", key, 1, "errand-03-aaaaaaaaaaaaaaaa"))
        case "set":
            yield Tampering(shape, "added", command("SADD", key, "whatever"))


def _other(value: bytes) -> bytes:
    """Give a value that is near another one."""
    if value.isdigit():
        return str(int(value) + 1).encode()
    return value[:-1] + bytes([value[-1] ^ 1]) if value else b"1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a cap."""
    return settings.model_copy(update={"payout_caps": {"all": "1000000"}})


async def everything(store: Store, clock: FixedClock) -> None:
    """Fill the store with records in many states, money of all kinds, people and what they may do."""
    await some_business(store)
    failed = await ask(store, units=70, key="failed")
    for fact in (Approved(), Sent(), NotDone("the bank said no")):
        await tell(store, failed, fact)
    await fill(store, clock)
    await credited(store, "everything")
    store.serve([*store.records.machines.values(), payout(PayoutPolicy(), {})])
    await left(store, clock, "everything")
    assert await store.caps.reserve(RecordId("payout-03-aaaaaaaaaaaaaaaa"), 1, ngn(9**9), {"all NGN": 1}, clock.now())
    await store.webhook_log.note("shop.one", DeliveryAttempt("1", "", clock.now(), clock.now(), 1, 200, "", 5, {}))
    await store.audit.note("ola", "look", "everything")
    await store.audit.note("ola", "look", "everything again")
    await store.audit.anchor()
    entries = [one async for one in store.ledger.journal(3)]
    assert await store.archive.fold(3, entries[:2])


async def credited(store: Store, name: str) -> None:
    """Let a platform credit something, as it does."""
    assert await store.platforms.reserve("shop", name, ngn(70), 9**9, await store.records.now())
    assert await store.earnings.credit("shop", name, ANN, ngn(70))


async def left(store: Store, clock: FixedClock, key: str) -> None:
    """Let a payout leave and be paid, under a cap."""
    record_id, amount = derived_id("payout", store.records.owner_shard(ANN), ANN, key), ngn(10)
    assert await store.caps.reserve(record_id, 1, amount, {"all NGN": 9**9}, clock.now()) is None
    attempts = (Attempt(reference_of(record_id, 1), "sealed", sent=True, opened_at=clock.now()),)
    data = PayoutData("paystack", "bank", "sealed", "•", 10, attempts=attempts)
    await store.records.recreate(
        New(record_id, "payout", ANN, amount, data, due_in_s=None), COMPLETED, "test", "it was paid"
    )


async def whole(store: Store, key: str, listed: Key, old: bytes | None) -> AsyncIterator[Tampering]:
    """Take a key away, put it back as it once was, and write what it says under another name."""
    link, shape, dump = store.link, listed.shape, await store.link.ask("DUMP", key)

    def restored(name: str, content: bytes) -> Callable[[], Awaitable[object]]:
        return lambda: link.ask("RESTORE", name, 0, content, "REPLACE")

    yield Tampering(shape, "whole removed", lambda: link.ask("DEL", key))
    if old not in (None, dump):
        yield Tampering(shape, "whole as it was", restored(key, old))
    if "<" in shape:
        yield Tampering(shape, "whole copied", restored(another(key, shape), dump))


def another(key: str, shape: str) -> str:
    """Give the name of a key of the same shape that is not there."""
    name = key[:-1] + ("a" if key[-1] != "a" else "b")
    return name if pattern_of(shape).fullmatch(name) else f"{key}x"


async def later(store: Store, clock: FixedClock) -> None:
    """Change of all of it something, each as it is changed in earnest."""
    now = clock.now()
    await fund(store, units=70, reference="later")
    await credited(store, "later")
    await left(store, clock, "later")
    await tell(store, await ask(store, units=30, key="later"), Approved())
    vic = await store.persons.find("vic")
    assert vic is not None
    await store.persons.write(replace(vic, limits={"NGN": 5}))
    await store.profiles.write(await store.profiles.read(ANN), Profile(ANN, "shop", verified=True), now)
    await store.platforms.grant("shop", PlatformGrant({"NGN": 4}))
    (passkey,) = await Passkeys(store.link).of("vic")
    assert await Passkeys(store.link).change(passkey, replace(passkey, sign_count=2))
    assert await Proposals(store.link).make(Proposal("override", "three", {}, "operator", "because", "ola", 1, now))
    endpoint = await store.webhook_endpoints.find("shop.one")
    assert endpoint is not None
    await store.webhook_endpoints.write(replace(endpoint, enabled=False))
    assert await store.pauses.pause("rail:paystack", "ola", "a bad feeling", now)
    await Tokens(store.link, clock).create("later", Role.VIEWER, "", "boss")
    await store.audit.note("ola", "look", "everything later")
    await store.audit.anchor()
    await store.write_down()


async def put_back(store: Store, key: str, dump: bytes, listed: Key) -> None:
    """Make it as it was; a row that may end by itself, and that the list forgot meanwhile, is listed anew."""
    link = store.link
    await link.ask("RESTORE", key, 0, dump, "REPLACE")
    if listed.shape == keys.PROPOSED:
        for name, value in (await link.ask("HGETALL", key)).items():
            async with link.rows.changing(link, Row(key, name.decode()), value):
                pass
    if listed.shape == "pf:session:<hash>":
        async with link.rows.changing(link, Row(key, "mac"), await link.ask("HGET", key, "mac")):
            pass


async def is_found(store: Store) -> bool:
    """Whether a walk over everything, as workers and people do it, finds anything."""
    return bool([fault async for fault in faults_of(store)]) or not (await store.ledger.check()).conserved


def unfound(one: Tampering) -> str:
    """Say why it is not found; empty where nothing says so."""
    field = one.part.removesuffix(" removed")
    gone = ""
    if one.part.endswith(" removed"):
        gone = "".join(why for (shape, begins), why in GONE.items() if shape == one.shape and field.startswith(begins))
    known = (table.get((one.shape, field), "") for table in (UNFOUND_FIELDS, SOUND))
    return UNFOUND_KEYS.get(one.shape, "") or gone or "".join(known)


@pytest.mark.parametrize("listed", KEYS, ids=lambda key: key.shape)
async def test_what_was_changed_by_hand_is_found_or_the_table_says_why_not(
    store: Store, clock: FixedClock, listed: Key
) -> None:
    await everything(store, clock)
    pattern = pattern_of(listed.shape)
    old = {one: await store.link.ask("DUMP", one) async for one in store.link.keys("*") if pattern.fullmatch(one)}
    await later(store, clock)
    assert not await is_found(store)
    for key in sorted([one async for one in store.link.keys("*") if pattern.fullmatch(one)]):
        dump = await store.link.ask("DUMP", key)
        parts = [one async for one in tamperings(store, key, listed)]
        parts += [one async for one in whole(store, key, listed, old.get(key))]
        for one in parts:
            await one.do()
            found = await is_found(store)
            assert found or unfound(one), f"{key}: {one.part} was changed by hand, and nobody finds it"
            if one.part == "whole copied":
                await store.link.ask("DEL", another(key, listed.shape))
            await put_back(store, key, dump, listed)
    assert not await is_found(store), "what was put back is sound"


def test_the_table_is_about_keys_that_there_are() -> None:
    shapes = {key.shape for key in KEYS}
    assert UNFOUND_KEYS.keys() <= shapes
    assert keys.META in shapes
