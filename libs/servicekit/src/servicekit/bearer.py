"""Bearer tokens on calls that change something."""

import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Security, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from servicekit.problems import ProblemError

_scheme = HTTPBearer(auto_error=False)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)]


def require_bearer(token: SecretStr) -> Callable[[HTTPAuthorizationCredentials | None], None]:
    """Return a dependency that answers 401 unless the call carries `Authorization: Bearer <token>`."""

    def check(credentials: _Credentials) -> None:
        given = credentials.credentials if credentials is not None else ""
        if not given or not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise ProblemError(
                401,
                "Send `Authorization: Bearer <token>` with this service's token.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check


def bearer_guard(token: SecretStr) -> list[params.Depends]:
    """Return the `dependencies=` of a router or route that `token` opens."""
    return [Depends(require_bearer(token))]
