"""Addresses and tokens that people type into settings and options: checked before they are used, never quoted.

The messages say what is wrong and not what was given: a token pasted into the wrong place must not reach a log.
"""

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

MAX_TOKEN_LENGTH = 4096
MAX_URL_LENGTH = 2048

# What a header or a request line can carry as it is: printable ASCII without white space.
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_HOST_LENGTH = 253


def check_token(value: str) -> str:
    """Return a token that an `Authorization` header can carry; raises `ValueError`."""
    return _check_visible(value, "a token", MAX_TOKEN_LENGTH)


def check_http_url(value: str, *, with_user: bool = False) -> str:
    """Return the base URL of a service; raises `ValueError`. `with_user` allows `user:password@`."""
    _check_visible(value, "a URL", MAX_URL_LENGTH)
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("host or port can't be read; a URL looks like http://host:8001") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError("a URL begins with http:// or https://")
    if not host or parts.netloc.endswith(":"):
        raise ValueError("a URL names its host, and a port after a colon: http://host:8001")
    if ":" not in host:
        check_host(host)
    if "@" in parts.netloc and not with_user:
        raise ValueError("a URL holds no user and no password; tokens have a setting of their own")
    if "?" in value or "#" in value:
        raise ValueError("a base URL has neither ? nor #")
    return value


def check_host(value: str) -> str:
    """Return the name or IPv4 address of a host; raises `ValueError`."""
    labels = value.removesuffix(".").split(".")
    if len(value) > _MAX_HOST_LENGTH or not all(map(_HOST_LABEL.fullmatch, labels)):
        raise ValueError("a host name consists of letters, digits, - and dots, with at most 63 between two dots")
    if any(label.lower().startswith("xn--") for label in labels):
        try:
            value.encode("ascii").decode("idna")
        except UnicodeError as error:
            raise ValueError("the host is no valid international name; it begins with xn--") from error
    return value


def check_single_line(value: str) -> str:
    """Return a text without line breaks and other control characters; raises `ValueError`."""
    if any(not (character.isprintable() or character == "\N{NO-BREAK SPACE}") for character in value):
        raise ValueError("holds a line break or another control character")
    return value


def _check_visible(value: str, what: str, longest: int) -> str:
    if not value:
        raise ValueError(f"{what} has at least one character")
    if len(value) > longest:
        raise ValueError(f"{what} has at most {longest} characters")
    if _VISIBLE.fullmatch(value):
        return value
    if _VISIBLE.fullmatch(value.strip()):
        raise ValueError(f"{what} ends at its last character: remove the white space or line break around it")
    if value.isascii():
        raise ValueError(f"{what} holds white space or a control character")
    advice = "; write an international host name in its xn-- form" if what == "a URL" else ""
    raise ValueError(f"{what} consists of ASCII characters{advice}")


def _of_secret(check: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    def check_secret(value: SecretStr) -> SecretStr:
        check(value.get_secret_value())
        return value

    return check_secret


def _check_url_or_empty(value: str) -> str:
    return check_http_url(value) if value else value


def _check_url_with_user_or_empty(value: str) -> str:
    return check_http_url(value, with_user=True) if value else value


def _check_whole_url(value: str) -> str:
    _check_visible(value, "a URL", MAX_URL_LENGTH)
    if "#" in value:
        raise ValueError("a URL that is called has no #")
    check_http_url(value.partition("?")[0], with_user=True)
    return value


# What fields of Settings classes are made of.
Token = Annotated[SecretStr, AfterValidator(_of_secret(check_token))]
SecretLine = Annotated[SecretStr, AfterValidator(_of_secret(check_single_line))]
# An address that is called as it is; its path or query often is the token.
SecretUrl = Annotated[SecretStr, AfterValidator(_of_secret(_check_whole_url))]
SingleLine = Annotated[str, AfterValidator(check_single_line)]
Host = Annotated[str, AfterValidator(lambda value: value if ":" in value else check_host(value))]
HttpUrl = Annotated[str, Field(pattern=r"^https?://"), AfterValidator(check_http_url)]
HttpUrlOrEmpty = Annotated[str, Field(pattern=r"^(https?://.*)?$"), AfterValidator(_check_url_or_empty)]
HttpUrlWithUserOrEmpty = Annotated[
    str, Field(pattern=r"^(https?://.*)?$"), AfterValidator(_check_url_with_user_or_empty)
]
