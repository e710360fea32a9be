"""The expected messages of recorded webhooks: one for each episode, one for each lasting end. Pure code.

An episode of an alert begins with the first webhook in which it fires with a later `startsAt`, and again when it fires
after its end was notified. An end counts if the alert stays resolved until the gateway notifies it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from testkit.recorded_webhooks import RecordedWebhook

# The gateway notifies an end after this time.
HOLD = timedelta(seconds=30)
# An event this close to the end of that time may be judged either way.
CLOSE = timedelta(seconds=3)
# The delay between a webhook and its effect.
SLACK = timedelta(seconds=0.5)
BEGINNINGS = ("opened", "repeated")


@dataclass(frozen=True)
class Message:
    """A notification that was sent, alone or in a message about many."""

    fingerprint: str
    kind: Literal["opened", "repeated", "resolved"]
    created: datetime
    sent: datetime


@dataclass(frozen=True)
class Moment:
    """When an event must have reached the gateway: not before `since`, and not after `until`.

    An attempt with unknown outcome may lie between them, and `received` is the time of the accepted one.
    """

    since: datetime
    received: datetime
    until: datetime

    def has(self, at: datetime) -> bool:
        """Return whether something at that time may be an effect of this."""
        return self.since - SLACK <= at <= self.until + SLACK


@dataclass
class Episode:
    """One episode; `optional` if both judgements are right."""

    fingerprint: str
    began: Moment
    optional: bool = False


@dataclass
class End:
    """The end of an episode; `contradicted` if the alert fired again before the end was notified."""

    fingerprint: str
    ended: Moment
    contradicted: bool = False
    optional: bool = False


@dataclass
class Expected:
    """The content of the webhooks.

    `unsure` are alerts whose last webhook has an unknown outcome or order; `possible` are the times when such webhooks
    may have caused messages.
    """

    episodes: list[Episode] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    reminders: int = 0
    overtaken: int = 0
    still_firing: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    possible: dict[str, list[Moment]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Verdict:
    """The messages compared with the expected ones; the lists should be empty."""

    notified: int = 0
    with_pending: int = 0
    ends_notified: int = 0
    not_notified: list[Episode] = field(default_factory=list)
    ends_not_notified: list[End] = field(default_factory=list)
    unfounded: list[Message] = field(default_factory=list)


def expect(webhooks: Iterable[RecordedWebhook]) -> Expected:
    """Return the episodes and ends of accepted webhooks."""
    found = Expected()
    alerts: dict[str, _Alert] = {}
    # Alertmanager gives up an attempt that takes too long; while it is in flight, the next one may overtake it.
    for webhook in sorted(webhooks, key=lambda each: each.received):
        for alert in webhook.alerts:
            known = alerts.setdefault(alert["fingerprint"], _Alert(alert["fingerprint"]))
            said = alert["status"], _utc(alert["startsAt"])
            if webhook.outcome == "unknown":
                known.tried.setdefault(said, webhook.received)
            elif webhook.outcome == "accepted":
                # The gateway may have stored an attempt whose answer was lost.
                since = known.tried.pop(said, webhook.received)
                known.says(*said, Moment(since, webhook.received, webhook.answered), found)
    found.still_firing = {each.fingerprint for each in alerts.values() if each.is_firing}
    found.unsure = {each.fingerprint for each in alerts.values() if each.is_overtaken or each.tried}
    return found


def judge(webhooks: Sequence[RecordedWebhook], messages: Sequence[Message]) -> Verdict:
    """Compare the messages with the webhooks."""
    expected, verdict = expect(webhooks), Verdict()
    waiting: dict[str, list[Message]] = defaultdict(list)
    for message in sorted(messages, key=lambda each: each.created):
        waiting[message.fingerprint].append(message)
    everything = {fingerprint: list(each) for fingerprint, each in waiting.items()}
    for episode in expected.episodes:
        if _take(waiting[episode.fingerprint], BEGINNINGS, episode.began):
            verdict.notified += 1
        elif _is_pending(everything.get(episode.fingerprint, []), episode.began):
            verdict.with_pending += 1
        elif not episode.optional:
            verdict.not_notified.append(episode)
    for end in expected.ends:
        if end.contradicted and not end.optional:
            continue
        if _take(waiting[end.fingerprint], ("resolved",), end.ended):
            verdict.ends_notified += 1
        elif not end.optional:
            verdict.ends_not_notified.append(end)
    verdict.unfounded = [
        message
        for left in waiting.values()
        for message in left
        if not any(moment.has(message.created) for moment in expected.possible[message.fingerprint])
    ]
    return verdict


@dataclass
class _Alert:
    fingerprint: str
    newest: datetime | None = None
    end: End | None = None
    last: Moment | None = None
    began: list[Episode] = field(default_factory=list)
    is_overtaken: bool = False
    tried: dict[tuple[str, datetime], datetime] = field(default_factory=dict)

    @property
    def is_firing(self) -> bool:
        return self.newest is not None and self.end is None

    def says(self, status: str, start: datetime, moment: Moment, found: Expected) -> None:
        before, episodes, ends = self.end, len(found.episodes), len(found.ends)
        if status == "firing":
            self._fires(start, moment, found)
        elif self.newest is not None and self.end is None and start >= self.newest:
            self.end = End(self.fingerprint, moment)
            found.ends.append(self.end)
        began, ended = found.episodes[episodes:], found.ends[ends:]
        self.is_overtaken = self.last is not None and moment.received < self.last.until
        found.overtaken += self.is_overtaken
        if self.is_overtaken or self.tried:
            for episode in (*self.began, *began):
                episode.optional = True
            for end in (*ended, *([before] if before else [])):
                end.optional = True
        if self.tried:
            # Any other state that was sent since then may or may not have been accepted.
            found.possible[self.fingerprint].append(replace(moment, since=min(self.tried.values())))
            self.tried.clear()
        self.last, self.began = moment, began

    def _fires(self, start: datetime, moment: Moment, found: Expected) -> None:
        begins = self.newest is None or start > self.newest
        again = optional = False
        if self.end is not None:
            least, most = moment.since - self.end.ended.until, moment.received - self.end.ended.since
            again = least >= HOLD
            optional = least - CLOSE <= HOLD <= most + CLOSE
            self.end.contradicted, self.end.optional = not again, optional
            self.end = None
        if begins or again or optional:
            found.episodes.append(Episode(self.fingerprint, moment, optional=optional and not begins))
        else:
            found.reminders += 1
        self.newest = start if self.newest is None else max(start, self.newest)


def _take(messages: list[Message], kinds: Sequence[str], moment: Moment) -> bool:
    for message in messages:
        if message.kind in kinds and moment.has(message.created):
            messages.remove(message)
            return True
    return False


def _is_pending(messages: Sequence[Message], moment: Moment) -> bool:
    """Return whether a message about an earlier episode was sent after this one began, so that it covers both."""
    return any(
        each.kind in BEGINNINGS and each.created <= moment.until and each.sent >= moment.since - SLACK
        for each in messages
    )


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
