"""Fuzzes a service over HTTP: requests of its OpenAPI document with one odd value in each.

Stored values are read back: pages that show them must still be answered.
"""

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning
from schemathesis.core.result import Ok

from testkit.odd_values import BODIES, FRAGMENTS, HEADER_VALUES, TEXTS

ANSWER_SECONDS = 30
_MARK = "the odd value goes here"
_Path = tuple[str | int, ...]


@dataclass(frozen=True)
class RawBody:
    """A body that is not JSON."""

    content: bytes
    content_type: str


@dataclass(frozen=True)
class Target:
    """A running service.

    `headers` returns the headers that authorize an operation (`POST /events`) with a body, including its signature.
    `bodies` are accepted bodies, by operation. `pages` are read after each operation. `unavailable` are operations that
    may answer 503 in the current state of the service.
    """

    url: str
    document: dict[str, Any]
    headers: Callable[[str, bytes], Mapping[str, str]]
    bodies: Mapping[str, Any] = field(default_factory=dict)
    pages: Sequence[str] = ()
    endless: frozenset[str] = frozenset()
    unavailable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """One odd change of a request; `where` selects the place, modulo the number of places."""

    part: str
    where: int
    text: str
    fragment: bytes
    body: bytes
    header: bytes


@dataclass
class FuzzReport:
    """The number of requests by status, and the answers that are faults."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """The number of requests."""
        return sum(self.statuses.values())


def changes() -> st.SearchStrategy[Change]:
    """Return the strategy of the changes."""
    return st.builds(
        Change,
        part=st.sampled_from(
            ["body"] * 6 + ["member", "neighbour", "raw body", "path", "query", "query twice", "header"]
        ),
        where=st.integers(0, 10_000),
        text=st.sampled_from(TEXTS) | st.text(max_size=20),
        fragment=st.sampled_from(FRAGMENTS),
        body=st.sampled_from(BODIES),
        header=st.sampled_from(HEADER_VALUES),
    )


def fuzz(target: Target, requests: int, run_seed: int) -> FuzzReport:
    """Send about so many requests, distributed over the operations; the same seed sends the same."""
    report = FuzzReport()
    operations = [
        result.ok()
        for result in schemathesis.openapi.from_dict(target.document).get_all_operations()
        if isinstance(result, Ok) and result.ok().label not in target.endless
    ]
    with httpx.Client(base_url=target.url, timeout=ANSWER_SECONDS) as client:
        for operation in operations:
            examples = max(1, requests // len(operations))
            _fuzz_operation(client, target, operation, examples=examples, run_seed=run_seed, report=report)
            for page in target.pages:
                _judge(target, f"GET {page}", client.get(page, headers=target.headers(f"GET {page}", b"")), report)
    return report


def _fuzz_operation(
    client: httpx.Client, target: Target, operation: Any, *, examples: int, run_seed: int, report: FuzzReport
) -> None:
    @seed(run_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), change=changes())
    def send(case: Any, change: Change) -> None:
        request = build_request(client, target, case, change)
        try:
            response = client.send(request)
        except httpx.RemoteProtocolError as error:
            # Closed without an answer: only correct for requests that are not HTTP.
            report.faults.append(f"{operation.label}: {error}: {request.method} {request.url!s:.200}")
            return
        _judge(target, operation.label, response, report)

    with warnings.catch_warnings():
        # The service's threads may use `random` while Hypothesis draws, which it takes for a fault of the strategy.
        warnings.simplefilter("ignore", HypothesisWarning)
        send()


def build_request(client: httpx.Client, target: Target, case: Any, change: Change) -> httpx.Request:
    """Return the request of a case with one change."""
    label = case.operation.label
    body = _body(target.bodies.get(label, _plain(case.body)), change)
    given = dict(target.headers(label, b"" if body is None else body.content))
    if body is not None:
        given["content-type"] = body.content_type
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    if change.part == "header":
        names = [b"x-request-id", b"if-none-match", b"x-deployed-by", b"authorization", b"content-type", b"prefer"]
        headers.append((names[change.where % len(names)], change.header))
    return client.build_request(
        case.method, _url(case, change), headers=headers, content=None if body is None else body.content
    )


def _url(case: Any, change: Change) -> str:
    parameters = {name: str(value) for name, value in (_plain(case.path_parameters) or {}).items()}
    if change.part == "path" and parameters:
        parameters[list(parameters)[change.where % len(parameters)]] = change.text
    path = case.path
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", quote(value, safe="", errors="surrogatepass"))
    pairs = [(str(name), str(value)) for name, value in (_plain(case.query) or {}).items()]
    if change.part == "query":
        names = [parameter.name for parameter in case.operation.query] or ["limit"]
        pairs.append((names[change.where % len(names)], change.text))
    if change.part == "query twice" and pairs:
        pairs.append((pairs[change.where % len(pairs)][0], change.text))
    query = urlencode(pairs, errors="surrogatepass")
    return f"{path}?{query}" if query else str(path)


def _plain(value: Any) -> Any:
    """Return the contents of a case, nothing for its mark of nothing."""
    return None if type(value).__name__ == "NotSet" else value


def _body(body: Any, change: Change) -> RawBody | None:
    if change.part == "raw body":
        return RawBody(change.body, "application/json")
    if isinstance(body, RawBody):
        return RawBody(_put_bytes(body.content, change), body.content_type)
    if body is None or isinstance(body, bytes):
        return None if body is None else RawBody(body, "application/json")
    return RawBody(_put_fragment(body, change), "application/json")


def _put_bytes(content: bytes, change: Change) -> bytes:
    if change.part != "body":
        return content
    at = change.where * len(content) // 10_001
    return content[:at] + change.fragment[:100] + content[at + len(change.fragment[:100]) :]


def _put_fragment(body: Any, change: Change) -> bytes:
    places = [path for path in _paths(body) if path]
    if change.part not in ("body", "member", "neighbour"):
        return _dump(body)
    if not places:
        return change.fragment
    changed = deepcopy(body)
    *parents, last = places[change.where % len(places)]
    holder = changed
    for part in parents:
        holder = holder[part]
    if change.part == "body":
        holder[last] = _MARK
    elif isinstance(holder, list):
        holder.append(_MARK)
    else:
        holder[change.text] = _MARK
    return _dump(changed).replace(json.dumps(_MARK).encode(), change.fragment)


def _dump(body: Any) -> bytes:
    try:
        return json.dumps(body).encode()
    except (TypeError, ValueError):
        return repr(body).encode(errors="replace")


def _paths(value: Any, path: _Path = ()) -> Iterator[_Path]:
    yield path
    if isinstance(value, dict):
        for name, held in value.items():
            yield from _paths(held, (*path, name))
    elif isinstance(value, list):
        for place, held in enumerate(value):
            yield from _paths(held, (*path, place))


def _judge(target: Target, label: str, response: httpx.Response, report: FuzzReport) -> None:
    status = response.status_code
    report.statuses[status] += 1
    if status >= 500 and not (status == 503 and label in target.unavailable):
        request = response.request
        body = request.content[:300] if request.content else b""
        report.faults.append(
            f"{label}: HTTP {status}: {request.method} {request.url!s:.300} {body!r}: {response.text[:300]}"
        )
