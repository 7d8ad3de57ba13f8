"""Alerts, runbooks and metrics are held together; every rule is sound and was seen to fire and to stay silent."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from payflow.config import NAMES
from tests.deploy.commands import commands, faults_of
from tests.deploy.rules import DEPLOY, PROMETHEUS, RUNBOOKS, alerts, dashboards, named, panels, recorded, told

TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def promtool(*words: str | Path) -> str:
    """Run promtool; gives what it said."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on this machine")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def tried() -> list[dict[str, Any]]:
    """Read what the unit tests of the rules expect of alerts."""
    cases = [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    return [expected for case in cases for expected in case["alert_rule_test"]]


def test_prometheus_takes_the_configuration_and_every_rule() -> None:
    said = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert f"{len(recorded())} rules found" in said
    assert f"{len(alerts())} rules found" in said


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_unit_tests_say(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


def test_every_alert_was_seen_to_fire_and_to_stay_silent() -> None:
    fired = {one["alertname"] for one in tried() if one["exp_alerts"]}
    silent = {one["alertname"] for one in tried() if not one["exp_alerts"]}
    assert fired == set(alerts())
    assert silent == set(alerts())


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())
    for name, alert in alerts().items():
        assert alert["annotations"]["runbook"] == f"deploy/runbooks/{name}.md"
        assert alert["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_says_what_it_means_what_it_harms_how_to_look_and_what_to_do(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert list(commands(text)), "a runbook names commands to type"
    assert faults_of(path) == []


def test_every_metric_that_a_rule_or_a_panel_names_is_told() -> None:
    known = told() | set(recorded())
    expressions = [*recorded().values(), *(alert["expr"] for alert in alerts().values())]
    for expression in [*expressions, *(panel.query for panel in panels())]:
        assert named(expression)
        assert named(expression) <= known, expression


def test_every_recording_rule_is_used() -> None:
    expressions = [*recorded().values(), *(alert["expr"] for alert in alerts().values())]
    used = {name for expression in [*expressions, *(panel.query for panel in panels())] for name in named(expression)}
    assert set(recorded()) <= used


def test_grafana_finds_what_is_provisioned() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert {"overview", "lanes", "gateway", "engine"} == set(dashboards())
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
            assert panel["description"].endswith(".")
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
    assert len({dashboard["uid"] for dashboard in dashboards().values()}) == len(dashboards())


def test_an_alert_reaches_somebody() -> None:
    routes = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in routes["receivers"]}
    assert {routes["route"]["receiver"], *(one["receiver"] for one in routes["route"]["routes"])} <= receivers
    for rule in routes["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            assert set(re.findall(r'"(.*)"', matcher)[0].split("|")) <= set(alerts())


# ── the pages of the verbs ───────────────────────────────────────────────────────────────────────────────────────────

PAGES = sorted((DEPLOY / "operations").glob("*.md"))
VERBS = {"install", "upgrade", "back-up", "restore", "rotate-keys", "pause", "reconcile", "resolve", "archive", "scale"}


def test_every_verb_has_its_page_and_every_page_is_listed() -> None:
    assert {page.stem for page in PAGES} >= VERBS
    listed = set(re.findall(r"\]\(([\w-]+)\.md\)", (DEPLOY / "operations/README.md").read_text()))
    assert listed >= VERBS


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_names_only_commands_and_files_that_exist(path: Path) -> None:
    text = path.read_text()
    assert faults_of(path) == []
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (path.parent / link).exists(), f"{path.name} leads to {link}"
    for file in re.findall(r"\bdeploy/[\w./-]+\.(?:yml|md|service|json)\b", text):
        assert (DEPLOY.parent / file).exists(), f"{path.name} names {file}"


@pytest.mark.parametrize("path", [*PAGES, *sorted(RUNBOOKS.glob("*.md"))], ids=lambda path: path.stem)
def test_a_page_names_only_settings_that_exist(path: Path) -> None:
    named_there = set(
        re.findall(r"\b((?:PAYFLOW|REDIS|FLUTTERWAVE|PAYSTACK|PAYOUT|BATCH)_[A-Z_]+)\b", path.read_text())
    )
    assert {name for name in named_there if name.removesuffix("_FILE") not in NAMES} == set()
