"""What must be right about a request's headers before its body is read."""

from abc import ABC, abstractmethod

from starlette.types import Scope


class Guard(ABC):
    """A dependency that needs the headers alone: a route of `servicekit.routing` checks it before it reads a body."""

    @abstractmethod
    def check(self, scope: Scope) -> None:
        """Raise `ProblemError` for a request that may not pass."""
