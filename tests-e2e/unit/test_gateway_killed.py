"""A gateway that is killed while it escalates, reminds, repeats, summarizes or closes loses no message."""

from pathlib import Path

from prove.gateway_killed import kill_rounds


def test_no_message_is_lost_and_only_the_one_in_flight_comes_twice(tmp_path: Path) -> None:
    results = kill_rounds(tmp_path, seed=3, kills=8)
    assert [each.name for each in results if not each.ok] == []
