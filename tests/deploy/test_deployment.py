"""The files that put Payflow somewhere: true to their schemas, to each other, and to what Payflow is."""

import configparser
import hashlib
import importlib.util
import io
import json
import platform
import re
import shutil
import stat
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from redis import Redis, RedisError

from payflow.config import NAMES, Settings
from tests.deploy.commands import fault
from tests.deploy.dockerfile import PROJECT, stages
from tests.deploy.rules import DEPLOY, PROMETHEUS
from tests.servers import Kind, binary
from tests.waiting import block_until

KUBERNETES = "1.36"
COMPOSE = DEPLOY / "compose/compose.yml"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OURS = "payflow:local"
MADE_BY = {"api": ["serve"], "worker": ["worker"]}


def compose() -> dict[str, Any]:
    """Read the compose file, with what its anchors stand for."""
    return dict(yaml.safe_load(COMPOSE.read_text()))


def manifests() -> list[dict[str, Any]]:
    """Read the Kubernetes manifests."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/payflow.yml").read_text()))


def of_kind(kind: str) -> list[dict[str, Any]]:
    """The manifests of a kind."""
    return [one for one in manifests() if one["kind"] == kind]


def are_settings(names: Any) -> None:  # noqa: ANN401  (any names)
    """Payflow knows each setting, so that it would start."""
    assert {name.removesuffix("_FILE") if name not in NAMES else name for name in names} <= set(NAMES)


# ── the image ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_image_is_built_in_one_stage_and_runs_in_another() -> None:
    build, last = stages()
    assert build.name == "build"
    assert [step.list[0] for step in last.steps if step.word == "COPY"] == ["--from=build"]
    assert not any(step.word == "ADD" for stage in (build, last) for step in stage.steps)
    assert build.environment["UV_PROJECT_ENVIRONMENT"] in last.environment["PATH"]


def test_what_others_made_is_taken_by_its_digest() -> None:
    """A tag may be moved by whoever has it; a digest is what was looked at."""
    images = [stage.base for stage in stages()] + [service["image"] for service in compose()["services"].values()]
    theirs = [image for image in images if image != OURS]
    assert len(theirs) > 2
    assert [image for image in theirs if not re.search(r"@sha256:[0-9a-f]{64}$", image)] == []
    packages = json.loads((PROJECT / "tests/npm/package-lock.json").read_text())["packages"]
    assert len(packages) > 2
    assert [name for name, package in packages.items() if name and not package.get("integrity")] == []
    workflow = (PROJECT / ".github/workflows/ci.yml").read_text()
    assert re.findall(r"container: (\S+)", workflow) == [stages()[0].base], "the CI builds where the image is built"
    actions = re.findall(r"uses: (\S+)", workflow)
    assert actions
    assert [action for action in actions if not re.search(r"@[0-9a-f]{40}$", action)] == []


def test_what_builds_us_comes_from_the_lock_with_its_hash() -> None:
    """And not from whatever the index gives on the day: it runs code on the machine that builds."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    builders = {re.split("[<>=]", one)[0] for one in project["build-system"]["requires"]}
    assert project["tool"]["uv"]["no-build-isolation-package"] == ["payflow"]
    assert "build" in project["tool"]["uv"]["default-groups"], "each sync has them"
    locked = {one["name"]: one for one in tomllib.loads((PROJECT / "uv.lock").read_text())["package"]}
    (own,) = (one for one in locked.values() if one["name"] == "payflow")
    assert builders <= {one["name"] for one in own["dev-dependencies"]["build"]}
    files = [file for name, one in locked.items() if name != "payflow" for file in one.get("wheels", ())]
    assert len(files) > 100
    assert [file["url"] for file in files if not file["hash"].startswith("sha256:")] == []


@pytest.mark.parametrize("index", ["honest", "with a hash of its own"])
def test_uv_is_the_one_that_was_looked_at_whatever_the_index_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """An index that shows another file shows its hash as well."""
    spec = importlib.util.spec_from_file_location("bootstrap", PROJECT / ".ci/bootstrap.py")
    assert spec
    assert spec.loader
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(f"uv-{bootstrap.VERSION}.data/scripts/uv", "a program")
        wheel = file.getvalue()
    digest = hashlib.sha256(wheel).hexdigest()
    name = f"uv-{bootstrap.VERSION}-py3-none-manylinux_2_17_{platform.machine()}.whl"
    page = f'<a href="https://index.example/{name}#sha256={digest}">{name}</a>'.encode()
    answers = {"https://index.example/simple/uv/": page, f"https://index.example/{name}#sha256={digest}": wheel}
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://index.example/simple")
    monkeypatch.setattr(bootstrap, "download", answers.__getitem__)
    if index == "honest":
        monkeypatch.setattr(bootstrap, "HASHES", (digest,))
        bootstrap.install_by_hand(tmp_path)
        assert (tmp_path / "bin/uv").read_text() == "a program"
    else:
        with pytest.raises(ValueError, match="is not the uv that was looked at"):
            bootstrap.install_by_hand(tmp_path)
        assert not (tmp_path / "bin/uv").exists()


def test_the_image_runs_as_nobodys_user_behind_an_init_and_says_how_it_is() -> None:
    last = stages()[-1]
    user, _, group = last.last("USER").text.partition(":")
    assert int(user) > 1000
    assert int(group) > 1000
    assert last.last("ENTRYPOINT").list[0] == "tini"
    assert last.last("ENTRYPOINT").text.startswith("["), "a shell would swallow signals"
    assert fault(last.last("CMD").list) == ""
    assert "healthz" in last.last("HEALTHCHECK").text
    assert last.last("VOLUME").text == last.environment["PAYFLOW_DATA"]
    are_settings(name for name in last.environment if name.startswith("PAYFLOW_"))


def test_packages_leave_no_lists_behind() -> None:
    for stage in stages():
        for step in stage.steps:
            if step.word == "RUN" and "apt-get" in step.text:
                assert "--no-install-recommends" in step.text
                assert "rm -rf /var/lib/apt/lists/*" in step.text


def test_what_the_image_copies_is_there_and_reaches_the_builder() -> None:
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = [source for step in stages()[0].steps if step.word == "COPY" for source in step.list[:-1]]
    assert sorted(copied) == sorted(allowed)
    for source in copied:
        assert (PROJECT / source).exists()
    for secret in (".env", "data", ".git"):
        assert not any(fnmatch(secret, pattern) for pattern in allowed)


# ── compose ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_compose_file_is_true_to_its_schema() -> None:
    text = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    validator = jsonschema.Draft202012Validator(json.loads(text))
    assert [error.message for error in validator.iter_errors(compose())] == []
    assert list(validator.iter_errors({"services": {"api": {"imagee": "x"}}})), "the schema refuses what it should"


def test_every_service_of_compose_may_do_little() -> None:
    services = compose()["services"]
    assert {"api", "worker", "store", "prometheus", "alertmanager", "grafana"} == set(services)
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("read_only") or name == "grafana"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to everybody"


def test_payflow_under_compose_gets_settings_that_it_knows() -> None:
    from_file = dict(
        line.split("=", 1)
        for line in (DEPLOY / "compose/payflow.env").read_text().splitlines()
        if line and line[0] != "#"
    )
    for name, command in MADE_BY.items():
        service = compose()["services"][name]
        assert service["command"] == command
        assert service["read_only"] is True
        are_settings({**service["environment"], **from_file})
        assert float(service["stop_grace_period"].removesuffix("s")) > Settings().grace_s
    volumes = [volume for name in MADE_BY for volume in compose()["services"][name]["volumes"]]
    assert len(set(volumes)) == 2, "two processes must not share one memory of what the store acknowledged"


def test_what_compose_mounts_and_scrapes_is_there() -> None:
    document = compose()
    for service in document["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).exists()
            else:
                assert source in document["volumes"]
        assert set(service.get("secrets", ())) <= set(document["secrets"])
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    targets += [target for one in config["alerting"]["alertmanagers"] for target in one["static_configs"][0]["targets"]]
    assert {target.split(":")[0] for target in targets} <= set(document["services"])


def test_under_compose_only_prometheus_reads_the_metrics_and_the_host_s_proxy_is_named() -> None:
    """The port for machines that watch is published nowhere, and every target of Prometheus is that port."""
    document = compose()
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    watched = dict(target.split(":") for target in job["static_configs"][0]["targets"])
    assert set(watched) == set(MADE_BY)
    (network,) = document["networks"]["outside"]["ipam"]["config"]
    for name, port in watched.items():
        service = document["services"][name]
        assert service["environment"]["PAYFLOW_PROBE_PORT"] == port
        assert all(not published.endswith(f":{port}") for published in service.get("ports", ()))
        assert service["environment"]["PAYFLOW_TRUSTED_PROXIES"] == network["gateway"]


def test_the_store_of_compose_forgets_nothing() -> None:
    command = " ".join(compose()["services"]["store"]["command"])
    for setting in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert setting in command


def test_the_password_of_composes_store_is_on_no_command_line(tmp_path: Path) -> None:
    """Everybody on the host reads those; the very command runs here, with its paths and its program exchanged."""
    secret = tmp_path / "store_password"
    secret.write_text("correct horse\n")
    program, where, script = compose()["services"]["store"]["command"]
    script = (
        script.replace("$$", "$").replace("/run/secrets/store_password", str(secret)).replace("/data", str(tmp_path))
    )
    script = script.replace("valkey-server -", f"{binary(Kind.VALKEY)} - --port 0 --unixsocket {tmp_path / 's'}")
    server = subprocess.Popen([program, where, script])
    try:
        client = Redis(unix_socket_path=str(tmp_path / "s"), password="correct horse")
        block_until(lambda: refusal(client.ping) == "", "the store answers to its password")
        assert b"horse" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert "authenticated" in refusal(Redis(unix_socket_path=str(tmp_path / "s")).ping)
    finally:
        server.kill()
        server.wait()


def refusal(call: Callable[[], object]) -> str:
    """What is refused; empty where nothing is."""
    try:
        call()
    except RedisError as error:
        return str(error)
    return ""


# ── Kubernetes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_manifest_is_true_to_its_schema() -> None:
    for manifest in manifests():
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**of_kind("Service")[0], "spek": {}}, KUBERNETES, strict=True)


def test_api_and_workers_are_apart_watched_and_never_all_gone() -> None:
    sets = {one["metadata"]["name"].removeprefix("payflow-"): one for one in of_kind("StatefulSet")}
    assert set(sets) == set(MADE_BY)
    budgets = [one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget")]
    for name, one in sets.items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels
        assert labels in budgets
        assert one["spec"]["replicas"] > 1
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["args"] == MADE_BY[name]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > Settings().grace_s
        assert one["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_pods_run_as_the_user_of_the_image_on_a_read_only_root() -> None:
    user = int(stages()[-1].last("USER").text.partition(":")[0])
    for one in of_kind("StatefulSet"):
        spec = one["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsUser"] == user
        assert spec["securityContext"]["runAsNonRoot"] is True
        (container,) = spec["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"]["drop"] == ["ALL"]
        written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert written == {stages()[-1].environment["PAYFLOW_DATA"], "/tmp"}


def test_the_cluster_gives_settings_that_payflow_knows() -> None:
    (config,) = of_kind("ConfigMap")
    are_settings(config["data"])
    for one in of_kind("StatefulSet"):
        are_settings(entry["name"] for entry in one["spec"]["template"]["spec"]["containers"][0].get("env", ()))


def test_the_cluster_watches_on_a_port_that_only_monitoring_reaches_and_names_its_ingress() -> None:
    (config,) = of_kind("ConfigMap")
    probes = int(config["data"]["PAYFLOW_PROBE_PORT"])
    assert config["data"]["PAYFLOW_TRUSTED_PROXIES"]
    for one in of_kind("StatefulSet"):
        template = one["spec"]["template"]
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["probes"] == probes
        assert template["metadata"]["annotations"]["prometheus.io/port"] == str(probes)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == "probes", "the other one may be full of strangers"
    (policy,) = of_kind("NetworkPolicy")
    for rule in policy["spec"]["ingress"]:
        watches = "payflow.io/monitoring" in rule["from"][0]["namespaceSelector"]["matchLabels"]
        assert ({"port": probes} in rule["ports"]) is watches


def test_the_network_is_closed_but_for_what_is_named() -> None:
    (policy,) = of_kind("NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for one in of_kind("StatefulSet"):
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    for rule in policy["spec"]["ingress"]:
        assert rule["from"], "nobody may come in unnamed"


# ── systemd ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_payflow_and_stops_it_with_patience(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/payflow")
    assert fault(words) == ""
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > Settings().grace_s
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert unit["Install"]["WantedBy"] == "multi-user.target", "without it nothing is paid after the next boot"
    assert unit["Service"]["LimitNOFILE"] == "65536"
    are_settings(re.findall(r"^Environment=(\w+)=", path.read_text(), re.MULTILINE))
    set_here = dict(re.findall(r"^Environment=(\w+)=(.+)$", path.read_text(), re.MULTILINE))
    assert set_here["PAYFLOW_PROBE_PORT"] != str(Settings().port)
    assert ("PAYFLOW_TRUSTED_PROXIES" in set_here) is (words == ["serve"])


def test_the_units_of_one_machine_have_a_port_each_for_those_who_watch() -> None:
    found = {
        path.stem: re.findall(r"^Environment=PAYFLOW_PROBE_PORT=(.+)$", path.read_text(), re.MULTILINE)
        for path in UNITS
    }
    assert found["payflow-api"] != found["payflow-worker"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_a_unit_as_it_is(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd on this machine")
    program = tmp_path / "payflow"
    program.touch()
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    copy = tmp_path / path.name
    copy.write_text(path.read_text().replace("/opt/payflow/bin/payflow", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
