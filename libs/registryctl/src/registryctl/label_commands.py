"""`registryctl alias|tag|search|describe`: names of versions, what people say of them, and where they come from."""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from contracts.command_line import USAGE, CommandError, Commands
from contracts.model_versions import ALIAS, MAX_PAGE, VersionDetail
from contracts.registry.client import RegistryClient
from contracts.version_labels import (
    MAX_DESCRIPTION_CHARS,
    MAX_TAG_CHARS,
    TAG_KEY,
    AliasRecord,
    AliasRequest,
    LabelChange,
    LabelledVersion,
)

_Answer = tuple[dict[str, Any], str]
_ALIAS_RULE = "an alias is a lower-case letter, then lower-case letters, digits, . _ and -"


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    _add_alias_commands(commands.group("alias", "set, remove and list names that point to a version"))
    tag = commands.add("tag", _tag, "set and remove tags of a version, and its description")
    tag.add_argument("version")
    tag.add_argument("tags", nargs="*", type=_tag_text, metavar="KEY=VALUE")
    tag.add_argument("--remove", action="append", default=[], type=_tag_key, metavar="KEY")
    tag.add_argument("--description", type=_description, metavar="TEXT", help="an empty text removes it")
    tag.add_argument("--reason", help="reason for the audit log")
    search = commands.add("search", _search, "list the versions that fit to all that is given, newest first")
    search.add_argument("words", nargs="?", help="text in the run, the commit or the description")
    search.add_argument("--tag", action="append", default=[], metavar="KEY[:VALUE]")
    search.add_argument("--alias", type=_alias)
    search.add_argument("--trained-after", type=_moment, metavar="MOMENT", help="ISO 8601, with zone")
    search.add_argument("--limit", type=_limit, default=50, help="how many versions; 50 by default")
    search.add_argument("--before", metavar="VERSION", help="only older ones than this")
    describe = commands.add("describe", _describe, "show where a version comes from, and what is said of it")
    describe.add_argument("version")


def _add_alias_commands(commands: Commands) -> None:
    put = commands.add("set", _set_alias, "let a name point to a version")
    put.add_argument("alias", type=_alias)
    put.add_argument("version")
    put.add_argument("--expected", metavar="VERSION", help="change nothing unless it points to this version")
    remove = commands.add("remove", _remove_alias, "remove a name; the version stays")
    remove.add_argument("alias", type=_alias)
    for each in (put, remove):
        each.add_argument("--reason", help="reason for the audit log")
    commands.add("list", _list_aliases, "list the names")


def _set_alias(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    wanted = AliasRequest(version=given.version, expected=given.expected, reason=given.reason)
    found = registry.labels.set_alias(given.alias, wanted)
    return found.model_dump(mode="json"), f"{given.alias} points to {given.model} {found.version}"


def _remove_alias(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    registry.labels.remove_alias(given.alias, given.reason)
    return {"alias": given.alias, "removed": True}, f"{given.alias} is removed"


def _list_aliases(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    found = registry.labels.aliases()
    return found.model_dump(mode="json"), "\n".join(map(_alias_line, found.aliases)) or f"{given.model} has no aliases"


def _alias_line(alias: AliasRecord) -> str:
    return f"{alias.alias:<24} {alias.version:>5}  {_time(alias.set_at)}  {alias.set_by or '-'}"


def _tag(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    wanted: dict[str, Any] = {"tags": dict.fromkeys(given.remove) | dict(given.tags)}
    if given.description is not None:
        wanted["description"] = given.description or None
    elif not wanted["tags"]:
        raise CommandError(USAGE, "give KEY=VALUE, --remove KEY or --description TEXT")
    if given.reason is not None:
        wanted["reason"] = given.reason
    found = registry.labels.change(given.version, LabelChange.model_validate(wanted))
    return found.model_dump(mode="json", by_alias=True), _labels(found) or f"{found.name} {found.version} has no labels"


def _search(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    wanted = {
        "tag": given.tag,
        "alias": given.alias,
        "trained_after": given.trained_after,
        "q": given.words,
        "limit": given.limit,
        "before": given.before,
    }
    found = registry.labels.search({name: value for name, value in wanted.items() if value not in (None, [])})
    lines = [_version_line(each) for each in found.versions]
    if found.next_before is not None:
        lines.append(f"older ones: --before {found.next_before}")
    return found.model_dump(mode="json"), "\n".join(lines) or f"no version of {given.model} fits"


def _version_line(version: LabelledVersion) -> str:
    labels = [*version.aliases, *(f"{key}={value}" for key, value in version.tags.items())]
    kind = "trained" if version.refreshes is None else f"refresh of {version.refreshes}"
    description = " ".join((version.description or "").split())
    text = f"{version.version:>5}  {_time(version.created_at)}  {kind:<16} {' '.join(labels)}"
    return f"{text.rstrip()}  {description}".rstrip()


def _describe(registry: RegistryClient, given: argparse.Namespace) -> _Answer:
    found = registry.version(given.version)
    lines = [f"{found.name} {found.version}, pushed {_time(found.created_at)}, sha256 {found.sha256}"]
    if found.lineage is not None:
        of = found.lineage
        window = of.data_window
        lines += [
            f"run            {of.run}",
            f"commit         {of.git_commit or '-'}",
            f"data           {window['start']} to {window['end']}: {window['interactions']:,} interactions",
            f"trained until  {'-' if of.trained_until is None else _time(of.trained_until)}",
            f"pushed by      {of.pushed_by or '-'}",
        ]
        lines += [f"refreshes      {of.refreshes}"] if of.refreshes else []
    if labels := _labels(found):
        lines.append(labels)
    if found.removed_at is not None:
        lines.append(f"removed        {_time(found.removed_at)}: its bundle can't be deployed until it is pushed again")
    return found.model_dump(mode="json", by_alias=True), "\n".join(lines)


def _labels(version: VersionDetail) -> str:
    lines = [f"aliases        {', '.join(version.aliases)}"] if version.aliases else []
    lines += [f"tag            {key}={value}" for key, value in version.tags.items()]
    lines += [f"description    {version.description}"] if version.description else []
    return "\n".join(lines)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _matching(pattern: str, rule: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(rule)
        return text

    return check


_alias = _matching(ALIAS, _ALIAS_RULE)
_tag_key = _matching(TAG_KEY, "a key is a letter or digit, then letters, digits, . _ / and -; at most 63")


def _tag_text(text: str) -> tuple[str, str]:
    key, has_value, value = text.partition("=")
    if not has_value or len(value) > MAX_TAG_CHARS:
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, with at most {MAX_TAG_CHARS} characters of value")
    return _tag_key(key), value


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION_CHARS:
        raise argparse.ArgumentTypeError(f"at most {MAX_DESCRIPTION_CHARS} characters")
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError("a moment is written as 2026-11-24T03:00:00Z, with its zone")
    return text


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MAX_PAGE}")
    return int(text)
