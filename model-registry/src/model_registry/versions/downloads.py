"""Downloads of a stored bundle, whole or in part (RFC 9110, 13 and 14)."""

import re
from collections.abc import Iterator

from starlette.responses import Response, StreamingResponse

from model_registry.artifacts import StoredBundle
from servicekit.etags import is_named
from servicekit.problems import ProblemError

MEDIA_TYPE = "application/gzip"
_BLOCK = 2**20
_OK, _PARTIAL, _NOT_MODIFIED, _UNSATISFIABLE = 200, 206, 304, 416
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Download:
    """The answer to a request for a bundle; its tag is its checksum, so a part always fits to the rest."""

    def __init__(self, stored: StoredBundle, sha256: str) -> None:
        self._stored = stored
        self._tag = f'"{sha256}"'
        self._headers = {"X-Bundle-SHA256": sha256, "ETag": self._tag, "Accept-Ranges": "bytes"}

    def answer(
        self, *, head: bool, wanted: str | None, if_range: str | None = None, if_none_match: str | None = None
    ) -> Response:
        """Answer a GET or HEAD with its `Range` and conditions; closes the bundle when it is sent.

        Raises `ProblemError` (416) for a range that begins after the end.
        """
        if if_none_match is not None and is_named(self._tag, if_none_match):
            self._stored.content.close()
            return Response(status_code=_NOT_MODIFIED, headers=self._headers)
        size = self._stored.size
        part = None if head or if_range not in (None, self._tag) else _parse_range(wanted, size)
        if part is not None and not part:
            self._stored.content.close()
            detail = f"Range: begins after the end of the bundle, which has {size} bytes"
            raise ProblemError(_UNSATISFIABLE, detail, headers={"Content-Range": f"bytes */{size}"})
        sent = range(size) if part is None else part
        headers = self._headers | {"Content-Length": str(len(sent))}
        if head:
            self._stored.content.close()
            return Response(headers=headers, media_type=MEDIA_TYPE)
        if part is not None:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        status = _OK if part is None else _PARTIAL
        return StreamingResponse(self._blocks(sent), status, media_type=MEDIA_TYPE, headers=headers)

    def _blocks(self, part: range) -> Iterator[bytes]:
        with self._stored.content as content:
            content.seek(part.start)
            remaining = len(part)
            while remaining and (block := content.read(min(_BLOCK, remaining))):
                remaining -= len(block)
                yield block


def _parse_range(wanted: str | None, size: int) -> range | None:
    """Return the bytes of a `Range`, none if it can't be satisfied; None for everything, also for several ranges."""
    found = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1 if last else size, size))
