"""The ranker's input for a query is the same, bit for bit, in training and in the API."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from contracts.bundle import unpack
from contracts.deployments import ActiveDeployment
from contracts.events import BehaviorEvent, InteractionType
from contracts.features import FEATURES, SESSION_FEATURES, USER_FEATURES
from contracts.snapshot import write_snapshot
from feature_sync.connections import RedisFaults, open_redis
from feature_sync.events.live import LiveFeatures
from feature_sync.metrics import Metrics as SyncMetrics
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch
from pipeline.bundle import build_bundle
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.demo import DemoSize, generate
from pipeline.extract import extract, open_business
from pipeline.features.items import item_state
from pipeline.quality import clean
from pipeline.recall import build_tables, content_neighbours
from pipeline.records import Records
from pipeline.snapshot import user_blobs
from pipeline.train import TrainingPart, TrainSettings, train_on, training_queries
from pipeline.train.queries import user_at
from ranking.bundle import BundleContents
from ranking.engine import Best, Engine, FusedResult, Ranked, RankingQuery
from ranking.features import item_table
from ranking.item_stats import ItemStats
from ranking.own_columns import OwnColumn, OwnColumns
from ranking.recall import NO_POPULAR, Candidates, Neighbours, RecallSettings
from ranking.replay import Knowledge, candidate_features
from recommender_api.answers.budget import Budget
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import RankedPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import Metrics
from recommender_api.models.loading import load_model
from recommender_api.models.serving import Arm
from recommender_api.redis_store import Breaker, GuardedStore, RedisStore
from recommender_api.withdrawal import WithdrawnFile, WithdrawnWatch
from servicekit.redis_urls import parse

pytestmark = pytest.mark.anyio

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
# The interactions of the last days are events after snapshot and bundle.
LIVE_DAYS = 3
USERS = 120
SEED = 42
PATIENCE_SECONDS = 30.0
_HALF = (
    OwnColumn(name="quality", sql="1", type="number", default=0.5),
    OwnColumn(name="region", sql="2", type="category", categories=("north", "south")),
)
OWN = OwnColumns(datasets=_HALF, users=_HALF)
TRAINING = TrainSettings(queries=400, trees=10, leaves=15, own_features=OWN.names)
_OWN = slice(len(FEATURES), None)
_SESSION = [FEATURES.index(feature) for feature in SESSION_FEATURES]


class Watched(Engine):
    """An engine that stores its last ranking, by the fused call or, if `by_steps`, by separate steps."""

    by_steps = False
    best: Best
    ranked: Ranked

    def rank_fused(self, *user: Any, **question: Any) -> FusedResult | None:
        done = None if self.by_steps else super().rank_fused(*user, **question)
        if done is not None:
            self.best = done.best
        return done

    def rank(self, question: RankingQuery, candidates: Candidates, limit: int) -> Ranked:
        assert self.by_steps
        self.ranked = super().rank(question, candidates, limit)
        return self.ranked


class Offline(NamedTuple):
    """The pipeline's data at the time of the bundle."""

    records: Records
    contents: BundleContents
    stats: ItemStats


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """All interactions of a small marketplace, up to the last one of those users who ask and have live events."""
    folder = tmp_path_factory.mktemp("marketplace")
    (folder / "extract").mkdir()
    (folder / "clean").mkdir()
    url = f"sqlite:///{folder / 'business.db'}"
    database = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(database, generate(DemoSize(datasets=300, users=200, interactions=12_000), seed=7, end=END))
    database.dispose()
    with open_business(SecretStr(url)) as business:
        extract(business, None, None, folder / "extract")
    clean(folder / "extract", folder / "clean", END)
    records = Records.load(folder / "clean")
    records = replace(records, own_users=_own_values(len(records.user_ids)))
    return records.only(records.ts <= records.ts[(records.user < USERS) & (records.user % 2 == 0)].max())


@pytest.fixture(scope="module")
def offline(everything: Records) -> Offline:
    """The pipeline's view, some days before the end."""
    at = everything.end - LIVE_DAYS * 86_400
    records = replace(everything.only(everything.ts < at), end=at)
    state = item_state(records, SEED)
    content, provider, log_price, *_ = state.table
    table = item_table(content, provider, log_price, OWN, _own_values(len(provider)))
    tables = build_tables(records, content_neighbours(content), SEED)
    settings = RecallSettings()
    knowledge = Knowledge(tables, settings, table)
    parts = [TrainingPart(past, knowledge) for past in training_queries(records, TRAINING)]
    ranker = train_on(records, parts, TRAINING).text
    nothing = Neighbours(
        np.empty((len(records.catalogue), 0), np.int32), np.empty((len(records.catalogue), 0), np.float32)
    )
    stats = records.new_stats()
    stats.add(records.item, records.ts, records.types)
    contents = BundleContents(
        records.catalogue,
        state.rows,
        table,
        replace(tables, popular=state.popular, popular_30d=state.popular_30d),
        settings,
        ranker,
        nothing,
        state.trending,
        [],
        own=OWN,
    )
    return Offline(records, contents, stats)


@pytest.fixture(scope="module")
def arm(offline: Offline, tmp_path_factory: pytest.TempPathFactory) -> Arm:
    """The bundle as the API loads it from the pipeline's archive."""
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(
        offline.contents,
        offline.records,
        folder,
        name="ranker",
        run_id="1",
        git_commit=None,
        metrics={},
        created_at=END,
        seed=SEED,
        data_checks=[],
    )
    unpack(folder / "bundle.tar.gz", folder / "unpacked")
    deployment = ActiveDeployment(
        deployment_id="1", version="1", bundle_url="/", sha256="0" * 64, rollout=1.0, since=END
    )
    model = load_model(folder / "unpacked", deployment)
    return Arm("ranker", replace(model, engine=Watched(model.engine.contents)))


@pytest.fixture
async def path(redis_url: str, offline: Offline, everything: Records, tmp_path: Path) -> AsyncIterator[RankedPath]:
    """The API's main path over a Redis with a snapshot of feature-sync, and the live history of half of the users."""
    redis = open_redis(redis_url)
    user_features = (*USER_FEATURES, *OWN.user_features)
    write_snapshot(tmp_path / "s1", "s1", END, user_blobs(offline.records), user_features=user_features)
    jobs = SyncJobs(SnapshotSwitch(redis), JobStore(redis, "one"), RedisFaults(redis_url), SyncMetrics())
    job = await jobs.submit(str(tmp_path / "s1"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await jobs.step()
    assert (await jobs.get(job.job)).state == "done"
    await LiveFeatures(redis, END.timestamp).apply(_events(everything, everything.ts >= offline.records.end))
    await redis.aclose()

    store = RedisStore(parse(redis_url), budget=PATIENCE_SECONDS, stream_max_bytes=2**27)
    guarded = GuardedStore(store, Breaker(store.probe, on_close=lambda: None), store.address)
    snapshots = SnapshotWatch(guarded)
    await snapshots.poll()
    assert snapshots.active is not None
    metrics = Metrics()
    withdrawn = WithdrawnWatch(guarded, WithdrawnFile(tmp_path))
    yield RankedPath(
        guarded,
        snapshots,
        withdrawn,
        metrics.stages,
        FastPathErrors(metrics.fast_path_failed),
        # Within a second: a query's time is in whole seconds.
        clock=lambda: _asked_at(everything) + 0.9,
    )
    await store.close()


def _asked_at(records: Records) -> int:
    """The time of all queries: a minute after the last interaction."""
    return records.last + 60


def _events(records: Records, rows: NDArray[np.bool_]) -> list[BehaviorEvent]:
    """Return the events of users with even numbers, as the API accepts them."""
    return [
        BehaviorEvent(
            event_id=f"e-{row}",
            type=InteractionType(int(records.types[row])).name.lower(),
            user_id=int(records.user_ids[records.user[row]]),
            dataset_id=int(records.catalogue.ids[records.item[row]]),
            ts=datetime.fromtimestamp(int(records.ts[row]), UTC),
        )
        for row in np.flatnonzero(rows).tolist()
        if records.user[row] % 2 == 0
    ]


def _own_values(count: int) -> NDArray[np.float32]:
    """Return values of the declared columns, of datasets or users."""
    rng = np.random.default_rng(count)
    return np.column_stack([rng.random(count), rng.integers(0, 3, count)]).astype(np.float32)


def _bits(matrix: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(matrix).view(np.uint32)


async def test_training_features_equal_the_served_ones_bit_for_bit(
    path: RankedPath, arm: Arm, offline: Offline, everything: Records
) -> None:
    contents, engine = offline.contents, arm.model.engine
    assert isinstance(engine, Watched)
    tables = replace(contents.recall, popular=NO_POPULAR, popular_30d=NO_POPULAR)
    knowledge = Knowledge(tables, contents.recall_settings, contents.table)
    at = _asked_at(everything)
    asked = with_news = recently_changed = 0
    sessions, own = [], []
    for user, user_id in enumerate(everything.user_ids.tolist()[:USERS]):
        # Long-term features are those of the snapshot; the history grows with every event.
        before = user_at(offline.records, contents.recall_settings, user, None)
        now = user_at(everything if user % 2 == 0 else offline.records, contents.recall_settings, user, at)
        asking = now._replace(features=before.features)
        dataset_id = int(contents.catalogue.ids[user])
        for query, question in (
            (Query(Endpoint.SIMILAR, 10, dataset_id), RankingQuery(user)),
            (Query(Endpoint.DETAIL, 10, dataset_id, user_id), RankingQuery(user, asking)),
            (Query(Endpoint.USER, 10, user_id=user_id), RankingQuery(None, asking)),
        ):
            candidates, matrix = candidate_features(question, knowledge, offline.stats, offline.records.end)
            for by_steps in (False, True):
                engine.by_steps = by_steps
                await path.answer(query, arm, Budget(time.perf_counter, PATIENCE_SECONDS))
            ranked = engine.ranked
            np.testing.assert_array_equal(ranked.items, candidates.items[ranked.rows])
            np.testing.assert_array_equal(_bits(ranked.considered), _bits(matrix))
            np.testing.assert_array_equal(matrix[:, _SESSION], np.tile(question.user.session, (len(matrix), 1)))
            for rank_fused, step_by_step in zip(engine.best, ranked.best, strict=True):
                np.testing.assert_array_equal(rank_fused, step_by_step)
            asked += 1
            own.append(matrix[:, _OWN])
        with_news += len(now.seen) != len(before.seen)
        recently_changed += not np.array_equal(now.items[:3], before.items[:3])
        sessions.append(now.session)
    assert asked == 3 * USERS
    assert with_news > USERS / 10
    assert recently_changed > USERS / 10
    columns = np.concatenate(own)
    assert columns.shape[1] == len(OWN.names) == 6
    # Each declared column tells candidates apart, and those of pairs are what they say.
    assert (np.ptp(columns, axis=0) > 0).all()
    np.testing.assert_array_equal(columns[:, 4], columns[:, 0] - columns[:, 2])
    np.testing.assert_array_equal(columns[:, 5], (columns[:, 1] == columns[:, 3]) & (columns[:, 3] > 0))
    # The bundle says how all of them are distributed.
    quantiles = arm.model.manifest.feature_quantiles
    assert set(quantiles) == {*engine.feature_names, "score"}
    assert all(abs(sum(bins.shares) - 1) < 1e-4 for bins in quantiles.values())
    assert len(quantiles["score"].edges) == 9
    # Each session feature tells users apart.
    assert (np.ptp(sessions, axis=0) > 0).all()
