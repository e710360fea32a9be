"""Reads a file that is one gzip member and nothing else."""

import zlib
from typing import IO

from contracts.bundle.errors import MalformedBundleError

# A core's cache holds it, which is a third faster than a megabyte at once, and leaves memory to who answers meanwhile.
PIECE = 2**15
# A window of 32 KiB, with gzip's header and trailer: zlib checks both.
_GZIP = 31


class GzipStream:
    """The content of a gzip file in pieces of at most `PIECE` bytes; raises `MalformedBundleError`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(_GZIP)

    def read_piece(self, most: int = PIECE) -> bytes:
        """Return the next bytes, at most so many; none at the end of the member, whose trailer was checked then."""
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(PIECE // 2)
            try:
                piece = self._inflater.decompress(packed, min(most, PIECE))
            except zlib.error as error:
                raise MalformedBundleError(f"not a readable .tar.gz: {error}") from error
            if piece:
                return piece
            if not packed and not self._inflater.eof:
                raise MalformedBundleError("not a readable .tar.gz: it is cut short")
        return b""

    def read_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes; the caller bounds them."""
        pieces = []
        while size:
            piece = self.read_piece(size)
            if not piece:
                raise MalformedBundleError("not a readable .tar.gz: the archive ends inside an entry")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def check_nothing_follows(self) -> None:
        """Check, at the end of the member, that the file has no more bytes."""
        if self._inflater.unused_data or self._file.read(1):
            raise MalformedBundleError("not a readable .tar.gz: something follows the end of its only gzip member")
