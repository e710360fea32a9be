"""How many messages may be sent now, for a channel with a limit per minute; pure.

Most of a minute's messages may go in a burst. The rest is reserved and spread over the minute, so that in a long storm
the next alert waits for seconds, grouped with others, and not until the minute ends.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
# The share of a minute's messages that may go in a burst.
_BURST_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of all processes through a channel in the last minute."""

    count: int
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many messages may go now; `scarce` if each should carry as many incidents as it can."""

    messages: int
    scarce: bool = False


def allowance(per_minute: int | None, free: int, attempts: Attempts, now: datetime) -> Allowance:
    """Return how many messages may go now, at most `free`."""
    if per_minute is None:
        return Allowance(free)
    burst = int(per_minute * _BURST_SHARE)
    if attempts.count < burst:
        return Allowance(min(free, burst - attempts.count))
    pause = MINUTE / (per_minute - burst)
    has_paused = attempts.newest is None or now - attempts.newest >= pause
    return Allowance(min(free, 1) if has_paused and attempts.count < per_minute else 0, scarce=True)
