from datetime import UTC, datetime
from pathlib import Path

import httpx

from contracts.snapshot import write_snapshot
from localservers.waiting import wait_until


def test_a_sync_over_http_ends_as_done(worker: httpx.Client, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s", "v1", datetime.now(UTC), [(1, b"blob")])
    assert worker.post("/sync", json={"snapshot": str(tmp_path / "s")}).status_code == 401
    headers = {"Authorization": "Bearer the-token"}
    asked = worker.post("/sync", json={"snapshot": str(tmp_path / "s")}, headers=headers)
    assert asked.status_code == 202
    path = f"/sync/{asked.json()['job']}"
    wait_until(lambda: worker.get(path).json()["state"] == "done", within=60, what="the sync is done")
    assert worker.get("/sync/unknown").status_code == 404


def test_health_shows_the_snapshot_and_the_waiting_events(worker: httpx.Client) -> None:
    wait_until(lambda: worker.get("/health").json()["status"] == "healthy", within=60, what="it is healthy")
    health = worker.get("/health").json()
    assert health["checks"]["redis"]["detail"] == "snapshot None, 0 events waiting"
    assert "sync_events_total" in worker.get("/metrics").text
