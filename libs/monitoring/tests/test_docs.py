"""docs/MONITORING_POINTS.md says what the catalogue says."""

from pathlib import Path

import pytest

from monitoring import catalogue, docs

COMMITTED = Path(__file__).parents[3] / "docs" / "MONITORING_POINTS.md"


def test_the_committed_document_is_in_step_with_the_catalogue() -> None:
    assert docs.main(["--check", str(COMMITTED)]) == 0, "run `python -m monitoring.docs`"


def test_every_point_is_listed_and_has_its_section() -> None:
    text = docs.markdown()
    for point in catalogue.load_all():
        assert f"| [`{point.id}`]" in text
        assert f"\n### {point.id}\n" in text
        assert point.runbook.do in text


def test_a_document_that_drifted_is_an_error_that_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "points.md"
    assert docs.main([str(file)]) == 0
    assert docs.main(["--check", str(file)]) == 0
    file.write_text(file.read_text() + "\n")
    assert docs.main(["--check", str(file)]) == 1
    assert "out of date: run `python -m monitoring.docs" in capsys.readouterr().err
