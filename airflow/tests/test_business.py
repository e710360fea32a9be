"""Loading the business database: all or nothing, on SQLite and on PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, func, select, text

from business import tables
from contracts.ids import hash_id
from monitoring import testing
from pipeline.business.content import INTERACTIONS, Content
from pipeline.business.database import DatabaseError, open_engine
from pipeline.business.load import is_empty, replace_content
from pipeline.errors import InputError
from pipeline.extract import extract, open_business


def count(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(tables.metadata.tables[name])) or 0


def test_content_is_read_as_it_was_loaded(business_url: str, content: Content, tmp_path: Path) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    assert is_empty(engine)
    replace_content(engine, content)
    assert not is_empty(engine)
    engine.dispose()
    with open_business(SecretStr(business_url)) as business:
        extract(business, None, None, tmp_path)
    found = {name: pa.parquet.read_table(tmp_path / f"{name}.parquet") for name in ("datasets", "interactions")}
    assert found["datasets"].sort_by("id").drop_columns("id").equals(content.datasets)
    rows = found["interactions"].sort_by([("ts", "ascending"), ("user_id", "ascending"), ("dataset_id", "ascending")])
    mine = content.interactions.sort_by([("ts", "ascending"), ("user", "ascending"), ("dataset", "ascending")])
    assert rows["ts"].equals(mine["ts"])
    assert (rows["user_id"].to_numpy() == mine["user"].to_numpy() + 1).all()
    assert rows["price"].null_count == mine["price"].null_count


def with_ids(content: Content, datasets: list[str]) -> Content:
    """Return the content with other ids for its first datasets."""
    names = pa.array(datasets + content.datasets["external_id"].to_pylist()[len(datasets) :])
    return replace(content, datasets=content.datasets.set_column(0, "external_id", names))


def ids_of(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        found = connection.execute(select(tables.datasets.c.external_id, tables.datasets.c.id))
        return dict(map(tuple, found))


def test_whole_numbers_stay_what_they_are_and_texts_stand_for_a_number(business_url: str, content: Content) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, with_ids(content, ["9000", "SKU-77", "0111161", str(2**63 - 1)]))
    ids = ids_of(engine)
    assert (ids["9000"], ids["5"], ids[str(2**63 - 1)]) == (9000, 5, 2**63 - 1)
    assert (ids["SKU-77"], ids["0111161"]) == (hash_id("SKU-77", "dataset"), hash_id("0111161", "dataset"))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT dataset_id, count(*) FROM interactions GROUP BY dataset_id"))
        counts = dict(map(tuple, found))
    before = np.bincount(content.interactions["dataset"].to_numpy(), minlength=300)
    assert [counts.get(ids[name], 0) for name in ("9000", "SKU-77", "0111161")] == before[:3].tolist()
    engine.dispose()


def test_loading_again_replaces_everything_and_an_id_depends_only_on_its_text(
    business_url: str, content: Content
) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, with_ids(content, ["SKU-77"]))
    reordered = replace(
        with_ids(content, ["SKU-77"]),
        datasets=with_ids(content, ["SKU-77"]).datasets.take(list(range(299, -1, -1))),
        interactions=content.interactions.slice(0, 100),
    )
    before = ids_of(engine)
    replace_content(engine, reordered)
    assert ids_of(engine) == before
    assert (count(engine, "datasets"), count(engine, "interactions")) == (300, 100)
    engine.dispose()


def test_two_ids_that_stand_for_one_number_are_rejected_and_both_are_named(business_url: str, content: Content) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    number = str(hash_id("SKU-77", "dataset"))
    with pytest.raises(InputError, match=f"'SKU-77' and '{number}' stand for one number"):
        replace_content(engine, with_ids(content, ["SKU-77", number]))
    for bad, message in (("1.0", "'1.0' can't be an id"), ("5", "'5' appears twice")):
        with pytest.raises(InputError, match=message):
            replace_content(engine, with_ids(content, [bad]))
    assert is_empty(engine)
    engine.dispose()


def test_an_import_over_ids_of_an_earlier_release_is_rejected_with_the_command_to_run(
    business_url: str, content: Content
) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    with engine.begin() as connection:
        connection.execute(text("UPDATE datasets SET external_id = 'demo-7' WHERE id = 7"))
    with pytest.raises(InputError, match=r"'demo-7' is 7[^$]*make renumber") as refused:
        replace_content(engine, content)
    assert refused.value.exit_code == 2
    assert count(engine, "interactions") == 12_000
    engine.dispose()


def test_a_load_that_fails_half_way_leaves_what_was_there(business_url: str, content: Content) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    untitled = pa.array([*content.datasets["title"].to_pylist()[:-1], None])
    broken = replace(
        content, users=content.users.slice(0, 1), datasets=content.datasets.set_column(1, "title", untitled)
    )
    with testing.captured() as reports, pytest.raises(DatabaseError, match="business database: load"):
        replace_content(engine, broken)
    assert [count(engine, name) for name in ("users", "datasets", "interactions")] == [200, 300, 12_000]
    assert reports.point_ids == ["pipeline.database"]
    engine.dispose()


def test_content_without_interactions_is_valid(business_url: str, content: Content) -> None:
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, replace(content, interactions=INTERACTIONS.empty_table()))
    assert count(engine, "interactions") == 0
    engine.dispose()


def test_text_with_quotes_line_breaks_and_nulls_survives(business_url: str, content: Content) -> None:
    titles = ['say "hi", twice', "two\nlines", "back\\slash", "\\N", " spaced ", "中文 数据"]
    changed = content.datasets.set_column(1, "title", pa.array(titles + content.datasets["title"].to_pylist()[6:]))
    engine = open_engine(business_url, "BUSINESS_DATABASE_URL")
    replace_content(engine, replace(content, datasets=changed))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT title FROM datasets ORDER BY id LIMIT 6")).scalars().all()
        cold = connection.execute(text("SELECT tags FROM datasets WHERE external_id = '298'")).scalar_one()
    assert (list(found), cold) == (titles, None)
    engine.dispose()


def test_an_unreachable_database_is_reported_without_its_password() -> None:
    engine = open_engine("postgresql+psycopg2://me:topsecret@127.0.0.1:1/none", "BUSINESS_DATABASE_URL")
    with testing.captured() as reports, pytest.raises(DatabaseError) as failed:
        is_empty(engine)
    assert "topsecret" not in str(failed.value)
    (report,) = reports.of("pipeline.database")
    assert (report.tags["operation"], report.tags["database"]) == ("create tables", "business")


@pytest.mark.parametrize("url", ["mysql+pymysql://me:secret@host/shop", "mariadb://host/shop", "duckdb:///x.duckdb"])
def test_a_read_only_kind_of_database_is_never_written(url: str) -> None:
    with pytest.raises(InputError, match=r"BUSINESS_DATABASE_URL: a database of \w+ is only read"):
        open_engine(url, "BUSINESS_DATABASE_URL")


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "postgresql://me:secret@host:54ab/db"])
def test_an_invalid_url_names_the_setting(url: str) -> None:
    with pytest.raises(InputError, match="BUSINESS_DATABASE_URL: not a usable SQLAlchemy URL"):
        open_engine(url, "BUSINESS_DATABASE_URL")
