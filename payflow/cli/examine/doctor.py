"""The doctor: everything that should be so before money moves, and what to do where it is not."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from machines.core.errors import PayflowError
from payflow.app.installation import Payflow
from payflow.cli.terminal import LEVEL_STYLES, Code, Column, Commands, Terminal, grid, json_of
from payflow.config import LEAST_SECRET, Settings, live_secrets
from payflow.desk import archive as archives
from payflow.desk import platforms, readiness
from payflow.desk.reconcile.checks import compared
from payflow.desk.requests import BANDS, two_people_from
from payflow.store import servers
from payflow.store.embedded import embedded
from payflow.store.link import Link, connect
from payflow.store.store import refuse_missing
from payflow.telemetry.health import Check, Level, fail, first_of, healthy, ok, warn

LEAST_FREE_BYTES = 2**30


command = Commands()

CHECK = (Column("name", None), Column("level", None), Column("finding", None))


@command("payflow doctor --live")
async def doctor(
    terminal: Terminal,
    *,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Ask gateways, GitHub and mail too, and deliver ourselves webhooks; no money moves."
        ),
    ] = False,
) -> Code:
    checks = [
        *_of_settings(terminal.settings),
        await _webhook_places(terminal.settings),
        *await _issuer(terminal.settings),
        *await _store(terminal, live=live),
        *await _pool(terminal.settings),
    ]
    fit = healthy(checks)
    failed = sum(check.level is Level.FAIL for check in checks)
    warned = sum(check.level is Level.WARN for check in checks)
    summary = first_of(
        "",
        (failed, Level.FAIL, f"{failed} failed: money must not be sent like this."),
        (warned, Level.WARN, f"Fit to send money; {warned} things should be better."),
        (True, Level.OK, "Fit to send money."),
    )
    terminal.tell(
        {"healthy": fit, "checks": [json_of(CHECK, one) for one in checks]},
        grid((Text(one.level, LEVEL_STYLES[one.level]), one.name, one.finding) for one in checks),
        "",
        Text(summary.finding, LEVEL_STYLES[summary.level]),
    )
    return Code.OK if fit else Code.STORE


def _of_settings(settings: Settings) -> list[Check]:
    """Look at what the settings say by themselves: who comes in where, who holds keys, and what nothing limits."""
    own = servers.is_own_host(settings.host)
    secrets = {
        "FLUTTERWAVE_WEBHOOK_HASH": settings.flutterwave_webhook_hash,
        "GITHUB_WEBHOOK_SECRET": settings.github_webhook_secret,
    }  # what proves webhooks; Paystack gives its key itself
    short = [name for name, value in secrets.items() if any(len(one) < LEAST_SECRET for one in live_secrets(value))]
    open_files = [
        fail("secret files", f"Everybody on this machine can read {file}: chmod 600 {file}")
        for file in readiness.files_open_to_all(settings)
    ]
    raw = [name for name, lane in settings.lanes.items() if lane.key_file]
    free = [name for name, lane in settings.lanes.items() if not (lane.caps and lane.fee_cap)]
    return [
        ok("settings", "All settings can be used."),
        first_of(
            "API address",
            (own, Level.OK, f"The API listens on {settings.host}, for this machine only."),
            (True, Level.WARN, f"The API listens on {settings.host} without TLS: put a proxy with TLS before it."),
        ),
        first_of(
            "probes",
            (settings.probe_port is not None, Level.OK, "Metrics and what /readyz finds have a port of their own."),
            (
                own and not settings.trusted_proxies,
                Level.OK,
                "Metrics and what /readyz finds are for this machine only.",
            ),
            (
                True,
                Level.WARN,
                (
                    "Whoever reaches the API reads /metrics there, with balances and volumes: set PAYFLOW_PROBE_PORT, "
                    "and let only those reach it who watch."
                ),
            ),
        ),
        first_of(
            "pages",
            (
                settings.trusted_proxies and not settings.public_url,
                Level.WARN,
                (
                    f"Links to sign in by, and passkeys, are for {settings.pages_at}: say in PAYFLOW_PUBLIC_URL where "
                    "people reach the pages through your proxy."
                ),
            ),
            (True, Level.OK, f"People reach the pages at {settings.pages_at}, as links and passkeys say."),
        ),
        first_of(
            "webhook secrets",
            (
                short,
                Level.WARN,
                f"{' and '.join(short)}: fewer than {LEAST_SECRET} characters can be guessed: make a longer one.",
            ),
            (True, Level.OK, "None that is set is short."),
        ),
        *(open_files or [ok("secret files", "Files with keys are for their owner alone.")]),
        first_of(
            "lane keys",
            (
                raw and not settings.development,
                Level.FAIL,
                f"Unencrypted: {', '.join(raw)}. `payflow lane encrypt` makes a keystore of a raw key.",
            ),
            (
                settings.development,
                Level.WARN,
                "PAYFLOW_DEVELOPMENT is set: keys may lie in the open, so nothing of worth belongs here.",
            ),
            (True, Level.OK, "None lies unencrypted in a file."),
        ),
        # What limits the damage of whoever gets hold of what a lane pays for, or makes payouts that should not be.
        first_of(
            "lane caps",
            (
                free,
                Level.WARN,
                f"Nothing limits what {', '.join(free)} may send or offer for gas in a day: set `caps` and `fee_cap`.",
            ),
            (True, Level.OK, "What each lane may send and offer for gas has a limit."),
        ),
        first_of(
            "payout caps",
            (
                not settings.payout_caps,
                Level.WARN,
                "Nothing limits what payouts may take in a day: set PAYFLOW_PAYOUT_CAPS.",
            ),
            (True, Level.OK, "What payouts may take in a day has limits: `payflow caps` shows what is used."),
        ),
        first_of(
            "files",
            (
                not archives.keys_of(settings).ready,
                Level.WARN,
                (
                    f"{'Backups and archives' if settings.embedded else 'Archives'} are written in clear, and nothing "
                    "proves that they were not changed: set PAYFLOW_BACKUP_KEYS."
                ),
            ),
            (True, Level.OK, "Backups and archives are encrypted, and proven to be ours when they are read."),
        ),
        _in_clear(settings),
    ]


async def _store(terminal: Terminal, *, live: bool) -> list[Check]:
    """Look at the servers, and then, if it can be opened, at what is in the store."""
    checks: list[Check] = []
    settings = terminal.settings
    try:
        if settings.embedded:
            refuse_missing(settings)
        async with _reached(settings) as link:
            checks += [ok("store", f"The store at {link.place} answers."), *await servers.examine(link, settings)]
        free = shutil.disk_usage(settings.data if settings.data.exists() else ".").free
        said = f"{free / 2**30:,.1f} GiB are free in {settings.data}."
        full = (free < LEAST_FREE_BYTES, Level.WARN, f"{said} A store that cannot write stops all payments: free some.")
        checks.append(first_of("free space", full, (True, Level.OK, said)))
        async with terminal.open() as payflow:
            checks += await _inside(payflow)
            checks += await compared(payflow.store, payflow.parts.reconciler, settings.reconcile_s)
            if payflow.parts.lanes is not None:
                from payflow.cli.examine.chains import examine_lanes  # noqa: PLC0415  (two seconds, only where a chain is used)

                checks += await examine_lanes(payflow.parts.lanes)
            if live:
                from payflow.cli.examine.live import examine_live  # noqa: PLC0415  (half a second, which `--help` has not)

                checks += await examine_live(payflow)
    except PayflowError as error:
        checks.append(fail("store", str(error)))
    return checks


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
    from payflow.desk.identity import ending_tokens  # noqa: PLC0415  (much of the desk, which `--help` has not)

    store, settings = payflow.store, payflow.settings
    paused = [scope for scope in await store.pauses.all() if not scope.startswith("shard:")]
    parked = await store.listing.count_parked()
    unlimited = [one.name for one in await platforms.platforms(store) if not one.daily]
    of_nobody = await platforms.tokens_of_nobody(store)
    foreign = [f"{count} {machine} in {state}" for machine, state, count in await store.listing.foreign()]
    ending = await ending_tokens(store)
    bands = two_people_from(settings, store)
    return [
        await readiness.sequence(store),
        await readiness.proxies(store),
        await readiness.one_person(store),
        await readiness.broken_glass(store),
        first_of(
            "states",
            (
                foreign,
                Level.FAIL,
                f"This version does not know what to do with {', '.join(foreign)}: run the version that wrote them.",
            ),
            (True, Level.OK, "Every record is in a state that this version knows."),
        ),
        first_of(
            "signatures",
            (
                not store.records.macs.ready,
                Level.WARN,
                "Records are not signed, so whoever writes to the store can say what they are: set PAYFLOW_SEAL_KEYS.",
            ),
            (
                settings.seal_keys is None,
                Level.WARN,
                (
                    f"The key that signs records is in the folder of the store, {settings.data}: whoever writes to the "
                    "one has the other. Move it into a file that PAYFLOW_SEAL_KEYS_FILE names."
                ),
            ),
            (True, Level.OK, "Records are signed with keys that are not in the store."),
        ),
        first_of(
            "parked",
            (
                parked,
                Level.WARN,
                f"{parked} records are set aside: `payflow ls --stuck` names them, `payflow retry` takes them up.",
            ),
            (True, Level.OK, "No record is set aside."),
        ),
        first_of(
            "platforms",
            (
                unlimited,
                Level.WARN,
                f"Nothing limits what {', '.join(unlimited)} may credit in a day: `payflow platform grant` sets it.",
            ),
            (True, Level.OK, "What each platform may credit in a day has a limit."),
        ),
        first_of(
            "providers",
            (
                of_nobody,
                Level.WARN,
                (
                    f"The tokens {', '.join(of_nobody)} are of providers whom no platform has named, and to whom none "
                    "credits anything: make others with `payflow token create --owner … --platform …`."
                ),
            ),
            (True, Level.OK, "Every provider with a token is known."),
        ),
        first_of(
            "paused",
            (paused, Level.WARN, f"Sends are paused: {', '.join(paused)}. `payflow paused` says why."),
            (True, Level.OK, "Nothing is paused."),
        ),
        first_of(
            "two reviewers",
            (
                bands is None,
                Level.WARN,
                f"No amount takes two reviewers: set PAYFLOW_TWO_PEOPLE_FROM, such as `{BANDS}`.",
            ),
            (True, Level.OK, f"Two reviewers approve from {settings.two_people_from or BANDS} on."),
        ),
        first_of(
            "tokens",
            (
                ending,
                Level.WARN,
                (
                    f"Ending within two weeks: {', '.join(ending)}. `payflow token rotate NAME --overlap 1d` gives "
                    "another one."
                ),
            ),
            (True, Level.OK, "None ends by itself within two weeks."),
        ),
    ]


def _in_clear(settings: Settings) -> Check:
    """Look at how those are reached who are shown credentials, or asked to sign and to prove."""
    urls = {
        "FLUTTERWAVE_URL": settings.flutterwave_url,
        "FLUTTERWAVE_TOKEN_URL": settings.flutterwave_token_url,
        "PAYSTACK_URL": settings.paystack_url,
        "GITHUB_URL": settings.github_url,
        "GITHUB_WEB_URL": settings.github_web_url,
        "PAYFLOW_OIDC_ISSUER": settings.oidc_issuer,
    }
    for name, lane in settings.lanes.items():
        urls |= {
            f"a node of the lane {name} ({place})": url.get_secret_value() for place, url in enumerate(lane.rpc, 1)
        }
        urls |= {f"the signer of the lane {name}": lane.signer.get_secret_value()} if lane.signer else {}
    split = {name: urlsplit(url) for name, url in urls.items()}
    clear = [
        name for name, url in split.items() if url.scheme == "http" and not servers.is_own_host(url.hostname or "")
    ]
    return first_of(
        "outside",
        (clear, Level.WARN, f"Reached by http://, in clear: {', '.join(clear)}. Use https://."),
        (True, Level.OK, "Nobody beyond this machine is reached by http://."),
    )


async def _webhook_places(settings: Settings) -> Check:
    """Look at where the webhooks of platforms lead now: what is not public is refused at each delivery."""
    from adapters.public import refuse  # noqa: PLC0415  (half a second, which `--help` has not)
    from payflow.desk.webhooks.endpoints import networks_of  # noqa: PLC0415  (as above)

    wrong = []
    for platform, given in settings.platform_webhooks.items():
        try:
            found = await asyncio.get_running_loop().getaddrinfo(urlsplit(given.get("url", "")).hostname, 443)
            for *_, (address, *_) in found:
                refuse(str(address), networks_of(settings))
        except OSError as error:
            wrong.append(f"{platform}: {error.strerror or error}")
    return first_of(
        "webhook places",
        (wrong, Level.WARN, f"Not reached: {'; '.join(wrong)}."),
        (True, Level.OK, "Every platform's webhook leads to where one may go."),
    )


async def _issuer(settings: Settings) -> list[Check]:
    """Look at the identity provider by which people sign in, and at what whoever runs it can do here."""
    if not settings.oidc_issuer:
        return []
    from payflow.app.dashboard import issuer_of  # noqa: PLC0415  (few installations have one)

    async with AsyncExitStack() as stack:
        issuer = await issuer_of(settings, stack)
        try:
            keys = await issuer.keys() if issuer else ()
        except PayflowError as error:
            return [warn("identity provider", str(error))]
    name = "identity provider"
    found = [ok(name, f"{settings.oidc_issuer} says who it is, and publishes {len(list(keys))} keys.")]
    if given := {role for role in settings.oidc_roles.values() if role != "viewer"}:
        found.append(
            warn(
                name,
                f"PAYFLOW_OIDC_ROLES: whoever runs {settings.oidc_issuer} can make a new {' or '.join(sorted(given))} "
                "alone, and two of them, who count as two people.",
            )
        )
    return found
