"""Reads text files line by line: checks the encoding, and limits the length of lines."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError
from pipeline.importers.bad_rows import BadCellError, FileFaults, show_value

# A row is in memory as a whole: its longest cell has 20,000 characters, and a line may be fifty times as long.
MAX_LINE_CHARS = 1_000_000

_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_UTF_8 = ("utf-8", "utf-8-sig", "ascii")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_FORMATS = {
    b"PK\x03\x04": "a workbook or an archive; open it and save it as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "an old workbook; open it and save it as 'CSV UTF-8'",
    b"\x1f\x8b": "compressed; unpack it first",
    b"PAR1": "Parquet; name it so, and set SOURCE=parquet",
}


class UnreadableFileError(Exception):
    """A file can't be read at all; the message says why."""


class Decoding(NamedTuple):
    """How a file's bytes become text."""

    encoding: str
    errors: str = "strict"


def numbered_lines(path: Path, encoding: str, faults: FileFaults) -> Iterator[tuple[int, str]]:
    """Yield each line with its number and its line end.

    A file in another encoding is one fault, and is read as well as possible, so that its other faults are found too. A
    line longer than `MAX_LINE_CHARS` is a fault and empty. Raises `UnreadableFileError`.
    """
    try:
        decoding = _find_decoding(path, encoding, faults)
        with path.open(encoding=decoding.encoding, errors=decoding.errors, newline="") as stream:
            number = 0
            while line := stream.readline(MAX_LINE_CHARS):
                number += 1
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                if len(line) >= MAX_LINE_CHARS and not line.endswith(("\n", "\r")):
                    faults.add(number, BadCellError("too long", f"a line of more than {MAX_LINE_CHARS:,} characters"))
                    while (rest := stream.readline(MAX_LINE_CHARS)) and not rest.endswith(("\n", "\r")):
                        pass
                    line = "\n"
                yield number, line
    except FileNotFoundError as error:
        raise UnreadableFileError(missing_file(path)) from error
    except (OSError, UnicodeError) as error:
        raise UnreadableFileError(f"can't be read: {error}") from error


def missing_file(path: Path) -> str:
    """Return the message that a file is missing, and which files exist instead."""
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder")
    try:
        there = sorted(each.name for each in path.parent.iterdir())
    except OSError as error:
        raise InputError(f"{path.parent} can't be listed: {error.strerror}") from error
    shown = ", ".join(show_value(name) for name in there[:8]) + (", …" if len(there) > 8 else "")
    return f"is not in {path.parent}; there {'is ' + shown if there else 'is nothing'}"


def _find_decoding(path: Path, encoding: str, faults: FileFaults) -> Decoding:
    with path.open("rb") as stream:
        head = stream.read(4096)
    for mark, what in _OTHER_FORMATS.items():
        if head.startswith(mark):
            raise UnreadableFileError(f"is not text but {what}")
    if head.startswith(codecs.BOM_UTF8):
        encoding = "utf-8"
    bad_line = _first_bad_line(path, encoding)
    is_utf_16 = head.startswith(_UTF_16) or _is_bare_utf_16(head)
    if is_utf_16 and codecs.lookup(encoding).name not in ("utf-16", "utf-16-le", "utf-16-be"):
        advice = "is UTF-16 ('Unicode Text' of a spreadsheet); choose 'CSV UTF-8', or set ENCODING=utf-16"
        faults.add(0, BadCellError("encoding", advice))
        return Decoding("utf-16" if head.startswith(_UTF_16) else "utf-16-le", "replace")
    if bad_line is None:
        _warn_of_utf_8(path, encoding, head, faults)
        return Decoding(encoding)
    if encoding in _UTF_8:
        message = f"not UTF-8 (line {bad_line}); saved by Excel? choose 'CSV UTF-8', or set ENCODING=gb18030"
    else:
        message = f"not {encoding} (line {bad_line}), as ENCODING says; leave ENCODING empty for UTF-8"
    faults.add(0, BadCellError("encoding", message))
    others = ("gb18030",) if encoding in _UTF_8 else ("utf-8",)
    return next(
        (Decoding(name) for name in others if _first_bad_line(path, name) is None), Decoding(encoding, "replace")
    )


def _warn_of_utf_8(path: Path, encoding: str, head: bytes, faults: FileFaults) -> None:
    """Reject another ENCODING for a file in UTF-8: its text would be garbled without a message."""
    if encoding not in _UTF_8 and not head.isascii() and _first_bad_line(path, "utf-8") is None:
        message = f"is UTF-8, but ENCODING={encoding} would read it as something else; leave ENCODING empty"
        faults.add(0, BadCellError("encoding", message))


def _is_bare_utf_16(head: bytes) -> bool:
    """Return whether every other byte of the first line is zero, as in UTF-16 without a mark and ASCII text."""
    line = head.partition(b"\n")[0]
    return len(line) >= 6 and line[1::2].count(0) == len(line[1::2])


def _first_bad_line(path: Path, encoding: str) -> int | None:
    """Return the number of the first line with bytes that are invalid in the encoding, None if there is none."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK_BYTES)
            before = decoder.getstate()
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                return lines + (before[0] + chunk)[:start].count(b"\n")
            if not chunk:
                return None
            lines += text.count("\n")
