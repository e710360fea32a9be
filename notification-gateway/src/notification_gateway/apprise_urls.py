"""APPRISE_URLS: named channels, each with one or more of Apprise's URLs."""

import re

from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS

# At most as long as the channel's column in the outbox.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,15}")
# A URL may hold commas and equals signs; only `name=scheme://` ends it.
_ENTRY = re.compile(r"(?:^|[\s,;]+)([^\s,;=/:]+)=(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def parse_urls(text: str) -> dict[str, list[str]]:
    """Parse `ops=slack://… oncall=tgram://…`, in order; raises `ValueError`, whose message holds no URL.

    A repeated name is one channel with several services.
    """
    starts = list(_ENTRY.finditer(text))
    if not starts or text[: starts[0].start()].strip(" ,;"):
        raise ValueError("write channels as name=URL, separated by spaces: ops=slack://…")
    channels: dict[str, list[str]] = {}
    for found, following in zip(starts, [*starts[1:], None], strict=True):
        name = found[1]
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name[:32]!r} is not a channel name: use up to 16 of a-z, 0-9, - and _")
        if name in BUILT_IN_CHANNELS:
            raise ValueError(f"{name!r} is a built-in channel; use another name")
        url = text[found.end() : None if following is None else following.start()].strip(" ,;")
        if re.search(r"\s", url):
            raise ValueError(
                f"the URL of {name!r} holds a space: write it as %20, or start the next channel with name="
            )
        channels.setdefault(name, []).append(url)
    return channels
