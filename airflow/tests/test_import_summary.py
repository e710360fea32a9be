"""The summary of an import: numbers, left-out rows, and oddities of data that can be loaded nevertheless."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pipeline.importers.sources import ImportOptions, read_source
from pipeline.importers.summary import Summary
from pipeline.quality.sufficiency import count_learnable, describe_shortage

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


def sound_rows() -> list[list[str]]:
    """Twelve users and twelve datasets with 120 interactions in five days."""
    return [
        [
            f"u{number % 12}",
            str(1 + number * 7 % 12 if number % 2 else 1 + number * 5 % 11),
            ("view", "click", "purchase")[number % 3],
            (START + timedelta(hours=number, minutes=7)).isoformat(),
        ]
        for number in range(120)
    ]


def summary(folder: Path, rows: list[list[str]], price: str = "9.5", datasets: str = "") -> Summary:
    catalogue = "".join(f"{number},Dataset {number},{price}\n" for number in range(1, 14))
    (folder / "datasets.csv").write_text("id,title,price\n" + catalogue + datasets, encoding="utf-8")
    lines = "".join(",".join(row) + "\n" for row in rows)
    (folder / "interactions.csv").write_text("user_id,dataset_id,type,ts\n" + lines, encoding="utf-8")
    return Summary(read_source("csv", folder, ImportOptions(NOW)))


def test_the_summary_shows_rows_span_types_largest_user_and_unused_datasets(tmp_path: Path) -> None:
    rows = sound_rows()
    assert summary(tmp_path, [*rows, rows[0]], datasets=",,\n").lines() == [
        "datasets:      13, 1 of them without interactions",
        "users:         12",
        "interactions:  121 from 2026-01-01 00:07:00Z to 2026-01-05 23:07:00Z (times without a zone: UTC)",
        "types:         click 40 (33.1%), view 41 (33.9%), purchase 40 (33.1%)",
        "largest user:  'u0' with 9.1% of the interactions",
        "left out:      1 empty rows of datasets.csv",
        "left out:      1 interactions that repeat another in everything (by the training, not here)",
    ]


def test_sound_data_gives_no_warning(tmp_path: Path) -> None:
    assert summary(tmp_path, sound_rows()).warnings() == []


def test_no_interactions_are_a_warning_and_not_an_error(tmp_path: Path) -> None:
    found = summary(tmp_path, [])
    assert found.warnings() == ["no interactions: there is nothing to train on"]
    assert found.lines()[:3] == [
        "datasets:      13, 13 of them without interactions",
        "users:         0",
        "interactions:  0",
    ]


def test_equal_times_name_the_time_column(tmp_path: Path) -> None:
    (warning,) = summary(tmp_path, [[*row[:3], "1760000000"] for row in sound_rows()]).warnings()
    assert warning == (
        "too little to train on: all 120 interactions have the same `ts`, 2025-10-09T08:53:20Z: look at the time column"
    )


def test_too_few_interactions_name_the_number_and_the_minimum(tmp_path: Path) -> None:
    warnings = summary(tmp_path, sound_rows()[:2]).warnings()
    assert warnings[0].startswith("too little to train on: there are 2 interactions of 2 users with 2 datasets; ")
    assert "3 interactions, 2 users, 2 datasets at least" in warnings[0]


@pytest.mark.parametrize(
    ("rows", "price", "warning"),
    [
        ([["big", *row[1:]] for row in sound_rows()[:40]] + sound_rows()[40:], "1", "user 'big' has 33% of the"),
        (sound_rows(), "0", "no dataset has a price above 0: is the column `price` missing?"),
        (sound_rows(), "", "no dataset has a price above 0: is the column `price` missing?"),
        ([[*row[:2], "view", row[3]] for row in sound_rows()], "1", "all interactions are of the type view"),
        (
            [["u1", "1", "view", "2025-11-01T00:00:01Z"], *sound_rows()],
            "1",
            "no interactions for 61 days, 2025-11-01 00:00:01Z to 2026-01-01 00:07:00Z",
        ),
        ([[*row[:3], row[3][:10]] for row in sound_rows()], "1", "every `ts` is midnight: the order of interactions"),
        (
            [["1234567890123" + row[0][1:].zfill(2) + "000", *row[1:]] for row in sound_rows()[:9]] + sound_rows(),
            "1",
            "user_id: 9 ids in 9 rows end in zeros after 15 digits, such as 123456789012300000",
        ),
        (sound_rows()[:30:3] + sound_rows()[1:4], "1", "too little to measure a model on"),
    ],
)
def test_odd_data_that_can_be_loaded_gives_a_warning(
    tmp_path: Path, rows: list[list[str]], price: str, warning: str
) -> None:
    assert any(each.startswith(warning) for each in summary(tmp_path, rows, price).warnings())


def test_the_summary_names_the_zone_of_local_times(tmp_path: Path) -> None:
    imported = summary(tmp_path, sound_rows()).imported
    assert "(times without a zone: Asia/Shanghai)" in Summary(imported, ZoneInfo("Asia/Shanghai")).lines()[2]


def test_an_interaction_is_learnable_if_another_user_had_it_earlier() -> None:
    user, dataset, ts = (np.array(column, np.int64) for column in zip((1, 7, 5), (0, 8, 10), (0, 7, 20), strict=True))
    assert count_learnable(user, dataset, ts) == 1
    assert count_learnable(user, dataset, np.full(3, 20, np.int64)) == 0
    assert count_learnable(user[1:], dataset[1:], ts[1:]) == 0
    nothing = np.empty(0, np.int64)
    assert count_learnable(nothing, nothing, nothing) == 0
    assert describe_shortage(nothing, nothing, nothing).startswith("there are 0 interactions")
