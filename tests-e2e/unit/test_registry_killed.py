"""The registry survives being killed inside a request; `make prove ONLY=registry-killed` does it fifty times."""

from pathlib import Path

from prove.registry_killed import kill_rounds


def test_a_killed_registry_starts_again_with_whole_versions_and_one_active(tmp_path: Path) -> None:
    results = kill_rounds(tmp_path, seed=3, kills=2)
    assert [each for each in results if not each.ok] == []
