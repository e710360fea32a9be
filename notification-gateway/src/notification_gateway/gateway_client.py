"""The client of a running gateway for `alertctl`."""

import json
import os
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from contracts.access import check_http_url, check_token
from contracts.command_line import REFUSED, UNREACHABLE, USAGE, CommandError, printable
from contracts.json_answers import UnusableAnswerError, problem_detail, read_answer, read_object

DEFAULT_URL = "http://127.0.0.1:8003"
TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_REJECTED_STATUSES = frozenset({409, 422})
_Answer = TypeVar("_Answer", bound=BaseModel)


class GatewayClient:
    """Calls with GATEWAY_URL and ADMIN_TOKEN; raises `CommandError`, whose messages never show the token."""

    def __init__(self, url: str, token: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = _usable("GATEWAY_URL", check_http_url, url)
        self._token = _usable("ADMIN_TOKEN", check_token, token) if token else ""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout)
        except (httpx.InvalidURL, ValueError, OSError) as error:
            # `url` was checked, so the fault is in a variable that httpx reads itself.
            message = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE of the environment can't be used"
            raise CommandError(USAGE, message) from error

    @classmethod
    def of_environment(cls) -> Self:
        """Return a client for GATEWAY_URL and ADMIN_TOKEN of the environment."""
        return cls(os.environ.get("GATEWAY_URL") or DEFAULT_URL, os.environ.get("ADMIN_TOKEN", ""))

    @classmethod
    def with_token(
        cls, url: str, token: str, timeout: httpx.Timeout, names: str = "GATEWAY_URL or ADMIN_TOKEN"
    ) -> Self:
        """Return a client for calls that need the token; `names` names the options in error messages."""
        try:
            check_http_url(url)
            check_token(token)
        except ValueError as error:
            raise CommandError(USAGE, f"{names} can't be used: {error}") from error
        return cls(url, token, timeout)

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
        except httpx.InvalidURL as error:
            raise self._error(USAGE, f"{self._url}: {error}") from error
        if response.is_server_error:
            message = f"{self._url} answered {response.status_code}: {problem_detail(response)}"
            raise self._error(UNREACHABLE, message)
        try:
            if response.is_client_error:
                # The gateway answers errors in JSON; anything else, such as a login page, is not the gateway.
                read_object(response)
            if not response.is_success:
                code = REFUSED if response.status_code in _REJECTED_STATUSES else USAGE
                raise self._error(code, f"{response.status_code}: {problem_detail(response)}")
            return read_answer(response, answer)
        except UnusableAnswerError as error:
            raise self._error(UNREACHABLE, str(error)) from error

    def _error(self, code: int, message: str) -> CommandError:
        # A proxy's page may repeat the request's headers.
        return CommandError(code, printable(message, self._token))


def as_json(body: BaseModel) -> str:
    """Return a body as indented ASCII JSON."""
    return json.dumps(body.model_dump(mode="json"), indent=2)


def _usable(name: str, check: Any, value: str) -> str:
    try:
        return str(check(value))
    except ValueError as error:
        raise CommandError(USAGE, f"{name}: {error}") from error
