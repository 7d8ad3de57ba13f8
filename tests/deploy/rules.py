"""What deploy/prometheus and deploy/grafana say, read for the tests."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from payflow.telemetry.metrics import Metrics, StoreGauges

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RUNBOOKS = DEPLOY / "runbooks"

_NAME = re.compile(r"\b(?:payflow[_:][a-z0-9_:]+|up)\b")
_ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",), "info": ("_info",)}


@dataclass(frozen=True)
class Panel:
    """One query of a dashboard."""

    dashboard: str
    title: str
    query: str


def rules(file: str) -> list[dict[str, Any]]:
    """Read the rules of a file."""
    groups = yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Read the alerts by name."""
    return {rule["alert"]: rule for rule in rules("alerts.yml")}


def recorded() -> dict[str, str]:
    """Read the recording rules: what is recorded, and from what."""
    return {rule["record"]: rule["expr"] for rule in rules("recording.yml")}


def dashboards() -> dict[str, dict[str, Any]]:
    """Read the dashboards by file name."""
    return {path.stem: json.loads(path.read_text()) for path in (DEPLOY / "grafana/dashboards").glob("*.json")}


def panels() -> list[Panel]:
    """List every query of every dashboard."""
    return [
        Panel(name, panel["title"], target["expr"])
        for name, dashboard in dashboards().items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def named(expression: str) -> set[str]:
    """Name the metrics that an expression is about."""
    return set(_NAME.findall(expression))


def told() -> set[str]:
    """Name every series that a process of Payflow may tell."""
    metrics = Metrics()
    metrics.worker_seen.set(1)
    names = {"up"}
    for registry in (metrics.registry, StoreGauges().registry):
        for family in registry.collect():
            names |= {family.name + ending for ending in _ENDINGS[family.type]}
    return names


def samples(registry: CollectorRegistry) -> Iterator[Sample]:
    """Walk over everything in a registry."""
    for family in registry.collect():
        yield from family.samples
