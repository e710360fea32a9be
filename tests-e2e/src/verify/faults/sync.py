"""A feature-sync with a valid snapshot but without Redis, and one whose Redis has an old snapshot and an old event."""

from datetime import UTC, datetime

from contracts.snapshot import write_snapshot
from localservers.waiting import wait_until
from verify.broken_redis import broken_redis
from verify.fault_lab import TOKEN, FaultLab, FaultNotFiredError, free_port
from verify.faults.fault import Fault, Raised

SYNC_SECONDS = 30.0
MEASURE_SECONDS = 30.0
USERS = 3


def fire(shop: FaultLab) -> None:
    """See the package."""
    _fail_sync(shop)
    _grow_old(shop)


def _fail_sync(shop: FaultLab) -> None:
    snapshot = shop.folder / "snapshot"
    write_snapshot(snapshot, shop.run, datetime.now(UTC), [(user, b"features") for user in range(1, USERS + 1)])
    variables = {
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "DATABASE_URL": f"sqlite:///{shop.folder}/events.db",
        "ADMIN_TOKEN": TOKEN,
    }
    with shop.service("feature_sync", variables) as sync:
        job = sync.http.post("/sync", json={"snapshot": str(snapshot)}).json()["job"]

        def has_failed() -> bool:
            state = sync.get(f"/sync/{job}").json()["state"]
            if state == "done":
                raise FaultNotFiredError("a sync without Redis has ended")
            return bool(state == "failed")

        wait_until(has_failed, within=SYNC_SECONDS, what="a sync without Redis fails")


def _grow_old(shop: FaultLab) -> None:
    with broken_redis() as redis:
        redis.mode = "old"
        variables = {
            "REDIS_URL": redis.url,
            "DATABASE_URL": f"sqlite:///{shop.folder}/events.db",
            "SNAPSHOT_MAX_AGE_HOURS": "1",
            "STREAM_MAX_LAG_SECONDS": "1",
        }
        with shop.service("feature_sync", variables) as sync:

            def is_old() -> bool:
                checks = sync.get("/health").json()["checks"]
                return all(checks[name]["status"] == "degraded" for name in ("snapshot", "events"))

            wait_until(is_old, within=MEASURE_SECONDS, what="an old snapshot and an old event are seen")


FAULT = Fault(
    "sync",
    {
        "pipeline.feature_store_sync": Raised("feature-sync"),
        "pipeline.feature_store_stale": Raised("feature-sync"),
        "pipeline.feature_store_lag": Raised("feature-sync"),
    },
    fire,
)
