"""The bounds of the data checks: the default file, a user's changes, and errors that name line and key."""

from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.quality.rules import Bound
from pipeline.quality.rules_file import DEFAULTS, load_rules


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "quality.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_file_in_the_folder_airflow_is_the_one_in_use() -> None:
    assert (Path(__file__).parents[1] / "quality.yaml").resolve() == DEFAULTS.resolve()


def test_a_users_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = written(tmp_path, "interactions:\n  missing_days: {warning: 3}\ncalendar: {time_zone: Asia/Shanghai}\n")
    rules, defaults = load_rules(path), load_rules()
    assert rules.interactions.missing_days == Bound(warning=3, critical=defaults.interactions.missing_days.critical)
    assert rules.calendar.time_zone == "Asia/Shanghai"
    assert rules.calendar.holidays == defaults.calendar.holidays
    assert rules.datasets == defaults.datasets


def test_null_switches_a_bound_off(tmp_path: Path) -> None:
    rules = load_rules(written(tmp_path, "datasets:\n  null_price: {warning: null, critical: null}\n"))
    assert rules.datasets.null_price == Bound(warning=None, critical=None)


@pytest.mark.parametrize("text", ["", "# nothing changes\n", "\ufeff"])
def test_a_file_without_changes_is_accepted(tmp_path: Path, text: str) -> None:
    assert load_rules(written(tmp_path, text)) == load_rules()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("interactions:\n  missing_day: {warning: 3}\n", 2, "interactions.missing_day: Extra inputs"),
        ("interaction:\n  missing_days: {warning: 3}\n", 1, "interaction: Extra inputs"),
        (
            "datasets:\n  null_price:\n    warning: much\n",
            3,
            "datasets.null_price.warning: Input should be a valid number",
        ),
        ("datasets:\n  null_price:\n    warning: -1\n", 3, "datasets.null_price.warning: Input should be greater"),
        ("datasets:\n  null_price:\n    warning: .nan\n", 3, "datasets.null_price.warning: Input should be a finite"),
        (
            "datasets:\n  null_price: {warning: 0.9, critical: 0.5}\n",
            2,
            r"datasets.null_price: critical (0.5) is below",
        ),
        ("datasets:\n  null_price: 3\n", 2, "datasets.null_price: Input should be"),
        ("rows:\n  unusable: 5\n", 2, "rows.unusable: Input should be less than or equal to 1"),
        ("\ndrift:\n  learning_runs: 0\n", 3, "drift.learning_runs: Input should be greater"),
        ("calendar: {holidays: mars}\n", 1, "calendar.holidays: Input should be 'china' or 'none'"),
        ("calendar: {time_zone: Mars/Base}\n", 1, "calendar.time_zone"),
        ("rows: {unusable: 0.1}\nrows: {unusable: 0.2}\n", 2, "rows stands here twice"),
        ("- rows\n", 1, "write sections"),
        ("rows: {unusable: 0.1\n", 2, "expected"),
        ("rows: *star\n", 1, "an alias: write the value out"),
    ],
)
def test_an_error_names_the_line_and_the_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_rules(path)
    assert str(caught.value).startswith(f"QUALITY_RULES: {path}:{line}: ")
    assert words in str(caught.value)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r":2: rows\.unusable.*; .*:3: rows\.without_key"):
        load_rules(written(tmp_path, "rows:\n  unusable: 5\n  without_key: x\n"))


@pytest.mark.parametrize(("content", "words"), [(b"rows: \xff", "not UTF-8"), (b"rows: \x00", "not YAML")])
def test_a_file_that_is_not_text_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_rules(written(tmp_path, content))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"QUALITY_RULES: .*none\.yaml: cannot be read: No such file"):
        load_rules(tmp_path / "none.yaml")
