"""Carries out deploy/Dockerfile without a container engine: each stage in a minimal Debian root, step by step.

    sudo python -m tests.deploy.daemonless /tmp/image

It needs root and debootstrap, takes a few minutes, and ends with Payflow running from the finished root: as the image's
user, on a read-only file system, until its health check succeeds and a SIGTERM ends it.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.deploy.dockerfile import PROJECT, Stage, Step, stages

MIRROR = "http://deb.debian.org/debian"
# What a builder brings along from the machine that it runs on: how the network is reached, which certificates count.
OF_THE_MACHINE = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
SETTINGS = ("PIP_", "UV_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S = 60


def build(work: Path) -> tuple[Path, Stage]:
    """Carry out every stage; gives the root of the last one."""
    base = work / "base"
    if not base.exists():
        run("debootstrap", "--variant=minbase", "bookworm", str(base), MIRROR)
    roots: dict[str, Path] = {}
    root, stage = base, Stage("")
    for number, stage in enumerate(stages()):
        root = work / (stage.name or f"stage{number}")
        shutil.rmtree(root, ignore_errors=True)
        run("cp", "-a", str(base), str(root))
        carry_out(stage, root, roots)
        roots[stage.name or str(number)] = root
    return root, stage


def lend(root: Path) -> None:
    """Lend the root what belongs to the machine."""
    for path in map(Path, OF_THE_MACHINE):
        target = root / path.relative_to("/")
        if path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.resolve(), target)


def carry_out(stage: Stage, root: Path, roots: dict[str, Path]) -> None:
    """Do the steps of a stage."""
    environment = {"PATH": PATH} | {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    place = "/"
    for step in stage.steps:
        print(f"── {step.word} {step.text[:100]}", flush=True)
        match step.word:
            case "RUN":
                lend(root)  # a step before may have replaced it
                inside(root, environment, place, step.text)
            case "COPY":
                copy(step, root, place, roots)
            case "ENV":
                environment |= step.settings
            case "WORKDIR":
                place = step.text
                (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case _:
                pass  # says something about the image, and does nothing


def copy(step: Step, root: Path, place: str, roots: dict[str, Path]) -> None:
    """Copy from the project, or from an earlier stage."""
    *sources, target = step.list
    origin = PROJECT
    if sources[0].startswith("--from="):
        origin = roots[sources.pop(0).removeprefix("--from=")]
    to = root / str(Path(place, target)).lstrip("/")
    for source in sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, to, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            whole = to / found.name if target.endswith("/") else to
            whole.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, whole)


def inside(root: Path, environment: dict[str, str], place: str, command: str) -> None:
    """Run a line of shell in a root, with a /proc of its own."""
    run(
        *("unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc"),
        *("chroot", str(root), "/usr/bin/env", "-i", "-C", place),
        *(f"{name}={value}" for name, value in environment.items()),
        *("/bin/sh", "-c", command),
    )


def run(*words: str) -> None:
    """Run a command; one that fails ends everything."""
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


# ── the finished image at work ───────────────────────────────────────────────────────────────────────────────────────


def try_out(root: Path, stage: Stage) -> None:
    """Start what the image starts, as its user, on a read-only root; ask its health check; stop it."""
    user, _, group = stage.last("USER").text.partition(":")
    environment = {"PATH": PATH, **stage.environment, "PAYFLOW_PORT": "18080"}
    command = shlex.join([*stage.last("ENTRYPOINT").list, *stage.last("CMD").list])
    check = shlex.join(stage.last("HEALTHCHECK").list)
    home = stage.last("WORKDIR").text
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    begins = f"chroot --userspec={user}:{group} {root} /usr/bin/env -i -C {home} {settings}"
    script = f"""
        set -e
        as_user() {{ {begins} "$@"; }}
        mount --bind {root} {root}
        mount -o remount,bind,ro {root}
        mount -t tmpfs tmpfs {root}/tmp
        mount -t tmpfs -o uid={user},gid={group},mode=700 tmpfs {root}{home}
        mount -t proc proc {root}/proc
        mount --rbind /dev {root}/dev
        if as_user touch /opt/payflow/written 2>/dev/null; then echo "the root can be written to"; exit 1; fi
        {begins} {command} & service=$!
        for _ in $(seq {PATIENCE_S}); do
            if as_user {check} 2>/dev/null; then healthy=yes; break; fi
            sleep 1
        done
        [ "$healthy" = yes ]
        as_user payflow doctor
        kill -TERM $service
        wait $service
        echo "healthy; stopped with code $?"
        sleep 1
        if ps -eo args | grep -v grep | grep -E "payflow|valkey"; then echo "something is left"; exit 1; fi
    """
    begun = time.monotonic()
    process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c", script])
    try:
        code = process.wait(timeout=3 * PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        raise
    if code:
        raise SystemExit(f"the finished image did not work: {code}")
    print(f"tried out in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    finished, last = build(Path(sys.argv[1]).resolve())
    size = subprocess.run(["du", "-sm", str(finished)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"built: {size} MB")
    try_out(finished, last)
