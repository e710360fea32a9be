"""Outbound HTTP clients. They connect to the address that was checked, even if the DNS answer changes afterwards."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from servicekit.outbound.addresses import check_name, is_address, resolve

# The limit of a whole call, from DNS to the last byte.
TOTAL_SECONDS = 5.0
CONNECT_SECONDS = 3.0
MAX_BYTES = 8 * 2**20
TIMEOUT = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
# A pool would know a pinned connection by its address alone, and send to one host what is meant for another.
_NO_REUSE = httpx.Limits(max_keepalive_connections=0)
_DEFAULT_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer."""

    status: int
    content: bytes


def async_client(base_url: str = "", timeout: httpx.Timeout = TIMEOUT) -> httpx.AsyncClient:
    """Return a client for `call_async`; redirects are returned, not followed."""
    if _is_proxied(base_url):
        return httpx.AsyncClient(base_url=base_url, timeout=timeout, event_hooks={"request": [_check_async]})
    return httpx.AsyncClient(base_url=base_url, timeout=timeout, transport=AddressCheckingAsyncTransport())


def client(base_url: str = "", timeout: httpx.Timeout = TIMEOUT) -> httpx.Client:
    """Return a client for `call`; redirects are returned, not followed."""
    if _is_proxied(base_url):
        return httpx.Client(base_url=base_url, timeout=timeout, event_hooks={"request": [_check]})
    return httpx.Client(base_url=base_url, timeout=timeout, transport=AddressCheckingTransport())


async def call_async(http: httpx.AsyncClient, method: str, url: str, **request: Any) -> Response:
    """Return the answer within `TOTAL_SECONDS`; raises `httpx.HTTPError`."""
    content = bytearray()
    try:
        async with asyncio.timeout(TOTAL_SECONDS), http.stream(method, url, **request) as response:
            async for chunk in response.aiter_bytes():
                content += chunk
                _check_size(content)
    except TimeoutError as error:
        raise httpx.ReadTimeout(f"no whole answer within {TOTAL_SECONDS:g} s") from error
    return Response(response.status_code, bytes(content))


def call(
    http: httpx.Client, method: str, url: str, clock: Callable[[], float] = time.monotonic, **request: Any
) -> Response:
    """Return the answer, read within about `TOTAL_SECONDS`; raises `httpx.HTTPError`."""
    content, deadline = bytearray(), clock() + TOTAL_SECONDS
    with http.stream(method, url, **request) as response:
        for chunk in response.iter_bytes():
            content += chunk
            _check_size(content)
            if clock() > deadline:
                raise httpx.ReadTimeout(f"no whole answer within {TOTAL_SECONDS:g} s")
    return Response(response.status_code, bytes(content))


class AddressCheckingAsyncTransport(httpx.AsyncBaseTransport):
    """Resolves a host, checks its addresses, and connects to one of them."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._inner = httpx.AsyncHTTPTransport(limits=_NO_REUSE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises `httpx.HTTPError`."""
        try:
            if is_address(request.url.host):
                # An IP address needs no DNS, so no thread.
                addresses = self._resolve(request.url.host, _port(request.url))
            else:
                addresses = await asyncio.to_thread(self._resolve, request.url.host, _port(request.url))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the host has no address") from error
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, addresses[-1]))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class AddressCheckingTransport(httpx.BaseTransport):
    """The same for synchronous clients."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._inner = httpx.HTTPTransport(limits=_NO_REUSE)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises `httpx.HTTPError`."""
        try:
            addresses = self._resolve(request.url.host, _port(request.url))
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("the host has no address") from error
        for address in addresses[:-1]:
            try:
                return self._inner.handle_request(_pinned(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_pinned(request, addresses[-1]))

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    # The header `Host` and the certificate check still use the name.
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )


def _port(url: httpx.URL) -> int:
    return url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def _is_proxied(url: str) -> bool:
    parsed = httpx.URL(url)
    proxies = getproxies()
    return bool(proxies.get(parsed.scheme) or proxies.get("all")) and not proxy_bypass(parsed.host)


def _check(request: httpx.Request) -> None:
    # The proxy resolves the name itself, so only the name can be checked.
    check_name(request.url.host)


async def _check_async(request: httpx.Request) -> None:
    _check(request)


def _check_size(content: bytearray) -> None:
    if len(content) > MAX_BYTES:
        raise httpx.ReadError(f"the answer has more than {MAX_BYTES} bytes")
