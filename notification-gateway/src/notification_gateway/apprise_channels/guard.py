"""Keeps the connections that Apprise's plugins make away from link-local addresses and metadata services.

The plugins make their connections themselves. The interpreter's own audit event sees each of them, with the address
that is really called, also after a redirect or another answer of the name server.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from notification_gateway.outbound.addresses import ForbiddenAddressError, check_address

# The refusals of the calls of this context; None outside of a block.
_refusals: ContextVar[list[str] | None] = ContextVar("refusals", default=None)


@contextmanager
def guarded() -> Iterator[list[str]]:
    """Refuse such connections in a block, and give the list of what was refused."""
    _install()
    refusals: list[str] = []
    token = _refusals.set(refusals)
    try:
        yield refusals
    finally:
        _refusals.reset(token)


@cache
def _install() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect" or (refusals := _refusals.get()) is None:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return
    try:
        check_address(str(address[0]))
    except ForbiddenAddressError as error:
        refusals.append(str(error))
        # What libraries take for a connection that failed.
        raise PermissionError(str(error)) from error
    except ValueError:
        return
