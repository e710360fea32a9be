"""Matches conditions with signals and incidents; rates are evaluated elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from contracts.signals import Level
from notification_gateway.policy.model import ANY_TAIL, Condition

Property = Literal["fingerprint", "level", "category", "service"]


class Described(Protocol):
    """The fields of a signal or an incident that conditions use."""

    @property
    def fingerprint(self) -> Sequence[str]: ...
    @property
    def level(self) -> Level: ...
    @property
    def category(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def environment(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """The fields that a condition matches."""

    fingerprint: tuple[str, ...]
    level: Level
    category: str
    service: str

    @classmethod
    def of(cls, described: Described) -> "Subject":
        """Return the subject of a signal or an incident."""
        return cls(tuple(described.fingerprint), described.level, described.category, described.service)


def fingerprint_matches(pattern: Sequence[str], fingerprint: Sequence[str]) -> bool:
    """Match part by part with shell-style globs; a final `**` matches any number of parts, even none."""
    if pattern and pattern[-1] == ANY_TAIL:
        pattern = pattern[:-1]
        fingerprint = fingerprint[: len(pattern)]
    return len(pattern) == len(fingerprint) and all(map(fnmatchcase, fingerprint, pattern))


def matches(condition: Condition, subject: Subject) -> bool:
    """Say whether all named properties match."""
    return mismatch(condition, subject) is None


def mismatch(condition: Condition, subject: Subject) -> Property | None:
    """Return the first property that doesn't match, or None."""
    if condition.fingerprint is not None and not fingerprint_matches(condition.fingerprint, subject.fingerprint):
        return "fingerprint"
    if condition.level is not None and not _level_matches(condition.level, subject.level):
        return "level"
    if condition.category not in (None, subject.category):
        return "category"
    if condition.service not in (None, subject.service):
        return "service"
    return None


def _level_matches(wanted: Level, level: Level) -> bool:
    return level == wanted or (wanted, level) == ("error", "fatal")
