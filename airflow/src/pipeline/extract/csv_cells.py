"""Reads columns from a database's CSV, without a Python value for each cell where its type allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv

from business import CsvColumn, Form
from pipeline.extract.values import Values

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PARSE = pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


@dataclass(frozen=True)
class CsvCells:
    """A column of a batch: its texts, string [rows]."""

    column: CsvColumn
    texts: pa.StringArray

    @property
    def are_numbers(self) -> bool:
        """Whether no value is a text."""
        return self.column.form in {Form.INTEGER, Form.NUMBER}

    def values(self) -> Values:
        """Return the values that the database's rows would have."""
        texts: list[str | None] = self.texts.to_pylist()
        return [None if text is None else self.column.parse(text) for text in texts]

    def as_array(self, type_: pa.DataType) -> pa.Array | None:
        """Return integers, numbers or texts as a type of Arrow, None if the values have to be converted one by one."""
        return self.texts.cast(type_) if _HAVE[self.column.form](type_) else None


_HAVE = {
    Form.INTEGER: lambda type_: pa.types.is_integer(type_) or pa.types.is_floating(type_),
    Form.NUMBER: pa.types.is_floating,
    Form.TEXT: pa.types.is_string,
    Form.OTHER: lambda _: False,
}


def split_csv(data: bytes, columns: Sequence[CsvColumn]) -> dict[str, CsvCells]:
    """Return the columns of whole rows, by their names; of equal names the last one."""
    # The reader would leave out a mark at the beginning.
    data = _BYTE_ORDER_MARK + data if data.startswith(_BYTE_ORDER_MARK) else data
    # Two columns of a user's statement may have one name.
    keys = [str(number) for number in range(len(columns))]
    table = pyarrow.csv.read_csv(
        pa.py_buffer(data),
        read_options=pyarrow.csv.ReadOptions(column_names=keys, block_size=len(data), use_threads=False),
        parse_options=_PARSE,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(keys, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ).combine_chunks()
    return {column.name: CsvCells(column, table[key].chunk(0)) for key, column in zip(keys, columns, strict=True)}
