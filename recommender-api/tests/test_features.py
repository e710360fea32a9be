"""A user's features and history reach the ranker from Redis exactly as in training, or not at all."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis

from contracts import redis_keys
from contracts.events import InteractionType
from contracts.feature_spec import FEATURE_SPECS, FeatureSpec
from contracts.features import FEATURE_SCHEMA, USER_FEATURES
from contracts.user_blob import History, UserBlob
from ranking.engine import Engine, RankingQuery
from ranking.own_columns import OwnColumn, OwnColumns
from ranking.user import default_features
from recommender_api.features import SnapshotWatch, UserBlobs
from recommender_api.models.serving import LoadedModel
from recommender_api.redis_store import Address, Breaker, GuardedStore, MemoryStore, StoreUnavailableError
from testkit.running_app import RunningApp

NOW = 1_767_225_600
HISTORY = History(
    np.array([150, 140, 130]), np.array([NOW, NOW - 60, NOW - 120]), np.full(3, InteractionType.VIEW, np.uint8)
)
FEATURES = np.array([1.5, 0.2, 4.0, 0.5, 0.9, 0.3, 0.8, 0.1], np.float32)
FIRST_RELEASE_SCHEMA = "e98a244902e8ff2e"
UNKNOWN_SCHEMA = "0123456789abcdef"


def sync(client: redis.Redis, user: UserBlob, schema: str | None = FEATURE_SCHEMA, version: str = "v1") -> None:
    """Put a snapshot of one user, 7, into Redis as feature-sync does."""
    client.set(redis_keys.user_features(version, 7), user.pack())
    if schema is not None:
        client.set(redis_keys.snapshot_schema(version), schema)
    client.set(redis_keys.SNAPSHOT_POINTER, version)


def ids(answer: dict[str, Any]) -> list[int]:
    return [item["dataset_id"] for item in answer["items"]]


def expected(model: LoadedModel, features: np.ndarray | None, history: History = HISTORY) -> list[int]:
    """Return the engine's answer to the same query."""
    engine = model.engine
    question = RankingQuery(user=engine.user(features, history.packed(), at=int(time.time())))
    return engine.contents.catalogue.ids[engine.rank(question, engine.recall(question), 10).items].tolist()


def test_a_users_blob_decides_the_answer(
    start: Callable[..., RunningApp], redis_client: redis.Redis, model: LoadedModel
) -> None:
    sync(redis_client, UserBlob(FEATURES, HISTORY))
    answer = start().ask("/recommend/user/7", explain=True)
    assert ids(answer) == expected(model, FEATURES)
    assert ids(answer) != expected(model, None, History())


@pytest.mark.parametrize("how", ["by its schema", "by the number of features"])
def test_a_snapshot_of_another_feature_schema_leaves_the_defaults_and_the_history(
    start: Callable[..., RunningApp], redis_client: redis.Redis, model: LoadedModel, how: str
) -> None:
    if how == "by its schema":
        sync(redis_client, UserBlob(FEATURES, HISTORY), schema=UNKNOWN_SCHEMA)
    else:
        sync(redis_client, UserBlob(np.ones(len(USER_FEATURES) + 1, np.float32), HISTORY), schema=None)
    answer = start().ask("/recommend/user/7")
    assert ids(answer) == expected(model, None)
    assert answer["fallback_level"] == 0


def test_a_snapshot_of_an_unknown_schema_is_answered_with_defaults_and_said_once_in_the_log(
    start: Callable[..., RunningApp],
    redis_client: redis.Redis,
    model: LoadedModel,
    caplog: pytest.LogCaptureFixture,
    until: Callable[..., None],
) -> None:
    api = start()
    with caplog.at_level(logging.WARNING, logger="recommender_api.features.snapshot"):
        sync(redis_client, UserBlob(FEATURES, HISTORY), schema=UNKNOWN_SCHEMA)
        until(lambda: "v1" in api.ask("/health")["checks"]["features"]["detail"])
        for limit in (10, 11, 12):
            answer = api.ask(f"/recommend/user/7?limit={limit}")
            assert ids(answer)[:10] == expected(model, None)
            assert answer["fallback_level"] == 0
        time.sleep(0.5)  # some polls
    said = [record.getMessage() for record in caplog.records if "feature schema" in record.getMessage()]
    assert len(said) == 1
    assert "snapshot v1" in said[0]
    assert UNKNOWN_SCHEMA in said[0]


def test_a_snapshot_of_the_first_release_gives_its_three_features_and_defaults_for_the_rest(
    start: Callable[..., RunningApp], redis_client: redis.Redis, model: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="recommender_api.features.snapshot"):
        sync(redis_client, UserBlob(FEATURES[:3], HISTORY), schema=FIRST_RELEASE_SCHEMA)
        answer = start().ask("/recommend/user/7")
    assert [record for record in caplog.records if record.name == "recommender_api.features.snapshot"] == []
    completed = np.concatenate([FEATURES[:3], default_features()[3:]])
    assert ids(answer) == expected(model, completed)


@pytest.mark.parametrize("schema", [FIRST_RELEASE_SCHEMA.encode(), None])
@pytest.mark.anyio
async def test_the_three_features_of_a_blob_of_the_first_release_are_read(
    model: LoadedModel, schema: bytes | None
) -> None:
    watched = Watched()
    watched.redis.values[redis_keys.SNAPSHOT_POINTER] = b"v1"
    if schema is not None:
        watched.redis.values[redis_keys.snapshot_schema("v1")] = schema
    await watched.watch.poll()
    undecodable: list[Exception] = []
    blobs = UserBlobs(7, watched.watch.active, lambda error, _key: undecodable.append(error))
    features, history = blobs.long_term([None, UserBlob(FEATURES[:3], HISTORY).pack()], model.engine)
    user = model.engine.user(features, history)
    assert undecodable == []
    assert user.features.tolist() == FEATURES[:3].tolist() + default_features()[3:].tolist()
    assert len(user.items) == 3


def declared(*names: str, sql: str = "1") -> OwnColumns:
    """Return columns of users whose defaults are 0.5."""
    return OwnColumns(users=tuple(OwnColumn(name=name, sql=sql, type="number", default=0.5) for name in names))


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        (declared("a", "b"), declared("a", "b"), [7.0, 8.0]),
        (declared("a", "b"), declared("b"), [8.0]),
        (declared("b", "a"), declared("a", "c"), [8.0, 0.5]),
        (declared("a", "b", sql="2"), declared("a"), [0.5]),
        (declared("a", "b"), declared(), []),
    ],
    ids=["the same", "fewer", "another one", "of other SQL", "a bundle without any"],
)
@pytest.mark.anyio
async def test_a_model_gets_the_declared_columns_of_a_snapshot_that_it_was_trained_on(
    model: LoadedModel,
    caplog: pytest.LogCaptureFixture,
    stored: OwnColumns,
    wanted: OwnColumns,
    expected: list[float],
) -> None:
    watched, contents = Watched(), model.engine.contents
    engine = Engine(replace(contents, own=wanted))
    named = [FeatureSpec.of(feature) for feature in (*USER_FEATURES, *stored.user_features)]
    watched.point("v1", FEATURE_SCHEMA)
    watched.redis.values[redis_keys.snapshot_features("v1")] = FEATURE_SPECS.dump_json(named)
    await watched.watch.poll()
    blobs = UserBlobs(7, watched.watch.active, lambda error, _key: pytest.fail(str(error)))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            own = np.array([7.0, 8.0], np.float32)
            blob = UserBlob(np.concatenate([FEATURES, own]), HISTORY).pack()
            features, history = blobs.long_term([None, blob], engine)
            assert features is not None
            assert features.tolist() == [*FEATURES.tolist(), *expected]
            assert history.entries == len(HISTORY)
            # A damaged blob of more or fewer values than its snapshot names.
            longer = np.ones(len(named) + 1, np.float32)
            assert blobs.long_term([None, UserBlob(longer, HISTORY).pack()], engine)[0] is None
    lacking = {name for name in engine.contents.own.user_features if name not in stored.user_features}
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == (1 if lacking else 0)
    assert watched.watch.active is not None
    assert watched.watch.active.lacking == {feature.name for feature in lacking}


@pytest.mark.anyio
async def test_features_that_are_no_list_leave_the_defaults(model: LoadedModel) -> None:
    watched = Watched()
    watched.point("v1", FEATURE_SCHEMA)
    watched.redis.values[redis_keys.snapshot_features("v1")] = b'[{"name": 1}]'
    await watched.watch.poll()
    blobs = UserBlobs(7, watched.watch.active, lambda error, _key: pytest.fail(str(error)))
    assert blobs.long_term([None, UserBlob(FEATURES, HISTORY).pack()], model.engine)[0] is None


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ({"v3": 3.0, "v2": 2.0, "v1": 1.0}, 3.0),
        ({"v2": 2.0, "v1": 1.0}, 2.0),
        ({"v1": 1.0}, 1.0),
        ({"v3": None, "v1": 1.0}, None),
        ({"v3": 3.0, "v2": None, "v1": 1.0}, 3.0),
        ({}, None),
    ],
    ids=["changed", "changed before", "unchanged", "removed", "removed and back", "unknown"],
)
@pytest.mark.anyio
async def test_of_a_snapshot_and_its_bases_the_newest_state_of_a_user_is_read(
    model: LoadedModel, stored: dict[str, float | None], read: float | None
) -> None:
    watched = Watched()
    watched.point("v3", FEATURE_SCHEMA)
    watched.redis.values[redis_keys.snapshot_bases("v3")] = b"v2 v1"
    for version, mark in stored.items():
        blob = b"" if mark is None else UserBlob(np.full(len(USER_FEATURES), mark, np.float32), HISTORY).pack()
        watched.redis.values[redis_keys.user_features(version, 7)] = blob
    await watched.watch.poll()
    blobs = UserBlobs(7, watched.watch.active, lambda error, _key: pytest.fail(str(error)))
    assert len(blobs.keys) == 4, "the live history, and all versions in one call"
    features, history = blobs.long_term([watched.redis.values.get(key) for key in blobs.keys], model.engine)
    assert (None if features is None else float(features[0])) == read
    assert history.entries == (0 if read is None else len(HISTORY))


@pytest.mark.anyio
async def test_a_damaged_state_is_reported_by_the_key_of_its_version(model: LoadedModel) -> None:
    watched = Watched()
    watched.point("v3", FEATURE_SCHEMA)
    watched.redis.values[redis_keys.snapshot_bases("v3")] = b"v2 v1"
    await watched.watch.poll()
    undecodable: list[str] = []
    blobs = UserBlobs(7, watched.watch.active, lambda _error, key: undecodable.append(key))
    assert blobs.long_term([None, None, b"damaged", b"older"], model.engine)[0] is None
    assert undecodable == [redis_keys.user_features("v2", 7)]


def test_a_user_is_answered_by_the_base_of_the_active_snapshot(
    start: Callable[..., RunningApp], redis_client: redis.Redis, model: LoadedModel, until: Callable[..., None]
) -> None:
    sync(redis_client, UserBlob(FEATURES, HISTORY), version="v1")
    api = start()
    until(lambda: ids(api.ask("/recommend/user/7")) == expected(model, FEATURES))
    redis_client.mset(
        {
            redis_keys.snapshot_schema("v2"): FEATURE_SCHEMA,
            redis_keys.snapshot_bases("v2"): "v1",
            redis_keys.SNAPSHOT_POINTER: "v2",
        }
    )
    until(lambda: "v2" in api.ask("/health")["checks"]["features"]["detail"])
    assert ids(api.ask("/recommend/user/7")) == expected(model, FEATURES)


def test_the_pointer_is_followed(
    start: Callable[..., RunningApp], redis_client: redis.Redis, model: LoadedModel, until: Callable[..., None]
) -> None:
    api = start()
    assert ids(api.ask("/recommend/user/7")) == expected(model, None, History())
    sync(redis_client, UserBlob(FEATURES, HISTORY), version="v2")
    # The cached result was computed without the snapshot, so it is no longer valid.
    until(lambda: ids(api.ask("/recommend/user/7")) == expected(model, FEATURES))
    assert "v2" in api.ask("/health")["checks"]["features"]["detail"]


class Watched:
    def __init__(self) -> None:
        self.redis = MemoryStore()
        breaker = Breaker(self.redis.probe, on_close=lambda: None)
        self.watch = SnapshotWatch(GuardedStore(self.redis, breaker, Address("localhost", 6379, 0)).without_reporting())

    def point(self, version: str, schema: str) -> None:
        self.redis.values[redis_keys.SNAPSHOT_POINTER] = version.encode()
        self.redis.values[redis_keys.snapshot_schema(version)] = schema.encode()


@pytest.mark.anyio
async def test_a_foreign_schema_is_logged_once_per_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.WARNING):
        for version in ("v1", "v1", "v2", "v2"):
            watched.point(version, UNKNOWN_SCHEMA)
            await watched.watch.poll()
    assert [record.args[0] for record in caplog.records] == ["v1", "v2"]


@pytest.mark.anyio
async def test_while_redis_is_away_the_known_snapshot_stays() -> None:
    watched = Watched()
    watched.point("v1", FEATURE_SCHEMA)
    await watched.watch.poll()
    watched.redis.error = StoreUnavailableError("down", "ConnectionError")
    await watched.watch.poll()
    assert watched.watch.active is not None
    assert (watched.watch.active.version, watched.watch.active.features) == ("v1", USER_FEATURES)


@pytest.mark.anyio
@pytest.mark.parametrize("pointer", [b"\xff\xfe", b"v" * 70_000])
async def test_a_pointer_that_is_not_a_valid_version_is_none(pointer: bytes) -> None:
    watched = Watched()
    watched.redis.values[redis_keys.SNAPSHOT_POINTER] = pointer
    await watched.watch.poll()
    assert watched.watch.active is None
