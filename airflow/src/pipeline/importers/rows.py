"""Rows of a source in any format: the columns of each table, and the parts of a row that go into the draft."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from contracts.datasets import MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, MAX_TITLE_CHARS
from pipeline.importers.bad_rows import BadCellError, FileFaults
from pipeline.importers.cells import MomentRules, price_cell, required, tags_cell, text_cell, type_cell, url_cell
from pipeline.importers.draft import DatasetRow, Draft, IdTable, UserRow

T = TypeVar("T")
Row = Mapping[str, object]


@dataclass(frozen=True)
class Columns:
    """The columns of a table by name, and the required ones among them."""

    table: str
    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """All columns."""
        return self.required + self.optional


DATASET_COLUMNS = Columns(
    "datasets",
    ("id", "title"),
    ("description", "tags", "price", "provider", "cover_image", "created_at"),
)
INTERACTION_COLUMNS = Columns("interactions", ("user_id", "dataset_id", "type", "ts"), ("price",))
USER_COLUMNS = Columns("users", ("id",), ("company_name", "province", "city", "created_at"))


class RowTaker(Protocol):
    """Adds the rows of one table to the draft."""

    def take(self, line: int, row: Row) -> None:
        """Add a row to the draft, or its faults to the faults."""


@dataclass
class Cells:
    """Reads cells by their column and counts their faults."""

    faults: FileFaults
    bad: int = 0

    def read(self, line: int, row: Row, column: str, parse: Callable[[object], T | None]) -> T | None:
        """Return a cell's value, None if it is bad."""
        value = row.get(column)
        try:
            return parse(value)
        except BadCellError as error:
            self.bad += 1
            self.faults.add(line, error, column, value)
            return None


@dataclass
class NewIds:
    """Ids of a table's rows, each at most once."""

    ids: IdTable
    _lines: dict[int, int] = field(default_factory=dict)

    def add(self, line: int, value: object) -> int:
        """Return the row of an id; raises `BadCellError` if the id is repeated."""
        position = self.ids.row_of(value)
        if (first := self._lines.setdefault(position, line)) != line:
            raise BadCellError("repeated id", f"appears twice, first in line {first}")
        return position


@dataclass
class DatasetTaker:
    """Adds datasets."""

    draft: Draft
    rules: MomentRules
    cells: Cells
    ids: NewIds

    def take(self, line: int, row: Row) -> None:
        """See `RowTaker`."""
        cells, before = self.cells, self.cells.bad
        # The id of a bad row is known from now on too: interactions with it are not at fault.
        position = cells.read(line, row, "id", partial(self.ids.add, line))
        columns = DatasetRow(
            title=cells.read(line, row, "title", _title) or "",
            description=cells.read(line, row, "description", _description),
            tags=cells.read(line, row, "tags", tags_cell),
            price=cells.read(line, row, "price", price_cell),
            provider=cells.read(line, row, "provider", _name),
            cover_image=cells.read(line, row, "cover_image", url_cell),
            created_at=cells.read(line, row, "created_at", self.rules.creation_cell),
        )
        if position is not None and cells.bad == before:
            self.draft.datasets[position] = columns


@dataclass
class UserTaker:
    """Adds users."""

    draft: Draft
    rules: MomentRules
    cells: Cells
    ids: NewIds

    def take(self, line: int, row: Row) -> None:
        """See `RowTaker`."""
        cells = self.cells
        position = cells.read(line, row, "id", partial(self.ids.add, line))
        columns = UserRow(
            company_name=cells.read(line, row, "company_name", _name),
            province=cells.read(line, row, "province", _name),
            city=cells.read(line, row, "city", _name),
            created_at=cells.read(line, row, "created_at", self.rules.creation_cell),
        )
        if position is not None:
            self.draft.users[position] = columns


@dataclass
class InteractionTaker:
    """Adds interactions with known datasets; all ids are accepted if the file of the datasets is unreadable."""

    draft: Draft
    rules: MomentRules
    cells: Cells
    datasets_file: str | None

    def take(self, line: int, row: Row) -> None:
        """See `RowTaker`."""
        cells = self.cells
        user = cells.read(line, row, "user_id", self._user)
        dataset = cells.read(line, row, "dataset_id", self._dataset)
        kind = cells.read(line, row, "type", type_cell)
        ts = cells.read(line, row, "ts", self.rules.interaction_cell)
        price = cells.read(line, row, "price", price_cell)
        # After the first bad row nothing is loaded, so nothing needs to be stored.
        if user is not None and dataset is not None and kind is not None and ts is not None and not cells.bad:
            self.draft.add_interaction(user, dataset, kind, ts, price)

    def _user(self, value: object) -> int:
        return self.draft.user_ids.row_of(value)

    def _dataset(self, value: object) -> int | None:
        position = self.draft.dataset_ids.find(value)
        if position is None and self.datasets_file is not None:
            raise BadCellError("unknown dataset", f"is not in {self.datasets_file}")
        return position


def _title(value: object) -> str | None:
    return text_cell(required(value), MAX_TITLE_CHARS)


def _description(value: object) -> str | None:
    return text_cell(value, MAX_DESCRIPTION_CHARS)


def _name(value: object) -> str | None:
    return text_cell(value, MAX_NAME_CHARS)
