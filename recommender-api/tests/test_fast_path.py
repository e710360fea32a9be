"""A simple request means the same on the fast path as in FastAPI."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Match

import monitoring.testing
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.query import Query
from recommender_api.metrics import Metrics
from recommender_api.overload import Admission, Gate
from recommender_api.recommendations import endpoints
from recommender_api.recommendations.fast_path import FastPath, parse_simple_query
from servicekit.request_ids import RequestIdMiddleware
from testkit.running_app import RunningApp


class Recorder:
    """Records the queries that it gets."""

    def __init__(self) -> None:
        self.asked: Query | None = None

    def arm(self, query: Query) -> None:
        """Record the query."""
        self.asked = query

    async def answer(self, _query: Query, _arm: None, _request_id: str) -> tuple[bytes, int]:
        """Answer nothing."""
        return b"{}", 0


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def client(recorder: Recorder) -> Iterator[RunningApp]:
    app = FastAPI()
    app.include_router(endpoints.router(recorder))  # type: ignore[arg-type]  # all that it needs of a recommender
    app.add_middleware(RequestIdMiddleware)
    with RunningApp(app) as client:
        yield client


NUMBERS = st.one_of(
    st.integers(-2, 120).map(str),
    st.sampled_from(["9223372036854775807", "9223372036854775808", "007", "+5", " 5", "5.0", "1_0", "", "٣"]),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "x",
            "SKU-77",
            "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa",
            "007",
            "1.5",
            "1e5",
            "..",
            "a~b",
            "a,b",
            "a/b",
            "a%2Fb",
            "%25",
            "%31",
            "%41",
            "%C3%A9",
            "e%CC%81",
            "%FF",
            "%E6%95%B0",
            "a+b",
            "a%20",
            "%00",
            "%0A",
            "x" * 128,
            "x" * 129,
        ]
    ),
    st.text(min_size=1, max_size=12).map(lambda text: quote(text.encode("utf-8", "replace"), safe="")),
    st.text("abcXYZ019-._~", min_size=1, max_size=12),
)
IDS = st.one_of(NUMBERS, TEXTS)
OPTIONS = st.one_of(
    st.tuples(st.sampled_from(["limit", "max_price", "unknown"]), NUMBERS),
    st.tuples(st.just("user_id"), IDS),
    st.tuples(st.just("exclude"), st.lists(IDS, min_size=1, max_size=4).map(",".join)),
    st.tuples(st.just("timeframe"), st.sampled_from(["1h", "24h", "2h", ""])),
    st.tuples(st.sampled_from(["explain", "tag"]), st.sampled_from(["true", "a", ""])),
)
PATHS = st.one_of(
    st.builds("{}/{}".format, st.sampled_from(["/similar", "/recommend/detail", "/recommend/user", "/other"]), IDS),
    st.sampled_from(["/hot/trending", "/hot/trending/", "/similar", "/recommend/detail/5/6"]),
)


@settings(max_examples=500, deadline=None)
@given(PATHS, st.lists(OPTIONS, max_size=3))
def test_a_request_that_the_fast_path_parses_means_the_same_to_fastapi(
    client: RunningApp, recorder: Recorder, path: str, options: list[tuple[str, str]]
) -> None:
    url = path + ("?" if options else "") + "&".join(f"{name}={value}" for name, value in options)
    recorder.asked = None
    response: Any = client.http.get(url)
    sent = response.request.url
    plain = parse_simple_query(sent.raw_path.partition(b"?")[0].decode(), sent.query)
    if plain is not None:
        assert response.status_code == 200
        assert plain == recorder.asked


@pytest.mark.parametrize(
    "url",
    [
        "/similar/105",
        "/similar/105?limit=20",
        "/recommend/detail/105?user_id=7&limit=20&exclude=1,2",
        "/recommend/user/7?exclude=3",
        "/similar/SKU-77",
        "/recommend/detail/c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa?user_id=u_1&exclude=SKU-77",
        "/recommend/user/c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa",
        "/hot/trending?timeframe=1h&limit=100",
    ],
)
def test_the_usual_requests_take_the_fast_path(client: RunningApp, recorder: Recorder, url: str) -> None:
    client.http.get(url)
    assert parse_simple_query(urlsplit(url).path, urlsplit(url).query.encode()) == recorder.asked


def fast_path(recommender: Any, metrics: Metrics) -> FastPath:
    gate = Gate(Admission(1.0, lambda *_: None, time.perf_counter, time.thread_time), metrics)
    return FastPath(recommender, gate, FastPathErrors(metrics.fast_path_failed))


class Broken:
    """Fails at every query."""

    def arm(self, _query: Query) -> None:
        """Fail."""
        raise ZeroDivisionError


def test_an_exception_of_the_match_leaves_the_request_to_the_framework_and_is_counted_and_reported() -> None:
    metrics = Metrics()
    with monitoring.testing.captured() as reports:
        assert fast_path(Broken(), metrics)("/similar/105", b"") is None
    assert [report.fingerprint for report in reports] == [("api", "fast path: match", "ZeroDivisionError")]
    assert b'recommender_fast_path_errors_total{step="match"} 1.0' in metrics.exposition()


def test_metrics_name_a_request_by_its_route_on_both_paths(recorder: Recorder) -> None:
    match_fast_route = fast_path(recorder, Metrics())
    routes = endpoints.router(recorder).routes  # type: ignore[arg-type]  # as above
    for path in ("/similar/105", "/recommend/detail/105", "/recommend/user/7", "/hot/trending"):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        (route,) = [route for route in routes if route.matches(scope)[0] is Match.FULL]
        fast_route = match_fast_route(path, b"")
        assert fast_route is not None
        assert fast_route.path == route.path_format  # type: ignore[attr-defined]  # they are all of a path
