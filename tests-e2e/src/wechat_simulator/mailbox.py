"""The received mails, parsed; bounded in number and size. No SMTP or HTTP here."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

MAX_MAILS = 200
MAX_MAIL_BYTES = 1024 * 1024
MAX_MAILBOX_BYTES = 20 * MAX_MAIL_BYTES
UNREADABLE = "(this mail can't be read)"


@dataclass(frozen=True)
class Mail:
    """A mail as a reader sees it; `html` is unchanged, and must only be shown in a sandbox."""

    id: int
    received_at: datetime
    sender: str
    recipients: list[str]
    subject: str
    text: str
    html: str
    size: int


class Mailbox:
    """Stores the newest mails."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._mails: deque[Mail] = deque()
        self._count = 0

    @property
    def mails(self) -> Sequence[Mail]:
        """The mails, oldest first."""
        return list(self._mails)

    def add(self, sender: str, recipients: Sequence[str], content: bytes) -> Mail:
        """Store a mail, and delete the oldest ones above the limits."""
        self._count += 1
        subject, text, html = _parse_mail(content)
        mail = Mail(
            self._count,
            self._clock(),
            _sendable(sender),
            [_sendable(each) for each in recipients],
            _sendable(subject),
            _sendable(text),
            _sendable(html),
            len(content),
        )
        self._mails.append(mail)
        while len(self._mails) > MAX_MAILS or sum(each.size for each in self._mails) > MAX_MAILBOX_BYTES:
            self._mails.popleft()
        return mail

    def find(self, mail_id: int) -> Mail | None:
        """Return a mail, or None."""
        return next((mail for mail in self._mails if mail.id == mail_id), None)

    def reset(self) -> None:
        """Delete all mails; ids continue."""
        self._mails.clear()


def _parse_mail(content: bytes) -> tuple[str, str, str]:
    """Return subject, text and HTML of any input."""
    try:
        message = message_from_bytes(content, policy=policy.default)
        return str(message["Subject"] or ""), _body(message, "plain"), _body(message, "html")
    except Exception:  # noqa: BLE001 - the parser of the standard library raises many kinds for mails that break the rules
        return UNREADABLE, content.decode("utf-8", "replace"), ""


def _sendable(text: str) -> str:
    # A mail may contain a lone surrogate.
    return text.encode("utf-8", "replace").decode()


def _body(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    return "" if found is None else str(found.get_content())
