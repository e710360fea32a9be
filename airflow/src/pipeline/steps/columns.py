"""The step that evaluates the declared columns, and what it leaves in `columns/` for the later steps."""

import logging
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import load_array, save_arrays
from pipeline.artifacts import join, read_file, reading, writing
from pipeline.columns.evaluate import ColumnError, Ids, check_columns, evaluate_columns
from pipeline.columns.values import ColumnValues, fill_column, with_categories
from pipeline.config import load_config
from pipeline.errors import DataError, InputError
from pipeline.layered_yaml import read_yaml
from pipeline.records import Records
from pipeline.sentry_utils import monitor_pipeline_step
from pipeline.settings import Settings
from pipeline.steps.run_info import load_run_info
from ranking.own_columns import NO_COLUMNS, OwnColumn, OwnColumns

_DOCUMENT = "own_columns.json"
_HALVES = ("datasets", "users")
# Its rows are what a ranker learns to predict.
_TARGETS = re.compile(r"\binteractions\b", re.IGNORECASE)
_log = logging.getLogger(__name__)


class OwnData(NamedTuple):
    """The declared columns of a run, with float32 values of all datasets [n, o] and of all users [u, o]."""

    columns: OwnColumns
    datasets: NDArray[np.float32]
    users: NDArray[np.float32]


@monitor_pipeline_step("columns")
def columns(settings: Settings, run: str) -> str:
    """`clean/` → `columns/`, by PIPELINE_CONFIG; the frequent categories get their codes here.

    The expressions were sound over empty tables, so `DataError` is raised for one that fails: the data is at fault.
    """
    declared = load_config(settings).columns.declared()
    for column in (*declared.datasets, *declared.users):
        if _TARGETS.search(column.sql):
            _log.warning(
                "column %s reads interactions: training sees values as of now beside queries of the past, so they tell "
                "it what it has to predict; nDCG@10 is then too high, and the ranker trusts the column too much",
                column.name,
            )
    try:
        write_columns(run, declared, has_categories=False)
    except ColumnError as error:
        raise DataError(_located(settings, error)) from error
    return run


def check_declared_columns(settings: Settings) -> None:
    """Evaluate the columns of PIPELINE_CONFIG over empty tables; raises `InputError`."""
    try:
        check_columns(load_config(settings).columns.declared())
    except ColumnError as error:
        raise InputError(_located(settings, error)) from error


def write_columns(run: str, declared: OwnColumns, *, has_categories: bool) -> None:
    """Write `columns/`; without `has_categories` the categories are those of the data. Raises `ColumnError`."""
    with reading(join(run, "clean")) as clean, writing(join(run, "columns")) as folder:
        found = {half: list[ColumnValues]() for half in _HALVES}
        if declared != NO_COLUMNS:
            records = Records.load(clean)
            ids = Ids(records.catalogue.ids, records.user_ids)
            found = evaluate_columns(declared, clean, ids, load_run_info(run).as_of)
            declared = declared if has_categories else with_categories(declared, found)
            save_arrays(folder, **{half: _fill(half, getattr(declared, half), found[half], ids) for half in _HALVES})
        (folder / _DOCUMENT).write_text(declared.model_dump_json(indent=2), encoding="utf-8")


def load_declared(run: str) -> OwnColumns:
    """Return the declared columns of a run; a run of an earlier release has none."""
    data = read_file(join(run, "columns", _DOCUMENT))
    return NO_COLUMNS if data is None else OwnColumns.model_validate_json(data)


def load_own_data(run: str, datasets: int, users: int) -> OwnData:
    """Read `columns/`, for so many datasets and users."""
    declared = load_declared(run)
    if declared == NO_COLUMNS:
        return OwnData(declared, np.empty((datasets, 0), np.float32), np.empty((users, 0), np.float32))
    with reading(join(run, "columns")) as folder:
        return OwnData(declared, *(load_array(folder, half) for half in _HALVES))


def _fill(half: str, declared: tuple[OwnColumn, ...], found: list[ColumnValues], ids: Ids) -> NDArray[np.float32]:
    """Return float32 [ids, columns], and say how many ids have a default."""
    rows = np.empty((len(getattr(ids, half)), len(declared)), np.float32)
    for place, (column, values) in enumerate(zip(declared, found, strict=True)):
        rows[:, place], defaults, not_finite = fill_column(column, values)
        _log.info(
            "column %s of %s: %s have a value, %s have the default, %s of them because theirs is not finite",
            *(column.name, half, f"{len(rows) - defaults:,}", f"{defaults:,}", f"{not_finite:,}"),
        )
        if defaults == len(rows):
            _log.warning("column %s of %s has no value: the ranker learns nothing from it", column.name, half)
    return rows


def _located(settings: Settings, error: ColumnError) -> str:
    path: Path | None = settings.pipeline_config
    assert path is not None  # noqa: S101 - columns are declared in it
    line = read_yaml(path, "PIPELINE_CONFIG").lines[("columns", error.half, error.place, "sql")]
    return f"PIPELINE_CONFIG: {path}:{line}: columns.{error.half}.{error.place}.sql: {error}"
