"""Builds and connects the parts that count outcomes."""

from datetime import UTC, datetime

from sqlalchemy import Engine

from feature_sync.metrics import Metrics
from feature_sync.outcomes import endpoints
from feature_sync.outcomes.attribution import Attribution
from feature_sync.outcomes.metrics import OutcomeMetrics
from feature_sync.outcomes.report import OutcomeSums
from feature_sync.outcomes.service import OutcomeCounting
from feature_sync.settings import Settings
from servicekit.background import BackgroundLoops
from servicekit.bearer import Access
from servicekit.database_calls import DatabaseCalls
from servicekit.health import Check

STEP_SECONDS = 5.0
# A batch takes PostgreSQL less than a second.
_DATABASE_SECONDS = 20.0
# Entries that a dead worker had taken are logged so much later than `TAKEOVER_SECONDS`, with a margin.
_SETTLE_SECONDS = 10.0


class OutcomesAssembly:
    """A route and a loop."""

    def __init__(self, settings: Settings, engine: Engine, metrics: Metrics, access: Access) -> None:
        """Take `engine` over: it is this object's alone."""
        self._calls = DatabaseCalls(engine, _DATABASE_SECONDS)

        def now() -> datetime:
            return datetime.now(UTC)

        attribution = Attribution(engine, settings.takeover_seconds + _SETTLE_SECONDS, now)
        self._counting = OutcomeCounting(attribution, self._calls, OutcomeMetrics(metrics.registry), now)
        self.router = endpoints.router(OutcomeSums(engine), self._calls, access, now)

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the loop that attributes."""
        loops.add("outcomes", self._counting.step, interval=STEP_SECONDS)

    def checks(self) -> dict[str, Check]:
        """Return how far attribution is behind."""
        return {"outcomes": self._counting.check()}

    def close(self) -> None:
        """Give up what the database has not answered."""
        self._calls.close()
