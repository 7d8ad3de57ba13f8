"""Who is asking, and how often they may."""

from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import hdrs, web

from machines.core.clock import SECOND
from payflow.config import Settings
from payflow.desk.person import Caller
from payflow.store.registers.tokens import ApiToken, Role, Tokens
from payflow.store.store import Store
from payflow.web.http.problems import FORBIDDEN, TOO_MANY, UNAUTHENTICATED, Problem

_BEARER = "bearer "
# One customer of a provider of addresses has all of these.
_SITE_BITS = 64
_MOST_HOPS = 32


class Gate:
    """Lets in who may come in. Rates are counted in the store, so all processes share them."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._tokens = Tokens(store.link)
        self._records = store.records
        self._token_rate = settings.api_rate
        self._address_rate = settings.api_address_rate
        self._proxies = settings.trusted_proxies

    async def admit(self, request: web.Request, roles: Collection[Role]) -> Caller:
        """Tell who asks, or refuse them. Guessing uses up the rate of the address, before any token is looked up."""
        await self.rate_limit(request)
        return await self.recognise(_shown(request), roles)

    async def recognise(self, secret: str, roles: Collection[Role]) -> Caller:
        """Tell whose token this is, for a page where it was typed and that has slowed its visitor down."""
        return await self._admitted(await self._tokens.find(secret), roles)

    async def readmit(self, digest: str, roles: Collection[Role]) -> Caller:
        """Tell who holds a token, by its hash, as long as it is not revoked: for those who signed in with it."""
        return await self._admitted(await self._tokens.known(digest), roles)

    async def _admitted(self, token: ApiToken | None, roles: Collection[Role]) -> Caller:
        if token is None:
            raise Problem(
                UNAUTHENTICATED,
                "Show an API token: `Authorization: Bearer payflow_…`. One that is unknown or revoked opens nothing.",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        await self._take(f"token:{token.name}", self._token_rate)
        return _allowed(token, roles)

    async def rate_limit(self, request: web.Request) -> None:
        """Count a request against the address that it comes from."""
        await self._take(f"address:{self.address(request)}", self._address_rate)

    async def _take(self, name: str, rate: float) -> None:
        granted, wait_ms = await self._records.rate_tokens(name, rate, 1)
        if not granted:
            wait_s = -(-wait_ms // SECOND)
            raise Problem(
                TOO_MANY,
                f"More than {rate:g} requests a second: wait, then go on slower.",
                headers={hdrs.RETRY_AFTER: str(max(1, wait_s))},
            )

    def address(self, request: web.Request) -> str:
        """Tell the address of the client: the last hop that is none of our proxies."""
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        hops = [*forwarded.split(",")[-_MOST_HOPS:], request.remote or ""] if self._proxies else [request.remote or ""]
        found = ""
        for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
            site = _site(hop)
            if site is None:
                break  # what a proxy of ours did not write, anybody may have
            found = site
            if not among(hop, self._proxies):
                break
        return found or "unknown"


def _shown(request: web.Request) -> str:
    given = request.headers.get(hdrs.AUTHORIZATION, "")
    return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else ""


def _allowed(token: ApiToken, roles: Collection[Role]) -> Caller:
    if token.role not in roles:
        needed = " or ".join(sorted(roles))
        raise Problem(FORBIDDEN, f"This takes a token with the role {needed}; the one shown has {token.role}.")
    return Caller(token.name, token.role, token.of, token.made_by)


def _site(address: str) -> str | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((found, _SITE_BITS), strict=False).network_address)
    return str(found)


def among(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether an address lies in one of some networks."""
    found = ip_address(address)
    return any(found in network for network in networks)
