"""Opens rails again that closed themselves, once they let us in; one worker of all asks at a time."""

from collections.abc import Mapping

import anyio
import structlog

from machines.core.errors import PayflowError, RailClosed
from payflow.desk.gateways import Probe
from payflow.store.store import Store

PROBE_S = 60.0
WHO = "payflow"

log = structlog.get_logger()


async def keep_closed_rails_probed(store: Store, probes: Mapping[str, Probe]) -> None:
    """Probe what closed itself about once a minute, until cancelled."""
    while True:
        try:
            await probe_closed_rails(store, probes)
        except PayflowError as error:
            log.warning("Closed rails could not be probed.", action="probe", error=str(error))
        except Exception:  # an adapter that fails in an unforeseen way must not stop the worker
            log.exception("Closed rails could not be probed.", action="probe")
        await anyio.sleep(PROBE_S / 4)


async def probe_closed_rails(store: Store, probes: Mapping[str, Probe]) -> None:
    """Ask each rail whose own code closed it, in its turn. What people, contradictions or lost writes closed stays."""
    for scope, pause in (await store.pauses.all()).items():
        kind, _, rail = scope.partition(":")
        if kind != "rail" or not pause.code or rail not in probes:
            continue
        granted, _ = await store.records.rate_tokens(f"probe:{rail}", 1 / PROBE_S, 1)
        if granted:
            await _probe(store, rail, probes[rail])


async def _probe(store: Store, rail: str, probe: Probe) -> None:
    try:
        await probe()
    except RailClosed:
        return
    except PayflowError as error:
        log.info("A probe of a closed rail told nothing.", action="probe", rail=rail, error=str(error))
        return
    async with store.audit.doing(WHO, "resume", f"rail:{rail}", "it lets a probe in again"):
        await store.pauses.reopen(f"rail:{rail}")
    log.warning("A rail that had closed itself is open again.", action="rail_opened", rail=rail)
