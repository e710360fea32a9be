"""Occurrences per minute in the database, for rate conditions."""

import hashlib
import json
from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from contracts.signals import AlertSignal
from notification_gateway.policy.matching import Subject, matches
from notification_gateway.policy.model import Condition, Rate
from notification_gateway.storage import upsert
from notification_gateway.stored import texts_of
from notification_gateway.tables import occurrence_minutes

MINUTE = timedelta(minutes=1)


class Occurrences:
    """Counts of one transaction: the stored ones, read once per environment, and those that the batch adds."""

    def __init__(self, connection: Connection, now: datetime, window: timedelta) -> None:
        self._connection = connection
        self._now = now
        self._window = window
        self._known: dict[str, Counter[tuple[datetime, Subject]]] = {}
        self._new: Counter[tuple[str, datetime, Subject]] = Counter()

    def count_signal(self, signal: AlertSignal) -> None:
        """Count a fired signal at the minute in which it was last seen."""
        at = min(signal.last_seen, self._now)
        minute = at.replace(second=0, microsecond=0)
        subject = Subject.of(signal)
        self._known_of(signal.environment)[minute, subject] += signal.occurrences
        self._new[signal.environment, minute, subject] += signal.occurrences

    def count_matching(self, environment: str, condition: Condition, rate: Rate) -> int:
        """Return the occurrences in the window that match the condition; the window is precise to a minute."""
        since = self._now - rate.window
        return sum(
            occurrences
            for (minute, subject), occurrences in self._known_of(environment).items()
            if minute > since and matches(condition, subject)
        )

    def save(self) -> None:
        """Store the added counts."""
        for (environment, minute, subject), occurrences in sorted(self._new.items(), key=lambda item: item[0][:2]):
            statement = upsert(self._connection, occurrence_minutes).values(
                environment=environment,
                minute=minute,
                subject=_hash(subject),
                service=subject.service,
                level=subject.level,
                category=subject.category,
                fingerprint=list(subject.fingerprint),
                occurrences=occurrences,
            )
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[
                        occurrence_minutes.c.environment,
                        occurrence_minutes.c.minute,
                        occurrence_minutes.c.subject,
                    ],
                    set_={"occurrences": occurrence_minutes.c.occurrences + statement.excluded.occurrences},
                )
            )

    def _known_of(self, environment: str) -> Counter[tuple[datetime, Subject]]:
        if environment not in self._known:
            rows = self._connection.execute(
                select(occurrence_minutes).where(
                    occurrence_minutes.c.environment == environment,
                    occurrence_minutes.c.minute > self._now - self._window,
                )
            )
            self._known[environment] = Counter(
                {
                    (
                        row.minute,
                        Subject(tuple(texts_of(row.fingerprint)), row.level, row.category, row.service),
                    ): row.occurrences
                    for row in rows
                }
            )
        return self._known[environment]


def _hash(subject: Subject) -> str:
    parts = [subject.service, subject.level, subject.category, list(subject.fingerprint)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
