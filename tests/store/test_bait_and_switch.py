"""Each act that takes two is bound to what was seen: when what is behind it changes, the second yes does nothing.

The table names every act that there is; one that is new, and not in it, fails.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from machines.core.errors import Conflict, NotAllowed
from machines.core.facts import LostSight
from payflow.desk.books import CORRECTION
from payflow.desk.identity import (
    ONE_PERSON,
    PERSON,
    TOKEN,
    PersonChange,
    TokenWish,
    change_person,
    disable_person,
    make_token,
    propose_one_person,
)
from payflow.desk.lane_steering import ADOPTING, CANCELLING, TRUSTING
from payflow.desk.permits import ADOPTION
from payflow.desk.person import Person
from payflow.desk.pool import not_a_payment
from payflow.desk.pool.not_a_payment import NO_PAYMENT
from payflow.desk.providers import change
from payflow.desk.reconcile.repairs import POSTING
from payflow.desk.steering import OVERRIDING, RESUMING, Steering
from payflow.desk.verification import VERIFYING, change_provider
from payflow.store import keys
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.proposals import Proposal
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from tests.desk import ANN, ask, fund, tell
from tests.errand import Approved, Sent

OLU, OTTO = (Person(name, Role.OPERATOR, "shell:root@host") for name in ("olu", "otto"))


class Pools:
    """The books of a pool, in which somebody asks about a transaction until it is settled otherwise."""

    coins = ("etc",)

    def __init__(self) -> None:
        self.asked = True

    async def disown(self, coin: str, login: str, tx: str, who: str) -> str:
        if not self.asked:
            raise Conflict("Nobody asks about it any more.")
        return "done"


@dataclass
class Scene:
    """Where an act is proposed, and what it is about is changed meanwhile."""

    store: Store
    steering: Steering
    pools: Pools

    async def sending(self) -> Any:  # noqa: ANN401  (an id of the sample machine)
        await fund(self.store)
        record_id = await ask(self.store)
        for fact in (Approved(), Sent()):
            await tell(self.store, record_id, fact)
        return record_id

    # ── what is proposed, and gives what changes it ──────────────────────────────────────────────────────────────────

    async def override(self) -> tuple[Proposal, Awaitable[object]]:
        record_id = await self.sending()
        version = (await self.store.records.read(record_id)).record.version
        made = await self.steering.propose_override(record_id, "CANCELLED", "night", OLU, version)
        return made, tell(self.store, record_id, LostSight("no answer"))

    async def correction(self) -> tuple[Proposal, Awaitable[object]]:
        await fund(self.store)
        place = f"{keys.prefix(self.store.records.owner_shard(ANN))}acct:{ANN}"
        await self.store.link.ask("HSET", place, "NGN.available", "5")
        made = await self.steering.propose_correction(ANN, "NGN", "journal", "it was edited", OLU)
        return made, self.store.link.ask("HSET", place, "NGN.available", "6")

    async def adoption(self) -> tuple[Proposal, Awaitable[object]]:
        record_id = await self.sending()
        await self.store.link.ask("HDEL", keys.record(record_id), "mac")
        made = await self.steering.propose_adoption("all", "they are ours", OLU)
        return made, self.store.link.ask("HSET", keys.record(record_id), "units", "999")

    async def person(self) -> tuple[Proposal, Awaitable[object]]:
        await self._rita()
        made = await change_person(self.store, "rita", PersonChange(aliases=["r"]), OLU, "older token")
        assert isinstance(made, Proposal)
        return made, disable_person(self.store, "rita", "left", OTTO)

    async def token(self) -> tuple[Proposal, Awaitable[object]]:
        await self._rita()
        made = await make_token(self.store, TokenWish("phone", Role.REVIEWER, person="rita"), OLU, "new phone")
        assert made.proposal is not None
        return made.proposal, disable_person(self.store, "rita", "left", OTTO)

    async def _rita(self) -> None:
        now = await self.store.records.now()
        await self.store.persons.write(RegisteredPerson("rita", frozenset({Role.REVIEWER}), "shell:root@host", now))

    async def one_person(self) -> tuple[Proposal, Awaitable[object]]:
        made = await propose_one_person(self.store, "otto leaves", OLU)

        async def on_and_off() -> None:
            for on in (True, False):
                found, now = await self.store.alone.read(), await self.store.records.now()
                await self.store.alone.write(replace(found, on=on, since=now), {}, (), now)

        return made, on_and_off()

    async def resume(self) -> tuple[Proposal, Awaitable[object]]:
        pauses, now = self.store.pauses, await self.store.records.now()
        await pauses.pause("machine:errand", "payflow", "the rail says that it was paid twice", now)
        assert "Nothing has changed yet" in await self.steering.resume("machine:errand", OLU, "it is the same one")
        (made,) = await self.steering.two.waiting()

        async def another() -> None:
            await pauses.resume("machine:errand")
            await pauses.pause("machine:errand", "payflow", "the books are false", now)

        return made, another()

    async def provider(self) -> tuple[Proposal, Awaitable[object]]:
        made = await change_provider(
            self.steering.two, self.store, ANN, OLU, "seen her passport", verified=True, platform=None
        )
        assert isinstance(made, Proposal)
        return made, change(self.store, ANN, lambda before: replace(before, notify=("mailto:a@example.com",)))

    async def no_payment(self) -> tuple[Proposal, Awaitable[object]]:
        stray: Any = SimpleNamespace(login="0xminer", seen=SimpleNamespace(hash="0x" + "ab" * 32, value_wei=10**9))
        made = await not_a_payment.propose(self.steering.two, "etc", stray, "a refund", OLU)

        async def settled() -> None:
            self.pools.asked = False

        return made, settled()


SCENES: Mapping[str, Callable[[Scene], Awaitable[tuple[Proposal, Awaitable[object]]]]] = {
    OVERRIDING: Scene.override, CORRECTION: Scene.correction, ADOPTION: Scene.adoption, PERSON: Scene.person,
    RESUMING: Scene.resume, VERIFYING: Scene.provider, TOKEN: Scene.token, ONE_PERSON: Scene.one_person,
    NO_PAYMENT: Scene.no_payment,
}  # fmt: skip
# A node's word is let count for some hours: it is seen by its name, and no record or row stands behind it.
WITHOUT_A_ROW = {TRUSTING}
# Those about a lane are in chains/test_two_for_lanes.py.
OF_LANES = {CANCELLING, ADOPTING}
# What is posted for a finding is in stories/test_findings_by_hand.py.
OF_FINDINGS = {POSTING}


@pytest.fixture
async def scene(store: Store) -> Scene:
    """Two who operate, of whom neither made the other."""
    for name in ("olu", "otto"):
        await Tokens(store.link).create(name, Role.OPERATOR, "", "shell:root@host")
    pools = Pools()
    return Scene(store, Steering(store, Metrics(), [not_a_payment.verb(pools)]), pools)


async def test_every_act_that_takes_two_is_in_the_table(scene: Scene) -> None:
    assert set(scene.steering.two.kinds) == set(SCENES) | WITHOUT_A_ROW | OF_LANES | OF_FINDINGS


@pytest.mark.parametrize("kind", sorted(SCENES))
async def test_what_was_changed_after_it_was_proposed_is_not_done(scene: Scene, kind: str) -> None:
    proposal, change = await SCENES[kind](scene)
    assert proposal.kind == kind
    await change
    with pytest.raises((Conflict, NotAllowed)):
        await scene.steering.two.confirm(proposal.digest, OTTO)


@pytest.mark.parametrize("kind", sorted(SCENES))
async def test_what_stayed_as_it_was_seen_is_done_and_under_no_other_hash(scene: Scene, kind: str) -> None:
    proposal, change = await SCENES[kind](scene)
    for other in ("0" * 32, proposal.digest[:-1], replace(proposal, reason="swapped").digest):
        with pytest.raises(Conflict):
            await scene.steering.two.confirm(other, OTTO)
    for name, value in proposal.seen.items():
        swapped = replace(proposal, seen={**proposal.seen, name: f"{value} and more"})
        assert swapped.digest != proposal.digest, name
    assert await scene.steering.two.confirm(proposal.digest, OTTO)
    if hasattr(change, "close"):
        change.close()


async def test_what_stops_or_doubts_takes_one_and_so_does_what_a_person_stopped(scene: Scene) -> None:
    store, steering = scene.store, scene.steering
    await steering.pause("machine:errand", "olu", "lunch")
    assert await steering.resume("machine:errand", OTTO, "after lunch")
    assert "machine:errand" not in await store.pauses.all()
    await change(store, ANN, lambda before: replace(before, verified=True))
    done = await change_provider(steering.two, store, ANN, OLU, "", verified=False, platform=None)
    assert (isinstance(done, Proposal), (await store.profiles.read(ANN)).verified) == (False, False)
    # A contradiction is no shell's to judge, nor one person's.
    await store.pauses.pause("machine:errand", "the books", "the books are false", await store.records.now())
    with pytest.raises(NotAllowed, match="nobody here"):
        await steering.resume("machine:errand", Person("shell:root@host", None), "they are fine")
    await steering.resume("machine:errand", OLU, "they are fine")
    (made,) = await steering.two.waiting()
    with pytest.raises(NotAllowed, match="another one"):
        await steering.two.confirm(made.digest, OLU)
    assert "machine:errand" in await store.pauses.all()
