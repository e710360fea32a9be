"""Redacts secrets by value and by pattern, in text, whole events and log records."""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

MARK = "[redacted]"
MAX_TEXT = 4096
# Longer text is cut before the search and by a margin after it, so that no half of a secret is left at the edge.
MAX_SEARCHED = 100_000
_MARGIN = 2_000
# Shorter values are words ("test", "admin"); without them an event would be unreadable.
MIN_SECRET_LENGTH = 5

_SENSITIVE_NAMES = (
    r"[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
    r"|pwd|sentry_key|(?:proxy-)?authorization|x-sentry-auth|(?:set-)?cookie|dsn|sentry_dsn"
)
_SENSITIVE_NAME = re.compile(rf"(?:{_SENSITIVE_NAMES})", re.IGNORECASE)
_ASSIGNED = r"""(?:"[^"]*"|'[^']*'|[^\s&'",;)}\]]+)"""

# Between a header's name and its value, raw or in reprs of dicts, pairs and bytes. Atomic: no backtracking.
_SEPARATOR = r"""((?>\\?["']?\s*[:=,]\s*(?:b(?=["'\\]))?\\?["']?))"""
_HEADER_VALUE = r"""(?!\[redacted\])[^"'\r\n\\]+"""

# Each: a text that must be in the (lower-case) input for the pattern to be tried, the pattern, the replacement.
_PATTERNS = (
    # The password may contain an @: everything up to the last one before the path.
    ("://", re.compile(r"""(\b[a-z][a-z0-9+.-]*://)[^\s/?#'"<>]*@""", re.IGNORECASE), rf"\1{MARK}@"),
    # A password with an unescaped slash. The look-ahead skips host:port/path@x.
    (
        "://",
        re.compile(r"""(\b[a-z][a-z0-9+.-]*://)[^\s/:@'"<>]*:(?!\d{1,5}[/?#])[^\s@'"<>]*@""", re.IGNORECASE),
        rf"\1{MARK}@",
    ),
    # The value of an authorization header or a cookie: all of it. A quote ends it.
    (
        "auth",
        re.compile(rf"((?:proxy-)?authorization|x-sentry-auth){_SEPARATOR}{_HEADER_VALUE}", re.IGNORECASE),
        rf"\1\2{MARK}",
    ),
    ("cookie", re.compile(rf"((?:set-)?cookie){_SEPARATOR}{_HEADER_VALUE}", re.IGNORECASE), rf"\1\2{MARK}"),
    ("bearer", re.compile(r"\b(bearer\s+)[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE), rf"\1{MARK}"),
    (
        "basic ",
        re.compile(r"\b([Bb]asic\s+)(?=[A-Za-z0-9+/]*[\dA-Z+/=])[A-Za-z0-9+/]{8,}={0,2}(?!\w)"),
        rf"\1{MARK}",
    ),
    # name=value, as in a query string, a form body, a libpq DSN or a command line.
    (
        "=",
        re.compile(rf"""(?<![\w-])((?:{_SENSITIVE_NAMES}|key)=)(?!\[redacted\]){_ASSIGNED}""", re.IGNORECASE),
        rf"\1{MARK}",
    ),
    # "name": "value", as in JSON and in the repr of a dict; escaped quotes when that text was quoted once more.
    (
        ":",
        re.compile(
            rf"""(\\?["'](?:{_SENSITIVE_NAMES})\\?["']\s*:\s*b?)(\\?["'])(?!\[redacted\]).*?\2""", re.IGNORECASE
        ),
        rf"\1\2{MARK}\2",
    ),
    ("secretstr(", re.compile(r"(SecretStr\()(?!['\"]\*)[^)]*\)", re.IGNORECASE), rf"\1{MARK})"),
    # pydantic quotes what it rejects, and that may be a secret.
    ("input_value=", re.compile(r"""(input_value=)(?!\[redacted\])(?:"[^"]*"|'[^']*'|[^,\]]*)"""), rf"\1{MARK}"),
)


class Redactor:
    """Replaces secrets by `[redacted]`: the configured values in every spelling, and what looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {
            spelling
            for secret in secrets
            for value in _values(secret)
            if len(value) >= MIN_SECRET_LENGTH
            for spelling in _spellings(value)
        }
        # The longest first: a secret may contain another.
        self._secrets = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))

    def text(self, value: str) -> str:
        """Return the text without secrets, cut to about 100,000 characters."""
        if len(value) > MAX_SEARCHED:
            return self._searched(value[:MAX_SEARCHED])[:-_MARGIN]
        return self._searched(value)

    def _searched(self, value: str) -> str:
        for secret in self._secrets:
            if secret in value:
                value = value.replace(secret, MARK)
        lowered = value.lower()
        for needed, pattern, replacement in _PATTERNS:
            if needed in lowered:
                value = pattern.sub(replacement, value)
        return value if value.isascii() and "\0" not in value else _storable(value)

    def scrub(self, value: object) -> object:
        """Return a copy of JSON-like data without secrets in keys and values.

        Text is cut after redaction, never before, so that no half of a secret is left.
        """
        if isinstance(value, str):
            return cut(self.text(value))
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._scrub_value(str(name), inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            if _is_secret_pair(value):
                return [value[0], MARK]
            return [self.scrub(item) for item in value]
        return value

    def _scrub_value(self, name: str, value: object) -> object:
        if isinstance(value, (str, bytes)) and value and _names_secret(name):
            return MARK
        return self.scrub(value)


def text_of(value: object) -> str:
    """Return `str(value)`, or the name of its type if that raises."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - foreign code, and its failure must not hide the fault that is reported
        return f"<{type(value).__name__} without a text>"


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text, shortened to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


class RedactingFilter(logging.Filter):
    """Redacts log records; belongs on a handler, because a logger's filters don't see its children's records."""

    _STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
    _formatter = logging.Formatter()

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact message, exception and extra fields in place; no record is dropped."""
        record.msg = self._redactor.text(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info)
        for name in record.__dict__.keys() - self._STANDARD:
            record.__dict__[name] = self._redactor.scrub(record.__dict__[name])
        return True


def _storable(text: str) -> str:
    """Return the text without lone surrogates, which UTF-8 cannot encode, and NUL, which PostgreSQL rejects."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _names_secret(name: object) -> bool:
    # In local variables, the names come quoted and headers as bytes.
    return isinstance(name, str) and _SENSITIVE_NAME.fullmatch(name.removeprefix("b").strip("'\"")) is not None


def _is_secret_pair(value: Sequence[object]) -> bool:
    """Return whether a pair is a header with a secret."""
    return len(value) == 2 and isinstance(value[1], (str, bytes)) and _names_secret(value[0])


def _values(secret: str) -> Iterator[str]:
    """Yield the credentials of a URL (its host is what one wants to read in an error), or the secret itself."""
    try:
        parts = urlsplit(secret)
        userinfo, found, _ = parts.netloc.rpartition("@")
    except ValueError:
        found = ""
    if not found:
        yield secret
        return
    user, _, password = userinfo.partition(":")
    if password:
        yield password
    elif parts.scheme in ("http", "https"):
        # A DSN's key has the place of a user's name; a user's name is not a secret.
        yield user


def _spellings(value: str) -> Iterator[str]:
    for spelling in (value, unquote(value)):
        yield spelling
        yield quote(spelling, safe="")
        yield quote_plus(spelling)
        yield json.dumps(spelling)[1:-1]
        yield json.dumps(spelling, ensure_ascii=False)[1:-1]
        yield repr(spelling)[1:-1]
        yield repr(spelling.encode())[2:-1]
