"""Who works here is one person under every name of theirs, and no name is two persons'."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from machines.core.clock import FixedClock, Millis
from machines.core.errors import BadInput, Conflict
from payflow.desk.reseal import reseal
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role
from payflow.store.seals import Seals, new_key
from payflow.store.store import Store, open_store
from tests.desk import settings_for
from tests.servers import Deployment

RITA = RegisteredPerson("Rita", frozenset({Role.REVIEWER}), "boss", Millis(5), {"NGN": 100}, ("rita-2025", "R.Ita"))


async def test_all_names_of_a_person_are_one_whatever_their_capitals(store: Store) -> None:
    written = await store.persons.write(RITA)
    assert written == replace(RITA, version=1)
    for name in ("Rita", "rita", " RITA ", "RITA-2025", "r.ita"):
        assert await store.persons.find(name) == written
        assert await store.persons.named(name) == "Rita"
        for other in ("rita", "rita-2025"):
            assert await store.persons.same(name, other)
    assert await store.persons.all() == [written]


async def test_names_that_nobody_registered_are_persons_of_their_own(store: Store) -> None:
    await store.persons.write(RITA)
    assert await store.persons.same("Eve", "EVE ")
    for other in ("eve", "ritaa", "rita2025", "", "person:rita", "name:rita"):
        assert not await store.persons.same("rita", other)
        assert await store.persons.find(other) is None


async def test_two_who_take_one_name_at_once_are_one_person_and_a_refusal(store: Store) -> None:
    wished = [replace(RITA, name=f"p{number}", aliases=("Both",)) for number in range(10)]
    made = await asyncio.gather(*map(store.persons.write, wished), return_exceptions=True)
    persons = [one for one in made if isinstance(one, RegisteredPerson)]
    assert len(persons) == 1
    assert all(isinstance(one, RegisteredPerson | Conflict) for one in made)
    assert await store.persons.find("both") == persons[0]
    assert await store.persons.all() == persons


async def test_a_person_who_was_disabled_meanwhile_is_not_let_in_again_by_another_change(store: Store) -> None:
    seen = await store.persons.write(RITA)
    await store.persons.write(replace(seen, disabled_by="olu", disabled_at=Millis(9)))
    with pytest.raises(Conflict, match="somebody else meanwhile"):
        await store.persons.write(replace(seen, limits={}))
    with pytest.raises(Conflict):
        await store.persons.write(RITA)
    found = await store.persons.find("rita")
    assert found is not None
    assert found.disabled_at == 9


async def test_a_name_that_was_led_elsewhere_by_hand_makes_nobody_somebody_else(store: Store) -> None:
    await store.persons.write(RITA)
    await store.persons.write(replace(RITA, name="Eve", aliases=()))
    await store.link.ask("HSET", "pf:persons", "name:mallory", "eve", "name:rita-2025", "eve")
    assert not await store.persons.same("mallory", "eve")
    assert await store.persons.find("mallory") is None
    assert not await store.persons.same("rita-2025", "eve")


async def test_contacts_are_not_in_the_store_in_clear(store: Store) -> None:
    written = await store.persons.write(store.persons.with_contacts(RITA, ["mailto:rita@example.com"]))
    assert store.persons.contacts(written) == ("mailto:rita@example.com",)
    assert b"example.com" not in b"".join((await store.link.ask("HGETALL", "pf:persons")).values())
    assert store.persons.contacts(store.persons.with_contacts(written, [])) == ()


async def test_contacts_are_sealed_anew_so_that_an_old_key_can_go(
    server: Deployment, tmp_path: Path, clock: FixedClock
) -> None:
    old, new = new_key(), new_key()
    prints = Seals([old]).fingerprint_key
    for given in (old, f"{new},{old}", new):
        settings = settings_for(server, tmp_path, PAYFLOW_SEAL_KEYS=given, PAYFLOW_FINGERPRINT_KEY=prints)
        async with open_store(settings, clock=clock) as store:
            if given == old:
                await store.persons.write(store.persons.with_contacts(RITA, ["mailto:rita@example.com"]))
            rita = await store.persons.find("rita")
            assert rita is not None
            assert store.persons.contacts(rita) == ("mailto:rita@example.com",)
            assert (await reseal(store, "boss")).renewed == (given == f"{new},{old}")


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RITA, name="a b"),
        replace(RITA, name="shell:root"),
        replace(RITA, aliases=("",)),
        replace(RITA, aliases=tuple(f"a{number}" for number in range(21))),
        replace(RITA, roles=frozenset()),
    ],
)
async def test_what_is_no_person_is_refused(store: Store, wrong: RegisteredPerson) -> None:
    with pytest.raises(BadInput):
        await store.persons.write(wrong)
