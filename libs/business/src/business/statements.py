"""The SQL that reads the canonical columns: ours on the canonical tables, or the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from business import tables
from business.errors import UserSqlError
from business.syntax import Syntax, UnreadableSqlError, check_reads

TABLES = ("users", "datasets", "interactions")


@dataclass(frozen=True)
class Statement:
    """One SELECT; `source` is its file or a description."""

    sql: str
    source: str
    is_file: bool = False

    @classmethod
    def of_file(cls, path: Path) -> "Statement":
        """Read a file, with a byte order mark or without; raises `UserSqlError`."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserSqlError(f"{path.name}: {error.strerror}") from error
        try:
            sql = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UserSqlError(f"{path.name}:{line}: not UTF-8; save the file in that encoding") from error
        statement = cls(sql, path.name, is_file=True)
        if (place := sql.find("\0")) >= 0:
            raise statement.error("holds the character NUL", place)
        return statement

    def wrap(
        self, syntax: Syntax, columns: Sequence[str] = (), where: str = "", group_by: str = ""
    ) -> "WrappedStatement":
        """Return a SELECT of the columns (all if none) over this one; raises `UserSqlError` if it isn't one SELECT.

        `columns`, `where` and `group_by` are our own code.
        """
        try:
            inner = check_reads(self.sql, syntax)
        except UnreadableSqlError as error:
            raise self.error(str(error), error.offset) from error
        # The first line stays the first, and a comment at the end can't include the text after it.
        head = f"SELECT {', '.join(columns) or '*'} FROM ("  # noqa: S608 - columns of ours
        tail = "\n) AS q" + (f" WHERE {where}" if where else "") + (f" GROUP BY {group_by}" if group_by else "")
        return WrappedStatement(self, head, f"{head}{inner}{tail}")

    def error(self, words: str, offset: int | None = None, line: int | None = None) -> UserSqlError:
        """Return an error that names file and line, from an offset in this text or from the line itself."""
        last = self.sql.rstrip().count("\n") + 1
        if offset is not None:
            line = self.sql.count("\n", 0, max(0, offset)) + 1
        place = self.source if line is None else f"{self.source}:{min(max(1, line), last)}"
        return UserSqlError(f"{place}: {words}")


@dataclass(frozen=True)
class WrappedStatement:
    """The sent text. Its line numbers are those of the inner statement; offsets are larger by the length of `head`."""

    inner: Statement
    head: str
    sql: str


def canonical(name: str, columns: Sequence[str] | None = None) -> Statement:
    """Return the statement that reads a canonical table."""
    names = columns or [column.name for column in tables.metadata.tables[name].columns]
    return Statement(f"SELECT {', '.join(names)} FROM {name}", f"table {name}")  # noqa: S608 - our own names


def statements(folder: Path | None, canonical_columns: dict[str, Sequence[str]] | None = None) -> dict[str, Statement]:
    """Return one statement per canonical table.

    `folder` may contain `users.sql`, `datasets.sql`, `interactions.sql`, each one SELECT whose columns have the
    canonical names. A table without a file is read as a canonical one, only with its `canonical_columns` if they are
    given. Raises `UserSqlError`.
    """
    columns = canonical_columns or {}
    found = {name: canonical(name, columns.get(name)) for name in TABLES}
    if folder is None:
        return found
    files = {name: folder / f"{name}.sql" for name in TABLES}
    own = {name: path for name, path in files.items() if path.is_file()}
    if not own:
        raise UserSqlError(f"EXTRACTION_SQL: {folder} holds none of {', '.join(path.name for path in files.values())}")
    return found | {name: Statement.of_file(path) for name, path in own.items()}
