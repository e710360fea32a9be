"""MovieTweetings (https://github.com/sidooms/MovieTweetings): films stand in for datasets.

`ratings.dat` is `user::imdb_id::rating::unix_time` with ratings 0-10, `movies.dat` is `imdb_id::title (year)::genres`
with genres separated by `|`. A rating up to 6 counts as a view, 7 or 8 as a favourite, 9 and 10 as a purchase. The
source has no prices: every film is free (0), so that a `max_price` filter refuses none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.business.content import Content
from pipeline.errors import InputError
from pipeline.importers.draft import Draft
from pipeline.importers.rows import BadRowError, RowErrors, cut

_TITLE = re.compile(r"(?P<name>.+?)\s*\((?P<year>\d{4})\)\s*")
_MAX_RATING = 10


def read(folder: Path) -> Content:
    """Read the folder; raises `InputError` that lists the bad rows by file and line."""
    draft, errors = Draft(), RowErrors()
    for path, line, text in _lines(folder, "movies.dat"):
        with errors.at(path, line):
            _add_film(draft, text)
    for path, line, text in _lines(folder, "ratings.dat"):
        with errors.at(path, line):
            _add_rating(draft, text)
    errors.raise_if_any()
    return draft.content()


def _lines(folder: Path, name: str) -> Iterator[tuple[Path, int, str]]:
    path = folder / name
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if text := line.rstrip("\r\n"):
                    yield path, number, text
    except FileNotFoundError as error:
        raise InputError(
            f"{name}: not in {folder}; a MovieTweetings folder holds movies.dat and ratings.dat"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: can't be read as UTF-8 text: {error}") from error


def _add_film(draft: Draft, text: str) -> None:
    parts = text.split("::")
    if len(parts) != 3:
        raise BadRowError(f"{len(parts)} fields, expected imdb_id::title (year)::genres: {cut(text)}")
    film, title, genres = parts
    if not film or not title:
        raise BadRowError(f"imdb_id and title are required: {cut(text)}")
    tags = [genre for genre in genres.split("|") if genre]
    match = _TITLE.fullmatch(title)
    decade = [f"{match['year'][:3]}0s"] if match else []
    description = f"{', '.join(tags)} film" + (f" of {match['year']}" if match else "") if tags else None
    if not draft.add_dataset(
        film, title=title, description=description, tags=";".join([*tags, *decade]) or None, price=0.0
    ):
        raise BadRowError(f"imdb_id {cut(film)} appears twice")


def _add_rating(draft: Draft, text: str) -> None:
    parts = text.split("::")
    if len(parts) != 4:
        raise BadRowError(f"{len(parts)} fields, expected user::imdb_id::rating::unix_time: {cut(text)}")
    user, film, rating, ts = parts
    if not user:
        raise BadRowError(f"user is required: {cut(text)}")
    if not rating.isdecimal() or int(rating) > _MAX_RATING:
        raise BadRowError(f"rating {cut(rating)} is not a whole number from 0 to {_MAX_RATING}")
    if not ts.isdecimal() or not 0 < int(ts) < 2**32:
        raise BadRowError(f"unix_time {cut(ts)} is not a time in Unix seconds")
    if not draft.knows(film):
        raise BadRowError(f"imdb_id {cut(film)} is not in movies.dat")
    draft.add_interaction(user, film, _type(int(rating)), int(ts))


def _type(rating: int) -> str:
    if rating >= 9:
        return "purchase"
    return "favorite" if rating >= 7 else "view"
