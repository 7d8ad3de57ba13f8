"""Fetch uv, with nothing but Python's standard library: `python3 .ci/bootstrap.py .tools` leaves it in `.tools/bin/uv`.

Where there is pip, pip does it and its settings hold. A Debian without python3-pip has none: then the wheel is looked
up in the package index, checked against the index's SHA-256, and the one program in it is unpacked.
"""

import configparser
import hashlib
import importlib.util
import io
import os
import platform
import re
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path

VERSION = "0.13.8"
PYPI = "https://pypi.org/simple"


def main(target: Path) -> str | None:
    """Leave `bin/uv` in the target folder; return what went wrong, for people."""
    try:
        if importlib.util.find_spec("pip"):
            install_by_pip(target)
        else:
            install_by_hand(target)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return (
            f"uv {VERSION} could not be fetched: {error}\n"
            "Is the package index within reach? PIP_INDEX_URL names another one. "
            "Or install uv yourself, and run make again."
        )
    return None


def install_by_pip(target: Path) -> None:
    # --target is allowed in Debian's externally managed Python. The two settings would contradict it.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--only-binary", ":all:"]
    command += ["--target", str(target), f"uv=={VERSION}"]
    environment = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603 - all arguments are our own
        raise ValueError("pip says above why.")


def install_by_hand(target: Path) -> None:
    index = index_url()
    wheel = download(wheel_url(f"{index}/uv/"))
    program = zipfile.ZipFile(io.BytesIO(wheel)).read(f"uv-{VERSION}.data/scripts/uv")
    path = target / "bin" / "uv"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")  # an interrupted run must not leave half a program under its name
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.replace(path)


def index_url() -> str:
    """Name the package index, as uv and pip would: the environment first, then pip's files, then PyPI."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(["/etc/pip.conf", *(Path.home() / name for name in (".pip/pip.conf", ".config/pip/pip.conf"))])
    named = [os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")]
    named += [config.get("global", "index-url", fallback=None), PYPI]
    return next(filter(None, named)).rstrip("/")


def wheel_url(page_url: str) -> str:
    """Find the wheel for this machine on the index's page of uv (PEP 503), with its hash as the fragment."""
    page = Links()
    page.feed(download(page_url).decode())
    for link in page.links:
        url = urllib.parse.urljoin(page_url, link)
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        if name.startswith(f"uv-{VERSION}-") and name.endswith(".whl") and any(map(runs_here, platform_tags(name))):
            return url
    raise ValueError(f"{page_url} has no wheel of it for {platform.platform()}.")


class Links(HTMLParser):
    """The links of a page, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def platform_tags(wheel_name: str) -> list[str]:
    return wheel_name.removesuffix(".whl").rpartition("-")[2].split(".")


def runs_here(tag: str) -> bool:
    """Tell whether a wheel with this tag, such as `manylinux_2_17_x86_64`, runs on this system."""
    match = re.fullmatch(r"(macosx|manylinux|musllinux)_(\d+)_(\d+)_(\w+)", tag)
    if not match or match[4] != platform.machine():
        return False
    libc, libc_version = platform.libc_ver()
    if sys.platform == "darwin":
        system, version = "macosx", platform.mac_ver()[0]
    elif libc == "glibc":
        system, version = "manylinux", libc_version
    else:
        system, version = "musllinux", "1.2"  # musl does not tell; 1.2 is of 2020
    have = tuple(int(part) for part in version.split(".")[:2])
    return match[1] == system and (int(match[2]), int(match[3])) <= have


def download(url: str) -> bytes:
    """Fetch a page or a file; what has a SHA-256 in its fragment is checked against it."""
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - the index is the user's own choice
        content: bytes = response.read()
    expected = re.search(r"#sha256=([0-9a-f]{64})", url)
    if expected and hashlib.sha256(content).hexdigest() != expected[1]:
        raise ValueError(f"{url} is not the file that the index promises.")
    return content


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
