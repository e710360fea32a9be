"""Parses SMTP_URL, and opens sessions with the SMTP server."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

TIMEOUT_SECONDS = 8.0
_PORTS = {"smtp": 25, "smtps": 465}


class UnsafeLoginError(smtplib.SMTPException):
    """The server offers no TLS: a password is not sent in the clear. Use smtps://, or a server with STARTTLS."""


@dataclass(frozen=True)
class SmtpServer:
    """`smtps` uses TLS from the start; `smtp` uses STARTTLS if the server offers it."""

    scheme: Literal["smtp", "smtps"]
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """Read `smtp[s]://[user:password@]host[:port]`."""
        parts = urlsplit(url)
        scheme: Literal["smtp", "smtps"] = "smtps" if parts.scheme == "smtps" else "smtp"
        return cls(
            scheme,
            parts.hostname or "",
            parts.port or _PORTS[scheme],
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )

    @contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        """Give a session that is logged in; raises `OSError` and `smtplib.SMTPException`."""
        context = ssl.create_default_context()
        if self.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            smtp = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        with smtp:
            encrypted = self.scheme == "smtps"
            if not encrypted:
                smtp.ehlo_or_helo_if_needed()
                if smtp.has_extn("starttls"):
                    smtp.starttls(context=context)
                    encrypted = True
            if self.user:
                if not encrypted and not _is_loopback(self.host):
                    raise UnsafeLoginError("the server offers no TLS, so the password is not sent")
                smtp.login(self.user, self.password)
            yield smtp


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
