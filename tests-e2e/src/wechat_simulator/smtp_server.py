"""Receives mails by SMTP and forwards none."""

import asyncio
import socket

from aiosmtpd.smtp import SMTP, Envelope, Session

from wechat_simulator.mailbox import MAX_MAIL_BYTES, Mailbox

# The gateway recognizes a mail catcher by this text.
IDENTITY = "recsys mail catcher"
TIMEOUT_SECONDS = 30.0
MAX_RECIPIENTS = 100


class Catcher:
    """The handler of aiosmtpd for each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Accept a recipient."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Store a mail."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else str(content or "").encode("utf-8", "surrogateescape")
        self._mailbox.add(envelope.mail_from or "", envelope.rcpt_tos, raw)
        return "250 OK: caught and not forwarded"


async def serve(mailbox: Mailbox, listener: socket.socket) -> asyncio.Server:
    """Listen; the caller closes the server."""
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            Catcher(mailbox),
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=True,
            hostname="wechat-simulator",
            ident=IDENTITY,
            timeout=TIMEOUT_SECONDS,
            loop=loop,
        )

    return await loop.create_server(protocol, sock=listener)
