"""Finds the secrets in URLs of channels: a password, or a token in the path, the query or the host."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qsl, quote, unquote, urlsplit

# Shorter texts, and shorter words without a digit, count as names: redacting `services` would affect every text.
_MIN_TOKEN_LENGTH = 8
_MIN_WORD_LENGTH = 16
_TOKEN = re.compile(r"[^/?#&=\s]+")


def secret_parts(url: str) -> Iterator[str]:
    """Yield the whole URL, and its parts that look like tokens, both as written and decoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    if not parts.netloc:
        return
    # Encoded: the redaction also covers the plain form of a secret.
    yield quote(url, safe="")
    user_info, _, host = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    if password:
        yield from {password, unquote(password)}
    candidates = [user, *parts.path.split("/")]
    candidates += [value for _, value in parse_qsl(parts.query, keep_blank_values=True)]
    # `slack://T0123/B0123/secret`: the host of a channel's URL may be a part of the token.
    candidates += [] if _is_host(host) else host.split(":")
    for each in candidates:
        yield from filter(_is_token, {each, unquote(each)})


def _is_host(text: str) -> bool:
    name, _, _port = text.partition(":")
    if "." in name or name in ("", "localhost") or text.startswith("["):
        return True
    try:
        ip_address(name)
    except ValueError:
        # A name without dots is a host name of a container, unless it looks like a token.
        return not _is_token(name)
    return True


def _is_token(text: str) -> bool:
    if len(text) < _MIN_TOKEN_LENGTH or _TOKEN.fullmatch(text) is None:
        return False
    return len(text) >= _MIN_WORD_LENGTH or any(character.isdigit() for character in text)
