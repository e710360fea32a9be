"""HTTP client for the services that the pipeline hands over to."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydantic import SecretStr

import monitoring
from contracts import json_answers as answers
from contracts.command_line import printable
from contracts.json_answers import problem_detail, read_object
from pipeline.errors import PipelineError

# A deployment checks the whole bundle before it answers.
_TIMEOUT = httpx.Timeout(120, connect=5)
SHOWN_CHARS = 100


class RefusedError(PipelineError):
    """A service rejected the request, for the reason in the message. Nothing has changed there."""


class UnreachableError(PipelineError):
    """A service can't be reached; check that it runs, then start this step again: repeating it is safe."""


class UnusableAnswerError(RefusedError):
    """The answer at a service's address is not the service's, or is incomplete; check the address."""

    exit_code = 3


@contextmanager
def client(service: str, url: str, token: SecretStr | None) -> Iterator[httpx.Client]:
    """Yield a client with a bearer token; transport errors become `UnreachableError`."""
    headers = monitoring.trace_headers() | ({"Authorization": f"Bearer {token.get_secret_value()}"} if token else {})
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT) as opened:
            yield opened
    except httpx.RequestError as error:
        raise UnreachableError(f"{service} at {url}: {str(error) or type(error).__name__}") from error


def answer_of(service: str, response: httpx.Response, *fields: str) -> dict[str, object]:
    """Return the JSON body of a success, which has `fields`; else raise with the `detail` of the problem document.

    Raises `RefusedError` if a retry doesn't help, `UnreachableError` for a fault of the service itself (5xx), because a
    later try may succeed, and `UnusableAnswerError` if it isn't the service's answer.
    """
    if response.is_success:
        try:
            body = read_object(response)
        except answers.UnusableAnswerError as error:
            raise UnusableAnswerError(f"{service}: {error}: {_beginning(response)}") from error
        if missing := [field for field in fields if body.get(field) is None]:
            lacks = answers.UnusableAnswerError(response, f"{', '.join(missing)} missing")
            raise UnusableAnswerError(f"{service}: {lacks}")
        return body
    raise refusal(service, response.status_code, printable(problem_detail(response), _token(response)))


def refusal(service: str, status: int, detail: str) -> PipelineError:
    """Return the error of an answer that is no success: see `answer_of`."""
    kind = UnreachableError if httpx.codes.is_server_error(status) else RefusedError
    return kind(f"{service} answered {status}: {detail}")


def _beginning(response: httpx.Response) -> str:
    # A proxy's page may repeat the request's headers.
    return printable(response.text, _token(response))[:SHOWN_CHARS]


def _token(response: httpx.Response) -> str:
    authorization: str = response.request.headers.get("Authorization", "")
    return authorization.removeprefix("Bearer ")
