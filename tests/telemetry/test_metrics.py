"""Metrics: each documented, each counted where it should be, and what was done read off them."""

from prometheus_client import CollectorRegistry, generate_latest

from payflow.telemetry.health import Check, Level, Work, fail, healthy, ok, warn, work_of
from payflow.telemetry.metrics import Metrics, StoreGauges


def text_of(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_metric_has_the_prefix_and_a_sentence() -> None:
    metrics = Metrics()
    metrics.worker_seen.set(1)
    for registry in (metrics.registry, StoreGauges().registry):
        helps = [line for line in text_of(registry).splitlines() if line.startswith("# HELP")]
        assert helps
        for line in helps:
            _, _, name, sentence = line.split(" ", 3)
            assert name.startswith("payflow_")
            assert sentence.endswith(".")


def test_no_metric_is_told_twice_in_one_scrape() -> None:
    metrics = Metrics()
    metrics.worker_seen.set(1)
    text = text_of(metrics.registry) + text_of(StoreGauges().registry)
    names = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_it_says_which_payflow_it_is() -> None:
    assert 'payflow_build_info{python="3.' in text_of(Metrics().registry)


def test_a_process_without_a_worker_does_not_say_when_its_worker_was_seen() -> None:
    metrics = Metrics()
    assert "worker_last_claim" not in text_of(metrics.registry)
    metrics.worker_seen.set(5)
    assert value(metrics, "payflow_worker_last_claim_timestamp_seconds") == 5


def test_calls_that_commit_are_counted_with_their_size() -> None:
    metrics = Metrics()
    metrics.committed(3, 0.002)
    metrics.committed(100, 0.02)
    assert value(metrics, "payflow_commit_batch_size_sum") == 103
    assert value(metrics, "payflow_commit_seconds_count") == 2


def test_the_work_done_is_read_off_the_metrics() -> None:
    metrics = Metrics()
    assert work_of(metrics) == Work(0, 0, 0)
    for state in ("ASKED", "READY"):
        metrics.looked("errand", state, 0.01)
    metrics.moved("errand", "ASKED", "READY")
    before = work_of(metrics)
    assert before == Work(looks=2, moves=1, errors=0)
    metrics.moved("errand", "READY", "SENDING")
    metrics.act_errors.labels("errand", "SENDING", "bug").inc()
    assert work_of(metrics).since(before) == Work(looks=0, moves=1, errors=1)


def test_a_warning_is_not_a_failure() -> None:
    checks = [ok("a", "It is."), warn("b", "It might be better.")]
    assert healthy(checks)
    assert not healthy([*checks, fail("c", "It is not.")])
    assert Check("c", Level.FAIL, "It is not.") == fail("c", "It is not.")
