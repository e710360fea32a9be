"""Counts signals into the running summaries, in the transaction that stores them.

A summary counts every occurrence that reaches the gateway in its period and that the policy routes to it. If a rate is
exceeded, the occurrences that came before within its window count there, too: the fault did happen then.
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
    """A summary and the way that it takes."""

    alert: Alert
    channel: Channel

    def __str__(self) -> str:
        return f"{self.alert}/{self.channel}"


@dataclass(frozen=True, slots=True)
class Miss:
    """Occurrences of one minute that did not exceed the rates of `conditions` (hashes); `routes` count them already."""

    incident_id: int
    minute: datetime
    conditions: tuple[str, ...]
    routes: tuple[str, ...]

    @property
    def group_key(self) -> str:
        """Return what separates it from others of its incident and minute."""
        return hashlib.sha256(repr((self.conditions, self.routes)).encode()).hexdigest()


@dataclass(slots=True)
class Tally:
    """Occurrences that people are told of, and those that a silence covers."""

    occurrences: int = 0
    silenced: int = 0

    def add(self, other: "Tally") -> None:
        """Count what another one counts."""
        self.occurrences += other.occurrences
        self.silenced += other.silenced


class SummaryCounts:
    """What one transaction adds. `period_start` says when the period of a summary that a moment is in began."""

    def __init__(self, connection: Connection, now: datetime, period_start: PeriodStart) -> None:
        self._connection = connection
        self._now = now
        self._period_start = period_start
        self._entries: dict[tuple[Route, int, datetime], Tally] = {}
        self._misses: dict[Miss, Tally] = {}
        self._known: dict[str, RateMisses] = {}

    def add(self, incident: Incident, decision: Decision, signal: AlertSignal) -> None:
        """Count a fired signal as its actions say; what only `make verify` fired is not counted."""
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
            self._misses_of(incident.environment).add(miss, tally)

    def save(self) -> None:
        """Store what was added."""
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
        for known in self._known.values():
            known.save()

    def _count(self, route: Route, incident_id: int, minute: datetime, tally: Tally) -> None:
        self._entries.setdefault((route, incident_id, minute), Tally()).add(tally)

    def _count_missed(self, incident: Incident, exceeded: Condition, routes: Sequence[Route]) -> None:
        assert exceeded.rate is not None  # noqa: S101 - only a rate can be exceeded
        since = self._now - exceeded.rate.window
        for miss, tally in self._misses_of(incident.environment).take(_hash(exceeded), since, routes):
            for route in routes:
                if str(route) not in miss.routes:
                    self._count(route, miss.incident_id, miss.minute, tally)

    def _misses_of(self, environment: str) -> "RateMisses":
        if environment not in self._known:
            self._known[environment] = RateMisses(self._connection, environment)
        return self._known[environment]


class RateMisses:
    """Occurrences of one environment that did not exceed a rate; what is stored is read when a rate is exceeded."""

    def __init__(self, connection: Connection, environment: str) -> None:
        self._connection = connection
        self._environment = environment
        self._new: dict[Miss, Tally] = {}
        self._stored: dict[Miss, Tally] | None = None
        self._outdated: set[Miss] = set()

    def add(self, miss: Miss, tally: Tally) -> None:
        """Add occurrences."""
        self._new.setdefault(miss, Tally()).add(tally)

    def take(self, condition: str, since: datetime, routes: Iterable[Route]) -> list[tuple[Miss, Tally]]:
        """Return what did not exceed the condition since then; from now on `routes` count it."""
        if self._stored is None:
            self._stored = self._read()
        taken = []
        for known in (self._stored, self._new):
            for miss in [each for each in known if each.minute > since and condition in each.conditions]:
                tally = known.pop(miss)
                taken.append((miss, tally))
                if known is self._stored:
                    self._outdated.add(miss)
                left = tuple(each for each in miss.conditions if each != condition)
                if left:
                    counted = tuple(sorted({*miss.routes, *map(str, routes)}))
                    self.add(replace(miss, conditions=left, routes=counted), tally)
        return taken

    def save(self) -> None:
        """Store what was added, and remove what was taken."""
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
    """Return the summaries that the actions name, each once."""
    routes = [Route(*routing.route(incident, action.alert, action.channel)) for action in decision.actions]
    return list(dict.fromkeys(each for each in routes if each.alert != "immediate"))


@lru_cache(maxsize=1024)
def _hash(condition: Condition) -> str:
    return hashlib.sha256(condition.model_dump_json().encode()).hexdigest()
