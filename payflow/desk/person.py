"""Who asks for an act: the holder of a token, or an account of a shell; and how they prove it."""

import os
import pwd
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from machines.core.errors import BadInput, Conflict, NotAllowed
from machines.core.forge import ForgeAccount
from machines.core.ids import Owner, called, folded
from machines.core.money import Money
from payflow.store.registers.audit import REFUSED
from payflow.store.registers.subjects import KnownSubjects
from payflow.store.registers.tokens import UNSCOPED, ApiToken, Role, Tokens, TokenScope, digest_of, sign_in_name
from payflow.store.store import Store

STAFF = frozenset({Role.REVIEWER, Role.OPERATOR, Role.VIEWER})
OPERATES = frozenset({Role.OPERATOR})
REVIEWS = frozenset({Role.REVIEWER})
PROVIDERS = frozenset({Role.PROVIDER})
ASKS = PROVIDERS | {Role.PLATFORM}
LOOKS = ASKS | STAFF

NOBODY = "nobody known"
REFUSED_A_SECOND = 1 / 3600
"""So many refused sign-ins the audit log takes, over all processes: it is kept for ever, and anybody may knock."""

MAY_MOST = (Role.OPERATOR, Role.REVIEWER, Role.VIEWER)
"""In this order somebody is what they may be, until they say otherwise."""
A_ROLE = {role: f"{'an' if role is Role.OPERATOR else 'a'} {role}" for role in Role}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks for an act."""

    name: str
    """What the history calls them: the name of the person whose token it is, or `shell:account@host`."""
    role: Role | None
    """What their token is for; None for a shell, which is nobody where two are needed."""
    made_by: str = ""
    """Who made their token."""
    scope: TokenScope = UNSCOPED
    """What they may less than their role: by the limits of the person, and by their token."""
    token: str = ""
    """The name of the token that they showed."""

    def refuse_above(self, amount: Money | None) -> None:
        """Raise where an amount is more than they may approve, confirm, ask for or credit at once."""
        most = None if amount is None else self.scope.most.get(amount.asset.code)
        if amount is not None and most is not None and amount.units > most:
            raise NotAllowed(
                f"{self.name} may do this with {Money(most, amount.asset)} at most, and it is about {amount}: somebody "
                "with a higher limit may."
            )

    def refuse_without_key(self, key: str) -> None:
        """Raise where their token moves money only under a key, and none was sent."""
        if self.scope.keyed and not key:
            raise BadInput(
                "Send an Idempotency-Key with whatever moves money, a new one for each payout and the same one for a "
                "repeat: without it a repeat after a time-out would be a second payout. `payflow token create "
                "--without-keys` makes a token for a client that cannot."
            )

    def refuse_unless(self, roles: Collection[Role]) -> None:
        """Raise unless their token has one of the roles; what takes an operator a shell may do as well."""
        if self.role in roles or (self.role is None and Role.OPERATOR in roles):
            return
        needed = " or ".join(A_ROLE[role] for role in sorted(roles))
        if self.role is None:
            raise NotAllowed(
                f"This takes the token of {needed}, and a shell without one is nobody here: `payflow login`, "
                f"or set PAYFLOW_TOKEN, or PAYFLOW_TOKEN_FILE to a file that holds it. `payflow token ls` lists who "
                "has one."
            )
        raise NotAllowed(f"This takes the token of {needed}; the one shown, {self.name}, is {A_ROLE[self.role]}'s.")


def because(reason: str, asks: str = "Say why: it is kept for whoever asks later.") -> str:
    """Take a reason, or ask for one."""
    if not reason.strip():
        raise BadInput(asks)
    return reason.strip()


def shell() -> Person:
    """Tell who types without a token: the account that this process runs under, whatever the environment says."""
    number = os.getuid()
    try:
        account = pwd.getpwuid(number).pw_name
    except KeyError:
        account = str(number)
    return Person(f"shell:{account}@{socket.gethostname()}"[:64], None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking."""

    name: str
    role: Role
    of: str
    """The provider or platform that they speak for; empty for staff."""
    made_by: str = ""
    """Who made their token."""
    scope: TokenScope = UNSCOPED
    token: str = ""
    """The name of the token that they showed."""

    @property
    def person(self) -> Person:
        """Who asks, where an act asks for more than a name."""
        return Person(self.who, self.role, self.made_by, self.scope, self.token)

    @property
    def who(self) -> str:
        """What the history calls them: a provider by the name of their account, whichever of their tokens they show."""
        return self.of if self.role is Role.PROVIDER else self.name

    @property
    def owner(self) -> Owner | None:
        """The only owner whose records they may see; None where more than one comes into question."""
        return Owner(self.of) if self.role is Role.PROVIDER else None

    def calls(self, owner: Owner) -> str:
        """Say what they call an owner: who works here by the whole name, which tells whose it is."""
        return owner if self.role in STAFF else called(owner)


async def roles_of(store: Store, name: str) -> tuple[Role, ...]:
    """Say what a person may be who comes without a token, first what they are then; nothing for nobody registered.

    Where groups of the identity provider give roles, whom it knows is nothing that their groups did not say last.
    """
    person = await store.persons.find(name)
    if person is None or person.disabled_at is not None:
        return ()
    may, settings = person.roles, store.settings
    if settings.oidc_roles:
        known = [one for one in await KnownSubjects(store.link).all() if one.issuer == settings.oidc_issuer]
        theirs = [one for one in known if folded(one.person) == folded(person.name)]
        may &= frozenset(max(theirs, key=lambda one: one.last_at).roles) if theirs else may
    return tuple(role for role in MAY_MOST if role in may)


async def refuse_who_may_no_more(store: Store, person: Person) -> None:
    """Raise where somebody who came in before was shut out since, or is no longer what they came in as."""
    if person.role not in STAFF:
        return  # a shell, or whoever is nobody's staff
    known = await store.persons.find(person.name)
    if person.token and (await Tokens(store.link).last(person.token))[1] is None:
        raise NotAllowed(f"The token {person.token} was revoked meanwhile: nothing more is done.")
    if known is None:
        return  # their token is all that they are
    if known.disabled_at is not None:
        raise NotAllowed(f"{person.name} was disabled meanwhile, by {known.disabled_by}: nothing more is done.")
    if person.role not in (known.roles if person.token else await roles_of(store, person.name)):
        raise NotAllowed(f"{person.name} is no {person.role} any more: nothing more is done.")


async def identified(store: Store, token: ApiToken | None, address: str = "") -> Caller | None:
    """Tell who shows a token, from an address; None where it opens nothing, because the person may not work here.

    Everybody who comes in with a token comes in by this: what the register of persons says counts at once.
    """
    if token is None:
        return None
    name, scope = token.name, token.scope
    if token.role in STAFF:
        person = await store.persons.find(token.holder)
        if person is None and token.person:
            return None
        if person is not None:
            if person.disabled_at is not None or token.role not in person.roles:
                return None
            limits = [person.limits, scope.most]
            most = {code: min(one[code] for one in limits if code in one) for one in limits for code in one}
            name, scope = person.name, replace(scope, most=most)
    if not scope.admits(address):
        raise NotAllowed(
            f"The token {token.name} opens nothing from here: it is for callers in {', '.join(scope.networks)}, "
            "and a command line is in no network."
        )
    return Caller(name, token.role, token.of, token.made_by, scope, token.name)


def refuse_reading_only(scope: TokenScope) -> None:
    """Raise where a token only looks."""
    if scope.reads_only:
        raise NotAllowed("The token that was shown only reads: to change anything, show another one.")


async def alone_made(store: Store, maker: str, name: str, made_by: str = "") -> bool:
    """Whether one person alone made another's token, or the other one: then they are no two where two are needed."""
    person = await store.persons.find(name)
    makers = [one for one in (made_by, person.made_by if person else "") if one]
    return any([await store.persons.same(one, maker) for one in makers])


async def refuse_who_spoke(store: Store, by: Person, asked: Iterable[str], approved: Iterable[str], about: str) -> None:
    """Raise where somebody asked for something, or approved it already, under another of their names.

    Under the same name the record itself knows them. Nor do two approve of whom one alone made the other.
    """
    others = [one for one in approved if folded(one) != folded(by.name)]
    for earlier in (*map(called, asked), *others):
        if folded(earlier) != folded(by.name) and await store.persons.same(by.name, earlier):
            raise BadInput(
                f"{by.name} is the same person as {earlier}, who spoke on {about} already: another one must."
            )
    for earlier in others:
        if await alone_made(store, earlier, by.name, by.made_by) or await alone_made(store, by.name, earlier):
            raise BadInput(f"Of {by.name} and {earlier}, who approved {about}, one made the other: another one must.")


# ── signing in ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def token_of_account(store: Store, account: ForgeAccount) -> str:
    """Give the hash of the token that an account has here, made when it first comes; nobody ever sees it."""
    of, tokens = f"github:{account.id}", Tokens(store.link)
    name = sign_in_name(of)
    if await tokens.locked_out(of):
        raise NotAllowed(
            f"{account.login} was locked out: the token {name} was revoked. An operator lets the account in again with "
            f"`payflow token create {name} --role provider --owner {of}`."
        )
    try:
        return digest_of(await tokens.create(name, Role.PROVIDER, of, "GitHub sign-in"))
    except Conflict:
        digest = await tokens.digest_in_use(name)
    token = await tokens.known(digest)
    if token is None or (token.role, token.of) != (Role.PROVIDER, of):
        raise NotAllowed(f"The token {name} is not of this account: an operator revokes it first.")
    return digest


async def note_sign_in(store: Store, who: str, place: str, address: str, how: str = "") -> None:
    """Write down that somebody came in where people work."""
    await store.audit.note(who, "sign in", place, f"from {address}, {how}" if how else f"from {address}")


async def note_refused_sign_in(store: Store, place: str, why: str) -> None:
    """Write down that somebody was not let in where people work; of a flood only some."""
    granted, _ = await store.records.rate_tokens("refused-sign-ins", REFUSED_A_SECOND, 1)
    if granted:
        await store.audit.note(NOBODY, REFUSED, place, f"sign in: {why}")
