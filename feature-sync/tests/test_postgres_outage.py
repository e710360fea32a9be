"""The short form of `make prove ONLY=postgres-outage`, without its times: six workers may share two cores."""

from pathlib import Path

from prove.postgres_outage import prove


def test_no_outage_of_postgresql_keeps_an_event_from_being_live_or_loses_one(tmp_path: Path) -> None:
    results = prove(tmp_path, 0, outage_seconds=2.0)
    assert len(results) == 20
    assert [each for each in results if each.unit != "s" and not each.ok] == []
