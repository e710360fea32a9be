"""The next step after an attempt: done, retry or give up; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from notification_gateway.delivery.channel import Delivered, Outcome
from notification_gateway.outbox.model import Claim

# WeChat asks for at most three retries of "system busy".
MAX_ATTEMPTS = 4
# With another channel available, an alert waits for the first one at most this long.
PATIENCE = timedelta(seconds=30)
MAX_BACKOFF = timedelta(minutes=5)
MAX_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Done:
    """The message is delivered."""

    detail: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The message is tried again at `at`. `is_trouble` is true once, when the first tries are used up."""

    at: datetime
    detail: str
    is_trouble: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The message is not tried again; with `failover` another channel gets it."""

    detail: str
    failover: bool


Step = Done | TryAgain | GiveUp


def next_step(claimed: Claim, outcome: Outcome, now: datetime, *, has_other_channel: bool) -> Step:
    """Decide by the outcome: with another channel the message fails over early, else it is given up after a day."""
    if isinstance(outcome, Delivered):
        return Done(": ".join(filter(None, (outcome.by, outcome.detail))))
    can_fail_over = has_other_channel and claimed.kind != "summary"
    attempts_used_up = claimed.attempts >= MAX_ATTEMPTS
    if not outcome.retryable:
        return GiveUp(outcome.reason, can_fail_over)
    if can_fail_over and (attempts_used_up or outcome.wait > PATIENCE):
        return GiveUp(outcome.reason, failover=True)
    if now - claimed.created_at >= MAX_AGE:
        return GiveUp(outcome.reason, failover=False)
    backoff = min(timedelta(seconds=2 ** min(claimed.attempts - 1, 10)), MAX_BACKOFF)
    return TryAgain(now + max(backoff, outcome.wait), outcome.reason, is_trouble=claimed.attempts == MAX_ATTEMPTS)
