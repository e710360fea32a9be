"""The SQL of an extraction: ours over the canonical tables, or the user's own over theirs."""

from pathlib import Path

from sqlalchemy import Executable, select, text

from business import tables
from pipeline.errors import InputError
from pipeline.extract.columns import SCHEMAS


def queries(folder: Path | None) -> dict[str, Executable]:
    """Return one statement per canonical table.

    `folder` may hold `users.sql`, `datasets.sql`, `interactions.sql`, each one SELECT whose columns have the canonical
    names; a table without a file there is read as ours. Raises `InputError` on a folder without any.
    """
    found: dict[str, Executable] = {
        name: select(*(tables.metadata.tables[name].c[column] for column in schema.names))
        for name, schema in SCHEMAS.items()
    }
    if folder is None:
        return found
    files = {name: folder / f"{name}.sql" for name in SCHEMAS}
    own = {name: path for name, path in files.items() if path.is_file()}
    if not own:
        raise InputError(f"EXTRACTION_SQL: {folder} holds none of {', '.join(path.name for path in files.values())}")
    for name, path in own.items():
        # A colon in the user's SQL (a cast) is not a bind parameter.
        found[name] = text(path.read_text(encoding="utf-8").strip().rstrip(";").replace(":", r"\:"))
    return found
