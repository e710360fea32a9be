"""The names of channels: what a policy may say depends on what the gateway is configured with."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

DASHBOARD = "dashboard"
# Always there, also while nothing is configured for them.
BUILT_IN_CHANNELS = ("weixin", "email", DASHBOARD)
# The key of what `parse_policy` passes to the validation.
CONTEXT = "channels"


def known_channels(more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names that a policy may use where the channels `more` are configured."""
    return tuple(dict.fromkeys((*BUILT_IN_CHANNELS, *more)))


def _check_channel(name: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get(CONTEXT, BUILT_IN_CHANNELS)
    if name not in known:
        raise ValueError(f"there is no channel {name[:64]!r}; there are {', '.join(known)}")
    return name


def _check_sends(name: str) -> str:
    if name == DASHBOARD:
        raise ValueError("the dashboard sends nothing; name a channel that does")
    return name


ChannelName = Annotated[str, AfterValidator(_check_channel)]
SendingChannelName = Annotated[ChannelName, AfterValidator(_check_sends)]
