"""The channels of WeChat Work: an application's messages, or a group robot's markdown."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import monitoring
from notification_gateway.delivery.channel import Delivered, Outcome, Rejected
from notification_gateway.messages.forms import card, cut_bytes, markdown, plain, without_tags
from notification_gateway.outbox.notice import Notice
from notification_gateway.policy.mentions import EVERYBODY, sort_mentions
from notification_gateway.settings import WeixinMessageType
from notification_gateway.weixin import errcodes
from notification_gateway.weixin.client import Answer, WeixinClient
from notification_gateway.weixin.recipients import Unreached, split_users
from notification_gateway.weixin.tokens import TokenCache

POINT = "weixin.send_message_failed"
TEXT_BYTES = 2048
ROBOT_MARKDOWN_BYTES = 4096
# WeChat Work drops more than 30 a minute to one member silently. Less, since its minutes differ from ours.
APP_PER_MINUTE = 25
# More than 20 a minute are rejected with 45009.
ROBOT_PER_MINUTE = 18
DUPLICATE_INTERVAL_SECONDS = 1800


class AppChannel:
    """Messages of an application to named members."""

    per_minute = APP_PER_MINUTE
    # WeChat Work deduplicates, and a hanging send must not block the others.
    max_concurrent_sends = 8

    def __init__(
        self, client: WeixinClient, tokens: TokenCache, agent_id: int, to_user: str, form: WeixinMessageType = "text"
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._agent_id = agent_id
        self._users = split_users(to_user)
        self._form = form

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - the text is the same for each try
        """Send once; if the token was rejected, once more with a new one."""
        outcome: Outcome = Rejected("message/send: not tried", retryable=True)
        for last in (False, True):
            token = await self._tokens.get_token()
            if isinstance(token, Rejected):
                return token
            answer = await self._client.post("message/send", {"access_token": token}, self._message(notice))
            outcome = self._outcome(answer, self._recipients(notice))
            if isinstance(outcome, Delivered) or outcome.errcode not in errcodes.BAD_TOKEN or last:
                break
            self._tokens.invalidate(token)
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _recipients(self, notice: Notice) -> list[str]:
        """Return the members who get the message, with the mentioned ones; phone numbers can't be used here."""
        users = list(dict.fromkeys([*self._users, *sort_mentions(notice.mention).users]))
        return [EVERYBODY] if EVERYBODY in users else users

    def _message(self, notice: Notice) -> Mapping[str, Any]:
        return {
            "touser": "|".join(self._recipients(notice)),
            "agentid": self._agent_id,
            **self._content(notice),
            # A send whose answer was lost may have arrived. Notices differ at least in their reference.
            "enable_duplicate_check": 1,
            "duplicate_check_interval": DUPLICATE_INTERVAL_SECONDS,
        }

    def _content(self, notice: Notice) -> Mapping[str, Any]:
        as_card = card(notice) if self._form == "textcard" else None
        if as_card is not None:
            part = {"title": as_card.title, "description": as_card.description, "url": as_card.url}
            return {"msgtype": "textcard", "textcard": part | {"btntxt": as_card.button}}
        if self._form == "markdown":
            return {"msgtype": "markdown", "markdown": {"content": cut_bytes(markdown(notice), TEXT_BYTES)}}
        return {"msgtype": "text", "text": {"content": cut_bytes(without_tags(plain(notice)), TEXT_BYTES)}}

    def _outcome(self, answer: Answer | Rejected, users: list[str]) -> Outcome:
        if isinstance(answer, Rejected):
            return answer
        if answer.errcode != errcodes.OK:
            return errcodes.rejected(answer.errcode, "message/send", answer.errmsg)
        unreached = Unreached(answer.body)
        if not unreached:
            return Delivered()
        detail = f"message/send: not delivered to {unreached}"
        if unreached.covers(users):
            return Rejected(detail, retryable=False, errcode=errcodes.OK, http_status=HTTPStatus.OK)
        monitoring.report(POINT, errcode=errcodes.OK, http_status=HTTPStatus.OK, recipient_kind="user", detail=detail)
        return Delivered(detail, reported=True)


class RobotChannel:
    """Markdown messages of a group robot."""

    per_minute = ROBOT_PER_MINUTE
    max_concurrent_sends = 1

    def __init__(self, client: WeixinClient, key: str) -> None:
        self._client = client
        self._key = key

    async def send(self, notice: Notice, key: str) -> Outcome:  # noqa: ARG002 - robots have no duplicate check
        """Send once."""
        message = _robot_message(notice)
        answer = await self._client.post("webhook/send", {"key": self._key}, message)
        if isinstance(answer, Rejected):
            return answer
        if answer.errcode == errcodes.OK:
            return Delivered()
        return errcodes.rejected(answer.errcode, "webhook/send", answer.errmsg)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _robot_message(notice: Notice) -> Mapping[str, Any]:
    """Return markdown, which can mention members, or text, which can also mention phone numbers and everybody."""
    users, phones = sort_mentions(notice.mention)
    if phones or EVERYBODY in users:
        content = cut_bytes(without_tags(plain(notice)), TEXT_BYTES)
        part = {"content": content, "mentioned_list": users, "mentioned_mobile_list": phones}
        return {"msgtype": "text", "text": part}
    mentions = "".join(f"<@{user}>" for user in users)
    suffix = f"\n{mentions}" if mentions else ""
    content = cut_bytes(markdown(notice), ROBOT_MARKDOWN_BYTES - len(suffix.encode())) + suffix
    return {"msgtype": "markdown", "markdown": {"content": content}}
