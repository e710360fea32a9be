"""HTTP to the services that the pipeline hands over to."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx
from pydantic import SecretStr

import monitoring
from pipeline.errors import PipelineError

# A deployment checks the whole bundle before it answers.
_TIMEOUT = httpx.Timeout(120, connect=5)


class RefusedError(PipelineError):
    """A service refused; the message carries its reason. Nothing has changed there."""


class UnreachableError(PipelineError):
    """A service can't be reached; see that it runs, then start this step again: it may be repeated."""


@contextmanager
def client(service: str, url: str, token: SecretStr | None) -> Iterator[httpx.Client]:
    """Give a client with bearer token; transport errors inside become `UnreachableError`."""
    headers = monitoring.trace_headers() | ({"Authorization": f"Bearer {token.get_secret_value()}"} if token else {})
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT) as opened:
            yield opened
    except httpx.TransportError as error:
        raise UnreachableError(f"{service} at {url}: {str(error) or type(error).__name__}") from error


def answer_of(service: str, response: httpx.Response) -> dict[str, object]:
    """Return the JSON body of a success; raises `RefusedError` with the `detail` of a problem document.

    A fault of the service itself (5xx) is an `UnreachableError`: a later try may fare better.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    detail = body.get("detail") or body.get("title") if isinstance(body, dict) else None
    reason = detail or response.text[:200] or HTTPStatus(response.status_code).phrase
    kind = UnreachableError if response.is_server_error else RefusedError
    raise kind(f"{service} answered {response.status_code}: {reason}")
