"""The fallback chain: which level answers, that every filter applies there, and which events are reported."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import monitoring
import monitoring.testing
from contracts import redis_keys
from contracts.withdrawn import WithdrawnList
from ranking.engine import Engine, Ranked, RankingQuery
from ranking.recall import Candidates
from ranking.testing import FIRST_DATASET_ID
from ranking.user import User
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import RankedPath
from recommender_api.answers.query import Endpoint, Filters, Query
from recommender_api.answers.stored import Served, StoredAnswer
from recommender_api.fallback import FallbackChain
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import Metrics
from recommender_api.models.serving import LoadedModel, Models, Serving
from recommender_api.recommendations.schemas import Answer
from recommender_api.recommendations.service import Recommender
from recommender_api.recommendations.write_behind import WriteBehind
from recommender_api.redis_store import (
    Address,
    Breaker,
    GuardedStore,
    MemoryStore,
    StoreRefusedError,
    StoreUnavailableError,
)
from recommender_api.served_features import ServedFeatureLog
from recommender_api.shadow import Mirror, ShadowMetrics
from recommender_api.trending import TrendingPath
from recommender_api.withdrawal import Withdrawn, WithdrawnFile, WithdrawnWatch
from testkit.fake_registry import SINCE

pytestmark = pytest.mark.anyio

DOWN = StoreUnavailableError("Connection refused", "ConnectionError")
REFUSING = StoreRefusedError("WRONGTYPE", "ResponseError")
COLD = FIRST_DATASET_ID + 199


class Faulty(Engine):
    """An engine whose stages fail or are slow when the test says so."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.contents)
        self.recall_error: Exception | None = None
        self.rank_error: Exception | None = None
        self.fused_error: Exception | None = None
        self.on_recall: Callable[[], None] = lambda: None
        self.on_rank: Callable[[], None] = lambda: None

    def rank_fused(self, *_: Any, **__: Any) -> None:
        error = self.fused_error or self.recall_error or self.rank_error
        if error is not None:
            raise error

    def recall(self, question: RankingQuery, *, at_least: int = 0) -> Candidates:
        self.on_recall()
        if self.recall_error is not None:
            raise self.recall_error
        return super().recall(question, at_least=at_least)

    def rank(self, question: RankingQuery, candidates: Candidates, limit: int) -> Ranked:
        self.on_rank()
        if self.rank_error is not None:
            raise self.rank_error
        return super().rank(question, candidates, limit)


class KnowsEverything(Engine):
    """An engine for a user who has seen every dataset."""

    def rank_fused(self, *_: Any, **__: Any) -> None:
        return None

    def user(self, *_: Any) -> User:
        return User(seen=np.arange(len(self.contents.catalogue), dtype=np.int32))


class SlowStore(MemoryStore):
    """A Redis that is slow when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.on_read: Callable[[], None] = lambda: None

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        self.on_read()
        return await super().read(keys)


class Case:
    """The recommender over a Redis in memory, on a clock that stands still."""

    def __init__(self, model: LoadedModel, engine: Engine | None = None) -> None:
        self.now = 0.0
        self.redis = SlowStore()
        self.engine = Faulty(model.engine) if engine is None else engine
        self.metrics = metrics = Metrics()
        breaker = Breaker(self.redis.probe, on_close=lambda: None, failures_to_open=10**9)
        store = GuardedStore(self.redis, breaker, Address("cache.example.com", 6379, 0))
        self.models = Models()
        loaded = LoadedModel(model.deployment, model.manifest, self.engine)
        self.models.serving = Serving("ranker", loaded, None, SINCE)
        self.withdrawn = WithdrawnWatch(store, WithdrawnFile(Path("unused")))
        errors = FastPathErrors(metrics.fast_path_failed)
        ranked = RankedPath(store, SnapshotWatch(store), self.withdrawn, metrics.stages, errors)
        trending = TrendingPath(store, metrics.stages, self.withdrawn)
        paths: dict[Endpoint, Any] = dict.fromkeys(Endpoint, ranked) | {Endpoint.TRENDING: trending}
        self.write_behind = WriteBehind(store, metrics, anonymous_share=0.0)
        self.fallback = FallbackChain(store, self.withdrawn)
        self.recommender = Recommender(
            self.models,
            paths,
            self.fallback,
            self.write_behind,
            Mirror(self.models, ranked, ShadowMetrics(metrics.registry), sample_rate=0.0, cpu_share=1.0),
            served_features=ServedFeatureLog(store, lambda count: metrics.dropped("served_features", count)),
            withdrawn=self.withdrawn,
            metrics=metrics,
            budget_seconds=0.15,
            clock=lambda: self.now,
        )

    async def ask(self, query: Query) -> Answer:
        """Answer as for a request, and do its pending writes."""
        with monitoring.bound_context(request_id="r-1"):
            body, level = await self.recommender.answer(query, self.recommender.arm(query), "r-1")
        await self.write_behind.drain()
        answer = Answer.model_validate_json(body, strict=True)
        assert answer.fallback_level == level
        assert answer.degraded == (level > 0)
        return answer

    def forget_results(self) -> None:
        """Let the cached results expire."""
        for key in [key for key in self.redis.values if key.startswith("res:")]:
            del self.redis.values[key]

    def slow(self, stage: str, seconds: float) -> None:
        def pass_time() -> None:
            self.now += seconds

        if stage == "read":
            self.redis.on_read = pass_time
        else:
            setattr(self.engine, f"on_{stage}", pass_time)


@pytest.fixture
def case(model: LoadedModel) -> Case:
    return Case(model)


SIMILAR = Query(Endpoint.SIMILAR, 10, dataset_id=105)
DETAIL = Query(Endpoint.DETAIL, 10, dataset_id=105, user_id=7)
USER = Query(Endpoint.USER, 10, user_id=7)
TRENDING = Query(Endpoint.TRENDING, 10, timeframe="1h")


async def test_an_exception_that_only_the_fused_ranking_raises_is_counted_and_reported(case: Case) -> None:
    usual = await case.ask(SIMILAR)
    case.forget_results()
    cast("Faulty", case.engine).fused_error = ZeroDivisionError()
    with monitoring.testing.captured() as reports:
        answer = await case.ask(SIMILAR)
    assert (answer.fallback_level, answer.items) == (0, usual.items)
    assert [report.fingerprint for report in reports] == [("api", "fast path: rank", "ZeroDivisionError")]
    assert b'recommender_fast_path_errors_total{step="rank"} 1.0' in case.metrics.exposition()


async def test_an_exception_that_both_ways_of_ranking_raise_is_reported_once(case: Case) -> None:
    cast("Faulty", case.engine).rank_error = ZeroDivisionError()
    with monitoring.testing.captured() as reports:
        await case.ask(SIMILAR)
    assert "api.unhandled" not in reports.point_ids
    assert b'recommender_fast_path_errors_total{step="rank"} 0.0' in case.metrics.exposition()


@pytest.mark.parametrize(
    ("query", "level", "reason"),
    [
        (SIMILAR, 2, "precomputed"),
        (Query(Endpoint.SIMILAR, 10, dataset_id=COLD), 3, "popular"),
        (DETAIL, 2, "precomputed"),
        (USER, 3, "popular"),
        (TRENDING, 2, "trending"),
    ],
)
async def test_with_redis_down_the_bundle_answers(case: Case, query: Query, level: int, reason: str) -> None:
    case.redis.error = DOWN
    with monitoring.testing.captured() as reports:
        answer = await case.ask(query)
    assert (answer.fallback_level, answer.degrade_reason) == (level, "redis_unavailable")
    assert len(answer.items) == 10
    assert {tuple(item.reasons) for item in answer.items} == {(reason,)}
    used = "fallback.precomputed_used" if level == 2 else "fallback.static_popular_used"
    assert reports.point_ids == ["redis.connection_failed", "fallback.redis_failed", used]
    connection, unreadable, last = reports
    assert all(report.request_ids == ("r-1",) for report in reports)
    assert connection.tags["redis_host"] == "cache.example.com"
    assert (connection.tags["redis_port"], connection.tags["redis_db"]) == ("6379", "0")
    assert connection.tags["error_type"] == "ConnectionError"
    for report in (unreadable, last):
        assert report.tags["endpoint"] == query.endpoint.value
        assert report.tags["degrade_reason"] == "redis_unavailable"
        assert report.tags["model_version"] == "1"
    crumbs = [crumb.message for crumb in last.breadcrumbs]
    assert crumbs == [
        "Redis fallback failed",
        "Using precomputed fallback" if level == 2 else "Using static popular fallback",
    ]
    if level == 3:
        assert last.tags["static_popular_count"] == "10"


@pytest.mark.parametrize("limit", [1, 5, 10, 50])
async def test_the_precomputed_answer_equals_that_of_the_main_path(case: Case, limit: int) -> None:
    query = Query(Endpoint.SIMILAR, limit, dataset_id=105)
    ranked = await case.ask(query)
    case.redis.error = DOWN
    precomputed = await case.ask(query)
    assert (ranked.fallback_level, precomputed.fallback_level) == (0, 2)
    shown = [[(item.dataset_id, item.score) for item in answer.items] for answer in (ranked, precomputed)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("query", [SIMILAR, DETAIL, USER, TRENDING], ids=lambda query: query.endpoint)
@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "filters", [Filters(tuple(range(101, 130))), Filters(max_price=100.0), Filters(tag="Health")], ids=str
)
async def test_every_filter_applies_at_every_level_and_the_dataset_itself_is_never_shown(
    case: Case, model: LoadedModel, query: Query, level: int, filters: Filters
) -> None:
    if (query.endpoint, level) == (Endpoint.USER, 2):
        level = 3
    query = Query(query.endpoint, 10, query.dataset_id, query.user_id, query.timeframe, filters)
    if level == 3 and query.endpoint is not Endpoint.USER:
        # Nothing precomputed, so that the static list has to answer.
        contents = model.engine.contents
        precomputed = contents.precomputed._replace(items=np.full_like(contents.precomputed.items, -1))
        case = Case(model, Engine(_changed(contents, precomputed=precomputed, trending={})))
    if level == 1:
        await case.ask(query)
        case.forget_results()
        assert isinstance(case.engine, Faulty)
        case.engine.recall_error = KeyError("broken")
        if query.endpoint is Endpoint.TRENDING:
            case.redis.sorted_sets = _Unreadable()
    elif level > 1:
        case.redis.error = DOWN
    answer = await case.ask(query)
    assert answer.fallback_level == level
    assert answer.items
    catalogue = model.engine.contents.catalogue
    for item in answer.items:
        assert item.dataset_id not in filters.exclude
        assert item.dataset_id != query.dataset_id
        assert item.price <= (filters.max_price or np.inf)
        tags = catalogue.tags[catalogue.position(item.dataset_id) or 0]
        assert filters.tag is None or filters.tag.lower() in tags


def _changed(contents: Any, **changes: Any) -> Any:
    return type(contents)(**{**contents.__dict__, **changes})


class _Unreadable(dict[str, dict[int, float]]):
    def get(self, *_: Any) -> Any:
        raise REFUSING


@pytest.mark.parametrize("stage", ["recall", "rank"])
@pytest.mark.parametrize(
    ("query", "point"),
    [(SIMILAR, "api.similar_failed"), (DETAIL, "api.detail_failed"), (USER, "api.unhandled")],
    ids=lambda value: getattr(value, "endpoint", value),
)
async def test_a_broken_model_is_answered_for_and_reported_by_its_exception(
    case: Case, query: Query, point: str, stage: str
) -> None:
    assert isinstance(case.engine, Faulty)
    setattr(case.engine, f"{stage}_error", ZeroDivisionError("of all things"))
    with monitoring.testing.captured() as reports:
        answer = await case.ask(query)
    assert (answer.fallback_level, answer.degrade_reason) == (3 if query is USER else 2, f"{stage}_failed")
    assert reports.point_ids[0] == point
    assert reports[0].fingerprint[-1] == "ZeroDivisionError"
    assert reports[0].tags["endpoint"] == query.endpoint.value
    assert reports[0].tags["degrade_reason"] == f"{stage}_failed"
    # Level 1 was read and had nothing: that is not an event.
    assert "fallback.redis_failed" not in reports.point_ids
    assert not any(report.point_id.startswith("redis.") for report in reports)


@pytest.mark.parametrize(
    ("query", "point"),
    [(SIMILAR, "api.similar_timeout"), (DETAIL, "api.detail_timeout"), (USER, "api.unhandled")],
    ids=lambda value: getattr(value, "endpoint", value),
)
@pytest.mark.parametrize(("stage", "seconds"), [("read", 0.09), ("recall", 0.12), ("rank", 0.15)])
async def test_a_stage_that_uses_the_time_of_later_stages_ends_the_main_path(
    case: Case, query: Query, point: str, stage: str, seconds: float
) -> None:
    case.slow(stage, seconds - 0.001)
    assert (await case.ask(query)).fallback_level == 0
    case.slow(stage, seconds + 0.001)
    with monitoring.testing.captured() as reports:
        answer = await case.ask(Query(query.endpoint, 9, query.dataset_id, query.user_id))
    assert (answer.fallback_level, answer.degrade_reason) == (3 if query is USER else 2, "timeout")
    assert reports.point_ids[0] == point


async def test_the_last_good_answer_comes_first_and_names_the_model_that_gave_it(case: Case) -> None:
    good = await case.ask(SIMILAR)
    assert isinstance(case.engine, Faulty)
    case.engine.rank_error = ZeroDivisionError()
    case.forget_results()
    with monitoring.testing.captured() as reports:
        answer = await case.ask(SIMILAR)
    assert (answer.fallback_level, answer.items, answer.model_version) == (1, good.items, "1")
    assert reports.point_ids == ["api.similar_failed"]


async def test_a_redis_that_answers_with_errors_is_still_read_for_the_last_good_answer(case: Case) -> None:
    case.redis.error = REFUSING
    with monitoring.testing.captured() as reports:
        answer = await case.ask(SIMILAR)
    assert (answer.fallback_level, answer.degrade_reason) == (2, "redis_error")
    # The main read, and the read of level 1.
    assert reports.point_ids == [
        "redis.unexpected_error",
        "redis.unexpected_error",
        "fallback.redis_failed",
        "fallback.precomputed_used",
    ]


PACKED = StoredAnswer(Served("ranker", "1", "primary"), [105, 106], b'[{"reasons":[1]},2]', 3, "v1").pack()
MALFORMED = [
    b"",
    b"garbage",
    *(PACKED[:length] for length in (1, 20, 40, len(PACKED) - 4, len(PACKED) - 1)),
    PACKED + b"]",
]
FOREIGN = [b"A0" + PACKED[2:], PACKED.replace(b"model_version", b"model_versiom"), PACKED.replace(b"v1", b"v\xff")]


async def test_a_stored_answer_unpacks_to_itself() -> None:
    for answer in (StoredAnswer.unpack(PACKED), StoredAnswer(Served("a", "b", "c", 'd"'), [], b"[]")):
        assert StoredAnswer.unpack(answer.pack()) == answer


@pytest.mark.parametrize("value", MALFORMED + FOREIGN)
async def test_a_last_good_answer_that_does_not_decode_is_a_redis_failure(case: Case, value: bytes) -> None:
    case.redis.values[redis_keys.last_good(SIMILAR.digest())] = value
    assert isinstance(case.engine, Faulty)
    case.engine.rank_error = ZeroDivisionError()
    with monitoring.testing.captured() as reports:
        answer = await case.ask(SIMILAR)
    assert answer.fallback_level == 2
    assert reports.point_ids == [
        "api.similar_failed",
        "redis.unexpected_error",
        "fallback.redis_failed",
        "fallback.precomputed_used",
    ]


async def test_a_user_who_has_seen_everything_gets_what_is_popular(model: LoadedModel) -> None:
    case = Case(model, KnowsEverything(model.engine.contents))
    with monitoring.testing.captured() as reports:
        answer = await case.ask(USER)
    assert (answer.fallback_level, answer.degrade_reason) == (3, "no_candidates")
    assert reports.point_ids == ["fallback.static_popular_used"]


async def test_one_read_round_trip_serves_a_request(case: Case) -> None:
    for query in (SIMILAR, DETAIL, USER, TRENDING):
        before = case.redis.reads
        await case.ask(query)
        assert case.redis.reads == before + 1


async def test_degraded_answers_are_not_cached(case: Case) -> None:
    assert isinstance(case.engine, Faulty)
    case.engine.rank_error = ZeroDivisionError()
    await case.ask(SIMILAR)
    assert not [key for key in case.redis.values if key.startswith(("res:", "last:"))]


@pytest.mark.anyio
async def test_an_answer_that_cannot_be_packed_does_not_affect_the_rest_of_its_batch(model: LoadedModel) -> None:
    case = Case(model)
    served = Served("ranker", "1", "primary")
    for number, ids in enumerate(([105], ["no id"], [106])):
        answer = StoredAnswer(served, cast("list[int]", ids), b"[]")
        case.write_behind.add(f"r-{number}", answer, {f"res:{number}": 60}, SIMILAR, 0)
    with monitoring.testing.captured() as reports:
        await case.write_behind.drain()
    assert sorted(case.redis.values) == ["res:0", "res:2"]
    assert (reports.point_ids, reports[0].tags["loop"]) == (["api.background_failed"], "cache writes")


@pytest.mark.parametrize("query", [SIMILAR, DETAIL, USER])
async def test_the_keys_of_answers_to_a_user_and_no_others_name_the_user(case: Case, query: Query) -> None:
    await case.ask(query)
    pattern = redis_keys.answers_of(query.user_id or 1)
    matching = [key for key in case.redis.values if fnmatchcase(key, pattern)]
    assert len(case.redis.values) == 2
    assert len(matching) == (0 if query.user_id is None else 2)


async def test_last_good_answers_of_the_release_before_are_found(case: Case) -> None:
    before = await case.ask(USER)
    digest = USER.digest()
    case.redis.values = {redis_keys.last_good(digest): case.redis.values[redis_keys.last_good(digest, USER.user_id)]}
    case.engine.recall_error = ValueError("broken")  # type: ignore[attr-defined]
    after = await case.ask(USER)
    assert (after.fallback_level, after.items) == (1, before.items)


@pytest.mark.parametrize("query", [SIMILAR, DETAIL, USER])
async def test_a_last_good_answer_is_shown_without_datasets_that_have_been_withdrawn_since(
    case: Case, query: Query
) -> None:
    before = await case.ask(query)
    withdrawn = [item.dataset_id for item in before.items][:4]
    case.withdrawn.current = Withdrawn(WithdrawnList.of(1, withdrawn))
    case.forget_results()
    case.engine.recall_error = ValueError("broken")  # type: ignore[attr-defined]
    after = await case.ask(query)
    assert after.fallback_level == 1
    assert [item.dataset_id for item in after.items] == [item.dataset_id for item in before.items][4:]


async def test_a_last_good_answer_whose_every_dataset_is_withdrawn_is_not_used(case: Case) -> None:
    before = await case.ask(SIMILAR)
    case.withdrawn.current = Withdrawn(WithdrawnList.of(1, [item.dataset_id for item in before.items]))
    case.forget_results()
    case.engine.recall_error = ValueError("broken")  # type: ignore[attr-defined]
    assert (await case.ask(SIMILAR)).fallback_level == 2


def test_the_json_of_the_levels_below_redis_is_written_before_the_model_serves(model: LoadedModel) -> None:
    case = Case(model)
    assert case.models.serving is not None
    (arm,) = case.models.serving.arms
    popular = arm.model.engine.contents.recall.popular.items[:10]
    assert not any(arm.model.cards.written.texts(popular))
    case.fallback.prepare(arm)
    assert all(arm.model.cards.written.texts(popular))


def test_a_broken_list_does_not_prevent_a_model_from_serving(model: LoadedModel) -> None:
    contents = replace(model.engine.contents, trending=cast("Any", None))
    case = Case(model, Engine(contents))
    assert case.models.serving is not None
    case.fallback.prepare(case.models.serving.arms[0])
