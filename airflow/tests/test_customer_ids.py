"""A customer's own ids, from the source to the bundle: numbers stay, texts are shown again, none is confused."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from contracts.ids import hash_id
from pipeline.business.database import open_engine
from pipeline.business.load import replace_content
from pipeline.extract import extract, open_business
from pipeline.importers.sources import ImportOptions, read_source
from pipeline.quality import clean
from pipeline.records import Records
from ranking.catalogue import Catalogue

END = datetime(2026, 3, 1, tzinfo=UTC)
# Not in the order of the numbers, as in a customer's file.
NUMBERS = ["30", "10", "20", *(str(number) for number in range(1, 10))]
TEXTS = ["SKU-77", "c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa", "007", "数据/1", *NUMBERS]


def write(folder: Path, datasets: list[str], users: list[str]) -> None:
    with (folder / "datasets.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "title"), *((name, f"Dataset {name}") for name in datasets)])
    rows = [
        (user, name, "view", (END - timedelta(hours=place)).isoformat())
        for place, (user, name) in enumerate((user, name) for user in users for name in datasets)
    ]
    with (folder / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user_id", "dataset_id", "type", "ts"), *rows])


def records_of(folder: Path, *, before_extraction: str | None = None) -> Records:
    """Import the folder's files, extract, clean and read them."""
    extracted, cleaned = folder / "extract", folder / "clean"
    extracted.mkdir()
    cleaned.mkdir()
    url = f"sqlite:///{folder / 'business.db'}"
    engine = open_engine(url, "BUSINESS_DATABASE_URL")
    replace_content(engine, read_source("csv", folder, ImportOptions(END)).content)
    if before_extraction is not None:
        with engine.begin() as connection:
            connection.execute(text(before_extraction))
    engine.dispose()
    with open_business(SecretStr(url)) as business:
        extract(business, None, None, extracted)
    clean(extracted, cleaned, END)
    return Records.load(cleaned)


def test_whole_numbers_stay_what_they_are_through_to_the_bundle(tmp_path: Path) -> None:
    write(tmp_path, NUMBERS, ["1001", "1002"])
    records = records_of(tmp_path)
    catalogue = records.catalogue
    assert catalogue.ids.tolist() == sorted(map(int, NUMBERS))
    assert [catalogue.titles[place] for place in range(len(catalogue))] == [f"Dataset {id_}" for id_ in catalogue.ids]
    assert records.user_ids.tolist() == [1001, 1002]
    assert catalogue.external_ids is None
    catalogue.save(tmp_path / "items.parquet")
    assert "external_id" not in pq.read_schema(tmp_path / "items.parquet").names


def test_texts_are_stored_beside_the_number_that_stands_for_them(tmp_path: Path) -> None:
    write(tmp_path, TEXTS, ["u-1", "2"])
    records = records_of(tmp_path)
    records.catalogue.save(tmp_path / "items.parquet")
    catalogue = Catalogue.load(tmp_path / "items.parquet")
    assert catalogue.external_ids is not None
    for name in TEXTS[:4]:
        position = catalogue.position(hash_id(name, "dataset"))
        assert position is not None
        assert (catalogue.titles[position], catalogue.external_ids[position]) == (f"Dataset {name}", name)
    position = catalogue.position(30)
    assert position is not None
    assert (catalogue.titles[position], catalogue.external_ids[position]) == ("Dataset 30", None)
    assert records.user_ids.tolist() == sorted([hash_id("u-1", "user"), 2])
    assert catalogue.external_id(hash_id("007", "dataset")) == "007"
    assert catalogue.external_id(7) is None
    kept = catalogue.only(np.array([0, 1]))
    assert kept.external_ids is not None
    assert list(kept.external_ids) == list(catalogue.external_ids)[:2]


def test_a_text_that_the_number_does_not_stand_for_is_not_an_id(tmp_path: Path) -> None:
    """This also applies to ids of an earlier release until they are renumbered: callers could not use them."""
    write(tmp_path, NUMBERS, ["1"])
    records = records_of(tmp_path, before_extraction="UPDATE datasets SET external_id = 'demo-' || id")
    assert records.catalogue.external_ids is None


@pytest.mark.parametrize("external_ids", [None, ["a", None, "ü" * 128]])
def test_a_catalogue_is_read_as_it_was_written(tmp_path: Path, external_ids: list[str | None] | None) -> None:
    columns = (np.arange(3), ["a", "b", "c"], np.zeros(3), [None] * 3, [[], ["x"], []], [None] * 3)
    Catalogue(*columns, external_ids).save(tmp_path / "items.parquet")
    found = Catalogue.load(tmp_path / "items.parquet").external_ids
    assert (None if found is None else list(found)) == external_ids
