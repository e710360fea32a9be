"""`alertctl replay`."""

import argparse
import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from contracts.command_line import OK, USAGE, CommandError, printable, say
from contracts.moments import UnusableMomentError, parse_moment
from notification_gateway.policy.loading import PolicyError, parse_policy, read_policy
from notification_gateway.policy.model import Policy
from notification_gateway.summaries.periods import Periods

if TYPE_CHECKING:
    from notification_gateway.replay.stored_signals import StoredSignal

# Rates look back a day at most, and incidents may already be open when the replayed time begins.
WARM_UP = timedelta(days=1)
MAX_SPAN = timedelta(days=366)
_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", policy: Path) -> None:
    """Add the command; `policy` is the default of `--policy`."""
    parser = commands.add_parser(
        "replay",
        help="show who would have been notified under a new policy",
        description="""Replays the stored signals under the current policy and under a new one, and shows the
        differences. Signals come from GATEWAY_URL (with ADMIN_TOKEN) or, without it, from DATABASE_URL. Actions of
        people (acknowledge, silence, close) are ignored, and so are escalations and reminders.""",
    )
    parser.set_defaults(run=replay)
    parser.add_argument("new", type=Path, metavar="NEW.yaml", help="the policy to try")
    parser.add_argument("--policy", type=Path, default=policy, metavar="FILE", help="the current one; ALERT_POLICY")
    parser.add_argument("--since", default="7d", metavar="SPAN", help="30m, 12h, 7d, or a time in ISO 8601 with a zone")
    parser.add_argument("--json", action="store_true", help="print all faults and totals as JSON")


def replay(given: argparse.Namespace) -> int:
    """Run the command; raises `CommandError` and `PolicyError`."""
    # Imported here and below, because only this command runs parts of the gateway.
    from notification_gateway.replay.comparison import as_json, as_text, compare
    from notification_gateway.replay.simulation import simulate

    now = datetime.now(UTC)
    since = parse_since(given.since, now)
    current, new = _policy(given.policy), _policy(given.new)
    stored = list(_stored(since - WARM_UP))
    periods = Periods(ZoneInfo(_default("alert_timezone")), _default("alert_digest_hour"))
    differences = compare(*(simulate(policy, stored, since, now, periods) for policy in (current, new)))
    counted = sum(each.received_at >= since for each in stored)
    if given.json:
        head = {"since": since.isoformat(), "signals": counted, "current": str(given.policy), "new": str(given.new)}
        say(json.dumps(head | as_json(differences), indent=2))
        return OK
    changed = sum(each.is_changed for each in differences)
    say(f"{counted:,} signals since {since:%Y-%m-%d %H:%M} UTC; {len(differences)} faults, of which {changed} change")
    for line in as_text(differences):
        say(printable(line))
    return OK


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time of a span or a moment; raises `CommandError`."""
    span = _SPAN.fullmatch(text)
    try:
        since = now - int(span[1]) * _UNITS[span[2]] if span else parse_moment(text)
    except UnusableMomentError as error:
        message = f"--since: write a span as 30m, 12h or 7d, or a time as 2026-11-24T12:00:00Z ({error})"
        raise CommandError(USAGE, message) from error
    if not now - MAX_SPAN <= since <= now:
        raise CommandError(USAGE, f"--since: lies in the future, or more than {MAX_SPAN.days} days ago")
    return since


def _stored(since: datetime) -> "Iterable[StoredSignal]":
    from notification_gateway.replay.sources import from_database, from_gateway

    if url := os.environ.get("GATEWAY_URL", ""):
        return from_gateway(url, os.environ.get("ADMIN_TOKEN", ""), since)
    if url := os.environ.get("DATABASE_URL", ""):
        return from_database(url, since)
    raise CommandError(
        USAGE, "set GATEWAY_URL and ADMIN_TOKEN of a running gateway, or DATABASE_URL, to read signals from"
    )


def _default(setting: str) -> Any:
    """Return the default of a setting of the gateway, which is precise enough for a replay."""
    from notification_gateway.settings import Settings

    return Settings.model_fields[setting].default


def _policy(path: Path) -> Policy:
    try:
        content = read_policy(path)
    except PolicyError as error:
        raise CommandError(USAGE, str(error)) from error
    return parse_policy(content, str(path))
