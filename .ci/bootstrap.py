"""Fetch uv, with nothing but Python's standard library: `python3 .ci/bootstrap.py .tools` leaves it in `.tools/bin/uv`.

Where there is pip, pip does it and its settings hold. A Debian without python3-pip has none: then the wheel is looked
up in the package index, checked against the hashes below, and the one program in it is unpacked.
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
import tempfile
import urllib.parse
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path

VERSION = "0.13.8"
# Of its wheels, as they were when this version was chosen: an index with another file shows its hash as well. With
# another version, take those that PyPI shows: https://pypi.org/project/uv/#files.
HASHES = (
    "0ec33661a14e38dea8dfb18167d2a4a5c7fe3d476c62dd8eb6acf5f378727201",
    "b7124ca1956ec2e476a1003ea5715a15f0266afaec37f4dc9c6972ba8183e6d1",
    "62b6943c7fd64fac6854f780bea6e0359e5a5bc3241f83ee357bb38276afac49",
    "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    "9cf0b7b12f13da6ab1c85694ab618d97a2bbd0c904cdea7f0172fb1dd768b9d5",
    "86f1319f851e645bc295bb921e6be19beae7e69216c75ae809010ca7817393aa",
    "5ace7ec339798aca31be51a75fa7c1544fe84e02fadd17a9fa3324813bbaf237",
    "6999618363d03a0a085a9491db319e00b461dbda205db06ef1fd55dfcbf6472b",
    "13050c64530a1ccfc223af0306a8152d41c0d36ea63bc19161221ca65dfe480a",
    "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    "5337c30bb893b4f9ce0ceb921ba2da0d13f649da644f40ad3bef84083bef0203",
    "bfcaada3989c7716ad4b58673cd1413fad4fdc6b2e446f9553db0ef18da20850",
    "b26fe533dc6153787e40443b7d9428ed41349127bff36a954ec82c48be01ded9",
    "63d807451e63c8d21b1b33c945af16438ac9d8ffddc59b31ce69c692135891f5",
    "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    "87614f62b09e3571593ffe01bf2e1dccb8df928a8423324dba80c6d0e33060eb",
    "cfbc13020a64cdf2f116d2936824c38edbf41e5c07f1ea291baf02e31ebf3ed0",
    "b4184029b1b7c54409b9cd4372c73a36ef9c2d1d7cf3b0aca59c8b1932f041dc",
)
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
    environment = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(" ".join([f"uv=={VERSION}", *(f"--hash=sha256:{one}" for one in HASHES)]))
        wanted.flush()
        command += ["--target", str(target), "--require-hashes", "-r", wanted.name]
        if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603 - all arguments are our own
            raise ValueError("pip says above why.")


def install_by_hand(target: Path) -> None:
    index = index_url()
    wheel = download(wheel_url(f"{index}/uv/"))
    if hashlib.sha256(wheel).hexdigest() not in HASHES:
        raise ValueError(f"what {index} shows is not the uv that was looked at.")
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
