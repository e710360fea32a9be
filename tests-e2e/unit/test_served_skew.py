"""What the API served is computed again by the pipeline, through Redis, feature-sync and PostgreSQL: bit for bit.

The answers are of yesterday, so that all events of that day are in the log by now.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from sqlalchemy import text

import feature_sync
from contracts import redis_keys
from contracts.bundle import unpack
from contracts.checksums import sha256_of
from contracts.deployments import ActiveDeployment
from contracts.events import BehaviorEvent, InteractionType
from contracts.features import USER_FEATURES
from contracts.snapshot import write_snapshot
from contracts.user_blob import History, UserBlob
from feature_sync.connections import RedisFaults, open_redis
from feature_sync.events.live import LiveFeatures
from feature_sync.events.log import EventLog
from feature_sync.events.stream import Reading
from feature_sync.forgetting.table import MarkTable
from feature_sync.metrics import Metrics as SyncMetrics
from feature_sync.served_features.activations import SnapshotActivations
from feature_sync.served_features.consumer import ServedFeatureConsumer
from feature_sync.served_features.table import ServedFeatureTable
from feature_sync.snapshots.job_store import JobStore
from feature_sync.snapshots.jobs import SyncJobs
from feature_sync.snapshots.switch import SnapshotSwitch
from monitoring.testing import captured
from pipeline.artifacts import join, writing
from pipeline.bundle.build import ARCHIVE
from pipeline.settings import Settings
from pipeline.skew import SkewResult, compare_served, signal
from pipeline.skew.comparison import LIVE_LAG_SECONDS, Verdict
from pipeline.skew.served import Activations
from ranking.engine import Engine
from ranking.testing import tiny_archive
from recommender_api.answers.budget import Budget
from recommender_api.answers.fast_path_errors import FastPathErrors
from recommender_api.answers.main_path import RankedPath
from recommender_api.answers.query import Endpoint, Query
from recommender_api.features import SnapshotWatch
from recommender_api.metrics import Metrics
from recommender_api.models.loading import load_model
from recommender_api.models.serving import Arm
from recommender_api.redis_store import Breaker, GuardedStore, RedisStore
from recommender_api.served_features import ServedFeatureLog, UserSample
from recommender_api.withdrawal import WithdrawnFile, WithdrawnWatch
from servicekit.database import migrate, open_database
from servicekit.database_calls import DatabaseCalls
from servicekit.redis_urls import disconnect, parse

pytestmark = pytest.mark.anyio
DAY = 86_400
PATIENCE_SECONDS = 60.0
USERS = tuple(range(1, 9))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Stack:
    """The parts of the stack that take part, each the real one; time is `now` (Unix seconds)."""

    def __init__(self, redis_url: str, database_url: str, folder: Path) -> None:
        self.now = time.time() - DAY
        self.began = datetime.fromtimestamp(self.now - 60, UTC)
        self.settings = Settings(
            database_url=SecretStr(database_url),
            artifact_url=str(folder / "artifacts"),
            registry_url="http://127.0.0.1:9",
        )
        self.redis_url = redis_url
        self.redis = open_redis(redis_url)
        self.engine = open_database(database_url, "events")
        migrate(self.engine, "events", Path(feature_sync.__file__).parent / "migrations")
        self.log = EventLog(self.engine)
        self.live = LiveFeatures(self.redis, lambda: self.now)
        calls = DatabaseCalls(self.engine, PATIENCE_SECONDS)
        table = ServedFeatureTable(self.engine, MarkTable(self.engine, SecretStr("key")))
        reading = Reading("one", 50, block_seconds=0.01)
        self.consumer = ServedFeatureConsumer(self.redis, table, calls, reading, SyncMetrics())
        self.activations = SnapshotActivations(self.redis, table, calls, lambda: datetime.fromtimestamp(self.now, UTC))
        self.dropped = 0
        self.store = RedisStore(parse(redis_url), budget=PATIENCE_SECONDS, stream_max_bytes=2**27)
        guarded = GuardedStore(self.store, Breaker(self.store.probe, on_close=lambda: None), self.store.address)
        self.snapshots = SnapshotWatch(guarded)
        self.served = ServedFeatureLog(guarded, self._count)
        metrics = Metrics()
        self.path = RankedPath(
            guarded,
            self.snapshots,
            WithdrawnWatch(guarded, WithdrawnFile(folder)),
            metrics.stages,
            FastPathErrors(metrics.fast_path_failed),
            sample=UserSample(1.0),
            clock=lambda: self.now,
        )
        self.arm = self._deploy(folder)

    def _deploy(self, folder: Path) -> Arm:
        archive = tiny_archive(folder / "bundle.tar.gz")
        with writing(join(self.settings.artifact_url, "runs", "r1", "bundle")) as made:
            (made / ARCHIVE).write_bytes(archive.read_bytes())
        unpack(archive, folder / "unpacked")
        deployment = ActiveDeployment(
            deployment_id="1",
            version="1",
            bundle_url="/",
            sha256=sha256_of(archive),
            rollout=1.0,
            since=self.began,
        )
        return Arm("ranker", load_model(folder / "unpacked", deployment))

    def _count(self, number: int) -> None:
        self.dropped += number

    @property
    def datasets(self) -> list[int]:
        """The ids of the catalogue."""
        ids: list[int] = self.arm.model.engine.contents.catalogue.ids.tolist()
        return ids

    async def sync(self, name: str, mean_price: float, *, seen: bool = True) -> None:
        """Activate a snapshot; the API sees it if `seen`."""
        folder = Path(self.settings.artifact_url) / "snapshots" / name
        write_snapshot(folder, name, self.began, ((user, self._blob(user, mean_price)) for user in USERS[:-1]))
        jobs = SyncJobs(
            SnapshotSwitch(self.redis), JobStore(self.redis, "one"), RedisFaults(self.redis_url), SyncMetrics()
        )
        job = await jobs.submit(str(folder))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await jobs.step()
        assert (await jobs.get(job.job)).state == "done"
        await self.activations.note()
        if seen:
            await self.snapshots.poll()
        self.now += 60

    def _blob(self, user: int, mean_price: float) -> bytes:
        features = np.array([feature.default for feature in USER_FEATURES], np.float32)
        features[2] = mean_price
        ids = np.array(self.datasets[user : user + 4], np.int64)
        ts = np.arange(4, dtype=np.int64)[::-1] + int(self.now) - 10 * DAY
        return UserBlob(features, History(ids, ts, np.full(4, InteractionType.VIEW, np.uint8))).pack()

    async def act(self, user: int, place: int, kind: str = "view", *, is_late: bool = False) -> None:
        """A user acts on a dataset now; a late event is in the log, but not in the live history yet."""
        event = BehaviorEvent(
            event_id=f"e-{user}-{place}-{kind}",
            type=kind,
            user_id=user,
            dataset_id=self.datasets[place],
            ts=datetime.fromtimestamp(self.now, UTC),
        )
        self.log.add([event])
        if not is_late:
            await self.live.apply([event])
        self.now += 7

    async def ask(self, user: int, dataset: int | None = None, arm: Arm | None = None) -> None:
        """Ask for recommendations, and let what they were ranked with be stored."""
        query = (
            Query(Endpoint.USER, 10, user_id=user)
            if dataset is None
            else Query(Endpoint.DETAIL, 10, self.datasets[dataset], user)
        )
        budget = Budget(time.perf_counter, PATIENCE_SECONDS)
        result = await self.path.answer(query, arm or self.arm, budget)
        assert result.ranking is not None
        self.served.offer(f"req_{user}_{dataset}", result.ranking)
        self.now += 3

    async def compare(self) -> SkewResult:
        """Store everything, and compare as the nightly run does."""
        # The stream is there once somebody reads it.
        await self.consumer.step()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.served.step()
        while await self.redis.xlen(redis_keys.SERVED_STREAM):
            await self.consumer.step()
        until = datetime.fromtimestamp(self.now + 60, UTC)
        result = await asyncio.to_thread(compare_served, self.settings, since=self.began, until=until)
        assert self.dropped == 0
        assert result is not None
        return result

    async def close(self) -> None:
        """Close all connections."""
        await self.store.close()
        await disconnect(self.redis)
        self.engine.dispose()


@pytest.fixture
async def stack(redis_url: str, postgres_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    running = Stack(redis_url, postgres_url, tmp_path)
    await running.sync("s1", 4.0)
    yield running
    await running.close()


def _counts(result: SkewResult) -> dict[str, int]:
    return {str(verdict): count for verdict, count in result.verdicts.items() if count}


async def test_a_clean_day_has_no_difference(stack: Stack) -> None:
    for user in USERS:
        await stack.ask(user)
        await stack.act(user, 40 + user)
        await stack.act(user, 50 + user, "purchase")
        await stack.act(user, user + 1, "favorite")
        await stack.ask(user)
        await stack.ask(user, dataset=20 + user)
        await stack.act(user, 60 + user)
    await stack.sync("s2", 5.0)
    for user in USERS:
        await stack.ask(user)
    result = await stack.compare()
    assert _counts(result) == {"equal": 4 * len(USERS)}
    assert (result.severity, result.cause, result.differing) == ("ok", None, 0)


async def test_an_event_that_came_after_the_answer_is_named_as_the_cause(stack: Stack) -> None:
    await stack.act(1, 41)
    await stack.act(1, 42, is_late=True)
    await stack.ask(1)
    await stack.ask(2)
    result = await stack.compare()
    assert _counts(result) == {"equal": 1, "late_event": 1}
    assert [(each.request_id, each.cause) for each in result.examples] == [("req_1_None", Verdict.LATE_EVENT)]
    assert result.severity == "warning"


async def test_an_answer_from_another_snapshot_than_the_active_one_is_stale(stack: Stack) -> None:
    await stack.sync("s2", 6.0, seen=False)
    # The old keys are still there: they leave a minute after the switch.
    await stack.ask(1)
    await stack.snapshots.poll()
    await stack.ask(2)
    result = await stack.compare()
    assert _counts(result) == {"equal": 1, "stale_snapshot": 1}


async def test_a_changed_feature_function_is_a_difference_of_the_code(stack: Stack) -> None:
    contents = stack.arm.model.engine.contents
    rows = contents.item_rows.copy()
    rows[:, 0] += np.float32(1e-3)
    changed = replace(stack.arm.model, engine=Engine(replace(contents, item_rows=rows)))
    await stack.ask(1, arm=Arm("ranker", changed))
    await stack.ask(2)
    result = await stack.compare()
    assert _counts(result) == {"equal": 1, "code": 1}
    assert (result.severity, result.cause) == ("critical", Verdict.CODE)


async def test_a_live_history_that_is_not_that_of_the_log_is_named_as_the_cause(stack: Stack) -> None:
    await stack.act(1, 41)
    with stack.engine.begin() as connection:
        connection.execute(text("UPDATE events.behavior_events SET received_at = ts"))
    stack.now += LIVE_LAG_SECONDS
    await stack.redis.delete(redis_keys.live_history(1))
    await stack.ask(1)
    assert _counts(await stack.compare()) == {"live_history": 1}


async def test_a_bundle_that_another_registry_knows_by_another_number_is_compared(stack: Stack) -> None:
    model = stack.arm.model
    other = replace(model, deployment=model.deployment.model_copy(update={"version": "7"}))
    await stack.ask(1)
    await stack.ask(2, arm=Arm("ranker", other))
    assert _counts(await stack.compare()) == {"equal": 2}


async def test_what_is_gone_cannot_be_compared_and_is_counted(stack: Stack, tmp_path: Path) -> None:
    await stack.ask(1)
    (tmp_path / "artifacts" / "snapshots" / "s1").rename(tmp_path / "gone")
    assert _counts(await stack.compare()) == {"unverifiable": 1}


def test_around_a_switch_both_snapshots_are_the_active_one_and_before_the_first_none_is_known() -> None:
    active = Activations([(2000.0, "s2"), (1000.0, "s1")])
    assert [active.at(moment) for moment in (900.0, 996.0, 1500.0, 1996.0, 2004.0, 2006.0)] == [
        [],
        ["s1"],
        ["s1"],
        ["s2", "s1"],
        ["s2", "s1"],
        ["s2"],
    ]
    assert Activations([]).at(1000.0) == []


def test_the_worst_cause_is_reported_and_a_night_without_one_ends_the_incident() -> None:
    now = datetime.now(UTC)

    def result(**verdicts: int) -> SkewResult:
        return SkewResult(since=now, until=now, verdicts={Verdict(name): count for name, count in verdicts.items()})

    found = []
    for verdicts in (
        {"equal": 999, "code": 1},
        {"equal": 90, "late_event": 10},
        {"equal": 99, "late_event": 1},
        {"unverifiable": 5},
    ):
        with captured() as seen:
            signal(result(**verdicts))
        ended = [each.point_id for each in seen.recovered]
        found.append([*((each.level, each.tags["cause"]) for each in seen), *ended])
    assert found == [[("error", "code")], [("warning", "late_event")], ["pipeline.feature_skew"], []]
