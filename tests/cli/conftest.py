"""The command line on an empty store: in this process, which is quick, or as a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.cli.till import Till
from tests.servers import Deployment


@pytest.fixture
def till(server: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    """The command line in this process."""
    monkeypatch.setenv("USER", "somebody-else")  # whoever says so
    monkeypatch.delenv("PAYFLOW_TOKEN", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where nobody is logged in
    monkeypatch.chdir(tmp_path)  # where no .env is
    for name, value in {**server.environment, "PAYFLOW_DATA": "data", "PAYFLOW_SHARDS": "4"}.items():
        monkeypatch.setenv(name, value)
    with capture_logs():
        till = Till()
        till.made()
        yield till
