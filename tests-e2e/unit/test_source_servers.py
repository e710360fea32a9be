"""MariaDB and PostgreSQL's views give the same marketplace with UUIDs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from contracts.ids import hash_id
from pipeline.extract import extract, open_business
from prove.source_servers import Settings, in_mariadb, in_postgresql_views

NOW = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
DATASETS = {str(UUID(int=2**127 + number)): ("maps", "rain")[number % 2] for number in range(20)}
USERS = [str(UUID(int=2**126 + number)) for number in range(5)]


@dataclass(frozen=True)
class Marketplace:
    datasets: dict[str, str]
    interactions: list[tuple[str, str, str, datetime]]


MARKETPLACE = Marketplace(
    DATASETS,
    [(USERS[number % 5], name, "purchase", NOW - timedelta(hours=number)) for number, name in enumerate(DATASETS)],
)


def extracted(settings: Settings, folder: Path) -> dict[str, pa.Table]:
    folder.mkdir()
    sql = settings.get("EXTRACTION_SQL")
    with open_business(SecretStr(settings["BUSINESS_DATABASE_URL"])) as business:
        extract(business, None, Path(sql) if sql else None, folder)
    keys = {"users": "id", "datasets": "id", "interactions": "ts"}
    return {name: pq.read_table(folder / f"{name}.parquet").sort_by(key) for name, key in keys.items()}


def test_both_servers_give_the_same_tables_with_the_uuids_as_external_ids(tmp_path: Path) -> None:
    with in_mariadb(MARKETPLACE, tmp_path) as settings:
        mine = extracted(settings, tmp_path / "mariadb")
    with in_postgresql_views(MARKETPLACE, tmp_path) as settings:
        others = extracted(settings, tmp_path / "postgresql")
    for name, table in mine.items():
        assert table.equals(others[name]), name
    assert set(mine["datasets"]["external_id"].to_pylist()) == set(DATASETS)
    assert set(mine["users"]["external_id"].to_pylist()) == set(USERS)
    assert mine["interactions"]["dataset_id"][-1].as_py() == hash_id(next(iter(DATASETS)), "dataset")
