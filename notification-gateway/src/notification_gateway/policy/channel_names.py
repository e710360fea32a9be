"""The names of channels. A policy may name the built-in ones and those that the gateway is configured with."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

DASHBOARD = "dashboard"
# Always valid, even if they are not configured.
BUILT_IN_CHANNELS = ("weixin", "email", DASHBOARD)
# The key of the channel names in pydantic's validation context.
CONTEXT = "channels"


def allowed_channels(more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the channel names that a policy may use; `more` are the configured ones."""
    return tuple(dict.fromkeys((*BUILT_IN_CHANNELS, *more)))


def _check_channel(name: str, info: ValidationInfo) -> str:
    allowed = (info.context or {}).get(CONTEXT, BUILT_IN_CHANNELS)
    if name not in allowed:
        raise ValueError(f"there is no channel {name[:64]!r}; there are {', '.join(allowed)}")
    return name


def _check_sends(name: str) -> str:
    if name == DASHBOARD:
        raise ValueError("the dashboard sends nothing; name a channel that does")
    return name


ChannelName = Annotated[str, AfterValidator(_check_channel)]
SendingChannelName = Annotated[ChannelName, AfterValidator(_check_sends)]
