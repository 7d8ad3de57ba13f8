"""Calls to places that somebody else named go to public addresses alone, whatever their names lead to.

The address is judged where the connection is made: it is the very one that is connected to, so that a name whose answer
changes between two questions gains nothing by it.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp

Network = IPv4Network | IPv6Network

_V4 = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: where clouds answer for their machines
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast and reserved
    )
)
_GLOBAL = ip_network("2000::/3")
_V6 = tuple(
    ip_network(one)
    for one in (
        "2001::/23",  # Teredo and other tunnels
        "2001:db8::/32",
        "2002::/16",  # 6to4, which leads to any address of IPv4
        "3fff::/20",
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_LAST_32_BITS = 2**32 - 1
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class NotPublic(OSError):
    """An address that is nobody's to name for us."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether everybody on the internet can reach an address; what only wraps one of IPv4 is judged by that."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & _LAST_32_BITS))
        return address in _GLOBAL and not any(address in network for network in _V6)
    return not any(address in network for network in _V4)


def public_connector(
    also: Sequence[Network] = (), resolver: aiohttp.abc.AbstractResolver | None = None
) -> aiohttp.TCPConnector:
    """Make what connects to public addresses, and to those of these networks, and to no other."""

    def connected(info: Any) -> socket.socket:  # noqa: ANN401  (as the loop writes an address of either family)
        family, kind, protocol, _, (host, *_) = info
        refuse(host, also)
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, socket_factory=connected)


def refuse(host: str, also: Sequence[Network] = ()) -> None:
    """Raise for an address that is neither public nor of these networks."""
    address = ip_address(host.partition("%")[0])
    if not is_public(address) and not any(address in network for network in also):
        raise NotPublic(f"{address} is no public address: if it is yours, name its network in PAYFLOW_WEBHOOK_NETWORKS")
