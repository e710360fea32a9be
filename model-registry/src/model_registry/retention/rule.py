"""The rule of retention: which versions are kept, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from contracts.retention import KeepReason


@dataclass(frozen=True)
class Limits:
    """How many of the newest versions are kept, and for how many days one that was primary."""

    trained: int
    refreshes: int
    days: int


@dataclass(frozen=True)
class VersionState:
    """A version: its number, the trained version that it refreshes, whether its bundle was removed before."""

    number: int
    refreshes: int | None = None
    is_removed: bool = False

    @property
    def trained(self) -> int:
        """The trained version that it is or refreshes."""
        return self.number if self.refreshes is None else self.refreshes


@dataclass(frozen=True)
class PrimaryStart:
    """From this moment on, the version was primary until the next one was."""

    number: int
    at: datetime


@dataclass(frozen=True)
class Usage:
    """Versions that something needs now, by reason, and the primaries since the first one, oldest first."""

    in_use: Mapping[KeepReason, AbstractSet[int]]
    primaries: Sequence[PrimaryStart] = ()


def keep_reasons(
    versions: Iterable[VersionState], usage: Usage, limits: Limits, now: datetime
) -> dict[int, list[KeepReason]]:
    """Return the versions that are kept, each with its reasons; every other version may be removed.

    Trained versions are counted, and a refresh belongs to the one that it renews: while a refresh was primary, so was
    its trained version. A version that was removed before is in no answer.
    """
    known = {each.number: each for each in versions}
    newest_first = sorted((each for each in known.values() if not each.is_removed), key=lambda each: -each.number)
    chosen = {reason: set(numbers) for reason, numbers in usage.in_use.items()}
    chosen[KeepReason.RECENT_PRIMARY] = {
        known[number].trained for number in _primary_since(usage.primaries, now - timedelta(days=limits.days))
    }
    trained = [each.number for each in newest_first if each.refreshes is None]
    refreshes = [each.number for each in newest_first if each.refreshes is not None]
    chosen[KeepReason.LAST_TRAINED] = set(trained[: limits.trained])
    chosen[KeepReason.LAST_REFRESHES] = set(refreshes[: limits.refreshes])
    kept = set().union(*chosen.values())
    chosen[KeepReason.REFRESHED] = {
        each.trained for each in newest_first if each.number in kept and each.refreshes is not None
    }
    reasons = {
        each.number: [reason for reason in KeepReason if each.number in chosen.get(reason, ())] for each in newest_first
    }
    return {number: found for number, found in reasons.items() if found}


def _primary_since(primaries: Sequence[PrimaryStart], since: datetime) -> Iterator[int]:
    """Yield the versions that were primary at some moment since then; the last one still is."""
    for each, following in pairwise(primaries):
        if following.at >= since:
            yield each.number
    if primaries:
        yield primaries[-1].number
