"""The key of a lane is opened where workers run, and nowhere else: neither by the API alone nor by a command."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from adapters.ethereum.signers import KeylessSigner, keystore_address
from adapters.ethereum.signers import keystore as open_keystore
from machines.core.chain import NO_DATA, GasFee, Unsigned
from machines.core.errors import BadSettings, NotAllowed
from payflow.app.installation import assemble, opened
from payflow.cli.terminal import Terminal
from payflow.config import Settings, load
from tests.chain import LANE, OTHER
from tests.cli.processes import running, typed
from tests.cli.till import Till

NODE = "http://127.0.0.1:9"


def lanes(**more: object) -> str:
    """A lane whose node does not answer."""
    return json.dumps({"ethereum": {"rpc": [NODE], "chain_id": 31337, **more}})


def keystore(folder: Path) -> dict[str, str]:
    """An encrypted key, and its password."""
    (folder / "lane.json").write_text(
        json.dumps(Account.encrypt(bytes.fromhex(LANE.key.removeprefix("0x")), "hush", iterations=1))
    )
    (folder / "password").write_text("hush")
    for name in ("lane.json", "password"):
        (folder / name).chmod(0o600)
    return {"keystore": str(folder / "lane.json"), "password_file": str(folder / "password")}


async def test_the_api_runs_and_commands_work_where_the_key_cannot_be_read_and_a_worker_does_not_start(
    tmp_path: Path,
) -> None:
    """As on a machine that has none of the keys."""
    gone = {"keystore": str(tmp_path / "nowhere"), "password_file": str(tmp_path / "nowhere"), "address": LANE.address}
    settings = {"PAYFLOW_LANES": lanes(**gone)}
    async with running(tmp_path, "serve", module="payflow", ENABLE_WORKERS="false", **settings) as api:
        assert (await api.get("/readyz"))[0] == 200
        for words in (("token", "ls"), ("lane", "show", "ethereum")):
            code, _, err = await typed(tmp_path, *words, module="payflow", **settings)
            assert code in (0, 1), err
            assert "cannot be read" not in err
        # Also where it shares a file of settings with the API.
        code, _, err = await typed(tmp_path, "worker", module="payflow", ENABLE_WORKERS="false", **settings)
        assert (code, f"The keystore file {tmp_path}/nowhere cannot be read" in err) == (2, True)


async def test_what_a_command_opens_can_sign_nothing(settings: Settings, tmp_path: Path) -> None:
    """From where it sends the keystore says itself, without its password."""
    given = settings.model_dump() | {"lanes": json.loads(lanes(**keystore(tmp_path)))}
    changed = load({}, **given)
    terminal = Terminal(lambda: changed, assemble, as_json=True)
    async with terminal.open(make=True) as payflow:
        assert payflow.parts.lanes is not None
        signer = payflow.parts.lanes.lanes["ethereum"].signer
        assert (type(signer), signer.address) == (KeylessSigner, LANE.address)
        with pytest.raises(NotAllowed, match="This process runs no workers"):
            await signer.sign(Unsigned(31337, 0, signer.address, 0, NO_DATA, 21_000, GasFee(1)))
    async with opened(changed) as payflow:  # as where workers run
        assert payflow.parts.lanes is not None
        assert not isinstance(payflow.parts.lanes.lanes["ethereum"].signer, KeylessSigner)


async def test_an_address_that_nothing_but_the_key_tells_is_asked_for(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text(LANE.key)
    given = settings.model_dump() | {"enable_workers": False}
    for hidden in ({"key_file": str(tmp_path / "raw")}, {"keystore": str(tmp_path / "raw"), "password_file": "x"}):
        made = load({}, **given | {"lanes": json.loads(lanes(**hidden))})
        with pytest.raises(BadSettings, match="The lane ethereum needs its `address` in PAYFLOW_LANES: only workers"):
            async with opened(made):
                pass
        known = load({}, **given | {"lanes": json.loads(lanes(**hidden, address=OTHER.address))})
        async with opened(known) as payflow:
            assert payflow.parts.lanes is not None
            assert payflow.parts.lanes.lanes["ethereum"].signer.address == OTHER.address


async def test_a_raw_key_is_opened_only_where_nothing_of_worth_is_at_stake(settings: Settings, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text(LANE.key)
    given = settings.model_dump() | {"lanes": json.loads(lanes(key_file=str(raw)))}
    with pytest.raises(BadSettings) as refused:
        async with opened(load({}, **given)):
            pass
    assert "whoever reads" in str(refused.value)
    assert "`payflow lane encrypt`" in str(refused.value)
    async with opened(load({}, **given | {"development": True})) as payflow:
        assert payflow.parts.lanes is not None
        assert payflow.parts.lanes.lanes["ethereum"].signer.address == LANE.address


def test_the_keystore_that_takes_a_raw_keys_place_opens_with_its_password_alone(till: Till, tmp_path: Path) -> None:
    """And shows the raw key nowhere."""
    raw, password, kept = tmp_path / "raw", tmp_path / "password", tmp_path / "lane.json"
    for file, text in ((raw, LANE.key), (password, "correct horse\n")):
        file.write_text(text)
        file.chmod(0o600)
    made = till("lane", "encrypt", str(raw), "--password-file", str(password)).out
    kept.write_text(made)
    kept.chmod(0o600)
    assert LANE.key[2:] not in made
    assert open_keystore(kept, password).address == keystore_address(kept) == LANE.address
    password.write_text("")
    refused = till("lane", "encrypt", str(raw), "--password-file", str(password))
    assert (refused.code, f"There is no password in {password}." in refused.err) == (2, True)


def test_the_doctor_finds_keys_that_lie_in_the_open(
    till: Till, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_text(LANE.key)
    (tmp_path / "raw").chmod(0o600)
    monkeypatch.setenv("PAYFLOW_LANES", lanes(key_file=str(tmp_path / "raw"), address=LANE.address))

    def found(code: int) -> tuple[str, str]:
        (one,) = [one for one in till.json("doctor", code=code)["checks"] if one["name"] == "lane keys"]
        return one["level"], one["finding"]

    assert found(3) == ("fail", "Unencrypted: ethereum. `payflow lane encrypt` makes a keystore of a raw key.")
    monkeypatch.setenv("PAYFLOW_DEVELOPMENT", "true")
    assert found(0)[0] == "warn"
