"""The tokens of the sandbox's people: made once, kept in a file, and made anew where they open nothing any more."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters.sandbox.github.town import Town
from payflow.desk.identity import make_sign_in_link
from payflow.desk.person import STAFF, identified
from payflow.desk.providers import claim
from payflow.sandbox import home
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.store import Store

SHOP = "shop"
PEOPLE: tuple[tuple[str, Role, str], ...] = (
    ("shop", Role.PLATFORM, SHOP),
    ("ann", Role.PROVIDER, "ann"),
    ("bayo", Role.PROVIDER, "bayo"),
    ("chioma", Role.PROVIDER, "chioma"),
    ("rita", Role.REVIEWER, ""),
    ("rob", Role.REVIEWER, ""),
    ("olu", Role.OPERATOR, ""),
    ("olga", Role.OPERATOR, ""),
    ("vic", Role.VIEWER, ""),
)
"""Who holds a token: name, role, and the platform or provider that it is bound to."""

MAINTAINER, WINNER = "mia", "gus"
AT_GITHUB = (MAINTAINER, WINNER)

Holders = Sequence[tuple[str, Role, str]]


def holders(town: Town) -> Holders:
    """List who holds a token, those with an account at GitHub included."""
    return [*PEOPLE, *((name, Role.PROVIDER, f"github:{town.person(name).id}") for name in AT_GITHUB)]


async def tokens(store: Store, path: Path, town: Town, more: Mapping[str, str]) -> dict[str, str]:
    """Read the tokens, or make them; the file is for shells, and has `more` in it too."""
    wanted = [(name, role, await _bound(store, role, of)) for name, role, of in holders(town)]
    issued = Tokens(store.link)
    found = await _valid(issued, home.read_lines(path), wanted) or await _made(issued, wanted)
    home.write_lines(path, {**found, **more})
    return found


async def _bound(store: Store, role: Role, of: str) -> str:
    """Say what a token is bound to: a provider is whoever the shop calls so, but for accounts at GitHub."""
    return await claim(store, of, SHOP) if role is Role.PROVIDER and ":" not in of else of


async def sign_in_links(store: Store, found: Mapping[str, str], pages: str) -> dict[str, str]:
    """Make a link for everybody who works here, as they would themselves; who reviews begins with what waits."""
    links = {}
    for name, role, _ in PEOPLE:
        token = await Tokens(store.link).find(found[name.upper()]) if role in STAFF else None
        caller = await identified(store, token)
        if caller is not None:
            secret = await make_sign_in_link(store, name, caller.person)
            links[name] = f"{pages}/admin/sign-in?link={secret}" + (
                "&to=/admin/review" if role is Role.REVIEWER else ""
            )
    return links


async def _valid(tokens: Tokens, written: Mapping[str, str], holders: Holders) -> dict[str, str]:
    """Take the tokens of an earlier sandbox; none where one of them opens nothing any more, or something else."""
    found = {}
    for name, role, of in holders:
        token = await tokens.find(written.get(name.upper(), ""))
        if token is None or (token.role, token.of) != (role, of):
            return {}
        found[name.upper()] = written[name.upper()]
    return found


async def _made(tokens: Tokens, holders: Holders) -> dict[str, str]:
    """Make the tokens anew."""
    in_use = {token.name for token in await tokens.all() if token.revoked_at is None}
    made = {}
    for name, role, of in holders:
        if name in in_use:
            await tokens.revoke(name, "sandbox")
        made[name.upper()] = await tokens.create(name, role, of, "sandbox")
    return made
