"""The doctor: everything that should be so before money moves, and what to do where it is not."""

import asyncio
import ipaddress
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from rich.text import Text

from adapters.public import refuse
from machines.core.errors import PayflowError
from payflow.app.installation import Payflow
from payflow.app.notifications import networks_of
from payflow.cli.tables import LEVEL_STYLES, Column, grid, json_of
from payflow.cli.terminal import Code, Commands, Terminal
from payflow.config import LEAST_SECRET, Settings, live_secrets
from payflow.desk import archive as archives
from payflow.desk import platforms, readiness
from payflow.desk.identity import ending_tokens
from payflow.store import servers
from payflow.store.embedded import embedded
from payflow.store.link import Link, connect
from payflow.store.store import refuse_missing
from payflow.telemetry.health import Check, Level, fail, healthy, ok, warn

LEAST_FREE_BYTES = 2**30


command = Commands()

CHECK = (Column("name", None), Column("level", None), Column("finding", None))


@command("payflow doctor --json")
async def doctor(terminal: Terminal) -> Code:
    checks = [
        ok("settings", "All settings can be used."),
        _api_address(terminal.settings),
        _probes(terminal.settings),
        _pages(terminal.settings),
        _webhook_secrets(terminal.settings),
        *_secret_files(terminal.settings),
        _lane_keys(terminal.settings),
        _lane_caps(terminal.settings),
        _payout_caps(terminal.settings),
        _files(terminal.settings),
        _in_clear(terminal.settings),
        await _webhook_places(terminal.settings),
        *await _store(terminal),
        *await _pool(terminal.settings),
    ]
    fit = healthy(checks)
    terminal.tell(
        {"healthy": fit, "checks": [json_of(CHECK, one) for one in checks]},
        grid((Text(one.level, LEVEL_STYLES[one.level]), one.name, one.finding) for one in checks),
        "",
        _summary(checks),
    )
    return Code.OK if fit else Code.STORE


def _secret_files(settings: Settings) -> list[Check]:
    """Look at who may read what holds keys and passwords, where it is a file."""
    found = [
        fail("secret files", f"Everybody on this machine can read {file}: chmod 600 {file}")
        for file in readiness.files_open_to_all(settings)
    ]
    return found or [ok("secret files", "Files with keys are for their owner alone.")]


def _lane_keys(settings: Settings) -> Check:
    """Look at how the keys of lanes lie on this machine."""
    raw = [name for name, lane in settings.lanes.items() if lane.key_file]
    if raw and not settings.development:
        return fail(
            "lane keys", f"Unencrypted: {', '.join(raw)}. `payflow lane encrypt` makes a keystore of a raw key."
        )
    if settings.development:
        return warn(
            "lane keys", "PAYFLOW_DEVELOPMENT is set: keys may lie in the open, so nothing of worth belongs here."
        )
    return ok("lane keys", "None lies unencrypted in a file.")


def _lane_caps(settings: Settings) -> Check:
    """Look at what limits the damage of whoever gets hold of what a lane pays for."""
    free = [name for name, lane in settings.lanes.items() if not (lane.caps and lane.fee_cap)]
    if free:
        return warn(
            "lane caps",
            f"Nothing limits what {', '.join(free)} may send or offer for gas in a day: set `caps` and `fee_cap`.",
        )
    return ok("lane caps", "What each lane may send and offer for gas has a limit.")


def _payout_caps(settings: Settings) -> Check:
    """Look at what limits the damage of whoever makes payouts that should not be."""
    if not settings.payout_caps:
        return warn("payout caps", "Nothing limits what payouts may take in a day: set PAYFLOW_PAYOUT_CAPS.")
    return ok("payout caps", "What payouts may take in a day has limits: `payflow caps` shows what is used.")


def _files(settings: Settings) -> Check:
    """Look at what leaves the store as files."""
    if not archives.keys_of(settings).ready:
        what = "Backups and archives" if settings.embedded else "Archives"
        return warn(
            "files",
            f"{what} are written in clear, and nothing proves that they were not changed: set PAYFLOW_BACKUP_KEYS.",
        )
    return ok("files", "Backups and archives are encrypted, and proven to be ours when they are read.")


async def _store(terminal: Terminal) -> list[Check]:
    """Look at the servers, and then, if it can be opened, at what is in the store."""
    checks: list[Check] = []
    settings = terminal.settings
    try:
        if settings.embedded:
            refuse_missing(settings)
        async with _reached(settings) as link:
            checks += [ok("store", f"The store at {link.place} answers."), *await servers.examine(link, settings)]
        checks.append(_disk(settings))
        async with terminal.open() as payflow:
            checks += [*await _inside(payflow), await _tokens(payflow)]
            if payflow.parts.lanes is not None:
                from payflow.app.checkup import examine_lanes  # noqa: PLC0415  (two seconds, only where a chain is used)

                checks += await examine_lanes(payflow.parts.lanes)
    except PayflowError as error:
        checks.append(fail("store", str(error)))
    return checks


async def _tokens(payflow: Payflow) -> Check:
    """Look at who could come in no more, from one day to the next."""
    ending = await ending_tokens(payflow.store)
    if ending:
        said = (
            f"Ending within two weeks: {', '.join(ending)}. `payflow token rotate NAME --overlap 1d` gives another one."
        )
        return warn("tokens", said)
    return ok("tokens", "None ends by itself within two weeks.")


async def _pool(settings: Settings) -> list[Check]:
    """Look at the mining pool whose file the settings name, if there is one."""
    if not settings.pool_config.exists():
        return []
    from payflow.app.checkup import examine_pool  # noqa: PLC0415  (few installations have a pool)

    return await examine_pool(settings, settings.pool_config)


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Link]:
    """Connect without opening: a store that must not be used can still be looked at."""
    async with AsyncExitStack() as stack:
        socket = None
        if settings.embedded:
            socket = str((await stack.enter_async_context(embedded(settings.data, fsync=settings.fsync))).socket)
        link = connect(settings, socket)
        stack.push_async_callback(link.close)
        if link.cluster:
            await link.open()
        yield link


async def _inside(payflow: Payflow) -> list[Check]:
    store = payflow.store
    paused = [scope for scope in await store.pauses.all() if not scope.startswith("shard:")]
    parked = await store.listing.count_parked()
    unlimited = [one.name for one in await platforms.platforms(store) if not one.daily]
    foreign = [f"{count} {machine} in {state}" for machine, state, count in await store.listing.foreign()]
    return [
        await readiness.sequence(store),
        await readiness.proxies(store),
        fail(
            "states",
            f"This version does not know what to do with {', '.join(foreign)}: run the version that wrote them.",
        )
        if foreign
        else ok("states", "Every record is in a state that this version knows."),
        _signatures(payflow),
        warn(
            "parked", f"{parked} records are set aside: `payflow ls --stuck` names them, `payflow retry` takes them up."
        )
        if parked
        else ok("parked", "No record is set aside."),
        warn(
            "platforms",
            f"Nothing limits what {', '.join(unlimited)} may credit in a day: `payflow platform grant` sets it.",
        )
        if unlimited
        else ok("platforms", "What each platform may credit in a day has a limit."),
        warn("paused", f"Sends are paused: {', '.join(paused)}. `payflow paused` says why.")
        if paused
        else ok("paused", "Nothing is paused."),
    ]


def _signatures(payflow: Payflow) -> Check:
    """Look at where the keys are by which records are signed."""
    if not payflow.store.records.macs.ready:
        return warn(
            "signatures",
            "Records are not signed, so whoever writes to the store can say what they are: set PAYFLOW_SEAL_KEYS.",
        )
    if payflow.settings.seal_keys is None:
        return warn(
            "signatures",
            f"The key that signs records is in the folder of the store, {payflow.settings.data}: whoever writes to the "
            "one has the other. Move it into a file that PAYFLOW_SEAL_KEYS_FILE names.",
        )
    return ok("signatures", "Records are signed with keys that are not in the store.")


def _in_clear(settings: Settings) -> Check:
    """Look at how those are reached who are shown credentials, or asked to sign and to prove."""
    urls = {
        "FLUTTERWAVE_URL": settings.flutterwave_url,
        "FLUTTERWAVE_TOKEN_URL": settings.flutterwave_token_url,
        "PAYSTACK_URL": settings.paystack_url,
        "GITHUB_URL": settings.github_url,
        "GITHUB_WEB_URL": settings.github_web_url,
    }
    for name, lane in settings.lanes.items():
        urls |= {
            f"a node of the lane {name} ({place})": url.get_secret_value() for place, url in enumerate(lane.rpc, 1)
        }
        urls |= {f"the signer of the lane {name}": lane.signer.get_secret_value()} if lane.signer else {}
    split = {name: urlsplit(url) for name, url in urls.items()}
    clear = [name for name, url in split.items() if url.scheme == "http" and not _is_own(url.hostname or "")]
    if clear:
        return warn("outside", f"Reached by http://, in clear: {', '.join(clear)}. Use https://.")
    return ok("outside", "Nobody beyond this machine is reached by http://.")


async def _webhook_places(settings: Settings) -> Check:
    """Look at where the webhooks of platforms lead now: what is not public is refused at each delivery."""
    wrong = []
    for platform, given in settings.platform_webhooks.items():
        try:
            found = await asyncio.get_running_loop().getaddrinfo(urlsplit(given.get("url", "")).hostname, 443)
            for *_, (address, *_) in found:
                refuse(str(address), networks_of(settings))
        except OSError as error:
            wrong.append(f"{platform}: {error.strerror or error}")
    if wrong:
        return warn("webhook places", f"Not reached: {'; '.join(wrong)}.")
    return ok("webhook places", "Every platform's webhook leads to where one may go.")


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api_address(settings: Settings) -> Check:
    if _is_own(settings.host):
        return ok("API address", f"The API listens on {settings.host}, for this machine only.")
    return warn("API address", f"The API listens on {settings.host} without TLS: put a proxy with TLS before it.")


def _probes(settings: Settings) -> Check:
    if settings.probe_port is not None:
        return ok("probes", "Metrics and what /readyz finds have a port of their own.")
    if _is_own(settings.host) and not settings.trusted_proxies:
        return ok("probes", "Metrics and what /readyz finds are for this machine only.")
    return warn(
        "probes",
        "Whoever reaches the API reads /metrics there, with balances and volumes: set PAYFLOW_PROBE_PORT, and let only "
        "those reach it who watch.",
    )


def _pages(settings: Settings) -> Check:
    """Whether links and passkeys lead where people come in."""
    if settings.trusted_proxies and not settings.public_url:
        return warn(
            "pages",
            f"Links to sign in by, and passkeys, are for {settings.pages_at}: say in PAYFLOW_PUBLIC_URL where people "
            "reach the pages through your proxy.",
        )
    return ok("pages", f"People reach the pages at {settings.pages_at}, as links and passkeys say.")


def _webhook_secrets(settings: Settings) -> Check:
    """Look at what proves webhooks; Paystack gives its key itself."""
    given = {
        "FLUTTERWAVE_WEBHOOK_HASH": settings.flutterwave_webhook_hash,
        "GITHUB_WEBHOOK_SECRET": settings.github_webhook_secret,
    }
    short = [name for name, value in given.items() if any(len(one) < LEAST_SECRET for one in live_secrets(value))]
    if short:
        return warn(
            "webhook secrets",
            f"{' and '.join(short)}: fewer than {LEAST_SECRET} characters can be guessed: make a longer one.",
        )
    return ok("webhook secrets", "None that is set is short.")


def _disk(settings: Settings) -> Check:
    free = shutil.disk_usage(settings.data if settings.data.exists() else ".").free
    said = f"{free / 2**30:,.1f} GiB are free in {settings.data}."
    if free < LEAST_FREE_BYTES:
        return warn("free space", f"{said} A store that cannot write stops all payments: free some.")
    return ok("free space", said)


def _summary(checks: list[Check]) -> Text:
    failed = sum(check.level is Level.FAIL for check in checks)
    warned = sum(check.level is Level.WARN for check in checks)
    if failed:
        return Text(f"{failed} failed: money must not be sent like this.", LEVEL_STYLES[Level.FAIL])
    if warned:
        return Text(f"Fit to send money; {warned} things should be better.", LEVEL_STYLES[Level.WARN])
    return Text("Fit to send money.", LEVEL_STYLES[Level.OK])
