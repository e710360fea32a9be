"""The headers of a tar archive, by a whitelist: ustar, PAX with `path` and `size`, GNU's magic; files and folders.

Python's `tarfile` reads names, comments and sparse maps of any size as they come. A bundle needs none of that.
Source: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Extended Header".
"""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.bundle.errors import MalformedBundleError
from contracts.bundle.gzip_stream import GzipStream

BLOCK = 512
MAX_HEADER_BYTES = 64 * 2**10
# `tar` fills its last record; its records have at most this size unless someone asks for larger ones.
MAX_PADDING_BYTES = 64 * 2**10
# In front of GNU's own fields, of which no entry here has any, the header is that of ustar.
_MAGICS = (b"ustar\x0000", b"ustar  \x00")
_FILES, _FOLDER, _PAX = (b"0", b"\x00"), b"5", b"x"
# What `tar` and `bsdtar` write besides, which changes neither the name nor the content.
_IGNORED = frozenset({"mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"})
_IGNORED_PREFIXES = ("SCHILY.", "LIBARCHIVE.")
_MAX_SHOWN = 80


class Entry(NamedTuple):
    """A file of `size` bytes, or a folder."""

    name: str
    size: int
    is_folder: bool


def iter_entries(stream: GzipStream) -> Iterator[Entry]:
    """Yield the entries; the caller reads each file's `size` bytes before the next. Raises `MalformedBundleError`."""
    while True:
        block = stream.read_exactly(BLOCK)
        if not any(block):
            _check_end(stream)
            return
        records: dict[str, str] = {}
        if block[156:157] == _PAX:
            _check_sum(block)
            records = _read_pax(stream, _size(block))
            block = stream.read_exactly(BLOCK)
        entry = _entry(block, records)
        yield entry
        stream.read_exactly(-entry.size % BLOCK)


def shown(name: str) -> str:
    """Return a stranger's name as a message shows it: printable, and cut."""
    cut = name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}…"
    return cut if cut.isprintable() else ascii(cut)


def _check_end(stream: GzipStream) -> None:
    if any(stream.read_exactly(BLOCK)):
        raise MalformedBundleError("not a readable .tar.gz: a block of zeros that does not end the archive")
    padding = 0
    while piece := stream.read_piece():
        padding += len(piece)
        if piece.strip(b"\0") or padding > MAX_PADDING_BYTES:
            raise MalformedBundleError("not a readable .tar.gz: something follows the end of the tar archive")
    stream.check_nothing_follows()


def _entry(block: bytes, records: dict[str, str]) -> Entry:
    _check_sum(block)
    if block[257:265] not in _MAGICS:
        raise MalformedBundleError("not a readable .tar.gz: neither ustar nor PAX nor GNU tar")
    name = _name(block, records)
    kind = block[156:157]
    size = _number(records["size"], 10, "size") if "size" in records else _size(block)
    if kind in _FILES:
        return Entry(name, size, is_folder=False)
    if kind == _FOLDER and not size:
        return Entry(name, 0, is_folder=True)
    raise MalformedBundleError(f"{shown(name)}: only plain files may be in a bundle")


def _name(block: bytes, records: dict[str, str]) -> str:
    if "path" in records:
        name = records["path"]
    else:
        name = _text(block[:100])
        # GNU has other fields in the prefix's place.
        if block[257:265] == _MAGICS[0] and block[345:500].strip(b"\0"):
            name = f"{_text(block[345:500])}/{name}"
    name = name.removeprefix("./")
    if "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise MalformedBundleError(f"{shown(name)}: lies outside of the bundle")
    return name


def _check_sum(block: bytes) -> None:
    if _octal(block[148:156], "checksum") != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise MalformedBundleError("not a readable .tar.gz: the checksum of a header is wrong")


def _size(block: bytes) -> int:
    return _octal(block[124:136], "size")


def _octal(field: bytes, what: str) -> int:
    return _number(_text(field.rstrip(b" \0").lstrip(b" ")) or "0", 8, what)


def _number(text: str, base: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise MalformedBundleError(f"not a readable .tar.gz: the {what} of an entry is {shown(text)!r}")
    try:
        return int(text, base)
    except ValueError as error:
        raise MalformedBundleError(f"not a readable .tar.gz: the {what} of an entry is {text!r}") from error


def _text(field: bytes) -> str:
    try:
        return field.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise MalformedBundleError("not a readable .tar.gz: a name or number of an entry is not text") from error


def _read_pax(stream: GzipStream, size: int) -> dict[str, str]:
    if size > MAX_HEADER_BYTES:
        raise MalformedBundleError(f"an entry's header is larger than {MAX_HEADER_BYTES} bytes")
    content = stream.read_exactly(size)
    stream.read_exactly(-size % BLOCK)
    records: dict[str, str] = {}
    start = 0
    while start < size:
        digits, space, _ = content[start : start + 8].partition(b" ")
        length = _number(_text(digits), 10, "PAX record") if space else 0
        record = content[start : start + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if length <= len(digits) + 1 or len(record) != length or record[-1:] != b"\n" or not equals:
            raise MalformedBundleError("not a readable .tar.gz: a PAX record without length, key, value and end")
        start += length
        name = _text(key)
        if name in records:
            raise MalformedBundleError(f"not a readable .tar.gz: the PAX record {shown(name)} comes twice")
        if name in ("path", "size"):
            records[name] = _text(value)
        elif name not in _IGNORED and not name.startswith(_IGNORED_PREFIXES):
            raise MalformedBundleError(f"not a readable .tar.gz: the PAX record {shown(name)} is not supported")
    return records
