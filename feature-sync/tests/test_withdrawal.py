"""Withdrawn datasets: PostgreSQL first, then Redis, which follows after faults of either."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from sqlalchemy import create_engine, text

import monitoring.testing
from contracts import redis_keys
from contracts.ids import hash_id
from contracts.withdrawn import WithdrawnList
from feature_sync.app import create_app
from feature_sync.connections import RedisFaults
from feature_sync.errors import DeletedInDatabaseError, WithdrawalsUnavailableError
from feature_sync.events.log import EventLog
from feature_sync.events.tables import SCHEMA
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.withdrawal.business import BusinessDeleted
from feature_sync.withdrawal.deleted import (
    BusinessDatabaseAwayError,
    Deleted,
    DeletedFollower,
    NothingToFollowError,
    UnusableQueryError,
)
from feature_sync.withdrawal.publisher import WithdrawnPublisher
from feature_sync.withdrawal.table import WithdrawnTable
from localservers.postgres import PostgresCluster
from localservers.waiting import wait_until
from servicekit.database import open_database
from testkit.redis_server import RedisServer
from testkit.serving import Served
from testkit.source_databases import SourceDatabase

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TOKEN = {"Authorization": "Bearer the-token"}


@pytest.fixture
def table(event_log: EventLog) -> WithdrawnTable:
    """The table, on PostgreSQL and on SQLite."""
    return WithdrawnTable(event_log._engine)


@pytest.fixture
def publisher(redis: AsyncRedis, redis_url: str, table: WithdrawnTable) -> WithdrawnPublisher:
    return WithdrawnPublisher(redis, RedisFaults(redis_url), table, Metrics(), lambda: 1000.0)


@pytest.fixture
def held_redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A Redis that a test may kill; it is running again for the next test."""
    yield redis_server
    redis_server.restart()


@pytest.fixture
def start(redis_url: str, postgres_url: str) -> Iterator[Callable[..., httpx.Client]]:
    with ExitStack() as stack:

        def run(**changes: Any) -> httpx.Client:
            values = {"redis_url": redis_url, "database_url": postgres_url, "admin_token": "the-token"}
            served = stack.enter_context(Served(create_app(Settings(**(values | changes)))))  # type: ignore[arg-type]
            return stack.enter_context(httpx.Client(base_url=served.url, headers=TOKEN, timeout=20))

        yield run


def _listed(plain: Redis) -> list[int] | None:
    data = plain.get(redis_keys.WITHDRAWN)
    return None if data is None else WithdrawnList.unpack(data).ids.tolist()  # type: ignore[arg-type]


def _withdraw(table: WithdrawnTable, dataset_id: int, reason: str | None = None) -> bool:
    return table.withdraw(dataset_id, external_id=None, reason=reason, at=NOW)[1]


def test_a_withdrawal_is_a_row_then_a_key_that_never_expires(start: Callable[..., httpx.Client], plain: Redis) -> None:
    client = start()
    answer = client.post("/datasets/13196/withdraw", json={"reason": "Licence withdrawn"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["dataset_id"], made["source"], made["reason"]) == (13196, "operator", "Licence withdrawn")
    assert made["published"] is True
    assert _listed(plain) == [13196]
    assert plain.ttl(redis_keys.WITHDRAWN) == -1
    assert client.delete("/datasets/13196/withdraw").status_code == 204
    assert _listed(plain) == []


def test_repeating_a_withdrawal_or_restoring_an_unknown_one_changes_nothing(
    start: Callable[..., httpx.Client],
) -> None:
    client = start()
    first = client.post("/datasets/5/withdraw")
    again = client.post("/datasets/5/withdraw", json={"reason": "found out"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["withdrawn_at"] == first.json()["withdrawn_at"]
    assert again.json()["reason"] == "found out"
    assert client.post("/datasets/5/withdraw").json()["reason"] == "found out"
    assert [client.delete("/datasets/5/withdraw").status_code for _ in range(2)] == [204, 204]
    assert client.get("/datasets/withdrawn").json() == {"total": {}, "datasets": []}


@pytest.mark.parametrize(
    ("path", "text"),
    [("SKU-77", "SKU-77"), ("a%2Fb", "a/b"), ("%E6%95%B0%E6%8D%AE", "数据"), ("withdrawn", "withdrawn")],
)
def test_an_id_may_be_a_percent_encoded_text(start: Callable[..., httpx.Client], path: str, text: str) -> None:
    client = start()
    made = client.post(f"/datasets/{path}/withdraw").json()
    assert (made["dataset_id"], made["external_id"]) == (hash_id(text, "dataset"), text)
    (listed,) = client.get("/datasets/withdrawn").json()["datasets"]
    assert listed["external_id"] == text
    assert client.delete(f"/datasets/{path}/withdraw").status_code == 204


@pytest.mark.parametrize("path", ["0", "-1", "1.0", "1e3", "%20x", "x%00", "9223372036854775808", "a" * 129])
def test_an_invalid_id_is_rejected(start: Callable[..., httpx.Client], path: str) -> None:
    answer = start().post(f"/datasets/{path}/withdraw")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "path.dataset_id"


@pytest.mark.parametrize("reason", ["x" * 501, "a\x00b", 7])
def test_a_reason_that_cannot_be_stored_is_rejected(start: Callable[..., httpx.Client], reason: object) -> None:
    assert start().post("/datasets/5/withdraw", json={"reason": reason}).status_code == 422


def test_every_endpoint_needs_the_token(start: Callable[..., httpx.Client]) -> None:
    client = start()
    client.headers.pop("Authorization")
    answers = [
        client.post("/datasets/5/withdraw"),
        client.delete("/datasets/5/withdraw"),
        client.get("/datasets/withdrawn"),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]


def test_with_redis_down_the_row_is_stored_and_redis_follows(
    start: Callable[..., httpx.Client], held_redis: RedisServer, plain: Redis
) -> None:
    client = start()
    held_redis.kill()
    answer = client.post("/datasets/5/withdraw")
    assert (answer.status_code, answer.json()["published"]) == (201, False)
    assert client.get("/health").json()["checks"]["withdrawn"]["status"] == "degraded"
    held_redis.restart()
    wait_until(lambda: _listed(plain) == [5], within=60, what="Redis has the list")


def test_a_redis_that_lost_its_data_gets_the_list_again(start: Callable[..., httpx.Client], plain: Redis) -> None:
    client = start()
    client.post("/datasets/5/withdraw")
    before = WithdrawnList.unpack(plain.get(redis_keys.WITHDRAWN))  # type: ignore[arg-type]
    plain.flushall()
    wait_until(lambda: _listed(plain) == [5], within=60, what="Redis has the list")
    after = WithdrawnList.unpack(plain.get(redis_keys.WITHDRAWN))  # type: ignore[arg-type]
    assert after.sequence > before.sequence


def test_with_postgresql_down_nothing_changes_and_the_answer_says_so(
    start: Callable[..., httpx.Client], plain: Redis, postgres_server: PostgresCluster, postgres_url: str
) -> None:
    client = start()
    client.post("/datasets/5/withdraw")
    postgres_server.drop_database(postgres_url.rsplit("/", 1)[1])
    answers = [
        client.post("/datasets/6/withdraw"),
        client.delete("/datasets/5/withdraw"),
        client.get("/datasets/withdrawn"),
    ]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert "nothing has changed" in answers[0].json()["detail"]
    assert _listed(plain) == [5]


def test_the_list_is_there_from_the_start_even_if_it_is_empty(start: Callable[..., httpx.Client], plain: Redis) -> None:
    client = start()
    wait_until(lambda: _listed(plain) == [], within=60, what="Redis has the list")
    wait_until(lambda: client.get("/health").json()["status"] == "healthy", within=60, what="it is healthy")
    checks = client.get("/health").json()["checks"]
    assert checks["withdrawn"]["detail"] == "0 datasets withdrawn"
    assert checks["deleted_datasets"] == {"status": "healthy", "detail": "off: BUSINESS_DATABASE_URL is not set"}


async def test_the_sequence_grows_even_if_the_clock_stands_still(
    publisher: WithdrawnPublisher, table: WithdrawnTable, plain: Redis
) -> None:
    sequences = []
    for number in (1, 2, 3):
        _withdraw(table, number)
        await publisher.publish()
        sequences.append(WithdrawnList.unpack(plain.get(redis_keys.WITHDRAWN)).sequence)  # type: ignore[arg-type]
    assert sequences == sorted(set(sequences))
    await publisher.publish()
    assert WithdrawnList.unpack(plain.get(redis_keys.WITHDRAWN)).sequence == sequences[-1]  # type: ignore[arg-type]


async def test_a_list_that_was_overwritten_or_damaged_is_written_again(
    publisher: WithdrawnPublisher, table: WithdrawnTable, plain: Redis
) -> None:
    _withdraw(table, 1)
    for other in (b"damaged", WithdrawnList.of(10**15, [2]).pack()):
        plain.set(redis_keys.WITHDRAWN, other)
        await publisher.step()
        assert _listed(plain) == [1]
    assert WithdrawnList.unpack(plain.get(redis_keys.WITHDRAWN)).sequence == 10**15 + 1  # type: ignore[arg-type]
    plain.delete(redis_keys.WITHDRAWN)
    plain.hset(redis_keys.WITHDRAWN, "another", "type")
    await publisher.step()
    assert _listed(plain) == [1]
    plain.set(redis_keys.WITHDRAWN, WithdrawnList.of(2**64 - 1, [2]).pack())
    await publisher.step()
    assert _listed(plain) == [1]


def test_the_withdrawals_of_business_database_and_operator_are_independent(table: WithdrawnTable) -> None:
    """If one restores a dataset, the other may still withdraw it."""
    _withdraw(table, 1)
    assert table.follow_database({1: None, 2: "SKU"}, at=NOW) == (2, 0)
    assert table.ids() == [1, 2]
    with pytest.raises(DeletedInDatabaseError, match="undelete it there"):
        table.restore(1)
    assert table.follow_database({}, at=NOW) == (0, 2)
    assert table.ids() == [1]
    assert table.restore(1)
    assert table.ids() == []


def test_many_rows_are_added_and_removed_at_once(table: WithdrawnTable) -> None:
    everything: dict[int, str | None] = dict.fromkeys(range(1, 12_001))
    assert table.follow_database(everything, at=NOW) == (12_000, 0)
    assert table.follow_database({7: None}, at=NOW) == (0, 11_999)
    assert table.ids() == [7]


def test_restoring_a_dataset_deleted_in_the_business_database_is_a_conflict(
    start: Callable[..., httpx.Client], tmp_path: Path
) -> None:
    url = _business(tmp_path, deleted=[3])
    client = start(business_database_url=url, deleted_poll_seconds=0.1)
    wait_until(lambda: client.get("/datasets/withdrawn").json()["total"] == {"database": 1}, within=60, what="it is")
    answer = client.delete("/datasets/3/withdraw")
    assert answer.status_code == 409
    assert "deleted in the business database" in answer.json()["detail"]


def _business(folder: Path, *, deleted: list[int]) -> str:
    """Make a business database of datasets 1 to 5 and return its URL."""
    url = f"sqlite:///{folder / 'business.db'}"
    _execute(url, "CREATE TABLE datasets (id BIGINT PRIMARY KEY, is_deleted BOOLEAN NOT NULL)")
    _execute(url, "INSERT INTO datasets VALUES (1, false), (2, false), (3, false), (4, false), (5, false)")
    _delete(url, deleted)
    return url


def _delete(url: str, deleted: list[int]) -> None:
    _execute(url, f"UPDATE datasets SET is_deleted = id IN ({', '.join(map(str, deleted or [0]))})")


def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_dataset_deleted_in_the_business_database_is_withdrawn_and_an_undeleted_one_restored(
    start: Callable[..., httpx.Client], tmp_path: Path, plain: Redis
) -> None:
    url = _business(tmp_path, deleted=[])
    client = start(business_database_url=url, deleted_poll_seconds=0.1)
    client.post("/datasets/4/withdraw")
    for deleted, expected in (([3], [3, 4]), ([2, 3], [2, 3, 4]), ([4], [4]), ([], [4])):
        _delete(url, deleted)
        wait_until(lambda wanted=expected: _listed(plain) == wanted, within=60, what="the list follows")  # type: ignore[misc]
    wait_until(
        lambda: client.get("/datasets/withdrawn").json()["total"] == {"operator": 1}, within=60, what="one is left"
    )


def test_deleted_datasets_are_read_from_our_table_by_default(source_database: SourceDatabase) -> None:
    source_database.run("CREATE TABLE datasets (id BIGINT PRIMARY KEY, is_deleted BOOLEAN NOT NULL)")
    source_database.run("INSERT INTO datasets VALUES (1, false), (2, true)")
    assert BusinessDeleted(source_database.url, None).read() == Deleted({2: None})


def test_deleted_datasets_are_read_by_a_custom_query_and_ids_may_be_texts(
    source_database: SourceDatabase, tmp_path: Path
) -> None:
    source_database.run("CREATE TABLE products (sku VARCHAR(40), state VARCHAR(9))")
    source_database.run(
        "INSERT INTO products VALUES ('A-1', 'gone'), ('17', 'gone'), (' x', 'gone'), (NULL, 'gone'), ('B-2', 'ok')"
    )
    (tmp_path / "withdrawn.sql").write_text(
        "\ufeff-- what is gone\nSELECT sku AS id, state FROM products WHERE state = 'gone' -- so far\n;",
        encoding="utf-8",
    )
    read = BusinessDeleted(source_database.url, tmp_path).read()
    assert read == Deleted({hash_id("A-1", "dataset"): "A-1", 17: None}, unusable=2)


def test_without_a_table_of_deleted_datasets_following_is_off(source_database: SourceDatabase, tmp_path: Path) -> None:
    with pytest.raises(NothingToFollowError, match="no table datasets"):
        BusinessDeleted(source_database.url, tmp_path).read()
    with pytest.raises(NothingToFollowError, match="doesn't exist"):
        BusinessDeleted(f"sqlite:///{tmp_path / 'none.db'}", None).read()


def test_a_table_without_the_column_needs_a_query(source_database: SourceDatabase) -> None:
    source_database.run("CREATE TABLE datasets (id BIGINT PRIMARY KEY)")
    with pytest.raises(UnusableQueryError, match=r"table datasets.*is_deleted"):
        BusinessDeleted(source_database.url, None).read()


@pytest.mark.parametrize("query", ["SELECT nothing FROM nowhere", "SELEC id", "DELETE FROM datasets", "SELECT 1 AS x"])
def test_a_query_that_fails_or_would_write_is_rejected_and_changes_nothing(
    source_database: SourceDatabase, tmp_path: Path, query: str
) -> None:
    source_database.run("CREATE TABLE datasets (id BIGINT PRIMARY KEY, is_deleted BOOLEAN NOT NULL)")
    source_database.run("INSERT INTO datasets VALUES (1, true)")
    (tmp_path / "withdrawn.sql").write_text(query, encoding="utf-8")
    with pytest.raises(UnusableQueryError, match=r"withdrawn\.sql"):
        BusinessDeleted(source_database.url, tmp_path).read()
    (tmp_path / "withdrawn.sql").unlink()
    assert BusinessDeleted(source_database.url, tmp_path).read() == Deleted({1: None})


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg2://me:topsecret@127.0.0.1:1/db", "mysql://me:topsecret@127.0.0.1:1/db"]
)
def test_an_unreachable_business_database_is_unavailable(url: str) -> None:
    with pytest.raises(BusinessDatabaseAwayError) as away:
        BusinessDeleted(url, None).read()
    assert "topsecret" not in str(away.value)
    with pytest.raises(UnusableQueryError, match="not a usable SQLAlchemy URL"):
        BusinessDeleted("nonsense", None).read()


class _Business:
    """The state of the business database."""

    def __init__(self) -> None:
        self.says: Deleted | Exception = Deleted({})

    def read(self) -> Deleted:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


async def test_while_the_business_database_is_down_the_last_known_list_applies_and_it_is_reported(
    publisher: WithdrawnPublisher, table: WithdrawnTable, plain: Redis
) -> None:
    business = _Business()
    follower = DeletedFollower(business, table, publisher, Metrics())
    business.says = Deleted({3: None})
    await follower.step()
    assert follower.check.status == "healthy"
    with monitoring.testing.captured() as captured:
        business.says = BusinessDatabaseAwayError("connection refused")
        await follower.step()
        assert (follower.check.status, _listed(plain)) == ("degraded", [3])
        (report,) = captured.of("pipeline.database")
        assert report.tags["operation"] == "read_deleted_datasets"
        business.says = Deleted({})
        await follower.step()
    assert [recovery.point_id for recovery in captured.recovered] == ["pipeline.database"]
    assert (follower.check.status, _listed(plain)) == ("healthy", [])


async def test_a_failing_query_is_a_finding_and_not_a_fault_of_the_database(
    publisher: WithdrawnPublisher, table: WithdrawnTable
) -> None:
    business = _Business()
    follower = DeletedFollower(business, table, publisher, Metrics())
    business.says = UnusableQueryError("withdrawn.sql: no such column: sku")
    with monitoring.testing.captured() as captured:
        await follower.step()
        assert follower.check.detail == "withdrawn.sql: no such column: sku"
        business.says = NothingToFollowError("no table datasets")
        await follower.step()
    assert captured.point_ids == ["pipeline.data_quality"]
    # And of the database, whose state was unknown.
    assert {recovery.point_id for recovery in captured.recovered} == {"pipeline.database", "pipeline.data_quality"}
    assert (follower.check.status, follower.check.detail) == ("healthy", "off: no table datasets")


async def test_with_our_own_database_down_following_and_publishing_report_and_continue(
    redis: AsyncRedis, redis_url: str
) -> None:
    away = WithdrawnTable(open_database("postgresql+psycopg2://me:secret@127.0.0.1:1/none", SCHEMA))
    publisher = WithdrawnPublisher(redis, RedisFaults(redis_url), away, Metrics())
    follower = DeletedFollower(_Business(), away, publisher, Metrics())
    with monitoring.testing.captured() as captured:
        await publisher.step()
        await follower.step()
    assert captured.point_ids == ["pipeline.database"]
    assert follower.check.status == "degraded"
    with pytest.raises(WithdrawalsUnavailableError):
        away.ids()
    assert SecretStr("secret").get_secret_value() not in str(captured[0])
