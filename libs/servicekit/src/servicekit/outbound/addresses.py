"""Rejects link-local addresses and the metadata services of clouds, which hand out credentials.

Loopback and private addresses are allowed, since relays and the stack's own services use them.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

# Names of metadata services, which a proxy would resolve.
METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
# Metadata services with other addresses: Alibaba, Azure, Oracle, Amazon, Google.
METADATA_ADDRESSES = frozenset(
    map(ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
# IPv6 addresses that end with the IPv4 address to which they are translated: NAT64, IPv4-compatible, SIIT.
_TRANSLATED = tuple(map(IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
# ISATAP, below any prefix: the last 32 bits are an IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)
# Global unicast, and NAT64, by which a host without IPv4 reaches public IPv4 addresses.
_PUBLIC = (IPv6Network("2000::/3"), _TRANSLATED[0])
# RFC 9637; Python 3.11 takes it for global.
_DOCUMENTATION = IPv6Network("3fff::/20")

Address = IPv4Address | IPv6Address


class ForbiddenAddressError(httpx.ConnectError):
    """The host is link-local or a metadata service: correct the URL in the settings."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in order; raises `OSError` and `ForbiddenAddressError`."""
    check_name(host)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for each in addresses:
        check_address(each)
    return addresses


def resolve_public(host: str, port: int) -> list[str]:
    """Return the addresses of a host, all of which are on the Internet; raises as `resolve`."""
    addresses = resolve(host, port)
    for each in addresses:
        check_public(each)
    return addresses


def is_address(host: str) -> bool:
    """Say whether a host is written as an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def check_name(host: str) -> None:
    """Raise `ForbiddenAddressError` if the name alone, without resolving it, is forbidden."""
    name = host.strip("[]").rstrip(".").lower()
    if name in METADATA_HOSTS:
        raise ForbiddenAddressError("the host is a metadata service")
    try:
        # inet_aton accepts the same spellings as the system's resolver: 2852039166, 0xa9fea9fe, 0251.0376.0251.0376.
        address = str(IPv4Address(socket.inet_aton(name))) if ":" not in name else name
        check_address(address)
    except (OSError, ValueError):
        return


def check_address(text: str) -> None:
    """Raise `ForbiddenAddressError` for a forbidden address, also if it is embedded in an IPv6 address."""
    for address in _embedded(ip_address(text.partition("%")[0])):
        if address.is_link_local or address in METADATA_ADDRESSES:
            raise ForbiddenAddressError("the host is link-local or a metadata service")


def check_public(text: str) -> None:
    """Raise `ForbiddenAddressError` for a loopback or private address, also if it is embedded in an IPv6 address."""
    for address in _embedded(ip_address(text.partition("%")[0])):
        if not _is_public(address):
            raise ForbiddenAddressError("the host is loopback, private or reserved")


def _embedded(address: Address) -> Iterator[Address]:
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.sixtofour is not None:
            yield address.sixtofour
        is_isatap = int(address) >> 32 & 0xFFFFFFFF in _ISATAP
        if is_isatap or any(address in network for network in _TRANSLATED):
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and not any(address in network for network in _PUBLIC):
        return False
    if address in _DOCUMENTATION:
        return False
    return address.is_global and not address.is_multicast
