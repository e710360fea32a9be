"""POST /channels/{name}/ping."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated
from uuid import uuid4

from fastapi import Path
from pydantic import BaseModel, Field

from contracts.text import TypedText
from notification_gateway.delivery.channel import ConfiguredChannel, Delivered, Outcome, Rejected
from notification_gateway.delivery.observers import ChannelObserver
from notification_gateway.language import Language, Phrase
from notification_gateway.outbox.notice import Line, Notice
from servicekit.background import report_failure
from servicekit.bearer import Access
from servicekit.problems import ProblemError, problem_responses
from servicekit.routing import ApiRouter

# Enough for a token and a message at WeChat Work, or for a slow mail server.
MAX_SECONDS = 12.0


class PingResult(BaseModel):
    """The outcome of a test message."""

    channel: Annotated[str, Field(description="Channel that was tried", examples=["weixin"])]
    delivered: Annotated[bool, Field(description="Whether it was delivered to at least one recipient")]
    detail: Annotated[
        str, Field(description="The reason of a failure, or the recipients that were not reached", examples=[""])
    ]
    seconds: Annotated[float, Field(description="How long it took", examples=[0.21])]


def router(
    channels: Mapping[str, ConfiguredChannel],
    observers: Mapping[str, ChannelObserver],
    access: Access,
    language: Language,
    clock: Callable[[], datetime],
) -> ApiRouter:
    """Return the route."""
    routes = ApiRouter(tags=["operations"])

    @routes.post(
        "/channels/{name}/ping",
        dependencies=access.allow("admin"),
        responses=problem_responses(not_found="There is no such channel"),
    )
    async def ping(name: Annotated[str, TypedText(64), Path(description="The channel")]) -> PingResult:
        """Send a test message through a channel, once, and return the outcome."""
        configured = channels.get(name)
        if configured is None:
            raise ProblemError(404, f"there is no channel {name!r}; there are {', '.join(channels)}")
        started = time.monotonic()
        outcome = await _send(configured, _notice(name, language, clock()))
        observers[name].on_ping(outcome)
        return PingResult(
            channel=name,
            delivered=isinstance(outcome, Delivered),
            detail=outcome.detail if isinstance(outcome, Delivered) else outcome.reason,
            seconds=round(time.monotonic() - started, 3),
        )

    return routes


async def _send(configured: ConfiguredChannel, notice: Notice) -> Outcome:
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await configured.channel.send(notice, f"ping:{notice.reference}")
    except TimeoutError:
        return Rejected(f"no answer within {MAX_SECONDS:g} s", retryable=True)
    except Exception as error:  # noqa: BLE001 - as in the delivery loop: a message that the channel can't render
        report_failure("ping", error)
        return Rejected(type(error).__name__, retryable=False)


def _notice(channel: str, language: Language, now: datetime) -> Notice:
    return Notice(
        title=f"【{Phrase('测试', 'Test').to(language)}】{Phrase('渠道测试消息', 'Test of a channel').to(language)}",
        lines=(
            Line(label=Phrase("渠道", "Channel").to(language), value=channel),
            Line(label=Phrase("时间", "Time").to(language), value=now.isoformat(timespec="seconds")),
        ),
        paragraphs=(Phrase("无需处理。", "Nothing needs to be done.").to(language),),
        reference=uuid4().hex[:12],
        language=language,
    )
