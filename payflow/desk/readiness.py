"""Whether this process may be given work: what /readyz answers, and half of what `payflow doctor` looks at."""

import stat
from ipaddress import ip_address
from pathlib import Path

import anyio
import structlog

from machines.core.clock import DAY, SECOND
from machines.core.errors import BadSettings, PayflowError
from payflow.config import Settings
from payflow.desk import outside
from payflow.store import keys, servers
from payflow.store.pauses import scope_of_shard
from payflow.store.seals import KEY_FILE
from payflow.store.store import Store
from payflow.telemetry.health import Check, Level, fail, first_of, ok

log = structlog.get_logger()

ANSWER_S = 3.0
SEEN_S = 30 * DAY // SECOND
"""How long a proxy that was seen is told of."""


MOUNTED = Path("/run/secrets")
"""Where who runs a container mounts secrets: who may read them there is not the container's to say."""


def files_open_to_all(settings: Settings) -> list[Path]:
    """List the files with keys, passwords and settings that everybody on this machine may read.

    Of the group's right nothing is said: that is how secrets are mounted into pods.
    """
    lanes = settings.lanes.values()
    named = [file for lane in lanes for file in (lane.keystore, lane.password_file, lane.key_file) if file]
    files = [file for file in (*settings.files, settings.data / KEY_FILE, *named) if MOUNTED not in file.parents]
    return [file for file in dict.fromkeys(files) if file.exists() and file.stat().st_mode & stat.S_IROTH]


class Readiness:
    """Answers for one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stopping = False

    async def checks(self) -> list[Check]:
        """Look at everything that must hold; what cannot be looked at has failed."""
        if self.stopping:
            return [fail("process", "This process is stopping: send requests to another one.")]
        try:
            with anyio.fail_after(ANSWER_S):
                return await examine(self._store)
        except PayflowError as error:
            return [fail("store", str(error))]
        except TimeoutError:
            return [fail("store", f"The store at {self._store.link.place} did not answer within {ANSWER_S:.0f} s.")]


async def examine(store: Store) -> list[Check]:
    """Look at an open store: reachable, durable enough, with our scripts, and not caught losing writes."""
    await store.look_at_servers()
    await servers.load_missing_scripts(store.link)
    if store.guard.doubted:
        await store.compare()
    return [
        ok("store", f"The store at {store.link.place} answers."),
        _durable(store),
        servers.replicas(store.servers, store.records.barrier.replicas, store.settings),
        ok("scripts", "The store has our scripts."),
        permits(store),
        await sequence(store),
        await one_person(store),
        await outside.as_asked_last(store),
    ]


def _durable(store: Store) -> Check:
    faults = store.faults()
    return first_of(
        "durability",
        (faults, Level.FAIL, " ".join(fault.text for fault in faults)),
        (
            store.settings.accept_weak_durability,
            Level.WARN,
            "PAYFLOW_ACCEPT_WEAK_DURABILITY is set: what the store forgets may be paid twice.",
        ),
        (True, Level.OK, "The store keeps what it acknowledges."),
    )


def refuse_wrong_keys(settings: Settings, *, workers: bool) -> None:
    """Raise where a process has the keys of permits and pays nothing, or pays and has them not."""
    if settings.permit_keys and not workers:
        raise BadSettings(
            "PAYFLOW_PERMIT_KEYS is set for an API without workers: take it out of the settings of this process. With "
            "it, whoever takes the API over could permit payments."
        )
    if settings.approval_keys and not settings.permit_keys and workers:
        raise BadSettings(
            "PAYFLOW_APPROVAL_KEYS is set for a process with workers, and PAYFLOW_PERMIT_KEYS is not: it could pay "
            "nothing. Give it both lists, or run it as an API with ENABLE_WORKERS=false."
        )


def permits(store: Store) -> Check:
    """Whether this process can judge what was approved; what it cannot judge it leaves to others."""
    unknown, lists = ", ".join(sorted(store.permit_keys.unknown)), "PAYFLOW_APPROVAL_KEYS and PAYFLOW_PERMIT_KEYS"
    only = f"Permits are only as good as PAYFLOW_SEAL_KEYS, as long as {lists} say nothing else."
    lacks = f"Approved under the key {unknown}, which this process does not have: give it the {lists} of the others."
    return first_of(
        "permits",
        (unknown, Level.WARN, lacks),
        (store.permit_keys.derived, Level.OK, only),
        (True, Level.OK, "What leaves is permitted by keys of its own."),
    )


async def sequence(store: Store) -> Check:
    """Whether the store was caught losing writes."""
    await store.settle_alarms()
    closed = {scope: pause.why for scope, pause in (await store.pauses.all()).items() if scope.startswith("shard:")}
    closed |= {scope_of_shard(shard): why for shard, why in store.guard.alarms.items()}
    if closed:
        scope, why = min(closed.items())
        others = f", and {len(closed) - 1} more" if len(closed) > 1 else ""
        return fail(
            "sequence",
            f"The store lost writes that it had acknowledged ({scope}{others}: {why}). Nothing is sent from there:"
            " run `payflow reconcile`.",
        )
    return ok("sequence", "The store has every write that it acknowledged.")


async def note_unnamed_proxy(store: Store, address: str) -> None:
    """Write down through whom requests come whom the settings do not name: `payflow doctor` is another process."""
    await store.link.ask("SET", keys.UNNAMED_PROXY, address, "EX", SEEN_S)


# ── whether a service runs ───────────────────────────────────────────────────────────────────────────────────────────

BEAT_S = 10.0
ALIVE_S = 45
"""So long after its last word a process counts as one that runs: longer than some of its words may be late."""
CONNECT_S = 2.0


async def keep_telling(store: Store, process: str, *, works: bool) -> None:
    """Tell through the store that this process runs, and whether workers do in it, for as long as it does."""
    while True:
        try:
            await store.link.ask("SET", keys.ALIVE, process, "EX", ALIVE_S)
            if works:
                now = await store.records.now()
                await store.link.ask("ZADD", keys.WORKERS, now, process)
                await store.link.ask("ZREMRANGEBYSCORE", keys.WORKERS, "-inf", now - DAY)
        except PayflowError as error:
            log.warning("That this process runs was not told.", action="alive", error=str(error))
        await anyio.sleep(BEAT_S)


async def workers(store: Store) -> list[str]:
    """Name the processes with workers that told of themselves just now."""
    since = await store.records.now() - int(ALIVE_S * SECOND)
    return [
        name.decode(errors="replace") for name in await store.link.ask("ZRANGEBYSCORE", keys.WORKERS, since, "+inf")
    ]


async def that_runs(store: Store) -> str:
    """Say what of this installation runs, as far as its store and this machine tell; empty where nothing does."""
    process = await store.link.ask("GET", keys.ALIVE)
    if process is not None:
        return f"{process.decode(errors='replace')[:60]} told within {ALIVE_S} seconds that it runs"
    host, port = store.settings.host, store.settings.port
    try:
        with anyio.fail_after(CONNECT_S):
            await (await anyio.connect_tcp(host, port)).aclose()
    except (OSError, TimeoutError):
        return ""
    return f"something answers at {host}:{port}"


async def one_person(store: Store) -> Check:
    """Whether one person may do alone what takes two."""
    found = await store.alone.read()
    return first_of(
        "one person",
        (
            found.on,
            Level.WARN,
            f"One person is enough for what takes two, since {found.by} said so: `payflow person alone --off` ends it.",
        ),
        (True, Level.OK, "What takes two takes two."),
    )


async def broken_glass(store: Store) -> Check:
    """Whether what people did without the service waits for somebody to look at it."""
    found = await store.glass.all()
    return first_of(
        "break-glass",
        (found, Level.WARN, f"{len(found)} acts were done without the service: sign them off on *Proposals*."),
        (True, Level.OK, "Nothing that was done without the service waits to be signed off."),
    )


async def proxies(store: Store) -> Check:
    """Whether whoever stands before us is named: else all who come through them share one rate."""
    settings = store.settings
    seen = (await store.link.ask("GET", keys.UNNAMED_PROXY) or b"").decode()
    unnamed = seen and not any(ip_address(seen) in network for network in settings.trusted_proxies)
    # An address of ours that only a proxy can answer: we speak no TLS.
    https = next((one for one in (settings.public_url, settings.bounty_server) if one.startswith("https:")), "")
    shared = "all of them share one rate: name the network of your proxy in PAYFLOW_TRUSTED_PROXIES."
    return first_of(
        "proxies",
        (unnamed, Level.WARN, f"Requests come through {seen}, and {shared}"),
        (https and not settings.trusted_proxies, Level.WARN, f"People come to {https} through a proxy, and {shared}"),
        (True, Level.OK, "No request came through a proxy that is not named."),
    )
