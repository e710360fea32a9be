"""Counts signals into the running summaries, in the transaction that stores them.

A summary counts every occurrence that reaches the gateway in its period and that the policy routes to it. When a rate
is exceeded, the earlier occurrences within its window are added: they are part of the same fault.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, delete, select

from contracts.signals import AlertSignal
from notification_gateway.delivery import routing
from notification_gateway.incidents.model import VERIFY, Incident
from notification_gateway.policy.evaluation import Decision
from notification_gateway.policy.model import Alert, Channel, Condition
from notification_gateway.storage import upsert
from notification_gateway.stored import texts_of
from notification_gateway.summaries.periods import PeriodStart
from notification_gateway.tables import incidents, rate_misses, summary_entries


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """A kind of summary and its channel."""

    alert: Alert
    channel: Channel

    def __str__(self) -> str:
        return f"{self.alert}/{self.channel}"


@dataclass(frozen=True, slots=True)
class Miss:
    """Occurrences of one minute that did not exceed the rates of `conditions` (hashes); `routes` have counted them."""

    incident_id: int
    minute: datetime
    conditions: tuple[str, ...]
    routes: tuple[str, ...]

    @property
    def group_key(self) -> str:
        """Return the hash that distinguishes it from other misses of its incident and minute."""
        return hashlib.sha256(repr((self.conditions, self.routes)).encode()).hexdigest()


@dataclass(slots=True)
class Tally:
    """Numbers of unsilenced and silenced occurrences."""

    occurrences: int = 0
    silenced: int = 0

    def add_tally(self, other: "Tally") -> None:
        """Add the numbers of another tally."""
        self.occurrences += other.occurrences
        self.silenced += other.silenced


class SummaryCounts:
    """The counts that one transaction adds. `period_start` returns the start of a summary's period at a time."""

    def __init__(self, connection: Connection, now: datetime, period_start: PeriodStart) -> None:
        self._connection = connection
        self._now = now
        self._period_start = period_start
        self._entries: dict[tuple[Route, int, datetime], Tally] = {}
        self._misses: dict[Miss, Tally] = {}
        self._misses_by_environment: dict[str, RateMisses] = {}

    def count_signal(self, incident: Incident, decision: Decision, signal: AlertSignal) -> None:
        """Count a fired signal as its actions say; signals of the environment `verify` are not counted."""
        if incident.environment == VERIFY:
            return
        routes = _routes(incident, decision)
        minute = min(signal.last_seen, self._now).replace(second=0, microsecond=0)
        is_silenced = incident.silence_id is not None
        tally = Tally(silenced=signal.occurrences) if is_silenced else Tally(signal.occurrences)
        for route in routes:
            self._count(route, incident.id, minute, tally)
        if decision.exceeded is not None:
            self._count_missed(incident, decision.exceeded, routes)
        if decision.missed:
            conditions = tuple(sorted({_hash(condition) for condition in decision.missed}))
            miss = Miss(incident.id, minute, conditions, tuple(sorted(map(str, routes))))
            self._misses_of(incident.environment).add_miss(miss, tally)

    def save(self) -> None:
        """Store the added counts."""
        for (route, incident_id, minute), tally in sorted(self._entries.items(), key=lambda item: item[0]):
            statement = upsert(self._connection, summary_entries).values(
                alert=route.alert,
                channel=route.channel,
                period_start=self._period_start(route.alert, self._now),
                incident_id=incident_id,
                minute=minute,
                occurrences=tally.occurrences,
                silenced=tally.silenced,
            )
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(summary_entries.primary_key.columns),
                    set_={
                        "occurrences": summary_entries.c.occurrences + statement.excluded.occurrences,
                        "silenced": summary_entries.c.silenced + statement.excluded.silenced,
                    },
                )
            )
        for misses in self._misses_by_environment.values():
            misses.save()

    def _count(self, route: Route, incident_id: int, minute: datetime, tally: Tally) -> None:
        self._entries.setdefault((route, incident_id, minute), Tally()).add_tally(tally)

    def _count_missed(self, incident: Incident, exceeded: Condition, routes: Sequence[Route]) -> None:
        assert exceeded.rate is not None  # noqa: S101 - only a rate can be exceeded
        since = self._now - exceeded.rate.window
        for miss, tally in self._misses_of(incident.environment).take_misses(_hash(exceeded), since, routes):
            for route in routes:
                if str(route) not in miss.routes:
                    self._count(route, miss.incident_id, miss.minute, tally)

    def _misses_of(self, environment: str) -> "RateMisses":
        if environment not in self._misses_by_environment:
            self._misses_by_environment[environment] = RateMisses(self._connection, environment)
        return self._misses_by_environment[environment]


class RateMisses:
    """Occurrences of one environment that did not exceed a rate; the stored ones are read when a rate is exceeded."""

    def __init__(self, connection: Connection, environment: str) -> None:
        self._connection = connection
        self._environment = environment
        self._new: dict[Miss, Tally] = {}
        self._stored: dict[Miss, Tally] | None = None
        self._outdated: set[Miss] = set()

    def add_miss(self, miss: Miss, tally: Tally) -> None:
        """Add occurrences that did not exceed a rate."""
        self._new.setdefault(miss, Tally()).add_tally(tally)

    def take_misses(self, condition: str, since: datetime, routes: Iterable[Route]) -> list[tuple[Miss, Tally]]:
        """Return the misses of a condition since then, and mark them as counted by `routes`."""
        if self._stored is None:
            self._stored = self._read()
        taken = []
        for misses in (self._stored, self._new):
            for miss in [each for each in misses if each.minute > since and condition in each.conditions]:
                tally = misses.pop(miss)
                taken.append((miss, tally))
                if misses is self._stored:
                    self._outdated.add(miss)
                remaining = tuple(each for each in miss.conditions if each != condition)
                if remaining:
                    counted = tuple(sorted({*miss.routes, *map(str, routes)}))
                    self.add_miss(replace(miss, conditions=remaining, routes=counted), tally)
        return taken

    def save(self) -> None:
        """Store the added misses, and delete the stored ones that were taken."""
        for miss in self._outdated:
            self._connection.execute(
                delete(rate_misses).where(
                    rate_misses.c.incident_id == miss.incident_id,
                    rate_misses.c.minute == miss.minute,
                    rate_misses.c.group_key == miss.group_key,
                )
            )
        for miss, tally in sorted(self._new.items(), key=lambda item: (item[0].incident_id, item[0].minute)):
            statement = upsert(self._connection, rate_misses).values(
                incident_id=miss.incident_id,
                minute=miss.minute,
                group_key=miss.group_key,
                conditions=list(miss.conditions),
                routes=list(miss.routes),
                occurrences=tally.occurrences,
                silenced=tally.silenced,
            )
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(rate_misses.primary_key.columns),
                    set_={
                        "occurrences": rate_misses.c.occurrences + statement.excluded.occurrences,
                        "silenced": rate_misses.c.silenced + statement.excluded.silenced,
                    },
                )
            )

    def _read(self) -> dict[Miss, Tally]:
        rows = self._connection.execute(
            select(rate_misses)
            .join(incidents, incidents.c.id == rate_misses.c.incident_id)
            .where(incidents.c.environment == self._environment)
        )
        return {
            Miss(row.incident_id, row.minute, tuple(texts_of(row.conditions)), tuple(texts_of(row.routes))): Tally(
                row.occurrences, row.silenced
            )
            for row in rows
        }


def _routes(incident: Incident, decision: Decision) -> list[Route]:
    """Return the distinct routes to summaries that the actions name."""
    routes = [Route(*routing.route(incident, action.alert, action.channel)) for action in decision.actions]
    return list(dict.fromkeys(each for each in routes if each.alert != "immediate"))


@lru_cache(maxsize=1024)
def _hash(condition: Condition) -> str:
    return hashlib.sha256(condition.model_dump_json().encode()).hexdigest()
