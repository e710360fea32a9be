"""A client of one of our services for a command-line tool: whatever goes wrong becomes a `CommandError`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from contracts.command_line import REFUSED, UNREACHABLE, USAGE, CommandError, printable
from contracts.json_answers import AnswerT, UnusableAnswerError, problem_detail, read_answer, read_object

_REFUSALS = frozenset({409, 422})


class CommandClient:
    """Calls one service at a checked `url`; messages of errors never show the token."""

    def __init__(self, url: str, token: str, timeout: httpx.Timeout) -> None:
        self._url = url
        self._token = token
        self._http = open_http(url, {"Authorization": f"Bearer {token}"} if token else {}, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def call(self, method: str, path: str, answer: type[AnswerT], **request: Any) -> AnswerT:
        """Return the body of an answer."""
        with self._translated():
            response = self._http.request(method, path, **request)
            self._check(response)
            return read_answer(response, answer)

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield an answer's body in blocks; one that breaks off raises at its end."""
        with self._translated(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
            self._check(response)
            if not response.headers.get("Content-Type", "").startswith("application/json"):
                raise UnusableAnswerError(response, "JSON was expected")
            yield from response.iter_bytes()

    def _check(self, response: httpx.Response) -> None:
        if response.is_server_error:
            self._fail(UNREACHABLE, f"{self._url} answered {response.status_code}: {problem_detail(response)}")
        if response.is_client_error:
            # Our services answer errors in JSON; anything else, such as a login page, is not one of them.
            read_object(response)
        if not response.is_success:
            self._fail(exit_code_of(response.status_code), f"{response.status_code}: {problem_detail(response)}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.RequestError as error:
            self._fail(UNREACHABLE, f"{self._url} can't be reached: {error or type(error).__name__}", error)
        except httpx.InvalidURL as error:
            self._fail(USAGE, f"{self._url}: {error}", error)
        except UnusableAnswerError as error:
            self._fail(UNREACHABLE, str(error), error)

    def _fail(self, code: int, message: str, cause: Exception | None = None) -> None:
        # A proxy's page may repeat the request's headers.
        raise CommandError(code, printable(message, self._token)) from cause


def open_http(url: str, headers: Mapping[str, str], timeout: httpx.Timeout) -> httpx.Client:
    """Return httpx's client for a checked `url`."""
    try:
        return httpx.Client(base_url=url, headers=headers, timeout=timeout)
    except (httpx.InvalidURL, ValueError, OSError) as error:
        # The fault is in a variable that httpx reads itself.
        message = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE of the environment can't be used"
        raise CommandError(USAGE, message) from error


def exit_code_of(status: int) -> int:
    """Return the exit code for an answer that is no success."""
    if status in _REFUSALS:
        return REFUSED
    return UNREACHABLE if httpx.codes.is_server_error(status) else USAGE


def checked_option(option: str, check: Callable[[str], str], value: str) -> str:
    """Return what `check` makes of an option or argument; its `ValueError` names the option."""
    try:
        return check(value)
    except ValueError as error:
        raise CommandError(USAGE, f"{option}: {error}") from error
