"""A running gateway as `alertctl` calls it."""

import os
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from contracts.access import check_http_url, check_token
from contracts.command_line import REFUSED, UNREACHABLE, USAGE, CommandError, printable
from contracts.json_answers import UnusableAnswerError, problem_detail, read_answer

TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_REFUSALS = frozenset({409, 422})
_Answer = TypeVar("_Answer", bound=BaseModel)


class GatewayClient:
    """Calls with GATEWAY_URL and ADMIN_TOKEN; raises `CommandError`, whose messages never show the token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = _usable("GATEWAY_URL", check_http_url, url)
        self._token = _usable("ADMIN_TOKEN", check_token, token) if token else ""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=TIMEOUT)
        except (httpx.InvalidURL, ValueError, OSError) as error:
            # Not of `url`, which was checked: httpx reads these as well.
            message = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE of the environment can't be used"
            raise CommandError(USAGE, message) from error

    @classmethod
    def of_environment(cls) -> Self:
        """Return a client of the gateway that the environment names."""
        return cls(os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8003", os.environ.get("ADMIN_TOKEN", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def call(self, method: str, path: str, answer: type[_Answer], **request: Any) -> _Answer:
        """Return the answer's body."""
        try:
            response = self._http.request(method, path, **request)
        except httpx.RequestError as error:
            message = f"{self._url} can't be reached: {error or type(error).__name__}"
            raise self._error(UNREACHABLE, message) from error
        if not response.is_success:
            status = response.status_code
            code = REFUSED if status in _REFUSALS else UNREACHABLE if response.is_server_error else USAGE
            raise self._error(code, f"{status}: {problem_detail(response)}")
        try:
            return read_answer(response, answer)
        except UnusableAnswerError as error:
            raise self._error(UNREACHABLE, str(error)) from error

    def _error(self, code: int, message: str) -> CommandError:
        # A proxy's page may repeat the request's headers.
        return CommandError(code, printable(message, self._token))


def _usable(name: str, check: Any, value: str) -> str:
    try:
        return str(check(value))
    except ValueError as error:
        raise CommandError(USAGE, f"{name}: {error}") from error
