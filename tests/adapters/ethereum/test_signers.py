"""Signers sign exactly what they are asked, for whom they should, and show no key to anybody."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from eth_account import Account as Keys
from structlog.testing import capture_logs

from adapters.ethereum.node import Nodes
from adapters.ethereum.remote_signer import RemoteSigner
from adapters.ethereum.signers import LocalKey, keystore, raw_key_file, remote
from adapters.ethereum.transactions import Undecodable, decoded
from machines.core.chain import Address, GasFee, NodeReply, Unsigned
from machines.core.errors import BadSettings, PayflowError, RailClosed, Rejected, Retryable
from tests.adapters.ethereum.conftest import payment
from tests.chain import CHAIN_ID, GWEI, LANE, OTHER, Account, Anvil
from tests.chainproxy import ChainProxy, Kind
from tests.servers import free_port

SECRET = LANE.key[2:]
PASSWORD = "correct horse"

SHAPES = [
    payment(7),
    payment(0, value_wei=0, data="0xdeadbeef", gas=90_000),
    payment(3, fee=GasFee(5 * GWEI)),
    Unsigned(31337, 1, None, 0, "0x600160005500", 100_000, GasFee(5 * GWEI, GWEI)),
    Unsigned(31337, 2, None, 0, "0x600160005500", 100_000, GasFee(5 * GWEI)),
    payment(4, value_wei=10**27, fee=GasFee(0, 0)),
]


def shown(error: BaseException) -> str:
    """Everything that a log could show of an error, with the variables of its frames."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    told.stack = traceback.StackSummary.from_list(told.stack[1:])  # the first frame is the test's own
    return "".join(told.format()) + repr(error) + repr(error.__context__) + repr(error.__cause__)


# In this process.


@pytest.mark.parametrize("unsigned", SHAPES)
async def test_what_is_signed_is_what_was_asked(key: LocalKey, unsigned: Unsigned) -> None:
    signed = await key.sign(unsigned)
    assert decoded(bytes.fromhex(signed.raw[2:])) == (unsigned, LANE.address)


async def test_the_same_is_signed_in_the_same_bytes(key: LocalKey) -> None:
    unsigned = payment(5)
    assert await key.sign(unsigned) == await key.sign(unsigned)


async def test_a_chain_takes_what_was_signed_and_calls_it_by_our_hash(lone: Nodes, chain: Anvil, key: LocalKey) -> None:
    for nonce, fee in enumerate((GasFee(5 * GWEI, GWEI), GasFee(5 * GWEI))):
        signed = await key.sign(payment(nonce, fee=fee))
        assert (await lone.broadcast(signed.raw)).reply is NodeReply.ACCEPTED
        assert signed.hash in await chain.waiting()


async def test_a_transaction_that_cannot_be_signed_is_rejected_and_the_key_not_shown(key: LocalKey) -> None:
    for broken in (payment(-1), payment(0, value_wei=2**256), payment(0, to=Address("0x12"))):
        with pytest.raises(Rejected) as told:
            await key.sign(broken)
        assert SECRET not in shown(told.value)


def test_a_key_is_not_shown_copied_or_pickled(key: LocalKey, caplog: pytest.LogCaptureFixture) -> None:
    assert SECRET not in repr(key)
    assert SECRET not in str(key)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().info("%s %r", key, key)
    assert SECRET not in caplog.text
    assert not hasattr(key, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)


@pytest.mark.parametrize("text", ["", "hello", SECRET[:-1], SECRET + "0", "z" * 64, "0" * 64, "f" * 64])
def test_what_is_no_key_is_a_setting_to_mend_and_is_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(BadSettings) as told:
        raw_key_file(file)
    assert len(text) < 10 or text not in shown(told.value)


def test_a_key_file_signs_for_its_address(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(LANE.key + "\n")
    assert raw_key_file(file).address == LANE.address
    assert raw_key_file(file, LANE.address).address == LANE.address
    with pytest.raises(BadSettings, match=OTHER.address) as told:
        raw_key_file(file, OTHER.address)
    assert SECRET not in shown(told.value)


def test_a_key_that_everybody_on_the_machine_may_read_is_said_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(LANE.key)
    for mode, said in ((0o644, True), (0o640, False), (0o600, False)):
        file.chmod(mode)
        with capture_logs() as lines:
            raw_key_file(file)
        assert ("key_file_mode" in [line["action"] for line in lines]) is said


def test_a_key_file_that_is_not_there_is_a_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be read"):
        raw_key_file(tmp_path / "nothing")


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Path]:
    """A keystore file, weak so that it opens at once, and its password."""
    made = Keys.encrypt(bytes.fromhex(SECRET), PASSWORD, kdf="pbkdf2", iterations=10)
    (tmp_path / "keystore").write_text(json.dumps(made))
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return tmp_path / "keystore", tmp_path / "password"


def test_a_keystore_opens_with_its_password(stored: tuple[Path, Path]) -> None:
    assert keystore(*stored, LANE.address).address == LANE.address
    with pytest.raises(BadSettings, match="and not for"):
        keystore(*stored, OTHER.address)


def test_a_wrong_password_opens_nothing_and_is_not_shown(stored: tuple[Path, Path]) -> None:
    stored[1].write_text("battery staple")
    with pytest.raises(BadSettings, match="does not open") as told:
        keystore(*stored)
    assert "staple" not in shown(told.value)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"crypto": 5}', '{"crypto": {}, "version": 3}'])
def test_what_is_no_keystore_is_a_setting_to_mend(stored: tuple[Path, Path], text: str) -> None:
    stored[0].write_text(text)
    with pytest.raises(BadSettings):
        keystore(*stored)


# Elsewhere.


class FakeSigner:
    """A signer elsewhere, which answers in any shape and may cheat."""

    def __init__(self) -> None:
        self.account = LANE
        self.method = "eth_signTransaction"
        self.shape: Callable[[str], object] = lambda raw: {"raw": raw, "tx": {}}
        self.cheat: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.asked: list[str] = []
        self.url = ""

    async def serve(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        self.asked.append(call["method"])
        if call["method"] == self.method and not call["params"]:
            missing = {"code": -32602, "message": "missing value for required argument 0"}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": missing})
        if self.error is not None:
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": self.error})
        if call["method"] != self.method:
            missing = {"code": -32601, "message": f"the method {call['method']} does not exist/is not available"}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": missing})
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": self.shape(self.sign(call))})

    def sign(self, call: dict[str, Any]) -> str:
        fields = {name: value for name, value in call["params"][0].items() if name != "from"} | self.cheat
        kept = {name: value for name, value in fields.items() if value is not None}
        return "0x" + bytes(Keys.from_key(self.account.key).sign_transaction(kept).raw_transaction).hex()


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakeSigner]:
    fake = FakeSigner()
    app = web.Application()
    app.router.add_post("/", fake.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.mark.parametrize("unsigned", SHAPES)
@pytest.mark.parametrize("method", ["eth_signTransaction", "account_signTransaction"])
@pytest.mark.parametrize(
    "shape", [lambda raw: {"raw": raw, "tx": {"hash": "0x00"}}, lambda raw: raw], ids=["object", "hex"]
)
async def test_every_kind_of_remote_signer_signs(
    session: aiohttp.ClientSession,
    elsewhere: FakeSigner,
    key: LocalKey,
    unsigned: Unsigned,
    method: str,
    shape: Callable[[str], object],
) -> None:
    elsewhere.method, elsewhere.shape = method, shape
    signer = RemoteSigner(session, elsewhere.url, LANE.address.lower(), CHAIN_ID)
    assert signer.address == LANE.address
    assert await signer.sign(unsigned) == await key.sign(unsigned)


@pytest.mark.parametrize(
    ("cheat", "named"),
    [
        ({"nonce": 8}, "nonce"),
        ({"to": OTHER.address}, "to"),
        ({"value": 2}, "value_wei"),
        ({"data": "0x01"}, "data"),
        ({"gas": 50_000}, "gas"),
        ({"maxFeePerGas": 99 * GWEI}, "fee"),
        ({"maxPriorityFeePerGas": 0}, "fee"),
        ({"chainId": 1}, "chain_id"),
        ({"type": None, "maxFeePerGas": None, "maxPriorityFeePerGas": None, "gasPrice": 10 * GWEI}, "fee"),
        ({"accessList": [{"address": OTHER.address, "storageKeys": []}]}, "no"),
    ],
)
async def test_a_signer_that_changes_a_field_is_refused(
    session: aiohttp.ClientSession, elsewhere: FakeSigner, cheat: dict[str, Any], named: str
) -> None:
    elsewhere.cheat = cheat
    with pytest.raises(RailClosed, match=named):
        await RemoteSigner(session, elsewhere.url, LANE.address, CHAIN_ID).sign(payment(7))


async def test_a_signer_that_signs_for_somebody_else_is_refused(
    session: aiohttp.ClientSession, elsewhere: FakeSigner
) -> None:
    elsewhere.account = OTHER
    with pytest.raises(RailClosed, match=OTHER.address):
        await RemoteSigner(session, elsewhere.url, LANE.address, CHAIN_ID).sign(payment(7))


@pytest.mark.parametrize("junk", [None, 5, {}, {"raw": 5}, "0x", "0xzz", "0x02c0", "hello", {"raw": "0xf86c"}])
async def test_an_answer_that_is_no_transaction_is_refused(
    session: aiohttp.ClientSession, elsewhere: FakeSigner, junk: object
) -> None:
    elsewhere.shape = lambda _: junk
    with pytest.raises(RailClosed):
        await RemoteSigner(session, elsewhere.url, LANE.address, CHAIN_ID).sign(payment(7))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("authentication needed: password or unlock", RailClosed),
        ("unknown account", RailClosed),
        ("Request denied", RailClosed),
        ("database is locked", Retryable),
    ],
)
async def test_a_signer_that_refuses_says_why(
    session: aiohttp.ClientSession, elsewhere: FakeSigner, words: str, error: type[PayflowError]
) -> None:
    elsewhere.error = {"code": -32000, "message": words}
    with pytest.raises(error, match=words) as told:
        await RemoteSigner(session, elsewhere.url, LANE.address, CHAIN_ID).sign(payment(7))
    assert type(told.value) is error


async def test_a_node_without_signing_is_told_plainly(session: aiohttp.ClientSession, elsewhere: FakeSigner) -> None:
    elsewhere.method = "eth_somethingElse"
    with pytest.raises(BadSettings, match="no eth_signTransaction"):
        await remote(session, elsewhere.url, LANE.address, CHAIN_ID)
    with pytest.raises(RailClosed, match="no eth_signTransaction"):
        await RemoteSigner(session, elsewhere.url, LANE.address, CHAIN_ID).sign(payment(7))


async def test_a_transaction_of_another_chain_is_not_signed(
    session: aiohttp.ClientSession, elsewhere: FakeSigner
) -> None:
    with pytest.raises(RailClosed, match="chain 1 only"):
        await RemoteSigner(session, elsewhere.url, LANE.address, 1).sign(payment(7))
    assert elsewhere.asked == []


async def test_a_signer_that_is_down_does_not_stop_the_start(session: aiohttp.ClientSession) -> None:
    signer = await remote(session, f"http://127.0.0.1:{free_port()}", LANE.address, CHAIN_ID)
    with pytest.raises(Retryable):
        await signer.sign(payment(7))


async def test_a_signer_that_is_down_is_asked_later(session: aiohttp.ClientSession) -> None:
    signer = RemoteSigner(session, f"http://127.0.0.1:{free_port()}", LANE.address, CHAIN_ID)
    with pytest.raises(Retryable) as told:
        await signer.sign(payment(7))
    assert not isinstance(told.value, RailClosed)


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.RESET_AFTER, Kind.HTML_502, Kind.TRUNCATED, Kind.TOO_MANY])
async def test_a_signer_that_breaks_off_is_asked_later(
    session: aiohttp.ClientSession, proxy: ChainProxy, kind: Kind
) -> None:
    signer = RemoteSigner(session, proxy.url, LANE.address, CHAIN_ID, wait_s=0.3)
    proxy.fail(kind)
    with pytest.raises(Retryable) as told:
        await signer.sign(payment(7))
    assert not isinstance(told.value, RailClosed)
    assert (await signer.sign(payment(7))).raw.startswith("0x02")


async def test_an_unlocked_node_signs(session: aiohttp.ClientSession, chain: Anvil, key: LocalKey) -> None:
    signer = await remote(session, chain.url, LANE.address, CHAIN_ID)
    unsigned = payment(8)
    assert await signer.sign(unsigned) == await key.sign(unsigned)


async def test_a_node_that_lacks_the_account_is_noticed_at_opening(
    session: aiohttp.ClientSession, chain: Anvil
) -> None:
    foreign = Account(Address("0x" + "12" * 20), "")
    with pytest.raises(BadSettings, match="has no account"):
        await remote(session, chain.url, foreign.address, CHAIN_ID)


async def test_a_signers_password_is_not_shown(session: aiohttp.ClientSession) -> None:
    signer = RemoteSigner(session, f"http://payer:hunter2@127.0.0.1:{free_port()}/secret", LANE.address, CHAIN_ID)
    with pytest.raises(Retryable) as told:
        await signer.sign(payment(7))
    assert "hunter2" not in repr(signer) + str(told.value)
    assert "secret" not in repr(signer) + str(told.value)


@pytest.mark.parametrize("raw", [b"", b"\x02", b"\x02\xc0", b"\xc0", b"\x01\xc0", bytes(100)])
def test_bytes_that_are_no_transaction_are_not_decoded(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        decoded(raw)
