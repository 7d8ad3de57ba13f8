"""Where money goes is kept encrypted, and keys can be changed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from cryptography.fernet import Fernet

from machines.core.errors import BadSettings, SealedForAnother, StoreUnfit
from machines.core.ports import Destination
from payflow.store.seals import Seals, key_of_folder, keys_given, new_key
from tests.desk import ANN, BOB, opened, settings_for
from tests.servers import Deployment

BANK = Destination("bank", (("bank_code", "044"), ("account_number", "0690000031")))


def test_what_is_sealed_shows_nothing_and_opens_to_the_same() -> None:
    seals = Seals([new_key()])
    sealed = seals.seal(BANK, ANN)
    assert "0690000031" not in sealed
    assert seals.open(sealed, ANN) == BANK


def test_what_is_sealed_for_one_opens_for_nobody_else() -> None:
    seals = Seals([new_key()])
    with pytest.raises(SealedForAnother, match="bob was sealed for ann"):
        seals.open(seals.seal(BANK, ANN), BOB)


def test_what_an_older_version_sealed_opens_as_before_and_an_older_version_opens_what_this_one_sealed() -> None:
    key = new_key()
    unbound = Fernet(key).encrypt(msgspec.msgpack.encode(BANK)).decode()
    assert Seals([key]).open(unbound, BOB) == BANK
    assert not Seals([key]).is_current(unbound, BOB)
    bound = Seals([key]).seal(BANK, BOB)
    assert msgspec.msgpack.decode(Fernet(key).decrypt(bound.encode()), type=Destination) == BANK
    assert Seals([key]).is_current(bound, BOB)


def test_contacts_of_one_person_open_for_nobody_else_and_an_older_version_reads_an_entry_that_it_can_leave() -> None:
    seals = Seals([new_key()])
    sealed = seals.seal_contacts(("mailto:ann@example.com", "tgram://1:A/9"), ANN)
    assert len(sealed) == 1
    assert "ann@" not in sealed[0]
    assert seals.contacts(sealed, ANN) == ("mailto:ann@example.com", "tgram://1:A/9")
    with pytest.raises(SealedForAnother):
        seals.contacts(sealed, BOB)
    assert seals.contacts(("mailto:ann@example.com",), ANN) == ("mailto:ann@example.com",)


def test_a_place_has_one_name_however_often_it_is_sealed() -> None:
    seals = Seals([new_key()])
    other_way_round = Destination("bank", tuple(reversed(BANK.fields)))
    assert seals.seal(BANK, ANN) != seals.seal(BANK, ANN)
    assert seals.place(BANK) == seals.place(seals.open(seals.seal(other_way_round, ANN), ANN))
    assert seals.place(BANK) != seals.place(Destination("mobile_money", BANK.fields))
    assert seals.place(BANK) != seals.place(Destination("bank", (*BANK.fields, ("branch", "1"))))


def test_an_old_key_behind_the_new_one_still_opens_and_prints_the_same() -> None:
    old, new = new_key(), new_key()
    before, after = Seals([old]), Seals(keys_given(f"{new}, {old}"))
    assert after.open(before.seal(BANK, ANN), ANN) == BANK
    assert after.fingerprint("a", "b") == before.fingerprint("a", "b")


def test_an_old_key_can_be_taken_out_once_fingerprints_have_a_key_of_their_own() -> None:
    old, new = new_key(), new_key()
    before = Seals([old])
    after = Seals([new], before.fingerprint_key)
    assert after.fingerprint("a", "b") == before.fingerprint("a", "b")
    assert after.place(BANK) == before.place(BANK)
    with pytest.raises(BadSettings, match="seal-key --fingerprints"):
        Seals([new], "short")


async def test_a_store_is_not_opened_with_keys_that_would_name_everything_anew(
    server: Deployment, tmp_path: Path
) -> None:
    old, new = new_key(), new_key()

    async def prints_of(keys: str, prints: str = "") -> str:
        given = {"PAYFLOW_SEAL_KEYS": keys, "PAYFLOW_FINGERPRINT_KEY": prints}
        async with opened(settings_for(server, tmp_path, **given)) as store:
            return store.seals.fingerprint_key

    prints = await prints_of(old)
    for keys, key in ((new, ""), (f"{old},{new}", ""), (new, "0" * 64)):
        with pytest.raises(StoreUnfit, match="PAYFLOW_FINGERPRINT_KEY"):
            await prints_of(keys, key)
    assert await prints_of(f"{new},{old}") == prints
    with pytest.raises(StoreUnfit, match="an older key may go only after `payflow reseal`"):
        await prints_of(new, prints)


def test_a_lost_key_is_said_with_what_to_do() -> None:
    with pytest.raises(BadSettings, match="add the old key behind the new"):
        Seals([new_key()]).open(Seals([new_key()]).seal(BANK, ANN), ANN)


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(BadSettings, match="payflow seal-key"):
        Seals([]).seal(BANK, ANN)


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(BadSettings, match="payflow seal-key"):
        Seals(["short"])


def test_all_who_come_at_once_find_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: key_of_folder(tmp_path), range(32)))
    assert len({key for (key,) in keys}) == 1
    assert (tmp_path / "seal.key").stat().st_mode & 0o777 == 0o600


def test_fingerprints_differ_with_the_text_and_with_the_key() -> None:
    one, other = Seals([new_key()]), Seals([new_key()])
    assert one.fingerprint("a", "b") != one.fingerprint("b", "a")
    assert one.fingerprint("a") != other.fingerprint("a")
