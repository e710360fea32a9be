"""The sources that can be imported: their files, and how the rows of all files become one content."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from pipeline.business.content import Content
from pipeline.errors import InputError
from pipeline.importers import csv_files, jsonl_files, movietweetings, parquet_files
from pipeline.importers.bad_rows import BadCellError, BadRows, FileFaults
from pipeline.importers.cells import MomentRules
from pipeline.importers.draft import Draft, IdTable
from pipeline.importers.header import HeaderError
from pipeline.importers.rows import (
    DATASET_COLUMNS,
    INTERACTION_COLUMNS,
    USER_COLUMNS,
    Cells,
    Columns,
    DatasetTaker,
    InteractionTaker,
    NewIds,
    Row,
    RowTaker,
    UserTaker,
)
from pipeline.importers.text_files import UnreadableFileError

ReadRows = Callable[[Path, str, Columns, FileFaults], Iterator[tuple[int, Row]]]


@dataclass(frozen=True)
class TableFile:
    """A file of a source and the function that reads it."""

    name: str
    rows: ReadRows


@dataclass(frozen=True)
class Source:
    """The files of a source; that of the users may be missing."""

    datasets: TableFile
    interactions: TableFile
    users: TableFile | None = None


@dataclass(frozen=True)
class ImportOptions:
    """How a source is read: `now` limits times, `encoding` applies to text, `zone` to times without one."""

    now: datetime
    encoding: str = "utf-8"
    zone: tzinfo = UTC


@dataclass(frozen=True)
class Imported:
    """A source's content, and facts for the report: numbers of all ids, and empty rows by file."""

    content: Content
    user_ids: IdTable
    dataset_ids: IdTable
    empty_rows: Mapping[str, int]


def _tables(suffix: str, rows: ReadRows) -> Source:
    names = (f"{table}.{suffix}" for table in ("datasets", "interactions", "users"))
    return Source(*(TableFile(name, rows) for name in names))


SOURCES: Mapping[str, Source] = {
    "csv": _tables("csv", csv_files.rows),
    "parquet": _tables("parquet", parquet_files.rows),
    "jsonl": _tables("jsonl", jsonl_files.rows),
    "movietweetings": Source(
        TableFile("movies.dat", movietweetings.films), TableFile("ratings.dat", movietweetings.ratings)
    ),
}


def find_source(folder: Path) -> str:
    """Return the source whose files a folder contains, csv if there are none; raises `InputError` for several."""
    found = [
        name
        for name, source in SOURCES.items()
        if any((folder / file.name).exists() for file in (source.datasets, source.interactions))
    ]
    if len(found) > 1:
        raise InputError(f"{folder} holds files of {' and '.join(found)}; say which with --source (SOURCE=…)")
    return found[0] if found else "csv"


def read_source(name: str, folder: Path, options: ImportOptions) -> Imported:
    """Read all files of a source; raises `InputError`, which lists all faults in them."""
    return _Reading(SOURCES[name], folder, options).run()


@dataclass
class _Reading:
    source: Source
    folder: Path
    options: ImportOptions
    draft: Draft = field(default_factory=Draft)
    bad: BadRows = field(default_factory=BadRows)
    empty_rows: dict[str, int] = field(default_factory=dict)

    def run(self) -> Imported:
        draft, source = self.draft, self.source
        rules = MomentRules(self.options.now, self.options.zone)
        if source.users is not None and (self.folder / source.users.name).exists():
            self._read(
                source.users, USER_COLUMNS, UserTaker(draft, rules, self._cells(source.users), NewIds(draft.user_ids))
            )
        has_datasets = self._read(
            source.datasets,
            DATASET_COLUMNS,
            DatasetTaker(draft, rules, self._cells(source.datasets), NewIds(draft.dataset_ids)),
        )
        known_from = source.datasets.name if has_datasets else None
        self._read(
            source.interactions,
            INTERACTION_COLUMNS,
            InteractionTaker(draft, rules, self._cells(source.interactions), known_from),
        )
        self._refuse_collisions()
        if self.bad:
            rows = f"{self.bad.rows:,} bad row{'s' if self.bad.rows > 1 else ''}; nothing was loaded"
            raise InputError("\n".join([rows, *self.bad.lines()]))
        return Imported(draft.content(), draft.user_ids, draft.dataset_ids, self.empty_rows)

    def _cells(self, file: TableFile) -> Cells:
        return Cells(FileFaults(file.name, self.bad))

    def _read(self, file: TableFile, columns: Columns, taker: RowTaker) -> bool:
        """Read one file; return False if it can't be read to its end."""
        faults = FileFaults(file.name, self.bad)
        try:
            for line, row in file.rows(self.folder / file.name, self.options.encoding, columns, faults):
                if row:
                    taker.take(line, row)
                else:
                    self.empty_rows[file.name] = self.empty_rows.get(file.name, 0) + 1
        except HeaderError as error:
            faults.add(0, error)
            return False
        except UnreadableFileError as error:
            faults.add(0, BadCellError("unreadable", str(error)))
            return False
        return True

    def _refuse_collisions(self) -> None:
        files = {"user": self.source.interactions, "dataset": self.source.datasets}
        for table in (self.draft.user_ids, self.draft.dataset_ids):
            for first, second in table.collisions():
                message = f"the {table.kind} ids {first!r} and {second!r} stand for the same number; rename one of them"
                self.bad.add(files[table.kind].name, 0, None, None, BadCellError("collision", message))
