"""The simulated corporation: its tokens, members, application and robot. No HTTP; the clock is an argument."""

import hashlib
import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any, Literal
from uuid import uuid4

from wechat_simulator import errcodes
from wechat_simulator.errcodes import ApiError
from wechat_simulator.settings import Settings

TOKEN_LIFE = timedelta(seconds=7200)
MINUTE = timedelta(minutes=1)
MEMBER_PER_MINUTE = 30
ROBOT_PER_MINUTE = 20
APP_BYTES = 2048
ROBOT_BYTES = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}
DUPLICATE_INTERVAL_SECONDS = 1800
MAX_DUPLICATE_INTERVAL_SECONDS = 4 * 3600
# An escaped mention (`\\<@…>`) is text.
_MENTION = re.compile(r"(?<!\\)<@([^<>\s]+)>")

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Message:
    """A received message. `vanished` lists members above their limit, who got nothing although errcode is 0."""

    msgid: str
    received_at: datetime
    via: Literal["app", "robot"]
    msgtype: str
    content: str
    recipients: list[str]
    vanished: list[str] = field(default_factory=list)
    truncated: bool = False
    # For a robot: user ids, phone numbers, @all.
    mentioned: list[str] = field(default_factory=list)


class RateLimit:
    """At most `most` per rolling minute and name."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: dict[str, deque[datetime]] = defaultdict(deque)

    def allows(self, name: str, now: datetime) -> bool:
        """Count one for `name` and return whether it is within the limit."""
        times = self._times[name]
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now)
        return True


class Corporation:
    """Answers as the API does; raises `ApiError` for rejected calls."""

    def __init__(self, settings: Settings, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Delete all state."""
        self.messages: list[Message] = []
        self.suppressed: int = 0
        self.unknown_users: set[str] = set()
        self.unlicensed_users: set[str] = set()
        self.unknown_groups: dict[str, set[str]] = {"toparty": set(), "totag": set()}
        self.trusted_addresses: set[str] | None = None
        self._token: str | None = None
        self._expires = datetime.min.replace(tzinfo=UTC)
        self._expired: set[str] = set()
        self._members = RateLimit(MEMBER_PER_MINUTE)
        self._robots = RateLimit(ROBOT_PER_MINUTE)
        self._sent: dict[str, tuple[datetime, str]] = {}

    def expire_tokens(self) -> None:
        """Expire the current token; its next use gets 42001."""
        if self._token is not None:
            self._expired.add(self._token)
            self._token = None

    def get_token(self, corp_id: str, secret: str) -> dict[str, Any]:
        """Answer gettoken: the same token until it expires."""
        if not corp_id:
            raise ApiError(errcodes.NO_CORP_ID)
        if not secret:
            raise ApiError(errcodes.NO_SECRET)
        if corp_id != self._settings.weixin_corp_id:
            raise ApiError(errcodes.BAD_CORP_ID)
        if secret != self._settings.weixin_corp_secret.get_secret_value():
            raise ApiError(errcodes.BAD_SECRET)
        now = self._clock()
        if self._token is None or self._expires <= now:
            self.expire_tokens()
            self._token = token_urlsafe(96)
            self._expires = now + TOKEN_LIFE
        return errcodes.answer(access_token=self._token, expires_in=int((self._expires - now).total_seconds()))

    def send_app_message(self, token: str, body: bytes) -> dict[str, Any]:
        """Answer message/send."""
        self._check_token(token)
        message = _parse(body)
        if str(message.get("agentid")) != str(self._settings.weixin_agent_id):
            raise ApiError(errcodes.BAD_AGENT)
        named = {key: _names(message.get(key)) for key in ("touser", "toparty", "totag")}
        if not any(named.values()):
            raise ApiError(errcodes.NO_RECIPIENT)
        msgtype, content = _content(message, {"text", "markdown", "textcard"})
        invalid = {key: [name for name in names if name in self._unknown(key)] for key, names in named.items()}
        known = [name for key, names in named.items() for name in names if name not in invalid[key]]
        if not known:
            raise ApiError(errcodes.NO_VALID_RECIPIENT)
        unlicensed = [user for user in named["touser"] if user in self.unlicensed_users - self.unknown_users]
        recipients = [name for name in known if name not in unlicensed]
        msgid = self._earlier(message) or self._deliver_to_members(message, msgtype, content, recipients)
        # The last one is present only if it lists a member.
        more: dict[str, Any] = {"unlicenseduser": "|".join(unlicensed)} if unlicensed else {}
        return errcodes.answer(
            invaliduser="|".join(invalid["touser"]),
            invalidparty="|".join(invalid["toparty"]),
            invalidtag="|".join(invalid["totag"]),
            msgid=msgid,
            **more,
        )

    def send_robot_message(self, key: str, body: bytes) -> dict[str, Any]:
        """Answer webhook/send."""
        if key != self._settings.weixin_robot_key.get_secret_value():
            raise ApiError(errcodes.BAD_ROBOT_KEY)
        message = _parse(body)
        msgtype, content = _content(message, ROBOT_BYTES.keys())
        if len(content.encode()) > ROBOT_BYTES[msgtype]:
            raise ApiError(errcodes.BAD_PARAMETER, f"{msgtype}.content exceed max length {ROBOT_BYTES[msgtype]}")
        now = self._clock()
        if not self._robots.allows(key, now):
            raise ApiError(errcodes.TOO_OFTEN)
        mentioned = _find_mentions(message[msgtype], msgtype)
        self.messages.append(Message(uuid4().hex, now, "robot", msgtype, content, ["group"], mentioned=mentioned))
        return errcodes.answer()

    def _unknown(self, key: str) -> set[str]:
        return self.unknown_users if key == "touser" else self.unknown_groups[key]

    def _check_token(self, token: str) -> None:
        if not token:
            raise ApiError(errcodes.NO_TOKEN)
        if token in self._expired or (token == self._token and self._expires <= self._clock()):
            raise ApiError(errcodes.TOKEN_EXPIRED)
        if token != self._token:
            raise ApiError(errcodes.BAD_TOKEN)

    def _earlier(self, message: dict[str, Any]) -> str | None:
        """Return the id of an identical earlier message, if the sender requested that check."""
        if not message.get("enable_duplicate_check"):
            return None
        interval = min(
            int(message.get("duplicate_check_interval") or DUPLICATE_INTERVAL_SECONDS), MAX_DUPLICATE_INTERVAL_SECONDS
        )
        sent = self._sent.get(_digest(message))
        if sent is None or sent[0] <= self._clock() - timedelta(seconds=interval):
            return None
        self.suppressed += 1
        return sent[1]

    def _deliver_to_members(
        self, message: dict[str, Any], msgtype: str, content: str, recipients: Sequence[str]
    ) -> str:
        now = self._clock()
        vanished = [name for name in recipients if not self._members.allows(name, now)]
        cut = content.encode()[:APP_BYTES].decode(errors="ignore")
        msgid = f"m{uuid4().hex}"
        self._sent[_digest(message)] = (now, msgid)
        if not recipients:
            return msgid
        self.messages.append(
            Message(
                msgid,
                now,
                "app",
                msgtype,
                cut,
                [name for name in recipients if name not in vanished],
                vanished,
                truncated=cut != content,
            )
        )
        return msgid


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ApiError(errcodes.BAD_JSON) from error
    if not isinstance(message, dict):
        raise ApiError(errcodes.BAD_JSON)
    return message


def _content(message: dict[str, Any], known: Iterable[str]) -> tuple[str, str]:
    msgtype = str(message.get("msgtype"))
    if msgtype not in known:
        raise ApiError(errcodes.BAD_MESSAGE_TYPE)
    part = message.get(msgtype)
    if not isinstance(part, dict):
        raise ApiError(errcodes.BAD_PARAMETER, f"{msgtype} missing")
    content = part.get("content") or part.get("description")
    if not isinstance(content, str) or not content:
        raise ApiError(errcodes.EMPTY_CONTENT)
    return msgtype, f"{part['title']}\n{content}" if msgtype == "textcard" and part.get("title") else content


def _names(value: object) -> list[str]:
    return [name for name in str(value or "").split("|") if name]


def _find_mentions(part: dict[str, Any], msgtype: str) -> list[str]:
    """Return the members that a robot's message mentions: text by two lists, markdown by `<@userid>`."""
    if msgtype != "text":
        return _MENTION.findall(str(part.get("content")))
    lists = (part.get("mentioned_list"), part.get("mentioned_mobile_list"))
    return [str(name) for names in lists if isinstance(names, list) for name in names]


def _digest(message: dict[str, Any]) -> str:
    meant = {name: value for name, value in message.items() if "duplicate_check" not in name}
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
