"""What comes after an attempt; pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from notification_gateway.delivery.channel import Delivered, Outcome
from notification_gateway.outbox.model import Claim

# WeChat asks for at most three retries of "system busy".
MAX_ATTEMPTS = 4
# An alert that another channel can carry doesn't wait longer than this for the first.
PATIENCE = timedelta(seconds=30)
MAX_BACKOFF = timedelta(minutes=5)
MAX_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Done:
    """It is delivered."""

    detail: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It is tried again at that time; `troubled` once, when its first tries are used up."""

    at: datetime
    detail: str
    troubled: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It is not tried again; with `failover` the other channel gets it."""

    detail: str
    failover: bool


Step = Done | TryAgain | GiveUp


def next_step(claimed: Claim, outcome: Outcome, now: datetime, *, has_other_channel: bool) -> Step:
    """Decide by the outcome; with another channel at hand, early, and without one, only after a day."""
    if isinstance(outcome, Delivered):
        return Done(": ".join(filter(None, (outcome.by, outcome.detail))))
    can_fail_over = has_other_channel and claimed.kind != "summary"
    spent = claimed.attempts >= MAX_ATTEMPTS
    if not outcome.retryable:
        return GiveUp(outcome.reason, can_fail_over)
    if can_fail_over and (spent or outcome.wait > PATIENCE):
        return GiveUp(outcome.reason, failover=True)
    if now - claimed.created_at >= MAX_AGE:
        return GiveUp(outcome.reason, failover=False)
    backoff = min(timedelta(seconds=2 ** min(claimed.attempts - 1, 10)), MAX_BACKOFF)
    return TryAgain(now + max(backoff, outcome.wait), outcome.reason, troubled=claimed.attempts == MAX_ATTEMPTS)
