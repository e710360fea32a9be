"""Email as a channel."""

import asyncio
import hashlib
import smtplib
from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage

from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.email.server import SmtpServer
from notification_gateway.messages.forms import html, plain
from notification_gateway.outbox.notice import Notice

# A person must correct a wrong password.
LOGIN_WAIT = timedelta(minutes=5)
_PERMANENT = range(500, 600)


class EmailChannel:
    """One message to all recipients, as text and HTML."""

    per_minute = None
    max_concurrent_sends = 1

    def __init__(self, server: SmtpServer, sender: str, recipients: Sequence[str]) -> None:
        self._server = server
        self._sender = sender
        self._recipients = list(recipients)

    async def send(self, notice: Notice, key: str) -> Outcome:
        """Send once; the message id is derived from `key`, so that mail programs show duplicates as one."""
        return await asyncio.to_thread(self._send, self._message(notice, key))

    async def close(self) -> None:
        """Do nothing: no connection is open between messages."""

    def _message(self, notice: Notice, key: str) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = " ".join(notice.title.split())
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Message-ID"] = f"<{hashlib.sha256(f'{key} {notice.title}'.encode()).hexdigest()[:32]}@gateway>"
        # Not every server accepts 8-bit content.
        message.set_content(plain(notice), cte="base64")
        message.add_alternative(html(notice), subtype="html", cte="base64")
        return message

    def _send(self, message: EmailMessage) -> Outcome:
        try:
            with self._server.session() as smtp:
                rejected = smtp.send_message(message, self._sender, self._recipients)
        except smtplib.SMTPAuthenticationError as error:
            reason = f"SMTP login rejected ({error.smtp_code})"
            return Rejected(reason, retryable=True, wait=LOGIN_WAIT, errcode=error.smtp_code)
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            retryable = any(code not in _PERMANENT for code in codes)
            return Rejected(f"SMTP rejected every recipient ({min(codes)})", retryable=retryable, errcode=min(codes))
        except smtplib.SMTPResponseException as error:
            retryable = error.smtp_code not in _PERMANENT
            return Rejected(f"SMTP answered {error.smtp_code}", retryable=retryable, errcode=error.smtp_code)
        except (smtplib.SMTPException, OSError) as error:
            return Rejected(f"SMTP: {type(error).__name__}: {error}", retryable=True)
        named = ", ".join(f"{address} ({code})" for address, (code, _) in sorted(rejected.items()))
        return Delivered(f"SMTP rejected the recipients {named}" if named else "")
