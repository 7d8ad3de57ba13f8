"""What health is made of: checks that say what to do, and the figures of the health line."""

import gc
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.metrics import MetricWrapperBase

from payflow.telemetry.metrics import Metrics


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    """Worth changing; money still moves."""
    FAIL = "fail"
    """Payflow must not send money like this, or cannot work at all."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    finding: str
    """What is the case, in one sentence; where it is not ok, with what to do."""


def ok(name: str, finding: str) -> Check:
    """Find nothing wrong."""
    return Check(name, Level.OK, finding)


def warn(name: str, finding: str) -> Check:
    """Find something that should be changed."""
    return Check(name, Level.WARN, finding)


def fail(name: str, finding: str) -> Check:
    """Find something that must be changed."""
    return Check(name, Level.FAIL, finding)


def first_of(name: str, *findings: tuple[object, Level, str]) -> Check:
    """Find the first of these whose condition holds, as one reads a table; the last one's always does."""
    return next(Check(name, level, finding) for holds, level, finding in findings if holds)


def healthy(checks: Iterable[Check]) -> bool:
    """Say whether nothing failed."""
    return all(check.level is not Level.FAIL for check in checks)


@dataclass(frozen=True, slots=True)
class Work:
    """What this process has done so far."""

    looks: int
    moves: int
    errors: int

    def since(self, before: "Work") -> "Work":
        """Give what was done since then."""
        return Work(self.looks - before.looks, self.moves - before.moves, self.errors - before.errors)


def work_of(metrics: Metrics) -> Work:
    """Read off the metrics what was done."""
    return Work(
        looks=_sum(metrics.acts, "_count"),
        moves=_sum(metrics.moves, "_total"),
        errors=_sum(metrics.act_errors, "_total"),
    )


def _sum(metric: MetricWrapperBase, suffix: str) -> int:
    samples = (sample for family in metric.collect() for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith(suffix)))


def freeze_what_is_loaded() -> None:
    """Have the garbage collector pass over what lives as long as the process: to walk over it held the loop 0.1 s."""
    gc.collect()
    gc.freeze()
