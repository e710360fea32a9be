"""Who may change something from the page: whoever has shown the admin token to this browser."""

import hashlib
import hmac
from datetime import datetime, timedelta

from pydantic import SecretStr

COOKIE = "dashboard_session"
LIFE = timedelta(hours=12)


class Sessions:
    """Cookies that are signed with the admin token: another token ends them all."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token.get_secret_value().encode()

    def begin(self, token: str, now: datetime) -> str | None:
        """Return a cookie for the right token, or None."""
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        until = str(int((now + LIFE).timestamp()))
        return f"{until}.{self._sign(until)}"

    def is_open(self, cookie: str | None, now: datetime) -> bool:
        """Say whether a cookie is one of ours, and not over."""
        until, _, signature = (cookie or "").partition(".")
        signed = hmac.compare_digest(signature.encode(), self._sign(until).encode())
        return signed and until.isdigit() and now.timestamp() < int(until)

    def _sign(self, until: str) -> str:
        return hmac.new(self._token, f"dashboard until {until}".encode(), hashlib.sha256).hexdigest()
