"""Bearer tokens on calls that change something."""

import hmac
from typing import Annotated

from fastapi import Depends, Request, Security, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.types import Scope

from servicekit.guards import Guard
from servicekit.problems import ProblemError

_scheme = HTTPBearer(auto_error=False)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)]


class BearerGuard(Guard):
    """Answers 401 unless the call carries `Authorization: Bearer <token>`."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token.get_secret_value().encode()

    def check(self, scope: Scope) -> None:
        """Raise `ProblemError` unless the headers hold the token."""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        token = token.strip()
        if scheme.lower() != b"bearer" or not token or not hmac.compare_digest(token, self._token):
            raise ProblemError(
                401,
                # Not in the words of a header line: those are redacted.
                "Send this service's token in the header `Authorization`, as `Bearer <token>`.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def __call__(self, request: Request, _shown: _Credentials) -> None:
        """Check once more, for routes of another kind; `_shown` brings the scheme into the OpenAPI document."""
        self.check(request.scope)


def require_bearer(token: SecretStr) -> BearerGuard:
    """Return the dependency that `token` satisfies."""
    return BearerGuard(token)


def bearer_guard(token: SecretStr) -> list[params.Depends]:
    """Return the `dependencies=` of a router or route that `token` opens."""
    return [Depends(require_bearer(token))]
