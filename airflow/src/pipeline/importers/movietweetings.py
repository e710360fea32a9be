"""MovieTweetings (https://github.com/sidooms/MovieTweetings): films are used as datasets.

`ratings.dat` is `user::imdb_id::rating::unix_time` with ratings 0-10, `movies.dat` is `imdb_id::title (year)::genres`
with
genres separated by `|`. A rating up to 6 counts as a view, 7 or 8 as a favourite, 9 and 10 as a purchase. The source
has
no prices: every film is free (0), so that a `max_price` filter excludes none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.importers.bad_rows import BadCellError, FileFaults, show_value
from pipeline.importers.rows import Columns, Row
from pipeline.importers.text_files import numbered_lines

_TITLE = re.compile(r"(?P<name>.+?)\s*\((?P<year>\d{4})\)\s*")
_RATING = re.compile(r"[0-9]|10")


def films(path: Path, encoding: str, columns: Columns, faults: FileFaults) -> Iterator[tuple[int, Row]]:
    """Yield each film as a dataset; raises `UnreadableFileError`."""
    del columns
    for line, parts in _split(path, encoding, "imdb_id::title (year)::genres", faults):
        film, title, genres = parts
        tags = [genre for genre in genres.split("|") if genre]
        match = _TITLE.fullmatch(title)
        decade = [f"{match['year'][:3]}0s"] if match else []
        description = f"{', '.join(tags)} film" + (f" of {match['year']}" if match else "") if tags else None
        yield line, {"id": film, "title": title, "description": description, "tags": [*tags, *decade], "price": 0}


def ratings(path: Path, encoding: str, columns: Columns, faults: FileFaults) -> Iterator[tuple[int, Row]]:
    """Yield each rating as an interaction; raises `UnreadableFileError`."""
    del columns
    for line, parts in _split(path, encoding, "user::imdb_id::rating::unix_time", faults):
        user, film, rating, ts = parts
        if _RATING.fullmatch(rating) is None:
            error = BadCellError("rating", "is not a whole number from 0 to 10")
            faults.add(line, error, "rating", rating)
            continue
        yield line, {"user_id": user, "dataset_id": film, "type": _type(int(rating)), "ts": ts}


def _split(path: Path, encoding: str, form: str, faults: FileFaults) -> Iterator[tuple[int, list[str]]]:
    for line, text in numbered_lines(path, encoding, faults):
        if not (row := text.rstrip("\r\n")):
            continue
        parts = row.split("::")
        if len(parts) == form.count("::") + 1:
            yield line, parts
        else:
            message = f"{len(parts)} fields, expected {form}: {show_value(row)}"
            faults.add(line, BadCellError("number of fields", message))


def _type(rating: int) -> str:
    if rating >= 9:
        return "purchase"
    return "favorite" if rating >= 7 else "view"
