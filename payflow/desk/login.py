"""How a command line comes to act as somebody: it shows a code, and they compare it at our pages and say yes.

What it is given is a session of theirs: the same person, the same role, over when their token is.
"""

from dataclasses import dataclass

from machines.core.clock import SECOND, Millis
from machines.core.errors import NotAllowed, NotFound, TooSoon
from payflow.desk.person import STAFF, Caller, Person
from payflow.store.registers.logins import LASTS_S, PendingLogin, PendingLogins
from payflow.store.registers.tokens import LOGIN, Session, Sessions, Tokens, digest_of
from payflow.store.store import Store

LOGGED_IN_S = 8 * 3600
EVERY_S = 2
"""A command line that waits asks this often, and no oftener."""
ASKED_A_SECOND = 0.5
"""So many command lines of one address may begin to wait in a second."""
CODES_A_SECOND = 3.0
"""So many codes one person may try, and no more: there are 25 billion, and each is over after minutes."""

_OVER = (
    "No command line waits with this code: it was answered, or is older than ten minutes. Type `payflow login` again."
)


@dataclass(frozen=True, slots=True)
class LoginAsked:
    """What a command line is told when it begins to wait."""

    secret: str
    code: str
    within_s: int = LASTS_S


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a command line may show from now on."""

    secret: str
    who: str
    role: str
    until: Millis


async def ask_login(store: Store, account: str, address: str) -> LoginAsked:
    """Let a command line wait for somebody to say yes."""
    await _slow_down(store, f"login:{address}", ASKED_A_SECOND)
    login = PendingLogin(account, address, await store.records.now())
    return LoginAsked(*await PendingLogins(store.link).ask(login))


async def find_login(store: Store, code: str, caller: Caller) -> PendingLogin:
    """Find the command line that shows a code, before somebody says yes or no to it."""
    await _slow_down(store, f"login-code:{caller.name}", CODES_A_SECOND)
    found = await PendingLogins(store.link).coded(code)
    if found is None:
        raise NotFound(_OVER)
    return found


async def answer_login(store: Store, code: str, person: Person, session: Session | None) -> PendingLogin:
    """Say yes with one's session, or no, to a command line that shows a code."""
    if person.role not in STAFF:
        raise NotAllowed("Only somebody who works here signs a command line in.")
    await _slow_down(store, f"login-code:{person.name}", CODES_A_SECOND)
    act = "decline login" if session is None else "confirm login"
    found = await PendingLogins(store.link).coded(code)
    if found is None:
        raise NotFound(_OVER)
    async with store.audit.doing(person.name, act, found.account, f"asked for from {found.address}"):
        decided = await PendingLogins(store.link).decide(code, session)
        if decided is None:
            raise NotFound(_OVER)
        return decided


async def collect_login(store: Store, secret: str) -> LoggedIn | None:
    """Give a command line what it may show, once; None as long as nobody has said yes."""
    await _slow_down(store, f"login-poll:{digest_of(secret)}", 1 / EVERY_S * 2)
    login = await PendingLogins(store.link).collect(secret)
    if login is None:
        raise NotFound("Nobody waits with this: it is over after ten minutes. Type `payflow login` again.")
    if login.declined:
        raise NotAllowed("Who looked at the code said no: nothing was given out.")
    if login.session is None:
        return None
    token = await Tokens(store.link).signed_in(login.session)
    if token is None:
        raise NotAllowed("The token of who said yes was revoked meanwhile: nothing was given out.")
    shown = await Sessions(store.link, LOGIN).open(login.session, LOGGED_IN_S)
    until = Millis(await store.records.now() + LOGGED_IN_S * SECOND)
    return LoggedIn(shown, await store.persons.named(token.holder), token.role, until)


async def end_login(store: Store, secret: str) -> None:
    """Let what a command line shows open nothing any more."""
    await Sessions(store.link, LOGIN).close(secret)


async def _slow_down(store: Store, name: str, rate: float) -> None:
    granted, wait_ms = await store.records.rate_tokens(name, rate, 1)
    if not granted:
        raise TooSoon("That is too fast: wait a moment, then go on slower.", after_s=max(1, -(-wait_ms // SECOND)))
