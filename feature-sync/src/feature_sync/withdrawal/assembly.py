"""Builds and connects the parts of the withdrawal."""

from sqlalchemy import Engine

from feature_sync.connections import AnyRedis, RedisFaults
from feature_sync.metrics import Metrics
from feature_sync.settings import Settings
from feature_sync.withdrawal import endpoints
from feature_sync.withdrawal.business import BusinessDeleted
from feature_sync.withdrawal.deleted import DeletedFollower
from feature_sync.withdrawal.publisher import RECONCILE_SECONDS, WithdrawnPublisher
from feature_sync.withdrawal.service import Withdrawals
from feature_sync.withdrawal.table import WithdrawnTable
from servicekit.background import BackgroundLoops
from servicekit.bearer import Access
from servicekit.health import Check
from servicekit.routing import ApiRouter


class WithdrawalAssembly:
    """Routes, loops and health checks; `follower` is None without a business database."""

    def __init__(
        self,
        router: ApiRouter,
        publisher: WithdrawnPublisher,
        follower: DeletedFollower | None,
        follow_seconds: float,
    ) -> None:
        self.router = router
        self._publisher = publisher
        self._follower = follower
        self._follow_seconds = follow_seconds

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the loops that keep the list up to date."""
        loops.add("withdrawn list", self._publisher.step, interval=RECONCILE_SECONDS)
        if self._follower is not None:
            loops.add("deleted datasets", self._follower.step, interval=self._follow_seconds)

    def checks(self) -> dict[str, Check]:
        """Return the state of the list in Redis, and of reading the business database."""
        published = self._publisher.published
        if published is None:
            listed = Check(status="degraded", detail="Redis doesn't have the list of withdrawn datasets yet")
        else:
            listed = Check(status="healthy", detail=f"{published} datasets withdrawn")
        off = Check(status="healthy", detail="off: BUSINESS_DATABASE_URL is not set")
        return {"withdrawn": listed, "deleted_datasets": off if self._follower is None else self._follower.check}


def assemble(
    settings: Settings, engine: Engine, redis: AnyRedis, faults: RedisFaults, metrics: Metrics, *, access: Access
) -> WithdrawalAssembly:
    """Build the parts; nothing is connected or started."""
    table = WithdrawnTable(engine)
    publisher = WithdrawnPublisher(redis, faults, table, metrics)
    business = settings.business_database_url.get_secret_value()
    follower = None
    if business:
        database = BusinessDeleted(business, settings.extraction_sql)
        follower = DeletedFollower(database, table, publisher, metrics)
    return WithdrawalAssembly(
        endpoints.router(Withdrawals(table, publisher), access),
        publisher,
        follower,
        settings.deleted_poll_seconds,
    )
