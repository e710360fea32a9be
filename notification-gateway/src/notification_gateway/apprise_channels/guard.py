"""Blocks connections of Apprise's plugins to link-local addresses and metadata services.

The plugins open their connections themselves. The interpreter raises an audit event for each of them, with the resolved
address, also after a redirect or a changed DNS answer.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from servicekit.outbound.addresses import ForbiddenAddressError, check_address

# The connections blocked in this context; None outside of a block.
_blocked: ContextVar[list[str] | None] = ContextVar("blocked", default=None)


@contextmanager
def guarded() -> Iterator[list[str]]:
    """Block such connections within a block; yields the list of reasons, one per blocked connection."""
    _install()
    blocked: list[str] = []
    token = _blocked.set(blocked)
    try:
        yield blocked
    finally:
        _blocked.reset(token)


@cache
def _install() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect" or (blocked := _blocked.get()) is None:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return
    try:
        check_address(str(address[0]))
    except ForbiddenAddressError as error:
        blocked.append(str(error))
        # Libraries handle it as a failed connection.
        raise PermissionError(str(error)) from error
    except ValueError:
        return
