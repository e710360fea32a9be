"""A shadow gets the primary's queries after their answers, and only the comparison sees its results."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from prometheus_client import CollectorRegistry

import monitoring.testing
from contracts import redis_keys
from contracts.events import Exposure, read_entry
from ranking.engine import Engine, Ranked, RankingQuery
from ranking.recall import Candidates
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import MainPathResult, RankedPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.answers.stored import Served, StoredAnswer
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import Metrics
from recommender_api.models.serving import Arm, LoadedModel, Models, Serving
from recommender_api.redis_store import Address, Breaker, GuardedStore, MemoryStore, StoreUnavailableError
from recommender_api.shadow import Mirror, ShadowMetrics
from recommender_api.shadow.comparison import AT, AnswerHead, Comparison, Pair, stability_index
from recommender_api.shadow.mirror import MAX_WAITING
from recommender_api.withdrawal import WithdrawnFile, WithdrawnWatch
from testkit.fake_registry import SINCE, FakeRegistry
from testkit.running_app import RunningApp

ADMIN_TOKEN = "admin-token-of-the-tests"
Until = Callable[..., None]
Start = Callable[..., RunningApp]


def report(api: RunningApp) -> dict[str, Any]:
    return api.ask("/models/shadow")


def with_shadow(registry: FakeRegistry, archive: Any, version: str = "2") -> None:
    assert registry.active is not None
    registry.deploy(registry.active["primary"], shadow=registry.push(version, archive))


def shown_by(answer: dict[str, Any]) -> list[tuple[str, int]]:
    return [(answer["request_id"], item["dataset_id"]) for item in answer["items"]]


def exposed(client: redis.Redis) -> list[tuple[str, int]]:
    """Every exposure in the stream: the request's id and the dataset's, sorted."""
    shown = [read_entry(fields) for _, fields in client.xrange(redis_keys.EVENT_STREAM)]
    return sorted((each.request_id, id_) for each in shown if isinstance(each, Exposure) for id_ in each.dataset_ids)


def test_the_shadows_answers_reach_no_user_no_cache_and_no_exposure_log(
    start: Start, registry: FakeRegistry, archives: Any, redis_client: redis.Redis, until: Until
) -> None:
    with_shadow(registry, archives.second)
    api = start(shadow_sample_rate=1.0, shadow_cpu_share=1.0)
    until(lambda: api.get("/models/shadow").status_code == 200)
    answers = [api.ask(f"/recommend/user/{user}", limit=5) for user in range(1, 21)]
    until(lambda: report(api)["compared"] == 20)
    assert {(answer["model_version"], answer["model_variant"]) for answer in answers} == {("1", "primary")}
    until(lambda: exposed(redis_client) == sorted(ids for answer in answers for ids in shown_by(answer)))
    assert len(redis_client.keys("res:*")) == len(redis_client.keys("last:*")) == 20
    for value in redis_client.mget(redis_client.keys("res:*")):
        assert StoredAnswer.unpack(value).served.model_version == "1"


def test_the_report_and_the_metrics_show_the_difference(
    start: Start, registry: FakeRegistry, archives: Any, until: Until
) -> None:
    with_shadow(registry, archives.second)
    api = start(shadow_sample_rate=1.0, shadow_cpu_share=1.0)
    until(lambda: api.get("/models/shadow").status_code == 200)
    for dataset in range(101, 131):
        api.ask(f"/similar/{dataset}")
    until(lambda: report(api)["compared"] == 30)
    found = report(api)
    assert (found["primary_version"], found["shadow_version"], found["replica_id"]) == ("1", "2", "replica-1")
    assert 0 < found["overlap_at_10"] < 1
    assert found["score_difference"] > 0
    assert found["score_psi"] > 0
    for latency in (found["primary_latency"], found["shadow_latency"]):
        assert 0 < latency["p50_ms"] <= latency["p99_ms"]
    metrics = api.get("/metrics").text
    assert 'recommender_shadow_questions_total{outcome="compared",version="2"} 30.0' in metrics
    assert 'recommender_shadow_overlap_at_10_count{version="2"} 30.0' in metrics
    assert 'recommender_shadow_seconds_count{model="shadow",version="2"} 30.0' in metrics
    assert 'recommender_shadow_score_psi{version="2"}' in metrics


def test_a_shadow_that_is_the_same_model_does_not_differ(
    start: Start, registry: FakeRegistry, archives: Any, until: Until
) -> None:
    with_shadow(registry, archives.first, version="7")
    api = start(shadow_sample_rate=1.0, shadow_cpu_share=1.0)
    until(lambda: api.get("/models/shadow").status_code == 200)
    for dataset in range(101, 121):
        api.ask(f"/similar/{dataset}")
    until(lambda: report(api)["compared"] == 20)
    assert [report(api)[name] for name in ("overlap_at_10", "score_difference", "score_psi")] == [1.0, 0.0, 0.0]


def test_a_shadow_that_cannot_be_loaded_does_not_affect_serving_and_is_reported_once(
    start: Start, registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    with_shadow(registry, archives.second)
    registry.bundles["2"] = b"not a bundle"
    with monitoring.testing.captured() as reports:
        for _ in range(3):
            assert api.post("/models/reload", token=ADMIN_TOKEN).status_code == 200
        assert api.ask("/similar/105")["fallback_level"] == 0
    assert reports.point_ids == ["model.deployment_failed"]
    assert reports[0].tags["model_version"] == "2"
    missing = api.get("/models/shadow")
    assert missing.status_code == 404
    assert "checksum" in missing.json()["detail"]
    registry.bundles["2"] = archives.second.read_bytes()
    with monitoring.testing.captured() as reports:
        assert api.post("/models/reload", token=ADMIN_TOKEN).status_code == 200
    assert report(api)["shadow_version"] == "2"
    assert [each.point_id for each in reports.recovered] == ["model.deployment_failed", "model.source_not_found"]


def test_a_shadow_never_replaces_a_failed_primary_as_the_model_to_start_from(
    start: Start, registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    damaged = registry.push("2", archives.second)
    registry.bundles["2"] = b"not a bundle"
    registry.deploy(damaged, shadow=registry.push("3", archives.second))
    assert api.post("/models/reload", token=ADMIN_TOKEN).status_code == 409
    assert report(api)["shadow_version"] == "3"
    api.__exit__(None, None, None)
    registry.mode = "503"
    assert start().ask("/similar/105")["model_version"] == "1"


def test_the_series_of_a_shadow_that_leaves_are_removed(start: Start, registry: FakeRegistry, archives: Any) -> None:
    api = start(model_poll_seconds=3600)
    with_shadow(registry, archives.second)
    api.post("/models/reload", token=ADMIN_TOKEN)
    assert report(api)["compared"] == 0
    assert registry.active is not None
    registry.deploy(registry.active["primary"])
    api.post("/models/reload", token=ADMIN_TOKEN)
    assert api.get("/models/shadow").status_code == 404
    assert 'version="2"' not in api.get("/metrics").text


def test_a_shadow_that_becomes_primary_is_not_fetched_again(
    start: Start, registry: FakeRegistry, archives: Any
) -> None:
    api = start(model_poll_seconds=3600)
    with_shadow(registry, archives.second)
    api.post("/models/reload", token=ADMIN_TOKEN)
    downloads = registry.downloads
    assert registry.active is not None
    registry.deploy(registry.active["shadow"])
    assert api.post("/models/reload", token=ADMIN_TOKEN).json()["model_version"] == "2"
    assert registry.downloads == downloads


class Broken(Engine):
    """An engine whose ranking fails."""

    def rank_fused(self, *_: Any, **__: Any) -> None:
        return None

    def rank(self, question: RankingQuery, candidates: Candidates, limit: int) -> Ranked:
        raise KeyError("broken")


class Case:
    """A mirror over a Redis in memory, on a clock that only sleeping moves."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        shadow: Engine | None = None,
        share: float = 1.0,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.now = 0.0
        self.redis = MemoryStore()
        breaker = Breaker(self.redis.probe, on_close=lambda: None, failures_to_open=10**9)
        store = GuardedStore(self.redis, breaker, Address("cache.example.com", 6379, 0))
        self.models = Models()
        self.models.serving = Serving("ranker", model, None, SINCE)
        deployment = model.deployment.model_copy(update={"version": "2", "deployment_id": 2})
        self.models.shadow = LoadedModel(deployment, model.manifest, shadow or model.engine)
        metrics = Metrics()
        withdrawn = WithdrawnWatch(store, WithdrawnFile(Path("unused")))
        errors = FastPathErrors(metrics.fast_path_failed)
        self.path = RankedPath(store, SnapshotWatch(store), withdrawn, metrics.stages, errors)
        self.slept: list[float] = []
        self.mirror = Mirror(
            self.models,
            self.path,
            ShadowMetrics(CollectorRegistry()),
            sample_rate=0.25,
            cpu_share=share,
            chance=chance,
            clock=lambda: self.now,
            sleep=self._sleep,
        )
        self.mirror.follow()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def offer(self, query: Query = Query(Endpoint.SIMILAR, 10, dataset_id=105), *, variant: Any = "primary") -> None:
        assert self.models.serving is not None
        arm = Arm("ranker", self.models.serving.primary, variant)
        answer = StoredAnswer(Served("ranker", "1", variant), [105], b'[{"dataset_id":105,"score":0.5}]')
        self.mirror.offer(query, arm, "r-1", answer, 0.001)

    async def run(self) -> dict[str, int]:
        """Let the mirror process its queue."""
        async with asyncio.timeout(10):
            await self.mirror.step()
        assert self.mirror.comparison is not None
        return self.mirror.comparison.outcomes


@pytest.mark.anyio
async def test_a_shadow_that_fails_is_counted_each_time_and_reported_once(model: LoadedModel) -> None:
    case = Case(model, shadow=Broken(model.engine.contents))
    with monitoring.testing.captured() as reports:
        for _ in range(5):
            case.offer()
        assert await case.run() == {"compared": 0, "dropped": 0, "failed": 5}
    assert reports.point_ids == ["api.background_failed"]
    assert reports[0].tags["loop"] == "shadow"
    assert (reports[0].tags["model_version"], reports[0].tags["model_variant"]) == ("2", "shadow")


@pytest.mark.anyio
async def test_while_redis_is_unavailable_mirrored_queries_are_dropped(model: LoadedModel) -> None:
    case = Case(model)
    case.redis.error = StoreUnavailableError("Connection refused", "ConnectionError")
    case.offer()
    assert await case.run() == {"compared": 0, "dropped": 1, "failed": 0}


@pytest.mark.anyio
async def test_a_dataset_that_the_shadow_does_not_know_is_a_failed_query(model: LoadedModel) -> None:
    case = Case(model)
    case.offer(Query(Endpoint.SIMILAR, 10, dataset_id=10**12))
    assert await case.run() == {"compared": 0, "dropped": 0, "failed": 1}


@pytest.mark.anyio
async def test_above_the_limit_queries_are_dropped_and_counted(model: LoadedModel) -> None:
    case = Case(model)
    for _ in range(MAX_WAITING + 7):
        case.offer()
    assert await case.run() == {"compared": MAX_WAITING, "dropped": 7, "failed": 0}


@pytest.mark.anyio
async def test_the_shadow_pauses_so_that_it_keeps_to_its_share_of_the_time(model: LoadedModel) -> None:
    case = Case(model, share=0.05)
    ask = case.path.answer

    async def slowly(*arguments: Any) -> MainPathResult:
        case.now += 0.002
        return await ask(*arguments)

    case.path.answer = slowly  # type: ignore[method-assign]
    for _ in range(10):
        case.offer()
    assert (await case.run())["compared"] == 10
    assert case.slept == pytest.approx([0.002 * 19] * 10)


@pytest.mark.anyio
async def test_only_ranked_answers_are_mirrored(model: LoadedModel) -> None:
    case = Case(model)
    case.offer(Query(Endpoint.TRENDING, 10, timeframe="1h"))
    case.offer(variant="canary")
    case.offer(Query(Endpoint.USER, 10, user_id=7))
    assert await case.run() == {"compared": 1, "dropped": 0, "failed": 0}


@pytest.mark.anyio
async def test_a_sample_is_mirrored(model: LoadedModel) -> None:
    chances = iter(np.linspace(0, 1, 40, endpoint=False).tolist())
    case = Case(model, chance=lambda: float(next(chances)))
    for _ in range(40):
        case.offer()
    assert (await case.run())["compared"] == 10


def shown(ids: list[int], scores: list[float]) -> AnswerHead:
    return AnswerHead(ids, scores, 0.001)


def test_overlap_and_difference_worked_out_by_hand() -> None:
    pair = Pair(shown([1, 2, 3, 4], [0.9, 0.8, 0.7, 0.6]), shown([2, 9, 4], [0.7, 0.6, 0.6]))
    assert pair.overlap == 0.5
    assert pair.differences == pytest.approx([0.1, 0.0])
    assert Pair(shown([], []), shown([], [])).overlap == 1.0


def test_the_stability_index_worked_out_by_hand() -> None:
    before = np.arange(100) / 100
    assert stability_index(before, before) == pytest.approx(0.0)
    # Everything is in the highest of ten deciles: one share of 1, and nine of half an observation against tenths.
    moved = (1.0 - 0.1) * np.log(10) + 9 * (0.005 - 0.1) * np.log(0.05)
    assert stability_index(before, np.full(100, 0.99)) == pytest.approx(moved, rel=0.01)
    assert stability_index(before, np.empty(0)) is None


def test_the_heads_of_answers_are_compared() -> None:
    items = b"[%b]" % b",".join(b'{"dataset_id":%d,"score":0.5}' % number for number in range(1, 31))
    answer = StoredAnswer(Served("ranker", "1", "primary"), list(range(1, 31)), items)
    assert AnswerHead.of(answer, 0.001).ids == list(range(1, AT + 1))


def test_without_comparisons_there_are_no_figures() -> None:
    summary = Comparison("1", "2").summary()
    assert (summary.pairs, summary.overlap, summary.score_psi) == (0, None, None)
