"""Sessions of the dashboard: a browser that has sent the admin token may change things."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from fastapi import Request
from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.types import Scope

from servicekit.guards import Guard
from servicekit.problems import ProblemError

COOKIE = "dashboard_session"
SESSION_TTL = timedelta(hours=12)


class Sessions:
    """Cookies that are signed with the admin token; a change of the token ends all sessions."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token.get_secret_value().encode()

    def begin(self, token: str, now: datetime) -> str | None:
        """Return a cookie for the right token, or None."""
        # A form may name an encoding that yields half a surrogate pair.
        if not hmac.compare_digest(token.encode(errors="surrogatepass"), self._token):
            return None
        until = str(int((now + SESSION_TTL).timestamp()))
        return f"{until}.{self._sign(until)}"

    def is_open(self, cookie: str | None, now: datetime) -> bool:
        """Say whether a cookie has the right signature and has not expired."""
        until, _, signature = (cookie or "").partition(".")
        signed = hmac.compare_digest(signature.encode(), self._sign(until).encode())
        return signed and until.isdigit() and now.timestamp() < int(until)

    def _sign(self, until: str) -> str:
        return hmac.new(self._token, f"dashboard until {until}".encode(), hashlib.sha256).hexdigest()


class SessionGuard(Guard):
    """Answers 401 unless the request has the cookie of an open session."""

    def __init__(self, sessions: Sessions, clock: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._clock = clock

    def check(self, scope: Scope) -> None:
        """See `Guard`."""
        if not self._sessions.is_open(HTTPConnection(scope).cookies.get(COOKIE), self._clock()):
            raise ProblemError(401, "Sign in on the dashboard with the ADMIN_TOKEN first.")

    async def __call__(self, request: Request) -> None:
        """Check again, for routes that don't run guards before the body is read."""
        self.check(request.scope)
