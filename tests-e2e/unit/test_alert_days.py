"""Over simulated days people are notified of every fault, of nothing else, and of its right end."""

from pathlib import Path

import pytest

from prove.alert_days import simulate


def test_six_days_of_scripted_faults_are_notified_and_end_correctly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = simulate(tmp_path, seed=5, days=6, parts=1)
    assert [each.name for each in results if not each.ok] == [], capsys.readouterr().err
