"""A purchase that is in the shop's table and was also posted as an event counts once."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from pipeline.extract.columns import INTERACTIONS
from pipeline.extract.repeated_purchases import StoredPurchases, purchases_of
from pipeline.quality.event_log import COUNTS, repeated_purchases_finding

NOON = datetime(2026, 3, 1, 12, 0, 59, tzinfo=UTC)


def rows(*found: tuple[int | None, int | None, str, float | None]) -> pa.Table:
    """Interactions of (user, dataset, type, seconds after NOON)."""
    return pa.Table.from_pylist(
        [
            {
                "user_id": user,
                "dataset_id": dataset,
                "type": kind,
                "price": None,
                "ts": None if seconds is None else NOON + timedelta(seconds=seconds),
            }
            for user, dataset, kind, seconds in found
        ],
        schema=INTERACTIONS,
    )


def test_the_same_purchase_within_a_minute_is_repeated_whichever_clock_is_ahead() -> None:
    known = rows((7, 101, "purchase", 0), (7, 101, "purchase", 86_400))
    posted = rows(
        (7, 101, "purchase", 60), (7, 101, "purchase", -60), (7, 101, "purchase", 60.5), (7, 101, "purchase", 86_399)
    )
    assert StoredPurchases(purchases_of(known)).repeated(posted).tolist() == [True, True, False, True]


def test_other_users_datasets_and_types_are_not_repeated() -> None:
    known = rows((7, 101, "purchase", 0), (7, 103, "view", 0))
    posted = rows((8, 101, "purchase", 1), (7, 102, "purchase", 1), (7, 101, "view", 1), (7, 103, "purchase", 1))
    assert not StoredPurchases(purchases_of(known)).repeated(posted).any()


def test_incomplete_rows_are_left_to_the_checks() -> None:
    known = rows((7, 101, "purchase", 0), (None, 101, "purchase", 0), (7, 101, "purchase", None))
    posted = rows((None, 101, "purchase", 0), (7, None, "purchase", 0), (7, 101, "purchase", None))
    assert not StoredPurchases(purchases_of(known)).repeated(posted).any()
    assert not StoredPurchases(purchases_of(rows())).repeated(rows()).any()


def test_left_out_purchases_are_reported(tmp_path: Path) -> None:
    (tmp_path / COUNTS).write_text(json.dumps({"events": 5, "repeated_purchases": 2}))
    found = repeated_purchases_finding(tmp_path)
    assert (found.severity, found.value) == ("info", 2)
    assert "2 purchases" in found.details
    (tmp_path / COUNTS).write_text(json.dumps({"events": 5}))
    assert repeated_purchases_finding(tmp_path).severity == "ok"
