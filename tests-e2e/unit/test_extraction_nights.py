"""Incremental extraction over simulated nights, on each kind of database; `make prove ONLY=extraction` has more."""

from pathlib import Path

from prove.extraction import Nights, simulate
from testkit.source_databases import SourceDatabase


def test_an_incremental_extraction_has_the_rows_of_a_full_one(source_database: SourceDatabase, tmp_path: Path) -> None:
    """Late, changed, moved, exchanged and deleted rows; a change older than a week is there after the comparison."""
    nights = Nights()
    simulate(source_database, tmp_path, 20261124, 30 if source_database.kind == "sqlite" else 9, nights)
    assert nights.faults == []
    assert nights.compared_nights >= 2
    assert nights.read_rows < nights.rows / 2
