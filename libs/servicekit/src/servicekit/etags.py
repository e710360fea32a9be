"""Tags of answers in `If-None-Match` (RFC 9110, 8.8.3 and 13.1.2)."""

import re

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def is_named(etag: str, if_none_match: str) -> bool:
    """Return whether the header names a tag, in a list or as `*`; weak tags are those of a proxy that compresses."""
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)
