"""What takes two people, done at a terminal while no service runs: both show their own tokens, and all hear of it.

It goes the way of every act that takes two, and differs in this: that it is written down outside the store and told
before anything is done, and that it stands on the pages until somebody who operates has looked at it.
"""

from collections.abc import Awaitable, Callable, Sequence

from machines.core.clock import Millis
from machines.core.errors import BadInput, NotAllowed, NotFound, NotPossible
from payflow.desk.dual_control import everybodys_contacts, whoever_acts_alone
from payflow.desk.person import OPERATES, REVIEWS, Person, because
from payflow.desk.readiness import that_runs
from payflow.store.registers.alone import MOST_BROKEN, GlassBroken
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store

ACT = "break glass"
SUBJECT = "what the pages are for"

MOST_CHARS = 300

Tell = Callable[[Sequence[str], str, str], Awaitable[Sequence[str]]]
"""Sends a subject and a text to contacts, and names the kinds of those that did not take it."""


async def begin(
    store: Store, first: Person, second: Person | None, what: str, reason: str, reviewers: Sequence[str], tell: Tell
) -> list[str]:
    """Write down and tell that people act without the service, before they do; say who could not be told.

    Raises where a service runs, where they are no two, and where it cannot be written down outside the store.
    """
    why = because(reason)
    runs = await that_runs(store)
    if runs:
        raise NotPossible(
            f"{runs[0].upper()}{runs[1:]}: use its pages, or stop it first. This is for when no service answers."
        )
    await _refuse_fewer(store, first, second)
    if len(await store.glass.all()) >= MOST_BROKEN:
        raise NotPossible(
            f"{MOST_BROKEN} acts like this wait to be looked at: another operator signs them off on *Proposals* first."
        )
    who = f"{first.name} and {second.name}" if second else f"{first.name}, alone"
    await store.audit.note(who, ACT, SUBJECT, f"{what}: {why}")
    await store.audit.anchor()
    contacts = list(dict.fromkeys([*await everybodys_contacts(store), *reviewers]))
    failed = await tell(contacts, f"{who} act without the service", f"{who} do at a terminal: {what}\nWhy: {why}")
    await store.glass.add(GlassBroken(await store.records.now(), who, what, why))
    if not contacts:
        return ["Nobody has a contact, so nobody was told: it is written down outside the store alone."]
    return [f"A contact did not take the message: {kind}." for kind in failed]


async def _refuse_fewer(store: Store, first: Person, second: Person | None) -> None:
    for one in (first, *([second] if second else [])):
        if one.role is None:
            raise NotAllowed("A shell without a token is nobody here: name the file of each operator's own token.")
        one.refuse_unless(OPERATES if one is first else OPERATES | REVIEWS)
    if second is None:
        if not (await store.alone.read()).on:
            raise NotAllowed("This takes two operators: name the file of the second one's token with --second.")
    elif await store.persons.same(first.name, second.name):
        raise NotAllowed(f"{first.name} and {second.name} are one person: the second one must be another.")


async def sign_off(store: Store, at: Millis, by: Person) -> GlassBroken:
    """Say that what was done without the service was looked at: by somebody who did not do it, where there is one."""
    by.refuse_unless(OPERATES)
    found = next((one for one in await store.glass.all() if one.at == at), None)
    if found is None:
        raise NotFound("That was signed off already.")
    if by.role is None:
        raise NotAllowed("A shell without a token signs nothing off.")
    if await _did(store, found, by.name) and await _others_operate(store, found):
        raise NotAllowed(f"{by.name} did it: another operator looks at it and signs it off.")
    async with store.audit.doing(by.name, "sign off", ACT, f"{found.who}: {found.what}"):
        await store.glass.sign_off(at, await store.records.now())
    return found


async def _did(store: Store, one: GlassBroken, name: str) -> bool:
    """Tell whether somebody is one of those who did it, by whatever name of theirs."""
    return any([await store.persons.same(each, name) for each in whoever_acts_alone(one.who).split(" and ")])


async def _others_operate(store: Store, one: GlassBroken) -> bool:
    """Tell whether anybody operates who did not do it: registered and not disabled, or by a token of nobody's."""
    registered = await store.persons.all()
    names = [person.name for person in registered if Role.OPERATOR in person.roles and person.disabled_at is None]
    theirs = [one for one in await Tokens(store.link).in_use() if one.role is Role.OPERATOR and not one.person]
    names += [token.name for token in theirs if await store.persons.find(token.name) is None]
    return any([not await _did(store, one, name) for name in names])


def words_of(words: Sequence[str]) -> str:
    """Write the command that is to be done, for whoever reads of it."""
    if not words or words[0] in ("serve", "worker", "sandbox", "break-glass"):
        raise BadInput("Write the command that takes two after --, such as: -- override ID CANCELLED --reason WHY.")
    said = " ".join(words)
    if len(said) > MOST_CHARS:
        raise BadInput(f"That is longer than the {MOST_CHARS} characters which all are told of: give a shorter reason.")
    return said
