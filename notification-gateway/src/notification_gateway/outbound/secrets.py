"""The secrets in the URLs of channels: often there is no password, and the path itself is the token."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qsl, quote, unquote, urlsplit

# Shorter ones, and words without a digit, are names: to redact `services` would redact it everywhere.
_MIN_TOKEN_LENGTH = 8
_MIN_WORD_LENGTH = 16
_TOKEN = re.compile(r"[^/?#&=\s]+")


def secret_parts(url: str) -> Iterator[str]:
    """Yield the whole URL, and what in it looks like a token: as it is written, and decoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    if not parts.netloc:
        return
    # Encoded, a URL with a password is one secret, of which the redaction knows the plain form too.
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
        # A name without dots is a container's, unless it looks like a token.
        return not _is_token(name)
    return True


def _is_token(text: str) -> bool:
    if len(text) < _MIN_TOKEN_LENGTH or _TOKEN.fullmatch(text) is None:
        return False
    return len(text) >= _MIN_WORD_LENGTH or any(character.isdigit() for character in text)
