"""How many messages may go now, where the other side bears only so many a minute; pure.

Most of a minute's may go at once; the rest is kept and spread, so that in a long storm the next alert waits seconds for
its turn, together with what came meanwhile, and not for the minute to end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
# Past that share of a minute's messages the rest goes one by one.
_FREELY = 0.8


@dataclass(frozen=True, slots=True)
class Attempts:
    """What all processes together have sent through a channel in the last minute."""

    count: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many may go now; `scarce` when each of them should say as much as it can."""

    messages: int
    scarce: bool = False


def allowance(per_minute: int | None, free: int, attempts: Attempts, now: datetime) -> Allowance:
    """Return what may go now, `free` at most."""
    if per_minute is None:
        return Allowance(free)
    freely = int(per_minute * _FREELY)
    if attempts.count < freely:
        return Allowance(min(free, freely - attempts.count))
    pause = MINUTE / (per_minute - freely)
    rested = attempts.newest is None or now - attempts.newest >= pause
    return Allowance(min(free, 1) if rested and attempts.count < per_minute else 0, scarce=True)
