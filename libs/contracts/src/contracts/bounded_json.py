"""JSON from outside: its size, depth and number length are checked before it is parsed.

A parser recurses into nested values, and Python raises an error of its own for numbers of thousands of digits. Both are
rejected here in the same way. The check reads the bytes and costs less than parsing them.
"""

import json
from typing import Any

MAX_DEPTH = 32
# A float64 in full takes 25 characters, a decimal of a database 40.
MAX_NUMBER_CHARACTERS = 64

_BRACKETS = b"[]{}"
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in _BRACKETS)
# What numbers are made of becomes a 0: looking for a run of them this way is ten times as fast as a regular expression.
_NUMERALS = bytes(ord("0") if byte in b"0123456789eE.+-" else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * (MAX_NUMBER_CHARACTERS + 1)


class JsonError(ValueError):
    """The bytes are no JSON that is taken here; the message says what to change."""


def loads(body: bytes, *, max_bytes: int | None = None) -> Any:
    """Return what a JSON document in UTF-8 holds; raises `JsonError` for everything else, and a field given twice."""
    check(body, max_bytes=max_bytes)
    try:
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The parser would keep the last, a proxy or another language's parser perhaps the first.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise JsonError("a field is given twice in one object")
    return fields


def check(body: bytes, *, max_bytes: int | None = None) -> None:
    """Raise `JsonError` if parsing the document would cost more than it may; what is no JSON at all may pass."""
    if max_bytes is not None and len(body) > max_bytes:
        raise JsonError(f"more than {max_bytes} bytes")
    is_nested = body.count(b"[") + body.count(b"{") > MAX_DEPTH
    has_long_number = _LONG_NUMBER in body.translate(_NUMERALS)
    if not is_nested and not has_long_number:
        return
    outside = _outside_strings(body)
    if has_long_number and _LONG_NUMBER in outside.translate(_NUMERALS):
        raise JsonError(f"a number of more than {MAX_NUMBER_CHARACTERS} characters")
    if is_nested and not _is_shallow(outside):
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels")


def _outside_strings(body: bytes) -> bytes:
    # Without its escapes, a quote begins or ends a string: every second part lies outside of one.
    without_escapes = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b'"'.join(without_escapes.split(b'"')[::2])


def _is_shallow(outside: bytes) -> bool:
    brackets = rest = outside.translate(None, _ALL_BUT_BRACKETS)
    for _ in range(MAX_DEPTH):
        # Removes the innermost level. The blank separates its neighbours, so that only one level is removed.
        rest = rest.replace(b"[]", b" ").replace(b"{}", b" ").replace(b" ", b"")
        if not rest:
            return True
    # Too deep, or brackets that don't fit together, which the parser finds.
    return _depth(brackets) <= MAX_DEPTH


def _depth(brackets: bytes) -> int:
    depth = deepest = 0
    for byte in brackets:
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest
