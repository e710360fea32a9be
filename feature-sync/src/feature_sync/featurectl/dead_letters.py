"""`featurectl dead-letters`: entries that could not be processed."""

import argparse
import re
from datetime import UTC, datetime
from typing import Any

from contracts.command_client import CommandClient
from contracts.command_line import USAGE, CommandError, Commands
from feature_sync.dead_letters.bodies import MAX_LISTED, DroppedLetters, HeldLetter, HeldLetters, ReplayedLetters
from feature_sync.featurectl.answers import UNITS, Answer, age_text
from feature_sync.featurectl.client import SLOW

_AGE = re.compile(r"([0-9]{1,9})(d|h|min|s)")
_MAX_SHOWN = 120


def add_commands(commands: Commands) -> None:
    """Add `dead-letters` with its commands."""
    add = commands.group("dead-letters", "entries that could not be processed: list, replay, drop").add
    listed = add("list", _list, "show them, oldest first")
    listed.add_argument("--limit", type=int, default=100, help=f"most letters to show (100, at most {MAX_LISTED})")
    replay = add("replay", _replay, "put their entries back into the event stream, each once")
    drop = add("drop", _drop, "delete them for good")
    for each in (replay, drop):
        each.add_argument("ids", nargs="*", metavar="ID", help="only these")
        each.add_argument("--all", action="store_true", help="all of them")
    for each in (listed, replay, drop):
        each.add_argument("--reason", help="only those whose reason contains this text")
        each.add_argument("--older-than", metavar="AGE", help="only older ones: 30s, 10min, 2h, 7d")


def _list(client: CommandClient, given: argparse.Namespace) -> Answer:
    held = client.call("GET", "/dead-letters", HeldLetters, params={"limit": given.limit, **_conditions(given)})
    lines = [line for letter in held.dead_letters for line in _lines(letter)]
    return Answer(held, "\n".join([*lines, f"{len(held.dead_letters)} shown, {held.total} stored"]))


def _replay(client: CommandClient, given: argparse.Namespace) -> Answer:
    done = client.call("POST", "/dead-letters/replay", ReplayedLetters, json=_selection(given), timeout=SLOW)
    text = f"{done.replayed} put back, {done.total} left"
    if done.already_replayed:
        text += f"; {done.already_replayed} had been put back before"
    return Answer(done, text)


def _drop(client: CommandClient, given: argparse.Namespace) -> Answer:
    done = client.call("POST", "/dead-letters/drop", DroppedLetters, json=_selection(given), timeout=SLOW)
    return Answer(done, f"{done.dropped} dropped, {done.total} left")


def _lines(letter: HeldLetter) -> list[str]:
    age = age_text((datetime.now(UTC) - letter.created_at).total_seconds())
    again = ", failed again after a replay" if letter.replayed else ""
    return [f"{letter.id}  {age} ago{again}  {letter.reason}", f"    {letter.content[:_MAX_SHOWN]!a}"]


def _selection(given: argparse.Namespace) -> dict[str, Any]:
    return {"ids": given.ids or None, "all": given.all, **_conditions(given)}


def _conditions(given: argparse.Namespace) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    if given.reason is not None:
        conditions["reason"] = given.reason
    if given.older_than is not None:
        conditions["older_than_seconds"] = _seconds("--older-than", given.older_than)
    return conditions


def _seconds(option: str, text: str) -> int:
    found = _AGE.fullmatch(text)
    if found is None:
        raise CommandError(USAGE, f"{option}: {text!a} is no age: write a whole number and d, h, min or s, as 30min")
    return int(found[1]) * UNITS[found[2]]
