"""The page that lists received WeChat messages and mails, newest first.

The contents of a mail are not trusted: its HTML is shown in a sandbox, at a URL whose policy blocks scripts.
"""

from collections.abc import Mapping, Sequence
from html import escape

from wechat_simulator.corporation import Message
from wechat_simulator.mailbox import Mail

MAX_SHOWN = 200
_SHARED = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
HEADERS: Mapping[str, str] = {
    **_SHARED,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
# `sandbox` also applies when the URL is opened directly.
MAIL_HEADERS: Mapping[str, str] = {
    **_SHARED,
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
}

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3">
<title>WeChat Work and mail simulator</title>
<style>
:root { color-scheme: light dark; --card: #fff; --page: #f2f3f5; --line: #dfe1e6; --soft: #6b7280; --green: #07a35a;
  --blue: #1570ef; }
@media (prefers-color-scheme: dark) { :root { --card: #1f2329; --page: #14171a; --line: #343a42; --soft: #9aa3af; } }
body { margin: 0; background: var(--page); font: 15px/1.55 system-ui, "PingFang SC", "Noto Sans CJK SC", sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
p.about { color: var(--soft); margin: 0 0 1.5rem; }
article { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--green);
  border-radius: 8px; padding: .75rem 1rem; margin: 0 0 .9rem; }
article.mail { border-left-color: var(--blue); }
article header { color: var(--soft); font-size: .85rem; display: flex; gap: .75rem; flex-wrap: wrap; }
article h2 { font-size: 1rem; margin: .4rem 0 0; overflow-wrap: anywhere; }
article pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; max-height: 30rem;
  overflow-y: auto; }
iframe { width: 100%; height: 26rem; border: 1px solid var(--line); border-radius: 6px; margin-top: .6rem;
  background: #fff; }
.warn { color: #c2410c; }
</style>
<main>
<h1>WeChat Work and mail simulator</h1>
"""


def render(messages: Sequence[Message], mails: Sequence[Mail]) -> str:
    """Return the page."""
    counts = f"{_count(len(messages), 'message')} and {_count(len(mails), 'mail')} arrived"
    cards = [(each.received_at, _card(each)) for each in messages[-MAX_SHOWN:]]
    cards += [(each.received_at, _mail(each)) for each in mails[-MAX_SHOWN:]]
    cards.sort(key=lambda card: card[0], reverse=True)
    about = f'<p class="about">{counts}; none of them leaves this machine. This page reloads itself.</p>'
    return "\n".join([_HEAD, about, *(card for _, card in cards), "</main></html>"])


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _card(message: Message) -> str:
    facts = [
        f"<time>{message.received_at:%Y-%m-%d %H:%M:%S} UTC</time>",
        f"<span>{message.via} · {escape(message.msgtype)}</span>",
        f"<span>to {escape(', '.join(message.recipients) or 'no one')}</span>",
    ]
    if message.truncated:
        facts.append('<span class="warn">truncated</span>')
    if message.vanished:
        facts.append(f'<span class="warn">vanished for {escape(", ".join(message.vanished))}</span>')
    return f"<article><header>{''.join(facts)}</header><pre>{escape(message.content)}</pre></article>"


def _mail(mail: Mail) -> str:
    facts = [
        f"<time>{mail.received_at:%Y-%m-%d %H:%M:%S} UTC</time>",
        f"<span>mail · {mail.size} bytes</span>",
        f"<span>from {escape(mail.sender or 'unknown')}</span>",
        f"<span>to {escape(', '.join(mail.recipients) or 'no one')}</span>",
    ]
    shown = f"<h2>{escape(mail.subject)}</h2><pre>{escape(mail.text)}</pre>"
    if mail.html:
        shown += f'<iframe sandbox title="HTML" loading="lazy" src="/mails/{mail.id}.html"></iframe>'
    return f'<article class="mail"><header>{"".join(facts)}</header>{shown}</article>'
