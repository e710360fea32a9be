"""Takes signals: stores them, judges them, and writes down who must be told, all in one transaction."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert, select

from contracts.signals import AlertSignal, RejectedSignal, SignalReceipt
from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.expected_runs import note_good_runs
from notification_gateway.incidents import queries as incidents
from notification_gateway.incidents.book import Firing, IncidentBook
from notification_gateway.incidents.causes import (
    causes_of_symptom,
    regroup,
    symptom_name,
    symptom_points,
)
from notification_gateway.incidents.endings import twin_points
from notification_gateway.incidents.model import Incident, incident_key
from notification_gateway.incidents.timeline import add_stack_changes, stack_change_of
from notification_gateway.policy.evaluation import decide
from notification_gateway.policy.matching import Subject
from notification_gateway.policy.model import Policy
from notification_gateway.signals.contradictions import contradicting
from notification_gateway.signals.occurrences import Occurrences
from notification_gateway.silences import queries as silences
from notification_gateway.storage import INCIDENTS, Storage, UnstorableError
from notification_gateway.summaries.counting import SummaryCounts
from notification_gateway.summaries.periods import PeriodStart
from notification_gateway.tables import signals as signals_table

OLDEST = timedelta(days=365)
# One transaction holds the lock that every other signal waits for.
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
        """Take a batch; on return it is stored, but for what of it can't be.

        `first` is done in the transaction of the first signals; what it raises keeps them out. Raises
        `sqlalchemy.exc.SQLAlchemyError` when the database fails; what was stored until then is harmless to repeat.
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
        # One bad signal must not take the others with it.
        middle = len(signals) // 2
        return _sum([self._accept(signals[:middle], now, first), self._accept(signals[middle:], now, nothing_first)])

    def _store(
        self, signals: Sequence[AlertSignal], now: datetime, first: Callable[[Connection], None]
    ) -> SignalReceipt:
        with self._storage.exclusive(INCIDENTS) as connection:
            first(connection)
            fresh = [_in_reach(signal, now) for signal in _unknown(connection, signals)]
            if fresh:
                self._judge(connection, fresh, now)
                note_good_runs(connection, fresh)
        if fresh:
            self._on_stored()
        return SignalReceipt(accepted=len(fresh), duplicates=len(signals) - len(fresh))

    def _judge(self, connection: Connection, fresh: Sequence[AlertSignal], now: datetime) -> None:
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
            occurrences.add(signal)
            decision = decide(policy, Subject.of(signal), partial(occurrences.count, signal.environment))
            firing = book.fired(signal, decision, now)
            incident = firing.incident
            if firing.opened:
                incidents.add(connection, incident)
            if firing.reopened:
                self._notifier.reopened(connection, incident)
            incident.silence_id = silenced.covering(signal, now)
            self._group(connection, book, firing, now)
            self._notifier.fired(connection, firing, decision, now)
            counts.add(incident, decision, signal)
            rows.append(row | {"incident_id": incident.id, "priority": decision.priority})
        for incident in book.changed:
            incidents.save(connection, incident)
        occurrences.save()
        counts.save()
        connection.execute(insert(signals_table), rows)

    def _recover(
        self, connection: Connection, book: IncidentBook, signal: AlertSignal, now: datetime
    ) -> list[Incident]:
        ended = book.recovered(signal, now)
        for incident in ended:
            self._notifier.resolved(connection, incident, now)
        if (change := stack_change_of(signal, now)) is not None:
            add_stack_changes(connection, signal.environment, [change])
        return ended

    def _group(self, connection: Connection, book: IncidentBook, firing: Firing, now: datetime) -> None:
        for grouped in regroup(firing, book.incidents, now):
            self._notifier.grouped(connection, grouped)
            # At once: the message about a cause names what stands under it.
            incidents.save(connection, grouped)
            book.mark_changed(grouped)


def _load_book(connection: Connection, fresh: Sequence[AlertSignal], now: datetime) -> IncidentBook:
    """Return the incidents that the signals may touch: their own, those that they end, their causes and symptoms."""
    keys = [incident_key(signal.environment, signal.service, signal.fingerprint) for signal in fresh]
    book = IncidentBook(incidents.newest_by_key(connection, keys))
    recovered: dict[str, set[str]] = {}
    related: dict[str, set[str]] = {}
    for signal in fresh:
        if signal.kind == "recovered":
            recovered.setdefault(signal.environment, set()).update(twin_points(signal.monitoring_point))
        else:
            points = causes_of_symptom(symptom_name(signal)) | symptom_points(signal.monitoring_point)
            related.setdefault(signal.environment, set()).update(points)
    for environment, ended in recovered.items():
        book.load(incidents.open_of(connection, environment, ended))
    for environment, near in related.items():
        if near:
            book.load(incidents.related(connection, environment, near, now))
    return book


def _unknown(connection: Connection, signals: Sequence[AlertSignal]) -> list[AlertSignal]:
    by_id = {signal.signal_id: signal for signal in reversed(signals)}
    known = connection.execute(
        select(signals_table.c.signal_id).where(signals_table.c.signal_id.in_(list(by_id)))
    ).scalars()
    repeated = [by_id.pop(signal_id) for signal_id in known]
    return [*reversed(by_id.values()), *contradicting(connection, repeated)]


def _sum(receipts: Iterable[SignalReceipt]) -> SignalReceipt:
    total = SignalReceipt(accepted=0, duplicates=0)
    for each in receipts:
        total = SignalReceipt(
            accepted=total.accepted + each.accepted,
            duplicates=total.duplicates + each.duplicates,
            rejected=[*total.rejected, *each.rejected],
        )
    return total


def _in_reach(signal: AlertSignal, now: datetime) -> AlertSignal:
    """Return the signal without times that nobody can have seen."""
    last_seen = min(max(signal.last_seen, now - OLDEST), now)
    first_seen = min(max(signal.first_seen, now - OLDEST), last_seen)
    return signal.model_copy(update={"last_seen": last_seen, "first_seen": first_seen})
