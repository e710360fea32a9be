"""Sessions of the dashboard: a browser that has sent the token of an admin may change things."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from fastapi import Request
from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.types import Scope

from servicekit.bearer import note_caller
from servicekit.guards import Guard, Recorder
from servicekit.problems import ProblemError
from servicekit.tokens import Caller, Tokens, digest_of

COOKIE = "dashboard_session"
SESSION_TTL = timedelta(hours=12)


class Sessions:
    """Cookies of callers with the role admin, signed with `key`. If a token is revoked or expires, its sessions end."""

    def __init__(self, key: SecretStr, tokens: Tokens, recorder: Recorder) -> None:
        self._key = key.get_secret_value().encode()
        self._tokens = tokens
        self.recorder = recorder

    def begin(self, token: str, now: datetime) -> str | None:
        """Return a cookie for the token of an admin, or None."""
        # A form may name an encoding that yields half a surrogate pair.
        secret = token.encode(errors="surrogatepass")
        admins = [each for each in self._tokens.identify(secret) if each.role == "admin" and each.models is None]
        if not admins:
            return None
        caller = admins[0]
        until = str(int((now + SESSION_TTL).timestamp()))
        return f"{until}:{caller.name}:{self._sign(until, caller.name, digest_of(secret))}"

    def caller(self, cookie: str | None, now: datetime) -> str | None:
        """Return the name of the token that began the session; None unless it is signed, open and still valid."""
        until, _, rest = (cookie or "").partition(":")
        name, _, signature = rest.partition(":")
        given = signature.encode()
        signed = [
            hmac.compare_digest(given, self._sign(until, name, digest).encode())
            for digest in self._tokens.digests(name, "admin")
        ]
        is_open = any(signed) and until.isdigit() and now.timestamp() < int(until)
        return name if is_open else None

    def is_open(self, cookie: str | None, now: datetime) -> bool:
        """Say whether a cookie is that of an open session."""
        return self.caller(cookie, now) is not None

    def _sign(self, until: str, name: str, digest: bytes) -> str:
        return hmac.new(self._key, f"dashboard {name} until {until} ".encode() + digest, hashlib.sha256).hexdigest()


class SessionGuard(Guard):
    """Answers 401 unless the request has the cookie of an open session; `caller_of` names its token."""

    roles = frozenset({"admin"})
    needs_session = True

    def __init__(self, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock
        self.recorder = sessions.recorder

    def check(self, scope: Scope) -> None:
        """See `Guard`."""
        caller = self._sessions.caller(HTTPConnection(scope).cookies.get(COOKIE), self._clock())
        if caller is None:
            raise ProblemError(401, "Sign in on the dashboard with the token of an admin first.")
        note_caller(scope, Caller(caller, "admin"))

    async def __call__(self, request: Request) -> None:
        """Check again, for routes that don't run guards before the body is read."""
        self.check(request.scope)
