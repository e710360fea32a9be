"""The SQL examples: each pair of schema and files is read on each kind of database."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from contracts.ids import hash_id
from feature_sync.withdrawal.business import BusinessDeleted
from pipeline.extract import extract, open_business
from testkit.source_databases import SourceDatabase

EXAMPLES = Path(__file__).parents[1] / "sql"
WHOLE_NUMBERS = """
CREATE TABLE customers (customer_id BIGINT, company VARCHAR(200), province VARCHAR(50), city VARCHAR(50),
  registered_at {moment});
INSERT INTO customers VALUES (7, 'Rail', 'Hubei', 'Wuhan', '2026-01-01 08:00:00');
CREATE TABLE products (product_id BIGINT, name VARCHAR(500), summary TEXT, labels TEXT, list_price DECIMAL(12,2),
  vendor VARCHAR(200), picture VARCHAR(2048), listed_at {moment}, changed_at {moment}, archived INTEGER);
INSERT INTO products VALUES
  (30, 'Bus traces', NULL, 'traffic|bus', 9.50, 'City', NULL, '2026-01-01 08:00:00', NULL, 0);
CREATE TABLE order_lines (customer_id BIGINT, product_id BIGINT, unit_price DECIMAL(12,2), ordered_at {moment});
INSERT INTO order_lines VALUES (7, 30, 9.50, '2026-02-01 08:00:00');
CREATE TABLE page_views (customer_id BIGINT, product_id BIGINT, viewed_at {moment});
INSERT INTO page_views VALUES (7, 30, '2026-01-31 08:00:00')
"""
TEXTS = """
CREATE TABLE customers (customer_code VARCHAR(36), company VARCHAR(200));
INSERT INTO customers VALUES ('c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa', 'Rail');
CREATE TABLE products (sku VARCHAR(36), name VARCHAR(500), labels TEXT, list_price DECIMAL(12,2), archived INTEGER);
INSERT INTO products VALUES ('SKU-77', 'Bus traces', 'bus', 9.50, 1);
CREATE TABLE order_lines (customer_code VARCHAR(36), sku VARCHAR(36), ordered_at {moment});
INSERT INTO order_lines VALUES ('c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa', 'SKU-77', '2026-02-01 08:00:00')
"""


def extracted(source: SourceDatabase, schema: str, sql: Path, folder: Path) -> dict[str, list[dict[str, object]]]:
    moment = {"mariadb": "DATETIME", "sqlite": "TEXT"}.get(source.kind, "TIMESTAMP")
    for statement in schema.split(";"):
        source.run(statement.format(moment=moment))
    with open_business(SecretStr(source.url)) as business:
        extract(business, None, sql, folder)
    names = ("users", "datasets", "interactions")
    return {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in names}


def test_the_example_for_whole_number_ids_reads_its_shop(source_database: SourceDatabase, tmp_path: Path) -> None:
    found = extracted(source_database, WHOLE_NUMBERS, EXAMPLES, tmp_path)
    (user,), (dataset,) = found["users"], found["datasets"]
    assert (user["id"], user["city"], user["created_at"]) == (7, "Wuhan", datetime(2026, 1, 1, 8, tzinfo=UTC))
    assert (dataset["id"], dataset["tags"], dataset["price"], dataset["is_deleted"]) == (30, "traffic|bus", 9.5, False)
    assert sorted((row["type"], row["price"], row["ts"]) for row in found["interactions"]) == [  # type: ignore[type-var]
        ("purchase", 9.5, datetime(2026, 2, 1, 8, tzinfo=UTC)),
        ("view", None, datetime(2026, 1, 31, 8, tzinfo=UTC)),
    ]


def test_the_example_for_text_ids_reads_its_shop(source_database: SourceDatabase, tmp_path: Path) -> None:
    found = extracted(source_database, TEXTS, EXAMPLES / "text-ids", tmp_path)
    (dataset,), (row,) = found["datasets"], found["interactions"]
    assert (dataset["external_id"], dataset["is_deleted"]) == ("SKU-77", True)
    assert row["dataset_id"] == dataset["id"] == hash_id("SKU-77", "dataset")


@pytest.mark.parametrize(("schema", "folder", "withdrawn"), [(WHOLE_NUMBERS, "", {}), (TEXTS, "text-ids", {"SKU-77"})])
def test_the_example_for_withdrawn_datasets_reads_its_shop(
    source_database: SourceDatabase, tmp_path: Path, schema: str, folder: str, withdrawn: set[str]
) -> None:
    extracted(source_database, schema, EXAMPLES / folder, tmp_path)
    read = BusinessDeleted(source_database.url, EXAMPLES / folder).read()
    assert set(read.ids.values()) == set(withdrawn)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.sql")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_each_example_begins_with_its_purpose(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("-- ")
