"""Structured logs: one JSON object a line, with the request's id."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from logging import LogRecord

import orjson

import monitoring


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON line; extra fields go in as they are."""

    _STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= monitoring.current_context()
        line |= {name: value for name, value in record.__dict__.items() if name not in self._STANDARD}
        if record.exc_text or record.exc_info:
            # The redaction filter has put its text there; formatting it again would bring the secrets back.
            line["exception"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]  # not None
        try:
            return orjson.dumps(line, default=_text_of).decode()
        except TypeError:
            # Half a surrogate pair, a number past 64 bits, a key that is no text.
            return orjson.dumps(_plain(line)).decode()


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_plain(_text_of(name)): _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(held) for held in value]
    return value if value is None or isinstance(value, bool | float) else _plain(_text_of(value))


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - foreign code, and a line must come out of it
        return f"<{type(value).__name__} without a text>"


def configure(service: str, level: str, *filters: logging.Filter) -> None:
    """Send all logs to stderr as JSON lines; `filters` see each record first (redaction)."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(service))
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # httpx logs every request's full URL, and a URL may carry an access token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
