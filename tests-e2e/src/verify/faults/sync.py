"""A feature-sync with a valid snapshot but without Redis."""

from datetime import UTC, datetime

from contracts.snapshot import write_snapshot
from localservers.waiting import wait_until
from verify.fault_lab import TOKEN, FaultLab, FaultNotFiredError, free_port
from verify.faults.fault import Fault, Raised

SYNC_SECONDS = 30.0
USERS = 3


def fire(shop: FaultLab) -> None:
    """See the package."""
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


FAULT = Fault("sync", {"pipeline.feature_store_sync": Raised("feature-sync")}, fire)
