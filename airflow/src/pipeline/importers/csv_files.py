"""Two CSV files with a header, UTF-8, columns in any order; ids may be any text.

datasets.csv      id, title; optional: description, tags (separated by ";"), price, provider, cover_image, created_at
interactions.csv  user_id, dataset_id, type, ts; optional: price

`type` is one of click, view, favorite, purchase. `ts` and `created_at` are ISO 8601 (without a zone: UTC) or Unix
seconds. An empty cell is a missing value; a dataset without a price is free.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pipeline.business.content import Content
from pipeline.errors import InputError
from pipeline.importers.draft import Draft
from pipeline.importers.rows import BadRowError, RowErrors, cut

_DATASET_COLUMNS = frozenset({"id", "title", "description", "tags", "price", "provider", "cover_image", "created_at"})
_INTERACTION_COLUMNS = frozenset({"user_id", "dataset_id", "type", "ts", "price"})
_TYPES = ("click", "view", "favorite", "purchase")
_LATEST = 2**32

Row = Mapping[str, str]


def read(folder: Path) -> Content:
    """Read both files; raises `InputError` that lists the bad rows by file and line."""
    draft, errors = Draft(), RowErrors()
    for path, line, row in _rows(folder, "datasets.csv", {"id", "title"}, _DATASET_COLUMNS, errors):
        with errors.at(path, line):
            _add_dataset(draft, row)
    for path, line, row in _rows(
        folder, "interactions.csv", {"user_id", "dataset_id", "type", "ts"}, _INTERACTION_COLUMNS, errors
    ):
        with errors.at(path, line):
            _add_interaction(draft, row)
    errors.raise_if_any()
    return draft.content()


def _rows(
    folder: Path, name: str, required: set[str], known: frozenset[str], errors: RowErrors
) -> Iterator[tuple[Path, int, Row]]:
    path = folder / name
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = _header(name, next(reader, []), required, known)
            for values in reader:
                if not values:
                    continue
                with errors.at(path, reader.line_num):
                    if len(values) != len(header):
                        raise BadRowError(f"{len(values)} values, the header has {len(header)} columns")
                    yield path, reader.line_num, dict(zip(header, (value.strip() for value in values), strict=True))
    except FileNotFoundError as error:
        raise InputError(f"{name}: not in {folder}") from error
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: not CSV: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read as UTF-8 text: {error}") from error


def _header(name: str, header: list[str], required: set[str], known: frozenset[str]) -> list[str]:
    names = [column.strip() for column in header]
    if missing := required - set(names):
        raise InputError(
            f"{name}:1: the header lacks {', '.join(sorted(missing))}; it has {', '.join(names) or 'nothing'}"
        )
    if strangers := set(names) - known:
        raise InputError(
            f"{name}:1: unknown column {', '.join(sorted(strangers))}; known are {', '.join(sorted(known))}"
        )
    if len(set(names)) != len(names):
        raise InputError(f"{name}:1: a column appears twice")
    return names


def _add_dataset(draft: Draft, row: Row) -> None:
    created = row.get("created_at")
    columns: dict[str, object] = {
        name: row.get(name) or None for name in ("description", "tags", "provider", "cover_image")
    }
    columns |= {
        "title": _required(row, "title"),
        "price": _price(row) or 0.0,
        "created_at": datetime.fromtimestamp(_time("created_at", created), UTC) if created else None,
    }
    if not draft.add_dataset(_required(row, "id"), **columns):
        raise BadRowError(f"id {cut(row['id'])} appears twice")


def _add_interaction(draft: Draft, row: Row) -> None:
    user, dataset, kind = (_required(row, name) for name in ("user_id", "dataset_id", "type"))
    if kind not in _TYPES:
        raise BadRowError(f"type {cut(kind)} is none of {', '.join(_TYPES)}")
    if not draft.knows(dataset):
        raise BadRowError(f"dataset_id {cut(dataset)} is not in datasets.csv")
    draft.add_interaction(user, dataset, kind, _time("ts", _required(row, "ts")), _price(row))


def _required(row: Row, name: str) -> str:
    if not (value := row[name]):
        raise BadRowError(f"{name} is empty")
    return value


def _price(row: Row) -> float | None:
    if not (text := row.get("price")):
        return None
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 <= price < math.inf:
        raise BadRowError(f"price {cut(text)} is not a number from 0 on")
    return price


def _time(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = _iso(name, text)
    if not 0 < seconds < _LATEST:
        raise BadRowError(f"{name} {cut(text)} is not a time between 1970 and 2106 in ISO 8601 or Unix seconds")
    return seconds


def _iso(name: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRowError(f"{name} {cut(text)} is neither ISO 8601 nor Unix seconds") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
