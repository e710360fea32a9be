"""Bearer tokens: which roles may call a route, and who calls."""

from typing import Annotated

from fastapi import Depends, Request, Security, params
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.types import Scope

from contracts.access_tokens import ServiceRole
from servicekit.guards import Guard, Recorder
from servicekit.problems import ProblemError
from servicekit.tokens import Caller, KnownToken, Tokens

_scheme = HTTPBearer(auto_error=False)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)]
_CALLER, _GUARD = "recsys.caller", "recsys.guard"
# The part of a path that names a replica.
_REPLICA_PARAMETER = "replica_id"
_SENDERS = frozenset({"replica", "events", "signals"})


class RoleGuard(Guard):
    """Answers 401 without a known token, and 403 if its role or its models don't open the route.

    A token that is limited to models opens only routes whose path names one of them, as `model_parameter`. If
    `is_public`, the route is open to everybody.
    """

    statuses = (401, 403)

    def __init__(
        self,
        tokens: Tokens,
        roles: frozenset[ServiceRole],
        model_parameter: str | None = None,
        *,
        is_public: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self.roles = roles
        self.is_public = is_public
        self._tokens = tokens
        self._model_parameter = model_parameter
        # What programs send all the time is no change by a person or a pipeline.
        self.recorder = None if roles & _SENDERS else recorder

    def check(self, scope: Scope) -> None:
        """Raise `ProblemError` unless the headers hold the token of a role that may call."""
        scope[_GUARD] = self
        callers = self._tokens.identify(_secret(scope))
        allowed = [caller for caller in callers if self._refusal(caller, scope) is None]
        note_caller(scope, next(iter(allowed or callers), None))
        if self.is_public or allowed:
            return
        if callers:
            raise ProblemError(403, self._refusal(callers[0], scope) or "")
        raise ProblemError(
            401,
            # Not in the words of a header line: those are redacted.
            "Send a token of this service in the header `Authorization`, as `Bearer <token>`.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _refusal(self, caller: Caller, scope: Scope) -> str | None:
        """Return why a caller may not call, None if it may."""
        if caller.role not in self.roles:
            return f"{caller.name} has the role {caller.role}; this needs the role {' or '.join(sorted(self.roles))}."
        if caller.models is not None and self._model_of(scope) not in caller.models:
            return f"{caller.name} opens only the models {', '.join(sorted(caller.models))}."
        replica = scope.get("path_params", {}).get(_REPLICA_PARAMETER)
        if replica is not None and not caller.is_replica(replica):
            return f"{caller.name} reports only as {', '.join(sorted(caller.replicas or ()))}."
        return None

    def _model_of(self, scope: Scope) -> str | None:
        return None if self._model_parameter is None else scope.get("path_params", {}).get(self._model_parameter)

    async def __call__(self, request: Request, _shown: _Credentials) -> None:
        """Check once more, for routes of another kind; `_shown` brings the scheme into the OpenAPI document."""
        self.check(request.scope)


class Access:
    """Makes the guards of one service's routes; `model_parameter` is the part of a path that names a model.

    `recorder` is set before the routes are made, where a service has an audit log.
    """

    def __init__(self, tokens: Tokens, *, model_parameter: str | None = None) -> None:
        self.tokens = tokens
        self.recorder: Recorder | None = None
        self._model_parameter = model_parameter

    @classmethod
    def by_token(cls, secret: SecretStr) -> "Access":
        """Return the access of a service with a single token, that of an admin."""
        return cls(Tokens(KnownToken.of_setting("token", secret, "admin")))

    def allow(self, *roles: ServiceRole, is_public: bool = False) -> list[params.Depends]:
        """Return the `dependencies=` of a router or route that tokens of these roles open."""
        guard = RoleGuard(
            self.tokens, frozenset(roles), self._model_parameter, is_public=is_public, recorder=self.recorder
        )
        return [Depends(guard)]


def note_caller(scope: Scope, caller: Caller | None) -> None:
    """Let `caller_of` return who a guard has accepted."""
    scope[_CALLER] = caller


def caller_of(request: Request) -> str:
    """Return the name of the token that a route's guard has accepted; `-` on a route that is open to everybody."""
    caller: Caller | None = request.scope.get(_CALLER)
    return "-" if caller is None else caller.name


def check_again(request: Request) -> None:
    """Check the guard of a route once more, after a wait; raises `ProblemError` if the token was revoked meanwhile."""
    guard: RoleGuard = request.scope[_GUARD]
    guard.check(request.scope)


# The name of the caller's token, for an endpoint's arguments.
CallerName = Annotated[str, Depends(caller_of)]


def _secret(scope: Scope) -> bytes:
    """Return the bearer token of a request, empty if there is none."""
    given: bytes = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, secret = given.partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""
