"""TLS to the store: by REDIS_URL or by the seed's names, and to nobody whose certificate is another's."""

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from machines.core.errors import BadSettings, StoreUnfit
from payflow.config import load
from tests.desk import account, fund, opened
from tests.servers import Farm, Kind, Sentinel, Server, binary, free_port

PASSWORD = "hush"


def certificate(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A key and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "key.pem", folder / "cert.pem"


def over_tls(farm: Farm, folder: Path, address: str = "127.0.0.1") -> tuple[Server, int, Path]:
    """A server that speaks nothing else, its port, and whom to trust."""
    key, made = certificate(folder, address)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-key-file", str(key), "--tls-cert-file", str(made))
    server = farm.server(Kind.REDIS_7, *options, "--tls-auth-clients", "no", password=PASSWORD)
    return server, port, made


async def works(environment: dict[str, str]) -> None:
    """Open the store, write, and read it back."""
    async with opened(load(environment)) as store:
        await fund(store, units=500)
        assert (await account(store)).available == 500


@pytest.mark.parametrize("named", ["by url", "by host"])
async def test_the_store_is_spoken_to_over_tls(own: Farm, tmp_path: Path, named: str) -> None:
    _, port, made = over_tls(own, tmp_path / "tls")
    common = {"PAYFLOW_DATA": str(tmp_path), "REDIS_CA_FILE": str(made), "PAYFLOW_SEAL_KEYS": "x" * 43 + "="}
    by_url = {"REDIS_URL": f"rediss://:{PASSWORD}@127.0.0.1:{port}"}
    by_host = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port), "REDIS_PASSWORD": PASSWORD, "REDIS_TLS": "true"}
    await works(common | (by_url if named == "by url" else by_host))


async def test_sentinels_and_what_they_watch_are_spoken_to_over_tls(own: Farm, tmp_path: Path) -> None:
    _, port, made = over_tls(own, tmp_path / "tls")
    folder, at = tmp_path / "sentinel", free_port()
    folder.mkdir()
    lines = [
        f"sentinel monitor mymaster 127.0.0.1 {port} 1",
        f"sentinel auth-pass mymaster {PASSWORD}",
        f"unixsocket {folder / 's'}",
        "port 0",
        f"tls-port {at}",
        f"tls-cert-file {made}",
        f"tls-key-file {made.with_name('key.pem')}",
        f"tls-ca-cert-file {made}",
        "tls-auth-clients no",
        "tls-replication yes",
    ]
    (folder / "conf").write_text("\n".join(lines))
    sentinel = Sentinel(binary(Kind.REDIS_7), folder)
    sentinel.start()
    try:
        await works(
            {
                "PAYFLOW_DATA": str(tmp_path),
                "REDIS_SENTINELS": f"127.0.0.1:{at}",
                "REDIS_PASSWORD": PASSWORD,
                "REDIS_TLS": "true",
                "REDIS_CA_FILE": str(made),
            }
        )
    finally:
        sentinel.kill()


@pytest.mark.parametrize("whose", ["nobody's", "another address"])
async def test_who_shows_another_certificate_is_told_nothing(own: Farm, tmp_path: Path, whose: str) -> None:
    address = "127.0.0.1" if whose == "nobody's" else "192.0.2.7"
    server, port, made = over_tls(own, tmp_path / "tls", address)
    trusted = certificate(tmp_path / "other")[1] if whose == "nobody's" else made
    url = f"rediss://:{PASSWORD}@127.0.0.1:{port}"
    settings = load({"PAYFLOW_DATA": str(tmp_path), "REDIS_URL": url, "REDIS_CA_FILE": str(trusted)})
    with pytest.raises(StoreUnfit, match=r"certificate.*REDIS_CA_FILE"):
        async with opened(settings):
            pass
    assert server.info("clients")["connected_clients"] <= 1


def test_tls_that_contradicts_the_address_is_refused() -> None:
    with pytest.raises(BadSettings, match="write rediss://"):
        load({"REDIS_URL": "redis://store:6379", "REDIS_TLS": "true"})
    with pytest.raises(BadSettings, match="there is no file"):
        load({"REDIS_URL": "rediss://store:6379", "REDIS_CA_FILE": "nowhere.pem"})


@pytest.mark.parametrize(
    "given", [{"REDIS_HOST": "store"}, {"REDIS_URL": "redis://store:6379"}, {"REDIS_SENTINELS": "sentinel:26379"}]
)
def test_certificates_that_nothing_would_be_checked_by_are_refused(tmp_path: Path, given: dict[str, str]) -> None:
    """Whoever names them believes that the password goes nowhere else: it went out in the clear."""
    authority = tmp_path / "authority.pem"
    authority.touch()
    with pytest.raises(BadSettings, match="set REDIS_TLS"):
        load({**given, "REDIS_CA_FILE": str(authority)})
    assert load({"REDIS_HOST": "store", "REDIS_TLS": "true", "REDIS_CA_FILE": str(authority)}).store_tls


def test_tls_of_an_address_that_is_not_read_behind_sentinels_is_refused() -> None:
    given = {"REDIS_URL": "rediss://store:6379", "REDIS_SENTINELS": "sentinel:26379"}
    with pytest.raises(BadSettings, match="set REDIS_TLS"):
        load(given)
    assert load({**given, "REDIS_TLS": "true"}).store_tls
