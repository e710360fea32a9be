"""The forms of a notice: plain text, WeChat markdown, HTML."""

import re
from html import escape

from notification_gateway.messages.notice import Notice

CUT_NOTE = "\n…（内容过长，已截断 / cut for length）"
# What WeChat's markdown would take for a tag, a link or emphasis.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#])")
_URL = re.compile(r"https?://\S+")


def plain(notice: Notice) -> str:
    """Return the notice as lines of text."""
    lines = [notice.title, *(f"{line.label}: {line.value}" for line in notice.lines)]
    return "\n".join([*lines, *notice.paragraphs, f"编号 Ref: {notice.reference}"])


def markdown(notice: Notice) -> str:
    """Return the notice in the markdown of WeChat Work's robots."""
    parts = [f"**{_quoted(notice.title)}**"]
    parts += [f"> {line.label}: {_value(line.value)}" for line in notice.lines]
    parts += [f"- {_quoted(paragraph)}" for paragraph in notice.paragraphs]
    return "\n".join([*parts, f"> 编号 Ref: {_quoted(notice.reference)}"])


def html(notice: Notice) -> str:
    """Return the notice as a small HTML document."""
    rows = "".join(
        f'<tr><th style="text-align:left;vertical-align:top;padding:4px 12px 4px 0;color:#666;white-space:nowrap">'
        f'{escape(line.label)}</th><td style="padding:4px 0">{_html_value(line.value)}</td></tr>'
        for line in notice.lines
    )
    items = "".join(f'<li style="margin:6px 0">{escape(paragraph)}</li>' for paragraph in notice.paragraphs)
    listed = f"<ul>{items}</ul>" if items else ""
    return (
        '<!doctype html><html><body style="font:15px/1.5 sans-serif;color:#222">'
        f'<h2 style="font-size:18px">{escape(notice.title)}</h2><table>{rows}</table>{listed}'
        f'<p style="color:#888">编号 Ref: {escape(notice.reference)}</p></body></html>'
    )


def cut_bytes(text: str, most: int) -> str:
    """Return `text` in at most `most` bytes of UTF-8, with a note where something was cut."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[: most - len(CUT_NOTE.encode())].decode(errors="ignore") + CUT_NOTE


def _quoted(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _value(text: str) -> str:
    return text if _URL.fullmatch(text) else _quoted(text)


def _html_value(text: str) -> str:
    if _URL.fullmatch(text):
        return f'<a href="{escape(text)}">{escape(text)}</a>'
    return escape(text)
