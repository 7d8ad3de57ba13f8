"""That a provider is verified, or which platform speaks for them: said by two where two operate, taken back by one.

Whoever is verified is paid without a person's yes up to the limits of the risk rules; who speaks for one says where
their money goes.
"""

from machines.core.ids import Owner
from payflow.desk.dual_control import DualControl, Verb, both
from payflow.desk.identity import takes_two
from payflow.desk.person import Person
from payflow.desk.providers import set_provider
from payflow.store.registers.profiles import Profile
from payflow.store.registers.proposals import Proposal
from payflow.store.store import Store

VERIFYING = "provider"


async def change_provider(
    two: DualControl, store: Store, owner: Owner, person: Person, reason: str, *,
    verified: bool | None, platform: str | None,
) -> Profile | Proposal:  # fmt: skip
    """Say it, or propose it where that takes two."""
    before = await store.profiles.read(owner)
    loosens = (verified and not (before.verified and before.checked_by_us)) or platform not in (None, before.platform)
    if loosens and await takes_two(store):
        seen = {"verified": {True: "yes", False: "no", None: ""}[verified]}
        seen |= {"platform": "" if platform is None else f"={platform}"}
        return await two.propose(VERIFYING, owner, seen, reason, person, version=before.version)
    return await set_provider(store, owner, person.name, verified=verified, platform=platform)


def verb(store: Store) -> Verb:
    """Give what a second person confirms."""

    def says(one: Proposal) -> list[str]:
        verified, platform = one.seen["verified"], one.seen["platform"]
        known = {"yes": "is verified: paid without a review as far as the risk rules let", "no": "is not verified"}
        lines = [f"{one.subject} {known[verified]}."] if verified else []
        if platform:
            lines.append(f"Who speaks for them, and says where their money goes: {platform[1:] or 'nobody'}.")
        return lines

    async def do(one: Proposal, second: Person) -> str:
        owner, verified, platform = Owner(one.subject), one.seen["verified"], one.seen["platform"]
        await set_provider(
            store, owner, both(one, second), verified=verified == "yes" if verified else None,
            platform=platform[1:] if platform else None, version=one.version,
        )  # fmt: skip
        return f"Done: what was proposed of {owner} is so."

    return Verb(VERIFYING, says, do)
