"""Builds and connects the parts that forget users."""

import time

from sqlalchemy import Engine

from feature_sync.connections import AnyRedis, RedisFaults
from feature_sync.events.exposures import exposures
from feature_sync.events.tables import behavior_events
from feature_sync.forgetting import endpoints
from feature_sync.forgetting.export import UserDataExport
from feature_sync.forgetting.logged import LoggedRows
from feature_sync.forgetting.removal import UserRemoval
from feature_sync.forgetting.service import DATABASE_SECONDS, MARKS_SECONDS, Forgetting
from feature_sync.forgetting.state import UserStates
from feature_sync.forgetting.table import MarkTable
from feature_sync.metrics import Metrics
from feature_sync.outcomes.tables import outcomes
from feature_sync.served_features.tables import served_features
from feature_sync.settings import Settings
from servicekit.background import BackgroundLoops
from servicekit.bearer import Access
from servicekit.database_calls import DatabaseCalls
from servicekit.health import Check


class ForgettingAssembly:
    """Routes, a loop and a health check; `marks` are for those that process events and snapshots."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        redis: AnyRedis,
        faults: RedisFaults,
        metrics: Metrics,
        *,
        access: Access,
    ) -> None:
        """Take `engine` over: it is this object's alone."""
        self.marks = MarkTable(engine, settings.forget_secret)
        self._calls = DatabaseCalls(engine, DATABASE_SECONDS)
        self._forgetting = Forgetting(self.marks, self._calls, UserRemoval(redis), faults, metrics, now=time.time)
        tables = {
            "events": behavior_events,
            "exposures": exposures,
            "outcomes": outcomes,
            "served_features": served_features,
        }
        logs = {name: LoggedRows(engine, table) for name, table in tables.items()}
        export = UserDataExport(redis, logs, self._calls)
        states = UserStates(redis, time.time)
        self.router = endpoints.router(self._forgetting, states, export, access)

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the loop that finishes removals."""
        loops.add("forgotten users", self._forgetting.step, interval=MARKS_SECONDS)

    def checks(self) -> dict[str, Check]:
        """Return the state of the marks and removals."""
        return {"forgotten_users": self._forgetting.check}

    def close(self) -> None:
        """Give up what the database has not answered."""
        self._calls.close()
