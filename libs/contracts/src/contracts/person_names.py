"""The name of a person or a job, of any script, in an HTTP header.

    X-Deployed-By: ci@main
    X-Deployed-By: UTF-8''%E5%BC%A0%E4%BC%9F

Printable ASCII stands as it is, anything else as an ext-value of RFC 8187. A sender that knows nothing of it (curl)
sends bare UTF-8, which is read as such.
"""

import re
import unicodedata
from urllib.parse import quote, unquote_to_bytes

from contracts.text import is_visible

MAX_LENGTH = 200
# Each of 200 characters takes up to four bytes, and each byte three characters.
MAX_HEADER_LENGTH = 12 * MAX_LENGTH + 64

_PLAIN = re.compile(r"[\x20-\x7e]*")
_EXT_VALUE = re.compile(r"(?P<charset>[A-Za-z0-9!#$%&+^_`{}~-]+)'[A-Za-z0-9-]*'(?P<value>.*)", re.DOTALL)
_PERCENT_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9!#$&+.^_`|~-])*")
# RFC 8187, attr-char, but for letters, digits and what quote() never touches.
_SAFE = "!#$&+^`|"
_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They turn the rest of a line around on a terminal and on a page.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_name(value: str) -> str:
    """Return a name without white space at its ends; raises `ValueError` with what is wrong."""
    name = value.strip()
    if not is_visible(name):
        raise ValueError("a name has at least one character that can be seen")
    if len(name) > MAX_LENGTH:
        raise ValueError(f"a name has at most {MAX_LENGTH} characters")
    if any(unicodedata.category(character) in _CONTROLS or character in _BIDI for character in name):
        raise ValueError("a name has no line breaks and no control characters")
    return name


def encode_name(name: str) -> str:
    """Return the header value, in ASCII, of a name that `check_name` has returned."""
    if _PLAIN.fullmatch(name) and not _is_ext_value(name):
        return name
    return f"UTF-8''{quote(name, safe=_SAFE)}"


def decode_name(header: str) -> str:
    """Return the name in a header value as ASGI servers hand it on (Latin-1); raises `ValueError`."""
    ext_value = _EXT_VALUE.fullmatch(header)
    if ext_value is not None and ext_value["charset"].lower() == "utf-8":
        if not _PERCENT_ENCODED.fullmatch(ext_value["value"]):
            raise ValueError("a name after UTF-8'' is percent-encoded (RFC 8187)")
        encoded = unquote_to_bytes(ext_value["value"])
    else:
        encoded = header.encode("latin-1")
    try:
        name = encoded.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name is UTF-8, bare or percent-encoded (RFC 8187)") from error
    return check_name(name)


def _is_ext_value(name: str) -> bool:
    found = _EXT_VALUE.fullmatch(name)
    return found is not None and found["charset"].lower() == "utf-8"
