"""APPRISE_URLS: named channels, each with one or more of Apprise's URLs."""

import re

from notification_gateway.policy.channel_names import BUILT_IN_CHANNELS

# As long as the column of the outbox.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,15}")
# A URL may hold commas and equals signs: only what looks like the next name ends it.
_ENTRY = re.compile(r"(?:^|[\s,;]+)([^\s,;=/:]+)=(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def parse_urls(text: str) -> dict[str, list[str]]:
    """Read `ops=slack://… oncall=tgram://…`, in order; raises `ValueError`, which quotes no URL.

    A name that stands there twice is one channel with two services.
    """
    starts = list(_ENTRY.finditer(text))
    if not starts or text[: starts[0].start()].strip(" ,;"):
        raise ValueError("write channels as name=URL, separated by spaces: ops=slack://…")
    channels: dict[str, list[str]] = {}
    for found, following in zip(starts, [*starts[1:], None], strict=True):
        name = found[1]
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name[:32]!r} is no name of a channel: use up to 16 of a-z, 0-9, - and _")
        if name in BUILT_IN_CHANNELS:
            raise ValueError(f"{name!r} is a channel of its own; give it another name")
        url = text[found.end() : None if following is None else following.start()].strip(" ,;")
        if re.search(r"\s", url):
            raise ValueError(
                f"the URL of {name!r} holds a space: write it as %20, or begin the next channel with name="
            )
        channels.setdefault(name, []).append(url)
    return channels
