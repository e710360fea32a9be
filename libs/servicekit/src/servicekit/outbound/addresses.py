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
_TRANSLATED = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")

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
        if not address.is_global or address.is_multicast:
            raise ForbiddenAddressError("the host is loopback, private or reserved")


def _embedded(address: Address) -> Iterator[Address]:
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _TRANSLATED or address in _COMPATIBLE:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
