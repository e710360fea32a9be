"""What must be right about a request's headers before its body is read."""

from abc import ABC, abstractmethod
from typing import ClassVar

from starlette.requests import Request
from starlette.types import Scope


class Recorder(ABC):
    """Keeps a record of calls that may change something; see `servicekit.audit`."""

    @abstractmethod
    async def begin(self, request: Request, action: str) -> int:
        """Record a call before it is carried out, and return what `complete` needs.

        Raises a `ServiceError` if that is impossible; then the call is not carried out.
        """

    @abstractmethod
    async def complete(self, entry: int, status: int, by: object, reason: object) -> None:
        """Record its outcome, and who and why, as its body says."""


class Guard(ABC):
    """A dependency that needs the headers alone: a route of `servicekit.routing` checks it before it reads a body."""

    # What `check` answers.
    statuses: ClassVar[tuple[int, ...]] = (401,)
    # Which roles pass, whether everybody does, and whether a browser's session stands in for the token.
    roles: frozenset[str] = frozenset()
    is_public: bool = False
    needs_session: ClassVar[bool] = False
    # Records the calls of the routes that are not only read; None: nothing does.
    recorder: Recorder | None = None

    @abstractmethod
    def check(self, scope: Scope) -> None:
        """Raise `ProblemError` for a request that may not pass."""
