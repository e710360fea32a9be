"""A withdrawn dataset is in no answer: at every endpoint and level, through faults of Redis and restarts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis

import monitoring.testing
from contracts import redis_keys
from contracts.events import Exposure
from contracts.user_blob import History, LiveHistory
from contracts.withdrawn import HEAD_BYTES, WithdrawnList
from ranking.testing import FIRST_DATASET_ID
from recommender_api.answers.stored import MalformedAnswerError, Served, StoredAnswer
from recommender_api.models.serving import LoadedModel
from recommender_api.redis_store import Address, Breaker, GuardedStore, MemoryStore, StoreUnavailableError
from recommender_api.withdrawal import Withdrawn, WithdrawnFile, WithdrawnWatch
from testkit.redis_server import RedisServer
from testkit.running_app import RunningApp

PATHS = (
    "/similar/105",
    "/similar/105?limit=50",
    "/similar/105?explain=true",
    "/similar/105?max_price=1000000",
    "/recommend/detail/105",
    "/recommend/detail/105?user_id=7",
    "/recommend/user/7",
    "/recommend/user/7?exclude=101",
    "/hot/trending",
    "/hot/trending?timeframe=1h&limit=100",
)
Until = Callable[..., None]


class Lists:
    """Lists as feature-sync writes them, each newer than the last."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._sequence = 0

    def write(self, ids: list[int]) -> None:
        self._sequence += 1
        self._client.set(redis_keys.WITHDRAWN, WithdrawnList.of(self._sequence, ids).pack())


@pytest.fixture
def lists(redis_client: redis.Redis) -> Lists:
    return Lists(redis_client)


def _ids(api: RunningApp, path: str) -> list[int]:
    return [item["dataset_id"] for item in api.get(path).json()["items"]]


def _all_ids(api: RunningApp) -> set[int]:
    return {id_ for path in PATHS for id_ in _ids(api, path)}


def _known(api: RunningApp) -> int:
    """The number of withdrawn datasets that the service knows."""
    return int(_metric(api, "recommender_withdrawn_datasets"))


def _metric(api: RunningApp, name: str) -> float:
    (line,) = [line for line in api.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rsplit(" ", 1)[1])


@pytest.fixture
def withdraw(lists: Lists, until: Until) -> Callable[[RunningApp, list[int]], None]:
    """Withdraw datasets and wait until the service knows them."""

    def act(api: RunningApp, ids: list[int]) -> None:
        lists.write(ids)
        until(lambda: _known(api) == len(ids))

    return act


Withdraw = Callable[[RunningApp, list[int]], None]


@pytest.mark.parametrize("path", PATHS)
def test_it_is_in_no_answer_and_another_takes_its_place(api: RunningApp, path: str, withdraw: Withdraw) -> None:
    before = _ids(api, path)
    withdrawn = before[:5:2]
    withdraw(api, withdrawn)
    answer = api.get(path).json()
    after = [item["dataset_id"] for item in answer["items"]]
    assert answer["fallback_level"] == 0
    assert set(after).isdisjoint(withdrawn)
    assert len(after) == len(before)


def test_a_cached_answer_that_shows_it_is_recomputed_and_others_stay_cached(
    api: RunningApp, redis_client: redis.Redis, withdraw: Withdraw, until: Until
) -> None:
    first, other = _ids(api, "/similar/105"), _ids(api, "/similar/150")
    until(lambda: len(redis_client.keys("res:*")) == 2)
    withdrawn = next(id_ for id_ in first if id_ not in other)
    withdraw(api, [withdrawn])
    assert withdrawn not in _ids(api, "/similar/105")
    before = _metric(api, "recommender_cached_answers_total")
    assert _ids(api, "/similar/150") == other
    assert _metric(api, "recommender_cached_answers_total") == before + 1


def test_a_request_about_it_is_404_also_on_the_fast_path(api: RunningApp, withdraw: Withdraw) -> None:
    withdraw(api, [105])
    for path in ("/similar/105", "/recommend/detail/105", "/recommend/detail/105?user_id=7", "/similar/105?explain=1"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Dataset 105 has been withdrawn."
    withdraw(api, [])
    assert api.get("/similar/105").status_code == 200


def test_it_still_counts_in_a_users_history(api: RunningApp, redis_client: redis.Redis, withdraw: Withdraw) -> None:
    """A user's interaction is a signal even after the dataset was withdrawn."""
    cold = _ids(api, "/recommend/user/8")
    taken = History.build(np.array([101], np.int64), np.array([1_700_000_000], np.int64), np.array([2], np.uint8))
    redis_client.set(redis_keys.live_history(7), LiveHistory(1, taken).pack())
    before = _ids(api, "/recommend/user/7")
    withdraw(api, [101])
    redis_client.delete(*redis_client.keys("res:*"))
    assert _ids(api, "/recommend/user/7") == before
    assert before != cold


def test_with_redis_killed_it_is_in_no_answer_of_any_level(
    start: Callable[..., RunningApp], held_redis: RedisServer, withdraw: Withdraw
) -> None:
    api = start()
    shown = sorted(_all_ids(api))
    withdraw(api, shown[::2])
    held_redis.kill()
    levels = set()
    for path in PATHS:
        answer = api.get(path)
        if answer.status_code == 404:
            assert 105 in shown[::2]
            continue
        levels.add(answer.json()["fallback_level"])
        assert {item["dataset_id"] for item in answer.json()["items"]}.isdisjoint(shown[::2])
    assert levels <= {2, 3}
    assert levels


def test_the_list_survives_a_restart_with_redis_down(
    start: Callable[..., RunningApp], held_redis: RedisServer, withdraw: Withdraw, tmp_path: Path, until: Until
) -> None:
    api = start()
    popular = _ids(api, "/recommend/user/7")
    withdraw(api, popular)
    until((tmp_path / "models" / "withdrawn").exists)
    api.__exit__(None, None, None)
    held_redis.kill()
    again = start()
    assert _known(again) == len(popular)
    answer = again.get("/recommend/user/7").json()
    assert answer["fallback_level"] == 3
    assert {item["dataset_id"] for item in answer["items"]}.isdisjoint(popular)


def test_a_redis_that_lost_its_data_does_not_clear_the_list(
    api: RunningApp, redis_client: redis.Redis, withdraw: Withdraw, until: Until
) -> None:
    withdrawn = _ids(api, "/similar/105")[0]
    withdraw(api, [withdrawn])
    redis_client.flushall()
    until(lambda: "lost" in _detail(api) or "no list" in _detail(api))
    assert withdrawn not in _all_ids(api)
    assert _known(api) == 1


def _detail(api: RunningApp) -> str:
    detail: str = api.get("/health").json()["checks"]["withdrawn"]["detail"]
    return detail


def test_exposures_contain_only_shown_datasets(
    api: RunningApp, redis_client: redis.Redis, withdraw: Withdraw, until: Until
) -> None:
    withdrawn = _ids(api, "/recommend/user/7")[:3]
    withdraw(api, withdrawn)
    redis_client.delete(redis_keys.EVENT_STREAM)
    _ids(api, "/recommend/user/7")
    until(lambda: redis_client.xlen(redis_keys.EVENT_STREAM))
    entry = redis_client.xrange(redis_keys.EVENT_STREAM)[0][1][b"exposures"]
    assert set(Exposure.model_validate_json(entry).dataset_ids).isdisjoint(withdrawn)


class _Watched:
    """A watch over a Redis in memory."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.redis = MemoryStore()
        breaker = Breaker(self.redis.probe, on_close=lambda: None, failures_to_open=10**9)
        store = GuardedStore(self.redis, breaker, Address("cache.example.com", 6379, 0), quiet=True)
        self.watch = WithdrawnWatch(store, WithdrawnFile(folder), lambda: self.now)

    def put(self, sequence: int, ids: list[int]) -> None:
        self.redis.values[redis_keys.WITHDRAWN] = WithdrawnList.of(sequence, ids).pack()


@pytest.fixture
def watched(tmp_path: Path) -> _Watched:
    return _Watched(tmp_path)


@pytest.mark.anyio
async def test_only_a_complete_and_newer_list_replaces_the_known_one(watched: _Watched) -> None:
    watched.put(5, [1, 2])
    await watched.watch.poll()
    with monitoring.testing.captured() as captured:
        for bad in (b"garbage", WithdrawnList.of(9, [3]).pack()[:-1], WithdrawnList.of(4, [3]).pack(), None):
            if bad is None:
                del watched.redis.values[redis_keys.WITHDRAWN]
            else:
                watched.redis.values[redis_keys.WITHDRAWN] = bad
            for _ in range(2):
                await watched.watch.poll()
            assert watched.watch.current.ids == {1, 2}
            assert watched.watch.check().status == "degraded"
    assert captured.point_ids == ["redis.unexpected_error"] * 2
    watched.put(6, [])
    await watched.watch.poll()
    assert watched.watch.current.ids == set()
    assert watched.watch.check().status == "healthy"


@pytest.mark.anyio
async def test_an_unchanged_list_is_not_read_again(watched: _Watched) -> None:
    watched.put(5, list(range(1, 1000)))
    await watched.watch.poll()
    current, reads = watched.watch.current, watched.redis.reads
    await watched.watch.poll()
    assert watched.watch.current is current
    assert watched.redis.reads == reads + 1


@pytest.mark.anyio
async def test_the_age_of_the_list_is_exported(watched: _Watched) -> None:
    watched.put(5, [1])
    await watched.watch.poll()
    watched.redis.error = StoreUnavailableError("Connection refused", "ConnectionError")
    watched.now += 31
    await watched.watch.poll()
    assert watched.watch.age == 31
    assert watched.watch.check().detail == "1 datasets withdrawn, last confirmed 31 s ago"


@pytest.mark.anyio
async def test_a_list_that_cannot_be_saved_applies_in_memory_and_is_saved_later(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.write_text("in the way")
    watched = _Watched(folder)
    watched.put(5, [1])
    await watched.watch.start()
    assert watched.watch.current.ids == {1}
    assert watched.watch.check().detail == "1 datasets withdrawn; the list can't be saved to the disk"
    folder.unlink()
    await watched.watch.poll()
    assert watched.watch.check().status == "healthy"
    assert (folder / "withdrawn").read_bytes() == watched.redis.values[redis_keys.WITHDRAWN]


@pytest.mark.anyio
async def test_a_damaged_saved_list_is_replaced_by_that_of_redis(tmp_path: Path) -> None:
    (tmp_path / "withdrawn").write_bytes(b"x" * HEAD_BYTES)
    watched = _Watched(tmp_path)
    watched.put(1, [1])
    await watched.watch.start()
    assert watched.watch.current.ids == {1}


def test_a_filter_and_the_list_apply_at_the_same_time(model: LoadedModel) -> None:
    catalogue = model.engine.contents.catalogue
    withdrawn = Withdrawn(WithdrawnList.of(1, [FIRST_DATASET_ID + 3, 10**12]))
    assert withdrawn.hidden(catalogue).tolist() == [3]
    positions = np.arange(6, dtype=np.int32)
    alone = withdrawn.keep(catalogue, None)
    assert alone is not None
    assert positions[alone(positions)].tolist() == [0, 1, 2, 4, 5]
    both = withdrawn.keep(catalogue, lambda asked: asked > 1)
    assert both is not None
    assert positions[both(positions)].tolist() == [2, 4, 5]


def test_withdrawn_datasets_that_no_bundle_contains_cost_no_filter(model: LoadedModel) -> None:
    catalogue = model.engine.contents.catalogue
    assert Withdrawn(WithdrawnList.of(1, [10**12])).keep(catalogue, None) is None
    assert Withdrawn(WithdrawnList.of(1, [])).keep(catalogue, None) is None


def test_removing_datasets_from_a_stored_answer_keeps_the_rest_unchanged() -> None:
    items = b'[{"dataset_id":1,"score":0.5},{"dataset_id":2,"score":0.25},{"dataset_id":3,"score":0.00001}]'
    answer = StoredAnswer(Served("ranker", "1", "primary"), [1, 2, 3], items, 4, "s1")
    rest = answer.without({2, 9})
    assert (rest.ids, rest.sequence, rest.snapshot) == ([1, 3], 4, "s1")
    assert rest.items == b'[{"dataset_id":1,"score":0.5},{"dataset_id":3,"score":0.00001}]'


@pytest.mark.parametrize("items", [b"nonsense", b"[1]", b'[{"title":"no id"}]', b"null"])
def test_removing_datasets_from_bytes_that_are_not_an_answer_is_malformed(items: bytes) -> None:
    stored = StoredAnswer(Served("ranker", "1", "primary"), [101], items)
    with pytest.raises(MalformedAnswerError):
        StoredAnswer.unpack(stored.pack()).without({101})
