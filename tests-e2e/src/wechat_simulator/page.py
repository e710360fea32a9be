"""The page that lists what arrived, newest first."""

from collections.abc import Sequence
from html import escape

from wechat_simulator.corporation import Message

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3">
<title>WeChat Work simulator</title>
<style>
:root { color-scheme: light dark; --card: #fff; --page: #f2f3f5; --line: #dfe1e6; --soft: #6b7280; --green: #07a35a; }
@media (prefers-color-scheme: dark) { :root { --card: #1f2329; --page: #14171a; --line: #343a42; --soft: #9aa3af; } }
body { margin: 0; background: var(--page); font: 15px/1.55 system-ui, "PingFang SC", "Noto Sans CJK SC", sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
p.about { color: var(--soft); margin: 0 0 1.5rem; }
article { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--green);
  border-radius: 8px; padding: .75rem 1rem; margin: 0 0 .9rem; }
article header { color: var(--soft); font-size: .85rem; display: flex; gap: .75rem; flex-wrap: wrap; }
article pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; }
.warn { color: #c2410c; }
</style>
<main>
<h1>WeChat Work simulator</h1>
"""


def render(messages: Sequence[Message]) -> str:
    """Return the page."""
    count = f"{len(messages)} message{'' if len(messages) == 1 else 's'} arrived"
    parts = [_HEAD, f'<p class="about">{count}. This page reloads itself.</p>']
    parts += [_card(message) for message in reversed(messages)]
    return "\n".join([*parts, "</main></html>"])


def _card(message: Message) -> str:
    facts = [
        f"<time>{message.received_at:%Y-%m-%d %H:%M:%S} UTC</time>",
        f"<span>{message.via} · {escape(message.msgtype)}</span>",
        f"<span>to {escape(', '.join(message.recipients) or 'nobody')}</span>",
    ]
    if message.truncated:
        facts.append('<span class="warn">truncated</span>')
    if message.vanished:
        facts.append(f'<span class="warn">vanished for {escape(", ".join(message.vanished))}</span>')
    return f"<article><header>{''.join(facts)}</header><pre>{escape(message.content)}</pre></article>"
