"""Renders a notice as plain text, WeChat markdown, a WeChat card, or HTML."""

import re
from html import escape
from typing import NamedTuple

from notification_gateway.language import Phrase
from notification_gateway.outbox.notice import Chart, Notice

CUT_NOTE = "\n…（内容过长，已截断 / cut for length）"
CARD_TITLE_BYTES = 128
CARD_BYTES = 512
CHART_HEIGHT = 64
# Characters that mean a tag, a link or emphasis in WeChat's markdown.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#])")
_TAG = re.compile(r"<(?=[A-Za-z/!])")
_BARS = "▁▂▃▄▅▆▇█"


class Card(NamedTuple):
    """A WeChat card; a click anywhere opens `url`."""

    title: str
    description: str
    url: str
    button: str


def without_tags(text: str) -> str:
    """Return a text without HTML tags: WeChat would show an `<a href>` of any sender as a link."""
    return _TAG.sub("＜", text)


def plain(notice: Notice) -> str:
    """Return the notice as lines of text."""
    lines = [notice.title, *(f"{line.label}: {line.value}" for line in notice.lines)]
    if notice.chart is not None:
        lines.append(f"{notice.chart.title}: {_sparkline(notice.chart)}")
    for paragraph, url in notice.linked_paragraphs:
        lines += [paragraph, f"  {url}"] if url else [paragraph]
    return "\n".join([*lines, notice.reference_line])


def markdown(notice: Notice) -> str:
    """Return the notice in the markdown of WeChat Work."""
    parts = [f"**{_quoted(notice.title)}**"]
    parts += [f"> {line.label}: {line.url or _quoted(line.value)}" for line in notice.lines]
    if notice.chart is not None:
        parts.append(f"> {notice.chart.title}: {_sparkline(notice.chart)}")
    for paragraph, url in notice.linked_paragraphs:
        parts.append(f"- {_quoted(paragraph)} {url}".rstrip())
    return "\n".join([*parts, f"> {_quoted(notice.reference_line)}"])


def card(notice: Notice) -> Card | None:
    """Return the notice as a card, or None without an address: WeChat rejects a card without one."""
    if not notice.url:
        return None
    lines = [f"{line.label}: {line.value}" for line in notice.lines if not line.url]
    return Card(
        title=cut_bytes(without_tags(notice.title), CARD_TITLE_BYTES, "…"),
        description=cut_bytes(
            without_tags("\n".join([*lines, *notice.paragraphs, notice.reference_line])), CARD_BYTES, "…"
        ),
        url=notice.url,
        button=Phrase("处理", "Open").to(notice.language),
    )


def html(notice: Notice) -> str:
    """Return the notice as a small HTML document that mail programs show: tables and inline styles only."""
    rows = "".join(
        '<tr><th style="text-align:left;vertical-align:top;padding:6px 16px 6px 0;color:#667085;font-weight:normal;'
        f'white-space:nowrap">{escape(line.label)}</th><td style="padding:6px 0;word-break:break-word">'
        f"{_html_value(line.value, line.url)}</td></tr>"
        for line in notice.lines
    )
    items = "".join(
        f'<li style="margin:8px 0;word-break:break-word">{_html_value(paragraph, url)}</li>'
        for paragraph, url in notice.linked_paragraphs
    )
    listed = f'<ul style="padding-left:20px">{items}</ul>' if items else ""
    chart = _html_chart(notice.chart) if notice.chart is not None else ""
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head>'
        "<body style=\"margin:0;padding:24px 12px;background:#f5f6f8;font:15px/1.6 -apple-system,'Segoe UI',"
        "'PingFang SC','Microsoft YaHei',sans-serif;color:#1c2330\">"
        '<table role="presentation" style="max-width:640px;width:100%;margin:0 auto;background:#fff;border:1px solid '
        '#e3e6eb;border-radius:10px"><tr><td style="padding:20px 24px">'
        f'<h2 style="font-size:18px;margin:0 0 12px">{escape(notice.title)}</h2>'
        f'<table role="presentation" style="border-collapse:collapse">{rows}</table>{chart}{listed}'
        f'<p style="color:#98a2b3;margin:16px 0 0">{escape(notice.reference_line)}</p></td></tr></table></body></html>'
    )


def cut_bytes(text: str, most: int, note: str = CUT_NOTE) -> str:
    """Return `text` in at most `most` bytes of UTF-8, with a note where something was cut."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[: most - len(note.encode())].decode(errors="ignore") + note


def _quoted(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _html_value(text: str, url: str) -> str:
    return f'<a href="{escape(url)}" style="color:#1570ef">{escape(text)}</a>' if url else escape(text)


def _sparkline(chart: Chart) -> str:
    most = max(chart.values, default=0) or 1
    bars = "".join(_BARS[value * (len(_BARS) - 1) // most] if value else "·" for value in chart.values)
    return f"{chart.labels[0]} {bars} {chart.labels[1]}"


def _html_chart(chart: Chart) -> str:
    most = max(chart.values, default=0) or 1
    width = 100 / max(len(chart.values), 1)
    bars = "".join(
        f'<td style="width:{width:.2f}%;height:{CHART_HEIGHT}px;vertical-align:bottom;padding:0 1px" title="{value}">'
        f'<div style="height:{max(round(value / most * CHART_HEIGHT), 2)}px;'
        f'background:{"#d92d20" if value else "#e3e6eb"};border-radius:2px 2px 0 0"></div></td>'
        for value in chart.values
    )
    ends = f'<td style="text-align:left">{chart.labels[0]}</td><td style="text-align:right">{chart.labels[1]}</td>'
    small = "width:100%;border-collapse:collapse;color:#98a2b3;font-size:12px"
    return (
        f'<p style="color:#667085;margin:16px 0 4px">{escape(chart.title)} · max {most}</p>'
        f'<table role="presentation" style="width:100%;border-collapse:collapse;table-layout:fixed"><tr>{bars}</tr>'
        f'</table><table role="presentation" style="{small}"><tr>{ends}</tr></table>'
    )
