"""Accepts signals: stores and evaluates them, and enqueues notifications, in one transaction."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select

from contracts.signals import AlertSignal, RejectedSignal, SignalReceipt
from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.expected_runs import record_successful_runs
from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.book import Firing, IncidentBook
from notification_gateway.incidents.causes import (
    causes_of_symptom,
    regroup,
    symptom_name,
    symptom_points,
)
from notification_gateway.incidents.endings import equivalent_points
from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.incidents.timeline import add_stack_changes, stack_change_of
from notification_gateway.policy.evaluation import decide
from notification_gateway.policy.matching import Subject
from notification_gateway.policy.model import Policy
from notification_gateway.signals.contradictions import find_contradictions
from notification_gateway.signals.occurrences import Occurrences
from notification_gateway.silences import queries as silences
from notification_gateway.storage import INCIDENTS, Storage, UnstorableError
from notification_gateway.summaries.counting import SummaryCounts
from notification_gateway.summaries.periods import PeriodStart
from notification_gateway.tables import signals as signals_table

OLDEST = timedelta(days=365)
# A transaction holds the lock of all incidents, so it must be short.
MAX_PER_TRANSACTION = 250


def nothing_first(_connection: Connection) -> None:
    """Do nothing before the signals are stored."""


class Intake:
    """`on_stored` is called, from any thread, when there may be something to send."""

    def __init__(
        self,
        storage: Storage,
        policy: Callable[[], Policy],
        notifier: IncidentNotifier,
        clock: Callable[[], datetime],
        on_stored: Callable[[], None],
        *,
        period_start: PeriodStart,
    ) -> None:
        self._storage = storage
        self._policy = policy
        self._notifier = notifier
        self._clock = clock
        self._on_stored = on_stored
        self._period_start = period_start

    def accept(
        self, signals: Sequence[AlertSignal], first: Callable[[Connection], None] = nothing_first
    ) -> SignalReceipt:
        """Store and evaluate a batch; the receipt lists the signals that can't be stored.

        `first` runs in the transaction of the first signals; if it raises, they are not stored. Raises
        `sqlalchemy.exc.SQLAlchemyError` if the database fails; then the batch may be sent again.
        """
        now = self._clock()
        parts = [signals[at : at + MAX_PER_TRANSACTION] for at in range(0, len(signals), MAX_PER_TRANSACTION)] or [()]
        return _sum(self._accept(part, now, nothing_first if number else first) for number, part in enumerate(parts))

    def _accept(
        self, signals: Sequence[AlertSignal], now: datetime, first: Callable[[Connection], None]
    ) -> SignalReceipt:
        try:
            return self._store(signals, now, first)
        except UnstorableError as error:
            if len(signals) <= 1:
                rejected = [RejectedSignal(signal_id=each.signal_id, reason=str(error)) for each in signals]
                return SignalReceipt(accepted=0, duplicates=0, rejected=rejected)
        # Split the batch: one bad signal must not prevent the others from being stored.
        middle = len(signals) // 2
        return _sum([self._accept(signals[:middle], now, first), self._accept(signals[middle:], now, nothing_first)])

    def _store(
        self, signals: Sequence[AlertSignal], now: datetime, first: Callable[[Connection], None]
    ) -> SignalReceipt:
        with self._storage.exclusive(INCIDENTS) as connection:
            first(connection)
            fresh = [_clamp_times(signal, now) for signal in _select_new(connection, signals)]
            if fresh:
                self._evaluate(connection, fresh, now)
                record_successful_runs(connection, fresh)
        if fresh:
            self._on_stored()
        return SignalReceipt(accepted=len(fresh), duplicates=len(signals) - len(fresh))

    def _evaluate(self, connection: Connection, fresh: Sequence[AlertSignal], now: datetime) -> None:
        policy = self._policy()
        book = _load_book(connection, fresh, now)
        occurrences = Occurrences(connection, now, policy.longest_window())
        silenced = silences.active(connection, now)
        counts = SummaryCounts(connection, now, self._period_start)
        rows: list[dict[str, Any]] = []
        for signal in fresh:
            row = {"signal_id": signal.signal_id, "received_at": now, "body": signal.model_dump(mode="json")}
            if signal.kind == "recovered":
                ended = self._recover(connection, book, signal, now)
                rows.append(row | {"incident_id": ended[0].id if ended else None, "priority": "none"})
                continue
            occurrences.count_signal(signal)
            decision = decide(policy, Subject.of(signal), partial(occurrences.count_matching, signal.environment))
            firing = book.apply_fired(signal, decision, now)
            incident = firing.incident
            if firing.opened:
                incidents.insert_incident(connection, incident)
            if firing.reopened:
                self._notifier.withdraw_resolved(connection, incident)
            incident.silence_id = silenced.find_covering(signal, now)
            self._group(connection, book, firing, now)
            self._notifier.notify_fired(connection, firing, decision, now)
            counts.count_signal(incident, decision, signal)
            rows.append(row | {"incident_id": incident.id, "priority": decision.priority})
        for incident in book.changed:
            incidents.update_incident(connection, incident)
        occurrences.save()
        counts.save()
        connection.execute(insert(signals_table), rows)

    def _recover(
        self, connection: Connection, book: IncidentBook, signal: AlertSignal, now: datetime
    ) -> list[Incident]:
        ended = book.apply_recovered(signal, now)
        for incident in ended:
            self._notifier.notify_resolved(connection, incident, now)
        if (change := stack_change_of(signal, now)) is not None:
            add_stack_changes(connection, signal.environment, [change])
        return ended

    def _group(self, connection: Connection, book: IncidentBook, firing: Firing, now: datetime) -> None:
        for grouped in regroup(firing, book.incidents, now):
            self._notifier.withdraw_opened(connection, grouped)
            # Stored now, because the message about the cause names its symptoms.
            incidents.update_incident(connection, grouped)
            book.mark_changed(grouped)


def _load_book(connection: Connection, fresh: Sequence[AlertSignal], now: datetime) -> IncidentBook:
    """Return the incidents that the signals may change: their own, those that they end, causes and symptoms."""
    keys = [incident_key(signal.environment, signal.service, signal.fingerprint) for signal in fresh]
    book = IncidentBook(incidents.newest_by_key(connection, keys))
    recovered: dict[str, set[str]] = {}
    related: dict[str, set[str]] = {}
    for signal in fresh:
        if signal.kind == "recovered":
            recovered.setdefault(signal.environment, set()).update(equivalent_points(signal.monitoring_point))
        else:
            points = causes_of_symptom(symptom_name(signal)) | symptom_points(signal.monitoring_point)
            related.setdefault(signal.environment, set()).update(points)
    for environment, ended in recovered.items():
        book.load(incidents.open_of(connection, environment, ended))
    for environment, near in related.items():
        if near:
            book.load(incidents.related(connection, environment, near, now))
    return book


def _select_new(connection: Connection, signals: Sequence[AlertSignal]) -> list[AlertSignal]:
    by_id = {signal.signal_id: signal for signal in reversed(signals)}
    stored_ids = connection.execute(
        select(signals_table.c.signal_id).where(signals_table.c.signal_id.in_(list(by_id)))
    ).scalars()
    repeated = [by_id.pop(signal_id) for signal_id in stored_ids]
    return [*reversed(by_id.values()), *find_contradictions(connection, repeated)]


def _sum(receipts: Iterable[SignalReceipt]) -> SignalReceipt:
    total = SignalReceipt(accepted=0, duplicates=0)
    for each in receipts:
        total = SignalReceipt(
            accepted=total.accepted + each.accepted,
            duplicates=total.duplicates + each.duplicates,
            rejected=[*total.rejected, *each.rejected],
        )
    return total


def _clamp_times(signal: AlertSignal, now: datetime) -> AlertSignal:
    """Return the signal with times between a year ago and now."""
    last_seen = min(max(signal.last_seen, now - OLDEST), now)
    first_seen = min(max(signal.first_seen, now - OLDEST), last_seen)
    return signal.model_copy(update={"last_seen": last_seen, "first_seen": first_seen})
