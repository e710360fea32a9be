"""The summary of an import, and oddities of data that can be loaded nevertheless."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.importers.bad_rows import show_value
from pipeline.importers.cells import TYPES
from pipeline.importers.draft import IdTable
from pipeline.importers.sources import Imported
from pipeline.quality.sufficiency import MEASURED_FROM, count_learnable, describe_shortage

_LARGE_SHARE = 0.2
_LONG_GAP = timedelta(days=7)
_MICROSECONDS = 1_000_000
_DAY = 86_400
# A spreadsheet stores this many digits of a number, and writes zeros for the others.
_SPREADSHEET_DIGITS = 15


@dataclass(frozen=True)
class Summary:
    """Describes the imported data."""

    imported: Imported
    zone: tzinfo = UTC

    def lines(self) -> list[str]:
        """Return the report: numbers, left-out rows, warnings."""
        rows = [*self._content(), *self._left_out(), *(("warning", text) for text in self.warnings())]
        return [f"{name + ':':<15}{text}" for name, text in rows]

    def warnings(self) -> list[str]:
        """Return the oddities."""
        return [*self._odd_times(), *self._odd_rows(), *self._rounded_ids()]

    def _content(self) -> Iterator[tuple[str, str]]:
        content = self.imported.content
        unused = len(content.datasets) - len(np.unique(self._dataset))
        yield "datasets", f"{len(content.datasets):,}, {unused:,} of them without interactions"
        yield "users", f"{len(content.users):,}"
        if not len(self._ts):
            yield "interactions", "0"
            return
        span = f"{_at(self._ts[0])} to {_at(self._ts[-1])}"
        yield "interactions", f"{len(self._ts):,} from {span} (times without a zone: {self.zone})"
        counts = self._type_counts
        yield "types", ", ".join(f"{name} {counts[name]:,} ({counts[name] / len(self._ts):.1%})" for name in counts)
        user, share = self._largest_user
        yield "largest user", f"{user} with {share:.1%} of the interactions"

    def _left_out(self) -> Iterator[tuple[str, str]]:
        for file, count in self.imported.empty_rows.items():
            yield "left out", f"{count:,} empty rows of {file}"
        table = self.imported.content.interactions
        keys = table.select(["user", "dataset", "type", "ts"]).group_by(["user", "dataset", "type", "ts"]).aggregate([])
        if repeated := len(table) - len(keys):
            yield "left out", f"{repeated:,} interactions that repeat another in everything (by the training, not here)"

    def _odd_times(self) -> Iterator[str]:
        if not len(self._ts):
            yield "no interactions: there is nothing to train on"
            return
        if not count_learnable(self._user, self._dataset, self._ts):
            yield f"too little to train on: {describe_shortage(self._user, self._dataset, self._ts)}"
        elif not self._is_measurable():
            least = f"{MEASURED_FROM} datasets, and datasets of {MEASURED_FROM} users"
            yield f"too little to measure a model on: that takes users with {least}; it is trained, but not compared"
        gaps = np.diff(self._ts)
        widest = int(gaps.argmax()) if len(gaps) else 0
        if len(gaps) and gaps[widest] > _LONG_GAP.total_seconds():
            days = gaps[widest] // _DAY
            yield f"no interactions for {days:,} days, {_at(self._ts[widest])} to {_at(self._ts[widest + 1])}"
        if len(gaps) and gaps.any() and not self._local_seconds_of_day().any():
            yield "every `ts` is midnight: the order of interactions within a day is lost; export the time as well"

    def _odd_rows(self) -> Iterator[str]:
        user, share = self._largest_user
        if share > _LARGE_SHARE and len(self.imported.content.users) > 1:
            yield f"user {user} has {share:.0%} of the interactions: a test account, or a value for 'unknown'?"
        prices = self.imported.content.datasets["price"]
        if len(prices) and not pc.any(pc.greater(prices, 0)).as_py():
            yield "no dataset has a price above 0: is the column `price` missing?"
        if len(self._ts) and len(self._type_counts) == 1:
            yield f"all interactions are of the type {next(iter(self._type_counts))}"

    def _rounded_ids(self) -> Iterator[str]:
        for name, ids, rows in (
            ("user_id", self.imported.user_ids, self._user),
            ("dataset_id", self.imported.dataset_ids, self._dataset),
        ):
            long, rounded = _find_rounded(ids)
            count = int(rounded.sum())
            if count and count * 2 > int(long.sum()):
                example = ids.texts[int(rounded.argmax())]
                hit = int(rounded[rows].sum())
                yield (
                    f"{name}: {count:,} ids in {hit:,} rows end in zeros after {_SPREADSHEET_DIGITS} digits, such as "
                    f"{example}: did a spreadsheet round them? Different ones may be one now; export ids as text"
                )

    def _is_measurable(self) -> bool:
        pairs = np.unique(np.stack([self._user, self._dataset]), axis=1)
        return all(np.bincount(side).max(initial=0) >= MEASURED_FROM for side in pairs)

    def _local_seconds_of_day(self) -> NDArray[np.int64]:
        offset = datetime.fromtimestamp(int(self._ts[-1]), self.zone).utcoffset() or timedelta()
        # A clock change moves all times by whole hours, so the minutes of an hour are enough.
        return (self._ts + int(offset.total_seconds())) % (_DAY if self.zone is UTC else 3600)

    @cached_property
    def _user(self) -> NDArray[np.int64]:
        return _ints(self.imported.content.interactions["user"])

    @cached_property
    def _dataset(self) -> NDArray[np.int64]:
        return _ints(self.imported.content.interactions["dataset"])

    @cached_property
    def _ts(self) -> NDArray[np.int64]:
        return _ints(self.imported.content.interactions["ts"].cast(pa.int64())) // _MICROSECONDS

    @cached_property
    def _type_counts(self) -> dict[str, int]:
        counts = pc.value_counts(self.imported.content.interactions["type"]).to_pylist()
        by_name = {each["values"]: each["counts"] for each in counts}
        return {name: by_name[name] for name in TYPES if name in by_name}

    @cached_property
    def _largest_user(self) -> tuple[str, float]:
        counts = np.bincount(self._user)
        if not len(counts):
            return "", 0.0
        largest = int(counts.argmax())
        return show_value(self.imported.user_ids.texts[largest]), float(counts[largest] / len(self._user))


def _find_rounded(ids: IdTable) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the ids that are numbers longer than a spreadsheet stores, and of those that it has rounded."""
    long = np.array([len(text) > _SPREADSHEET_DIGITS and text.isdecimal() for text in ids.texts], np.bool_)
    rounded = [
        bool(is_long) and not text[_SPREADSHEET_DIGITS:].strip("0")
        for text, is_long in zip(ids.texts, long, strict=True)
    ]
    return long, np.array(rounded, np.bool_)


def _ints(column: pa.ChunkedArray) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.to_numpy()
    return values


def _at(seconds: np.int64) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%SZ}"
